"""A classifier and a tokenizer small enough to be checked by hand, for the tests of pipelines."""

from __future__ import annotations

import torch
from torch import nn

from formers.configs import PretrainedConfig
from formers.core.outputs import TaskOutput

LIMIT = 16


class TinyClassifier(nn.Module):
    """Mean of token vectors, then a linear layer; it remembers the shapes that it was called with."""

    def __init__(self, labels=3, problem_type=None):
        super().__init__()
        torch.manual_seed(0)
        names = {i: f"L{i}" for i in range(labels)}
        self.config = PretrainedConfig(
            id2label=names, problem_type=problem_type, max_position_embeddings=LIMIT
        )
        self.token = nn.Embedding(300, 8)
        self.kind = nn.Embedding(2, 8)
        self.dropout = nn.Dropout(0.5)
        self.out = nn.Linear(8, labels)
        self.shapes = []
        self.eval()

    def forward(self, input_ids, attention_mask=None, token_type_ids=None):
        self.shapes.append(tuple(input_ids.shape))
        if token_type_ids is None:
            token_type_ids = torch.zeros_like(input_ids)
        x = self.dropout(self.token(input_ids) + self.kind(token_type_ids))  # [B, T, E]
        real = attention_mask[..., None].float()
        return TaskOutput(logits=self.out((x * real).sum(1) / real.sum(1)))

    @property
    def tokens_computed(self):
        return sum(rows * width for rows, width in self.shapes)


def backend(special=True):
    """Words `w0` to `w199`; [CLS] and [SEP] around a text unless `special` is false."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"w{i}" for i in range(200))]
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    if special:
        made.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
        )
    return made


def tiny_tokenizer(special=True, limit=LIMIT):
    from formers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=backend(special),
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=limit,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def words(count, start=0):
    return " ".join(f"w{(start + i) % 200}" for i in range(count))
