"""JetMoE (Shen et al. 2024, arXiv:2404.07413): experts in attention and in feed-forwards."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.family import Head
from formers.assemblies.single import Single
from formers.models import llama
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal
from formers.nn.positions import Rotary
from formers.tasks.specs import Words


class JetMoeConfig(llama.DecoderConfig):
    """Configuration of JetMoE. A token has the heads of every expert that reads it."""

    model_type = "jetmoe"
    keys_to_ignore_at_inference = ["past_key_values"]
    attribute_map = {"head_dim": "kv_channels"}
    hidden_size: int = 2048
    intermediate_size: int = 5632
    num_hidden_layers: int = 12
    num_key_value_heads: int | None = 16
    kv_channels: int = 128
    max_position_embeddings: int = 4096
    activation_function: str = "silu"
    num_local_experts: int = 8
    num_experts_per_tok: int = 2
    output_router_logits: bool = False
    aux_loss_coef: float = 0.01
    tie_word_embeddings: bool = True
    rms_norm_eps: float = 1e-6
    initializer_range: float = 0.01

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.num_attention_heads = (self.num_key_value_heads or 1) * self.num_experts_per_tok


HERE, THERE = "self_attention.experts", "mlp"
NAMES = llama.NAMES.with_(
    layer={
        "kv": "self_attention.kv_proj",
        "chooser": f"{HERE}.router.layer",
        "chosen_q": f"{HERE}.input_linear.weight",
        "chosen_o": f"{HERE}.output_linear.weight",
        "o_bias": f"{HERE}.bias",
        "mixture": THERE,
        "router": f"{THERE}.router.layer",
        "expert_gate_up": f"{THERE}.input_linear.weight",
        "expert_down": f"{THERE}.output_linear.weight",
        "mixture_bias": f"{THERE}.bias",
    }
)


def stack(c: JetMoeConfig) -> spec.Stack:
    """The decoder."""
    count, chosen, shared = c.num_local_experts, c.num_experts_per_tok, c.num_key_value_heads or 1
    each = spec.FeedForward(c.intermediate_size, c.activation_function, gated=True, fused=True, bias=False)
    experts = spec.Experts(count, chosen, each, stacked="rows", scores="softmax of chosen", shift=True)
    mixer = spec.HeadExperts(
        spec.Heads(chosen * shared, shared, c.kv_channels),
        mask=Causal(),
        dropout=c.attention_dropout or 0.0,
        rotary=Rotary.of(c.kv_channels, c.rope_parameters or {}, c.max_position_embeddings),
        count=count,
        chosen=chosen,
    )
    layer = spec.layer(mixer, experts, spec.Norm("rms", 1e-6), order="pre")
    return llama.decoder(c, (layer,) * c.num_hidden_layers, "JetMoeDecoderLayer", names=NAMES)


def words(c: JetMoeConfig) -> Words:
    """Logits, and what it costs to use experts unevenly, in attention and behind it."""
    return Words("lm_head", bias=False, balance=(c.num_experts_per_tok, c.aux_loss_coef))


JETMOE = register(
    replace(
        llama.LLAMA,
        model_type="jetmoe",
        name="JetMoe",
        config=JetMoeConfig,
        assembly=Single(stack, routes=True),
        heads={**llama.heads_of("ForSequenceClassification"), "ForCausalLM": Head("causal_lm", words)},
        order=(
            ("mlp", "input_layernorm", "post_attention_layernorm", "self_attention"),
            ("experts", "kv_proj"),
            ("bias", "input_linear", "output_linear", "router"),
        ),
    )
)
