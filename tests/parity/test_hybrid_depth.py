"""DPT-hybrid: a vision transformer that reads maps of BiT, which its decoder reads too."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

import formers
from tests.parity.vision_dense_shapes import MORE

SHAPE = MORE["dpt"]["maps of a network"]


def test_what_is_not_said_of_the_network_is_what_the_reference_takes() -> None:
    expected = transformers.DPTConfig(is_hybrid=True).to_dict()
    found = formers.DPTConfig(is_hybrid=True).to_dict()
    for name in ("backbone_featmap_shape", "neck_ignore_stages", "readout_type", "pooler_act"):
        assert list(found[name]) == list(expected[name])
    for name in ("depths", "hidden_sizes", "global_padding", "layer_type", "out_features", "output_stride"):
        assert found["backbone_config"][name] == expected["backbone_config"][name], name


def test_the_first_maps_of_the_network_are_returned(tmp_path: Any) -> None:
    torch.manual_seed(0)
    theirs = transformers.DPTModel(transformers.DPTConfig(**SHAPE)).eval()
    theirs.save_pretrained(tmp_path)
    ours = formers.AutoModel.from_pretrained(tmp_path)
    pictures = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected, found = theirs(pictures), ours(pictures)
    assert len(found.intermediate_activations) == 2
    for one, other in zip(found.intermediate_activations, expected.intermediate_activations, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.pooler_output, expected.pooler_output, atol=1e-5, rtol=1e-5)


def test_parts_are_called_that_are_called_in_the_reference() -> None:
    seen: list[set[str]] = []
    for room in (transformers, formers):
        model: Any = room.DPTForDepthEstimation(room.DPTConfig(**SHAPE)).eval()
        fired: set[str] = set()
        for name, module in model.named_modules():
            module.register_forward_hook(lambda *_, name=name, fired=fired: fired.add(name))
        model(torch.zeros(1, 3, 32, 32))
        seen.append(fired)
    assert seen[0] - seen[1] == set()


def test_pictures_of_another_shape_have_a_depth_for_each_place() -> None:
    model = formers.DPTForDepthEstimation(formers.DPTConfig(**SHAPE)).eval()
    assert model(torch.randn(1, 3, 48, 32)).predicted_depth.shape[1:] == (96, 64)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"readout_type": "add"}, "have readout_type='project'"),
        ({"neck_ignore_stages": []}, "neck_ignore_stages=\\[0, 1\\]"),
        ({"backbone_featmap_shape": [1, 99, 4, 4]}, "backbone_featmap_shape"),
    ],
)
def test_what_hybrid_models_do_not_have_is_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        formers.DPTModel(formers.DPTConfig(**{**SHAPE, **wrong}))


def test_patches_that_do_not_lie_where_the_maps_have_places_are_refused() -> None:
    model = formers.DPTModel(formers.DPTConfig(**{**SHAPE, "patch_size": 16}))
    with pytest.raises(ValueError, match=r"not one for each of \[2, 2\] patches"):
        model(torch.zeros(1, 3, 32, 32))
