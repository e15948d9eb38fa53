"""BLOOM (Le Scao et al. 2022, arXiv:2211.05100): a decoder whose heads see what is far by slopes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models import gpt2
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal
from formers.nn.positions import Alibi
from formers.tasks.specs import Words


class BloomConfig(PretrainedConfig):
    """Configuration of BLOOM."""

    model_type = "bloom"
    keys_to_ignore_at_inference = ["past_key_values"]
    attribute_map = {
        "num_hidden_layers": "n_layer",
        "num_attention_heads": "n_head",
        "n_embed": "hidden_size",
    }
    vocab_size: int = 250880
    hidden_size: int = 64
    n_layer: int = 2
    n_head: int = 8
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02
    use_cache: bool = True
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    apply_residual_connection_post_layernorm: bool = False
    hidden_dropout: float = 0.0
    attention_dropout: float = 0.0
    pretraining_tp: int = 1
    slow_but_exact: bool = False
    tie_word_embeddings: bool = True


NAMES = spec.Names(
    layers="h",
    layer={
        "attention_norm": "input_layernorm",
        "qkv": "self_attention.query_key_value",
        "weights_dropout": "self_attention.attention_dropout",
        "o": "self_attention.dense",
        "attention_add": "self_attention",
        "feedforward_norm": "post_attention_layernorm",
        "up": "mlp.dense_h_to_4h",
        "act": "mlp.gelu_impl",
        "down": "mlp.dense_4h_to_h",
        "feedforward_add": "mlp",
    },
    embeddings={"token": "word_embeddings", "embedding_norm": "word_embeddings_layernorm"},
    stack={"final_norm": "ln_f"},
)


def stack(c: BloomConfig) -> spec.Stack:
    """The decoder."""
    norm = spec.Norm("layer", c.layer_norm_epsilon)
    attention = spec.Attention(
        spec.Heads.split(c.hidden_size, c.n_head),
        mask=Causal(),
        dropout=c.attention_dropout,
        fused="groups",
        score_bias=Alibi(),
    )
    feedforward = spec.FeedForward(4 * c.hidden_size, "gelu_pytorch_tanh")
    layer = spec.layer(attention, feedforward, norm, order="pre", dropout=c.hidden_dropout)
    kept: Any = "normed" if c.apply_residual_connection_post_layernorm else "read"
    layer = spec.Layer(tuple(replace(part, keeps=kept) for part in layer.parts))
    return spec.Stack(
        stem=spec.Tokens(c.vocab_size, c.hidden_size, norm=norm),
        layers=(layer,) * c.n_layer,
        names=NAMES,
        width=c.hidden_size,
        layer_class="BloomBlock",
        decoder=True,
        final_norm=norm,
        initial_std=c.initializer_range,
    )


BLOOM = register(
    Family(
        model_type="bloom",
        name="Bloom",
        config=BloomConfig,
        base="transformer",
        assembly=Single(stack),
        heads={
            "ForCausalLM": Head("causal_lm", lambda c: Words("lm_head", bias=False)),
            **{ending: head for ending, head in gpt2.HEADS.items() if ending != "LMHeadModel"},
        },
        gguf={"bloom": {"qkv": "blocks"}},
        order=(("input_layernorm", "self_attention", "post_attention_layernorm", "mlp"),),
    )
)
