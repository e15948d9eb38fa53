"""DPT (Ranftl et al. 2021, arXiv:2103.13413): rows of a vision transformer become maps, which are fused."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

from formers.assemblies.family import Family, Head
from formers.assemblies.vision.backbone_maps import OwnMaps
from formers.configs import PretrainedConfig
from formers.configs.backbone import refuse_named
from formers.models import vit
from formers.models.classes import backbone_of, base_class, map_widths, may_give_rows
from formers.models.registry import config_class, register
from formers.nn import spec
from formers.nn.spec import fusion, multi_scale, nets
from formers.tasks.dense_prediction import Spec as Dense


class DPTConfig(PretrainedConfig):
    """Configuration of DPT."""

    model_type = "dpt"
    sub_configs: ClassVar[dict[str, Any]] = {"backbone_config": config_class}
    _available: ClassVar[dict[str, tuple[Any, ...]]] = {"readout_type": ("ignore", "add", "project")}
    hidden_size: int = 768
    num_hidden_layers: int | None = 12
    num_attention_heads: int | None = 12
    intermediate_size: int | None = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float | None = 0.0
    attention_probs_dropout_prob: float | None = 0.0
    initializer_range: float = 0.02
    layer_norm_eps: float | None = 1e-12
    image_size: int | list[int] | None = 384
    patch_size: int | list[int] | None = 16
    num_channels: int | None = 3
    is_hybrid: bool = False
    qkv_bias: bool | None = True
    backbone_out_indices: list[int] | None = [2, 5, 8, 11]
    readout_type: str = "project"
    reassemble_factors: list[float] = [4, 2, 1, 0.5]
    neck_hidden_sizes: list[int] = [96, 192, 384, 768]
    fusion_hidden_size: int = 256
    head_in_index: int = -1
    use_batch_norm_in_fusion_residual: bool | None = False
    use_bias_in_fusion_residual: bool | None = None
    add_projection: bool = False
    use_auxiliary_head: bool | None = True
    auxiliary_loss_weight: float = 0.4
    semantic_loss_ignore_index: int = 255
    semantic_classifier_dropout: float = 0.1
    backbone_featmap_shape: list[int] | None = [1, 1024, 24, 24]
    neck_ignore_stages: list[int] = [0, 1]
    backbone_config: Any = None
    pooler_output_size: int | None = None
    pooler_act: str = "tanh"

    def __init__(self, **values: Any) -> None:
        refuse_named(type(self), values)
        if values.get("is_hybrid"):
            values = {**values, **_hybrid(values)}
        else:
            values = {**values, "backbone_featmap_shape": None, "neck_ignore_stages": []}
        super().__init__(**values)


def _hybrid(values: dict[str, Any]) -> dict[str, Any]:
    """The network whose maps are read, as it is where nothing else is said.

    Raises:
        ValueError: for what such models do not have.
    """
    readout, rest = values.get("readout_type", "project"), values.get("neck_ignore_stages", [0, 1])
    if readout != "project" or list(rest) != [0, 1]:
        raise ValueError(
            "hybrid models of DPT (is_hybrid=True) have readout_type='project' and neck_ignore_stages="
            f"[0, 1], not {readout!r} and {list(rest)}"
        )
    own = values.get("backbone_config")
    if own is None:
        own = {
            **{"global_padding": "same", "layer_type": "bottleneck", "depths": [3, 4, 9]},
            **{"out_features": ["stage1", "stage2", "stage3"], "embedding_dynamic_padding": True},
        }
    return {"backbone_config": {"model_type": "bit", **own} if isinstance(own, dict) else own}


def _own(c: DPTConfig) -> bool:
    """Whether maps are of its own layers, not of a backbone in their place."""
    return c.is_hybrid or c.backbone_config is None


HYBRID = vit.NAMES.with_(
    embeddings={
        **{"patch": "embeddings.projection", "network": "embeddings.backbone"},
        **{"mask": None, "embedding_dropout": None},
    }
)


def stack(c: DPTConfig) -> spec.Stack:
    """The encoder, where no backbone stands in its place; hybrid ones read a network's maps."""
    own: dict[str, Any] = {"std": 0.0, "free": True, "stretch": "bilinear"}
    if not c.is_hybrid:
        return vit.pooled(c, "DPTViTLayer", vit.patches(c, dropout=c.hidden_dropout_prob, **own))
    widths, shape = map_widths(c.backbone_config), c.backbone_featmap_shape
    if len(widths) != 3 or (shape and shape[1] != widths[-1]):
        raise ValueError(
            "the network of hybrid models of DPT gives three maps, the last of which has the channels that "
            f"backbone_featmap_shape says: {shape} does not go with maps of {widths} channels"
        )
    image, patch = spec.pair(c.image_size), spec.pair(c.patch_size)
    _, kind, config = backbone_of(c)
    own |= {"network": partial(kind, config), "map_width": widths[-1]}
    stem = spec.FeatureMapPatches(c.num_channels or 3, image, patch, c.hidden_size, **own)
    return vit.pooled(c, "DPTViTLayer", stem, HYBRID)


def holds(c: DPTConfig) -> tuple[str, type[Any], Any]:
    """What gives maps."""
    return ("dpt", base_class(c), c) if _own(c) else backbone_of(c)


def _read(c: DPTConfig, own: bool = True) -> dict[str, Any]:
    """Which states are read, and how large patches are."""
    indices = list(c.backbone_out_indices or ())
    chosen = tuple(i + 1 for i in sorted(indices)) if own else None
    if c.is_hybrid:  # two maps of the network stand before the hidden states, in place of the first two
        chosen = (0, 1, *(i + 3 for i in sorted(set(indices[2:]))))
    return {"chosen": chosen, "patch": spec.pair((c if own else c.backbone_config).patch_size)}


def whole_neck(c: Any, eps: float = 1e-5, beside: bool = False) -> nets.Node:
    """Rows or maps of a backbone become maps, and are fused; `beside` them the smallest as it was."""
    read, widths = getattr(c.backbone_config, "hidden_size", None) or c.hidden_size, c.neck_hidden_sizes
    norms, kept = bool(c.use_batch_norm_in_fusion_residual), 2 if getattr(c, "is_hybrid", False) else 0
    stage = fusion.stage(read, widths, c.reassemble_factors, c.hidden_act, c.readout_type, kept)
    maps = c.backbone_config is not None and not kept and not may_give_rows(c.backbone_config)
    wide, bias = c.fusion_hidden_size, c.use_bias_in_fusion_residual
    layer = fusion.residual(wide, not norms if bias is None else bias, norms, eps)
    return fusion.neck(widths, wide, None if maps else stage, fusion.fused(wide, len(widths), layer), beside)


def depths(c: DPTConfig) -> Dense:
    """Depths, twice as large as the last map."""
    wide = c.fusion_hidden_size
    layers = nets.row(
        nets.Conv(wide, wide // 2, 3, bias=True),
        nets.Larger(corners=True),
        nets.Conv(wide // 2, 32, 3, bias=True),
        nets.Act("relu"),
        nets.Conv(32, 1, bias=True),
        nets.Act("relu"),
    )
    first = {"projection": nets.Conv(256, 256, 3, bias=True)} if c.add_projection else {}
    bare = [multi_scale.Bare("relu")] if first else []
    run: tuple[Any, ...] = (multi_scale.Pick(c.head_in_index), *first, *bare, "head")
    head = nets.Node({**first, "head": layers}, (*run, nets.SINGLE))
    return Dense({"neck": whole_neck(c), "head": head}, trained=False, **_read(c, _own(c)))


def labels(c: DPTConfig) -> Dense:
    """Labels of pixels, and again, of the last map alone, in training."""
    wide, norm = c.fusion_hidden_size, nets.BatchNorm(c.fusion_hidden_size)

    def head(number: int, rate: float, *more: Any) -> nets.Node:
        out = nets.Conv(wide, c.num_labels, bias=True)
        layers = nets.row(nets.Conv(wide, wide, 3), norm, nets.Act("relu"), nets.Drop(rate), out, *more)
        return nets.Node({"head": layers}, (multi_scale.Pick(number), "head"))

    larger = nets.Larger(corners=True)
    parts = {"neck": whole_neck(c), "head": head(c.head_in_index, c.semantic_classifier_dropout, larger)}
    aside = {"auxiliary_head": head(-1, 0.1)} if c.use_auxiliary_head else {}
    read = {**_read(c), "ignore": c.semantic_loss_ignore_index, "share": c.auxiliary_loss_weight}
    return Dense({**parts, **aside}, tuple(parts), tuple(aside), **read)


DPT = register(
    Family(
        model_type="dpt",
        name="DPT",
        config=DPTConfig,
        base="dpt",
        assembly=OwnMaps(stack, spec.Patches, holds, reads=("pixel_values",)),
        heads={
            "ForDepthEstimation": Head("depth_estimation", depths, over="maps", flat=True),
            "ForSemanticSegmentation": Head("semantic_segmentation", labels),
        },
        order=(("attention", "intermediate", "output", "layernorm_before", "layernorm_after"),),
    )
)
