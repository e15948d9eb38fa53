"""Pictures that processors get wrong: thin, tiny, grey, with a palette, transparent, of 16 bits, turned."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image


def colours(height: int, width: int, channels: int = 3) -> Any:
    """Smooth and noisy at once, uint8 [height, width, channels]."""
    rng = np.random.default_rng(height * 31 + width)
    waves = np.sin(np.arange(height)[:, None, None] / 7 + np.arange(width)[None, :, None] / 5)
    noise = rng.integers(0, 60, (height, width, channels))
    found = (100 + 60 * waves + noise).clip(0, 255).astype(np.uint8)
    return found[..., 0] if channels == 1 else found


def turned(orientation: int) -> bytes:
    """A JPEG that its EXIF says to turn."""
    image = Image.fromarray(colours(40, 60))
    exif = image.getexif()
    exif[0x0112] = orientation
    held = io.BytesIO()
    image.save(held, "jpeg", exif=exif)
    return held.getvalue()


def pictures() -> dict[str, Any]:
    """Name -> Pillow image or array."""
    rgb = Image.fromarray(colours(50, 70))
    palette = rgb.convert("P", palette=Image.Palette.ADAPTIVE)
    see_through = rgb.convert("P", palette=Image.Palette.ADAPTIVE)
    see_through.info["transparency"] = 3
    return {
        "plain": rgb,
        "large": Image.fromarray(colours(480, 640)),
        "upright": Image.fromarray(colours(90, 30)),
        "one pixel": Image.fromarray(colours(1, 1)),
        "thin": Image.fromarray(colours(7, 300)),
        "odd": Image.fromarray(colours(223, 225)),
        "its own size": Image.fromarray(colours(224, 224)),
        "RGBA": Image.fromarray(colours(50, 70, 4)),
        "LA": Image.fromarray(colours(33, 41, 4)).convert("LA"),
        "grey": Image.fromarray(colours(31, 45, 1)),
        "palette": palette,
        "palette with a hole": see_through,
        "two colours": rgb.convert("1"),
        "CMYK": rgb.convert("CMYK"),
        "HSV": rgb.convert("HSV"),
        "16 bits": Image.fromarray(colours(20, 30, 1).astype(np.uint16) * 200),
        "turned": Image.open(io.BytesIO(turned(6))),
        "array": colours(64, 48),
        "array, channels first": colours(64, 48).transpose(2, 0, 1).copy(),
        "floats": (colours(40, 40) / 255).astype(np.float32),
        "whole floats": colours(40, 44).astype(np.float32),
    }
