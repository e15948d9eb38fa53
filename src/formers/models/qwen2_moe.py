"""Qwen2-MoE (Yang et al. 2024, arXiv:2407.10671): Qwen2 with many small experts and a shared one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.family import Head
from formers.assemblies.single import Single
from formers.models import llama, mistral, mixtral, qwen2
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal


class Qwen2MoeConfig(llama.DecoderConfig):
    """Configuration of Qwen2-MoE. With a window, every other layer before `max_window_layers` has it."""

    model_type = "qwen2_moe"
    keys_to_ignore_at_inference = ["past_key_values"]
    vocab_size: int = 151936
    hidden_size: int = 2048
    intermediate_size: int = 5632
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    num_key_value_heads: int | None = 16
    max_position_embeddings: int = 32768
    rms_norm_eps: float = 1e-6
    use_sliding_window: bool = False
    sliding_window: int | None = 4096
    max_window_layers: int = 28
    decoder_sparse_step: int = 1
    moe_intermediate_size: int = 1408
    shared_expert_intermediate_size: int = 5632
    num_experts_per_tok: int = 4
    num_experts: int = 60
    norm_topk_prob: bool = False
    output_router_logits: bool = False
    router_aux_loss_coef: float = 0.001
    mlp_only_layers: list[int] | None = None
    qkv_bias: bool = True
    layer_types: list[str] | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.mlp_only_layers = self.mlp_only_layers or []
        self.sliding_window = self.sliding_window if self.use_sliding_window else 0
        if self.layer_types is None:
            last = self.max_window_layers if self.use_sliding_window else 0
            kinds = ("full_attention", "sliding_attention")
            self.layer_types = [kinds[i % 2 == 0 and i < last] for i in range(self.num_hidden_layers)]


NAMES = llama.NAMES.with_(
    layer={
        "mixture": "mlp",
        "router": "mlp.gate",
        "share": "mlp.shared_expert_gate",
        "shared_act": "mlp.shared_expert.act_fn",
        **{f"expert_{role}": f"mlp.experts.{{i}}.{role}_proj" for role in ("gate", "up", "down")},
        **{f"shared_{role}": f"mlp.shared_expert.{role}_proj" for role in ("gate", "up", "down")},
    }
)


def feedforward(c: Any, i: int) -> spec.FeedForward | spec.Experts:
    """Experts in every `decoder_sparse_step`th layer, but for `mlp_only_layers`."""
    if i in (c.mlp_only_layers or ()) or not c.num_experts or (i + 1) % c.decoder_sparse_step:
        return llama.feedforward(c, c.intermediate_size)
    shared = getattr(c, "shared_expert_intermediate_size", None)
    return spec.Experts(
        c.num_experts,
        c.num_experts_per_tok,
        llama.feedforward(c, c.moe_intermediate_size),
        normalised=c.norm_topk_prob,
        shared=llama.feedforward(c, shared) if shared else None,
        weighed=True,
        flat=True,
    )


def stack(c: Qwen2MoeConfig) -> spec.Stack:
    """The decoder."""
    mixer = replace(llama.attention(c, Causal(), c.qkv_bias), out_bias=False)
    layers = tuple(llama.block(c, one, feedforward(c, i)) for i, one in enumerate(qwen2.mixers(c, mixer)))
    return replace(llama.decoder(c, layers, "Qwen2MoeDecoderLayer"), names=NAMES)


QWEN2_MOE = register(
    replace(
        llama.LLAMA,
        model_type="qwen2_moe",
        name="Qwen2Moe",
        config=Qwen2MoeConfig,
        assembly=Single(stack, routes=True),
        heads={**mistral.MISTRAL.heads, "ForCausalLM": Head("causal_lm", mixtral.words)},
        order=(*llama.LLAMA.order, ("gate", "experts", "shared_expert", "shared_expert_gate")),
    )
)
