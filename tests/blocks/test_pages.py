"""Words in boxes and patches behind them: places, biases of scores by them, and what is refused."""

from __future__ import annotations

import math
import types
from typing import Any

import pytest
import torch

import formers
from formers.nn.pages import patch_places
from formers.nn.positions import Buckets

SIZES: dict[str, Any] = {
    **{"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 20},
    **{"vocab_size": 50, "max_position_embeddings": 20, "coordinate_size": 5, "shape_size": 2},
    **{"input_size": 12, "patch_size": 4, "rel_pos_bins": 8, "max_rel_pos": 6},
    **{"rel_2d_pos_bins": 12, "max_rel_2d_pos": 40},
}
IDS = torch.randint(4, 50, (2, 5), generator=torch.Generator().manual_seed(0))
BOXES = torch.tensor([[[10 * i, 5 * i, 10 * i + 9, 5 * i + 4] for i in range(5)]] * 2)
PIXELS = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))


def made(ending: str = "Model", **values: Any) -> Any:
    """A small LayoutLMv3."""
    torch.manual_seed(0)
    return getattr(formers, f"LayoutLMv3{ending}")(formers.LayoutLMv3Config(**{**SIZES, **values})).eval()


def test_patches_have_the_boxes_of_a_grid_behind_one_of_the_whole_page() -> None:
    found = patch_places(2, 3, 1000, "cpu").tolist()
    assert found[0] == [1, 1, 999, 999]
    assert found[1:4] == [[0, 0, 333, 500], [333, 0, 666, 500], [666, 0, 1000, 500]]
    assert found[4:] == [[0, 500, 333, 1000], [333, 500, 666, 1000], [666, 500, 1000, 1000]]


@torch.no_grad()
def test_scores_have_biases_by_the_order_and_the_places_of_both() -> None:
    """The first layer's weights against scores written out pair by pair."""
    model = made()
    found = model(IDS, bbox=BOXES, pixel_values=PIXELS, output_attentions=True, output_hidden_states=True)
    layer, entered = model.encoder.layer[0].attention.self, found.hidden_states[0]
    numbers = [*range(5), *range(10)]
    boxes = [*BOXES[0].tolist(), *patch_places(3, 3, 1000, "cpu").tolist()]
    q, k = (getattr(layer, name)(entered).view(2, 15, 2, 12) for name in ("query", "key"))
    near, far = Buckets(8, 6), Buckets(12, 40)
    tables = [getattr(model.encoder, f"rel_pos{name}_bias").weight for name in ("", "_x", "_y")]
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k)
    for i in range(15):
        for j in range(15):
            apart = (numbers[j] - numbers[i], boxes[j][0] - boxes[i][0], boxes[j][3] - boxes[i][3])
            for rule, table, offset in zip((near, far, far), tables, apart, strict=True):
                scores[:, :, i, j] += table[:, int(rule.of(torch.tensor(offset)))]
    expected = (scores / math.sqrt(12)).softmax(-1)
    assert torch.allclose(found.attentions[0], expected, atol=1e-5)


@torch.no_grad()
def test_words_alone_a_page_alone_and_padding_are_read() -> None:
    model = made()
    words, page = model(IDS, bbox=BOXES), model(pixel_values=PIXELS)
    assert words.last_hidden_state.shape == (2, 5, 24)
    assert page.last_hidden_state.shape == (2, 10, 24)
    ids = torch.nn.functional.pad(IDS, (0, 3), value=1)
    boxes = torch.nn.functional.pad(BOXES, (0, 0, 0, 3))
    padded = model(ids, bbox=boxes, attention_mask=ids.ne(1).long())
    assert torch.allclose(padded.last_hidden_state[:, :5], words.last_hidden_state, atol=1e-5)
    head = made("ForTokenClassification", num_labels=3)
    assert head(IDS, bbox=BOXES, pixel_values=PIXELS).logits.shape == (2, 5, 3)
    spans = made("ForQuestionAnswering")
    assert spans(IDS, bbox=BOXES, pixel_values=PIXELS).start_logits.shape == (2, 15)


def test_what_does_not_fit_a_page_is_refused() -> None:
    model = made()
    with pytest.raises(ValueError, match=r"bbox must have shape \[2, 5, 4\], a box for every token"):
        model(IDS, bbox=BOXES[:, :4])
    with pytest.raises(ValueError, match="2 texts and 1 pages: give one for each text"):
        model(IDS, bbox=BOXES, pixel_values=PIXELS[:1])
    with pytest.raises(ValueError, match=r"pixel_values must have shape \[B, 3, 12, 12\]"):
        model(IDS, bbox=BOXES, pixel_values=torch.zeros(2, 3, 16, 16))
    with pytest.raises(ValueError, match="beside a page attention_mask must have shape"):
        model(IDS, bbox=BOXES, pixel_values=PIXELS, attention_mask=torch.ones(2, 15))
    with pytest.raises(IndexError, match="bbox hold 5000, but the x table has 1024 rows"):
        model(IDS, bbox=BOXES + torch.tensor([5000, 0, 0, 0]))
    with pytest.raises(ValueError, match="visual_embed is off"):
        made(visual_embed=False)(IDS, bbox=BOXES, pixel_values=PIXELS)
    with pytest.raises(ValueError, match="must make hidden_size=24 together"):
        made(shape_size=3)
    with pytest.raises(ValueError, match="text_embed=False is not available"):
        formers.LayoutLMv3Config(text_embed=False)
    with pytest.raises(ValueError, match="a layer called alone cannot tell: call the model"):
        model.encoder(torch.zeros(1, 4, 24))


_BUILT = {
    **{"MODEL.BACKBONE.NAME": "build_resnet_fpn_backbone", "MODEL.RESNETS.NUM_GROUPS": 2},
    **{"MODEL.RESNETS.WIDTH_PER_GROUP": 2, "MODEL.RESNETS.RES2_OUT_CHANNELS": 8},
    **{"MODEL.RESNETS.STEM_OUT_CHANNELS": 4, "MODEL.FPN.OUT_CHANNELS": 6},
    **{f"MODEL.{one}_FEATURES": ["res2", "res3"] for one in ("FPN.IN", "RESNETS.OUT")},
}
PAGES = torch.randint(0, 256, (2, 3, 16, 24), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def mapped(built: dict[str, Any] | None = None, **values: Any) -> Any:
    """A small LayoutLMv2."""
    sizes = {key: value for key, value in SIZES.items() if key not in ("input_size", "patch_size")}
    backbone = {f"MODEL.{name}": value for name, value in (built or {}).items()}
    args = {"image_feature_pool_shape": [2, 2, 6], "detectron2_config_args": {**_BUILT, **backbone}}
    torch.manual_seed(0)
    return formers.LayoutLMv2Model(formers.LayoutLMv2Config(**{**sizes, **args, **values})).eval()


@torch.no_grad()
def test_a_page_is_read_from_whatever_holds_its_pixels_and_by_changed_weights() -> None:
    model = mapped()
    found = model(IDS, bbox=BOXES, image=PAGES).last_hidden_state
    assert found.shape == (2, 9, 24)
    held = types.SimpleNamespace(tensor=PAGES.float())
    assert torch.equal(model(IDS, bbox=BOXES, image=held).last_hidden_state, found)
    model.visual.backbone.bottom_up.res3[1].conv2.norm.bias.add_(1e3)  # which was folded into weights
    changed = model(IDS, bbox=BOXES, image=PAGES).last_hidden_state
    assert not torch.allclose(changed, found, atol=1e-3)
    with torch.enable_grad():
        assert torch.allclose(model(IDS, bbox=BOXES, image=PAGES).last_hidden_state, changed, atol=1e-5)


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({}, TypeError, "reads the page of each text as image=, a tensor"),
        ({"image": PAGES[:1]}, ValueError, "2 texts and 1 pages: give one for each text"),
        ({"image": PAGES[:, :1]}, ValueError, r"image must have shape \[B, 3, height, width\]"),
        ({"image": PAGES[..., :20]}, ValueError, r"\[16, 20\] pixels, which must be multiples of 8"),
        ({"image": PAGES, "bbox": BOXES[:, :4]}, ValueError, r"bbox must have shape \[2, 5, 4\]"),
        ({"image": PAGES, "bbox": BOXES.flip(-1)}, IndexError, "bbox hold -.*, but the height table"),
        ({"image": PAGES, "position_ids": IDS[:, :4]}, ValueError, "position_ids"),
        ({"image": PAGES, "attention_mask": IDS[:, :4]}, ValueError, "attention_mask must have shape"),
    ],
)
def test_what_does_not_fit_a_mapped_page_is_refused(
    given: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        mapped()(IDS, **{"bbox": BOXES, **given})


@pytest.mark.parametrize(
    ("built", "says"),
    [
        ({"RESNETS.NORM": "GN"}, "MODEL.RESNETS.NORM = 'GN'; the backbone is built of 'FrozenBN'"),
        ({"BACKBONE.NAME": "build_vit"}, "MODEL.BACKBONE.NAME = 'build_vit'"),
        ({"RESNETS.DEPHT": 50}, r"'MODEL.RESNETS.DEPHT'; did you mean 'MODEL.RESNETS.DEPTH'\?"),
        ({"FPN.IN_FEATURES": ["res3"]}, "must be the same stages, from the first on"),
        ({"RESNETS.DEPTH": 18}, "goes with MODEL.RESNETS.RES2_OUT_CHANNELS = 64"),
        ({"FPN.OUT_CHANNELS": 8}, "image_feature_pool_shape says maps of 6 channels"),
        ({"PIXEL_STD": [1.0]}, "differ in their channels"),
    ],
)
def test_backbones_that_are_not_built_are_refused(built: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        mapped(built)
    with pytest.raises(ValueError, match="needs as many positions"):
        mapped(image_feature_pool_shape=[5, 5, 6])
