"""A small wav2vec 2.0 that spells or labels, with what prepares its inputs, as the reference writes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers

from tests.parity.speech_shapes import STABLE, WAVES

LETTERS = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ABCDEFGHIJKLMNO"]


def write(folder: Path, head: str = "ForCTC", grouped: bool = False, **fields: Any) -> None:
    """A checkpoint; `grouped` ones norm over time, and their extractors give no masks."""
    torch.manual_seed(3)
    shape = {**WAVES, "num_hidden_layers": 1, **({} if grouped else STABLE), **fields}
    model = getattr(transformers, f"Wav2Vec2{head}")(transformers.Wav2Vec2Config(**shape)).eval()
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.dim() > 1 and "parametrizations" not in name:  # wide enough that answers change in time
                value.normal_(0, 0.4)
            if name == "lm_head.bias":  # blanks and ends of words among letters
                value[:5] = torch.tensor([6.0, -99.0, -99.0, -99.0, 6.0])
    model.save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(return_attention_mask=not grouped).save_pretrained(folder)
    if head == "ForCTC":
        vocabulary = folder / "vocab.json"
        vocabulary.write_text(json.dumps({letter: i for i, letter in enumerate(LETTERS)}))
        transformers.Wav2Vec2CTCTokenizer(str(vocabulary)).save_pretrained(folder)
