"""A model, a tokenizer's padding and a dataset, small enough to train in a blink."""

import random

import torch
from torch import nn

from formers.core.outputs import TaskOutput


class PadOnly:
    """All that a collator needs of a tokenizer."""

    pad_token_id = 0
    padding_side = "right"
    model_input_names = ("input_ids", "attention_mask")


class Bag(nn.Module):
    """Mean of embeddings, then a linear layer: a classifier without a config."""

    def __init__(self, classes: int = 3, dropout: float = 0.0):
        super().__init__()
        self.embedding = nn.Embedding(50, 8)
        self.norm = nn.LayerNorm(8)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(8, classes)

    def forward(self, input_ids, attention_mask=None, labels=None):
        x = self.embedding(input_ids)  # [B, T, E]
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        x = (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)  # [B, E]
        logits = self.out(self.dropout(self.norm(x)))
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return TaskOutput(loss=loss, logits=logits)


def bag(seed: int = 0, **options) -> Bag:
    torch.manual_seed(seed)
    return Bag(**options)


def rows(count: int = 30, seed: int = 3) -> list[dict]:
    draw = random.Random(seed)
    return [
        {
            "input_ids": [draw.randrange(1, 50) for _ in range(draw.randrange(2, 12))],
            "label": draw.randrange(3),
            "text": "a column the model does not take",
        }
        for _ in range(count)
    ]


def same(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def largest_difference(first: nn.Module, second: nn.Module) -> float:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return max(float((a - b).abs().max()) for a, b in pairs)
