"""Answers drawn onto pictures: every kind of answer changes the pixels where it should, and no others."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from formers import plots

GREY = Image.new("RGB", (400, 300), (90, 90, 90))
BOX = {"label": "cat", "score": 0.9, "box": {"xmin": 100, "ymin": 80, "xmax": 220, "ymax": 200}}


def changed(found):
    """Where a drawing of the grey picture is not grey, [300, 400]."""
    return (np.asarray(found)[:300, :400] != 90).any(-1)


def test_a_box_stands_where_the_answer_says_with_its_label_above():
    found = changed(plots.draw(GREY, [BOX]))
    assert found[80:200, 100].all()
    assert found[62:80, 100:130].any()
    assert not found[100:180, 110:210].any()
    assert not found[210:].any()


def test_a_mask_is_tinted_and_its_label_stands_below_the_picture():
    mask = Image.fromarray((np.arange(300)[:, None] < 100).repeat(400, 1).astype(np.uint8) * 255)
    drawn = plots.draw(GREY, [{"label": "sky", "score": None, "mask": mask}])
    assert changed(drawn)[:100].all()
    assert not changed(drawn)[100:].any()
    assert drawn.height > GREY.height


def test_labels_have_bars_as_long_as_their_scores_and_low_ones_can_be_left_out():
    answers = [{"label": "cat", "score": 1.0}, {"label": "dog", "score": 0.25}]
    drawn = np.asarray(plots.draw(GREY, answers))
    bars = [(drawn[300 + 4 + place * 22] != 255).any(-1).sum() for place in range(2)]
    assert bars == [400, 101]
    assert plots.draw(GREY, answers, least=0.5).height == drawn.shape[0] - 22


def test_depths_and_pictures_stand_beside_and_an_error_is_written():
    depth = Image.fromarray(np.linspace(0, 255, 300).astype(np.uint8)[:, None].repeat(400, 1))
    for answers in ({"depth": depth, "predicted_depth": None}, depth):
        drawn = np.asarray(plots.draw(GREY, answers))
        assert drawn.shape == (300, 806, 3)
        assert (drawn[0, 500] != drawn[-1, 500]).any()
    assert plots.draw(GREY, {"error": "is no picture"}).height == 300 + 26


def test_small_pictures_are_enlarged_with_their_boxes_and_any_kind_is_taken(tmp_path):
    tiny = Image.new("L", (40, 30), 90)
    tiny.save(tmp_path / "tiny.png")
    tenth = {"label": "", "score": None, "box": {name: value / 10 for name, value in BOX["box"].items()}}
    for given in (tiny, np.asarray(tiny), str(tmp_path / "tiny.png"), np.full((30, 40, 3), 90 / 255)):
        drawn = plots.draw(given, [tenth])
        assert drawn.size == (320, 240)
        assert (np.asarray(drawn)[100, 80] != 90).any()
    with pytest.raises(TypeError, match="a list of labels, boxes or masks"):
        plots.draw(tiny, ["cat"])


def test_a_sheet_holds_pictures_in_rows_with_their_captions():
    sheet = plots.side_by_side([GREY] * 5, ["right", "!wrong", "3", "4", "5"], across=2)
    assert sheet.size == (806, 3 * 326 - 6)
    assert (np.asarray(sheet)[:300, :400] == 90).all()
