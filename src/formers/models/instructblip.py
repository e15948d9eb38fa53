"""InstructBLIP (Dai et al. 2023, arXiv:2305.06500): BLIP-2, whose vectors are told what to ask for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from formers.assemblies.family import Family, Head
from formers.assemblies.multimodal.query_bridge import QueryBridge
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models import blip, blip_2_qformer, clip_towers
from formers.models.blip_2 import BRIDGE, IMAGE, PIXELS, AskingConfig, Blip2VisionConfig
from formers.models.classes import base_class, writer_class
from formers.models.registry import config_class, register
from formers.nn import spec


class InstructBlipVisionConfig(Blip2VisionConfig):
    """Configuration of InstructBLIP's image model."""

    model_type = "instructblip_vision_model"


class InstructBlipQFormerConfig(PretrainedConfig):
    """Configuration of InstructBLIP's querying transformer, which reads texts."""

    model_type = "instructblip_qformer"
    base_config_key = "qformer_config"
    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = 0
    cross_attention_frequency: int = 2
    encoder_hidden_size: int = 1408


class InstructBlipConfig(AskingConfig):
    """Configuration of InstructBLIP."""

    model_type = "instructblip"
    sub_configs: ClassVar[dict[str, Any]] = {
        "text_config": config_class,
        "vision_config": InstructBlipVisionConfig,
        "qformer_config": InstructBlipQFormerConfig,
    }


def image(c: InstructBlipVisionConfig) -> spec.Stack:
    """BLIP's, whose queries, keys and values may have no bias."""
    return blip.image(c, c.qkv_bias, "InstructBlipEncoderLayer")


def asking(c: InstructBlipQFormerConfig) -> spec.Stack:
    """BLIP-2's, which has the tables of its texts."""
    made = blip_2_qformer.stack(c, texts=True)
    stem = spec.InstructedQueries(
        0,
        c.hidden_size,
        spec.Norm("layer", c.layer_norm_eps),
        c.hidden_dropout_prob,
        texts=True,
        vocab_size=c.vocab_size,
        room=c.max_position_embeddings,
        padding_idx=c.pad_token_id,
    )
    paths = {
        "token": "embeddings.word_embeddings",
        "position": "embeddings.position_embeddings",
        "embedding_norm": "embeddings.layernorm",
        "embedding_dropout": "embeddings.dropout",
    }
    names = made.names.with_(embeddings=paths)
    return replace(made, stem=stem, names=names, layer_class="InstructBlipQFormerLayer")


VISION = register(
    Family(
        model_type="instructblip_vision_model",
        name="InstructBlipVision",
        config=InstructBlipVisionConfig,
        base="blip",
        assembly=Single(image, spec.Patches, reads=PIXELS),
        heads={},
        order=clip_towers.ORDER,
    )
)
QFORMER = register(
    Family(
        model_type="instructblip_qformer",
        name="InstructBlipQFormer",
        config=InstructBlipQFormerConfig,
        base="blip",
        assembly=Single(asking, spec.InstructedQueries),
        heads={},
        ignored=(r".*embeddings\.position_ids",),
        order=(blip_2_qformer.ORDER,),
    )
)
READS = (
    *("pixel_values", "qformer_input_ids", "qformer_attention_mask", "input_ids", "attention_mask"),
    *("decoder_input_ids", "decoder_attention_mask", "inputs_embeds", "interpolate_pos_encoding"),
    "mm_encoder_outputs",
)
TEXT = ("language_model", "text_config")
INSTRUCTBLIP = register(
    Family(
        model_type="instructblip",
        name="InstructBlip",
        config=InstructBlipConfig,
        base="blip",
        assembly=QueryBridge(
            *(base_class, BRIDGE, READS, IMAGE, TEXT, writer_class),
            instructed=True,
            parts={
                "states": QueryBridge(
                    *(base_class, BRIDGE, READS[:-1], IMAGE, TEXT, base_class), instructed=True
                ),
            },
        ),
        heads={
            "Model": Head("instructed_states", lambda c: None, over="states", flat=True),
            "ForConditionalGeneration": Head("instructed_texts", lambda c: None, flat=True),
        },
        ignored=(*clip_towers.IGNORED, r".*embeddings\.position_ids"),
        order=(*clip_towers.ORDER, *blip_2_qformer.BLIP_2_QFORMER.order),
    )
)
