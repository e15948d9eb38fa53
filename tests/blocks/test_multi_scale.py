"""What nets do with several maps, against what it means, written out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn.losses import log_depth, semantic
from formers.nn.nets.tree import NetNode, fill
from formers.nn.spec import multi_scale, nets
from formers.nn.spec.multi_scale import numbered

GENERATOR = torch.Generator().manual_seed(0)
MAPS = tuple(torch.randn(2, 4, *size, generator=GENERATOR) for size in ((8, 6), (4, 3), (2, 2)))


def node(parts: dict[str, Any], *run: Any) -> NetNode:
    """A node of random weights."""
    torch.manual_seed(0)
    made = NetNode()
    fill(made, nets.Node(parts, run or None))
    return made.eval()


def part(owner: nn.Module, path: str) -> Any:
    return owner.get_submodule(path)


def larger(x: Tensor, like: Tensor, corners: bool = False) -> Tensor:
    return F.interpolate(x, like.shape[2:], mode="bilinear", align_corners=corners)


def conv(made: int = 4) -> nets.Conv:
    return nets.Conv(4, made, bias=True)


def test_every_map_goes_through_its_own_part_and_the_rest_another_way() -> None:
    made = node(
        {"convs": nets.row(conv(), conv()), "other": conv()},
        multi_scale.Each(numbered("convs", 2), ("other",)),
    )
    names = ("convs.0", "convs.1", "other")
    for found, name, one in zip(made(MAPS), names, MAPS, strict=True):
        torch.testing.assert_close(found, part(made, name)(one))


def test_maps_are_added_from_the_last_to_the_first_and_stand_side_by_side() -> None:
    second = MAPS[1] + larger(MAPS[2], MAPS[1])
    first = MAPS[0] + larger(second, MAPS[0])
    expected = torch.cat((first, larger(second, first), larger(MAPS[2], first)), dim=1)
    torch.testing.assert_close(node({}, nets.DOWN, nets.ALIKE, nets.TOGETHER)(MAPS), expected)


@pytest.mark.parametrize("looked", [False, True])
def test_a_mix_of_all_maps_reads_the_last_one_first(looked: bool) -> None:
    made = node({"mix": nets.Conv(12, 5)}, multi_scale.Mixed("mix"))
    seen: list[Tensor] = []
    if looked:
        made.get_submodule("mix").register_forward_pre_hook(lambda _m, args: seen.append(args[0]))
    together = torch.cat([larger(one, MAPS[0]) for one in reversed(MAPS)], dim=1)
    torch.testing.assert_close(made(MAPS), F.conv2d(together, part(made, "mix").weight))
    assert [one.shape[1] for one in seen] == ([12] if looked else [])


def test_a_fold_adds_every_map_to_what_was_made_before_and_is_told_the_next_size() -> None:
    layer = nets.Node(
        {"unit": conv()}, (multi_scale.Onto("unit"), multi_scale.Enlarged(told=True, exact=True))
    )
    made = node({"layers": nets.row(layer, layer, layer)}, multi_scale.Fold("layers", told=True))
    x, expected = larger(MAPS[2], MAPS[1]), []
    expected.append(x)
    x = larger(x + part(made, "layers.1.unit")(MAPS[1]), MAPS[0])
    expected.append(x)
    x = x + part(made, "layers.2.unit")(MAPS[0])
    expected.append(F.interpolate(x, scale_factor=2, mode="bilinear"))
    for found, one in zip(made(MAPS), expected, strict=True):
        torch.testing.assert_close(found, one)


@pytest.mark.parametrize("readout", ["ignore", "add", "project"])
def test_rows_behind_a_class_token_become_maps(readout: Any) -> None:
    rows = torch.randn(2, 7, 4, generator=GENERATOR)
    parts = {"projects": nets.row(nets.Dense(8, 4))} if readout == "project" else {}
    made = node(parts, multi_scale.Placed(readout, "projects"))
    first, rest = rows[:, :1].expand(-1, 6, -1), rows[:, 1:]
    if readout == "add":
        rest = rest + first
    if readout == "project":
        rest = part(made, "projects.0")(torch.cat((rest, first), -1))
    (found,) = made((rows,), size=(2, 3))
    torch.testing.assert_close(found, rest.view(2, 2, 3, 4).permute(0, 3, 1, 2))


@pytest.mark.parametrize("looked", [False, True])
def test_a_convolution_of_places_reads_what_was_enlarged(looked: bool) -> None:
    made = node({"out": conv(3)}, multi_scale.Enlarged(corners=True, part="out"))
    if looked:
        made.get_submodule("out").register_forward_hook(lambda *_: None)
    large = F.interpolate(MAPS[1], scale_factor=2, mode="bilinear", align_corners=True)
    torch.testing.assert_close(made(MAPS[1]), part(made, "out")(large))


def test_two_maps_are_weighed_at_every_place() -> None:
    made = node({"weigh": nets.Conv(8, 2, bias=True)}, multi_scale.Weighed(("weigh",)))
    near, far = MAPS[0], MAPS[0].flip(0)
    weights = part(made, "weigh")(torch.cat((near, far), 1))
    torch.testing.assert_close(made(near, far), near * weights[:, :1] + far * weights[:, 1:])


def test_branches_of_one_map_are_as_large_as_it_is() -> None:
    made = node(
        {"pool": nets.Pool(to=2), "unit": conv(3)},
        multi_scale.Branches((("pool",), ("unit",))),
        nets.TOGETHER,
    )
    pooled = larger(F.adaptive_avg_pool2d(MAPS[0], 2), MAPS[0])
    torch.testing.assert_close(made(MAPS[0]), torch.cat((pooled, part(made, "unit")(MAPS[0])), 1))


@pytest.mark.parametrize("looked", [False, True])
def test_places_that_lie_alike_in_their_patches_attend_to_each_other(looked: bool) -> None:
    parts: dict[str, Any] = {name: nets.Dense(4, 4) for name in ("query", "key", "value")}
    attends = nets.Node({**parts, "dropout": nets.Drop(0.5)}, (multi_scale.Attends(2),))
    made = node({"attends": attends}, multi_scale.ByPatches((2, 3), ("attends",)))
    if looked:
        made.get_submodule("attends.dropout").register_forward_hook(lambda *_: None)
    x, expected = MAPS[0], torch.zeros_like(MAPS[0])
    for i in range(2):
        for j in range(3):
            rows = x[:, :, i::2, j::3].flatten(2).transpose(1, 2)
            q, k, v = (
                part(made, f"attends.{name}")(rows).unflatten(2, (2, 2)).transpose(1, 2) for name in parts
            )
            mixed = (q @ k.transpose(2, 3) / 2**0.5).softmax(-1) @ v
            expected[:, :, i::2, j::3] = mixed.transpose(1, 2).flatten(2).transpose(1, 2).view(2, 4, 4, 2)
    torch.testing.assert_close(made(x), expected)


def test_losses_of_pixels_leave_unlabelled_ones_out_and_refuse_other_shapes() -> None:
    logits = torch.randn(2, 3, 4, 4, generator=GENERATOR)
    labels = torch.randint(0, 3, (2, 8, 8), generator=GENERATOR)
    labels[:, :3] = 255
    large = F.interpolate(logits, (8, 8), mode="bilinear")
    torch.testing.assert_close(semantic(logits, labels), F.cross_entropy(large, labels, ignore_index=255))
    with pytest.raises(ValueError, match="labels are maps"):
        semantic(logits, labels[0])
    depths = torch.rand(2, 4, 4, generator=GENERATOR) + 0.1
    torch.testing.assert_close(log_depth(depths, depths), torch.zeros(()))
    with pytest.raises(ValueError, match="a depth for every pixel"):
        log_depth(depths, depths[:1])
