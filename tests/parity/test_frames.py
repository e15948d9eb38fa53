"""Sounds as codes of frames, beside the reference: whole, as streams, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import formers
from tests.parity.voice_shapes import FRAMED, SIDES

CASES = FRAMED["mimi"]


@pytest.fixture(scope="module", params=CASES)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """The reference's model and ours, from one folder."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("mimi")
    theirs = transformers.MimiModel(transformers.MimiConfig(**CASES[request.param])).eval()
    theirs.set_attn_implementation("eager")
    for name, value in theirs.state_dict().items():
        if name.endswith("embed_sum"):
            value.normal_()
        elif name.endswith("cluster_usage"):
            value.uniform_(0.5, 2.0)
        elif value.is_floating_point() and not name.endswith("initialized"):
            value.add_(torch.randn_like(value) * 0.1)
    theirs.save_pretrained(folder)
    return theirs, formers.AutoModel.from_pretrained(folder)


def _sounds(model: Any, samples: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(samples)
    return torch.randn(2, model.config.audio_channels, samples, generator=generator)


def _newer(model: Any) -> dict[str, torch.Tensor]:
    """What a model holds, by the names in files."""
    held = {}
    for name, value in model.state_dict().items():
        for half, layers in (("encoder", "encoder_transformer"), ("decoder", "decoder_transformer")):
            name = name.replace(f"{half}.{half}_seanet.", f"{half}.").replace(
                f"{half}.{layers}.", f"{layers}."
            )
        name = name.replace("encoder.downsample.", "downsample.").replace("decoder.upsample.", "upsample.")
        held[name] = value
    return held


@pytest.mark.parametrize("samples", [5, 640, 1003])
@torch.no_grad()
def test_codes_and_sounds_are_the_references(pair: tuple[Any, Any], samples: int) -> None:
    theirs, ours = pair
    sounds, books = _sounds(ours, samples), ours.config.num_quantizers
    for given in ({}, {"num_quantizers": 2}, {"padding_mask": torch.ones(2, samples - 2)}):
        expected, found = (model(sounds, **given) for model in pair)
        assert torch.equal(found.audio_codes, expected.audio_codes)
        torch.testing.assert_close(found.audio_values, expected.audio_values, atol=1e-5, rtol=1e-5)
    asked = {"output_hidden_states": True, "output_attentions": True}
    coded = [model.encode(sounds, **asked) for model in pair]
    for name in ("hidden_states", "attentions"):
        for one, two in zip(coded[1][name], coded[0][name], strict=True):
            torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-5)
    assert coded[1].audio_codes.shape[1] == books
    lengths = [model.get_encoded_length(torch.tensor([samples, 3])) for model in pair]
    assert torch.equal(*lengths)
    assert int(lengths[0][0]) == coded[1].audio_codes.shape[2]
    mask = torch.ones(2, samples)
    mask[1, samples // 2 :] = 0
    for side in ("right", "left"):
        assert torch.equal(*(model.get_audio_codes_mask(mask, side) for model in pair))


@torch.no_grad()
def test_streams_are_coded_and_heard_as_in_the_reference(pair: tuple[Any, Any]) -> None:
    frame = pair[1].config.frame_size
    if not pair[1].config.use_causal_conv:
        with pytest.raises(ValueError, match="a sound is read as a stream by causal convolutions"):
            pair[1].encode(_sounds(pair[1], frame), use_streaming=True)
        return
    sounds, made, heard = _sounds(pair[1], 24 * frame), [], []
    for model in pair:
        kept: dict[str, Any] = {}
        codes, waves, cache = [], [], None
        for start, stop in ((0, 4), (4, 5), (5, 17), (17, 24)):
            out = model.encode(sounds[..., start * frame : stop * frame], use_streaming=True, **kept)
            kept = {name: out[name] for name in ("encoder_past_key_values", "padding_cache")}
            codes.append(out.audio_codes)
            said = model.decode(out.audio_codes, decoder_past_key_values=cache, use_cache=True)
            cache = said.decoder_past_key_values
            waves.append(said.audio_values)
        made.append(torch.cat(codes, dim=2))
        heard.append(torch.cat(waves, dim=2))
    assert torch.equal(made[1], made[0])
    torch.testing.assert_close(heard[1], heard[0], atol=1e-5, rtol=1e-5)
    assert torch.equal(made[1], pair[1].encode(sounds).audio_codes)  # a stream's codes are the whole's


def test_gradients_are_the_references(pair: tuple[Any, Any]) -> None:
    sounds, grown = _sounds(pair[1], 300), []
    for model in pair:
        codes = model.encode(sounds).audio_codes
        model.decode(codes).audio_values.square().sum().backward()
        model.train()
        grown.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
        model.eval()
    expected = {n.replace("decoder.decoder_seanet", "decoder"): g for n, g in grown[0].items()}
    expected = {n.replace("decoder.decoder_tr", "decoder_tr"): g for n, g in expected.items()}
    expected = {n.replace("decoder.upsample", "upsample"): g for n, g in expected.items()}
    assert set(grown[1]) == set(expected) != set()
    for name, gradient in expected.items():
        far = (grown[1][name] - gradient).abs().max() / gradient.abs().max()
        assert far < 1e-4, (name, far)  # sums over all samples


def test_files_have_the_references_names(pair: tuple[Any, Any], tmp_path: Path) -> None:
    theirs, ours = pair
    assert set(ours.state_dict()) == set(_newer(theirs))
    ours.save_pretrained(tmp_path)
    again = transformers.MimiModel.from_pretrained(tmp_path).state_dict()
    assert all(torch.equal(again[name], value) for name, value in theirs.state_dict().items())


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"input_values": torch.zeros(1, 900)}, "input_values have shape"),
        ({"input_values": torch.zeros(1, 1, 900).long()}, "input_values are floating"),
        ({"num_quantizers": 9}, "num_quantizers is a whole number from 1 to 4, not 9"),
        ({"audio_codes": torch.full((1, 4, 3), 16)}, "at most 4 books of 16"),
    ],
)
def test_what_is_no_sound_is_refused(given: dict[str, Any], says: str) -> None:
    model = formers.MimiModel(formers.MimiConfig(**CASES["plain"]))
    with pytest.raises((TypeError, ValueError), match=says):
        model(**{"input_values": torch.zeros(1, 1, 900), **given})
    with pytest.raises(ValueError, match="say what is said"):
        formers.MimiModel(formers.MimiConfig(**{**CASES["plain"], "num_semantic_quantizers": 4}))


@torch.no_grad()
def test_either_side_stands_alone(pair: tuple[Any, Any], tmp_path: Path) -> None:
    theirs, _ = pair
    theirs.save_pretrained(tmp_path / "whole")
    sound = torch.randn(2, theirs.config.audio_channels, 700, generator=torch.Generator().manual_seed(0))
    given: dict[str, Any] = {"Encoder": {"input_values": sound}, "Decoder": {}}
    asked = {"output_hidden_states": True, "output_attentions": True}
    for kind, side in SIDES.items():
        name = f"Mimi{side}Model"
        expected_model = getattr(theirs, side.lower())
        assert type(expected_model) is getattr(transformers, name)
        assert all(getattr(one, name).config_class.model_type == kind for one in (transformers, formers))
        expected_model.set_attn_implementation("eager")
        expected_model.save_pretrained(tmp_path / side)
        expected = expected_model(**given[side], **asked)
        for folder in ("whole", side):
            ours = getattr(formers, name).from_pretrained(tmp_path / folder, attn_implementation="eager")
            found = ours(**given[side], **asked)
            torch.testing.assert_close(found[0], expected[0], atol=1e-5, rtol=1e-5)
            for key in ("hidden_states", "attentions"):
                for one, other in zip(found[key], expected[key], strict=True):
                    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
        ours.save_pretrained(tmp_path / "again")
        read = [(tmp_path / at / "model.safetensors").read_bytes() for at in (side, "again")]
        assert read[0] == read[1]
        given["Decoder"] = {"latents": expected[0], "padding_mask": torch.ones(2, 1, 690)}
    with pytest.raises(ValueError, match=r"latents are floating, \[B, \d+, frames\], not \[2, 3\]"):
        ours(torch.zeros(2, 3))
