"""S2T beside the reference: sounds of several lengths, what it writes about them, its tokenizer, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import formers
from tests.parity.seq2seq_shapes import SHAPES
from tests.parity.test_families import _close

SHAPE = SHAPES["speech_to_text"]


@pytest.fixture(scope="module", params=[*SHAPE])
def pair(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    folder: Path = tmp_path_factory.mktemp("written")
    torch.manual_seed(0)
    config = transformers.Speech2TextConfig(**SHAPE[request.param], init_std=0.3)
    transformers.Speech2TextForConditionalGeneration(config).save_pretrained(folder)
    kits = (transformers, formers)
    made = [kit.Speech2TextForConditionalGeneration.from_pretrained(folder).eval() for kit in kits]
    return made[0], made[1]


def _sounds() -> dict[str, torch.Tensor]:
    mask = (torch.arange(37) < torch.tensor([37, 30, 9])[:, None]).long()
    made = torch.randn(3, 37, 6, generator=torch.Generator().manual_seed(1)) * mask[..., None]
    return {"input_features": made, "attention_mask": mask}


def test_sounds_of_several_lengths_are_heard_as_the_reference_hears_them(pair: tuple[Any, Any]) -> None:
    theirs, ours = pair
    labels = torch.tensor([[5, 6, 7, 2], [8, 9, 2, -100], [10, 2, -100, -100]])
    with torch.no_grad():
        expected, found = (one(**_sounds(), labels=labels) for one in pair)
    _close(expected.logits, found.logits)
    _close(expected.loss, found.loss)
    rows = theirs._get_feat_extract_output_lengths(_sounds()["attention_mask"].sum(1))
    real = torch.arange(found.encoder_last_hidden_state.shape[1]) < rows[:, None]
    _close(expected.encoder_last_hidden_state, found.encoder_last_hidden_state, real)


@pytest.mark.parametrize("asked", [{"num_beams": 1}, {"num_beams": 3}], ids=str)
def test_what_is_written_is_what_the_reference_writes(pair: tuple[Any, Any], asked: dict[str, Any]) -> None:
    expected, found = (one.generate(**_sounds(), max_new_tokens=7, **asked) for one in pair)
    assert torch.equal(found, expected)


def test_what_cannot_be_heard_is_said(pair: tuple[Any, Any]) -> None:
    ours, given = pair[1], {**_sounds(), "decoder_input_ids": torch.tensor([[2]] * 3)}
    for wrong, says in (
        ({"input_features": torch.randn(3, 37, 5)}, r"\[B, frames, 6\]"),
        ({"attention_mask": torch.ones(3, 36)}, "an entry for every frame"),
    ):
        with pytest.raises(ValueError, match=says):
            ours(**{**given, **wrong})
    with pytest.raises(ValueError, match="num_conv_layers"):
        formers.Speech2TextConfig(num_conv_layers=3)
