"""Sounds while they are heard: pieces that grow, and overlap, out of a stream of bytes."""

from __future__ import annotations

import platform
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from formers.processing.audio.rates import Wave, checked_rate
from formers.processing.audio.reading import BadSound, as_wave

_FORMATS: dict[str, np.dtype[Any]] = {"f32le": np.dtype("<f4"), "s16le": np.dtype("<i2")}
_DEVICES = {"Linux": ("alsa", "default"), "Darwin": ("avfoundation", ":default"), "Windows": ("dshow", "")}
_LATE = 10  # steps that an answer may be behind before pieces are left out


def chunk_bytes_iter(
    iterator: Iterable[bytes], chunk_len: int, stride: tuple[int, int], stream: bool = False
) -> Iterator[dict[str, Any]]:
    """Pieces of `chunk_len` bytes, which share `stride` bytes with those before and behind.

    Args:
        iterator: bytes as they come.
        chunk_len: see above.
        stride: on the left and on the right.
        stream: a piece that is not full yet is told too, with `partial` True; a whole one with False.

    Returns:
        `{"raw": bytes, "stride": (left, right)}` each. What came before the stream broke off is the last
        piece, and then the failure is raised.

    Raises:
        ValueError: for strides that leave nothing of a piece.
    """
    left, right = stride
    if left < 0 or right < 0 or left + right >= chunk_len:
        raise ValueError(
            f"a stride of {stride} leaves nothing of a piece of {chunk_len}: choose a shorter one"
        )
    held, before = b"", 0

    def piece(raw: bytes, behind: int, partial: bool) -> dict[str, Any]:
        found: dict[str, Any] = {"raw": raw, "stride": (before, behind)}
        return {**found, "partial": partial} if stream else found

    failure: Exception | None = None
    source = iter(iterator)
    while True:
        try:
            more = next(source)
        except StopIteration:
            break
        except Exception as error:
            failure = error
            break
        held += more
        if stream and len(held) < chunk_len:
            yield piece(held, 0, True)
        while len(held) >= chunk_len:
            yield piece(held[:chunk_len], right, False)
            held, before = held[chunk_len - left - right :], left
    if len(held) > before:
        yield piece(held, 0, False)
    if failure is not None:
        raise failure


def live_chunks(
    source: Iterable[bytes],
    sampling_rate: int,
    chunk_length_s: float,
    stride_length_s: float | Sequence[float] | None = None,
    format_for_conversion: str = "f32le",
    step_s: float | None = None,
) -> Iterator[dict[str, Any]]:
    """What a pipeline for speech reads of a stream: `pipe(live_chunks(...))` answers while it lasts.

    Args:
        source: samples as bytes, mono, as they come: from a microphone, a socket, a program.
        sampling_rate: in Hz.
        chunk_length_s: seconds of a whole piece.
        stride_length_s: seconds that it shares with its neighbours; a sixth of its length where None.
        format_for_conversion: of the samples, "f32le" or "s16le".
        step_s: seconds between two entries of `source`, where those come as time goes by: pieces are left out
            while the reader is more than ten of them behind. None where nothing is left out.

    Returns:
        `{"raw": array, "stride": (left, right), "sampling_rate", "partial"}` each: partial ones, which grow,
        and then the whole piece.

    Raises:
        ValueError: for another format, rate or stride.
    """
    rate = checked_rate(sampling_rate)
    if format_for_conversion not in _FORMATS:
        raise ValueError(f"format_for_conversion is f32le or s16le, not {format_for_conversion!r}")
    kind = _FORMATS[format_for_conversion]
    given = chunk_length_s / 6 if stride_length_s is None else stride_length_s
    sides = [given, given] if isinstance(given, (int, float)) else [*given]
    length, left, right = (round(rate * one) * kind.itemsize for one in (chunk_length_s, *sides))
    due = time.monotonic()
    for one in chunk_bytes_iter(source, length, (left, right), stream=True):
        raw = one["raw"][: len(one["raw"]) // kind.itemsize * kind.itemsize]
        if step_s is not None:
            due += step_s
            if time.monotonic() > due + _LATE * step_s:
                continue
        shared = tuple(side // kind.itemsize for side in one["stride"])
        yield {**one, "raw": np.frombuffer(raw, kind), "stride": shared, "sampling_rate": rate}


def ffmpeg_microphone(
    sampling_rate: int,
    chunk_length_s: float,
    format_for_conversion: str = "f32le",
    ffmpeg_input_device: str | None = None,
    ffmpeg_additional_args: Sequence[str] | None = None,
) -> Iterator[bytes]:
    """What a microphone hears, `chunk_length_s` seconds at a time, through the program ffmpeg.

    Args:
        sampling_rate: in Hz.
        chunk_length_s: see above.
        format_for_conversion: of the samples, "f32le" or "s16le".
        ffmpeg_input_device: ffmpeg's name of the device; the system's own where None.
        ffmpeg_additional_args: more of its options.

    Raises:
        BadSound: where the program is missing, or hears nothing.
        ValueError: for another format or rate.
    """
    rate = checked_rate(sampling_rate)
    if format_for_conversion not in _FORMATS:
        raise ValueError(f"format_for_conversion is f32le or s16le, not {format_for_conversion!r}")
    kind, device = _DEVICES.get(platform.system(), _DEVICES["Linux"])
    device = ffmpeg_input_device or device
    if not device:
        raise ValueError("say which microphone: ffmpeg_input_device='audio=...', of ffmpeg -list_devices")
    command = ["ffmpeg", "-v", "error", "-f", kind, "-i", device, "-ac", "1", "-ar", str(rate)]
    command += ["-f", format_for_conversion, "-fflags", "nobuffer", *(ffmpeg_additional_args or ()), "pipe:1"]
    count = round(rate * chunk_length_s) * _FORMATS[format_for_conversion].itemsize
    try:
        program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except OSError as error:
        raise BadSound(f"the program ffmpeg, which reads the microphone, does not start: {error}") from error
    assert program.stdout is not None
    assert program.stderr is not None
    heard = False
    try:
        while raw := program.stdout.read(count):
            heard = True
            yield raw
        if not heard:
            said = program.stderr.read().decode(errors="replace").strip() or "no output"
            raise BadSound(f"ffmpeg hears nothing from {device!r}: {said}")
    finally:
        program.kill()
        program.communicate()


def ffmpeg_microphone_live(
    sampling_rate: int,
    chunk_length_s: float,
    stream_chunk_s: float | None = None,
    stride_length_s: float | Sequence[float] | None = None,
    format_for_conversion: str = "f32le",
    ffmpeg_input_device: str | None = None,
    ffmpeg_additional_args: Sequence[str] | None = None,
) -> Iterator[dict[str, Any]]:
    """What a microphone hears as a pipeline reads it; see `live_chunks` and `ffmpeg_microphone`.

    Args:
        sampling_rate: in Hz.
        chunk_length_s: seconds of a whole piece.
        stream_chunk_s: seconds after which a piece that grows is told; a whole piece's where None.
        stride_length_s: see `live_chunks`.
        format_for_conversion: likewise.
        ffmpeg_input_device: see `ffmpeg_microphone`.
        ffmpeg_additional_args: likewise.
    """
    step = chunk_length_s if stream_chunk_s is None else stream_chunk_s
    heard = ffmpeg_microphone(
        sampling_rate, step, format_for_conversion, ffmpeg_input_device, ffmpeg_additional_args
    )
    return live_chunks(heard, sampling_rate, chunk_length_s, stride_length_s, format_for_conversion, step)


def ffmpeg_read(bpayload: bytes, sampling_rate: int) -> Wave:
    """The sound of a file's bytes, float32 [T]; see `load_audio`, by which it is decoded."""
    return as_wave(bpayload, sampling_rate)
