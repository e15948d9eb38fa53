"""Models that speak, beside the reference: what a seed draws, tokenizers, and the pipeline."""

from __future__ import annotations

import json
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import formers
from formers.core.notices import Notice
from system.cli_command import in_this_process
from tests.parity.voice_shapes import VITS

LETTERS = sorted("abcdefghijklmnopqrstuvwxyz' -")
TEXTS = ["Kick the cat", "Hello, World!", "", "!!!", " a b ", "a<unk>b", "é ñ A", "k", "Țară ΣΑΣ", "İx"]
SPEAKING = {**VITS, "vocab_size": len(LETTERS) + 2, "noise_scale": 0.667, "noise_scale_duration": 0.8}
MANY = {**SPEAKING, "num_speakers": 3, "speaker_embedding_size": 6}


def write_letters(folder: Path, vocabulary: list[str], **settings: Any) -> str:
    """A vocabulary, and the reference's tokenizer of it, as files."""
    file = folder / "vocab.json"
    file.write_text(json.dumps({token: index for index, token in enumerate(vocabulary)}))
    transformers.VitsTokenizer(str(file), phonemize=False, **settings).save_pretrained(folder)
    return str(folder)


def write_vits(folder: Path, fields: dict[str, Any]) -> str:
    """A small model that speaks, and its tokenizer."""
    torch.manual_seed(0)
    model = transformers.VitsModel(transformers.VitsConfig(**fields))
    model.save_pretrained(folder)
    return write_letters(folder, ["<pad>", "<unk>", *LETTERS])


@pytest.fixture(scope="module")
def speaker(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder."""
    return write_vits(tmp_path_factory.mktemp("vits"), MANY)


@pytest.mark.parametrize(
    ("vocabulary", "settings"),
    [
        (["<pad>", "<unk>", *LETTERS], {}),
        (["k", *(one for one in LETTERS if one != "k"), "<unk>"], {"pad_token": "k"}),
        (["_", *LETTERS], {"pad_token": "_", "normalize": False}),
        (["_", *LETTERS], {"pad_token": "_", "normalize": False, "add_blank": False}),
        (["<pad>", "<unk>", *LETTERS, "ţ", "ă"], {"language": "ron"}),
    ],
    ids=["plain", "a letter is the blank", "as written", "no blanks", "Romanian"],
)
@pytest.mark.filterwarnings("ignore:this tokenizer's vocabulary has no")
def test_texts_become_the_references_tokens(
    tmp_path: Path, vocabulary: list[str], settings: dict[str, Any]
) -> None:
    theirs = transformers.VitsTokenizer.from_pretrained(write_letters(tmp_path, vocabulary, **settings))
    ours = formers.AutoTokenizer.from_pretrained(tmp_path)
    ours.save_pretrained(tmp_path / "again")
    again = transformers.VitsTokenizer.from_pretrained(tmp_path / "again")
    for text in TEXTS:
        expected = theirs(text)["input_ids"]
        assert ours(text)["input_ids"] == again(text)["input_ids"] == expected, text
        assert ours.decode(expected) == theirs.decode(expected), text
    assert dict(ours(["ab", "a"], padding=True)) == dict(theirs(["ab", "a"], padding=True))


def test_letters_that_are_not_spoken_are_noticed(tmp_path: Path) -> None:
    ours = formers.AutoTokenizer.from_pretrained(write_letters(tmp_path, ["<pad>", "<unk>", *LETTERS]))
    with pytest.warns(Notice, match="has no 7: such letters are left out"):
        found = ours("no 7 up")["input_ids"]
    assert ours.decode(found) == ours.decode(found, skip_special_tokens=True) == "no  up"


@pytest.mark.parametrize("given", [{}, {"speaker_id": 2, "speaking_rate": 1.5}], ids=["plain", "a speaker"])
def test_a_seed_speaks_as_in_the_reference(speaker: str, given: dict[str, Any]) -> None:
    models = [library.VitsModel.from_pretrained(speaker) for library in (transformers, formers)]
    tokenizer = formers.AutoTokenizer.from_pretrained(speaker)
    inputs = tokenizer(["good morning", "yes"], padding=True, return_tensors="pt")
    found = []
    for model in models:
        model.noise_scale = 0.5
        torch.manual_seed(7)
        with torch.no_grad():
            found.append(model(**inputs, **given))
    for name in ("waveform", "sequence_lengths", "spectrogram"):
        torch.testing.assert_close(found[1][name], found[0][name], atol=1e-5, rtol=1e-5)


def test_the_pipeline_speaks_as_the_references(speaker: str) -> None:
    theirs, ours = (
        library.pipeline("text-to-speech", model=speaker, device="cpu") for library in (transformers, formers)
    )
    rate = {"forward_params": {"speaking_rate": 1.25, "speaker_id": 1}}
    transformers.set_seed(3)
    expected = theirs("Good morning!", **rate)
    formers.set_seed(3)
    found = ours("Good morning!", **rate)
    assert found["sampling_rate"] == expected["sampling_rate"] == 16_000
    torch.testing.assert_close(*(torch.from_numpy(one["audio"]) for one in (found, expected)))
    several = ours(["one", "two and three"], batch_size=2)
    assert len({one["audio"].shape for one in several}) == 2  # each ends where it ends


class Bells(torch.nn.Module):
    """A model that generates sounds: as many samples as it is told, for each text."""

    config = formers.PretrainedConfig(sampling_rate=8_000)

    def can_generate(self) -> bool:
        return True

    def generate(self, input_ids: torch.Tensor, loud: float, max_new_tokens: int, **_: Any) -> torch.Tensor:
        return torch.full((len(input_ids), 2, max_new_tokens), loud)


def test_models_that_generate_sounds_are_told_how(speaker: str) -> None:
    tokenizer = formers.AutoTokenizer.from_pretrained(speaker)
    pipe = formers.TextToAudioPipeline(Bells(), tokenizer, forward_params={"loud": 0.5})
    found = pipe(["a", "b c"], generate_kwargs={"max_new_tokens": 7}, batch_size=2)
    assert [(one["audio"].shape, one["sampling_rate"]) for one in found] == [((2, 7), 8_000)] * 2
    assert (found[0]["audio"] == 0.5).all()
    bells = Bells()
    bells.generation_config = formers.GenerationConfig()  # type: ignore[assignment]
    pipe = formers.TextToAudioPipeline(bells, tokenizer, forward_params={"loud": 0.5})
    assert pipe("a")["audio"].shape == (2, 256)  # as long as the reference's, where nobody says
    bells.generation_config.max_new_tokens = 5
    with pytest.raises(TypeError, match="max_new_tokens"):  # now the model says, which `generate` would read
        pipe("a")
    with pytest.raises(ValueError, match="vocoder= is for models of spectrograms; Bells makes sounds"):
        formers.TextToAudioPipeline(Bells(), tokenizer, vocoder=Bells())


@pytest.mark.filterwarnings("ignore:this tokenizer's vocabulary has no")
@pytest.mark.parametrize(
    ("text", "given", "says"),
    [
        (" ", {}, "there is nothing to speak in an empty text"),
        ("日本", {}, "the model's vocabulary has no letter of '日本'"),
        (3, {}, "speaks texts, not int"),
        ("a", {"forward_params": {"speaker_id": 3}}, "speaker_id=3 is none of this model's 3 speakers"),
        ("a", {"forward_params": {"speaker_id": 0.5}}, "speaker_id is a whole number"),
        ("a", {"forward_params": {"speaking_rate": 0}}, "speaking_rate is a positive number"),
        ("a", {"generate_kwargs": {"do_sample": True}}, "has no generate.., for which generate_kwargs"),
    ],
)
def test_what_cannot_be_spoken_is_refused(speaker: str, text: Any, given: dict[str, Any], says: str) -> None:
    pipe = formers.pipeline("text-to-audio", model=speaker, device="cpu")
    with pytest.raises((TypeError, ValueError), match=says):
        pipe(text, **given)


def test_the_command_speaks_into_a_file(
    speaker: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, path = in_this_process(capsys, monkeypatch), tmp_path / "out" / "hello.wav"
    command = ("speak", "-m", speaker, "--speaker", 1, "--rate", 1.25, "--seed", 3, "--device", "cpu", "-o")
    status, out, told = run(*command, path, "Good morning!")
    assert (status, out) == (0, "")
    assert told.startswith(f"saved: {path}")
    formers.set_seed(3)
    pipe = formers.pipeline("text-to-speech", model=speaker, device="cpu")
    expected = pipe("Good morning!", forward_params={"speaking_rate": 1.25, "speaker_id": 1})
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 16_000)
        found = np.frombuffer(file.readframes(-1), "<i2") / 32767
    assert np.abs(found - expected["audio"]).max() < 1e-4
    status, _, told = run(*command, path, stdin="Good morning!")
    assert status == 0
    status, _, told = run(*command, tmp_path / "hello.txt", "a")
    assert status != 0
    assert "sounds are written as .wav" in told
    status, _, told = run(*command, path, " ")
    assert status != 0
    assert "there is nothing to speak" in told
    assert path.exists()
