"""automatic-speech-recognition beside the reference's pipeline: times, pieces, languages, batches, inputs."""

from __future__ import annotations

import warnings
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import transformers

import formers
from formers.jobs import subtitles
from system.cli_command import in_this_process
from tests.generation.small_speech import both, write_processor

RATE = 16000


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    folder: Path = tmp_path_factory.mktemp("heard")
    both(folder)
    write_processor(folder)
    theirs = transformers.pipeline("automatic-speech-recognition", model=str(folder), device="cpu")
    return theirs, formers.pipeline("automatic-speech-recognition", model=str(folder), device="cpu")


def _wave(seconds: float, seed: int = 0) -> Any:
    draw = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE)) / RATE
    tones = sum(np.sin(2 * np.pi * f * time + f) for f in draw.uniform(100, 4000, 5))
    return (0.1 * tones * (1 + np.sin(9 * time)) + 0.01 * draw.normal(size=len(time))).astype("float32")


def _quietly(pipe: Any, *args: Any, **asked: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of segments without an end, which random models write
        return pipe(*args, **asked)


@pytest.mark.parametrize(
    ("seconds", "asked"),
    [
        (0.7, {}),
        (0.7, {"return_timestamps": True, "return_language": True}),
        (1.0, {"return_timestamps": "word", "num_beams": 2}),
        (3.3, {"return_timestamps": True, "generate_kwargs": {"num_beams": 1}}),
        (2.3, {"return_timestamps": "word", "num_beams": 1, "language": "de"}),
        (2.3, {"chunk_length_s": 1, "num_beams": 1}),
        (
            1.7,
            {
                **{"chunk_length_s": 1, "stride_length_s": (0.2, 0.1), "return_timestamps": True},
                "num_beams": 1,
            },
        ),
    ],
    ids=str,
)
def test_answers_are_those_of_the_reference(
    pair: tuple[Any, Any], seconds: float, asked: dict[str, Any]
) -> None:
    expected = _quietly(pair[0], _wave(seconds), **asked)
    found = _quietly(pair[1], _wave(seconds), **asked)
    assert found == expected
    if "chunk_length_s" in asked:
        assert _quietly(pair[1], _wave(seconds), **asked, batch_size=3) == expected


def test_sounds_come_in_every_form_and_lists_keep_their_order(pair: tuple[Any, Any], tmp_path: Path) -> None:
    ours, waves = pair[1], [_wave(0.6, 1), _wave(0.9, 2)]
    expected = [_quietly(ours, wave, num_beams=1) for wave in waves]
    soundfile.write(tmp_path / "one.wav", waves[0], RATE, subtype="FLOAT")
    assert ours(str(tmp_path / "one.wav"), num_beams=1) == expected[0]
    assert ours((tmp_path / "one.wav").read_bytes(), num_beams=1) == expected[0]
    named = {"array": waves[0], "sampling_rate": RATE, "id": 7}
    assert ours(named, num_beams=1) == {**expected[0], "id": [7]}
    assert {*named} == {"array", "sampling_rate", "id"}
    assert ours(waves, num_beams=1, batch_size=2) == expected
    assert list(ours((wave for wave in waves), num_beams=1)) == expected


def test_a_stream_is_answered_while_it_lasts_and_what_was_heard_before_it_broke_is_kept(
    pair: tuple[Any, Any],
) -> None:
    wave = _wave(1.5)

    def heard() -> Any:
        for start in range(0, len(wave), RATE // 2):
            yield wave[start : start + RATE // 2].tobytes()
        raise ConnectionError("the line is cut")

    ours = pair[1]
    stream = iter(ours(formers.live_chunks(heard(), RATE, 1.0, stride_length_s=0.125), num_beams=1))
    answers = [*islice(stream, 4)]
    with pytest.raises(ConnectionError, match="the line is cut"):
        next(stream)
    assert [one["partial"] for one in answers] == [[True], [False], [True], [False]]
    told = {"raw": wave[: RATE // 2], "sampling_rate": RATE}
    assert answers[0]["text"] == ours(told, num_beams=1)["text"]


def test_what_cannot_be_answered_is_refused(pair: tuple[Any, Any], tmp_path: Path) -> None:
    ours = pair[1]
    with pytest.raises(ValueError, match="return_timestamps is True"):
        ours(_wave(0.5), return_timestamps="char")
    with pytest.raises(ValueError, match="longer chunk_length_s"):
        ours(_wave(0.5), chunk_length_s=1, stride_length_s=0.5)
    with pytest.raises(ValueError, match="decoder_kwargs are keywords of decoder="):
        ours(_wave(0.5), decoder_kwargs={"beam_width": 2})
    with pytest.raises(TypeError, match="num_beems"):
        ours(_wave(0.5), num_beems=2)
    with pytest.raises(formers.processing.BadSound, match="no numbers"):
        ours(np.full(800, np.nan, "float32"))
    for rate in (0, "16000", float("nan"), float("inf")):
        with pytest.raises(ValueError, match="a sampling rate is a whole number"):
            ours({"array": _wave(0.1), "sampling_rate": rate})
    for asked in ({"chunk_length_s": "x"}, {"stride_length_s": (0.1, 0.1, 0.1)}):
        with pytest.raises(ValueError, match=next(iter(asked))):
            ours(_wave(0.5), **asked)
    with pytest.raises(OSError, match="missing"):
        ours(str(tmp_path / "missing.wav"))


def test_the_processor_prepares_sounds_and_transcripts(pair: tuple[Any, Any], tmp_path: Path) -> None:
    folder = pair[1].model.config.name_or_path
    ours = formers.AutoProcessor.from_pretrained(folder)
    theirs = transformers.WhisperProcessor.from_pretrained(folder)
    assert type(ours).__name__ == "WhisperProcessor"
    asked = {"sampling_rate": RATE, "text": "abc", "return_tensors": "np"}
    expected, found = theirs(_wave(0.4), **asked), ours(_wave(0.4), **asked)
    np.testing.assert_allclose(found["input_features"], expected["input_features"], atol=1e-4)
    assert np.array_equal(found["labels"], expected["labels"])
    assert ours.get_prompt_ids("ab").tolist() == theirs.get_prompt_ids("ab").tolist()
    ours.save_pretrained(tmp_path)
    again = transformers.WhisperProcessor.from_pretrained(tmp_path)
    assert again.feature_extractor.feature_size == 8
    with pytest.raises(ValueError, match="audio="):
        ours()


def test_answers_become_subtitles() -> None:
    words = [{"text": f" w{i}.", "timestamp": (float(i), i + 0.5)} for i in range(2)]
    chunks = [{"text": " One", "timestamp": (0.0, 1.25)}, {"text": " two ", "timestamp": (3661.5, None)}]
    answer = {"text": " One two ", "chunks": chunks}
    assert subtitles.srt(answer).splitlines()[:3] == ["1", "00:00:00,000 --> 00:00:01,250", "One"]
    assert "01:01:01.500 --> 01:01:03.500\ntwo" in subtitles.vtt(answer)
    assert subtitles.txt(answer) == "One\ntwo\n"
    assert subtitles.lines_of(words) == words
    long = [{"text": " word", "timestamp": (i / 4, i / 4 + 0.2)} for i in range(40)]
    lines = subtitles.lines_of(long)
    assert "".join(one["text"] for one in lines) == " word" * 40
    assert all(len(one["text"]) <= 84 and one["timestamp"][1] - one["timestamp"][0] <= 7 for one in lines)


@pytest.mark.filterwarnings("default::formers.core.notices.Notice")
def test_the_command_writes_subtitles_and_looks_at_places_before_it_listens(
    pair: tuple[Any, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = in_this_process(capsys, monkeypatch)
    command = ("transcribe", "--model", pair[1].model.config.name_or_path, "--device", "cpu", "--beams", "1")
    (tmp_path / "more").mkdir()
    for name in ("one.wav", "more/one.wav"):
        soundfile.write(tmp_path / name, _wave(0.4), RATE)
    assert run(*command, "--srt", "--json", "--output", tmp_path / "out", tmp_path / "one.wav")[0] == 0
    assert sorted(one.name for one in (tmp_path / "out").iterdir()) == ["one.json", "one.srt"]
    both = (tmp_path / "one.wav", tmp_path / "more/one.wav")
    status, _, errors = run(*command, "--srt", "--output", tmp_path / "out", *both)
    assert (status, "two sounds would be written to" in errors) == (2, True)
    status, _, errors = run(
        "transcribe", "--srt", "--output", tmp_path / "one.wav", "--model", "none", both[0]
    )
    assert (status, "one.wav: " in errors) == (2, True)
    status, _, errors = run(*command, "--batch-size", "2", both[0])
    assert (status, "say with --chunk" in errors) == (2, True)
