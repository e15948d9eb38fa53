"""Steps on one picture as functions that packages call: arrays in and out, channels first or last."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from formers.core.fields import ExplicitEnum
from formers.processing import steps
from formers.processing.kinds import (
    ChannelDimension,
    get_channel_dimension_axis,
    get_image_size,
    infer_channel_dimension_format,
    is_pil_image,
    said_format,
    to_channel_dimension_format,
    to_numpy_array,
)
from formers.processing.reading import pillow
from formers.processing.recipe import BILINEAR
from formers.processing.sizes import SizeDict, by_size

Array = NDArray[Any]
Format = ChannelDimension | str | None
FIRST, LAST = ChannelDimension.FIRST, ChannelDimension.LAST


class PaddingMode(ExplicitEnum):
    """What stands beyond the edges of a padded picture."""

    CONSTANT = "constant"
    REFLECT = "reflect"
    REPLICATE = "replicate"
    SYMMETRIC = "symmetric"


_OF_NUMPY = {PaddingMode.REPLICATE: "edge"}


def _array(image: Any) -> Array:
    if not isinstance(image, np.ndarray):
        raise TypeError(f"the picture must be an array, not a {type(image).__name__}: see to_numpy_array")
    return image


def to_pil_image(
    image: Any,
    do_rescale: bool | None = None,
    image_mode: str | None = None,
    input_data_format: Format = None,
) -> Any:
    """An array or a tensor as a Pillow image; such an image stays.

    Args:
        image: whole numbers from 0 to 255, or floats from 0 to 1.
        do_rescale: multiply by 255; where nothing is said, of floats from 0 to 1.
        image_mode: Pillow's name of what the channels are.
        input_data_format: where the channels stand.

    Raises:
        BadPicture: for other values, where nothing is said of `do_rescale`.
    """
    if is_pil_image(image):
        return image
    array = to_channel_dimension_format(to_numpy_array(image), LAST, input_data_format)
    if do_rescale is not None:
        array = (rescale(array, 255, input_data_format=LAST) if do_rescale else array).astype(np.uint8)
    made, _ = steps.as_pillow(array)
    return made if image_mode is None else pillow().fromarray(np.asarray(made), mode=image_mode)


def resize(
    image: Any,
    size: Collection[int],
    resample: int | None = None,
    reducing_gap: float | None = None,
    data_format: Format = None,
    return_numpy: bool = True,
    input_data_format: Format = None,
) -> Any:
    """A picture of that size, by one of Pillow's filters.

    Args:
        image: whole numbers from 0 to 255, or floats from 0 to 1.
        size: (height, width).
        resample: the number of the filter; bilinear, where nothing is said.
        reducing_gap: see `PIL.Image.Image.resize`.
        data_format: where channels shall stand; as they stood, where nothing is said.
        return_numpy: give an array, of floats for floats; else a Pillow image.
        input_data_format: where the channels stand.

    Raises:
        ValueError: for a size of other than two numbers.
        BadPicture: for other values.
    """
    if len(size) != 2:
        raise ValueError(f"size is (height, width), not {size!r}")
    stands = (
        LAST if is_pil_image(image) and input_data_format is None else said_format(image, input_data_format)
    )
    height, width = size
    picture, scaled = image, False
    if not is_pil_image(image):
        picture, scaled = steps.as_pillow(to_channel_dimension_format(image, LAST, stands))
    made = picture.resize(
        (width, height), resample=BILINEAR if resample is None else resample, reducing_gap=reducing_gap
    )
    if not return_numpy:
        return made
    found = to_channel_dimension_format(steps.pixels(made), data_format or stands, LAST)
    return rescale(found, 1 / 255, input_data_format=LAST) if scaled else np.array(found)


def rescale(
    image: Array,
    scale: float,
    data_format: Format = None,
    dtype: Any = np.float32,
    input_data_format: Format = None,
) -> Array:
    """A picture times a number, in `dtype`.

    Raises:
        TypeError: for what is no array.
    """
    found = _array(image).astype(np.float64) * scale
    if data_format is not None:
        found = to_channel_dimension_format(found, data_format, input_data_format)
    made: Array = found.astype(dtype)
    return made


def normalize(
    image: Array,
    mean: float | Collection[float],
    std: float | Collection[float],
    data_format: Format = None,
    input_data_format: Format = None,
) -> Array:
    """A picture less `mean`, divided by `std`: numbers, or one for each channel.

    Returns:
        Of the dtype of floats; float32 of whole numbers.

    Raises:
        TypeError: for what is no array.
        ValueError: for another number of means than channels.
    """
    stands = said_format(_array(image), input_data_format)
    axis = get_channel_dimension_axis(image, stands)
    if not np.issubdtype(image.dtype, np.floating):
        image = image.astype(np.float32)
    each = []
    for name, values in (("mean", mean), ("std", std)):
        if isinstance(values, Collection) and len(values) != image.shape[axis]:
            raise ValueError(f"{name} has {len(values)} values, but there are {image.shape[axis]} channels")
        array = np.asarray(values, image.dtype)
        each.append(array if stands is LAST or not array.ndim else array[:, None, None])
    found: Array = (image - each[0]) / each[1]
    return found if data_format is None else _moved(found, data_format, stands)


def _moved(image: Array, data_format: Format, stands: ChannelDimension) -> Array:
    found: Array = to_channel_dimension_format(image, data_format or stands, stands)
    return found


def center_crop(
    image: Array, size: Collection[int], data_format: Format = None, input_data_format: Format = None
) -> Array:
    """The middle of a picture, (height, width) large, with zeros around where the picture is smaller.

    Raises:
        TypeError: for what is no array.
        ValueError: for a size of other than two numbers.
    """
    stands = said_format(_array(image), input_data_format)
    if not isinstance(size, Collection) or len(size) != 2:
        raise ValueError(f"size is (height, width), not {size!r}")
    height, width = map(int, size)
    rows = np.moveaxis(image, *(((-2, -1), (0, 1)) if stands is FIRST else ((-3, -2), (0, 1))))
    found = steps.cut(rows, height, width)
    found = np.moveaxis(found, (0, 1), (-2, -1) if stands is FIRST else (-3, -2))
    return _moved(found, data_format, stands)


def pad(
    image: Array,
    padding: Any,
    mode: PaddingMode | str = PaddingMode.CONSTANT,
    constant_values: Any = 0.0,
    data_format: Format = None,
    input_data_format: Format = None,
) -> Array:
    """A picture with more around it.

    Args:
        image: a picture, or a batch [B, ..].
        padding: how much: a number for all edges, (before, after) for both axes, or one such pair for each.
        mode: what stands there.
        constant_values: with "constant", as `padding`.
        data_format: where channels shall stand; as they stood, where nothing is said.
        input_data_format: where the channels stand.

    Raises:
        ValueError: for another form.
    """
    stands = said_format(image, input_data_format)

    def for_axes(values: Any, what: str) -> tuple[Any, ...]:
        if isinstance(values, (int, float)):
            values = (values,)
        pairs = isinstance(values, tuple) and all(isinstance(one, tuple) and len(one) == 2 for one in values)
        if isinstance(values, tuple) and len(values) == 1 and not pairs:
            values = ((values[0],) * 2,) * 2
        elif isinstance(values, tuple) and len(values) == 2 and not isinstance(values[0], tuple):
            values = (values, values)
        elif not pairs or len(values) > 2:
            raise ValueError(
                f"{what} is a number, (before, after), or one such pair for each axis: {values!r}"
            )
        else:
            values = values * (2 // len(values))
        placed = ((0, 0), *values) if stands is FIRST else (*values, (0, 0))
        return ((0, 0), *placed) if image.ndim == 4 else placed

    kind = PaddingMode(mode)
    own: dict[str, Any] = (
        {"constant_values": for_axes(constant_values, "constant_values")}
        if kind is PaddingMode.CONSTANT
        else {}
    )
    fill: Any = _OF_NUMPY.get(kind, kind.value)
    found = np.pad(image, for_axes(padding, "padding"), mode=fill, **own)
    return _moved(found, data_format, stands)


def convert_to_rgb(image: Any, return_numpy: bool = False, input_data_format: Format = None) -> Any:
    """A picture in RGB; what is transparent stands on white.

    Args:
        image: a Pillow image or an array.
        return_numpy: give an array: [H, W, 3], or as the array stood; else a Pillow image.
        input_data_format: where the channels stand.

    Raises:
        ValueError: for anything else.
    """
    if is_pil_image(image):
        made = steps.to_rgb(image)
        return np.array(made) if return_numpy else made
    if not isinstance(image, np.ndarray):
        raise ValueError(f"a picture is a Pillow image or an array, not a {type(image).__name__}")
    stands = (
        infer_channel_dimension_format(image, (1, 3, 4))
        if input_data_format is None
        else ChannelDimension(input_data_format)
    )
    array = steps.to_rgb(_moved(image, LAST, stands))
    return _moved(array, stands, LAST) if return_numpy else pillow().fromarray(array)


def flip_channel_order(image: Array, data_format: Format = None, input_data_format: Format = None) -> Array:
    """RGB as BGR, and the other way: a view."""
    stands = said_format(image, input_data_format)
    return _moved(np.flip(image, get_channel_dimension_axis(image, stands)), data_format, stands)


def get_resize_output_image_size(
    input_image: Any,
    size: int | Collection[int],
    default_to_square: bool = True,
    max_size: int | None = None,
    input_data_format: Format = None,
) -> tuple[int, ...]:
    """The (height, width) that a picture is resized to.

    Args:
        input_image: the picture.
        size: (height, width), or a number: both edges with `default_to_square`, else the shortest.
        default_to_square: see `size`.
        max_size: of the longest edge, where a number means the shortest.
        input_data_format: where the channels stand.

    Raises:
        ValueError: for more numbers than two, or a `max_size` that is not above `size`.
    """
    numbers = [size] if isinstance(size, int) else list(size)
    if len(numbers) > 2 or not numbers:
        raise ValueError(f"size is a number or (height, width), not {size!r}")
    if len(numbers) == 2 or default_to_square:
        return (numbers[0], numbers[-1])
    edge = numbers[0]
    height, width = get_image_size(input_image, input_data_format)
    if max_size is not None and max_size <= edge:
        raise ValueError(f"max_size={max_size} must be above size={edge}, the shortest edge")
    high, wide = by_size(height, width, SizeDict(shortest_edge=edge))
    longest = max(high, wide)
    if max_size is None or longest <= max_size:
        return high, wide
    short = int(max_size * edge / longest)
    return (max_size, short) if width <= height else (short, max_size)
