"""What a picture is, and where its channels stand: questions that packages ask of pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Union

import numpy as np
from numpy.typing import NDArray

from formers.core.fields import ExplicitEnum
from formers.core.notices import notice
from formers.processing.reading import load_image

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

# what processors of films take, for annotations
VideoInput = Union[
    list["Image"],
    NDArray[Any],
    "Tensor",
    list[NDArray[Any]],
    list["Tensor"],
    list[list["Image"]],
    list[list[NDArray[Any]]],
    list[list["Tensor"]],
]
# axes of a picture of so many dimensions where channels may stand: before height and width, or behind them
_AXES = {3: (0, 2), 4: (1, 3), 5: (2, 4)}


class ChannelDimension(ExplicitEnum):
    """Where the channels of an array stand."""

    FIRST = "channels_first"
    LAST = "channels_last"


class AnnotationFormat(ExplicitEnum):
    """How objects of pictures are told."""

    COCO_DETECTION = "coco_detection"
    COCO_PANOPTIC = "coco_panoptic"


class ImageType(ExplicitEnum):
    """What holds a picture."""

    PIL = "pillow"
    TORCH = "torch"
    NUMPY = "numpy"


def is_pil_image(img: Any) -> bool:
    """Whether it is a Pillow image; Pillow need not be installed."""
    return any(f"{kind.__module__}.{kind.__name__}" == "PIL.Image.Image" for kind in type(img).__mro__)


def _is_tensor(img: Any) -> bool:
    return any(f"{kind.__module__}.{kind.__name__}" == "torch.Tensor" for kind in type(img).__mro__)


def get_image_type(image: Any) -> ImageType:
    """What holds a picture.

    Raises:
        ValueError: for anything else than a Pillow image, an array or a tensor.
    """
    for kind, holds in (
        (ImageType.PIL, is_pil_image(image)),
        (ImageType.TORCH, _is_tensor(image)),
        (ImageType.NUMPY, isinstance(image, np.ndarray)),
    ):
        if holds:
            return kind
    raise ValueError(f"a picture is a Pillow image, an array or a tensor, not a {type(image).__name__}")


def is_valid_image(img: Any) -> bool:
    """Whether it is a Pillow image, an array or a tensor."""
    return is_pil_image(img) or isinstance(img, np.ndarray) or _is_tensor(img)


def valid_images(imgs: Any) -> bool:
    """Whether it is a picture, or a list of such, however nested."""
    if isinstance(imgs, (list, tuple)):
        return all(valid_images(one) for one in imgs)
    return is_valid_image(imgs)


def is_batched(img: Any) -> bool:
    """Whether it is a list that begins with a picture."""
    return isinstance(img, (list, tuple)) and bool(img) and is_valid_image(img[0])


def is_scaled_image(image: NDArray[Any]) -> bool:
    """Whether an array's values lie between 0 and 1, and are no bytes."""
    return image.dtype != np.uint8 and bool(np.min(image) >= 0 and np.max(image) <= 1)


def make_list_of_images(images: Any, expected_ndims: int = 3) -> Any:
    """A list of pictures of one, of an array or a tensor of several, or of a list.

    Args:
        images: what was given.
        expected_ndims: axes of one picture; one more is a batch.

    Raises:
        ValueError: for anything else.
    """
    if is_batched(images):
        return images
    if is_pil_image(images):
        return [images]
    if not is_valid_image(images):
        raise ValueError(f"a picture is a Pillow image, an array or a tensor, not a {type(images).__name__}")
    if images.ndim not in (expected_ndims, expected_ndims + 1):
        raise ValueError(
            f"a picture has {expected_ndims} axes, and a batch one more, but this is {list(images.shape)}"
        )
    return [images] if images.ndim == expected_ndims else list(images)


def _split(images: Any, axes: int) -> list[list[Any]]:
    """Pictures as a list for each list, or batch, that was given.

    Raises:
        ValueError: for what is none of these.
    """
    if isinstance(images, (list, tuple)):
        if all(isinstance(one, (list, tuple)) and all(map(is_valid_image, one)) for one in images):
            return [list(one) for one in images]
        if images and all(map(is_valid_image, images)):
            if is_pil_image(images[0]) or images[0].ndim == axes:
                return [list(images)]
            if images[0].ndim == axes + 1:
                return [list(one) for one in images]
    elif is_valid_image(images):
        if is_pil_image(images) or images.ndim == axes:
            return [[images]]
        if images.ndim == axes + 1:
            return [list(images)]
    raise ValueError(
        f"pictures are one, a list of them, or a list of such lists, each with {axes} axes, not "
        f"{repr(images)[:80]}"
    )


def make_flat_list_of_images(images: Any, expected_ndims: int = 3) -> list[Any]:
    """One list of all pictures in lists and batches.

    Raises:
        ValueError: for what is no picture.
    """
    return [one for part in _split(images, expected_ndims) for one in part]


def make_nested_list_of_images(images: Any, expected_ndims: int = 3) -> list[list[Any]]:
    """A list of lists of pictures: one list for all where they were not nested.

    Raises:
        ValueError: for what is no picture.
    """
    return _split(images, expected_ndims)


def load_images(images: Any, timeout: float | None = None) -> Any:
    """`load_image` for one picture, a list of them, or a list of such lists."""
    if isinstance(images, (list, tuple)):
        return [load_images(one, timeout) for one in images]
    return load_image(images, timeout)


def to_numpy_array(img: Any) -> NDArray[Any]:
    """A picture as an array, its axes as they stand.

    Raises:
        ValueError: for anything else than a Pillow image, an array or a tensor.
    """
    kind = get_image_type(img)
    if kind is ImageType.TORCH:
        img = img.detach().cpu().numpy()
    return np.array(img) if kind is ImageType.PIL else np.asarray(img)


def infer_channel_dimension_format(
    image: Any, num_channels: int | Sequence[int] | None = None
) -> ChannelDimension:
    """Where the channels of an array or a tensor stand, by how many there may be.

    Args:
        image: [C, H, W] or [H, W, C], with up to two axes before these.
        num_channels: 1 or 3, where nothing is said. Where both places fit, they stand first.

    Raises:
        ValueError: where no place fits.
    """
    counts = (1, 3) if num_channels is None else np.atleast_1d(num_channels).tolist()
    if image.ndim not in _AXES:
        raise ValueError(f"a picture has 3 axes, and up to two before them, but this is {list(image.shape)}")
    first, last = (image.shape[axis] in counts for axis in _AXES[image.ndim])
    if not (first or last):
        raise ValueError(
            f"an array {list(image.shape)} has channels neither first nor last: there are "
            f"{' or '.join(map(str, counts))} of them; say input_data_format for others"
        )
    if first and last:
        notice(
            f"an array {list(image.shape)} may have its channels first or last, and is read as first: say "
            "input_data_format"
        )
    return ChannelDimension.FIRST if first else ChannelDimension.LAST


def said_format(image: Any, said: ChannelDimension | str | None) -> ChannelDimension:
    """Where channels stand, as the caller says, or as it seems.

    Raises:
        ValueError: for another word.
    """
    return infer_channel_dimension_format(image) if said is None else ChannelDimension(said)


def get_channel_dimension_axis(image: Any, input_data_format: ChannelDimension | str | None = None) -> int:
    """The number of the axis of the channels."""
    first = said_format(image, input_data_format) is ChannelDimension.FIRST
    return int(image.ndim) - (3 if first else 1)


def get_image_size(image: Any, channel_dim: ChannelDimension | str | None = None) -> tuple[int, int]:
    """(height, width) of a Pillow image, an array or a tensor."""
    if is_pil_image(image):
        return image.height, image.width
    first = said_format(image, channel_dim) is ChannelDimension.FIRST
    return (image.shape[-2], image.shape[-1]) if first else (image.shape[-3], image.shape[-2])


def get_max_height_width(
    images: Sequence[Any], input_data_format: ChannelDimension | str = ChannelDimension.FIRST
) -> tuple[int, int]:
    """The largest height and width among pictures."""
    sizes = [get_image_size(one, input_data_format) for one in images]
    return max(high for high, _ in sizes), max(wide for _, wide in sizes)


def to_channel_dimension_format(
    image: Any, channel_dim: ChannelDimension | str, input_channel_dim: ChannelDimension | str | None = None
) -> Any:
    """An array or a tensor with its channels where they are wanted: a view.

    Args:
        image: [.., C, H, W] or [.., H, W, C].
        channel_dim: where channels shall stand.
        input_channel_dim: where they stand; as it seems, where nothing is said.

    Raises:
        TypeError: for anything else.
    """
    if not isinstance(image, np.ndarray) and not _is_tensor(image):
        raise TypeError(
            f"a picture whose channels move is an array or a tensor, not a {type(image).__name__}"
        )
    stands, wanted = said_format(image, input_channel_dim), ChannelDimension(channel_dim)
    if stands is wanted:
        return image
    move: Callable[..., Any] = np.moveaxis if isinstance(image, np.ndarray) else type(image).movedim
    return move(image, -1, -3) if wanted is ChannelDimension.FIRST else move(image, -3, -1)
