"""Every family that predicts the next token writes what the reference writes, from the same files.

Token for token, in float32; prompts are padded on the left, and a batch gives what each prompt gives alone.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

import formers
from formers.models.registry import family_of
from tests.parity import seq2seq_shapes
from tests.parity.shapes import CAUSAL, SHAPES, batch, class_names, lets_padding_in, write_checkpoint

# XLNet reads no padding, and has tests of its own; Whisper's sounds are written down by a loop of their own;
# XLM and FlauBERT have no settings to write by in the reference; GIT takes padding for an image in the
# reference where none is given, and has tests with images
APART = {"xlnet", "whisper", "xlm", "flaubert", "git"}
NEW = 9
# the reference's FSMT hides real tokens, not padding, where its encoder is called alone, as `generate` does
UNLIKE_ITSELF = {"fsmt"}


def _decoders() -> list[tuple[str, str]]:
    found = []
    for model_type in SHAPES:
        family = family_of(model_type)
        names = class_names(family)
        found += [(model_type, name) for name in names if name.endswith(CAUSAL) and model_type not in APART]
    return found


def _pairs() -> list[tuple[str, str]]:
    found = []
    for model_type in seq2seq_shapes.SHAPES:
        family = family_of(model_type)
        names = [name for name in class_names(family) if seq2seq_shapes.writes(name)]
        found += [(model_type, name) for name in names if model_type not in APART]
    return found


def _sharpened(model: Any) -> None:
    """Logits far apart, so that rounding decides nothing."""
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.dim() > 1 and "conv" not in name and "embed_positions" not in name:  # some are sinusoids
                value.mul_(1.5)


def _both(model: Any, name: str, folder: Path) -> tuple[Any, Any]:
    _sharpened(model)
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = None, 0
    model.save_pretrained(folder)
    ours = getattr(formers, name).from_pretrained(folder)
    ours.generation_config.eos_token_id = None
    return model, ours


def _written(model: Any, inputs: dict[str, Any], **settings: Any) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found: torch.Tensor = model.generate(
            **inputs, **{"pad_token_id": 0, "max_new_tokens": NEW, **settings}
        )
    return found


def _new(model: Any, inputs: dict[str, Any], **settings: Any) -> torch.Tensor:
    start = 0 if model.config.is_encoder_decoder else inputs["input_ids"].shape[1]
    return _written(model, inputs, **settings)[:, start:]


def _by_hand(model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    """Greedy search over the reference's forward pass, each prompt alone, without a cache."""
    rows = []
    for ids, mask in zip(inputs["input_ids"], inputs["attention_mask"], strict=True):
        row = ids[None, mask.bool()]
        with torch.no_grad():
            for _ in range(NEW):
                logits = model(row, use_cache=False).logits[:, -1]
                logits[:, model.config.pad_token_id] = -torch.inf  # it has no position of its own
                row = torch.cat((row, logits.argmax(-1)[:, None]), dim=1)
        rows.append(row[0, -NEW:])
    return torch.stack(rows)


def _by_passes(model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    """Greedy search over whole passes of the reference's encoder-decoder."""
    start = model.generation_config.decoder_start_token_id
    rows = torch.full((len(inputs["input_ids"]), 1), start)
    with torch.no_grad():
        for _ in range(NEW):
            logits = model(**inputs, decoder_input_ids=rows, use_cache=False).logits[:, -1]
            rows = torch.cat((rows, logits.argmax(-1)[:, None]), dim=1)
    return rows


def _counts_from_padding(model: Any) -> bool:
    """Whether positions begin behind the padding token's; the reference's `generate` begins at 0."""
    return getattr(model._assembly.spec(model.config).stem.positions, "padding_idx", None) is not None


def _assert_alike(theirs: Any, ours: Any, inputs: dict[str, Any]) -> None:
    free = _new(theirs, inputs)
    end = int(free[0, NEW // 2])  # a token that the first row writes half-way ends rows
    for settings in ({}, {"eos_token_id": end}):
        assert _new(theirs, inputs, **settings).tolist() == _new(ours, inputs, **settings).tolist()


@pytest.mark.parametrize(("model_type", "name"), _decoders(), ids=lambda value: str(value))
def test_a_decoder_goes_on_as_the_reference_does(model_type: str, name: str, tmp_path: Path) -> None:
    shape = next(iter(SHAPES[model_type]))
    theirs, ours = _both(write_checkpoint(model_type, shape, name, tmp_path), name, tmp_path)
    inputs = batch(name, 0, sided="left")
    if lets_padding_in(ours):
        inputs = {key: value[:1] for key, value in inputs.items()}
    settings: dict[str, Any] = {}
    if _counts_from_padding(ours):
        inputs["input_ids"] = inputs["input_ids"].clamp(min=3)  # so that no real token is taken for padding
        settings = {"suppress_tokens": [ours.config.pad_token_id]}
        assert _by_hand(theirs, inputs).tolist() == _new(ours, inputs, **settings).tolist()
    else:
        _assert_alike(theirs, ours, inputs)
    alone = []
    for i, real in enumerate(inputs["attention_mask"].sum(1).tolist()):
        one = {name: value[i : i + 1, -real:] for name, value in inputs.items()}
        alone.append(_new(ours, one, **settings))
    assert torch.cat(alone).tolist() == _new(ours, inputs, **settings).tolist()


@pytest.mark.parametrize(("model_type", "name"), _pairs(), ids=lambda value: str(value))
def test_an_encoder_decoder_writes_as_the_reference_does(model_type: str, name: str, tmp_path: Path) -> None:
    shape = next(iter(seq2seq_shapes.SHAPES[model_type]))
    theirs = seq2seq_shapes.write_checkpoint(model_type, shape, name, tmp_path)
    theirs, ours = _both(theirs, name, tmp_path)
    inputs = {k: v for k, v in seq2seq_shapes.inputs_of(theirs).items() if not k.startswith("decoder")}
    for model in (theirs, ours):
        if model.generation_config.decoder_start_token_id is None:
            model.generation_config.decoder_start_token_id = 2
    if model_type in UNLIKE_ITSELF:
        plain = {"num_beams": 1, "forced_eos_token_id": None}  # its config asks for beams
        assert _by_passes(theirs, inputs).tolist() == _new(ours, inputs, **plain).tolist()
    else:
        _assert_alike(theirs, ours, inputs)
