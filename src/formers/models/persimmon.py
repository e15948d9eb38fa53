"""Persimmon (Elsen et al. 2023): half of each head turned, norms of heads, squared ReLU."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.single import Single
from formers.models import gpt_neox, llama
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal


class PersimmonConfig(llama.DecoderConfig):
    """Configuration of Persimmon."""

    model_type = "persimmon"
    keys_to_ignore_at_inference = ["past_key_values"]
    default_share = 0.5
    vocab_size: int = 262144
    intermediate_size: int = 16384
    num_hidden_layers: int = 36
    num_attention_heads: int = 64
    hidden_act: str = "relu2"
    max_position_embeddings: int = 16384
    layer_norm_eps: float = 1e-5
    qk_layernorm: bool = True
    hidden_dropout: float = 0.0


NAMES = spec.Names(
    layers="layers",
    layer={
        **gpt_neox.NAMES.layer,
        "qkv": "self_attn.query_key_value",
        "o": "self_attn.dense",
        "weights_dropout": "self_attn.attention_dropout",
        "q_norm": "self_attn.q_layernorm",
        "k_norm": "self_attn.k_layernorm",
        "attention_dropout": None,
        "feedforward_dropout": "dropout",
    },
    embeddings=llama.NAMES.embeddings,
    stack={"final_norm": "final_layernorm", "rotary": "rotary_emb"},
)


def stack(c: PersimmonConfig) -> spec.Stack:
    """The decoder. Results of the feed-forward alone are dropped."""
    norm = spec.Norm("layer", c.layer_norm_eps)
    qk_norm = norm if c.qk_layernorm else None
    attention = llama.attention(c, Causal(), bias=True, fused="groups", qk_norm=qk_norm)
    feedforward = spec.FeedForward(c.intermediate_size, c.hidden_act)
    first, second = spec.layer(attention, feedforward, norm, "pre").parts
    layer = spec.Layer((first, replace(second, dropout=c.hidden_dropout)))
    return llama.decoder(c, (layer,) * c.num_hidden_layers, "PersimmonDecoderLayer", norm, NAMES)


PERSIMMON = register(
    replace(
        llama.LLAMA,
        model_type="persimmon",
        name="Persimmon",
        config=PersimmonConfig,
        assembly=Single(stack),
        heads=llama.heads_of("ForCausalLM", "ForSequenceClassification", "ForTokenClassification"),
        order=(
            llama.LLAMA.order[0],
            ("query_key_value", "dense", "q_layernorm", "k_layernorm"),
            ("dense_h_to_4h", "dense_4h_to_h"),
        ),
    )
)
