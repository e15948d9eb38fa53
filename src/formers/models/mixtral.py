"""Mixtral (Jiang et al. 2024, arXiv:2401.04088): Mistral with a mixture of experts in every layer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.family import Head
from formers.assemblies.single import Single
from formers.models import llama, mistral
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal
from formers.tasks.specs import Words


class MixtralConfig(mistral.MistralConfig):
    """Configuration of Mixtral."""

    model_type = "mixtral"
    keys_to_ignore_at_inference = ["past_key_values"]
    attribute_map = {"num_experts": "num_local_experts"}
    default_theta = 1000000.0
    rms_norm_eps: float = 1e-5
    sliding_window: int | None = None
    num_experts_per_tok: int = 2
    num_local_experts: int = 8
    output_router_logits: bool = False
    router_aux_loss_coef: float = 0.001
    router_jitter_noise: float = 0.0


HERE = "block_sparse_moe"
EXPERT = {"gate": "w1", "down": "w2", "up": "w3"}
NAMES = llama.NAMES.with_(
    layer={
        "mixture": HERE,
        "router": f"{HERE}.gate",
        **{f"expert_{role}": f"{HERE}.experts.{{i}}.{name}" for role, name in EXPERT.items()},
    }
)


def stack(c: MixtralConfig) -> spec.Stack:
    """The decoder."""
    each = llama.feedforward(c, c.intermediate_size)
    experts = spec.Experts(c.num_local_experts, c.num_experts_per_tok, each, jitter=c.router_jitter_noise)
    one = llama.block(c, llama.attention(c, Causal(c.sliding_window)), experts)
    made = llama.decoder(c, (one,) * c.num_hidden_layers, "MixtralDecoderLayer")
    return replace(made, names=NAMES)


def words(c: Any) -> Words:
    """Logits, and what it costs to use experts unevenly."""
    return Words("lm_head", bias=False, balance=(c.num_experts_per_tok, c.router_aux_loss_coef))


MIXTRAL = register(
    replace(
        mistral.MISTRAL,
        model_type="mixtral",
        name="Mixtral",
        config=MixtralConfig,
        assembly=Single(stack, routes=True),
        heads={**mistral.MISTRAL.heads, "ForCausalLM": Head("causal_lm", words)},
        order=(("self_attn", HERE, "input_layernorm", "post_attention_layernorm"), ("w1", "w2", "w3")),
        aliases={"layers.{i}.mlp": f"layers.{{i}}.{HERE}"},
    )
)
