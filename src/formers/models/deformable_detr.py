"""Deformable DETR (Zhu et al. 2020, arXiv:2010.04159): its parts look at a few places of several maps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from formers.assemblies.family import Family, Head
from formers.assemblies.vision.deformable_detection import DeformableDetector, DeformableQueryDetection
from formers.models import bart, detr
from formers.models.classes import backbone_class, map_widths
from formers.models.registry import register
from formers.nn import spec
from formers.nn.matching import Apart, Matching
from formers.nn.spec import nets
from formers.tasks.deformable_detection import Spec as Objects


class DeformableDetrConfig(detr.DetectorConfig):
    """Configuration of Deformable DETR."""

    model_type = "deformable_detr"
    attribute_map = {"hidden_size": "d_model", "num_attention_heads": "encoder_attention_heads"}
    _available: ClassVar[dict[str, tuple[Any, ...]]] = {"position_embedding_type": ("sine", "learned")}
    num_queries: int = 300
    max_position_embeddings: int = 1024
    encoder_ffn_dim: int = 1024
    decoder_ffn_dim: int = 1024
    return_intermediate: bool = True
    num_feature_levels: int = 4
    encoder_n_points: int = 4
    decoder_n_points: int = 4
    two_stage: bool = False
    two_stage_num_proposals: int = 300
    with_box_refine: bool = False
    eos_coefficient: float = 0.1
    focal_alpha: float = 0.25
    disable_custom_kernels: bool = False
    tie_word_embeddings: bool = True

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if self.two_stage and not self.with_box_refine:
            raise ValueError("two_stage=True needs with_box_refine=True: boxes of places are moved by layers")

    def _by_name(self, values: dict[str, Any], older: dict[str, Any]) -> dict[str, Any]:
        several = values.get("num_feature_levels", self.num_feature_levels) > 1
        more = {"out_indices": [2, 3, 4] if several else [4], **(older["backbone_kwargs"] or {})}
        return super()._by_name(values, {**older, "backbone_kwargs": more})


def looks(start: str, own: str) -> dict[str, str | None]:
    """Names of what looks at places."""
    return {
        **dict.fromkeys((f"{start}q", f"{start}k")),
        f"{start}offsets": f"{own}.sampling_offsets",
        f"{start}weights": f"{own}.attention_weights",
        f"{start}v": f"{own}.value_proj",
        f"{start}o": f"{own}.output_proj",
    }


ENCODER = detr.NAMES.with_(layer=looks("", "self_attn"))
DECODER = detr.NAMES.with_(layer=looks("cross_", "encoder_attn"))


def layer(c: Any, decoder: bool) -> spec.Layer:
    """A layer of the encoder or the decoder."""
    heads = spec.Heads.split(c.d_model, c.decoder_attention_heads if decoder else c.encoder_attention_heads)
    points = c.decoder_n_points if decoder else c.encoder_n_points
    look = spec.Deformable(heads, placed=True, levels=c.num_feature_levels, points=points, cross=decoder)
    own = spec.Attention(heads, dropout=c.attention_dropout, placed=True)
    inner = c.decoder_ffn_dim if decoder else c.encoder_ffn_dim
    return spec.layer(
        own if decoder else look,
        spec.FeedForward(inner, c.activation_function, dropout=c.activation_dropout),
        bart.NORM,
        cross=look if decoder else None,
        dropout=c.dropout,
    )


def half(c: DeformableDetrConfig, decoder: bool) -> spec.Stack:
    """The encoder over the places of maps, or the decoder."""
    return spec.Stack(
        stem=spec.MultiScaleRows(c.d_model, asks=decoder, dropout=0.0 if decoder else c.dropout),
        layers=(layer(c, decoder),) * (c.decoder_layers if decoder else c.encoder_layers),
        names=DECODER if decoder else ENCODER,
        width=c.d_model,
        layer_class="DeformableDetrDecoderLayer" if decoder else "DeformableDetrEncoderLayer",
        reports="plain",
        initial_std=c.init_std,
    )


def narrow(read: int, made: int, halves: bool) -> nets.Node:
    """A convolution, and a norm over groups of channels."""
    conv = nets.Conv(read, made, 3 if halves else 1, 2 if halves else 1, bias=True)
    return nets.row(conv, nets.GroupNorm(made, groups=32))


PATHS = {
    **{name: detr.PATHS[name] for name in ("maps", "places", "queries")},
    **{"narrow": "input_proj", "levels": "level_embed", "points": "reference_points"},
    **{
        "best": "enc_output",
        "best_norm": "enc_output_norm",
        "asks": "pos_trans",
        "asks_norm": "pos_trans_norm",
    },
}


def narrowed(widths: list[int], levels: int, made: int) -> list[nets.Node]:
    """What every map of a backbone goes through, and those that are made of the last one."""
    extra = [(made if i else widths[-1], True) for i in range(levels - len(widths))]
    return [narrow(read, made, halves) for read, halves in (*((one, False) for one in widths), *extra)]


def about(c: DeformableDetrConfig) -> DeformableDetector:
    """What stands beside the stacks."""
    return DeformableDetector(
        "middles" if c.position_embedding_type == "sine" else c.position_embedding_type,
        c.two_stage_num_proposals if c.two_stage else c.num_queries,
        narrowed(map_widths(c.backbone_config), c.num_feature_levels, c.d_model),
        PATHS,
        detr.trained(c),
        c.two_stage,
    )


def matching(c: Any) -> Matching:
    """What counts in the loss."""
    return replace(detr.matching(c), apart=Apart(weight=c.focal_alpha))


def boxes(c: DeformableDetrConfig) -> Objects:
    """What labels and moves queries."""
    inside = {"labels": c.two_stage, "boxes": c.with_box_refine}
    count = c.decoder_layers + c.two_stage
    return Objects(matching(c), count, c.auxiliary_loss, tuple(role for role, held in inside.items() if held))


DEFORMABLE_DETR = register(
    Family(
        model_type="deformable_detr",
        name="DeformableDetr",
        config=DeformableDetrConfig,
        base="model",
        assembly=DeformableQueryDetection(half, about, backbone_class),
        heads={"ForObjectDetection": Head("deformable_detection", boxes)},
        aliases={"backbone.model": "backbone.conv_encoder.model"},
        ignored=detr.DETR.ignored,
        renames=detr.DETR.renames,
    )
)
