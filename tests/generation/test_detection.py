"""Watermarks are found again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers.generation import watermarking as theirs

from formers.generation.processors.watermarks import (
    SynthIDTextWatermarkLogitsProcessor,
    WatermarkLogitsProcessor,
)
from formers.generation.watermarking import SynthIDTextWatermarkDetector, WatermarkDetector
from formers.generation.watermarks import WatermarkingConfig

MODEL = SimpleNamespace(vocab_size=50, bos_token_id=1, is_encoder_decoder=False, decoder_start_token_id=0)
SCHEMES = [{}, {"seeding_scheme": "selfhash", "context_width": 2}, {"context_width": 2}]


def written(settings: dict[str, Any], rows: int = 2, length: int = 30) -> torch.Tensor:
    """Texts of which each next token is the likeliest one of marked noise."""
    processor = WatermarkLogitsProcessor(MODEL.vocab_size, "cpu", bias=4.0, **settings)
    generator = torch.Generator().manual_seed(0)
    text = torch.randint(2, 50, (rows, 3), generator=generator)
    for _ in range(length):
        scores = processor(text, torch.randn(rows, 50, generator=generator))
        text = torch.cat([text, scores.argmax(-1, keepdim=True)], 1)
    return text


@pytest.mark.parametrize("settings", SCHEMES)
@pytest.mark.parametrize("once", [False, True])
def test_a_detector_finds_what_the_reference_finds(settings: dict[str, Any], once: bool) -> None:
    config = WatermarkingConfig(**settings)
    mine = WatermarkDetector(MODEL, "cpu", config, ignore_repeated_ngrams=once)
    other = theirs.WatermarkDetector(MODEL, "cpu", config.to_dict(), ignore_repeated_ngrams=once)
    plain = torch.randint(2, 50, (2, 33), generator=torch.Generator().manual_seed(1))
    for text in (
        written(settings),
        plain,
        torch.cat([torch.ones(2, 1, dtype=torch.int64), plain % 5 + 2], 1),
    ):
        found, expected = mine(text, return_dict=True), other(text, return_dict=True)
        for name, value in vars(expected).items():
            torch.testing.assert_close(
                torch.as_tensor(getattr(found, name)), torch.as_tensor(value), check_dtype=False
            )
    assert mine(written(settings)).all()
    assert not mine(plain).any()


def test_texts_that_cannot_be_judged_are_named() -> None:
    detector = WatermarkDetector(MODEL, "cpu", WatermarkingConfig(context_width=3))
    with pytest.raises(ValueError, match="some texts begin with the token"):
        detector(torch.tensor([[1, 4, 5, 6, 7], [4, 5, 6, 7, 8]]))
    with pytest.raises(ValueError, match="more than the 3 tokens"):
        detector(torch.tensor([[1, 4, 5, 6]]))


def test_a_judge_of_tournaments_sees_coins_and_what_counts() -> None:
    processor = SynthIDTextWatermarkLogitsProcessor(3, [5, 6], 64, 1, 8, "cpu")
    text = torch.randint(2, 6, (3, 20), generator=torch.Generator().manual_seed(1))
    seen = [
        detector(lambda *given: given, processor, SimpleNamespace(eos_token_id=5))(text)
        for detector in (SynthIDTextWatermarkDetector, theirs.SynthIDTextWatermarkDetector)
    ]
    assert all(torch.equal(mine, other) for mine, other in zip(*seen, strict=True))
    assert seen[0][1].any()
    assert not seen[0][1].all()
