"""Sounds into files: WAV by itself, other forms through soundfile."""

from __future__ import annotations

import os
import wave
from pathlib import Path
from typing import Any

import numpy as np

from formers.core.atomic import write_atomically
from formers.core.extras import need
from formers.processing.audio.rates import checked_rate

_FULL = 32767  # the loudest of 16 bits
_MORE = ("flac", "mp3", "ogg")


def check_ending(path: str | os.PathLike[str]) -> str:
    """The form that a file's ending asks for, in small letters.

    Raises:
        MissingExtra: where that form needs soundfile, and it is not installed.
        ValueError: for an ending that is no sound's.
    """
    form = Path(path).suffix[1:].lower()
    if form not in ("wav", *_MORE):
        raise ValueError(f"sounds are written as .wav, .{', .'.join(_MORE)}, not as {Path(path).name!r}")
    if form != "wav":
        need("soundfile", "audio", f"files that end in .{form}")
    return form


def write_sound(path: str | os.PathLike[str], samples: Any, rate: int) -> None:
    """Write a sound, 16 bits a sample, wholly or not at all.

    Args:
        path: its ending says the form.
        samples: [n] or [channels, n], floating; beyond -1 and 1 they are cut.
        rate: samples per second.

    Raises:
        MissingExtra, ValueError: see `check_ending`; also for samples that are no numbers, and for none.
    """
    form, rate = check_ending(path), checked_rate(rate)
    sound = np.atleast_2d(np.asarray(samples, dtype=np.float64))
    if sound.ndim != 2 or not sound.size:
        raise ValueError(f"a sound has shape [n] or [channels, n], not {list(np.shape(samples))}")
    if not np.isfinite(sound).all():
        raise ValueError("these samples are not all numbers (NaN or infinite): the model failed on this text")
    whole = np.round(np.clip(sound, -1, 1).T * _FULL).astype("<i2")  # [n, channels]
    with write_atomically(path) as part:
        if form == "wav":
            with part.open("wb") as stream, wave.open(stream, "wb") as file:
                file.setnchannels(whole.shape[1])
                file.setsampwidth(2)
                file.setframerate(rate)
                file.writeframes(whole.tobytes())
        else:
            need("soundfile", "audio").write(part, whole, rate, format=form.upper())
