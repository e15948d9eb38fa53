"""KOSMOS-2 (Peng et al. 2023, arXiv:2306.14824): texts that read pictures, and name boxes in them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from formers.assemblies.family import Family, Head
from formers.assemblies.multimodal.latent_queries import LatentQueryText
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models import biogpt, clip_towers
from formers.models.classes import class_of, predictor_class
from formers.models.registry import family_of, register
from formers.nn import spec
from formers.nn.latent_projection import LatentQueries
from formers.nn.masks import Causal
from formers.tasks.specs import Words


class Kosmos2TextConfig(PretrainedConfig):
    """Configuration of KOSMOS-2's text model. Positions are computed, whatever `max_position_embeddings`."""

    model_type = "kosmos_2_text_model"
    base_config_key = "text_config"
    keys_to_ignore_at_inference = ["past_key_values"]
    attribute_map = {
        "num_attention_heads": "attention_heads",
        "hidden_size": "embed_dim",
        "num_hidden_layers": "layers",
    }
    vocab_size: int = 65037
    max_position_embeddings: int = 2048
    embed_dim: int = 2048
    layers: int = 24
    ffn_dim: int = 8192
    attention_heads: int = 32
    activation_function: str = "gelu"
    dropout: float = 0.1
    attention_dropout: float = 0.1
    activation_dropout: float = 0.0
    layerdrop: float = 0.0
    layer_norm_eps: float = 1e-5
    init_std: float = 0.02
    scale_embedding: bool = True
    use_cache: bool = True
    tie_word_embeddings: bool = True
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 2
    add_cross_attention: bool = False


class Kosmos2VisionConfig(PretrainedConfig):
    """Configuration of KOSMOS-2's image model."""

    model_type = "kosmos_2_vision_model"
    base_config_key = "vision_config"
    hidden_size: int = 1024
    intermediate_size: int = 4096
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    num_channels: int = 3
    image_size: int | list[int] = 224
    patch_size: int | list[int] = 14
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5
    attention_dropout: float = 0.0
    initializer_range: float = 0.02
    initializer_factor: float = 1.0


class Kosmos2Config(PretrainedConfig):
    """Configuration of KOSMOS-2."""

    model_type = "kosmos-2"
    sub_configs: ClassVar[dict[str, Any]] = {
        "text_config": Kosmos2TextConfig,
        "vision_config": Kosmos2VisionConfig,
    }
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {"text_config": {}, "vision_config": {}}
    latent_query_num: int = 64
    tie_word_embeddings: bool = True


_OWN = ("attention_norm", "q", "k", "v", "o")
_ACROSS = {role: str(biogpt.NAMES.layer[role]).replace("self_attn", "encoder_attn") for role in _OWN}
NAMES = biogpt.NAMES.with_(
    layer={
        **{"mixed_norm": "self_attn.inner_attn_ln", "up": "ffn.fc1", "act": "ffn.activation_fn"},
        **{"inner_norm": "ffn.ffn_layernorm", "down": "ffn.fc2", **spec.crossed(_ACROSS)},
    }
)


def text(c: Kosmos2TextConfig) -> spec.Stack:
    """A decoder with norms before parts and within them, over sinusoids that count no padding."""
    norm = spec.Norm("layer", c.layer_norm_eps)
    heads = spec.Heads.split(c.embed_dim, c.attention_heads)
    attention = spec.Attention(heads, Causal(), dropout=c.attention_dropout, mixed_norm=norm)
    layer = spec.layer(
        attention,
        spec.FeedForward(c.ffn_dim, c.activation_function, dropout=c.activation_dropout, norm=norm),
        norm,
        "pre",
        cross=spec.Attention(heads, dropout=c.attention_dropout, cross=True)
        if c.add_cross_attention
        else None,
        dropout=c.dropout,
    )
    return spec.Stack(
        stem=spec.Tokens(
            c.vocab_size,
            c.embed_dim,
            positions=spec.ComputedPositions(c.pad_token_id),
            scale=c.embed_dim**0.5 if c.scale_embedding else 1.0,
            scale_given=True,
            dropout=c.dropout,
            padding_idx=c.pad_token_id,
        ),
        layers=(layer,) * c.layers,
        names=NAMES,
        width=c.embed_dim,
        layer_class="Kosmos2TextBlock",
        decoder=True,
        final_norm=norm,
        layer_drop=c.layerdrop,
        initial_std=c.init_std,
    )


def image(c: Kosmos2VisionConfig) -> spec.Stack:
    """CLIP's."""
    return replace(clip_towers.image(c), layer_class="Kosmos2VisionEncoderLayer")  # type: ignore[arg-type]  # CLIP's fields


def queries(c: Kosmos2Config) -> LatentQueries:
    """As many as stand for a picture."""
    t = c.text_config
    source, own = c.vision_config.hidden_size, (t.embed_dim, t.attention_heads, t.attention_dropout)
    return LatentQueries(c.latent_query_num, source, *own, t.init_std)


def held_class(config: Any) -> Any:
    """The class that holds a part's stack under a name."""
    family = family_of(config.model_type)
    return class_of(family, f"{family.name}Model")


HELD = Head("held_model", lambda c: None, pooler=True)
TEXT = register(
    Family(
        model_type="kosmos_2_text_model",
        name="Kosmos2Text",
        config=Kosmos2TextConfig,
        base="model",
        bare="Transformer",
        assembly=Single(text),
        heads={
            "Kosmos2TextModel": HELD,
            "ForCausalLM": Head("causal_lm", lambda c: Words("lm_head", bias=False)),
        },
        order=(
            ("embed_tokens", "embed_positions", "layers", "layer_norm"),
            (
                *("self_attn", "self_attn_layer_norm", "encoder_attn", "encoder_attn_layer_norm", "ffn"),
                "final_layer_norm",
            ),
            ("k_proj", "v_proj", "q_proj", "out_proj", "inner_attn_ln"),
            ("activation_fn", "fc1", "fc2", "ffn_layernorm"),
        ),
        ignored=(r".*embed_positions\.weights",),
    )
)
IMAGE = register(
    Family(
        model_type="kosmos_2_vision_model",
        name="Kosmos2Vision",
        config=Kosmos2VisionConfig,
        base="model",
        bare="Transformer",
        assembly=Single(image, spec.Patches, reads=("pixel_values", "interpolate_pos_encoding")),
        heads={"Kosmos2VisionModel": HELD},
        ignored=clip_towers.IGNORED,
        order=clip_towers.ORDER,
    )
)
_PARTS = (("text_model", "text_config"), ("vision_model", "vision_config"))
_BETWEEN = (queries, "image_to_text_projection")
KOSMOS2 = register(
    Family(
        model_type="kosmos-2",
        name="Kosmos2",
        config=Kosmos2Config,
        base="model",
        assembly=LatentQueryText(
            held_class,
            *_PARTS,
            *_BETWEEN,
            parts={"texts": LatentQueryText(held_class, *_PARTS, *_BETWEEN, writer_of=predictor_class)},
        ),
        heads={
            "Model": Head("latent_query_states", lambda c: None, flat=True),
            "ForConditionalGeneration": Head("latent_query_texts", lambda c: None, over="texts", flat=True),
        },
        ignored=(*clip_towers.IGNORED, r".*embed_positions\.weights"),
        order=(("text_model", "vision_model", "image_to_text_projection"), *TEXT.order, *clip_towers.ORDER),
    )
)
