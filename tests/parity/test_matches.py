"""Points of two pictures that show the same: SuperGlue beside the reference, from files to pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

import formers
from parity.pictures import colours
from tests.parity.vision_points_shapes import MORE, SHAPES

KINDS = {**SHAPES["superglue"], **MORE["superglue"]}
_ALL = KINDS["of all, none that is unlikely"]
_NONE = {**_ALL["keypoint_detector_config"], "keypoint_threshold": 1.0}
KINDS["of none"] = {**_ALL, "keypoint_detector_config": _NONE}
SIZES = [[(40, 50), (60, 16)], [(32, 48), (31, 50)]]
PAIRS = [[Image.fromarray(colours(*size)) for size in pair] for pair in SIZES]
SETTINGS = {"size": {"height": 32, "width": 48}}


def _made(kind, folder):
    torch.manual_seed(0)
    config = transformers.SuperGlueConfig(**KINDS[kind])
    theirs = transformers.SuperGlueForKeypointMatching(config).eval()
    theirs.save_pretrained(folder)
    transformers.SuperGlueImageProcessorPil(**SETTINGS).save_pretrained(folder)
    return theirs, formers.AutoModelForKeypointMatching.from_pretrained(folder)


def _prepare():
    return transformers.SuperGlueImageProcessorPil(**SETTINGS), formers.SuperGlueImageProcessor(**SETTINGS)


@pytest.mark.parametrize("kind", KINDS)
def test_matches_are_the_references(kind, tmp_path):
    theirs, ours = _made(kind, tmp_path)
    assert type(ours) is formers.SuperGlueForKeypointMatching
    there, here = _prepare()
    given = [one(PAIRS, return_tensors="pt") for one in (there, here)]
    assert given[1].pixel_values.shape == (2, 2, 3, 32, 48)
    torch.testing.assert_close(given[1].pixel_values, given[0].pixel_values, atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        expected, found = (model(**given[0], output_hidden_states=True) for model in (theirs, ours))
    assert list(found) == list(expected)
    for name, value in expected.items():
        for one, other in zip(found[name], value, strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    if kind == "of none":
        assert found.matches.shape == (2, 2, 0)
        return
    assert int((found.matches >= 0).sum()) > 0
    for threshold in (0.0, 0.026):
        wanted = there.post_process_keypoint_matching(expected, SIZES, threshold)
        for sizes in (SIZES, torch.tensor(SIZES)):
            made = here.post_process_keypoint_matching(found, sizes, threshold)
            for one, other in zip(made, wanted, strict=True):
                assert set(one) == set(other)
                for name, value in other.items():
                    torch.testing.assert_close(one[name], value, atol=1e-5, rtol=1e-5)
    drawn = here.visualize_keypoint_matching(PAIRS, made)
    for one, other in zip(drawn, there.visualize_keypoint_matching(PAIRS, wanted), strict=True):
        assert np.array_equal(np.asarray(one), np.asarray(other))


def test_a_pipeline_says_where_in_both_pictures(tmp_path):
    theirs, _ = _made("of all, none that is unlikely", tmp_path)
    files = [[str(tmp_path / f"{i}{k}.png") for k in range(2)] for i in range(2)]
    for pair, names in zip(PAIRS, files, strict=True):
        for picture, name in zip(pair, names, strict=True):
            picture.save(name)
    pipe = formers.pipeline("keypoint-matching", model=str(tmp_path), device="cpu")
    found = pipe(files)
    there = _prepare()[0]
    for answers, pair, sizes in zip(found, PAIRS, SIZES, strict=True):
        with torch.no_grad():
            out = theirs(**there(pair, return_tensors="pt"))
        # the reference's own pipeline takes widths for heights
        (wanted,) = there.post_process_keypoint_matching(out, [sizes])
        places = {
            (tuple(a), tuple(b))
            for a, b in zip(wanted["keypoints0"].tolist(), wanted["keypoints1"].tolist(), strict=True)
        }
        said = [(one["keypoint_image_0"], one["keypoint_image_1"]) for one in answers]
        assert {((a["x"], a["y"]), (b["x"], b["y"])) for a, b in said} == places
        scores = [one["score"] for one in answers]
        assert scores == sorted(scores, reverse=True)
        assert np.allclose(scores, sorted(wanted["matching_scores"].tolist(), reverse=True), atol=1e-5)
    assert pipe(PAIRS[0]) == found[0]
    assert len(pipe(files[0], threshold=0.028)) < len(found[0])
    assert list(pipe(iter(files), threshold=0.026)) == pipe(files, threshold=0.026)


def test_what_is_no_pair_is_refused(tmp_path):
    _, ours = _made("of the best few", tmp_path)
    here = _prepare()[1]
    for given in (PAIRS[0][0], PAIRS[0][:1], [*PAIRS[0], PAIRS[0][0]], []):
        with pytest.raises(ValueError, match="pictures come in pairs"):
            here(given)
    with pytest.raises(ValueError, match=r"\[B, 2, channels, height, width\], not \[2, 3, 32, 48\]"):
        ours(torch.zeros(2, 3, 32, 48))
    with pytest.raises(TypeError, match="takes no labels"):
        ours(torch.zeros(1, 2, 3, 32, 48), labels=1)
    with pytest.raises(ValueError, match=r"target_sizes are \[1, 2"):
        here.post_process_keypoint_matching(ours(torch.rand(1, 2, 3, 32, 48)), [(3, 4)])
    with pytest.raises(ValueError, match="'self' or 'cross'"):
        formers.SuperGlueConfig(gnn_layers_types=["selv"])
    with pytest.raises(ValueError, match="no head that finds points"):
        formers.SuperGlueForKeypointMatching(
            formers.SuperGlueConfig(keypoint_detector_config={"model_type": "resnet"})
        )
