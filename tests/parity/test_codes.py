"""Sounds as codes, beside the reference: codes and sounds alike, chunk by chunk, and what prepares sounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import formers
from tests.parity.voice_shapes import CODES

CASES = CODES["encodec"]


@pytest.fixture(scope="module", params=CASES)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """The reference's model and ours, from one folder."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("encodec")
    theirs = transformers.EncodecModel(transformers.EncodecConfig(**CASES[request.param])).eval()
    for name, value in theirs.state_dict().items():
        if name.endswith("embed"):
            value.normal_()
        elif value.is_floating_point():
            value.add_(torch.randn_like(value) * 0.05)
    theirs.save_pretrained(folder)
    return theirs, formers.AutoModel.from_pretrained(folder)


def _sounds(model: Any, samples: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(samples)
    mask = torch.ones(2, samples, dtype=torch.long)
    mask[1, samples * 2 // 3 :] = 0
    return torch.randn(2, model.config.audio_channels, samples, generator=generator), mask


@pytest.mark.parametrize("samples", [5, 777, 1003])
@torch.no_grad()
def test_codes_and_sounds_are_the_references(pair: tuple[Any, Any], samples: int) -> None:
    theirs, ours = pair
    sounds, mask = _sounds(ours, samples)
    for given in ({}, {"padding_mask": mask}, {"bandwidth": 20.0}):
        expected, found = (model(sounds, **given) for model in pair)
        assert torch.equal(found.audio_codes, expected.audio_codes)
        torch.testing.assert_close(found.audio_values, expected.audio_values, atol=1e-5, rtol=1e-5)
        coded, ours_coded = (model.encode(sounds, return_dict=False, **given) for model in pair)
        assert torch.equal(ours_coded[0], coded[0])
        assert ours_coded[2] == coded[2]
        heard = [
            model.decode(*part[:2], last_frame_pad_length=part[2]).audio_values
            for model, part in ((theirs, coded), (ours, ours_coded))
        ]
        torch.testing.assert_close(*heard, atol=1e-5, rtol=1e-5)


def test_files_have_the_references_names(pair: tuple[Any, Any], tmp_path: Path) -> None:
    theirs, ours = pair
    assert set(ours.state_dict()) == set(theirs.state_dict())
    ours.save_pretrained(tmp_path)
    again = transformers.EncodecModel.from_pretrained(tmp_path).state_dict()
    assert all(torch.equal(again[name], value) for name, value in theirs.state_dict().items())


def test_gradients_are_the_references(pair: tuple[Any, Any]) -> None:
    sounds, _ = _sounds(pair[1], 300)
    grown = []
    for model in pair:
        codes, scales, behind = model.encode(sounds, return_dict=False)
        heard = model.decode(codes, scales, last_frame_pad_length=behind).audio_values
        heard.square().sum().backward()
        grown.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
        model.zero_grad()
    expected, found = grown
    assert set(found) == set(expected) != set()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-4, rtol=1e-4, msg=name)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"input_values": torch.zeros(1, 900)}, "input_values have shape"),
        ({"input_values": torch.zeros(1, 3, 900)}, "input_values have shape"),
        ({"input_values": torch.zeros(1, 1, 900).long()}, "input_values are floating"),
        ({"bandwidth": 6.0}, "bandwidth=6.0 is none of this model's"),
        ({"padding_mask": torch.ones(1, 30)}, "padding_mask .1, 30. does not fit"),
        ({"audio_codes": torch.zeros(1, 1, 1, 4).long()}, "audio_codes and audio_scales go together"),
        ({"audio_codes": torch.full((1, 1, 1, 4), 16), "audio_scales": [None]}, "at most 6 books of 16"),
        ({"audio_codes": torch.zeros(2, 1, 1, 4).long(), "audio_scales": [None]}, "there are 2 chunks and 1"),
    ],
)
def test_what_is_no_sound_is_refused(given: dict[str, Any], says: str) -> None:
    model = formers.EncodecModel(formers.EncodecConfig(**CASES["plain"]))
    with pytest.raises((TypeError, ValueError), match=says):
        model(**{"input_values": torch.zeros(1, 1, 900), **given})


@pytest.fixture(scope="module")
def dac(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """The reference's DAC and ours, from one folder."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("dac")
    theirs = transformers.DacModel(transformers.DacConfig(**CODES["dac"]["plain"])).eval()
    with torch.no_grad():
        for value in theirs.parameters():
            value.add_(torch.randn_like(value) * 0.1)
    theirs.save_pretrained(folder)
    return theirs, formers.AutoModel.from_pretrained(folder)


@pytest.mark.parametrize("samples", [480, 1001])
@torch.no_grad()
def test_dac_codes_as_the_reference(dac: tuple[Any, Any], samples: int) -> None:
    theirs, ours = dac
    sounds = torch.randn(3, 1, samples, generator=torch.Generator().manual_seed(1))
    assert set(ours.state_dict()) == set(theirs.state_dict())
    for given in ({}, {"n_quantizers": 2}):
        expected, found = (model(sounds, **given) for model in dac)
        assert list(found) == list(expected)
        for name in expected:
            torch.testing.assert_close(found[name], expected[name], atol=1e-5, rtol=1e-5)
        coded, heard = ours.encode(sounds, **given), []
        for model in dac:
            heard.append(model.decode(audio_codes=coded.audio_codes).audio_values)
            heard.append(model.decode(coded.quantized_representation).audio_values)
        for one in heard[1:]:
            torch.testing.assert_close(one, heard[0], atol=1e-5, rtol=1e-5)


def test_dac_learns_as_the_reference(dac: tuple[Any, Any]) -> None:
    sounds = torch.randn(3, 1, 200, generator=torch.Generator().manual_seed(1))
    grown = []
    for model in dac:
        model.train()
        torch.manual_seed(4)  # for which sounds fewer books count
        found = model(sounds)
        (found.loss.sum() + found.audio_values.square().sum()).backward()
        grown.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
        model.eval().zero_grad()
    expected, found = grown
    assert set(found) == set(expected)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=1e-5, msg=name)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"n_quantizers": 5}, "n_quantizers is a whole number from 1 to 4, not 5"),
        ({"input_values": torch.zeros(2, 90)}, "input_values have shape .B, 1, samples."),
    ],
)
def test_what_dac_cannot_code_is_refused(dac: tuple[Any, Any], given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        dac[1](**{"input_values": torch.zeros(1, 1, 90), **given})
    with pytest.raises(ValueError, match="give quantized_representation or audio_codes"):
        dac[1].decode()


def test_sounds_for_dac_are_whole_hops(tmp_path: Path) -> None:
    transformers.DacFeatureExtractor(hop_length=48).save_pretrained(tmp_path)
    theirs = transformers.DacFeatureExtractor.from_pretrained(tmp_path)
    ours = formers.AutoFeatureExtractor.from_pretrained(tmp_path)
    sounds = [np.random.default_rng(n).normal(size=n).astype("f4") for n in (1000, 700)]
    for given in (sounds, sounds[0]):
        expected, found = (one(raw_audio=given, sampling_rate=16_000) for one in (theirs, ours))
        assert set(found) == set(expected)
        for name in expected:
            np.testing.assert_array_equal(np.stack(found[name]), np.stack(expected[name]))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"chunk_length_s": 0.1, "overlap": 0.25},
        {"feature_size": 2, "chunk_length_s": 0.1, "overlap": 0.01},
    ],
    ids=["whole", "chunks", "stereo"],
)
@pytest.mark.parametrize("how", [{}, {"truncation": True, "max_length": 2000}, {"padding": False}])
def test_sounds_are_prepared_alike(tmp_path: Path, settings: dict[str, Any], how: dict[str, Any]) -> None:
    theirs = transformers.EncodecFeatureExtractor(**settings)
    theirs.save_pretrained(tmp_path)
    ours = formers.AutoFeatureExtractor.from_pretrained(tmp_path)
    draw, stereo = np.random.default_rng(0), settings.get("feature_size") == 2
    sounds = [draw.normal(size=(2, n) if stereo else n).astype("f4") for n in (3000, 5000)]
    for given in (sounds, sounds[0]):
        expected = theirs(given, sampling_rate=24_000, **how)
        found = ours(raw_audio=given, sampling_rate=24_000, **how)
        assert set(found) == set(expected)
        for name in expected:
            for one, two in zip(found[name], expected[name], strict=True):
                np.testing.assert_array_equal(one, two)


def test_one_channel_is_no_sound_for_two() -> None:
    ours = formers.EncodecFeatureExtractor(feature_size=2)
    with pytest.raises(ValueError, match="must be an array .2, T., a row for each channel"):
        ours(np.zeros(100, "f4"), sampling_rate=24_000)
