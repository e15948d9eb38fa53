"""XGLM (Lin et al. 2021, arXiv:2112.10668): BioGPT's layers over sinusoids, for many languages."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models import biogpt, llama
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal


class XGLMConfig(PretrainedConfig):
    """Configuration of XGLM. Nothing reads `max_position_embeddings`: positions are computed."""

    model_type = "xglm"
    keys_to_ignore_at_inference = ["past_key_values"]
    attribute_map = {
        "num_attention_heads": "attention_heads",
        "hidden_size": "d_model",
        "num_hidden_layers": "num_layers",
    }
    vocab_size: int = 256008
    max_position_embeddings: int = 2048
    d_model: int = 1024
    ffn_dim: int = 4096
    num_layers: int = 24
    attention_heads: int = 16
    activation_function: str = "gelu"
    dropout: float = 0.1
    attention_dropout: float = 0.1
    activation_dropout: float = 0.0
    layerdrop: float = 0.0
    init_std: float = 0.02
    scale_embedding: bool = True
    use_cache: bool = True
    decoder_start_token_id: int | None = 2
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 2
    add_cross_attention: bool = False
    tie_word_embeddings: bool = True


OWN = ("attention_norm", "q", "k", "v", "o")
ACROSS = {role: str(biogpt.NAMES.layer[role]).replace("self_attn", "encoder_attn") for role in OWN}
NAMES = biogpt.NAMES.with_(layer=spec.crossed(ACROSS))


def stack(c: XGLMConfig) -> spec.Stack:
    """The decoder."""
    norm = spec.Norm("layer", 1e-5)
    attention = spec.Attention(
        spec.Heads.split(c.d_model, c.attention_heads), Causal(), dropout=c.attention_dropout
    )
    layer = spec.layer(
        attention,
        spec.FeedForward(c.ffn_dim, c.activation_function, dropout=c.activation_dropout),
        norm,
        "pre",
        cross=replace(attention, cross=True) if c.add_cross_attention else None,
        dropout=c.dropout,
    )
    return spec.Stack(
        stem=spec.Tokens(
            c.vocab_size,
            c.d_model,
            positions=spec.ComputedPositions(offset=2),
            table_scale=c.d_model**0.5 if c.scale_embedding else 1.0,
            dropout=c.dropout,
            padding_idx=c.pad_token_id,
        ),
        layers=(layer,) * c.num_layers,
        names=NAMES,
        width=c.d_model,
        layer_class="XGLMDecoderLayer",
        decoder=True,
        final_norm=norm,
        layer_drop=c.layerdrop,
        initial_std=c.init_std,
    )


XGLM = register(
    replace(
        biogpt.BIOGPT,
        model_type="xglm",
        name="XGLM",
        config=XGLMConfig,
        base="model",
        assembly=Single(stack),
        heads=llama.heads_of("ForCausalLM"),
        order=(
            biogpt.BIOGPT.order[0],
            (
                *("self_attn", "activation_fn", "encoder_attn", "encoder_attn_layer_norm"),
                *("self_attn_layer_norm", "fc1", "fc2", "final_layer_norm"),
            ),
            biogpt.BIOGPT.order[2],
        ),
    )
)
