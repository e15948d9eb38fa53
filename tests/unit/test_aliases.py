"""Newer attribute paths of the ecosystem, on trees that keep the names of the checkpoint's file."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from formers import ViTConfig, ViTForImageClassification, ViTModel

SMALL = {
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "image_size": 4,
    "patch_size": 2,
}
PIXELS = torch.linspace(-1, 1, 48).reshape(1, 3, 4, 4)


@pytest.fixture
def model() -> Any:
    torch.manual_seed(0)
    return ViTForImageClassification(ViTConfig(**SMALL)).eval()


def states(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(PIXELS).logits


def test_a_newer_path_leads_to_the_very_module(model: Any) -> None:
    newer, older = model.vit.layers[1], model.vit.encoder.layer[1]
    assert newer is older
    assert newer.attention.q_proj is older.attention.attention.query
    assert newer.attention.o_proj is older.attention.output.dense
    assert newer.mlp.fc1 is older.intermediate.dense
    assert (
        model.get_submodule("vit.layers.0.attention.k_proj")
        is model.vit.encoder.layer[0].attention.attention.key
    )


def test_a_newer_path_is_no_part_of_the_tree(model: Any) -> None:
    names = [*dict(model.named_modules()), *model.state_dict(), *dict(model.named_parameters())]
    assert not [name for name in names if "layers" in name or "_proj" in name or "mlp" in name]
    assert not isinstance(model.vit.layers[0].mlp, nn.Module)


def test_what_is_set_at_a_newer_path_stands_at_the_real_one(model: Any) -> None:
    before, layer = states(model), model.vit.encoder.layer[0]
    layer.attention.q_proj = first = nn.Linear(8, 8)
    layer.mlp.fc2 = second = nn.Linear(12, 8)
    assert layer.attention.attention.query is layer.attention.q_proj is first
    assert layer.output.dense is second
    assert not torch.equal(states(model), before)
    model.vit.layers = model.vit.layers[:1]
    assert len(model.vit.encoder.layer) == 1
    assert "layers" not in model.vit._modules


def test_a_newer_path_follows_what_is_replaced_or_deleted(model: Any) -> None:
    layer = model.vit.encoder.layer[0]
    layer.intermediate.dense = made = nn.Linear(8, 12)
    assert layer.mlp.fc1 is made
    del layer.attention.v_proj
    assert not hasattr(layer.attention.attention, "value")
    assert not hasattr(layer.attention, "v_proj")
    with pytest.raises(AttributeError, match="fc1 is intermediate.dense"):
        layer.mlp = nn.Identity()
    with pytest.raises(AttributeError, match="fc1 is intermediate.dense"):
        del layer.mlp
    with pytest.raises(AttributeError, match="mlp.fc3"):
        layer.mlp.fc3 = nn.Identity()


def test_copies_and_pickles_have_newer_paths_of_their_own(model: Any) -> None:
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        layer = twin.vit.layers[0]
        assert layer.attention.q_proj is twin.vit.encoder.layer[0].attention.attention.query
        assert layer.attention.q_proj is not model.vit.layers[0].attention.q_proj
        assert torch.equal(states(twin), states(model))


def test_loaded_models_have_newer_paths(model: Any, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    loaded = ViTForImageClassification.from_pretrained(tmp_path)
    assert loaded.vit.layers[1].mlp.fc1 is loaded.vit.encoder.layer[1].intermediate.dense


def test_names_of_ones_own_come_before_newer_paths(model: Any) -> None:
    class Own(ViTModel):
        def __init__(self, config: ViTConfig) -> None:
            super().__init__(config)
            self.layers = nn.ModuleList([nn.Identity()])
            self.post_init()

    own = Own(ViTConfig(**SMALL))
    assert isinstance(own.layers[0], nn.Identity)
    assert len(own.encoder.layer) == 2
    layer = model.vit.encoder.layer[0]
    layer._modules["mlp"] = nn.Identity()  # as a checkpoint with that name would have it
    assert isinstance(layer.mlp, nn.Identity)


def test_a_name_that_nobody_has_is_refused_as_before(model: Any) -> None:
    with pytest.raises(AttributeError, match="has no attribute 'layerz'"):
        model.vit.layerz  # noqa: B018
    with pytest.raises(AttributeError, match="fc3"):
        model.vit.layers[0].mlp.fc3  # noqa: B018
