"""gliner: entities of any label, by an encoder and spans; a tiny model made, kept and asked."""

import tempfile

import torch
from gliner import GLiNER, GLiNERConfig
from stage import minilm, tiny
from transformers import AutoTokenizer

torch.manual_seed(0)
config = GLiNERConfig(
    model_name=tiny("AutoModel"),
    hidden_size=32,
    max_width=4,
    max_len=64,
    dropout=0.0,
    subtoken_pooling="first",
)
tokenizer = AutoTokenizer.from_pretrained(minilm())
model = GLiNER.from_config(config) if hasattr(GLiNER, "from_config") else GLiNER(config, tokenizer=tokenizer)
model.eval()
text = "John lives in New York."
found = model.predict_entities(text, ["person", "city"], threshold=0.0)
assert all(text[one["start"] : one["end"]] == one["text"] for one in found)
folder = tempfile.mkdtemp()
model.save_pretrained(folder)
again = GLiNER.from_pretrained(folder, local_files_only=True)
assert again.predict_entities(text, ["person", "city"], threshold=0.0) == found
