"""PaliGemma (Beyer et al. 2024, arXiv:2407.07726): pictures and a prompt that see each other, in Gemma."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from formers.assemblies.family import Family, Head
from formers.assemblies.multimodal.image_text import Connector, ImageText
from formers.configs import PretrainedConfig
from formers.models import llava
from formers.models.classes import base_class
from formers.models.registry import config_class, register
from formers.nn.connectors import one_layer
from formers.nn.masks import Blocks
from formers.tasks.specs import Words


class PaliGemmaConfig(PretrainedConfig):
    """Configuration of PaliGemma."""

    model_type = "paligemma"
    attribute_map: ClassVar[dict[str, str]] = {"image_token_id": "image_token_index"}
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["past_key_values"]
    sub_configs: ClassVar[dict[str, Any]] = {"text_config": config_class, "vision_config": config_class}
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "text_config": {
            "model_type": "gemma",
            "hidden_size": 2048,
            "num_hidden_layers": 18,
            "intermediate_size": 16384,
            "num_attention_heads": 8,
            "num_key_value_heads": 1,
            "is_encoder_decoder": False,
            "vocab_size": 257152,
        },
        "vision_config": {
            "model_type": "siglip_vision_model",
            "intermediate_size": 4096,
            "hidden_size": 1152,
            "patch_size": 14,
            "image_size": 224,
            "num_hidden_layers": 27,
            "num_attention_heads": 16,
            "vocab_size": 257152,
            "vision_use_head": False,
        },
    }
    image_token_index: int = 256000
    vocab_size: int = 257152
    projection_dim: int = 2048
    hidden_size: int = 2048
    tie_word_embeddings: bool = True

    def __init__(self, **values: Any) -> None:
        text = values.get("text_config")
        if isinstance(text, Mapping) and text.get("use_bidirectional_attention"):
            # prompts see all of themselves whether files say so or not
            values["text_config"] = {k: v for k, v in text.items() if k != "use_bidirectional_attention"}
        super().__init__(**values)


def connector(c: PaliGemmaConfig) -> Connector:
    """One linear layer.

    Raises:
        ValueError: for one whose results are no vectors of the text model.
    """
    width = c.text_config.hidden_size
    if c.projection_dim != width:
        raise ValueError(
            f"projection_dim is {c.projection_dim}, the text model's hidden_size {width}: pictures stand "
            "among its tokens, so that both are one number"
        )
    return Connector(one_layer, {"connect": "multi_modal_projector.linear"}, c.image_token_index)


def prompt(types: Any) -> Blocks:
    """What is of type 0, pictures and the prompt, sees all of itself; what is to be written looks back."""
    return Blocks((types == 0).long() - 1)


WORDS = Head(
    "image_text_to_text",
    lambda c: Words("lm_head", bias=False, cap=getattr(c.text_config, "final_logit_softcapping", None)),
)
PALIGEMMA = register(
    Family(
        model_type="paligemma",
        name="PaliGemma",
        config=PaliGemmaConfig,
        base="model",
        assembly=ImageText(
            base_class,
            text=("language_model", "text_config"),
            image=("vision_tower", "vision_config"),
            connector=connector,
            blocks=prompt,
            whole=True,
        ),
        heads={"ForConditionalGeneration": WORDS},
        renames=llava.FILES,
        ignored=llava.LLAVA.ignored,
    )
)
