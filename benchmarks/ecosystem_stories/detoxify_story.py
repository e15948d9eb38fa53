"""detoxify: a checkpoint of its own form, loaded by class names of the ecosystem."""

import tempfile
from pathlib import Path

import torch
from detoxify import Detoxify
from stage import TEXTS, tiny
from transformers import BertForSequenceClassification

name = tiny("AutoModelForSequenceClassification", num_labels=2)
model = BertForSequenceClassification.from_pretrained(name)
arguments = {
    "model_name": "BertForSequenceClassification",
    "model_type": name,
    "tokenizer_name": "BertTokenizer",
    "num_classes": 2,
}
held = {
    "state_dict": model.state_dict(),
    "config": {"arch": {"args": arguments}, "dataset": {"args": {"classes": ["toxicity", "insult"]}}},
}
path = Path(tempfile.mkdtemp()) / "toxic.ckpt"
torch.save(held, path)
found = Detoxify(model_type="original", checkpoint=str(path), huggingface_config_path=name).predict(TEXTS)
assert set(found) == {"toxicity", "insult"}
assert len(found["toxicity"]) == len(TEXTS)
