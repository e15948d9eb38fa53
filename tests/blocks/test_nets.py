"""Networks over maps: what nobody looks into computes what is called part by part, whatever changes."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import formers
from formers.nn.nets.leaves import leaf_of
from formers.nn.spec import nets

PIXELS = torch.randn(2, 3, 33, 28, generator=torch.Generator().manual_seed(0))


def resnet(**more: Any) -> Any:
    """A small network whose batch norms have seen something."""
    torch.manual_seed(0)
    fields = {"embedding_size": 8, "hidden_sizes": [16, 24], "depths": [1, 2], **more}
    made = formers.ResNetModel(formers.ResNetConfig(**fields)).eval()
    with torch.no_grad():
        for value in made.state_dict().values():
            if value.is_floating_point():
                value.add_(torch.rand_like(value) * 0.2)
    return made


def called(model: Any, x: Tensor = PIXELS) -> Tensor:
    """The last map, with every part called."""
    handle = next(iter(model.children())).register_forward_hook(lambda *_: None)
    found = folded(model, x)
    handle.remove()
    return found


def folded(model: Any, x: Tensor = PIXELS) -> Tensor:
    """The last map, where nobody looks."""
    with torch.no_grad():
        return model(x).last_hidden_state


def close(one: Tensor, two: Tensor) -> None:
    torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("act", ["relu", "gelu", "silu", "relu6", "quick_gelu"])
def test_folded_convolutions_compute_what_the_parts_compute_one_by_one(act: str) -> None:
    model = resnet(hidden_act=act, layer_type="basic")
    close(folded(model), called(model))
    close(folded(model, PIXELS[:1, :, :20]), called(model, PIXELS[:1, :, :20]))  # of another size


CHANGES: dict[str, Callable[[Any], Any]] = {
    "a weight": lambda conv: conv.convolution.weight.detach().mul_(2.0),
    "a weight through .data": lambda conv: conv.convolution.weight.data.mul_(2.0),
    "another weight": lambda conv: setattr(
        conv.convolution, "weight", nn.Parameter(conv.convolution.weight.detach() * 2.0)
    ),
    "what a batch norm has seen": lambda conv: conv.normalization.running_var.fill_(3.0),
    "a convolution of one's own": lambda conv: setattr(
        conv, "convolution", nn.Sequential(conv.convolution, nn.Tanh())
    ),
    "a norm of one's own": lambda conv: setattr(conv, "normalization", nn.GroupNorm(2, 8)),
    "the whole node": lambda conv: setattr(
        conv, "forward", lambda x: x[:, :1, ::2, ::2].expand(-1, 8, -1, -1)
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_after_it_was_folded_is_seen(change: str) -> None:
    model = resnet()
    before = folded(model)
    CHANGES[change](model.embedder.embedder)
    after = folded(model)
    assert (after - before).abs().max() > 1e-3
    close(after, called(model))


def test_training_follows_the_batches_and_evaluation_what_was_seen() -> None:
    model = resnet()
    before, seen = folded(model), model.embedder.embedder.normalization.running_mean.clone()
    with torch.no_grad():
        trained = model.train()(PIXELS).last_hidden_state
    assert not torch.equal(seen, model.embedder.embedder.normalization.running_mean)
    after = folded(model.eval())
    assert (after - before).abs().max() > 1e-3
    assert (after - trained).abs().max() > 1e-3
    model.embedder.embedder.normalization.train()
    assert (folded(model) - after).abs().max() > 1e-3


def test_copies_fold_weights_of_their_own() -> None:
    model = resnet()
    before = folded(model)
    twins = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    with torch.no_grad():
        model.embedder.embedder.convolution.weight.zero_()
    for twin in twins:
        close(folded(twin), before)


def test_results_are_laid_out_as_others_are() -> None:
    with torch.no_grad():
        found = resnet()(PIXELS, output_hidden_states=True)
    assert [one.is_contiguous() for one in (found.last_hidden_state, *found.hidden_states)] == [True] * 4


@pytest.mark.parametrize("size", [(9, 10), (10, 7)])
@pytest.mark.parametrize(("stride", "dilation", "kernel"), [(1, 1, 3), (2, 1, 3), (2, 1, 2), (1, 2, 3)])
def test_padding_by_the_size_gives_a_place_for_every_stride(
    size: tuple[int, int], stride: int, dilation: int, kernel: int
) -> None:
    conv: Any = leaf_of(nets.Conv(2, 4, kernel, stride, dilation=dilation, same=True))
    x = torch.randn(1, 2, *size)
    found = conv(x)
    assert found.shape[2:] == tuple(-(-one // stride) for one in size)
    short = [max(kernel - (one % stride or stride), 0) for one in size]
    wide = nn.functional.pad(x, (40, 40, 40, 40))  # what stands there: zeros without end
    for i, j in product(range(found.shape[2]), range(found.shape[3])):
        top, left = (40 - dilation * (n // 2) + stride * at for n, at in zip(short, (i, j), strict=True))
        rows, columns = ([start + dilation * k for k in range(kernel)] for start in (top, left))
        close(found[0, :, i, j], (conv.weight * wide[0][:, rows][:, :, columns]).sum((1, 2, 3)))


def test_images_that_do_not_fit_are_refused() -> None:
    model = resnet()
    with pytest.raises(ValueError, match=r"\[B, 3, height, width\], not \[2, 1, 8, 8\]"):
        model(torch.zeros(2, 1, 8, 8))
    with pytest.raises(TypeError, match="image processor"):
        model([[1.0]])
    model.gradient_checkpointing_enable()
    with pytest.raises(ValueError, match="batch norms"):
        model.train()(PIXELS)


# -- backbones ----------------------------------------------------------------------------------------


def test_a_backbone_gives_the_stages_that_are_named() -> None:
    config = formers.ResNetConfig(embedding_size=8, hidden_sizes=[16, 24], depths=[1, 1])
    assert (config.out_features, config.out_indices) == (["stage2"], [2])
    config.out_indices = [0, -1]
    assert config.out_features == ["stem", "stage2"]
    model = formers.AutoBackbone.from_config(config).eval()
    assert model.channels == [8, 24]
    assert [tuple(one.shape[1:]) for one in model(PIXELS).feature_maps] == [(8, 9, 7), (24, 5, 4)]
    model.out_features = ["stage1"]
    found = model(PIXELS, output_hidden_states=True)
    assert torch.equal(found.feature_maps[0], found.hidden_states[1])
    assert model.out_indices == [1]


def test_a_backbone_reads_a_classifiers_file(tmp_path: Any) -> None:
    config = formers.ResNetConfig(embedding_size=8, hidden_sizes=[16, 24], depths=[1, 1])
    whole = formers.ResNetForImageClassification(config).eval()
    whole.save_pretrained(tmp_path)
    found = formers.AutoBackbone.from_pretrained(tmp_path, out_features=["stage1", "stage2"])
    with torch.no_grad():
        close(found(PIXELS).feature_maps[1], whole.resnet(PIXELS).last_hidden_state)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"out_features": ["stage3"]}, "not all among the stages"),
        ({"out_indices": [3]}, "not all among the 3 stages"),
        ({"out_features": ["stage2", "stage1"]}, "in the order"),
        ({"out_features": ["stage1"], "out_indices": [2]}, "different stages"),
        ({"out_features": "stage1"}, "list of stages"),
    ],
)
def test_stages_that_are_not_there_are_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        formers.ResNetConfig(hidden_sizes=[16, 24], depths=[1, 1], **wrong)


def test_weights_are_standardised_for_each_channel_that_is_made() -> None:
    conv: Any = leaf_of(nets.Conv(3, 5, 3, 2, same=True, standard=1e-8))
    x = PIXELS[:, :, :10, :9]
    expected = conv.weight.detach().double()
    expected = expected - expected.mean((1, 2, 3), keepdim=True)
    expected = expected / expected.std((1, 2, 3), correction=0, keepdim=True)
    close(conv(x), nn.functional.conv2d(nn.functional.pad(x, (1, 1, 0, 1)), expected.float(), stride=2))


def test_standardised_weights_are_folded_too() -> None:
    torch.manual_seed(0)
    sizes = {"embedding_size": 8, "hidden_sizes": [16, 32], "depths": [1, 2], "num_groups": 4}
    model = formers.BitModel(
        formers.BitConfig(**sizes, layer_type="bottleneck", global_padding="same")
    ).eval()
    close(folded(model), called(model))
    with torch.no_grad():
        model.encoder.stages[0].layers[0].conv2.weight[:, :, 1, 1].mul_(3.0)
    close(folded(model), called(model))


def test_stages_that_no_longer_halve_spread_their_kernels() -> None:
    assert nets.strides(4, 4, 32) == [(1, 1), (2, 1), (2, 1), (2, 1)]
    assert nets.strides(4, 4, 8) == [(1, 1), (2, 1), (1, 2), (1, 4)]


def test_a_pool_reads_zeros_where_windows_reach_over_the_edge() -> None:
    pool = leaf_of(nets.Pool("largest", 3, 2, zeros=True))
    assert torch.equal(pool(torch.full((1, 1, 4, 4), -1.0))[0, 0], torch.tensor([[-1.0, 0.0], [0.0, 0.0]]))


def test_models_of_ones_own_say_their_stages_as_those_here_do() -> None:
    class Own(formers.BackboneMixin, formers.PreTrainedModel):  # type: ignore[misc]  # both are found by name
        config_class = formers.ResNetConfig
        has_attentions = False

        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.num_features = [config.embedding_size, *config.hidden_sizes]

        def forward(self, x: Tensor) -> Tensor:
            return x

    config = formers.ResNetConfig(hidden_sizes=[16, 24], depths=[1, 2], out_features=["stem", "stage2"])
    own, here = Own(config), formers.ResNetBackbone(config)
    assert own.stage_names == here.stage_names == ["stem", "stage1", "stage2"]
    assert own.channels == here.channels == [64, 24]
    assert isinstance(here, formers.BackboneMixin)
    own.out_indices = [1]
    assert own.out_features == ["stage1"]
    assert torch.equal(own.forward_with_filtered_kwargs(PIXELS, output_attentions=True), PIXELS)
