"""Pictures from wherever they are: files, addresses, bytes, base64, Pillow, arrays and tensors."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Union

import numpy as np
from numpy.typing import NDArray

from formers.core.extras import need
from formers.core.notices import notice
from formers.processing.sources import called, opened

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

# what processors take, for annotations; `Union`, so that it stands where neither Pillow nor torch is imported
ImageInput = Union["Image", NDArray[Any], "Tensor", list["Image"], list[NDArray[Any]], list["Tensor"]]


class BadPicture(OSError, ValueError):
    """A picture cannot be read; the message names it."""


def pillow() -> Any:
    """The module `PIL.Image`.

    Raises:
        MissingExtra: where Pillow is not installed.
    """
    return need("PIL.Image", "vision", "pictures")


def load_image(image: Any, timeout: float | None = None, name: str = "") -> Any:
    """Read a picture as RGB, upright as its EXIF says.

    Args:
        image: a path, an http(s) address, bytes, a base64 text or `data:` URL, or a Pillow image.
        timeout: seconds for an address to answer.
        name: what errors call it; its path or address where nothing is given.

    Returns:
        A `PIL.Image.Image` in mode "RGB"; of an animation, its first frame.

    Raises:
        BadPicture: when it cannot be found or read, is no picture, or has too many pixels; an OSError and a
            ValueError.
        TypeError: for anything else than the above.
    """
    Image = pillow()  # noqa: N806  (a module)
    name = name or called(image, "picture")
    try:
        if not isinstance(image, Image.Image):
            image = Image.open(opened(image, "picture", BadPicture, timeout, name))
            if getattr(image, "is_animated", False):
                notice(f"{name} holds {image.n_frames} frames: the first one is read")
        upright = need("PIL.ImageOps", "vision").exif_transpose(image)
        return upright.convert("RGB")
    except BadPicture:
        raise
    except Image.UnidentifiedImageError as error:
        raise BadPicture(f"{name} is no picture in a format that Pillow reads") from error
    except Image.DecompressionBombError as error:
        raise BadPicture(f"{name} is too large: {error}. See PIL.Image.MAX_IMAGE_PIXELS") from error
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError) as error:  # what decoders raise
        raise BadPicture(f"{name} cannot be read: {error or type(error).__name__}") from error


def is_picture(image: Any) -> bool:
    """Whether something is a Pillow image, an array or a tensor."""
    return isinstance(image, np.ndarray) or hasattr(image, "getbands") or hasattr(image, "detach")


def listed(images: Any, dims: int = 3) -> list[Any]:
    """Every picture of a call: one, or a (nested) list of them, or an array or tensor of several.

    Args:
        images: what was given.
        dims: axes of one picture as an array; one more is a batch of them.
    """
    if isinstance(images, (list, tuple)):
        return [one for part in images for one in listed(part, dims)]
    if is_picture(images) and getattr(images, "ndim", 0) > dims:
        return [one for part in images for one in listed(part, dims)]
    return [images]


def as_pillow_or_array(image: Any, place: int, count: int, timeout: float | None = None) -> Any:
    """A Pillow image, loaded, in its own mode, or an array; `load_image` reads paths and the like."""
    name = f"picture {place} of {count}" if count > 1 else ""
    if hasattr(image, "getbands"):
        try:
            image.load()
        except (OSError, SyntaxError, ValueError, EOFError) as error:
            raise BadPicture(f"{name or called(image, 'picture')} cannot be read: {error}") from error
        return image
    if hasattr(image, "detach"):
        image = image.detach().cpu()
        image = image.float().numpy() if image.is_floating_point() else image.numpy()
    if isinstance(image, np.ndarray):
        if image.ndim not in (2, 3) or not image.size:
            raise BadPicture(
                f"{name or 'the picture'} is an array {list(image.shape)}: one picture is [height, width], "
                "[channels, height, width] or [height, width, channels]"
            )
        return image
    where = f" ({name})" if name and isinstance(image, (str, os.PathLike)) else ""
    return load_image(image, timeout, f"{called(image, 'picture')}{where}" if where else name)


def channels_last(array: Any, data_format: str | None, counts: Sequence[int] = (1, 3, 4)) -> Any:
    """An array [H, W], [C, H, W] or [H, W, C] as [H, W, C].

    Raises:
        ValueError: where neither the first nor the last axis can be that of the channels.
    """
    if array.ndim == 2:
        return array[..., None]
    said = getattr(data_format, "value", data_format)
    if said is None:
        first, last = array.shape[0] in counts, array.shape[2] in counts
        if not (first or last):
            raise ValueError(
                f"an array {list(array.shape)} has channels neither first nor last: a picture has "
                f"{', '.join(map(str, counts))} of them; say input_data_format for others"
            )
        said = "channels_first" if first else "channels_last"
    return np.moveaxis(array, 0, -1) if said in ("channels_first", "first") else array
