"""The steps that make numbers of a picture: to RGB, resize, cut, scale, pad. Arrays are [H, W, C]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from formers.core.extras import need
from formers.processing.reading import BadPicture, pillow
from formers.processing.recipe import NEAREST

Array = NDArray[Any]
_PAPER = 200  # grey of a page from which on it is empty


def to_rgb(image: Any) -> Any:
    """A Pillow image or an array with three channels; what is transparent stands on white.

    Raises:
        ValueError: for an array of floats with transparency beyond [0, 1].
    """
    if isinstance(image, np.ndarray):
        return _array_to_rgb(image)
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if "A" in image.getbands() or image.info.get("transparency") is not None:
        seen = image.convert("RGBA")
        white = pillow().new("RGBA", seen.size, (255, 255, 255, 255))
        image = pillow().alpha_composite(white, seen)
    return image.convert("RGB")


def _array_to_rgb(image: Array) -> Array:
    if image.shape[-1] == 1:
        return np.repeat(image, 3, axis=-1)
    if image.shape[-1] != 4:
        return image
    floats = np.issubdtype(image.dtype, np.floating)
    if floats and (image.min() < 0 or image.max() > 1):
        raise ValueError(
            f"transparent floats lie in [0, 1], but there are values from {image.min()} to {image.max()}"
        )
    white = 1.0 if floats else 255
    share = image[..., 3:] / white
    mixed = share * image[..., :3] + (1 - share) * white
    return (mixed if floats else np.round(mixed)).astype(image.dtype)


def pixels(image: Any) -> Array:
    """A Pillow image as an array [H, W, C]."""
    found = np.asarray(image)
    return found[..., None] if found.ndim == 2 else found


def resized(image: Any, height: int, width: int, resample: int, name: str = "the picture") -> Array:
    """Resize by one of Pillow's filters, in steps of 1/255.

    Args:
        image: a Pillow image, or an array of whole numbers in [0, 255] or floats in [0, 1].
        height: in pixels.
        width: in pixels.
        resample: Pillow's number of the filter.
        name: what errors call it.

    Returns:
        uint8 [height, width, C]; float32 in [0, 1] for an array of such.

    Raises:
        BadPicture: for values outside of these, or a size of 0.
    """
    if min(height, width) < 1:
        raise BadPicture(f"{name} would be resized to {height} x {width} pixels: it is too long and narrow")
    scaled = False
    if (
        resample == NEAREST
        and isinstance(image, np.ndarray)
        and image.dtype.kind in "iu"
        and image.max() > 255
    ):
        large = pillow().fromarray(image[..., 0].astype(np.int32))  # numbers of segments
        return pixels(large.resize((width, height), resample=resample))
    if isinstance(image, np.ndarray):
        image, scaled = as_pillow(image, name)
    elif image.mode.startswith(("I", "F")):  # 16 bit and more
        return resized(pixels(image), height, width, resample, name)
    found = pixels(image.resize((width, height), resample=resample))
    return (found.astype(np.float64) / 255).astype(np.float32) if scaled else found


def as_pillow(image: Array, name: str = "the picture") -> tuple[Any, bool]:
    """An array [H, W, C] as a Pillow image, and whether it held floats from 0 to 1.

    Raises:
        BadPicture: for other floats, or numbers that are no bytes.
    """
    scaled = not _are_bytes(image, name)
    if scaled:
        image = (image.astype(np.float64) * 255).astype(np.float32)
    image = image.astype(np.uint8)
    return pillow().fromarray(image[..., 0] if image.shape[-1] == 1 else image), scaled


def squared(image: Array) -> Array:
    """An array at the upper left of a square of zeros."""
    down, across = image.shape[:2]
    most = max(down, across)
    return np.pad(image, ((0, most - down), (0, most - across), (0, 0)))


def blurred(image: Array, height: int, width: int) -> Array:
    """Resize between the pixels' values; what becomes smaller is blurred before, so that nothing is jagged.

    Returns:
        float32 [height, width, C].

    Raises:
        MissingExtra: without SciPy.
    """
    filters = need("scipy.ndimage", "vision", "blurring pictures")
    image = image.astype(np.float32)
    factors = np.array(image.shape[:2]) / (height, width)
    spread = (*np.maximum(0, (factors - 1) / 2), 0)
    soft = filters.gaussian_filter(image, spread, mode="mirror") if any(spread) else image
    found = filters.zoom(soft, (*1 / factors, 1), order=1, mode="mirror", grid_mode=True)
    clipped: Array = np.clip(found, image.min(), image.max())
    return clipped


def _are_bytes(image: Array, name: str) -> bool:
    """Whether an array holds whole numbers in [0, 255]; else it holds floats in [0, 1]."""
    if image.dtype == np.uint8:
        return True
    low, high = image.min(), image.max()
    whole = image.dtype.kind in "biu" or bool(np.all(image == np.floor(image)))
    if (low >= 0 and high <= 255) if whole else (low >= 0 and high <= 1):
        return whole
    raise BadPicture(
        f"{name} holds values from {low} to {high}: to be resized, pixels are whole numbers from 0 to 255 or "
        "floats from 0 to 1. Scale it, or convert it to RGB (do_convert_rgb=True)"
    )


def cut(image: Array, height: int, width: int) -> Array:
    """The middle of an array, with zeros around where it is smaller."""
    down, across = image.shape[:2]
    if height > down or width > across:
        room = np.zeros((max(height, down), max(width, across), *image.shape[2:]), image.dtype)
        top, left = -(-(room.shape[0] - down) // 2), -(-(room.shape[1] - across) // 2)
        room[top : top + down, left : left + across] = image
        # the middle of the picture, not of the room: half a pixel goes the other way
        top, left = top + (down - height) // 2, left + (across - width) // 2
        return room[max(0, top) : top + height, max(0, left) : left + width]
    top, left = (down - height) // 2, (across - width) // 2
    return image[top : top + height, left : left + width]


def thumbnail(image: Array, height: int, width: int, resample: int, name: str = "the picture") -> Array:
    """A picture no larger than that, of its own shape; one that is small enough stays."""
    down, across = image.shape[:2]
    high, wide = min(down, height), min(across, width)
    if (high, wide) == (down, across):
        return image
    if down > across:
        wide = int(across * high / down)
    elif across > down:
        high = int(down * wide / across)
    return resized(image, high, wide, resample, name)


def without_margins(image: Any) -> Array:
    """A page cut to what is darker than its paper (Blecher et al. 2023, arXiv:2308.13418, section 4).

    Grey values are stretched from 0 to 255, and what is below 200 is no paper. A page of one colour stays.
    """
    whole = image if isinstance(image, np.ndarray) else pixels(image)
    page = (
        image if image is not whole else pillow().fromarray(whole[..., 0] if whole.shape[-1] == 1 else whole)
    )
    grey = np.asarray(page.convert("L"), dtype=np.float64)
    low, high = grey.min(), grey.max()
    if low == high:
        return whole
    dark = (grey - low) / (high - low) * 255 < _PAPER
    rows, columns = np.flatnonzero(dark.any(1)), np.flatnonzero(dark.any(0))
    return whole[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def in_the_middle(image: Array, height: int, width: int) -> Array:
    """A picture in the middle of a room of that size, with zeros around.

    Raises:
        ValueError: when it does not fit.
    """
    more = (height - image.shape[0], width - image.shape[1])
    if min(more) < 0:
        raise ValueError(
            f"a picture of {image.shape[0]} x {image.shape[1]} pixels does not fit into {height} x {width}: "
            "do_thumbnail=True makes it smaller, and a less narrow size leaves it room"
        )
    return np.pad(image, (*((one // 2, one - one // 2) for one in more), (0, 0)))


def grey(image: Array) -> Array:
    """Three channels that are alike, [C, H, W], by how bright the eye sees each; what has one stays.

    ITU-R BT.601, section 2.5.1.
    """
    if len(image) == 1 or (image == image[:1]).all():
        return image
    found = image[0] * 0.2989 + image[1] * 0.5870 + image[2] * 0.1140
    return np.stack([found] * 3)


def reduced(labels: Array) -> Array:
    """Labels one lower, as the background is none of them: 0 becomes 255, which losses leave out."""
    found = labels.astype(np.int64) - 1
    found[(labels == 0) | (labels == 255)] = 255
    return found


def standardised(
    batch: Array, factor: float | None, offset: float, mean: Any, std: Any, twice: bool = False
) -> Array:
    """Scale and normalise pictures of one size at once, channels first.

    Args:
        batch: [B, H, W, C].
        factor: multiplies the pixels; None leaves them.
        offset: is added then.
        mean: is taken off, a number or one for each channel; None leaves them.
        std: divides them then.
        twice: divide by `std` once more.

    Returns:
        float32 [B, C, H, W]; of the dtype of `batch` where nothing is done.

    Raises:
        ValueError: for another number of means than channels.
    """
    channels = batch.shape[-1]
    moved = batch.transpose(0, 3, 1, 2)
    if factor is None and mean is None:
        return np.ascontiguousarray(moved)
    slope, base = np.full(channels, 1.0 if factor is None else factor), np.full(channels, offset)
    if mean is not None:
        for said, values in (("image_mean", mean), ("image_std", std)):
            if np.ndim(values) and len(values) != channels:
                raise ValueError(
                    f"{said} has {len(values)} values, but the pictures have {channels} channel(s); "
                    "do_convert_rgb=True gives them three"
                )
        spread = np.asarray(std, np.float64)
        slope, base = slope / spread, (base - np.asarray(mean, np.float64)) / spread
    if twice:
        spread = np.asarray(std, np.float64)
        slope, base = slope / spread, base / spread
    out = np.empty(moved.shape, np.float32)
    for channel in range(channels):  # one plane after the other: each is read and written once
        np.multiply(moved[:, channel], np.float32(slope[channel]), out=out[:, channel], dtype=np.float32)
        out[:, channel] += np.float32(base[channel])
    return out


def padded(images: Sequence[Array], height: int, width: int) -> tuple[Array, Array]:
    """Pictures [C, H, W] at the upper left of equal rooms, and masks that say where they are.

    Returns:
        [B, C, height, width], and int64 [B, height, width].

    Raises:
        ValueError: when one does not fit.
    """
    out = np.zeros((len(images), images[0].shape[0], height, width), images[0].dtype)
    mask = np.zeros((len(images), height, width), np.int64)
    for row, image in enumerate(images):
        down, across = image.shape[1:]
        if down > height or across > width:
            raise ValueError(f"a picture of {down} x {across} pixels does not fit into {height} x {width}")
        out[row, :, :down, :across] = image
        mask[row, :down, :across] = 1
    return out, mask


def padded_to_multiple(image: Array, step: int) -> Array:
    """A picture [C, H, W] in the middle of a room whose edges are whole multiples of `step`."""
    more = [-(-edge // step) * step - edge for edge in image.shape[1:]]
    return np.pad(image, ((0, 0), *((one // 2, one - one // 2) for one in more)))


def mirrored_to_multiple(image: Array, step: int) -> Array:
    """A picture [C, H, W] and beyond its lower and right edges itself, mirrored, up to the next multiples."""
    more = [step - edge % step for edge in image.shape[1:]]
    return np.pad(image, ((0, 0), *((0, one) for one in more)), mode="symmetric")


def ring(edge: float) -> int:
    """How many pixels of a ring stand on both sides of so many."""
    return int((edge / 2) ** 0.5 * 3)


def mirrored_around(image: Array, down: int, across: int) -> Array:
    """An array [H, W, C] and around it itself, mirrored, so many pixels above and below, left and right."""
    return np.pad(image, ((down, down), (across, across), (0, 0)), mode="reflect")


def stretched(image: Array, height: int, width: int, resample: int) -> Array:
    """Resize between the pixels' values, by shares (2) or cubic curves (3); corners' centres stay there.

    Returns:
        float32 [height, width, C].

    Raises:
        ValueError: for another filter.
    """
    import torch
    from torch.nn import functional as F

    modes = {2: "bilinear", 3: "bicubic"}
    if resample not in modes:
        raise ValueError(
            f"resample is {' or '.join(map(str, modes))} here (bilinear, bicubic), not {resample}"
        )
    maps = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1), np.float32))[None]
    found = F.interpolate(maps, (height, width), mode=modes[resample], align_corners=True)
    return found[0].numpy().transpose(1, 2, 0)
