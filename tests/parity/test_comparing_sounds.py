"""CLAP beside the reference: spectra and crops, the processor, labels of the caller's own, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import formers
from tests.parity.shapes import inputs_of
from tests.parity.speech_shapes import MORE
from tests.parity.test_sounds import _same

RATE = 48000
TASK = "zero-shot-audio-classification"
SIZES = {"feature_size": 8, "max_length_s": 1, "fft_window_size": 256, "frequency_max": 20000}
LABELS = ["a dog", "rain"]


def _wave(seconds: float) -> Any:
    draw = np.random.default_rng(int(100 * seconds))
    return draw.normal(0, 0.1, int(seconds * RATE)).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("compared")
    torch.manual_seed(0)
    config = transformers.ClapConfig(**MORE["clap"]["fused"])
    transformers.ClapModel(config).save_pretrained(made)
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {word: i for i, word in enumerate(["<pad>", "<s>", "</s>", "<unk>", *"adginorsf."])}
    backend = Tokenizer(models.BPE(words, [], unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    named: dict[str, Any] = {
        "pad_token": "<pad>",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
    }
    named["model_input_names"] = ["input_ids", "attention_mask"]
    transformers.PreTrainedTokenizerFast(tokenizer_object=backend, **named).save_pretrained(made)
    transformers.ClapFeatureExtractor(**SIZES).save_pretrained(made)
    return made


@pytest.mark.filterwarnings("ignore:At least one mel filter")
@pytest.mark.parametrize("kind", ["fusion", "rand_trunc"])
@pytest.mark.parametrize("padding", ["repeatpad", "repeat", "pad"])
def test_spectra_and_the_crops_of_long_sounds_are_the_same_by_the_same_seed(kind: str, padding: str) -> None:
    settings = {**SIZES, "feature_size": 64, "truncation": kind, "padding": padding}
    theirs, ours = (kit.ClapFeatureExtractor(**settings) for kit in (transformers, formers))
    assert ours.to_dict() == {name: one for name, one in theirs.to_dict().items() if one is not None}
    for sounds in ([_wave(0.3), _wave(1.0)], [_wave(1.004), _wave(2.71), _wave(0.4)]):
        made = []
        for one in (theirs, ours):
            np.random.seed(3)  # noqa: NPY002  (both draw from it)
            made.append(one(sounds, sampling_rate=RATE, return_tensors="np"))
        _same(*made)


def test_what_is_no_sound_no_pattern_or_no_crop_is_refused(folder: Path) -> None:
    ours = formers.ClapFeatureExtractor(**SIZES)
    with pytest.raises(ValueError, match="'fusion' or 'rand_trunc'"):
        ours(_wave(1), sampling_rate=RATE, truncation="middle")
    with pytest.raises(ValueError, match="'repeatpad'"):
        ours(_wave(1), sampling_rate=RATE, padding="longest")
    model = formers.ClapModel.from_pretrained(folder)
    given = inputs_of(model)
    for wrong, says in (
        ({"is_longer": None}, "is_longer"),
        ({"input_features": given["input_features"][:, :1]}, r"\[B, 4, time, 8\]"),
        ({"input_features": torch.zeros(4, 4, 500, 8)}, "128 at most"),
        ({"input_features": None}, "input_features must be given too"),
    ):
        with pytest.raises(ValueError, match=says):
            model(**{**given, **wrong})
    for odd, says in (
        ({"num_mel_bins": 60}, "no multiple"),
        ({"patch_size": 7}, "do not fill"),
        ({"enable_fusion": True, "fusion_type": "channel_map"}, "channel_map"),
        ({"enable_fusion": True, "patch_embed_input_channels": 2}, "not with 2"),
    ):
        with pytest.raises(ValueError, match=says):
            formers.ClapAudioModel(formers.ClapAudioConfig(**odd))


def test_vectors_of_either_tower_are_those_of_the_reference(folder: Path) -> None:
    theirs, ours = (kit.ClapModel.from_pretrained(folder).eval() for kit in (transformers, formers))
    given = inputs_of(ours)
    texts = {name: given[name] for name in ("input_ids", "attention_mask")}
    sounds = {name: given[name] for name in ("input_features", "is_longer")}
    with torch.no_grad():
        for method, read in (("get_text_features", texts), ("get_audio_features", sounds)):
            expected, found = (getattr(one, method)(**read).pooler_output for one in (theirs, ours))
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_labels_of_the_callers_own_are_scored_as_the_reference_scores_them(folder: Path) -> None:
    ours = formers.pipeline(TASK, model=str(folder), device="cpu")
    theirs = transformers.pipeline(TASK, model=str(folder), device="cpu")
    assert type(formers.pipeline(model=str(folder), device="cpu")) is type(ours)
    waves = [_wave(0.5), _wave(0.9)]  # of long ones with few bins the reference makes none
    for template in ({"hypothesis_template": "so {}"}, {"hypothesis_template": "{}"}):
        asked: dict[str, Any] = {"candidate_labels": LABELS, **template}
        made = []
        for pipe in (theirs, ours):
            np.random.seed(5)  # noqa: NPY002
            made.append([pipe(wave, **asked) for wave in waves])
        for expected, found in zip(*made, strict=True):
            assert [one["label"] for one in found] == [one["label"] for one in expected]
            assert [one["score"] for one in found] == pytest.approx([e["score"] for e in expected], abs=1e-5)
    assert (
        len(
            ours(
                [_wave(0.5), _wave(0.7)], candidate_labels="dog, rain", hypothesis_template="{}", batch_size=2
            )
        )
        == 2
    )
    with pytest.raises(ValueError, match="candidate_labels"):
        ours(_wave(0.5))


def test_the_processor_keeps_texts_beside_sounds(folder: Path) -> None:
    theirs, ours = (kit.ClapProcessor.from_pretrained(folder) for kit in (transformers, formers))
    given = {"text": LABELS, "return_tensors": "pt", "padding": True, "sampling_rate": RATE}
    expected = theirs(audio=_wave(0.5), **given)
    found = ours(audios=_wave(0.5), **given)
    assert set(found) == set(expected)
    for name in found:
        torch.testing.assert_close(found[name], expected[name], atol=1e-4, rtol=1e-4)
