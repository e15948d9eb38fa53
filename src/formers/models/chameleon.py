"""Chameleon (Chameleon Team 2024, arXiv:2405.09818): one decoder of words, and of pictures told as words."""

from __future__ import annotations

from typing import Any, ClassVar

from formers.assemblies.family import Family, Head
from formers.assemblies.picture_coding import Coder, PictureCoding, WordsOfPictures
from formers.configs import PretrainedConfig
from formers.models import llama
from formers.models.classes import base_class
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal
from formers.nn.nets.picture_codes import picture_words
from formers.nn.spec import nets, several
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


SWISH = several.Bare("silu")


def norm(width: int) -> nets.GroupNorm:
    """Over 32 groups."""
    return nets.GroupNorm(width, 1e-6, 32)


def conv(read: int, made: int, kernel: int = 3, **other: Any) -> nets.Conv:
    """A convolution with a bias."""
    return nets.Conv(read, made, kernel, bias=True, **other)


def block(c: ChameleonVQVAEConfig, read: int, made: int) -> nets.Node:
    """Two convolutions, added to what they read."""
    parts = {
        "norm1": norm(read),
        "conv1": conv(read, made),
        "norm2": norm(made),
        "dropout": nets.Drop(c.dropout),
        "conv2": conv(made, made),
        **({"nin_shortcut": conv(read, made, 1)} if read != made else {}),
    }
    sides = nets.SUM if read == made else nets.Plus("nin_shortcut")
    run = (nets.BEGIN, "norm1", SWISH, "conv1", "norm2", SWISH, "dropout", "conv2", sides)
    return nets.Node(parts, run, "ChameleonVQVAEEncoderResnetBlock")


def looks(width: int) -> nets.Node:
    """Places look at each other."""
    parts = {"norm": norm(width), **{name: conv(width, width, 1) for name in ("q", "k", "v", "proj_out")}}
    run = (nets.BEGIN, "norm", several.Looks("q", "k", "v"), "proj_out", nets.SUM)
    return nets.Node(parts, run, "ChameleonVQVAEEncoderAttnBlock")


def encoder(c: ChameleonVQVAEConfig) -> nets.Node:
    """Blocks over maps that become smaller, and a last row of them."""
    widths = [c.base_channels * factor for factor in c.channel_multiplier]
    levels, run, width, size = [], list[nets.Run](["conv_in"]), c.base_channels, c.resolution
    for i, made in enumerate(widths):
        looked = size in (c.attn_resolutions or ()) and c.attn_type == "vanilla"
        blocks = [block(c, made if j else width, made) for j in range(c.num_res_blocks)]
        parts: dict[str, Any] = {"block": nets.row(*blocks)}
        parts["attn"] = nets.row(*(looks(made) for _ in blocks if looked))
        for j in range(len(blocks)):
            run += [f"down.{i}.block.{j}", *([f"down.{i}.attn.{j}"] if looked else [])]
        if made is not widths[-1] or i < len(widths) - 1:
            halved = conv(made, made, stride=2, padding=0)
            parts["downsample"] = nets.Node({"conv": halved}, (several.Edged((0, 1, 0, 1)), "conv"))
            run.append(f"down.{i}.downsample")
            size //= 2
        levels.append(nets.Node(parts))
        width = made
    middle: dict[str, Any] = {"block_1": block(c, width, width)}
    middle |= {"attn_1": looks(width)} if c.attn_type == "vanilla" else {}
    middle["block_2"] = block(c, width, width)
    run += [*(f"mid.{name}" for name in middle), "norm_out", SWISH, "conv_out"]
    parts = {"conv_in": conv(c.in_channels, c.base_channels), "down": nets.row(*levels)}
    parts |= {"mid": nets.Node(middle), "norm_out": norm(width), "conv_out": conv(width, c.latent_channels)}
    return nets.Node(parts, tuple(run))


def coder(c: ChameleonVQVAEConfig) -> Coder:
    """The encoder, and vectors that tell its places."""
    parts = {
        "encoder": encoder(c),
        "quant_conv": conv(c.latent_channels, c.embed_dim, 1),
        "post_quant_conv": conv(c.embed_dim, c.latent_channels, 1),  # what would make pictures of codes
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
        assembly=PictureCoding(coder),
        heads={},
    )
)
CHAMELEON = register(
    Family(
        model_type="chameleon",
        name="Chameleon",
        config=ChameleonConfig,
        base="model",
        assembly=WordsOfPictures(stack, base_class, ("vqmodel", "vq_config"), lambda c: c.image_token_id),
        heads={
            "ForConditionalGeneration": Head(
                "image_text_to_text",
                lambda c: Words("lm_head", bias=False, barred=picture_words(c.vocabulary_map)),
            )
        },
    )
)
