"""captum: integrated gradients of a layer."""

import torch
from captum.attr import LayerIntegratedGradients
from stage import TEXTS, tiny
from transformers import AutoModelForSequenceClassification, AutoTokenizer

name = tiny("AutoModelForSequenceClassification")
model = AutoModelForSequenceClassification.from_pretrained(name).eval()
ids = AutoTokenizer.from_pretrained(name)(TEXTS[0], return_tensors="pt")["input_ids"]
asked = LayerIntegratedGradients(lambda rows: model(rows).logits, model.bert.embeddings)
found, delta = asked.attribute(
    ids, torch.zeros_like(ids), target=1, n_steps=20, return_convergence_delta=True
)
assert found.shape == (*ids.shape, 32)
assert float(delta.abs()) < 1e-2
