"""Functions on pictures that packages call, beside the reference's, on awkward arrays."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from transformers import image_processing_utils, image_transforms, image_utils

from formers.processing import grouping, kinds, sizes, transforms
from parity.pictures import colours

# which is right: some of these arrays could be read both ways
pytestmark = pytest.mark.filterwarnings("ignore:an array .* may have its channels first or last")
FIRST, LAST = "channels_first", "channels_last"
BYTES = colours(7, 5)
# name -> an array, and what must be said of its channels
ARRAYS = {
    "bytes": (BYTES, {}),
    "channels first": (BYTES.transpose(2, 0, 1), {}),
    "floats": ((BYTES / 255).astype(np.float32), {}),
    "doubles": (BYTES / 255, {}),
    "halves": ((BYTES / 255).astype(np.float16), {}),
    "whole floats": (BYTES.astype(np.float32), {}),
    "grey": (BYTES[..., :1], {}),
    "one pixel": (BYTES[:1, :1], {"input_data_format": LAST}),
    "long and narrow": (colours(1, 40), {"input_data_format": LAST}),
    "three by three": (colours(3, 3), {}),
}
FORMATS = (None, FIRST, LAST)
each_array = pytest.mark.parametrize("name", ARRAYS)


def _as_theirs(said):
    """Their functions compare with members of their own enumeration."""
    return {key: image_utils.ChannelDimension(value) for key, value in said.items() if value is not None}


def _equal(ours, theirs, **options):
    array, said = options.pop("array"), options.pop("said", {})
    found, expected = ours(array, **said, **options), theirs(array, **_as_theirs(said), **options)
    assert type(found) is type(expected)
    if isinstance(expected, np.ndarray):
        assert found.dtype == expected.dtype
        assert found.shape == expected.shape
        assert np.allclose(found, expected, atol=2e-3 if found.dtype == np.float16 else 1e-6)
    else:
        assert found == expected


@pytest.mark.parametrize("wanted", FORMATS)
@each_array
def test_steps_on_one_picture_are_the_reference_s(name, wanted):
    array, said = ARRAYS[name]
    said = {**said, "data_format": wanted}
    count = array.shape[2] if array.shape[2] in (1, 3) and name != "channels first" else array.shape[0]
    count = 3 if name == "three by three" else count
    means = {"mean": [0.4, 0.5, 0.6][:count], "std": [0.2, 0.3, 0.5][:count]}
    for step, options in (
        ("resize", {"size": (4, 9)}),
        ("resize", {"size": [9, 2], "resample": 3}),
        ("rescale", {"scale": 1 / 255}),
        ("normalize", means),
        ("normalize", {"mean": 0.5, "std": 2}),
        ("center_crop", {"size": (4, 3)}),
        ("center_crop", {"size": (10, 4)}),
        ("center_crop", {"size": (8, 9)}),
        ("pad", {"padding": 2}),
        ("pad", {"padding": ((1, 0), (0, 3)), "constant_values": 7}),
        ("flip_channel_order", {}),
    ):
        _equal(getattr(transforms, step), getattr(image_transforms, step), array=array, said=said, **options)


@pytest.mark.parametrize(
    ("mode", "padding"),
    [("reflect", 1), ("replicate", (1, 2)), ("symmetric", ((2, 0), (1, 1))), ("constant", (3,))],
)
def test_edges_are_padded_in_every_mode_as_there(mode, padding):
    theirs = {"mode": image_transforms.PaddingMode(mode), "padding": padding}
    assert np.array_equal(
        transforms.pad(BYTES, mode=mode, padding=padding), image_transforms.pad(BYTES, **theirs)
    )
    batch = np.stack([BYTES, BYTES])
    assert np.array_equal(
        transforms.pad(batch, mode=mode, padding=padding), image_transforms.pad(batch, **theirs)
    )
    with pytest.raises(ValueError, match="padding is a number"):
        transforms.pad(BYTES, (1, 2, 3))


@each_array
def test_pictures_become_pillow_images_as_there(name):
    array, said = ARRAYS[name]
    for given in (array, torch.from_numpy(np.ascontiguousarray(array))):
        found = transforms.to_pil_image(given, **said)
        expected = image_transforms.to_pil_image(given, **_as_theirs(said))
        assert found.mode == expected.mode
        assert np.array_equal(np.asarray(found), np.asarray(expected))
    assert transforms.to_pil_image(found) is found
    with pytest.raises(ValueError, match="values from"):
        transforms.to_pil_image(array.astype(np.float32) + 300.5, **said)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "LA", "RGBA", "CMYK", "1"])
def test_any_mode_becomes_rgb_as_there(mode):
    picture = Image.fromarray(colours(6, 4)).convert(mode)
    found = transforms.convert_to_rgb(picture, return_numpy=True)
    assert np.array_equal(found, image_transforms.convert_to_rgb(picture, return_numpy=True))
    assert transforms.convert_to_rgb(picture).mode == "RGB"


def test_arrays_with_transparency_become_rgb_as_there():
    clear = np.concatenate([BYTES, BYTES[..., :1]], axis=-1)
    for array in (clear, clear.transpose(2, 0, 1), (clear / 255).astype(np.float32), BYTES[..., :1]):
        _equal(transforms.convert_to_rgb, image_transforms.convert_to_rgb, array=array, return_numpy=True)


@each_array
def test_channels_are_found_and_moved_as_there(name):
    array, said = ARRAYS[name]
    for ours, theirs in (
        (kinds.infer_channel_dimension_format, image_utils.infer_channel_dimension_format),
        (kinds.get_image_size, image_utils.get_image_size),
        (kinds.get_channel_dimension_axis, image_utils.get_channel_dimension_axis),
    ):
        found, expected = ours(array), theirs(array)
        assert getattr(found, "value", found) == getattr(expected, "value", expected)
    for wanted in (FIRST, LAST):
        for one in (array, np.stack([array, array]), torch.from_numpy(np.ascontiguousarray(array))):
            found = kinds.to_channel_dimension_format(one, wanted, said.get("input_data_format"))
            expected = image_transforms.to_channel_dimension_format(
                one, wanted, _as_theirs(said).get("input_data_format")
            )
            assert found.shape == expected.shape
            assert bool((found == expected).all())
    assert np.array_equal(kinds.to_numpy_array(array), image_utils.to_numpy_array(array))


def test_a_pillow_image_s_size_is_its_height_and_width():
    """As it is documented; the reference gives the width first."""
    assert kinds.get_image_size(Image.new("RGB", (5, 7))) == (7, 5)


PICTURE = Image.fromarray(BYTES)
NESTS = {
    "a picture": PICTURE,
    "an array": BYTES,
    "a batch": np.stack([BYTES, BYTES]),
    "a tensor": torch.zeros(3, 4, 4),
    "a list": [PICTURE, PICTURE],
    "a list of arrays": [BYTES, BYTES],
    "a list of lists": [[PICTURE], [], [PICTURE, PICTURE]],
    "a list of batches": [np.stack([BYTES, BYTES])],
    "a text": "cat.png",
    "texts": ["cat.png"],
    "a list with a text": [PICTURE, "cat.png"],
    "a flat array": np.zeros(3),
}


@pytest.mark.parametrize("name", NESTS)
def test_lists_of_pictures_are_made_and_refused_as_there(name):
    given = NESTS[name]
    for function in ("make_list_of_images", "make_flat_list_of_images", "make_nested_list_of_images"):
        try:
            expected = getattr(image_utils, function)(given)
        except Exception:
            with pytest.raises(ValueError, match="picture"):
                getattr(kinds, function)(given)
            continue
        found = getattr(kinds, function)(given)
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert isinstance(one, (list, tuple)) is isinstance(other, (list, tuple))
            assert len(one) == len(other) if isinstance(one, list) else np.array_equal(one, other)
    for function in ("is_valid_image", "valid_images", "is_batched", "is_pil_image"):
        assert getattr(kinds, function)(given) == getattr(image_utils, function)(given)


@pytest.mark.parametrize(
    "options",
    [
        {"size": 8},
        {"size": 8, "default_to_square": False},
        {"size": 8, "max_size": 12, "default_to_square": False},
        {"max_size": 12, "default_to_square": False},
        {"size": (4, 6)},
        {"size": [4, 6], "height_width_order": False},
        {"size": {"shortest_edge": 5}},
        {"size": {"min_pixels": 5, "max_pixels": 9}},
        {"size": {"height": 5}},
        {"size": 8, "max_size": 12},
        {"size": "8"},
        {},
    ],
)
def test_sizes_are_read_as_there(options):
    try:
        expected = image_processing_utils.get_size_dict(**options)
    except ValueError:
        with pytest.raises(ValueError, match="size"):
            sizes.get_size_dict(**options)
        return
    assert sizes.get_size_dict(**options) == expected
    assert sizes.is_valid_size_dict(expected)


@pytest.mark.parametrize("shape", [(7, 5, 3), (5, 7, 3), (6, 6, 3), (1, 40, 3)])
def test_sizes_to_resize_to_are_the_reference_s(shape):
    array = np.zeros(shape, np.uint8)
    for options in (
        {"size": 4},
        {"size": (4, 6)},
        {"size": [4]},
        {"size": 4, "default_to_square": False},
        {"size": 4, "default_to_square": False, "max_size": 9},
        {"size": 4, "default_to_square": False, "max_size": 5},
    ):
        _equal(
            transforms.get_resize_output_image_size,
            image_transforms.get_resize_output_image_size,
            array=array,
            said={"input_data_format": LAST},
            **options,
        )
    with pytest.raises(ValueError, match="must be above size=4"):
        transforms.get_resize_output_image_size(array, 4, False, 4, LAST)


def test_words_of_enumerations_are_the_reference_s():
    for ours, theirs in (
        (kinds.ChannelDimension, image_utils.ChannelDimension),
        (kinds.AnnotationFormat, image_utils.AnnotationFormat),
        (kinds.ImageType, image_utils.ImageType),
        (transforms.PaddingMode, image_transforms.PaddingMode),
    ):
        assert {one.name: one.value for one in ours} == {one.name: one.value for one in theirs}
    assert transformers.image_utils.ChannelDimension.FIRST.value == kinds.ChannelDimension.FIRST


def _same(found, expected):
    """Tensors, and nests of them, are equal."""
    if isinstance(expected, torch.Tensor):
        assert torch.equal(found, expected)
    elif isinstance(expected, dict):
        assert set(found) == set(expected)
        for key, value in expected.items():
            _same(found[key], value)
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            _same(one, other)
    else:
        assert found == expected


SIZES = [(4, 5), (3, 3), (4, 5), (4, 5), (3, 3)]


@pytest.mark.parametrize("alone", [True, False, None])
@pytest.mark.parametrize("nested", [False, True])
def test_pictures_of_one_shape_are_grouped_and_put_back_as_there(nested, alone):
    pictures = [torch.full((3, *size), float(i)) for i, size in enumerate(SIZES)]
    beside = list("abcde")
    if nested:
        pictures, beside = [pictures[:2], [], pictures[2:]], [beside[:2], [], beside[2:]]
    options = {"disable_grouping": alone, "is_nested": nested}
    found = grouping.group_images_by_shape(pictures, beside, None, **options)
    expected = image_transforms.group_images_by_shape(pictures, beside, None, **options)
    _same(found[:-1], expected[:-1])
    doubled = {key: value * 2 for key, value in found[0].items()}
    again = grouping.reorder_images(doubled, found[-1], nested)
    _same(again, image_transforms.reorder_images(doubled, expected[-1], nested))
    _same(grouping.reorder_images(found[0], found[-1], nested), pictures)


def test_what_goes_along_with_pictures_is_of_as_many():
    with pytest.raises(ValueError, match="1 values go along with 2 pictures"):
        grouping.group_images_by_shape([torch.zeros(3, 2, 2)] * 2, ["a"])
    with_older = grouping.group_images_by_shape([torch.zeros(3, 2, 2)] * 2, False)
    assert [*with_older[0]] == [(2, 2)]
