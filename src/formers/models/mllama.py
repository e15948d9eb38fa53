"""Llama 3.2 Vision (Llama Team 2024, arXiv:2407.21783, section 7): text layers that see pictures' tiles."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Literal

from formers.assemblies.family import Family, Head
from formers.assemblies.multimodal.cross_attention_layers import (
    CrossAttentionLayers,
    CrossAttentionText,
    TileEncoder,
)
from formers.checkpoints import Rename
from formers.configs import PretrainedConfig
from formers.models import llama, llava
from formers.models.classes import base_class
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal
from formers.nn.positions import Rotary
from formers.tasks.specs import Words

_FORMS = [[1, 1], [1, 2], [1, 3], [1, 4], [2, 1], [2, 2], [3, 1], [4, 1]]
_PICTURES = "pictures"


class MllamaVisionConfig(PretrainedConfig):
    """Configuration of the model that sees pictures in tiles."""

    model_type = "mllama_vision_model"
    base_config_key = "vision_config"
    attribute_map: ClassVar[dict[str, str]] = {"num_attention_heads": "attention_heads"}
    hidden_size: int = 1280
    hidden_act: str = "gelu"
    num_hidden_layers: int = 32
    num_global_layers: int = 8
    attention_heads: int = 16
    num_channels: int = 3
    intermediate_size: int = 5120
    vision_output_dim: int = 7680
    image_size: int | list[int] = 448
    patch_size: int | list[int] = 14
    norm_eps: float = 1e-5
    max_num_tiles: int = 4
    intermediate_layers_indices: list[int] | None = None
    supported_aspect_ratios: list[list[int]] | None = None
    initializer_range: float = 0.02

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if self.supported_aspect_ratios is None:
            self.supported_aspect_ratios = [list(one) for one in _FORMS]
        if self.intermediate_layers_indices is None:
            self.intermediate_layers_indices = [3, 7, 15, 23, 30]
        if self.supported_aspect_ratios == _FORMS and self.max_num_tiles != 4:
            raise ValueError(
                f"max_num_tiles is {self.max_num_tiles}, but the default supported_aspect_ratios have 4: "
                "name those of as many tiles"
            )

    @property
    def max_aspect_ratio_id(self) -> int:
        """The highest number of a form; 0 is no picture's."""
        return len(self.supported_aspect_ratios or ())


class MllamaTextConfig(PretrainedConfig):
    """Configuration of the text model."""

    model_type = "mllama_text_model"
    base_config_key = "text_config"
    default_theta = 500000.0
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["past_key_values"]
    vocab_size: int = 128256
    hidden_size: int = 4096
    hidden_act: str = "silu"
    num_hidden_layers: int = 40
    num_attention_heads: int = 32
    num_key_value_heads: int = 8
    intermediate_size: int = 14336
    rope_parameters: dict[str, Any] | None = None
    rms_norm_eps: float = 1e-5
    max_position_embeddings: int = 131072
    initializer_range: float = 0.02
    use_cache: bool = True
    tie_word_embeddings: bool = False
    cross_attention_layers: list[int] | None = None
    dropout: float = 0.0
    bos_token_id: int | None = 128000
    eos_token_id: int | list[int] | None = 128001
    pad_token_id: int | None = 128004

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if self.cross_attention_layers is None:
            self.cross_attention_layers = [3, 8, 13, 18, 23, 28, 33, 38]


class MllamaConfig(PretrainedConfig):
    """Configuration of Llama 3.2 Vision."""

    model_type = "mllama"
    attribute_map: ClassVar[dict[str, str]] = {"image_token_id": "image_token_index"}
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["past_key_values"]
    sub_configs: ClassVar[dict[str, Any]] = {
        "text_config": MllamaTextConfig,
        "vision_config": MllamaVisionConfig,
    }
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {"text_config": {}, "vision_config": {}}
    image_token_index: int = 128256


_CROSS = {role: f"cross_attn.{role}_proj" for role in "qkvo"} | {
    "q_norm": "cross_attn.q_norm",
    "k_norm": "cross_attn.k_norm",
    **{"norm": "input_layernorm", "gate": "cross_attn_attn_gate"},
}
NAMES = llama.NAMES.with_(
    layer={
        **{f"cross_{role}": path for role, path in _CROSS.items()},
        "feedforward_gate": "cross_attn_mlp_gate",
    }
)


def stack(c: MllamaTextConfig) -> spec.Stack:
    """A decoder, some of whose layers see pictures in place of the text; there is none of them without."""
    norm, inner = spec.Norm("rms", c.rms_norm_eps), llama.feedforward(c, c.intermediate_size)
    share: dict[str, Any] = {"dropout": c.dropout, "bias": False, "out_bias": False}
    turns = Rotary.of(llama.heads(c).width, c.rope_parameters or {}, c.max_position_embeddings)
    mixer = spec.Attention(llama.heads(c), mask=Causal(), rotary=turns, **share)
    plain = replace(llama.block(c, mixer, inner), name="MllamaSelfAttentionDecoderLayer")
    looks = spec.KeptCross(llama.heads(c), qk_norm=norm, beside=_PICTURES, **share)
    parts = (
        spec.Part(looks, "cross", norm, gate="zero"),
        spec.Part(inner, "feedforward", norm, gate="zero", counted=_PICTURES),
    )
    sees = spec.Layer(parts, name="MllamaCrossAttentionDecoderLayer", beside=_PICTURES)
    which = set(c.cross_attention_layers or ())
    layers = tuple(sees if i in which else plain for i in range(c.num_hidden_layers))
    stem = spec.Tokens(c.vocab_size + 8, c.hidden_size, padding_idx=c.pad_token_id)
    return replace(llama.decoder(c, layers, plain.name, names=NAMES), stem=stem)


VISION_NAMES = spec.Names(
    layers="transformer.layers",
    layer={
        "attention_norm": "input_layernorm",
        **{role: f"self_attn.{role}_proj" for role in "qkvo"},
        "attention_gate": "gate_attn",
        "feedforward_norm": "post_attention_layernorm",
        **{"up": "mlp.fc1", "act": "mlp.activation_fn", "down": "mlp.fc2"},
        "feedforward_gate": "gate_ffn",
    },
    embeddings={
        "patch": "patch_embedding",
        "cls": "class_embedding",
        "tile_before": "pre_tile_positional_embedding",
        "position": "gated_positional_embedding",
        "pre_norm": "layernorm_pre",
    },
    stack={"final_norm": "layernorm_post"},
)


def layers(c: MllamaVisionConfig, count: int, gate: Literal["", "zero", "drawn"] = "") -> dict[str, Any]:
    """So many layers, whose results are weighed by such gates."""
    share = spec.Heads(c.attention_heads, c.attention_heads, c.hidden_size // c.attention_heads)
    norm = spec.Norm("layer", c.norm_eps)
    attention = spec.Attention(share, bias=False, out_bias=False)
    feedforward = spec.FeedForward(c.intermediate_size, c.hidden_act)
    parts = (
        spec.Part(attention, "attention", norm, gate=gate),
        spec.Part(feedforward, "feedforward", norm, gate=gate),
    )
    return {
        "layers": (spec.Layer(parts),) * count,
        "width": c.hidden_size,
        "layer_class": "MllamaVisionEncoderLayer",
        "initial_std": c.initializer_range,
    }


def first(c: MllamaVisionConfig) -> spec.Stack:
    """Over patches of tiles."""
    (edge, _), (patch, _) = spec.pair(c.image_size), spec.pair(c.patch_size)
    tiles = spec.TilePatches(
        c.num_channels, edge, patch, c.hidden_size, c.max_num_tiles, c.max_aspect_ratio_id
    )
    norm = spec.Norm("layer", 1e-5)
    given = layers(c, c.num_hidden_layers)
    return spec.Stack(stem=tiles, names=VISION_NAMES, final_norm=norm, reports="plain", **given)


def second(c: MllamaVisionConfig) -> spec.Stack:
    """Over what those made."""
    names = replace(VISION_NAMES, layers="layers", embeddings={}, stack={})
    given = layers(c, c.num_global_layers, "drawn")
    return spec.Stack(stem=spec.Vectors(c.hidden_size), names=names, **given)


WORDS = Words("lm_head", bias=False, tied=False)
ORDER = (
    ("vision_model", "language_model", "multi_modal_projector"),
    (
        *("patch_embedding", "gated_positional_embedding", "pre_tile_positional_embedding"),
        *("post_tile_positional_embedding", "layernorm_pre", "layernorm_post"),
        *("transformer", "global_transformer"),
    ),
    ("self_attn", "mlp", "input_layernorm", "post_attention_layernorm"),
    ("MllamaCrossAttentionDecoderLayer:", "cross_attn", "input_layernorm", "mlp", "post_attention_layernorm"),
    ("q_proj", "k_proj", "v_proj", "o_proj", "q_norm", "k_norm"),
    ("gate_proj", "up_proj", "down_proj"),
)
VISION = register(
    Family(
        model_type="mllama_vision_model",
        name="MllamaVision",
        config=MllamaVisionConfig,
        base="vision_model",
        assembly=TileEncoder(
            first,
            second,
            lambda c: c.intermediate_layers_indices,
            ("post_tile_positional_embedding", "global_transformer"),
        ),
        heads={},
        order=ORDER,
    )
)
TEXT = register(
    Family(
        model_type="mllama_text_model",
        name="Mllama",
        config=MllamaTextConfig,
        base="model",
        assembly=CrossAttentionText(stack, _PICTURES),
        heads={"ForCausalLM": Head("causal_lm", lambda c: WORDS)},
        spelt={"Model": "MllamaTextModel", "PreTrainedModel": "MllamaTextPreTrainedModel"},
        renames=(
            Rename("language_model.model.{rest}", "model.{rest}"),
            Rename("language_model.lm_head.{rest}", "lm_head.{rest}"),
        ),
        ignored=(r"^(model\.)?(vision_model|multi_modal_projector)\.",),
        order=ORDER,
    )
)
MLLAMA = register(
    Family(
        model_type="mllama",
        name="Mllama",
        config=MllamaConfig,
        base="model",
        assembly=CrossAttentionLayers(
            base_class,
            text=("language_model", "text_config"),
            image=("vision_model", "vision_config"),
            token=lambda c: c.image_token_index,
            width=lambda c: c.vision_config.vision_output_dim,
            projector="multi_modal_projector",
        ),
        heads={"ForConditionalGeneration": Head("image_text_to_text", lambda c: WORDS)},
        renames=llava.files("vision_model"),
        ignored=llava.LLAVA.ignored,
        order=ORDER,
    )
)
