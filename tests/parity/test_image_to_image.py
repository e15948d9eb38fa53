"""Pictures out of pictures: Swin2SR beside the reference, from files to Pillow images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

import formers
from parity.pictures import colours
from tests.parity.vision_conv_shapes import SHAPES

SIZES = [(10, 13), (8, 16), (3, 5)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model that the reference wrote, and pictures."""
    home = tmp_path_factory.mktemp("swin2sr")
    torch.manual_seed(0)
    (shape,) = SHAPES["swin2sr"].values()
    transformers.Swin2SRForImageSuperResolution(transformers.Swin2SRConfig(**shape)).save_pretrained(home)
    transformers.Swin2SRImageProcessorPil().save_pretrained(home)
    for place, size in enumerate(SIZES):
        Image.fromarray(colours(*size)).save(home / f"{place}.png")
    return home


def _paths(folder):
    return [str(folder / f"{place}.png") for place in range(len(SIZES))]


@pytest.mark.parametrize("settings", [{}, {"size_divisor": 4}, {"pad_size": 5}, {"do_pad": False}])
def test_pictures_are_mirrored_to_the_next_multiples_as_in_the_reference(settings):
    pictures = [Image.fromarray(colours(*size)) for size in SIZES]
    there = transformers.Swin2SRImageProcessorPil(**settings)
    here = formers.Swin2SRImageProcessor(**settings)
    for one in pictures:
        found, expected = (processor(one, return_tensors="np").pixel_values for processor in (here, there))
        assert found.shape == expected.shape
        assert np.allclose(found, expected, atol=1e-6)


def test_pictures_become_the_pixels_that_the_model_makes(folder):
    pipe = formers.pipeline("image-to-image", model=str(folder), device="cpu")
    found = pipe(_paths(folder))
    theirs = transformers.Swin2SRForImageSuperResolution.from_pretrained(folder)
    prepare = transformers.Swin2SRImageProcessorPil.from_pretrained(folder)
    for path, (height, width), one in zip(_paths(folder), SIZES, found, strict=True):
        with torch.no_grad():
            made = theirs(**prepare(Image.open(path), return_tensors="pt")).reconstruction[0]
        expected = (made.clamp(0, 1).numpy().transpose(1, 2, 0) * 255).round().astype("uint8")
        assert one.size == (2 * (width // 8 + 1) * 8, 2 * (height // 8 + 1) * 8)
        assert np.abs(np.asarray(one).astype(int) - expected).max() <= 1
    alone = pipe(Image.open(_paths(folder)[0]))
    assert alone.mode == "RGB"
    assert np.array_equal(np.asarray(alone), np.asarray(found[0]))


def test_pictures_of_any_size_are_read_and_what_does_not_fit_is_refused(folder):
    model = formers.AutoModelForImageToImage.from_pretrained(folder)
    assert type(model) is formers.Swin2SRForImageSuperResolution
    pixels = torch.rand(1, 3, 10, 13)
    whole = torch.nn.functional.pad(pixels, (0, 3, 0, 2), "reflect")
    with torch.no_grad():
        found, padded = model(pixels).reconstruction, model(whole).reconstruction
    assert found.shape == (1, 3, 20, 26)
    torch.testing.assert_close(found, padded[:, :, :20, :26])
    with pytest.raises(ValueError, match="too small to be mirrored"):
        model(torch.rand(1, 3, 1, 8))
    with pytest.raises(TypeError, match="takes no labels"):
        model(pixels, labels=pixels)
    with pytest.raises(ValueError, match="4 times as large, not 2"):
        formers.Swin2SRConfig(upsampler="nearest+conv")
    with pytest.raises(ValueError, match="patch_size=2 is not available"):
        formers.Swin2SRConfig(patch_size=2)
