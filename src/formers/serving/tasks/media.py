"""Pictures and sounds that strangers send: nothing is fetched, nothing becomes larger than it may."""

from __future__ import annotations

import base64
import binascii
import io
from typing import Any

import numpy as np

from formers.core.extras import installed
from formers.processing.audio.rates import Wave
from formers.processing.audio.reading import BadSound, gathered, wave_blocks
from formers.processing.reading import BadPicture, load_image, pillow
from formers.serving.limits import Refusal

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")  # others of Pillow's start programs, or are rare
# How files of sound begin, and where. A list of addresses is a "sound" to some decoders, which fetch them.
_SOUNDS = (
    *((0, mark) for mark in (b"RIFF", b"fLaC", b"OggS", b"ID3", b"FORM", b".snd", b"caff", b"#!AMR")),
    *((0, bytes([0xFF, second])) for second in (0xFB, 0xFA, 0xF3, 0xF2, 0xF1, 0xF9)),
    (0, b"\x1aE\xdf\xa3"),
    (4, b"ftyp"),
)
# likewise of films: Matroska, MP4 and its kin, AVI, GIF
_FILMS = ((0, b"\x1aE\xdf\xa3"), (4, b"ftyp"), (8, b"AVI "), (0, b"GIF8"))
_DECODERS = ("soundfile", "av")  # those that give a sound piece by piece


def packed(value: Any, place: str) -> bytes:
    """The bytes of base64, alone or in a `data:` URL; bytes are that already.

    Raises:
        Refusal: 422 for anything else, an address among it: nothing is fetched for a stranger.
    """
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise Refusal(422, f"{place} must be base64 in a string")
    if value.startswith("data:"):
        head, _, value = value.partition(",")
        if not head.endswith(";base64"):
            raise Refusal(422, f"{place} is a data: URL without base64")
    if value.startswith(("http:", "https:")):
        raise Refusal(422, f"{place} is an address, which is not fetched here: send the bytes, as base64")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise Refusal(422, f"{place} is not base64") from None


def picture(data: bytes, place: str, most: int) -> Any:
    """A picture as an RGB `PIL.Image.Image`, upright.

    Args:
        data: its file.
        place: what errors call it.
        most: pixels that it may have, looked at before any is decoded.

    Raises:
        Refusal: 413 for more, 422 for what cannot be read.
    """
    module = pillow()
    try:
        found = module.open(io.BytesIO(data), formats=FORMATS)
    except module.DecompressionBombError:
        raise Refusal(413, f"{place} has far more than the {most} pixels that are taken") from None
    except Exception:  # whatever a decoder raises of bytes that somebody made up
        raise Refusal(422, f"{place} is no picture in one of the formats {', '.join(FORMATS)}") from None
    if found.width * found.height > most:
        said = f"{place} has {found.width} x {found.height} pixels; at most {most} are taken"
        raise Refusal(413, said)
    try:
        return load_image(found, name=place)
    except BadPicture as error:
        raise Refusal(422, str(error)) from None
    except Exception as error:  # likewise
        raise Refusal(422, f"{place} cannot be read: {type(error).__name__}") from None


def sound(data: bytes, place: str, rate: int, most: float) -> Wave:
    """A sound as float32 [T] at `rate` Hz, mono.

    Args:
        data: its file.
        place: what errors call it.
        rate: of the answer.
        most: seconds that it may last; decoding ends where it lasts longer.

    Raises:
        Refusal: 413 for a longer one, 422 for what cannot be read.
    """
    if not any(data[at : at + len(mark)] == mark for at, mark in _SOUNDS):
        raise Refusal(
            422, f"{place} is no sound in a format that is read here, such as WAV, FLAC, OGG or MP3"
        )
    there = [name for name in _DECODERS if installed(name)]
    for decoder in there:
        try:
            return _within(data, place, rate, most, decoder)
        except BadSound as error:
            if decoder == there[-1]:
                raise Refusal(422, str(error)) from None
        except Refusal:
            raise
        except Exception as error:  # whatever a decoder raises of such bytes
            raise Refusal(422, f"{place} cannot be read: {type(error).__name__}") from None
    raise Refusal(503, "sounds are not read here: soundfile or av is needed, pip install 'formers[audio]'")


def film(data: bytes, place: str, most: int) -> int:
    """Look at the head of a film's file.

    Args:
        data: its file.
        place: what errors call it.
        most: pixels that a frame may have.

    Returns:
        Pixels of a frame.

    Raises:
        Refusal: 413 for more, 422 for what cannot be read, 503 without what reads films.
    """
    if not installed("av"):
        raise Refusal(503, "films are not read here: av is needed, pip install 'formers[video]'")
    import av

    if not any(data[at : at + len(mark)] == mark for at, mark in _FILMS):
        raise Refusal(422, f"{place} is no film in a format that is read here, such as MP4, WebM or AVI")
    try:
        with av.open(io.BytesIO(data), mode="r", metadata_errors="ignore") as container:
            pictures = container.streams.video
            pixels = pictures[0].width * pictures[0].height if pictures else 0
    except Exception as error:  # whatever a decoder raises of such bytes
        raise Refusal(422, f"{place} cannot be read as a film: {type(error).__name__}") from None
    if not pixels:
        raise Refusal(422, f"{place} is no film: it holds no pictures")
    if pixels > most:
        raise Refusal(413, f"a frame of {place} has {pixels} pixels; at most {most} are taken")
    return int(pixels)


def _within(data: bytes, place: str, rate: int, most: float, decoder: str) -> Wave:
    parts, count = [], 0
    for block in wave_blocks(io.BytesIO(data), rate, place, backend=decoder):
        parts.append(block)
        count += len(block)
        if count > most * rate:
            raise Refusal(413, f"{place} lasts longer than the {most:g} s that are taken")
    return gathered(parts)


def png(picture: Any) -> bytes:
    """A Pillow image as a PNG file."""
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=1)
    return file.getvalue()


def wav(wave: Any, rate: int) -> bytes:
    """A sound [T], [1, T] or [channels, T], floats from -1 to 1, as a WAV file of 16 bits."""
    from wave import open as opened

    values = np.atleast_2d(np.asarray(wave, dtype=np.float32))
    values = values.reshape(-1, values.shape[-1])
    if not np.isfinite(values).all():
        raise ValueError("the sound holds numbers that are not finite")
    file = io.BytesIO()
    with opened(file, "wb") as writer:
        writer.setnchannels(len(values))
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes((values.clip(-1, 1).T * 32767).round().astype("<i2").tobytes())
    return file.getvalue()
