"""BLIP-2 (Li et al. 2023, arXiv:2301.12597): vectors ask an image model for what a text model then reads."""

from __future__ import annotations

from typing import Any, ClassVar

from formers.assemblies.family import Family, Head
from formers.assemblies.multimodal.query_bridge import QueryBridge
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models import blip, clip_towers
from formers.models.blip_2_qformer import BLIP_2_QFORMER, Blip2QFormerConfig
from formers.models.classes import base_class, writer_class, writes_alone
from formers.models.registry import config_class, register
from formers.nn import spec
from formers.tasks.query_bridge import Spec


class Blip2VisionConfig(PretrainedConfig):
    """Configuration of BLIP-2's image model."""

    model_type = "blip_2_vision_model"
    base_config_key = "vision_config"
    hidden_size: int = 1408
    intermediate_size: int = 6144
    num_hidden_layers: int = 39
    num_attention_heads: int = 16
    image_size: int | list[int] = 224
    patch_size: int | list[int] = 14
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-6
    attention_dropout: float = 0.0
    initializer_range: float = 1e-10
    qkv_bias: bool = True


class AskingConfig(PretrainedConfig):
    """What the configurations of BLIP-2 and its kin have in common.

    Their querying transformer asks states as wide as their image model's.
    """

    attribute_map: ClassVar[dict[str, str]] = {"image_token_id": "image_token_index"}
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "text_config": {"model_type": "opt"},
        "vision_config": {},
        "qformer_config": {},
    }
    num_query_tokens: int = 32
    image_token_index: int | None = None
    initializer_factor: float = 1.0
    initializer_range: float = 0.02

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.is_encoder_decoder = self.text_config.is_encoder_decoder
        self.qformer_config.encoder_hidden_size = self.vision_config.hidden_size
        self.use_decoder_only_language_model = writes_alone(self.text_config)


class Blip2Config(AskingConfig):
    """Configuration of BLIP-2."""

    model_type = "blip-2"
    sub_configs: ClassVar[dict[str, Any]] = {
        "text_config": config_class,
        "vision_config": Blip2VisionConfig,
        "qformer_config": Blip2QFormerConfig,
    }
    image_text_hidden_size: int = 256


PIXELS = ("pixel_values", "interpolate_pos_encoding")


def image(c: Blip2VisionConfig) -> spec.Stack:
    """BLIP's, whose queries, keys and values may have no bias."""
    return blip.image(c, c.qkv_bias, "Blip2EncoderLayer")


VISION = register(
    Family(
        model_type="blip_2_vision_model",
        name="Blip2Vision",
        config=Blip2VisionConfig,
        base="blip",
        assembly=Single(image, spec.Patches, reads=PIXELS),
        heads={},
        order=clip_towers.ORDER,
    )
)
IMAGE, BRIDGE = ("vision_model", "vision_config"), ("qformer", "qformer_config")
BLIP_2 = register(
    Family(
        model_type="blip-2",
        name="Blip2",
        config=Blip2Config,
        base="blip",
        assembly=QueryBridge(
            base_class,
            BRIDGE,
            (
                *("pixel_values", "input_ids", "attention_mask", "decoder_input_ids"),
                *(
                    "decoder_attention_mask",
                    "inputs_embeds",
                    "interpolate_pos_encoding",
                    "mm_encoder_outputs",
                ),
            ),
            IMAGE,
            ("language_model", "text_config"),
            writer_class,
            parts={
                "texts": QueryBridge(
                    base_class, BRIDGE, ("input_ids", "attention_mask", "position_ids"), texts="embeddings"
                ),
                "images": QueryBridge(base_class, BRIDGE, PIXELS, IMAGE),
                "both": QueryBridge(
                    base_class,
                    BRIDGE,
                    ("pixel_values", "input_ids", "attention_mask"),
                    IMAGE,
                    texts="embeddings",
                ),
            },
        ),
        heads={
            "Model": Head("bridged_states", lambda c: None, flat=True),
            "ForConditionalGeneration": Head("bridged_texts", lambda c: None, flat=True),
            "ForImageTextRetrieval": Head(
                "bridged_matches",
                lambda c: Spec(c.image_text_hidden_size, "vision_projection", "text_projection", "itm_head"),
                over="both",
                flat=True,
            ),
            "TextModelWithProjection": Head(
                "bridged_vectors",
                lambda c: Spec(c.image_text_hidden_size, text="text_projection"),
                over="texts",
                flat=True,
            ),
            "VisionModelWithProjection": Head(
                "bridged_vectors",
                lambda c: Spec(c.image_text_hidden_size, image="vision_projection"),
                over="images",
                flat=True,
            ),
        },
        ignored=(*clip_towers.IGNORED, r".*embeddings\.position_ids"),
        order=(*clip_towers.ORDER, *BLIP_2_QFORMER.order),
    )
)
