"""How DPT makes maps of rows and fuses them; Depth Anything and ZoeDepth do so too."""

from __future__ import annotations

from typing import Any

from formers.nn.spec import nets, several


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
    larger = several.Enlarged(corners=True, told=told, exact=True, part="projection")
    one = nets.Node(parts, (several.Onto("residual_layer1"), "residual_layer2", larger))
    return nets.Node({"layers": nets.row(*(one,) * count)}, (several.Fold("layers", told=told),))


def neck(widths: list[int], wide: int, stage: Any, fusion: nets.Node, beside: bool = False) -> nets.Node:
    """Rows become maps, which become as wide as each other, and are fused; see `whole_neck`."""
    before = {} if stage is None else {"reassemble_stage": stage}
    convs = nets.row(*(nets.Conv(read, wide, 3) for read in widths))
    each = several.Each(several.numbered("convs", len(widths)))
    last = several.Besides("fusion_stage") if beside else "fusion_stage"
    return nets.Node({**before, "convs": convs, "fusion_stage": fusion}, (*before, each, last))


def whole_neck(c: Any, eps: float = 1e-5, beside: bool = False) -> nets.Node:
    """Rows or maps of a backbone become maps, and are fused; `beside` them the smallest as it was."""
    widths, wide, norms = c.neck_hidden_sizes, c.fusion_hidden_size, bool(c.use_batch_norm_in_fusion_residual)
    read = getattr(c.backbone_config, "hidden_size", None) or c.hidden_size
    layers = reassembled(read, widths, c.reassemble_factors)
    one, first = nets.row(nets.Dense(2 * read, read), nets.Act(c.hidden_act)), 0
    if getattr(c, "is_hybrid", False):  # the network's maps stay as they are
        first = 2
        layers = nets.row(*(nets.Act(),) * first, *list(layers.parts.values())[first:])
    parts: dict[str, Any] = {"layers": layers}
    if c.readout_type == "project":
        parts["readout_projects"] = nets.row(
            *(nets.row(nets.Act()),) * first, *(one,) * (len(widths) - first)
        )
    each = several.Each(several.numbered("layers", len(widths)))
    stage = nets.Node(parts, (several.Placed(c.readout_type, "readout_projects"), each))
    bias = c.use_bias_in_fusion_residual
    layer = residual(wide, not norms if bias is None else bias, norms, eps)
    maps = getattr(c.backbone_config, "model_type", "") == "swinv2"
    return neck(widths, wide, None if maps else stage, fused(wide, len(widths), layer), beside)
