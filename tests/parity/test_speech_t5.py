"""Models that hear or read, and write or speak, beside the reference: from the same files, the same draws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor
from transformers.models.speecht5.number_normalizer import EnglishNumberNormalizer as Reference

import formers
from formers.tokenization.spoken_numbers import EnglishNumberNormalizer
from tests.parity.test_hooks import outputs
from tests.parity.tokenization_samples import write_sentencepiece
from tests.parity.voice_shapes import SPOKEN

TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}
IDS = torch.tensor([[4, 5, 6, 7, 3, 9, 11, 2], [8, 9, 2, 1, 1, 1, 1, 1]])
REAL = IDS.ne(1).long()
VOICE = torch.randn(2, 10, generator=torch.Generator().manual_seed(0))
Two = tuple[Any, Any]


def noise(*size: int, seed: int = 0) -> Tensor:
    """Normal numbers."""
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def heard() -> dict[str, Tensor]:
    """Two sounds, one of them padded."""
    mask = torch.ones(2, 400, dtype=torch.long)
    mask[1, 250:] = 0
    return {"input_values": noise(2, 400) * mask, "attention_mask": mask}


def read() -> dict[str, Tensor]:
    """Two texts, one of them padded, and who says them."""
    return {"input_ids": IDS, "attention_mask": REAL, "speaker_embeddings": VOICE}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the parts that prepare sounds and texts."""
    folder = tmp_path_factory.mktemp("parts")
    ids = {"bos_id": 0, "pad_id": 1, "eos_id": 2, "unk_id": 3, "hard_vocab_limit": False}
    file = write_sentencepiece(folder / "spm_char.model", vocab_size=60, model_type="char", **ids)
    tokenizer = transformers.SpeechT5Tokenizer(str(file))
    tokenizer.add_tokens(["<mask>", "<ctc_blank>"], special_tokens=True)
    extractor = transformers.SpeechT5FeatureExtractor(num_mel_bins=8)
    transformers.SpeechT5Processor(extractor, tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def pairs(home: Path) -> Any:
    """Name of a class -> the reference's model and ours, from one folder; made once."""
    made: dict[str, Two] = {}

    def of(name: str) -> Two:
        if name not in made:
            torch.manual_seed(0)
            theirs = getattr(transformers, name)(transformers.SpeechT5Config(**SPOKEN["speecht5"])).eval()
            for key, value in theirs.state_dict().items():
                if value.is_floating_point() and "running_var" not in key:
                    value.add_(torch.randn_like(value) * 0.05)
            folder = home / name
            transformers.AutoProcessor.from_pretrained(home).save_pretrained(folder)
            theirs.save_pretrained(folder)
            made[name] = theirs, getattr(formers, name).from_pretrained(folder)
            assert made[name][0].state_dict().keys() == made[name][1].state_dict().keys()
        return made[name]

    return of


@pytest.fixture(scope="module")
def vocoders(home: Path) -> Two:
    """The reference's and ours."""
    torch.manual_seed(0)
    config = transformers.SpeechT5HifiGanConfig(**SPOKEN["speecht5_hifigan"])
    theirs = transformers.SpeechT5HifiGan(config).eval()
    theirs.mean.normal_()
    theirs.scale.uniform_(0.5, 2.0)
    theirs.save_pretrained(home / "vocoder")
    return theirs, formers.SpeechT5HifiGan.from_pretrained(home / "vocoder")


def both(pair: Two, call: Any) -> list[Any]:
    """What each gives, with the same draws."""
    found = []
    for model in pair:
        torch.manual_seed(5)
        found.append(call(model))
    return found


def alike(expected: Any, found: Any, real: dict[int, Tensor]) -> None:
    """The same records; of what the encoder made, where something was read: length -> mask."""
    for name, value in expected.items():
        each = value if isinstance(value, tuple) else (value,)
        ours = found[name] if isinstance(value, tuple) else (found[name],)
        if name == "past_key_values":
            continue
        assert len(each) == len(ours), name
        for one, other in zip(each, ours, strict=True):
            if name.startswith("encoder") and one.shape[-2] in real:
                rows = real[one.shape[-2]].bool()
                rows = rows if one.dim() == 3 else rows[:, None].expand(one.shape[:3])
                one, other = one[rows], other[rows]
            torch.testing.assert_close(other, one, **TOLERANCE, msg=name)


def frames() -> dict[int, Tensor]:
    """How many rows of the encoder the two sounds make."""
    return {19: torch.arange(19)[None] < torch.tensor([[19], [11]]), 8: REAL}


SHOWN = {"output_hidden_states": True, "output_attentions": True}
CALLS: dict[str, Any] = {
    "SpeechT5ForSpeechToText": lambda: {**heard(), "decoder_input_ids": IDS[:, :4]},
    "SpeechT5ForTextToSpeech": lambda: {**read(), "decoder_input_values": noise(2, 6, 8, seed=1)},
    "SpeechT5ForSpeechToSpeech": lambda: {
        **{**heard(), "decoder_input_values": noise(2, 6, 8, seed=1), "speaker_embeddings": VOICE}
    },
    "SpeechT5Model": lambda: {
        **{"input_values": noise(2, 8, 32), "attention_mask": REAL},
        "decoder_input_values": noise(2, 6, 32, seed=1),
    },
}


@pytest.mark.parametrize("name", CALLS)
@torch.no_grad()
def test_every_head_computes_what_the_references_does(pairs: Any, name: str) -> None:
    given = CALLS[name]()
    expected, found = both(pairs(name), lambda model: model(**given, **SHOWN))
    alike(expected, found, frames())
    handle = pairs(name)[1].get_encoder().register_forward_hook(lambda *_: None)  # now nothing is left out
    _, watched = both(pairs(name), lambda model: model(**given))
    handle.remove()
    torch.testing.assert_close(watched[0], found[0], **TOLERANCE)


@pytest.mark.parametrize("name", CALLS)
def test_every_hook_that_fires_in_the_reference_fires_here(pairs: Any, name: str) -> None:
    expected, found = (outputs(model, CALLS[name]()) for model in pairs(name))
    # what makes a kernel of its directions and lengths has no weights, and no node here
    silent = {one for one in expected if one.endswith(".parametrizations.weight.0")}
    assert {one: found.get(one) for one in expected.keys() - silent} == {
        one: shapes for one, shapes in expected.items() if one not in silent
    }


def _learned(model: Any, given: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
    model.zero_grad()
    torch.manual_seed(5)
    loss = model(**given).loss
    loss.backward()
    grads = {key: p.grad.clone() for key, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return loss.detach(), grads


@pytest.mark.parametrize("name", ["SpeechT5ForSpeechToText", "SpeechT5ForTextToSpeech"])
def test_losses_and_gradients_are_the_references(pairs: Any, name: str) -> None:
    if name.endswith("Text"):
        given = {**heard(), "labels": IDS.masked_fill(IDS == 1, -100)}
    else:
        said = noise(2, 12, 8)
        said[1, 8:] = -100.0
        given = {**read(), "labels": said}
    (expected, theirs), (found, ours) = (_learned(model, given) for model in pairs(name))
    torch.testing.assert_close(found, expected, **TOLERANCE)
    assert theirs.keys() == ours.keys()
    for key, value in theirs.items():
        torch.testing.assert_close(ours[key], value, atol=1e-5, rtol=1e-4, msg=key)


@torch.no_grad()
def test_texts_of_sounds_are_the_references_token_for_token(pairs: Any) -> None:
    for how in ({}, {"num_beams": 3}):
        given = {**heard(), **WORDS, **how}
        expected, found = (model.generate(**given) for model in pairs("SpeechT5ForSpeechToText"))
        assert torch.equal(found, expected)
        assert len(set(expected.flatten().tolist())) > 3


WORDS = {"max_new_tokens": 12, "min_new_tokens": 8, "no_repeat_ngram_size": 1}  # it would repeat itself
ENDS = {"threshold": 1.1, "minlenratio": 1.0, "maxlenratio": 4.0}


@pytest.mark.parametrize("sings", [False, True], ids=["frames", "waves"])
def test_speech_is_the_references(pairs: Any, vocoders: Two, sings: bool) -> None:
    sides = [
        (model, {"vocoder": vocoder} if sings else {})
        for model, vocoder in zip(pairs("SpeechT5ForTextToSpeech"), vocoders, strict=True)
    ]
    ((waves, lengths), alone), (several, one) = both(tuple(sides), lambda side: _said(*side))  # type: ignore[arg-type]  # two of them
    torch.testing.assert_close(several[0], waves, **TOLERANCE)
    assert several[1] == lengths
    assert lengths[0] != lengths[1]  # each ends where it ends
    torch.testing.assert_close(one[0], alone[0], **TOLERANCE)
    torch.testing.assert_close(one[1], alone[1], **TOLERANCE)


def _said(model: Any, more: dict[str, Any]) -> tuple[Any, Any]:
    """Two texts with the lengths of their speech, and one with the weights of attention."""
    several = model.generate(**read(), **ENDS, **more, return_output_lengths=True)
    looks = {"output_cross_attentions": True}
    return several, model.generate_speech(IDS[:1], VOICE[:1], **ENDS, **more, **looks)


def test_speech_of_another_voice_is_the_references(pairs: Any) -> None:
    sounds = heard()
    given = (sounds["input_values"], VOICE, sounds["attention_mask"])
    models = pairs("SpeechT5ForSpeechToSpeech")
    expected, found = both(models, lambda model: model.generate_speech(*given, **ENDS))
    torch.testing.assert_close(found, expected, **TOLERANCE)


@torch.no_grad()
def test_sounds_of_spectra_are_the_references(vocoders: Two) -> None:
    for spectrum in (noise(3, 9, 8), noise(9, 8)):
        expected, found = (model(spectrum) for model in vocoders)
        torch.testing.assert_close(found, expected, **TOLERANCE)


def test_pipelines_hear_and_speak_as_the_references(pairs: Any, vocoders: Two, home: Path) -> None:
    pairs("SpeechT5ForTextToSpeech"), pairs("SpeechT5ForSpeechToText")
    own = {transformers: vocoders[0], formers: home / "vocoder"}
    given = {"forward_params": {"speaker_embeddings": VOICE[:1], **ENDS}}
    speech, texts = [], []
    for library, vocoder in own.items():
        model = str(home / "SpeechT5ForTextToSpeech")
        pipe = library.pipeline("text-to-speech", model=model, vocoder=vocoder, device="cpu")
        torch.manual_seed(5)
        speech.append(pipe("hello there", **given))
        listen = library.pipeline(
            "automatic-speech-recognition", model=str(home / "SpeechT5ForSpeechToText"), device="cpu"
        )
        wave = noise(3000).numpy()
        texts.append(listen(wave, generate_kwargs=WORDS)["text"])
    assert speech[0]["sampling_rate"] == speech[1]["sampling_rate"] == 16_000
    np.testing.assert_allclose(speech[1]["audio"], speech[0]["audio"], atol=1e-5)
    assert texts[1] == texts[0] != ""
    several = pipe(["hello there", "a"], batch_size=2, **given)
    assert all(np.isfinite(one["audio"]).all() for one in several)


TEXTS = (
    *("Hello, my dog is cute", "  two  spaces ", "日本語 and ü", "a\nb\tc", "<mask> x", "", "x</s>y"),
    "I paid $15.50 and -3% of 1,234,567 in 2024; 0 or 10 or 110.05 €5",
)


def test_texts_are_cut_as_by_the_reference(home: Path, tmp_path: Path) -> None:
    theirs = transformers.SpeechT5Tokenizer.from_pretrained(home)
    ours = formers.AutoTokenizer.from_pretrained(home)
    assert type(ours) is formers.SpeechT5Tokenizer
    ours.save_pretrained(tmp_path)
    again = transformers.SpeechT5Tokenizer.from_pretrained(tmp_path)
    for text in TEXTS:
        expected = theirs(text)["input_ids"]
        assert ours(text)["input_ids"] == again(text)["input_ids"] == expected
        assert ours.decode(expected) == theirs.decode(expected)
    file = home / "spm_char.model"
    spoken = transformers.SpeechT5Tokenizer(str(file), normalize=True)
    said = formers.SpeechT5Tokenizer(vocab_file=file, normalize=True)
    assert [said(text)["input_ids"] for text in TEXTS] == [spoken(text)["input_ids"] for text in TEXTS]


def test_numbers_are_said_as_by_the_reference() -> None:
    theirs, ours = Reference(), EnglishNumberNormalizer()
    ends = ("", ".5", ".05", ".00", ".123", "%", ".1%", "x")
    for number in (0, 1, 10, 11, 20, 42, 100, 101, 110, 999, 1000, 1001, 20_013, 10**6, 10**9 + 7, 10**35):
        for sign in ("", "-", "$", "-£", "x"):
            for end in ends:
                text = f"({sign}{number}{end} or {number:,}"
                assert ours(text) == theirs(text)


def test_sounds_and_targets_are_prepared_as_by_the_reference(home: Path) -> None:
    theirs = transformers.AutoProcessor.from_pretrained(home)
    ours = formers.AutoProcessor.from_pretrained(home)
    assert type(ours).__name__ == "SpeechT5Processor"
    waves = [noise(n, seed=n).numpy() for n in (4000, 2517)]
    rate = {"sampling_rate": 16_000, "padding": True, "return_tensors": "pt"}
    calls: list[dict[str, Any]] = [
        {"audio": waves, **rate},
        {"audio_target": waves, **rate},
        {"audio": waves, "audio_target": waves[::-1], **rate},
        {"text": ["my dog", "a cat sat"], "padding": True, "return_tensors": "pt"},
        {"audio": waves[0], "text_target": "my dog", "sampling_rate": 16_000},
        {"text": "my dog", "audio_target": waves[0], "sampling_rate": 16_000},
    ]
    for call in calls:
        expected, found = theirs(**call), ours(**call)
        assert expected.keys() == found.keys()
        for name, value in expected.items():
            np.testing.assert_allclose(np.asarray(found[name]), np.asarray(value), atol=1e-4)
    rows = [
        ours(text=text, audio_target=wave, sampling_rate=16_000)
        for text, wave in zip("ab", waves, strict=True)
    ]
    ids = [{"input_ids": row["input_ids"]} for row in rows]
    labels = [{"input_values": row["labels"][0]} for row in rows]
    expected, found = (one.pad(input_ids=ids, labels=labels, return_tensors="pt") for one in (theirs, ours))
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)


def test_what_cannot_be_said_is_refused(pairs: Any, vocoders: Two) -> None:
    _, model = pairs("SpeechT5ForTextToSpeech")
    refusals: list[tuple[str, Any]] = [
        ("speaker_embeddings say whose voice", lambda: model.generate(IDS)),
        ("speaker_embeddings have shape", lambda: model.generate(IDS, speaker_embeddings=noise(1, 7))),
        ("unexpected keyword.*'loud'", lambda: model.generate(**read(), loud=1)),
        ("minlenratio is from 0", lambda: model.generate(**read(), minlenratio=3.0, maxlenratio=2.0)),
        ("a T that 2 divides", lambda: model(**read(), labels=noise(2, 5, 8))),
        ("nothing to read: pass decoder_input_values", lambda: model(**read())),
        ("more than the 400 places", lambda: model(**read(), decoder_input_values=noise(2, 401, 8))),
        ("has 90 tokens", lambda: model(input_ids=IDS[:1, :1].repeat(1, 90), labels=noise(1, 4, 8))),
        ("a spectrogram has shape", lambda: vocoders[1](noise(3, 4))),
        ("audio= and text= are both read", lambda: _processor()(audio=[0.0], text="a")),
    ]
    for says, call in refusals:
        with pytest.raises((TypeError, ValueError), match=says):
            call()


def _processor() -> Any:
    extractor = formers.SpeechT5FeatureExtractor()
    return formers.SpeechT5Processor(extractor, formers.SpeechT5Tokenizer(vocab=[("<unk>", 0.0)]))
