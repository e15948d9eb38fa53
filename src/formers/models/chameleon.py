"""Chameleon (Chameleon Team 2024, arXiv:2405.09818): one decoder of words, and of pictures told as words."""

from __future__ import annotations

from typing import Any, ClassVar

from formers.assemblies.family import Family, Head
from formers.assemblies.multimodal.image_tokens import Coder, ImageTokenizer, ImageTokens
from formers.configs import PretrainedConfig
from formers.models import llama
from formers.models.classes import base_class
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal
from formers.nn.nets.vector_quantization import picture_words
from formers.nn.spec import nets
from formers.nn.spec.downsampling_encoder import Ladder, ladder
from formers.tasks.specs import Words


class ChameleonVQVAEConfig(PretrainedConfig):
    """Configuration of what tells pictures as codes."""

    model_type = "chameleon_vqgan"
    base_config_key = "vq_config"
    _available: ClassVar[dict[str, tuple[Any, ...]]] = {"double_latent": (False,)}
    embed_dim: int = 256
    num_embeddings: int = 8192
    double_latent: bool = False
    latent_channels: int = 256
    resolution: int = 512
    in_channels: int = 3
    base_channels: int = 128
    channel_multiplier: list[int] = [1, 1, 2, 2, 4]
    num_res_blocks: int = 2
    attn_resolutions: list[int] | None = None
    dropout: float = 0.0
    attn_type: str = "vanilla"
    initializer_range: float = 0.02


class ChameleonConfig(PretrainedConfig):
    """Configuration of Chameleon."""

    model_type = "chameleon"
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["past_key_values"]
    sub_configs: ClassVar[dict[str, Any]] = {"vq_config": ChameleonVQVAEConfig}
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {"vq_config": {}}
    vocab_size: int = 65536
    hidden_size: int = 4096
    intermediate_size: int = 11008
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int | None = 32
    hidden_act: str = "silu"
    max_position_embeddings: int = 4096
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-05
    use_cache: bool = True
    pad_token_id: int | None = None
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    tie_word_embeddings: bool = False
    rope_parameters: dict[str, Any] | None = None
    attention_bias: bool = False
    attention_dropout: float = 0.0
    model_parallel_size: int = 1
    swin_norm: bool = False
    vocabulary_map: dict[str, int] | None = None
    mlp_bias: bool = False
    image_token_id: int | None = None  # which texts show pictures by

    def __init__(self, **values: Any) -> None:
        known = values.get("vocabulary_map") or {}
        super().__init__(**{**values, "image_token_id": known.get("<image>", values.get("image_token_id"))})


NAMES = llama.NAMES.with_(layer={"q_norm": "self_attn.q_norm", "k_norm": "self_attn.k_norm"})
SWIN_NAMES = NAMES.with_(
    layer={
        **{"attention_norm": None, "attention_inner": "input_layernorm"},
        **{"feedforward_norm": None, "feedforward_inner": "post_attention_layernorm"},
    }
)


def stack(c: ChameleonConfig) -> spec.Stack:
    """The decoder, whose queries and keys are normed head by head."""
    norm = spec.Norm("layer", 1e-5)
    normed: dict[str, Any] = {"qk_norm": norm, "qk_norm_over": "each", "heads_flat": True}
    mixer = llama.attention(c, Causal(), c.attention_bias, **normed)
    inner = llama.feedforward(c, c.intermediate_size, c.mlp_bias)
    layer = spec.layer(mixer, inner, spec.Norm("rms", c.rms_norm_eps), "inside" if c.swin_norm else "pre")
    name = "ChameleonSwinDecoderLayer" if c.swin_norm else "ChameleonDecoderLayer"
    names = SWIN_NAMES if c.swin_norm else NAMES
    return llama.decoder(c, (layer,) * c.num_hidden_layers, name, names=names)


def coder(c: ChameleonVQVAEConfig) -> Coder:
    """An encoder of maps that become smaller, and vectors that tell its places."""
    made = ladder(
        Ladder(
            read=c.in_channels,
            widths=[c.base_channels, *(c.base_channels * factor for factor in c.channel_multiplier)],
            depth=c.num_res_blocks,
            size=c.resolution,
            looked=(c.attn_resolutions or ()) if c.attn_type == "vanilla" else None,
            made=c.latent_channels,
            dropout=c.dropout,
            names=("ChameleonVQVAEEncoderResnetBlock", "ChameleonVQVAEEncoderAttnBlock"),
        )
    )
    parts = {
        "encoder": made,
        "quant_conv": nets.Conv(c.latent_channels, c.embed_dim, bias=True),
        # what would make pictures of codes
        "post_quant_conv": nets.Conv(c.embed_dim, c.latent_channels, bias=True),
    }
    net = nets.Net(parts, ("quant_conv",), channels=c.in_channels, widths=(c.latent_channels,))
    paths = {"codes": "quantize", "table": "embedding"}
    return Coder(net, ("encoder",), c.num_embeddings, c.embed_dim, paths, c.initializer_range)


VQVAE = register(
    Family(
        model_type="chameleon_vqgan",
        name="ChameleonVQVAE",
        config=ChameleonVQVAEConfig,
        base="model",
        bare="ChameleonVQVAE",
        assembly=ImageTokenizer(coder),
        heads={},
    )
)
CHAMELEON = register(
    Family(
        model_type="chameleon",
        name="Chameleon",
        config=ChameleonConfig,
        base="model",
        assembly=ImageTokens(stack, base_class, ("vqmodel", "vq_config"), lambda c: c.image_token_id),
        heads={
            "ForConditionalGeneration": Head(
                "image_text_to_text",
                lambda c: Words("lm_head", bias=False, barred=picture_words(c.vocabulary_map)),
            )
        },
    )
)
