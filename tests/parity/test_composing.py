"""Music of texts, beside the reference: what codes are predicted, written and heard, and the processor."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import formers
from tests.parity.voice_shapes import COMPOSED

KINDS = {"mono": (1, 4), "stereo": (2, 8)}


def _write(folder: Path, kind: str) -> Any:
    """A small model of the reference's."""
    torch.manual_seed(0)
    channels, books = KINDS[kind]
    whole = COMPOSED["musicgen"]
    config = transformers.MusicgenConfig(
        text_encoder={**whole["text_encoder"], "d_model": 24 if kind == "mono" else 32},
        audio_encoder=whole["audio_encoder"],
        decoder={**whole["decoder"], "num_codebooks": books, "audio_channels": channels},
    )
    model = transformers.MusicgenForConditionalGeneration(config).eval()
    model.set_attn_implementation("eager")
    for name, value in model.state_dict().items():
        if name.endswith("embed"):
            value.normal_()
        elif name.startswith("audio_encoder") and value.is_floating_point():
            value.add_(torch.randn_like(value) * 0.05)
    for name in ("decoder_start_token_id", "pad_token_id", "bos_token_id"):
        setattr(model.generation_config, name, 16)
    model.save_pretrained(folder)
    return model


@pytest.fixture(scope="module", params=KINDS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """The reference's model and ours, from one folder."""
    folder = tmp_path_factory.mktemp("musicgen")
    theirs = _write(folder, request.param)
    return theirs, formers.AutoModelForTextToWaveform.from_pretrained(folder)


def _texts() -> dict[str, torch.Tensor]:
    ids = torch.randint(1, 50, (2, 7), generator=torch.Generator().manual_seed(3))
    mask = torch.ones_like(ids)
    mask[1, 4:] = 0
    return {"input_ids": ids, "attention_mask": mask}


def _codes(model: Any, steps: int) -> torch.Tensor:
    books = model.decoder.num_codebooks
    return torch.randint(0, 16, (2 * books, steps), generator=torch.Generator().manual_seed(4))


def _sounds(model: Any) -> torch.Tensor:
    channels = model.config.decoder.audio_channels
    return torch.randn(2, channels, 40, generator=torch.Generator().manual_seed(5))


def test_codes_are_predicted_as_in_the_reference(pair: tuple[Any, Any]) -> None:
    asked = {"output_hidden_states": True, "output_attentions": True}
    for given in (
        {"decoder_input_ids": _codes(pair[1], 6), **asked},
        {"input_values": _sounds(pair[1])[:, :1]},
    ):
        expected, found = (model(**_texts(), **given) for model in pair)
        assert list(found) == list(expected)
        torch.testing.assert_close(found.logits, expected.logits, atol=1e-5, rtol=1e-5)
        for name in ("decoder_hidden_states", "decoder_attentions", "cross_attentions"):
            for one, two in zip(found.get(name) or (), expected.get(name) or (), strict=True):
                torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-5)


def test_losses_and_gradients_are_the_references(pair: tuple[Any, Any]) -> None:
    books = pair[1].decoder.num_codebooks
    labels = torch.randint(0, 17, (2, 5, books), generator=torch.Generator().manual_seed(6))
    labels[0, 3:] = -100
    grown, losses = [], []
    for model in pair:
        out = model(**_texts(), decoder_input_ids=_codes(model, 6), labels=labels)
        out.loss.backward()
        losses.append(out.loss.detach())
        grown.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
        model.zero_grad()
    torch.testing.assert_close(losses[1], losses[0], atol=1e-5, rtol=1e-5)
    assert set(grown[1]) == set(grown[0])
    for name, gradient in grown[0].items():
        torch.testing.assert_close(grown[1][name], gradient, atol=1e-5, rtol=1e-4, msg=name)
    expected, found = (
        model.decoder(labels=labels, encoder_hidden_states=torch.ones(2, 3, 32)).loss for model in pair
    )
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "given",
    [
        {"max_new_tokens": 12},
        {"max_new_tokens": 12, "guidance_scale": 3.0},
        {"max_new_tokens": 9, "guidance_scale": 2.0, "sounds": True},
        {"max_new_tokens": 9, "codes": True, "use_cache": False},
        {"max_length": 5},
    ],
    ids=["plain", "guided", "goes on with sounds", "goes on with codes", "short"],
)
def test_sounds_are_made_as_in_the_reference(pair: tuple[Any, Any], given: dict[str, Any]) -> None:
    given = {"do_sample": False, **given}
    if given.pop("sounds", False):
        given["input_values"] = _sounds(pair[1])
    if given.pop("codes", False):
        given["decoder_input_ids"] = _codes(pair[1], 3)
    expected, found = (model.generate(**_texts(), **copy.deepcopy(given)) for model in pair)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_sounds_of_no_text_and_records(pair: tuple[Any, Any]) -> None:
    how = {"do_sample": False, "max_new_tokens": 10}
    expected, found = (model.generate(**model.get_unconditional_inputs(2), **how) for model in pair)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    noted = {"return_dict_in_generate": True, "output_scores": True}
    expected, found = (model.generate(**_texts(), **how, **noted) for model in pair)
    torch.testing.assert_close(found.sequences, expected.sequences, atol=1e-5, rtol=1e-5)
    for one, two in zip(found.scores, expected.scores, strict=True):
        torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-5)
    books = pair[1].decoder.num_codebooks
    first = {"decoder_start_token_id": 16, "num_return_sequences": 1, **how}
    mask, ids = torch.ones(2, 1).long(), torch.full((2 * books, 1), 16)
    expected, found = (model.decoder.generate(ids, attention_mask=mask, **first) for model in pair)
    assert torch.equal(found, expected)


def test_copies_are_sounds_of_their_own(pair: tuple[Any, Any]) -> None:
    ours: Any = pair[1]
    how: dict[str, Any] = {"do_sample": True, "max_new_tokens": 10, "guidance_scale": 2.0}
    several = ours.generate(
        **_texts(), **how, num_return_sequences=3, generator=torch.Generator().manual_seed(0)
    )
    assert len(several) == 6
    greedy = {"do_sample": True, "top_k": 1, "max_new_tokens": 10}  # the likeliest, for each copy
    several = ours.generate(**_texts(), **greedy, num_return_sequences=2)
    alone = ours.generate(**_texts(), do_sample=False, max_new_tokens=10)
    torch.testing.assert_close(several, alone.repeat_interleave(2, 0), atol=1e-5, rtol=1e-5)


class Heard(list[torch.Tensor]):
    """A streamer."""

    ended = False

    def put(self, codes: torch.Tensor) -> None:
        self.append(codes)

    def end(self) -> None:
        self.ended = True


def test_codes_are_handed_on_as_they_come(pair: tuple[Any, Any]) -> None:
    heard, books = Heard(), pair[1].decoder.num_codebooks
    pair[1].generate(**_texts(), do_sample=False, max_new_tokens=10, streamer=heard)
    assert heard.ended
    assert [len(codes) for codes in heard] == [2 * books] * 11


def test_files_are_read_by_the_reference(pair: tuple[Any, Any], tmp_path: Path) -> None:
    theirs, ours = pair
    assert set(ours.state_dict()) == set(theirs.state_dict())
    ours.save_pretrained(tmp_path)
    again = transformers.MusicgenForConditionalGeneration.from_pretrained(tmp_path).state_dict()
    assert all(torch.equal(again[name], value) for name, value in theirs.state_dict().items())
    theirs.decoder.save_pretrained(tmp_path / "decoder")
    alone = formers.MusicgenForCausalLM.from_pretrained(tmp_path / "decoder")
    ids = _codes(ours, 4)
    torch.testing.assert_close(alone(ids).logits, theirs.decoder(ids).logits, atol=1e-5, rtol=1e-5)
    bare = formers.AutoModel.from_pretrained(tmp_path / "decoder")
    assert type(bare) is formers.MusicgenModel
    assert len(bare.get_input_embeddings()) == ours.decoder.num_codebooks


def test_three_models_become_one(tmp_path: Path) -> None:
    whole = _write(tmp_path / "whole", "mono")
    for name in ("text_encoder", "audio_encoder", "decoder"):
        getattr(whole, name).save_pretrained(tmp_path / name)
    joined = formers.MusicgenForConditionalGeneration.from_sub_models_pretrained(
        tmp_path / "text_encoder", tmp_path / "audio_encoder", tmp_path / "whole", decoder_dropout=0.3
    )
    assert joined.config.decoder.dropout == 0.3
    held = whole.state_dict()
    for name, value in joined.state_dict().items():
        if not name.startswith("enc_to_dec_proj"):
            assert torch.equal(value, held[name]), name
    joined.freeze_text_encoder()
    joined.freeze_audio_encoder()
    trained = {name.split(".")[0] for name, p in joined.named_parameters() if p.requires_grad}
    assert trained == {"decoder", "enc_to_dec_proj"}
    with pytest.raises(ValueError, match="give audio_encoder_pretrained_model_name_or_path, or"):
        formers.MusicgenForConditionalGeneration.from_sub_models_pretrained(tmp_path / "text_encoder")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "makes sounds of texts: pass input_ids"),
        ({"num_beams": 2}, "codes are written by greedy search or sampling, not by beam_search"),
        ({"eos_token_id": 3}, "no code ends a sound"),
        ({"max_new_token": 3}, "max_new_token"),
        (
            {"decoder_input_ids": torch.zeros(3, 2).long()},
            "sounds to go on with are the 4 books of each of 2",
        ),
    ],
)
def test_what_makes_no_music_is_refused(tmp_path: Path, given: dict[str, Any], says: str) -> None:
    _write(tmp_path, "mono")
    ours = formers.MusicgenForConditionalGeneration.from_pretrained(tmp_path)
    with pytest.raises((TypeError, ValueError), match=says):
        ours.generate(**({**_texts(), "max_new_tokens": 9, **given} if given else {}))
    with pytest.raises(ValueError, match="a row for each of 4 books of a sound"):
        ours.decoder(torch.zeros(3, 2).long())
    with pytest.raises(ValueError, match="hold samples that are no numbers, or infinite"):
        ours(**_texts(), input_values=torch.full((2, 1, 90), float("nan")))
    with pytest.raises(ValueError, match="predicts codes: pass decoder_input_ids, input_values or labels"):
        ours(**_texts())


def test_texts_and_sounds_are_prepared_and_made(tmp_path: Path) -> None:
    _write(tmp_path, "mono")
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *((one, -3.0) for one in "abcdef")]
    tokenizer = transformers.T5Tokenizer(vocab=pieces, extra_ids=0)
    extractor = transformers.EncodecFeatureExtractor(sampling_rate=16_000)
    transformers.MusicgenProcessor(extractor, tokenizer).save_pretrained(tmp_path)
    theirs, ours = (library.AutoProcessor.from_pretrained(tmp_path) for library in (transformers, formers))
    sounds = [np.random.default_rng(n).normal(size=n).astype("f4") for n in (90, 60)]
    given = {"text": ["abc", "a"], "audio": sounds, "sampling_rate": 16_000, "padding": True}
    expected, found = (one(**given, return_tensors="pt") for one in (theirs, ours))
    assert set(found) == set(expected)
    for name in expected:
        assert torch.equal(found[name], expected[name]), name
    made = torch.randn(2, 1, 120)
    cut = [one.batch_decode(made, padding_mask=found["padding_mask"]) for one in (theirs, ours)]
    for one, two in zip(*cut, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-6)
    pipe = formers.pipeline("text-to-audio", model=str(tmp_path), device="cpu")
    heard = pipe("abc", generate_kwargs={"max_new_tokens": 9, "do_sample": False})
    model = transformers.MusicgenForConditionalGeneration.from_pretrained(tmp_path)
    wanted = model.generate(**tokenizer("abc", return_tensors="pt"), max_new_tokens=9, do_sample=False)
    assert heard["sampling_rate"] == 16_000
    np.testing.assert_allclose(heard["audio"], wanted[0, 0].numpy(), atol=1e-5)
