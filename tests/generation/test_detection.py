"""Watermarks are found again."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
from transformers.generation import watermarking as theirs

from formers.generation.bayesian import BayesianDetectorConfig, BayesianDetectorModel
from formers.generation.processors.watermarks import (
    SynthIDTextWatermarkLogitsProcessor,
    WatermarkLogitsProcessor,
)
from formers.generation.watermarking import SynthIDTextWatermarkDetector, WatermarkDetector
from formers.generation.watermarks import SynthIDTextWatermarkingConfig, WatermarkingConfig

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


def coins(rows: int, length: int = 30, depth: int = 4, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Coins of texts and which of them count; those of each second text are one more often."""
    generator = torch.Generator().manual_seed(seed)
    chance = torch.tensor([0.5, 0.7]).repeat(rows)[:rows, None, None].expand(rows, length, depth)
    mask = torch.rand(rows, length, generator=generator) > 0.2
    return torch.bernoulli(chance, generator=generator).long(), mask


def test_a_learned_judge_says_learns_and_keeps_what_the_reference_does(tmp_path: Path) -> None:
    torch.manual_seed(0)
    other = transformers.BayesianDetectorModel(
        transformers.BayesianDetectorConfig(watermarking_depth=4, base_rate=0.3)
    )
    with torch.no_grad():
        other.likelihood_model_watermarked.delta.normal_()
    other.config.set_detector_information("a model", {"ngram_len": 3, "keys": [1, 2, 3, 4]})
    other.save_pretrained(tmp_path / "theirs")
    mine = BayesianDetectorModel.from_pretrained(tmp_path / "theirs")
    assert mine.config.watermarking_config == other.config.watermarking_config
    values, mask = coins(5)
    labels = torch.tensor([0.0, 1.0, 0.0, 1.0, 0.0])
    found, expected = (m(values, mask, labels, 0.1, return_dict=True) for m in (mine, other))
    torch.testing.assert_close(found.posterior_probabilities, expected.posterior_probabilities)
    torch.testing.assert_close(found.loss, expected.loss)
    for one in (found, expected):
        one.loss.backward()
    gradients = dict(other.named_parameters())
    for name, value in mine.named_parameters():
        torch.testing.assert_close(value.grad, gradients[name].grad)
    torch.testing.assert_close(mine(values, mask)[0], other(values, mask)[0])
    mine.save_pretrained(tmp_path / "mine")
    files = [(tmp_path / who / "model.safetensors").read_bytes() for who in ("mine", "theirs")]
    assert files[0] == files[1]
    again = transformers.BayesianDetectorModel.from_pretrained(tmp_path / "mine")
    torch.testing.assert_close(again(values, mask)[0], mine(values, mask)[0])


def test_a_judge_learns_to_tell_marked_texts() -> None:
    torch.manual_seed(0)
    settings = SynthIDTextWatermarkingConfig(ngram_len=3, keys=[3, 5, 7, 11])
    config = BayesianDetectorConfig(watermarking_depth=len(settings.keys))
    config.set_detector_information("a model", settings)
    judge = BayesianDetectorModel(config)
    labels, optimizer = torch.tensor([0.0, 1.0]).repeat(20), torch.optim.Adam(judge.parameters(), 0.1)
    for _ in range(40):
        _, loss = judge(*coins(40), labels, loss_batch_weight=0.01)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert config.watermarking_config is not None
    marks = SynthIDTextWatermarkingConfig(**config.watermarking_config).construct_processor(50, "cpu")
    text = torch.randint(2, 50, (4, 3), generator=torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(2)
    for _ in range(60):
        scores = torch.randn(4, 50, generator=generator)
        shares = torch.cat([scores[:2], marks(text, scores)[2:]]).softmax(-1)
        text = torch.cat([text, torch.multinomial(shares, 1, generator=generator)], 1)
    (found,) = SynthIDTextWatermarkDetector(judge, marks, SimpleNamespace(eos_token_id=0))(text)
    assert found[2:].min() > 0.9
    assert found[:2].max() < 0.1


def test_a_judge_needs_to_know_how_many_rounds_there_are() -> None:
    with pytest.raises(ValueError, match="as many as SynthIDTextWatermarkingConfig has keys"):
        BayesianDetectorModel(BayesianDetectorConfig())
