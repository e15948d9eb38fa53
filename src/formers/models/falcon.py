"""Falcon (Almazrouei et al. 2023, arXiv:2311.16867): one key for all heads, or groups; parts side by side."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.single import Single
from formers.models import bloom, llama
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal
from formers.nn.positions import Alibi


class FalconConfig(llama.DecoderConfig):
    """Configuration of Falcon. The newer architecture has groups of heads and, usually, two norms."""

    model_type = "falcon"
    keys_to_ignore_at_inference = ["past_key_values"]
    vocab_size: int = 65024
    hidden_size: int = 4544
    num_attention_heads: int = 71
    num_kv_heads: int | None = None
    num_ln_in_parallel_attn: int | None = None
    layer_norm_epsilon: float | None = 1e-5
    hidden_dropout: float | None = 0.0
    alibi: bool | None = False
    new_decoder_architecture: bool | None = False
    multi_query: bool | None = True
    parallel_attn: bool | None = True
    bias: bool | None = False
    ffn_hidden_size: int | None = None
    activation: str | None = "gelu"
    bos_token_id: int | None = 11
    eos_token_id: int | list[int] | None = 11
    tie_word_embeddings: bool = True

    def __init__(self, n_embed: int | None = None, **values: Any) -> None:
        super().__init__(**values if n_embed is None else {**values, "hidden_size": n_embed})
        self.num_kv_heads = self.num_kv_heads or self.num_attention_heads
        self.ffn_hidden_size = self.ffn_hidden_size or 4 * self.hidden_size


NAMES = bloom.NAMES.with_(
    layer={"act": "mlp.act", "attention_add": None, "feedforward_add": None},
    stack={"rotary": "rotary_emb"},
)
TWO = NAMES.with_(layer={"attention_norm": "ln_attn", "feedforward_norm": "ln_mlp"})


def attention(c: FalconConfig) -> spec.Attention:
    """Heads that share one key, or groups, or none; turned, or biased by slopes (rounded to bfloat16)."""
    heads = spec.Heads.split(c.hidden_size, c.num_attention_heads)
    shared = c.num_kv_heads or heads.query
    if not c.new_decoder_architecture:
        shared = 1 if c.multi_query else heads.query
    made = replace(
        llama.attention(c, Causal(), bool(c.bias), fused="groups"), heads=replace(heads, key_value=shared)
    )
    if c.alibi:
        return replace(made, rotary=None, score_bias=Alibi(rounded=True, scale=heads.width**-0.5))
    return replace(made, dropout=0.0)  # turned heads drop no weights, whatever `attention_dropout` says


def stack(c: FalconConfig) -> spec.Stack:
    """The decoder."""
    if c.new_decoder_architecture and not c.parallel_attn:
        raise ValueError("the newer architecture of Falcon has its parts side by side: parallel_attn is True")
    norm = spec.Norm("layer", c.layer_norm_epsilon or 0.0)
    feedforward = spec.FeedForward(c.ffn_hidden_size or 0, c.activation or "gelu", bias=bool(c.bias))
    two = bool(c.new_decoder_architecture) and c.num_ln_in_parallel_attn in (None, 2)
    reads: Any = "sum" if not c.parallel_attn else "input" if two else "normed"
    layer = spec.layer(attention(c), feedforward, norm, "pre", dropout=c.hidden_dropout or 0.0, reads=reads)
    if not c.parallel_attn:
        first, second = layer.parts
        layer = spec.Layer((replace(first, dropout=c.attention_dropout or 0.0), second))
    tokens = {"padding_idx": None}
    names = TWO if two else NAMES
    return llama.decoder(c, (layer,) * c.num_hidden_layers, "FalconDecoderLayer", norm, names, **tokens)


FALCON = register(
    replace(
        bloom.BLOOM,
        model_type="falcon",
        name="Falcon",
        config=FalconConfig,
        assembly=Single(stack),
        order=(
            ("self_attention", "mlp", "ln_attn", "ln_mlp", "post_attention_layernorm", "input_layernorm"),
        ),
    )
)
