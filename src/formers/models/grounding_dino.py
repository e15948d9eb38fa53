"""Grounding DINO (Liu et al. 2023, arXiv:2303.05499): objects that a text names, found in a picture."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from formers.assemblies.family import Family, Head
from formers.assemblies.vision.feature_enhancer import EnhancerSpec
from formers.assemblies.vision.grounded_detection import GroundedDetector, GroundedQueryDetection
from formers.configs import PretrainedConfig
from formers.models import bart, deformable_detr, detr
from formers.models.classes import backbone_class, base_class, map_widths
from formers.models.registry import config_class, register
from formers.nn import spec
from formers.nn.matching import Apart, Matching
from formers.nn.mutual_attention import Fusing
from formers.tasks.grounded_detection import Spec as Objects

# BERT's ids of [CLS], [SEP], "." and "?", which stand between phrases
MARKS = (101, 102, 1012, 1029)


class GroundingDinoConfig(PretrainedConfig):
    """Configuration of Grounding DINO.

    Queries stand in boxes (`query_dim` 4), begin at the best places (`two_stage`) and with vectors of their
    own (`embedding_init_target`); the ecosystem's classes can do nothing else either.
    """

    model_type = "grounding-dino"
    sub_configs: ClassVar[dict[str, Any]] = {"backbone_config": config_class, "text_config": config_class}
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "backbone_config": {"model_type": "swin", "out_indices": [2, 3, 4]},
        "text_config": {"model_type": "bert"},
    }
    attribute_map = {"hidden_size": "d_model", "num_attention_heads": "encoder_attention_heads"}
    _available: ClassVar[dict[str, tuple[Any, ...]]] = {
        "position_embedding_type": ("sine", "learned"),
        "two_stage": (True,),
        "embedding_init_target": (True,),
        "query_dim": (4,),
    }
    num_queries: int = 900
    encoder_layers: int = 6
    encoder_ffn_dim: int = 2048
    encoder_attention_heads: int = 8
    decoder_layers: int = 6
    decoder_ffn_dim: int = 2048
    decoder_attention_heads: int = 8
    is_encoder_decoder: bool = True
    activation_function: str = "relu"
    d_model: int = 256
    dropout: float = 0.1
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    auxiliary_loss: bool = False
    position_embedding_type: str = "sine"
    num_feature_levels: int = 4
    encoder_n_points: int = 4
    decoder_n_points: int = 4
    two_stage: bool = True
    class_cost: float = 1.0
    bbox_cost: float = 5.0
    giou_cost: float = 2.0
    bbox_loss_coefficient: float = 5.0
    giou_loss_coefficient: float = 2.0
    focal_alpha: float = 0.25
    disable_custom_kernels: bool = False
    max_text_len: int = 256
    text_enhancer_dropout: float = 0.0
    fusion_droppath: float = 0.1
    fusion_dropout: float = 0.0
    embedding_init_target: bool = True
    query_dim: int = 4
    decoder_bbox_embed_share: bool = True
    two_stage_bbox_embed_share: bool = False
    positional_embedding_temperature: float = 20
    init_std: float = 0.02
    layer_norm_eps: float = 1e-5
    tie_word_embeddings: bool = True

    def __init__(self, **values: Any) -> None:
        if values.get("use_timm_backbone"):
            raise ValueError(
                "name the network in backbone_config, as a timm_backbone, not by use_timm_backbone"
            )
        super().__init__(**values)
        if self.two_stage_bbox_embed_share and not self.decoder_bbox_embed_share:
            raise ValueError("two_stage_bbox_embed_share=True needs decoder_bbox_embed_share=True")


def attends(start: str, own: str) -> dict[str, str]:
    """Names of an attention."""
    paths = {"q": "query", "k": "key", "v": "value", "o": "out_proj", "weights_dropout": "dropout"}
    return {f"{start}{role}": f"{own}.{path}" for role, path in paths.items()}


TEXT = bart.NAMES.with_(
    layer={
        **attends("", "self_attn"),
        **{
            "attention_norm": "layer_norm_before",
            "feedforward_norm": "layer_norm_after",
            "act": "activation",
        },
    }
)
DECODER = detr.NAMES.with_(
    layer={
        **attends("", "self_attn"),
        **attends("text_", "encoder_attn_text"),
        **deformable_detr.looks("cross_", "encoder_attn"),
        "text_norm": "encoder_attn_text_layer_norm",
    },
    embeddings={"query_places": "reference_points_head"},
    stack={"final_norm": "layer_norm"},
)


def norm(c: GroundingDinoConfig) -> spec.Norm:
    """All norms."""
    return spec.Norm("layer", c.layer_norm_eps)


def layer(c: GroundingDinoConfig, decoder: bool) -> spec.Layer:
    """What a layer does with places of maps, or a layer of the decoder."""
    made = deformable_detr.layer(c, decoder)
    parts = [replace(part, after=norm(c)) for part in made.parts]
    if decoder:
        own: Any = parts[0].mixer
        words = replace(own, cross=True, held="text")
        parts.insert(1, replace(parts[0], mixer=words, role="text"))
    return spec.Layer(tuple(parts))


def half(c: GroundingDinoConfig, decoder: bool) -> spec.Stack:
    """What layers do with places of maps, or the decoder."""
    kind = spec.GroundedQueries if decoder else spec.MultiScaleRows
    return spec.Stack(
        stem=kind(c.d_model, asks=decoder, places="waves" if decoder else "given"),
        layers=(layer(c, decoder),) * (c.decoder_layers if decoder else c.encoder_layers),
        names=DECODER if decoder else deformable_detr.ENCODER,
        width=c.d_model,
        layer_class="GroundingDinoDecoderLayer" if decoder else "GroundingDinoDeformableLayer",
        final_norm=norm(c) if decoder else None,
        reports="plain",
        initial_std=c.init_std,
    )


def words(c: GroundingDinoConfig) -> spec.Stack:
    """What layers do with words."""
    heads = spec.Heads.split(c.d_model, c.encoder_attention_heads // 2)
    return spec.Stack(
        stem=spec.Vectors(c.d_model),
        layers=(
            spec.layer(
                spec.Attention(heads, dropout=c.attention_dropout, placed=True),
                spec.FeedForward(
                    c.encoder_ffn_dim // 2, c.activation_function, dropout=c.text_enhancer_dropout
                ),
                norm(c),
                dropout=c.text_enhancer_dropout,
            ),
        )
        * c.encoder_layers,
        names=TEXT,
        width=c.d_model,
        layer_class="GroundingDinoTextEnhancerLayer",
        initial_std=c.init_std,
    )


FUSION = {
    "attention": "attn",
    "first_norm": "layer_norm_vision",
    "second_norm": "layer_norm_text",
    "first_gain": "vision_param",
    "second_gain": "text_param",
    "skip": "drop_path",
    **{"first_q": "vision_proj", "first_v": "values_vision_proj", "first_o": "out_vision_proj"},
    **{"second_q": "text_proj", "second_v": "values_text_proj", "second_o": "out_text_proj"},
}
LAYER = {
    **{"layers": "layers", "fusion": "fusion_layer", "text": "text_enhancer_layer"},
    "maps": "deformable_layer",
}


def enhanced(c: GroundingDinoConfig) -> EnhancerSpec:
    """The layers over both sides."""
    fusing = Fusing(
        c.d_model,
        c.encoder_ffn_dim // 2,
        c.encoder_attention_heads // 2,
        norm(c),
        FUSION,
        c.fusion_dropout,
        c.fusion_droppath,
    )
    return EnhancerSpec(half(c, False), words(c), fusing, LAYER)


PATHS = {
    "maps": "backbone.conv_encoder",
    "places": "backbone.position_embedding",
    "narrow": "input_proj_vision",
    "levels": "level_embed",
    "text": "text_backbone",
    "text_projection": "text_projection",
    "queries": "query_position_embeddings",
    "best": "enc_output",
    "best_norm": "enc_output_norm",
    "boxes": "encoder_output_bbox_embed",
    "labels": "encoder_output_class_embed",
}


def about(c: GroundingDinoConfig) -> GroundedDetector:
    """What stands beside both stacks."""
    return GroundedDetector(
        places=c.position_embedding_type,
        queries=c.num_queries,
        narrow=deformable_detr.narrowed(map_widths(c.backbone_config), c.num_feature_levels, c.d_model),
        paths=PATHS,
        trained=detr.trained(c),
        proposes=True,
        warmth=float(c.positional_embedding_temperature) if c.position_embedding_type == "sine" else None,
        room=c.max_text_len,
        marks=MARKS,
        eps=c.layer_norm_eps,
    )


def boxes(c: GroundingDinoConfig) -> Objects:
    """What tells words and moves queries."""
    weights = {f"loss_{part}": getattr(c, f"{part}_loss_coefficient") for part in ("bbox", "giou")}
    apart = Apart(weight=c.focal_alpha)
    return Objects(
        Matching(c.class_cost, c.bbox_cost, c.giou_cost, 0.0, {"loss_ce": 2.0, **weights}, apart),
        c.decoder_layers,
        c.auxiliary_loss,
        inside=("boxes",),
        room=c.max_text_len,
        marks=(*MARKS, 0),
        shared=c.decoder_bbox_embed_share,
    )


GROUNDING_DINO = register(
    Family(
        model_type="grounding-dino",
        name="GroundingDino",
        config=GroundingDinoConfig,
        base="model",
        assembly=GroundedQueryDetection(half, enhanced, about, backbone_class, base_class),
        heads={"ForObjectDetection": Head("grounded_detection", boxes)},
        ignored=detr.DETR.ignored,
    )
)
