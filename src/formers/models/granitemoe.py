"""Granite's mixtures of experts (Shen et al. 2024, arXiv:2408.13359), and those with a shared expert."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.family import Head
from formers.assemblies.single import Single
from formers.models import granite, llama
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal
from formers.tasks.specs import Words


class GraniteMoeConfig(llama.DecoderConfig):
    """Configuration of Granite's mixtures."""

    model_type = "granitemoe"
    keys_to_ignore_at_inference = ["past_key_values"]
    rms_norm_eps: float = 1e-6
    attention_bias: bool = False
    embedding_multiplier: float = 1.0
    logits_scaling: float = 1.0
    residual_multiplier: float = 1.0
    attention_multiplier: float = 1.0
    num_local_experts: int = 8
    num_experts_per_tok: int = 2
    output_router_logits: bool = False
    router_aux_loss_coef: float = 0.001


class GraniteMoeSharedConfig(GraniteMoeConfig):
    """Configuration of Granite's mixtures with a shared expert; none for a width of 0."""

    model_type = "granitemoeshared"
    shared_intermediate_size: int = 1024


HERE = "block_sparse_moe"
NAMES = llama.NAMES.with_(
    layer={
        "mixture": HERE,
        "router": f"{HERE}.router.layer",
        "expert_gate_up": f"{HERE}.input_linear.weight",
        "expert_down": f"{HERE}.output_linear.weight",
    }
)
SHARED = {
    "gate": None,
    "up": None,
    "gate_up": "shared_mlp.input_linear",
    "act": "shared_mlp.activation",
    "down": "shared_mlp.output_linear",
}


def gated(c: Any, inner: int) -> spec.FeedForward:
    """Gate and up are one leaf."""
    return spec.FeedForward(inner, c.hidden_act, gated=True, fused=True, bias=False)


def stack(c: Any, layer_class: str, shared: int = 0) -> spec.Stack:
    """The decoder."""
    each = gated(c, c.intermediate_size)
    experts = spec.Experts(
        c.num_local_experts, c.num_experts_per_tok, each, stacked="rows", scores="softmax of chosen"
    )
    mixer = llama.attention(c, Causal(), c.attention_bias, scale=c.attention_multiplier)
    norm, factor = spec.Norm("rms", c.rms_norm_eps), c.residual_multiplier
    one = spec.layer(mixer, experts, norm, order="pre", scale=factor)
    names = NAMES
    if shared:
        names = NAMES.with_(layer=SHARED)
        beside = spec.Part(gated(c, shared), "shared", reads="normed", scale=factor)
        one = spec.Layer((*one.parts, beside))
    layers = (one,) * c.num_hidden_layers
    return llama.decoder(c, layers, layer_class, names=names, scale=c.embedding_multiplier)


def words(c: Any) -> Words:
    """Granite's logits, and what it costs to use experts unevenly."""
    cost = (c.num_experts_per_tok, c.router_aux_loss_coef)
    return replace(granite.words(c), balance=cost)


GRANITE_MOE = register(
    replace(
        granite.GRANITE,
        model_type="granitemoe",
        name="GraniteMoe",
        config=GraniteMoeConfig,
        assembly=Single(lambda c: stack(c, "GraniteMoeDecoderLayer"), routes=True),
        heads={"ForCausalLM": Head("causal_lm", words)},
        order=(
            ("self_attn", "input_layernorm", "post_attention_layernorm", HERE),
            ("router", "input_linear", "output_linear"),
        ),
        aliases={f"layers.{{i}}.{HERE}.router": f"layers.{{i}}.{HERE}.router.layer"},
    )
)
GRANITE_MOE_SHARED = register(
    replace(
        GRANITE_MOE,
        model_type="granitemoeshared",
        name="GraniteMoeShared",
        config=GraniteMoeSharedConfig,
        assembly=Single(
            lambda c: stack(c, "GraniteMoeSharedDecoderLayer", c.shared_intermediate_size), routes=True
        ),
    )
)
