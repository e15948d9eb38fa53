"""Phi-3.5-MoE (Abdin et al. 2024, arXiv:2404.14219): two of sixteen experts, chosen in turn; layer norms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.family import Head
from formers.assemblies.single import Single
from formers.models import llama, mixtral
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal
from formers.tasks.specs import Words


class PhimoeConfig(llama.DecoderConfig):
    """Configuration of Phi-3.5-MoE. LongRoPE needs the factors `short_mscale` and `long_mscale`."""

    model_type = "phimoe"
    keys_to_ignore_at_inference = ["past_key_values"]
    default_theta = 1000000.0
    vocab_size: int = 32064
    intermediate_size: int = 6400
    num_key_value_heads: int | None = 8
    max_position_embeddings: int = 131072
    rms_norm_eps: float = 1e-5
    sliding_window: int | None = None
    num_experts_per_tok: int = 2
    num_local_experts: int = 16
    output_router_logits: bool = False
    router_aux_loss_coef: float = 0.001
    router_jitter_noise: float = 0.01
    input_jitter_noise: float = 0.0
    attention_bias: bool = False
    lm_head_bias: bool = False

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        rope = self.rope_parameters or {}
        kind = rope.get("rope_type", "default")
        scales = [rope.get(f"{reach}_mscale") for reach in ("short", "long")]
        if kind != "default" and (kind != "longrope" or not all(isinstance(x, (int, float)) for x in scales)):
            raise ValueError(
                "rope_parameters of Phi-3.5-MoE are of the type 'default', or 'longrope' with numbers for "
                f"short_mscale and long_mscale, not {kind!r} with {scales[0]} and {scales[1]}"
            )


NAMES = mixtral.NAMES


def stack(c: PhimoeConfig) -> spec.Stack:
    """The decoder."""
    norm = spec.Norm("layer", c.rms_norm_eps)
    experts = spec.Experts(
        c.num_local_experts,
        c.num_experts_per_tok,
        llama.feedforward(c, c.intermediate_size),
        scores="in turn",
        tolerance=c.router_jitter_noise,
        jitter=c.input_jitter_noise,
        jitters=2,
    )
    mixer = llama.attention(c, Causal(c.sliding_window), c.attention_bias)
    layer = spec.layer(mixer, experts, norm, order="pre")
    return llama.decoder(c, (layer,) * c.num_hidden_layers, "PhimoeDecoderLayer", norm, NAMES)


def words(c: PhimoeConfig) -> Words:
    """Mixtral's, with a bias where there is one."""
    return replace(mixtral.words(c), bias=c.lm_head_bias)


PHIMOE = register(
    replace(
        mixtral.MIXTRAL,
        model_type="phimoe",
        name="Phimoe",
        config=PhimoeConfig,
        assembly=Single(stack, routes=True),
        heads={**llama.heads_of("ForSequenceClassification"), "ForCausalLM": Head("causal_lm", words)},
        aliases={
            "layers.{i}.mlp": f"layers.{{i}}.{mixtral.HERE}",
            "layers.{i}.mlp.router": f"layers.{{i}}.{mixtral.HERE}.gate",
        },
    )
)
