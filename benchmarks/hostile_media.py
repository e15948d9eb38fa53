"""Requests about pictures and sounds that are dear to read, and small models that are asked them."""

from __future__ import annotations

import base64
import io
import json
import struct
import wave
from collections.abc import Callable
from pathlib import Path

SIDES = (512, 2048, 5792)  # pixels; the last squared is the limit
SECONDS = (10, 100, 590)  # of sound; the limit is 600
COUNTS = (16, 64, 250)
BYTES = (1 << 16, 1 << 20, 30_000_000)
Make = Callable[[int], bytes]
Case = tuple[tuple[int, ...], Make]


def sender(kind: str, make: Make) -> Make:
    """A request whose body has a type of its own."""

    def send(size: int) -> bytes:
        body = make(size)
        head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        return head.encode() + body

    return send


def picture(kind: str, frames: int = 1) -> Make:
    """A picture of one colour, so many pixels wide and high: a small file."""
    from PIL import Image

    def make(side: int) -> bytes:
        file = io.BytesIO()
        drawn = [Image.new("RGB", (side, side), (number, 20, 30)) for number in range(frames)]
        more = {"save_all": True, "append_images": drawn[1:]} if frames > 1 else {}
        drawn[0].save(file, kind, **more)
        return file.getvalue()

    return make


def packed(data: bytes) -> str:
    """Base64."""
    return base64.b64encode(data).decode()


def many(data: bytes) -> Make:
    """One request about many of the same."""
    return lambda count: json.dumps({"inputs": [packed(data)] * count}).encode()


def form(make: Make) -> Make:
    """A form around a file."""
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    return lambda size: head + make(size) + b"\r\n--x--\r\n"


def fields(size: int) -> bytes:
    """A form of nothing but boundaries."""
    return b"--x\r\n" * (size // 5)


def wav(rate: int) -> Make:
    """Silence of so many seconds, or of as many samples where the rate is one."""

    def make(seconds: int) -> bytes:
        file = io.BytesIO()
        with wave.open(file, "wb") as writer:
            writer.setparams((1, 2, rate, 0, "NONE", ""))
            writer.writeframes(bytes(2 * 16000 * seconds))
        return file.getvalue()

    return make


def flac(seconds: int) -> bytes:
    """The same in a small file."""
    import numpy as np
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, np.zeros(16000 * seconds, "float32"), 16000, format="FLAC")
    return file.getvalue()


def nan(seconds: int) -> bytes:
    """Floats that are no numbers."""
    data = struct.pack("<f", float("nan")) * (16000 * min(seconds, 400))
    form_of = struct.pack("<HHIIHH", 3, 1, 16000, 64000, 4, 32)
    chunks = b"fmt " + struct.pack("<I", 16) + form_of + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def pictures() -> dict[str, Case]:
    """What a server of pictures is asked."""
    raw, as_json = "application/octet-stream", "application/json"
    return {
        "PNG, pixels to the side": (SIDES, sender(raw, picture("PNG"))),
        "JPEG, pixels to the side": (SIDES, sender(raw, picture("JPEG"))),
        "GIF of 30 frames": (SIDES[:2], sender(raw, picture("GIF", 30))),
        "PNG in a form": (SIDES, sender("multipart/form-data; boundary=x", form(picture("PNG")))),
        "PNG above the limit": ((5793, 9000), sender(raw, picture("PNG"))),
        "pictures of 2048 x 2048": (COUNTS, sender(as_json, many(picture("PNG")(2048)))),
        "boundaries alone": (BYTES, sender("multipart/form-data; boundary=x", fields)),
        "base64 that is none": (BYTES, sender(as_json, lambda n: b'{"inputs":"%b"}' % (b"*" * n))),
        "nested parameters": (
            (90, 900, 9000),
            sender(as_json, lambda n: b'{"inputs":"YQ==","parameters":{"top_k":%b}}' % (b"[" * n + b"]" * n)),
        ),
    }


def sounds() -> dict[str, Case]:
    """What a server of sounds is asked."""
    raw = "application/octet-stream"
    return {
        "WAV of seconds": (SECONDS, sender(raw, wav(16000))),
        "WAV of one sample a second": (SECONDS, sender(raw, wav(1))),
        "WAV of 600,011 samples a second": (SECONDS, sender(raw, wav(600_011))),
        "WAV of 44,099 samples a second": (SECONDS, sender(raw, wav(44_099))),
        "FLAC of silence": ((*SECONDS, 7200), sender(raw, flac)),
        "no numbers": (SECONDS, sender(raw, nan)),
        "sounds of 100 s": (COUNTS, sender("application/json", many(flac(100)))),
    }


def seeing(folder: Path) -> Path:
    """A model that looks at pictures of 32 x 32 pixels."""
    import formers

    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = formers.ViTConfig(**shape, image_size=32, patch_size=16, num_labels=3)
    formers.ViTForImageClassification(config).save_pretrained(folder)
    formers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def hearing(folder: Path) -> Path:
    """A model that hears."""
    import formers

    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    layers = {
        "conv_dim": (8,) * 3,
        "conv_kernel": (40, 16, 8),
        "conv_stride": (20, 16, 8),
        "num_feat_extract_layers": 3,
    }
    config = formers.Wav2Vec2Config(
        **shape,
        **layers,
        vocab_size=30,
        num_labels=3,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
    )
    formers.Wav2Vec2ForSequenceClassification(config).save_pretrained(folder)
    formers.Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return folder
