"""Depths in metres: ZoeDepth beside the reference, from files to maps of the pictures' sizes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from torch.nn import functional as F

import formers
from parity.pictures import pictures
from tests.parity.vision_dense_shapes import MORE, SHAPES

SETTINGS = {"size": {"height": 16, "width": 24}, "ensure_multiple_of": 8}
PICTURES = {
    name: one
    for name, one in pictures().items()
    if not name.startswith(("16", "two", "grey", "palette", "LA", "CMYK", "HSV", "RGBA", "floats"))
}


@pytest.mark.parametrize(
    "settings",
    [
        SETTINGS,
        {**SETTINGS, "keep_aspect_ratio": False, "resample": 3},
        {**SETTINGS, "do_pad": False},
        {"do_resize": False},
        {"size": {"height": 30, "width": 20}},
    ],
)
@pytest.mark.parametrize("name", PICTURES)
def test_pictures_are_mirrored_around_and_resized_as_in_the_reference(name, settings):
    there, here = (
        transformers.ZoeDepthImageProcessorPil(**settings),
        formers.ZoeDepthImageProcessor(**settings),
    )
    try:
        expected = there(PICTURES[name], return_tensors="np").pixel_values
    except (RuntimeError, ValueError):  # what is too narrow for whole multiples
        with pytest.raises((RuntimeError, ValueError)):
            here(PICTURES[name], return_tensors="np")
        return
    found = here(PICTURES[name], return_tensors="np").pixel_values
    assert found.shape == expected.shape
    assert np.allclose(found, expected, atol=1e-4)


def _without_ring(depths, size, target=None):
    """By the definition: a ring of int(sqrt(edge / 2) * 3) pixels stands around."""
    down, across = (int((edge / 2) ** 0.5 * 3) for edge in size)
    whole = F.interpolate(
        depths[None, None], (size[0] + 2 * down, size[1] + 2 * across), mode="bicubic", align_corners=False
    )
    found = whole[..., down : down + size[0], across : across + size[1]]
    if target is not None:
        found = F.interpolate(found, target, mode="bicubic", align_corners=False)
    return found[0, 0]


def test_depths_lose_the_ring_and_get_the_sizes_that_are_asked_for():
    here = formers.ZoeDepthImageProcessor(**SETTINGS)
    depths, flipped, sizes = torch.rand(2, 16, 24), torch.rand(2, 16, 24), [(20, 30), (33, 7)]
    out, other = {"predicted_depth": depths}, {"predicted_depth": flipped}
    how = here.post_process_depth_estimation
    for one, depth, size in zip(how(out, sizes), depths, sizes, strict=True):
        torch.testing.assert_close(one["predicted_depth"], _without_ring(depth, size))
    mean = (depths + flipped.flip(-1)) / 2
    made = how(out, torch.tensor(sizes), [(8, 9), (10, 11)], other)
    for one, depth, size, to in zip(made, mean, sizes, [(8, 9), (10, 11)], strict=True):
        torch.testing.assert_close(one["predicted_depth"], _without_ring(depth, size, to))
    assert torch.equal(how(out, do_remove_padding=False)[1]["predicted_depth"], depths[1])
    with pytest.raises(ValueError, match="the ring is as wide as source_sizes say"):
        how(out)
    with pytest.raises(ValueError, match="differ in shape"):
        how(out, sizes, outputs_flipped={"predicted_depth": depths[:, 1:]})


@pytest.mark.parametrize("kind", ["metres of one kind", "of two kinds, norms"])
def test_a_pipeline_says_metres_of_every_pixel_whatever_stands_beside(kind, tmp_path):
    torch.manual_seed(0)
    shape = {**SHAPES["zoedepth"], **MORE["zoedepth"]}[kind]
    shape = {**shape, "backbone_config": {**shape["backbone_config"], "num_channels": 3}}
    theirs = transformers.ZoeDepthForDepthEstimation(transformers.ZoeDepthConfig(**shape)).eval()
    theirs.save_pretrained(tmp_path)
    prepare = transformers.ZoeDepthImageProcessorPil(**SETTINGS)
    prepare.save_pretrained(tmp_path)
    pipe = formers.pipeline("depth-estimation", model=str(tmp_path), device="cpu")
    given = [PICTURES["plain"], PICTURES["upright"]]
    for one, picture in zip(pipe(given), given, strict=True):
        with torch.no_grad():
            made = theirs(**prepare(picture, return_tensors="pt")).predicted_depth[0]
        expected = _without_ring(made, (picture.height, picture.width))
        torch.testing.assert_close(one["predicted_depth"], expected, atol=1e-4, rtol=1e-4)
        assert one["depth"].size == picture.size


def test_what_the_model_has_not_got_is_refused():
    (shape,) = SHAPES["zoedepth"].values()
    config = formers.ZoeDepthConfig(**shape)
    with pytest.raises(TypeError, match="takes no labels"):
        formers.ZoeDepthForDepthEstimation(config)(torch.zeros(1, 3, 16, 16), labels=torch.zeros(1, 16, 16))
    with pytest.raises(ValueError, match="readout_type='add' is not available"):
        formers.ZoeDepthConfig(readout_type="add")
    with pytest.raises(ValueError, match="one or two, not 3"):
        formers.ZoeDepthConfig(bin_configurations=[{}] * 3)
    with pytest.raises(ValueError, match="num_patch_transformer_layers is 4, not None"):
        formers.ZoeDepthConfig(bin_configurations=[{}] * 2)
    with pytest.raises(ValueError, match="resample is 2 or 3"):
        formers.ZoeDepthImageProcessor(resample=1)(Image.new("RGB", (20, 20)))
