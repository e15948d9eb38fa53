"""Feature extractors beside the reference's, over sounds of every kind, and what they are made of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformers import audio_utils

import formers
from formers.processing.audio import spectra

RATE = 16000
DRAWN = np.random.default_rng(0)
TIME = np.arange(RATE) / RATE
CLICKS = np.zeros(RATE, np.float32)
CLICKS[::997] = 1

SOUNDS = {
    "silence": np.zeros(8000, np.float32),
    "one sample": np.full(1, 0.5, np.float32),
    "clicks": CLICKS,
    # a tone that stays has bins that are constant but for rounding, and deviations show nothing else
    "a tone that fades": (np.sin(880 * np.pi * TIME) * np.exp(-3 * TIME)).astype(np.float32),
    "noise": DRAWN.normal(0, 0.1, 12345).astype(np.float32),
    "loud": DRAWN.normal(0, 30, 5000).astype(np.float32),
    "faint": DRAWN.normal(0, 1e-6, 5000).astype(np.float32),
    "a constant": np.full(7000, 0.25, np.float32),
    "a sweep in float64": np.sin(np.pi * 4000 * TIME**2),
    "24 bit": np.round(DRAWN.normal(0, 0.1, 4000) * 2**23) / 2**23,
    "a list of numbers": DRAWN.normal(0, 0.1, 3000).tolist(),
}
KINDS = ("AST", "Parakeet", "SeamlessM4T", "Speech2Text", "Wav2Vec2", "Whisper")


def _pair(kind: str, **settings: Any) -> tuple[Any, Any]:
    name = f"{kind}FeatureExtractor"
    return getattr(transformers, name)(**settings), getattr(formers, name)(**settings)


def _same(theirs: Any, ours: Any, tolerance: float = 1e-4) -> None:
    assert set(ours) == set(theirs)
    for name, expected in theirs.items():
        if isinstance(expected, list) and len({np.shape(one) for one in expected}) > 1:
            for row, wanted in zip(ours[name], expected, strict=True):
                np.testing.assert_allclose(row, wanted, atol=tolerance, rtol=1e-4)
            continue
        expected, found = np.asarray(expected), np.asarray(ours[name])
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, atol=tolerance, rtol=1e-4)


# sounds shorter than a frame, and lists, on which the reference fails; bins without deviation, by which it
# divides, or with none but what rounding leaves
WITHOUT = {
    "AST": ("one sample",),
    "Parakeet": ("one sample", "faint", "a list of numbers"),
    "SeamlessM4T": ("one sample",),
    "Speech2Text": ("one sample", "silence", "a constant"),
}


@pytest.mark.parametrize(
    ("kind", "sound"), [(kind, one) for kind in KINDS for one in SOUNDS if one not in WITHOUT.get(kind, ())]
)
@pytest.mark.filterwarnings("ignore:At least one mel filter")
def test_every_sound_becomes_what_the_reference_makes_of_it(kind: str, sound: str) -> None:
    theirs, ours = _pair(kind, chunk_length=2) if kind == "Whisper" else _pair(kind)
    given = SOUNDS[sound]
    _same(theirs(given, sampling_rate=RATE), ours(given, sampling_rate=RATE))


def test_what_is_shorter_than_a_frame_or_of_another_rate_is_read_or_refused() -> None:
    banks = formers.Speech2TextFeatureExtractor()
    assert not np.any(banks(SOUNDS["silence"], sampling_rate=RATE)["input_features"])
    found = formers.ASTFeatureExtractor(do_normalize=False)(SOUNDS["one sample"], sampling_rate=RATE)
    assert not np.any(found["input_values"])
    with pytest.raises(formers.processing.BadSound, match="shorter than one frame"):
        banks(SOUNDS["one sample"], sampling_rate=RATE)
    with pytest.raises(ValueError, match="resampled here"):
        banks(SOUNDS["silence"], sampling_rate=8000)
    slow = {"array": SOUNDS["noise"], "sampling_rate": 8000}
    assert len(formers.Wav2Vec2FeatureExtractor()(slow)["input_values"][0]) == 2 * len(SOUNDS["noise"])
    with pytest.raises(TypeError, match="did you mean 'padding'"):
        banks(SOUNDS["silence"], sampling_rate=RATE, paddin=True)


@pytest.mark.parametrize(
    ("kind", "settings", "call"),
    [
        ("Wav2Vec2", {}, {"padding": True}),
        ("Wav2Vec2", {"return_attention_mask": True}, {"padding": "longest", "pad_to_multiple_of": 320}),
        ("Wav2Vec2", {"do_normalize": False}, {"padding": "max_length", "max_length": 9000, "truncation": 1}),
        ("Wav2Vec2", {"padding_side": "left", "padding_value": 0.5}, {"padding": True}),
        ("Wav2Vec2", {}, {"padding": False}),
        ("Whisper", {"feature_size": 128}, {}),
        ("Whisper", {}, {"padding": "longest", "truncation": False, "return_attention_mask": True}),
        ("Whisper", {}, {"do_normalize": True, "return_attention_mask": True}),
        ("Whisper", {}, {"padding": "max_length", "max_length": 9001, "return_attention_mask": True}),
        ("Speech2Text", {}, {"padding": True}),
        ("Speech2Text", {"normalize_vars": False}, {"padding": "max_length", "max_length": 120}),
        ("Parakeet", {"feature_size": 128, "win_length": 320}, {}),
        ("Parakeet", {"preemphasis": None}, {"padding": "max_length", "max_length": 20000}),
        ("SeamlessM4T", {}, {}),
        ("SeamlessM4T", {"stride": 3}, {"do_normalize_per_mel_bins": False, "pad_to_multiple_of": 7}),
        ("AST", {"max_length": 50, "num_mel_bins": 40}, {}),
        ("AST", {"do_normalize": False}, {}),
    ],
)  # fmt: skip
def test_batches_are_padded_and_cut_as_the_reference_does(
    kind: str, settings: dict[str, Any], call: dict[str, Any]
) -> None:
    if kind == "Whisper":
        settings = {"chunk_length": 2, **settings}
    theirs, ours = _pair(kind, **settings)
    sounds = [SOUNDS["noise"], CLICKS, np.asarray(SOUNDS["24 bit"], np.float32)]
    _same(theirs(sounds, sampling_rate=RATE, **call), ours(sounds, sampling_rate=RATE, **call))
    if call.get("padding") is not False:
        tensors = {**call, "sampling_rate": RATE, "return_tensors": "pt"}
        expected, found = theirs(sounds, **tensors), ours(sounds, **tensors)
        assert all(isinstance(found[name], torch.Tensor) for name in expected)
        assert {n: v.dtype for n, v in found.items()} == {n: v.dtype for n, v in expected.items()}


def test_rows_that_were_prepared_one_by_one_are_padded_together() -> None:
    theirs, ours = _pair("Wav2Vec2", return_attention_mask=True)
    rows = [{"input_values": SOUNDS["noise"].tolist()}, {"input_values": SOUNDS["24 bit"]}]
    for call in ({}, {"padding": "max_length", "max_length": 20000, "return_tensors": "pt"}):
        _same(theirs.pad([dict(one) for one in rows], **call), ours.pad(rows, **call))
    assert list(ours.pad([])["input_values"]) == []


@pytest.mark.parametrize("kind", KINDS)
def test_settings_travel_both_ways(kind: str, tmp_path: Path) -> None:
    theirs, ours = _pair(kind, sampling_rate=8000)
    ours.save_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    written, wanted = (
        json.loads((tmp_path / one / "preprocessor_config.json").read_text()) for one in ("ours", "theirs")
    )
    assert written == {name: value for name, value in wanted.items() if name in written}
    assert set(wanted) - set(written) <= {"mel_filters", "window"}
    again = formers.AutoFeatureExtractor.from_pretrained(tmp_path / "theirs")
    assert type(again).__name__ == f"{kind}FeatureExtractor"
    assert again.to_dict() == ours.to_dict()
    back = transformers.AutoFeatureExtractor.from_pretrained(tmp_path / "ours")
    _same(back(CLICKS, sampling_rate=8000), again(CLICKS, sampling_rate=8000))


def test_extractors_are_found_by_the_model_type_and_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text('{"feature_size": 1, "sampling_rate": 16000}')
    (tmp_path / "config.json").write_text('{"model_type": "wav2vec2"}')
    found = formers.AutoFeatureExtractor.from_pretrained(tmp_path, do_normalize=False)
    assert type(found) is formers.Wav2Vec2FeatureExtractor
    assert found.do_normalize is False
    (tmp_path / "preprocessor_config.json").write_text('{"feature_extractor_type": "OtherFeatureExtractor"}')
    with pytest.raises(ValueError, match="OtherFeatureExtractor .* not part of this version"):
        formers.AutoFeatureExtractor.from_pretrained(tmp_path)


@pytest.mark.parametrize("scale", ["htk", "kaldi", "slaney"])
def test_mel_scales_and_filters_are_those_of_the_reference(scale: str) -> None:
    hertz = np.array([0.0, 20.0, 999.0, 1000.0, 4000.0, 8000.0])
    expected = audio_utils.hertz_to_mel(hertz, scale)
    np.testing.assert_allclose(spectra.hertz_to_mel(hertz, scale), expected)
    np.testing.assert_allclose(spectra.mel_to_hertz(expected, scale), hertz, atol=1e-9)
    assert spectra.hertz_to_mel(440.0, scale) == pytest.approx(audio_utils.hertz_to_mel(440.0, scale))
    for norm, inside in ((None, False), ("slaney", False), (None, True)):
        given = (201, 24, 20.0, 8000.0, RATE, norm, scale, inside)
        found = spectra.mel_filter_bank(*given)
        np.testing.assert_allclose(found, audio_utils.mel_filter_bank(*given), atol=1e-12)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"power": None, "onesided": False},
        {"power": 2.0, "center": False, "preemphasis": 0.97, "remove_dc_offset": True, "fft_length": 512},
        {"power": 2.0, "log_mel": "dB", "db_range": 60.0, "pad_mode": "constant"},
        {"power": 1.0, "log_mel": "dB", "db_range": 60.0, "reference": 2.0},
        {"power": 2.0, "log_mel": "log10"},
    ],
)
def test_spectra_are_those_of_the_reference(settings: dict[str, Any]) -> None:
    for name in ("hann", "hamming", "povey", "boxcar"):
        window = spectra.window_function(400, name)
        np.testing.assert_allclose(window, audio_utils.window_function(400, name), atol=1e-15)
    given = (SOUNDS["noise"], window, 400, 160)
    filters = {} if settings.get("power", 2) is None else {"mel_filters": audio_utils.mel_filter_bank(
        settings.get("fft_length", 400) // 2 + 1, 24, 20.0, 8000.0, RATE)}  # fmt: skip
    expected = audio_utils.spectrogram(*given, **settings, **filters)
    found = formers.spectrogram(*given, **settings, **filters)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
