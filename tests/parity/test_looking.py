"""What queries over several maps do beside finding objects: noise in training, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import formers
from tests.parity.vision_detr_shapes import objects
from tests.parity.vision_looking_shapes import SHAPES

SHAPE = next(iter(SHAPES["rt_detr"].values()))


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """The reference's model with noisy queries, and ours from its files."""
    folder: Path = tmp_path_factory.mktemp("noisy")
    torch.manual_seed(0)
    config = transformers.RTDetrConfig(**{**SHAPE, "num_denoising": 9}, num_labels=5)
    theirs = transformers.RTDetrForObjectDetection(config)
    theirs.save_pretrained(folder)
    return theirs, formers.RTDetrForObjectDetection.from_pretrained(folder)


def test_noisy_objects_are_drawn_and_learned_as_the_reference_does(both: tuple[Any, Any]) -> None:
    pixels, labels, found = torch.randn(4, 3, 64, 64), objects(), []
    for model in both:
        model.train()
        torch.manual_seed(7)
        out = model(pixel_values=pixels, labels=labels)
        out.loss.backward()
        found.append(out)
        model.eval()
    theirs, ours = found
    assert theirs.loss_dict.keys() == ours.loss_dict.keys()
    assert "loss_vfl_dn_1" in ours.loss_dict
    torch.testing.assert_close(dict(ours.loss_dict), dict(theirs.loss_dict), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.logits, theirs.logits, atol=1e-5, rtol=1e-5)
    assert ours.denoising_meta_values["dn_num_split"] == theirs.denoising_meta_values["dn_num_split"]
    table = "denoising_class_embed"
    torch.testing.assert_close(
        getattr(both[1].model, table).weight.grad, getattr(both[0].model, table).weight.grad
    )


def test_pictures_without_objects_draw_no_queries(both: tuple[Any, Any]) -> None:
    model = both[1].train()
    none = [{"class_labels": torch.zeros(0, dtype=torch.long), "boxes": torch.zeros(0, 4)}] * 2
    out = model(pixel_values=torch.randn(2, 3, 64, 64), labels=none)
    model.eval()
    assert out.denoising_meta_values is None
    assert out.logits.shape[1] == SHAPE["num_queries"]
    assert out.loss.isfinite()


def test_pictures_that_do_not_fit_the_maps_are_refused(both: tuple[Any, Any]) -> None:
    with pytest.raises(ValueError, match="multiples of the last stride"):
        both[1](pixel_values=torch.randn(1, 3, 64, 72))
    config = formers.RTDetrConfig(**{**SHAPE, "num_queries": 40})
    with pytest.raises(ValueError, match="40 queries begin at places of maps, but these have 21 places"):
        formers.RTDetrModel(config)(torch.randn(1, 3, 16, 16))


def test_maps_stand_in_the_place_of_pictures(both: tuple[Any, Any]) -> None:
    model, pixels = both[1], torch.randn(1, 3, 64, 64)
    kept = model.config.num_queries
    maps: list[torch.Tensor] = []
    handle = model.model.encoder.register_forward_hook(lambda m, args, out: maps.extend(out[0]))
    with torch.no_grad():
        whole = model(pixel_values=pixels)
        handle.remove()
        again = model(pixel_values=None, encoder_outputs=(maps,))
    assert whole.logits.shape[1] == kept
    torch.testing.assert_close(again.logits, whole.logits)
