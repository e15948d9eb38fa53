"""Gemma 3 (Kamath et al. 2025, arXiv:2503.19786): norms of heads, two rotary rules by turns; pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from formers.assemblies.family import Family
from formers.assemblies.multimodal.image_text import Connector, ImageText
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models import gemma2, llama, llava, qwen3
from formers.models.classes import base_class
from formers.models.registry import config_class, register
from formers.nn import spec
from formers.nn.connectors import pooled
from formers.nn.masks import Blocks, runs


class Gemma3TextConfig(gemma2.Gemma2Config):
    """Configuration of Gemma 3's text model. Every sixth layer sees everything."""

    model_type = "gemma3_text"
    rope_kinds = {  # noqa: RUF012
        "full_attention": ("rope_theta", 1000000.0),
        "sliding_attention": ("rope_local_base_freq", 10000.0),
    }
    vocab_size: int = 262208
    max_position_embeddings: int = 131072
    final_logit_softcapping: float | None = None
    attn_logit_softcapping: float | None = None
    use_bidirectional_attention: bool | None = False

    def __init__(self, sliding_window_pattern: int = 6, **values: Any) -> None:
        super().__init__(**values)
        if values.get("layer_types") is None:
            self.layer_types = llama.turns(self.num_hidden_layers, sliding_window_pattern)


class Gemma3Config(PretrainedConfig):
    """Configuration of Gemma 3 with its image model."""

    model_type = "gemma3"
    attribute_map: ClassVar[dict[str, str]] = {
        f"{kind}_token_id": f"{kind}_token_index" for kind in ("image", "boi", "eoi")
    }
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["past_key_values"]
    sub_configs: ClassVar[dict[str, Any]] = {"text_config": Gemma3TextConfig, "vision_config": config_class}
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "text_config": {},
        "vision_config": {"model_type": "siglip_vision_model"},
    }
    mm_tokens_per_image: int = 256
    boi_token_index: int = 255999
    eoi_token_index: int = 256000
    image_token_index: int = 262144
    initializer_range: float = 0.02
    tie_word_embeddings: bool = True


NAMES = gemma2.NAMES.with_(layer=qwen3.NORMS)


def stack(c: Gemma3TextConfig) -> spec.Stack:
    """The decoder."""
    if c.attn_logit_softcapping is not None:
        raise ValueError(
            "Gemma 3 has norms of queries and keys, no cap on scores: attn_logit_softcapping is None"
        )
    norm = spec.Norm("rms", c.rms_norm_eps, offset=1.0)
    return gemma2.decoder(c, "Gemma3DecoderLayer", NAMES, qk_norm=norm, heads_first=True)


GEMMA3 = register(
    replace(
        gemma2.GEMMA2,
        model_type="gemma3_text",
        name="Gemma3",
        config=Gemma3TextConfig,
        assembly=Single(stack),
        heads={
            "ForCausalLM": gemma2.WORDS,
            "ForSequenceClassification": llama.HEADS["ForSequenceClassification"],
        },
        spelt={
            "Model": "Gemma3TextModel",
            "PreTrainedModel": "Gemma3TextPreTrainedModel",
            "ForSequenceClassification": "Gemma3TextForSequenceClassification",
        },
        order=(*gemma2.GEMMA2.order, qwen3.ORDER),
    )
)


def connector(c: Gemma3Config) -> Connector:
    """Means of squares of patches, whose norm is the text model's."""
    vision = c.vision_config
    roles = {
        "connect_pool": "avg_pool",
        "connect_norm": "mm_soft_emb_norm",
        "connect": "mm_input_projection_weight",
    }
    norm = spec.Norm("rms", vision.layer_norm_eps, offset=1.0)
    return Connector(
        pooled(vision.image_size // vision.patch_size, c.mm_tokens_per_image, norm),
        paths={role: f"multi_modal_projector.{path}" for role, path in roles.items()},
        token=c.image_token_index,
    )


def pictures(types: Any) -> Blocks:
    """The tokens of one picture, of type 1, see each other within the layers' windows."""
    return Blocks(runs(types == 1), ahead=True)


SHOWN = register(
    Family(
        model_type="gemma3",
        name="Gemma3",
        config=Gemma3Config,
        base="model",
        assembly=ImageText(
            base_class,
            text=("language_model", "text_config"),
            image=("vision_tower", "vision_config"),
            connector=connector,
            blocks=pictures,
            whole=True,
        ),
        heads={
            "ForConditionalGeneration": llava.WORDS,
            "ForSequenceClassification": replace(llama.HEADS["ForSequenceClassification"], brief=True),
        },
        renames=llava.FILES,
        ignored=llava.LLAVA.ignored,
    )
)
