"""audio-classification beside the reference's pipeline: scores, labels, batches, sounds in every form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
import transformers

import formers
from tests.generation.small_spelling import write
from tests.parity.speech_shapes import SHAPES
from tests.parity.test_pipelines_speech import RATE, _wave

TASK = "audio-classification"


@pytest.fixture(scope="module", params=[False, True], ids=["masks", "no masks"])
def pair(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    folder: Path = tmp_path_factory.mktemp("labelled")
    write(folder, "ForSequenceClassification", grouped=request.param, num_labels=7)
    theirs = transformers.pipeline(TASK, model=str(folder), device="cpu")
    return theirs, formers.pipeline(model=str(folder), device="cpu")


def _close(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    assert [one["label"] for one in found] == [one["label"] for one in expected]
    assert [one["score"] for one in found] == pytest.approx([one["score"] for one in expected], abs=1e-5)


def test_answers_are_those_of_the_reference(pair: tuple[Any, Any]) -> None:
    theirs, ours = pair
    assert type(ours) is formers.AudioClassificationPipeline
    for asked in ({}, {"top_k": 3}, {"top_k": 99}, {"function_to_apply": "sigmoid"}):
        _close(ours(_wave(0.2), **asked), theirs(_wave(0.2), **asked))
    _close(
        ours(_wave(0.2), function_to_apply="none", top_k=2), theirs(_wave(0.2), function_to_apply="none")[:2]
    )


def test_sounds_side_by_side_are_labelled_as_alone(pair: tuple[Any, Any]) -> None:
    ours, waves = pair[1], [_wave(0.1, 1), _wave(0.2, 2), _wave(0.1, 3)]
    for found, wave in zip(ours(waves, batch_size=3), waves, strict=True):
        _close(found, ours(wave))
    for found, wave in zip(ours(iter(waves), top_k=1), waves, strict=True):
        _close(found, ours(wave)[:1])


def test_sounds_come_in_every_form_and_the_constructor_has_defaults(
    pair: tuple[Any, Any], tmp_path: Path
) -> None:
    given = {"feature_extractor": pair[1].feature_extractor, "top_k": 1}
    ours, wave = formers.AudioClassificationPipeline(pair[1].model, **given), _wave(0.1)
    soundfile.write(tmp_path / "one.wav", wave, RATE, subtype="FLOAT")
    expected = pair[1](wave)[:1]
    named = {"raw": wave, "sampling_rate": RATE}
    for form in (wave, tmp_path / "one.wav", (tmp_path / "one.wav").read_bytes(), named):
        _close(ours(form), expected)
    assert len(ours(wave, top_k=None)) == 7
    for wrong in ({"top_k": 0}, {"function_to_apply": "tanh"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            ours(wave, **wrong)
    with pytest.raises(ValueError, match="needs feature_extractor="):
        formers.AudioClassificationPipeline(pair[1].model)


def test_spectrograms_are_labelled_as_the_reference_labels_them(tmp_path: Path) -> None:
    torch.manual_seed(0)
    (shape,) = SHAPES["audio-spectrogram-transformer"].values()
    config = transformers.ASTConfig(**shape, num_labels=5)
    model = transformers.ASTForAudioClassification(config)
    model.save_pretrained(tmp_path)
    sizes = {"num_mel_bins": config.num_mel_bins, "max_length": config.max_length}
    transformers.ASTFeatureExtractor(**sizes).save_pretrained(tmp_path)
    ours = formers.pipeline(model=str(tmp_path), device="cpu")
    theirs = transformers.pipeline(TASK, model=str(tmp_path), device="cpu")
    waves = [_wave(0.1, 1), _wave(0.4, 2)]
    for found, wave in zip(ours(waves, batch_size=2), waves, strict=True):
        _close(found, theirs(wave))
    with pytest.raises(ValueError, match=r"must have shape \[B, 15, 11\], not \[1, 11, 15\]"):
        ours.model(torch.zeros(1, 11, 15))
    with pytest.raises(TypeError, match="a tensor \\[B, frames, bins\\], not list"):
        ours.model([[0.0]])
