"""Rows of several layers as maps, fused from the last to the first (Ranftl et al. 2021, arXiv:2103.13413)."""

from __future__ import annotations

from typing import Any

from formers.nn.spec import multi_scale, nets


def reassembled(read: int, widths: list[int], factors: list[float]) -> nets.Node:
    """Maps of patches at other widths and sizes."""

    def layer(made: int, factor: float) -> nets.Node:
        resize: Any = nets.Act()
        if factor > 1:
            resize = nets.Spread(made, made, int(factor))
        elif factor < 1:
            resize = nets.Conv(made, made, 3, int(1 / factor), bias=True)
        return nets.Node({"projection": nets.Conv(read, made, bias=True), "resize": resize})

    return nets.row(*map(layer, widths, factors))


def stage(
    read: int, widths: list[int], factors: list[float], act: str, readout: str, kept: int = 0
) -> nets.Node:
    """Rows that become maps, with what the first of them says; the first `kept` are maps, and stay."""
    layers = reassembled(read, widths, factors)
    one = nets.row(nets.Dense(2 * read, read), nets.Act(act))
    if kept:
        layers = nets.row(*(nets.Act(),) * kept, *list(layers.parts.values())[kept:])
    parts: dict[str, Any] = {"layers": layers}
    if readout == "project":
        parts["readout_projects"] = nets.row(*(nets.row(nets.Act()),) * kept, *(one,) * (len(widths) - kept))
    each = multi_scale.Each(multi_scale.numbered("layers", len(widths)))
    return nets.Node(parts, (multi_scale.Placed(readout, "readout_projects"), each))


def residual(wide: int, bias: bool = True, norms: bool = False, eps: float = 1e-5) -> nets.Node:
    """Two convolutions, activations before them, whose result is added to what they read."""
    unit = {"activation": nets.Act("relu"), "convolution": nets.Conv(wide, wide, 3, bias=bias)}
    whole = {**unit, **({"batch_norm": nets.BatchNorm(wide, eps)} if norms else {})}
    parts = {f"{name}{i}": part for i in (1, 2) for name, part in whole.items()}
    return nets.Node(parts, (nets.BEGIN, *parts, nets.SUM))


def fused(wide: int, count: int, layer: nets.Node, told: bool = False) -> nets.Node:
    """From the last map to the first, each added to what was made of those after it, and made larger."""
    parts = {
        "projection": nets.Conv(wide, wide, bias=True),
        "residual_layer1": layer,
        "residual_layer2": layer,
    }
    larger = multi_scale.Enlarged(corners=True, told=told, exact=True, part="projection")
    one = nets.Node(parts, (multi_scale.Onto("residual_layer1"), "residual_layer2", larger))
    return nets.Node({"layers": nets.row(*(one,) * count)}, (multi_scale.Fold("layers", told=told),))


def neck(widths: list[int], wide: int, stage: Any, fusion: nets.Node, beside: bool = False) -> nets.Node:
    """Rows become maps, which become as wide as each other, and are fused."""
    before = {} if stage is None else {"reassemble_stage": stage}
    convs = nets.row(*(nets.Conv(read, wide, 3) for read in widths))
    each = multi_scale.Each(multi_scale.numbered("convs", len(widths)))
    last = multi_scale.Besides("fusion_stage") if beside else "fusion_stage"
    return nets.Node({**before, "convs": convs, "fusion_stage": fusion}, (*before, each, last))
