"""Files to weights and back: safetensors, shards, older formats, names, dtype, device placement."""
