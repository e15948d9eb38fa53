"""Sounds from wherever they are: files, addresses, bytes, base64, arrays, tensors and decoders."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from formers.core.extras import MissingExtra, installed, need
from formers.core.notices import notice
from formers.processing.audio.rates import Resampler, Wave, checked_rate, resampled
from formers.processing.sources import called, opened

_BLOCK = 1 << 18  # frames that are read at once
_DECODERS = ("soundfile", "av", "ffmpeg")
_OTHERS = ("torchcodec", "torchaudio", "librosa")


class BadSound(OSError, ValueError):
    """A sound cannot be read; the message names it."""


def load_audio(
    audio: Any, sampling_rate: int = 16000, timeout: float | None = None, backend: str = "auto"
) -> Any:
    """Read a sound: mono, at one rate.

    Args:
        audio: a path, an http(s) address, bytes, a base64 text or `data:` URL, an open file; of what has
            several sounds, the first. An array or tensor is taken to have the rate, and returned. A
            dictionary holds `array` or `raw`, [T] or [channels, T], and `sampling_rate`; or `path` or
            `bytes`. A decoder has `get_all_samples`.
        sampling_rate: of the answer, in Hz.
        timeout: seconds for an address to answer.
        backend: what decodes files: "soundfile", "av" or "ffmpeg" (the program); "auto" tries them in turn.

    Returns:
        float32 [T].

    Raises:
        BadSound: when it cannot be found or read, or holds no sound; an OSError and a ValueError.
        MissingExtra: when nothing that decodes files is installed.
        TypeError: for anything else than the above.
    """
    if isinstance(audio, np.ndarray):
        return audio
    return as_wave(audio, sampling_rate, timeout=timeout, backend=backend)


def as_wave(
    sound: Any, sampling_rate: int, name: str = "", timeout: float | None = None, backend: str = "auto"
) -> Wave:
    """Any sound as float32 [T] at a rate; see `load_audio`. `name` is what errors call it."""
    wanted = checked_rate(sampling_rate)
    name = name or called(sound, "sound")
    if isinstance(sound, Mapping):
        values = next((sound[key] for key in ("array", "raw") if sound.get(key) is not None), None)
        if values is not None:
            if sound.get("sampling_rate") is None:
                raise ValueError(f"{name} is an array without its sampling_rate")
            rate = checked_rate(sound["sampling_rate"])
            return resampled(_checked(mono(values, name), name), rate, wanted)
        sound = sound.get("bytes") or sound.get("path")
        if sound is None:
            raise TypeError(f"{name} holds none of array, raw, bytes and path")
        name = called(sound, "sound")
    if hasattr(sound, "get_all_samples"):
        samples = sound.get_all_samples()
        return resampled(_checked(mono(samples.data, name), name), checked_rate(samples.sample_rate), wanted)
    if isinstance(sound, np.ndarray) or hasattr(sound, "cpu"):
        return _checked(mono(sound, name), name)
    return gathered([*wave_blocks(sound, wanted, name, timeout, backend)])


def wave_blocks(
    sound: Any, sampling_rate: int, name: str = "", timeout: float | None = None, backend: str = "auto"
) -> Iterator[Wave]:
    """Any sound as blocks of float32 [t] at a rate, those of files as they are read; see `as_wave`."""
    name = name or called(sound, "sound")
    if isinstance(sound, Mapping) and all(sound.get(key) is None for key in ("array", "raw")):
        sound = sound.get("bytes") or sound.get("path") or sound
        name = called(sound, "sound")
    if isinstance(sound, (Mapping, np.ndarray)) or hasattr(sound, "cpu") or hasattr(sound, "get_all_samples"):
        yield as_wave(sound, sampling_rate, name, timeout)
        return
    empty = True
    for block in _decoded(sound, checked_rate(sampling_rate), name, timeout, backend):
        if len(block):
            yield block
            empty = False
    if empty:
        raise BadSound(f"{name} holds no samples")


def gathered(parts: list[Wave]) -> Wave:
    """Blocks as one wave, the last first, so that what was copied is given back at once."""
    if len(parts) == 1:
        return parts[0]
    found = np.empty(sum(map(len, parts)), np.float32)
    end = len(found)
    while parts:
        part = parts.pop()
        found[end - len(part) : end] = part
        end -= len(part)
    return found


def mono(values: Any, name: str = "the sound") -> Wave:
    """An array, tensor or list [T], [channels, T] or [T, channels] as float32 [T], the mean of its channels.

    Whole numbers of 16 and 32 bits, and bytes around 128, become floats from -1 to 1.

    Raises:
        BadSound: for other shapes.
    """
    if hasattr(values, "cpu"):
        values = values.detach().cpu()
        values = values.float().numpy() if values.is_floating_point() else values.numpy()
    try:
        array = np.asarray(values)
    except ValueError as error:  # lists of several lengths
        raise BadSound(f"{name} holds lists that are no array [T] or [channels, T]") from error
    if array.dtype.kind not in "biuf":
        raise BadSound(f"{name} holds {array.dtype}, not numbers of one length for each channel")
    if isinstance(values, np.ndarray) and array.dtype.kind in "iu" and array.dtype.itemsize <= 4:
        middle = 128 if array.dtype == np.uint8 else 0
        array = (array.astype(np.float32) - middle) / (1 << (8 * array.dtype.itemsize - 1))
    if array.ndim == 2:
        array = array.mean(0 if array.shape[0] <= array.shape[1] else 1, dtype=np.float32)
    if array.ndim != 1:
        raise BadSound(f"{name} is an array {list(array.shape)}: a sound is [T] or [channels, T]")
    return array.astype(np.float32, copy=False)


def _checked(wave: Wave, name: str) -> Wave:
    if not len(wave):
        raise BadSound(f"{name} holds no samples")
    return _finite(wave, name)


def _finite(wave: Wave, name: str, before: int = 0) -> Wave:
    """The samples, of which `before` came earlier; resampling would spread one that is no number."""
    if not np.isfinite(wave.sum()) and not np.isfinite(wave).all():
        raise BadSound(f"{name} holds samples that are no numbers, or infinite: {_first(wave, before)}")
    return wave


def _first(wave: Wave, before: int) -> str:
    place = int(np.argmin(np.isfinite(wave)))
    return f"the first is number {place + before}, {wave[place]}"


# -- files ---------------------------------------------------------------------------------------------------


def _decoded(source: Any, wanted: int, name: str, timeout: float | None, backend: str) -> Iterator[Wave]:
    if backend not in ("auto", *_DECODERS):
        more = "; sounds are decoded by those here" if backend in _OTHERS else ""
        raise ValueError(f"backend is one of auto, {', '.join(_DECODERS)}, not {backend!r}{more}")
    file, own = opened(source, "sound", BadSound, timeout, name), isinstance(source, (str, os.PathLike))
    there = [one for one in _DECODERS if (shutil.which(one) if one == "ffmpeg" else installed(one))]
    if backend != "auto":
        there = [backend]
    if not there:
        raise MissingExtra(
            "sounds are decoded by soundfile or av, of which none is installed: pip install 'formers[audio]'"
        )
    try:
        reasons = []
        for decoder in there:
            file.seek(0)
            try:
                yield from _at_rate(_READERS[decoder](file, name), wanted, name)
                return
            except _Unread as error:
                reasons.append(f"{decoder}: {error}")
        raise BadSound(f"{name} is no sound in a format that is read here ({'; '.join(reasons)})")
    finally:
        if own:
            file.close()


class _Unread(Exception):
    """One decoder does not read a file; the next may."""


def _at_rate(blocks: Iterator[tuple[Wave, int]], wanted: int, name: str) -> Iterator[Wave]:
    """Blocks [T, channels] and their rates as mono ones at one rate; what came before a failure is kept."""
    rate, heard, count, made = 0, 0, 0, Resampler(wanted, wanted)
    try:
        for block, now in blocks:
            if now != rate:
                yield made.finish()
                rate = checked_rate(now)
                try:
                    made = Resampler(rate, wanted)
                except ValueError as error:
                    raise BadSound(f"{name}: {error}") from error
            flat = _finite(block.mean(1) if block.shape[1] > 1 else block[:, 0], name, heard)
            heard += len(flat)
            # in pieces: of a low rate a block would become thousands of times as long
            step = max(1, _BLOCK * rate // wanted)
            for at in range(0, len(flat), step):
                found = made.feed(flat[at : at + step])
                count += len(found)
                yield found
    except _Unread as error:
        if not rate:
            raise
        notice(f"{name} breaks off after {count / wanted:.1f} s ({error}): the rest is missing")
    yield made.finish()


def _by_soundfile(file: Any, name: str) -> Iterator[tuple[Wave, int]]:
    module = need("soundfile", "audio", "sounds")
    try:
        with module.SoundFile(file) as sound:
            while len(block := sound.read(_BLOCK, dtype="float32", always_2d=True)):
                yield block, sound.samplerate
    except (module.LibsndfileError, RuntimeError) as error:
        raise _Unread(str(error).partition(": ")[2] or str(error)) from error


def _by_av(file: Any, name: str) -> Iterator[tuple[Wave, int]]:
    module = need("av", "audio", "sounds")
    try:
        with module.open(file, mode="r", metadata_errors="ignore") as container:
            if not container.streams.audio:
                raise BadSound(
                    f"{name} has no sound: it holds {len(container.streams.video)} video stream(s)"
                )
            flat = module.AudioResampler(format="fltp")
            for frame in container.decode(audio=0):
                for one in flat.resample(frame):
                    yield one.to_ndarray().T, one.sample_rate
    except module.FFmpegError as error:
        raise _Unread(str(error)) from error


def _by_ffmpeg(file: Any, name: str) -> Iterator[tuple[Wave, int]]:
    """Through the program, at 48 kHz."""
    command = ["ffmpeg", "-v", "error", "-i", "pipe:0", "-vn", "-f", "f32le", "-ac", "1", "-ar", "48000", "-"]
    try:
        done = subprocess.run(command, input=file.read(), capture_output=True, check=False)
    except OSError as error:
        raise _Unread(f"the program ffmpeg does not start: {error}") from error
    if not done.stdout:
        raise _Unread(done.stderr.decode(errors="replace").strip().splitlines()[-1:] or "no output")
    yield np.frombuffer(done.stdout, "<f4")[:, None], 48000


_READERS = {"soundfile": _by_soundfile, "av": _by_av, "ffmpeg": _by_ffmpeg}
