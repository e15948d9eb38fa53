"""Points of pictures: SuperPoint beside the reference, from picture to pixels."""

from __future__ import annotations

import pytest
import torch
import transformers
from PIL import Image

import formers
from parity.pictures import colours
from tests.parity.vision_points_shapes import MORE, SHAPES

KINDS = {**SHAPES["superpoint"], **MORE["superpoint"]}
SIZES = [(40, 50), (60, 16)]
PICTURES = [Image.fromarray(colours(*size)) for size in SIZES]


@pytest.fixture
def prepare():
    """The reference's processor and ours."""
    settings = {"size": {"height": 32, "width": 48}, "do_grayscale": True}
    return transformers.SuperPointImageProcessorPil(**settings), formers.SuperPointImageProcessor(**settings)


@pytest.mark.parametrize("kind", KINDS)
def test_points_of_pictures_are_the_references_and_learn_as_there(kind, prepare, tmp_path):
    torch.manual_seed(0)
    config = transformers.SuperPointConfig(**KINDS[kind])
    theirs = transformers.SuperPointForKeypointDetection(config).eval()
    theirs.save_pretrained(tmp_path)
    ours = formers.AutoModelForKeypointDetection.from_pretrained(tmp_path)
    assert type(ours) is formers.SuperPointForKeypointDetection
    there, here = prepare
    given = [one(PICTURES, return_tensors="pt") for one in prepare]
    torch.testing.assert_close(given[1].pixel_values, given[0].pixel_values, atol=1e-5, rtol=1e-5)
    expected, found = theirs(**given[0]), ours(**given[0])
    assert list(found) == list(expected)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-5, rtol=1e-5)
    wanted = there.post_process_keypoint_detection(expected, SIZES)
    made = here.post_process_keypoint_detection(found, torch.tensor(SIZES))
    assert all(len(one["scores"]) == 0 for one in wanted) is (kind == "none")
    for one, other in zip(made, wanted, strict=True):
        assert set(one) == set(other)
        for name, value in other.items():
            torch.testing.assert_close(one[name], value, atol=1e-5, rtol=1e-5)
    for model in (theirs, ours):
        out = model(**given[0])
        (out.descriptors[..., 0].sum() + out.scores.square().sum()).backward()
    gradients = dict(ours.named_parameters())
    for name, parameter in theirs.named_parameters():
        torch.testing.assert_close(gradients[name].grad, parameter.grad, atol=1e-5, rtol=1e-5)
    with pytest.raises(TypeError, match="takes no labels"):
        ours(**given[0], labels=given[0].pixel_values)


def test_grey_pictures_stay_and_sizes_that_nothing_computes_are_refused(prepare):
    there, here = prepare
    grey = Image.fromarray(colours(20, 30)).convert("L").convert("RGB")
    found, expected = (one(grey, return_tensors="pt").pixel_values for one in (here, there))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="keypoint_decoder_dim=17 is not available"):
        formers.SuperPointConfig(keypoint_decoder_dim=17)
