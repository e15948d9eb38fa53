"""What shapes of many families have in common: fields of tiny configs, in the reference's names."""

from __future__ import annotations

VOCABULARY = 101

ENCODER = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
}
SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
DECODER = {**ENCODER, "num_key_value_heads": 2, **SPECIAL}
PLAIN = {name: value for name, value in DECODER.items() if name != "num_key_value_heads"}
GPT2 = {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 40, **SPECIAL}
