"""Sounds are read from wherever they are, and brought to one rate and one channel."""

from __future__ import annotations

import base64
import io
import types
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
import torch

import formers
from formers import load_audio
from formers.core.notices import Notice
from formers.processing.audio.live import live_chunks
from formers.processing.audio.rates import Resampler, resampled
from formers.processing.audio.reading import BadSound, as_wave, wave_blocks

RATE = 16000


def tone(rate: int = RATE, seconds: float = 0.3, hertz: float = 440.0) -> Any:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)


def written(
    folder: Path, rate: int = RATE, channels: int = 1, subtype: str = "PCM_16", name: str = "a.wav"
) -> Path:
    sound = np.stack([tone(rate) * (place + 1) / channels for place in range(channels)], 1)
    soundfile.write(folder / name, sound, rate, subtype=subtype)
    return folder / name


def film(path: Path, sound: bool) -> Path:
    """Two black pictures, with a tone of 0.3 s at 22050 Hz or without."""
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("mpeg4", rate=10)
        pictures.width = pictures.height = 16
        pictures.pix_fmt = "yuv420p"
        heard = container.add_stream("aac", rate=22050) if sound else None
        for _ in range(2):
            frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
            container.mux(pictures.encode(frame))
        container.mux(pictures.encode())
        if heard is not None:
            values = tone(22050).astype(np.float32)[None]
            frame = av.AudioFrame.from_ndarray(values, format="fltp", layout="mono")
            frame.sample_rate = 22050
            container.mux(heard.encode(frame))
            container.mux(heard.encode())
    return path


@pytest.mark.parametrize(
    ("rate", "channels", "subtype"),
    [
        (8000, 1, "PCM_16"),
        (11025, 2, "PCM_24"),
        (16000, 1, "PCM_U8"),
        (44100, 2, "FLOAT"),
        (48000, 6, "PCM_32"),
    ],
)
def test_files_of_every_rate_depth_and_number_of_channels_are_the_same_tone(
    rate: int, channels: int, subtype: str, tmp_path: Path
) -> None:
    found = load_audio(str(written(tmp_path, rate, channels, subtype)))
    expected = tone() * (channels + 1) / (2 * channels)
    assert found.dtype == np.float32
    assert abs(len(found) - len(expected)) <= 1
    found = found[: len(expected)]
    # the ends ring, as the tone begins and ends at once
    tolerance = 1e-2 if subtype == "PCM_U8" else 1e-4
    np.testing.assert_allclose(found[400:-400], expected[400:-400], atol=tolerance)


def test_every_way_to_give_a_sound_gives_the_same(tmp_path: Path) -> None:
    path = written(tmp_path)
    data, expected = path.read_bytes(), load_audio(path)
    text = base64.b64encode(data).decode()
    stereo = np.stack([expected, expected])
    decoder = types.SimpleNamespace(
        get_all_samples=lambda: types.SimpleNamespace(data=torch.tensor(stereo), sample_rate=RATE)
    )
    for given in (
        str(path), data, bytearray(data), io.BytesIO(data), text, f"data:audio/wav;base64,{text}",
        {"path": str(path)}, {"path": "gone.wav", "bytes": data}, {"array": expected, "sampling_rate": RATE},
        {"raw": stereo.T, "sampling_rate": RATE}, torch.tensor(expected), decoder,
    ):  # fmt: skip
        np.testing.assert_allclose(as_wave(given, RATE), expected, atol=1e-6)
    whole = (expected * 32768).round().astype(np.int16)
    np.testing.assert_allclose(as_wave({"array": whole, "sampling_rate": RATE}, RATE), expected, atol=1e-6)
    assert load_audio(expected) is expected


@pytest.mark.parametrize("name", ["a.ogg", "a.flac", "a.mp3", "a.m4a", "a.mp4"])
def test_formats_that_one_decoder_does_not_read_go_to_the_next(name: str, tmp_path: Path) -> None:
    if name[2:] in ("m4a", "mp4"):
        path = film(tmp_path / name, sound=True)
    else:
        path = tmp_path / name
        soundfile.write(path, tone(22050), 22050)
    found = load_audio(path)
    assert len(found) == pytest.approx(0.3 * RATE, abs=2000)
    spectrum = np.abs(np.fft.rfft(found * np.hanning(len(found))))
    assert spectrum.argmax() * RATE / len(found) == pytest.approx(440, abs=5)


def test_what_holds_no_sound_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("no sound at all, whoever reads it")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), RATE)
    soundfile.write(tmp_path / "broken.wav", np.array([0.0, np.inf, 0.0, 0.0]), 22050, subtype="FLOAT")
    silent = film(tmp_path / "silent.mp4", sound=False)
    for given, says in (
        (tmp_path / "words.txt", "words.txt.* no sound in a format"),
        (tmp_path / "empty.wav", "empty.wav.* no samples"),
        (tmp_path / "broken.wav", "no numbers, or infinite: the first is number 1, inf"),
        (silent, "silent.mp4.* has no sound: it holds 1 video"),
        (tmp_path / "gone.wav", "there is no file"),
        ({"array": np.zeros((2, 3, 4)), "sampling_rate": RATE}, r"an array \[2, 3, 4\]"),
    ):
        with pytest.raises(BadSound, match=says):
            as_wave(given, RATE)
    for rate in (0, -1, 0.5, "16000", None):
        with pytest.raises(ValueError, match="sampling.rate"):
            as_wave({"array": np.zeros(4), "sampling_rate": rate}, RATE)
    with pytest.raises(ValueError, match="rate"):
        load_audio(silent, sampling_rate=0)
    with pytest.raises(TypeError, match="a sound is a path"):
        load_audio(3)
    with pytest.raises(ValueError, match="backend is one of"):
        load_audio(silent, backend="torchcodec")


def test_of_a_file_that_breaks_off_the_beginning_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.ogg"
    soundfile.write(path, tone(seconds=60.0), RATE)
    whole = load_audio(path)
    data = path.read_bytes()
    kept = load_audio(data[: len(data) // 2])
    assert RATE < len(kept) < len(whole)
    np.testing.assert_allclose(kept[:RATE], whole[:RATE], atol=1e-6)


@pytest.mark.parametrize(("rate", "wanted"), [(44_099, RATE), (96_001, RATE), (7919, 44_100)])
def test_rates_without_a_common_factor_keep_a_tone(rate: int, wanted: int) -> None:
    found, expected = resampled(tone(rate), rate, wanted), tone(wanted)
    inside = slice(wanted // 20, -wanted // 20)  # silence before and behind is heard at the ends
    np.testing.assert_allclose(found[: len(expected)][inside], expected[inside], atol=1e-5)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000, 44057])
def test_a_sound_in_blocks_is_resampled_as_it_is_at_once(rate: int) -> None:
    sound = np.random.default_rng(0).normal(size=rate // 5 + 7).astype(np.float32)
    whole = resampled(sound, rate, RATE)
    assert len(whole) == -(-len(sound) * RATE // rate)
    made, parts = Resampler(rate, RATE), []
    for at in range(0, len(sound), 1000):
        parts.append(made.feed(sound[at : at + 1000]))
    np.testing.assert_allclose(np.concatenate([*parts, made.finish()]), whole, atol=1e-5)


def test_resampling_keeps_what_fits_and_leaves_out_what_does_not() -> None:
    kept, gone = (resampled(tone(48000, 0.5, hertz), 48000, RATE)[800:-800] for hertz in (7000.0, 9000.0))
    np.testing.assert_allclose(kept, tone(RATE, 0.5, 7000.0)[800:-800], atol=1e-4)
    assert np.abs(gone).max() < 1e-4
    assert resampled(np.ones(1), 8000, RATE).shape == (2,)


def test_a_notice_says_where_a_sound_breaks_off(monkeypatch: pytest.MonkeyPatch) -> None:
    from formers.processing.audio import reading

    def broken(file: Any, name: str) -> Any:
        yield np.zeros((RATE, 2), np.float32), RATE
        raise reading._Unread("the stream ends")

    monkeypatch.setitem(reading._READERS, "soundfile", broken)
    with pytest.warns(Notice, match=r"breaks off after 1.0 s \(the stream ends\)"):
        assert len(load_audio(b"whatever it is")) == RATE


def _streamed() -> Any:
    yield from (np.arange(at, at + 3, dtype="<i2").tobytes() for at in range(0, 9, 3))
    raise RuntimeError("the line is cut")


def test_pieces_of_a_stream_grow_overlap_and_are_told_before_it_breaks_off() -> None:
    stream, whole = live_chunks(_streamed(), 1, 7, (1, 2), "s16le"), [*range(7)]
    told = [(one["raw"].tolist(), one["stride"], one["partial"]) for one in islice(stream, 4)]
    with pytest.raises(RuntimeError, match="the line is cut"):
        next(stream)
    assert told == [
        (whole[:3], (0, 0), True),
        (whole[:6], (0, 0), True),
        (whole, (0, 2), False),
        ([4, 5, 6, 7, 8], (1, 0), False),
    ]
    for wrong, says in (({"chunk_length_s": 2}, "leaves nothing"), ({"format_for_conversion": "u8"}, "u8")):
        asked: dict[str, Any] = {"chunk_length_s": 9, "stride_length_s": 1, **wrong}
        with pytest.raises(ValueError, match=says):
            next(live_chunks([], 1, **asked))


def test_a_file_is_read_block_by_block(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    soundfile.write(path, tone(seconds=60.0), RATE, subtype="FLOAT")
    blocks = [*wave_blocks(path, RATE)]
    assert len(blocks) > 3
    np.testing.assert_array_equal(np.concatenate(blocks), load_audio(path))
    wave = tone(seconds=40.0)
    wave[500_000] = np.inf
    soundfile.write(path, wave, RATE, subtype="FLOAT")
    with pytest.raises(BadSound, match="number 500000"):
        [*wave_blocks(path, RATE)]


def test_long_sounds_are_heard_while_they_are_read() -> None:
    """Features of blocks of any lengths are those of the whole."""
    extractor = formers.WhisperFeatureExtractor(feature_size=8, chunk_length=1)
    draw = np.random.default_rng(0)
    for samples in (16_000 * 43 + 77, 2048 * 160 + 200, 2048 * 160 * 2, 4_001):
        wave = draw.normal(size=samples).astype("f4")
        cuts = np.sort(draw.integers(0, samples, 37))
        found, count = extractor.of_blocks(iter(np.split(wave, cuts)))
        given = {"sampling_rate": 16_000, "truncation": False, "padding": "longest", "return_tensors": "pt"}
        whole = extractor(wave, return_attention_mask=True, **given)
        assert count == samples
        assert set(found) == set(whole)
        np.testing.assert_allclose(found["input_features"], whole["input_features"], atol=1e-5)
        assert found["attention_mask"].equal(whole["attention_mask"])
    assert formers.WhisperFeatureExtractor(dither=0.1).of_blocks(iter([])) is None
