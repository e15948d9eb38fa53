"""GOT-OCR 2 (Wei et al. 2024, arXiv:2409.01704): pages read out by SAM's network and a small text model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from formers.assemblies.family import Family
from formers.assemblies.multimodal.image_text import Connector, ImageText
from formers.assemblies.vision.promptable_masks import Gridded
from formers.configs import PretrainedConfig
from formers.models import llava, sam_vision
from formers.models.classes import base_class
from formers.models.registry import config_class, register
from formers.nn.connectors import thinned
from formers.nn.spec.grid_layers import GridLayers


class GotOcr2VisionConfig(sam_vision.PatchNetConfig):
    """Configuration of the network that reads pages."""

    model_type = "got_ocr2_vision"
    mlp_dim: int = 3072


class GotOcr2Config(PretrainedConfig):
    """Configuration of GOT-OCR 2."""

    model_type = "got_ocr2"
    attribute_map: ClassVar[dict[str, str]] = {"image_token_id": "image_token_index"}
    sub_configs: ClassVar[dict[str, Any]] = {
        "text_config": config_class,
        "vision_config": GotOcr2VisionConfig,
    }
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "text_config": {
            "model_type": "qwen2",
            "vocab_size": 151860,
            "hidden_size": 1024,
            "intermediate_size": 2816,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "num_key_value_heads": 16,
            "hidden_act": "silu",
            "max_position_embeddings": 32768,
            "initializer_range": 0.02,
            "rms_norm_eps": 1e-6,
            "use_cache": True,
            "tie_word_embeddings": True,
            "rope_theta": 1000000.0,
            "use_sliding_window": False,
            "sliding_window": 4096,
            "max_window_layers": 21,
            "attention_dropout": 0.0,
        },
        "vision_config": {},
    }
    image_token_index: int = 151859
    image_seq_length: int = 576
    tie_word_embeddings: bool = True


def network(c: GotOcr2VisionConfig) -> GridLayers:
    """SAM's."""
    return replace(sam_vision.net(c), layer_class="GotOcr2VisionLayer")


def connector(c: GotOcr2Config) -> Connector:
    """Convolutions that thin the map out, and a linear layer."""
    roles = {
        "connect_first": "conv_upsampler1",
        "connect_second": "conv_upsampler2",
        "connect": "multimodal_projector",
    }
    paths = {role: f"multi_modal_projector.{path}" for role, path in roles.items()}
    return Connector(thinned, paths, c.image_token_index)


INPUTS = (
    *("input_ids", "pixel_values", "attention_mask", "position_ids", "past_key_values", "inputs_embeds"),
    *("use_cache", "mm_encoder_outputs"),
)
VISION = register(
    Family(
        model_type="got_ocr2_vision",
        name="GotOcr2Vision",
        config=GotOcr2VisionConfig,
        base="model",
        assembly=Gridded(network, ""),
        heads={},
        spelt={"Model": "GotOcr2VisionEncoder"},
    )
)
GOT_OCR2 = register(
    replace(
        llava.LLAVA,
        model_type="got_ocr2",
        name="GotOcr2",
        config=GotOcr2Config,
        assembly=ImageText(
            base_class,
            text=("language_model", "text_config"),
            image=("vision_tower", "vision_config"),
            connector=connector,
            whole=True,
            inputs=INPUTS,
        ),
    )
)
