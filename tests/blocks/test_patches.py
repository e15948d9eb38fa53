"""The stem of images: patches, positions for images of other sizes, hidden patches, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import formers

SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "image_size": 12,
    "patch_size": 4,
    "num_channels": 2,
    "encoder_stride": 4,
}


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Any, Any]:
    torch.manual_seed(0)
    theirs = transformers.ViTModel(transformers.ViTConfig(**SMALL), use_mask_token=True).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    theirs.save_pretrained(tmp_path)
    return theirs, formers.ViTModel.from_pretrained(tmp_path, use_mask_token=True)


@pytest.mark.parametrize("size", [(12, 12), (16, 16), (8, 20), (24, 4)], ids=str)
@torch.no_grad()
def test_positions_are_stretched_for_other_sizes_as_the_reference_does(
    pair: tuple[Any, Any], size: tuple[int, int]
) -> None:
    theirs, ours = pair
    images = torch.randn(2, 2, *size)
    found, expected = (m(images, interpolate_pos_encoding=True)[0] for m in (ours, theirs))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    ours.embeddings.patch_embeddings.register_forward_hook(lambda *_: None)
    torch.testing.assert_close(ours(images, interpolate_pos_encoding=True)[0], expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_hidden_patches_are_those_of_the_reference(pair: tuple[Any, Any]) -> None:
    theirs, ours = pair
    images, hidden = torch.randn(2, 2, 12, 12), torch.rand(2, 9) > 0.5
    found, expected = (m(images, bool_masked_pos=hidden)[0] for m in (ours, theirs))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="use_mask_token=True"):
        formers.ViTModel(formers.ViTConfig(**SMALL))(images, bool_masked_pos=hidden)
    with pytest.raises(TypeError, match="no_such|bool_masked_pos"):
        formers.ViTForImageClassification(formers.ViTConfig(**SMALL))(images, bool_masked_pos=hidden)


@torch.no_grad()
def test_patches_can_be_left_out_by_a_mask(pair: tuple[Any, Any]) -> None:
    theirs, ours = pair
    images, mask = torch.randn(2, 2, 12, 12), torch.ones(2, 10, dtype=torch.long)
    mask[0, 6:] = 0
    found, expected = (m(images, attention_mask=mask)[0] for m in (ours, theirs))
    torch.testing.assert_close(found[mask.bool()], expected[mask.bool()], atol=1e-5, rtol=1e-5)


def test_images_that_do_not_fit_are_refused_with_what_fits() -> None:
    model = formers.ViTModel(formers.ViTConfig(**SMALL))
    with pytest.raises(ValueError, match=r"\[B, 2, 12, 12\], not \[1, 2, 16, 12\]; interpolate_pos_encoding"):
        model(torch.zeros(1, 2, 16, 12))
    with pytest.raises(ValueError, match="must have shape"):
        model(torch.zeros(1, 3, 12, 12))
    with pytest.raises(ValueError, match="smaller than a patch"):
        model(torch.zeros(1, 2, 3, 12), interpolate_pos_encoding=True)
    with pytest.raises(TypeError, match="an image processor makes it"):
        model("cat.png")
    with pytest.raises(TypeError, match="models of images"):
        formers.BertModel(formers.BertConfig(num_hidden_layers=1), use_mask_token=True)
    apart = formers.ViTForMaskedImageModeling(formers.ViTConfig(**{**SMALL, "encoder_stride": 2}))
    with pytest.raises(ValueError, match="encoder_stride of the config alike"):
        apart(torch.zeros(1, 2, 12, 12), bool_masked_pos=torch.ones(1, 9).bool())
    assert apart(torch.zeros(1, 2, 12, 12)).reconstruction.shape == (1, 2, 6, 6)


def test_without_labels_a_classifier_returns_the_class_token() -> None:
    model = formers.ViTForImageClassification(formers.ViTConfig(**SMALL, num_labels=0)).eval()
    images = torch.randn(2, 2, 12, 12)
    with torch.no_grad():
        # the last layer computes the class token alone: other sums, rounded otherwise
        torch.testing.assert_close(model(images).logits, model.vit(images)[0][:, 0])
    assert not [name for name in model.state_dict() if not name.startswith("vit.")]


def test_a_narrow_model_takes_images_of_any_dtype() -> None:
    model = formers.ViTModel(formers.ViTConfig(**SMALL)).bfloat16()
    assert model(torch.zeros(1, 2, 12, 12)).last_hidden_state.dtype is torch.bfloat16
