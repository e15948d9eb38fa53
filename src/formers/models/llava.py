"""LLaVA (Liu et al. 2023, arXiv:2304.08485): an image model's states in a text model's embeddings."""

from __future__ import annotations

from typing import Any, ClassVar

from formers.assemblies.family import Family, Head
from formers.assemblies.multimodal.image_text import Connector, ImageText
from formers.assemblies.multimodal.native_resolution import NativeResolution
from formers.checkpoints import Rename
from formers.configs import PretrainedConfig
from formers.models.classes import base_class
from formers.models.registry import config_class, register
from formers.nn.connectors import two_layers
from formers.tasks.specs import Words


class LlavaConfig(PretrainedConfig):
    """Configuration of LLaVA."""

    model_type = "llava"
    attribute_map: ClassVar[dict[str, str]] = {"image_token_id": "image_token_index"}
    sub_configs: ClassVar[dict[str, Any]] = {"text_config": config_class, "vision_config": config_class}
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "text_config": {"model_type": "llama"},
        "vision_config": {
            "model_type": "clip_vision_model",
            "intermediate_size": 4096,
            "hidden_size": 1024,
            "patch_size": 14,
            "image_size": 336,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "vocab_size": 32000,
            "projection_dim": 768,
        },
    }
    _available: ClassVar[dict[str, tuple[Any, ...]]] = {"vision_feature_select_strategy": ImageText.chosen}
    image_token_index: int = 32000
    image_seq_length: int = 576
    projector_hidden_act: str = "gelu"
    vision_feature_select_strategy: str = "default"
    vision_feature_layer: int | list[int] = -2
    multimodal_projector_bias: bool = True
    tie_word_embeddings: bool = False

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if self.text_config.tie_word_embeddings:  # older files say it there alone
            self.tie_word_embeddings = True


def connector(c: LlavaConfig) -> Connector:
    """Two linear layers."""
    roles = {"connect": "linear_1", "connect_act": "act", "connect_out": "linear_2"}
    return Connector(
        two_layers(c.projector_hidden_act, c.multimodal_projector_bias),
        paths={role: f"multi_modal_projector.{path}" for role, path in roles.items()},
        token=c.image_token_index,
        layer=c.vision_feature_layer,
        keeps=c.vision_feature_select_strategy,
    )


def files(tower: str) -> tuple[Rename, ...]:
    """Files have a text model with its head where newer trees have the head beside all else."""
    return (
        Rename("language_model.lm_head.{rest}", "lm_head.{rest}", written=True),
        Rename("language_model.model.{rest}", "language_model.{rest}", written=True),
        Rename("language_model.model.{rest}", "model.language_model.{rest}", written=True),
        Rename(f"{tower}.{{rest}}", f"model.{tower}.{{rest}}", written=True),
        Rename("multi_modal_projector.{rest}", "model.multi_modal_projector.{rest}", written=True),
    )


FILES = files("vision_tower")
INPUTS = (
    *("input_ids", "pixel_values", "attention_mask", "position_ids", "past_key_values", "inputs_embeds"),
    *("vision_feature_layer", "vision_feature_select_strategy", "image_sizes", "mm_encoder_outputs"),
    "use_cache",
)
WORDS = Head("image_text_to_text", lambda c: Words("lm_head", bias=False))
LLAVA = register(
    Family(
        model_type="llava",
        name="Llava",
        config=LlavaConfig,
        base="model",
        assembly=NativeResolution(
            base_class,
            text=("language_model", "text_config"),
            image=("vision_tower", "vision_config"),
            connector=connector,
            inputs=INPUTS,
        ),
        heads={"ForConditionalGeneration": WORDS},
        renames=FILES,
        ignored=(r"^language_model\.lm_head\.",),  # of no use to a model without the head
    )
)
