"""Qwen3-Next (Qwen Team 2025): gated delta rules (arXiv:2412.06464), gated attention, many small experts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.single import Single
from formers.models import llama, qwen2_moe, qwen3, qwen3_moe
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal


class Qwen3NextConfig(llama.DecoderConfig):
    """Configuration of Qwen3-Next. Every fourth layer attends, where `layer_types` is None."""

    model_type = "qwen3_next"
    keys_to_ignore_at_inference = ["past_key_values"]
    default_share = 0.25
    vocab_size: int = 151936
    hidden_size: int = 2048
    intermediate_size: int = 5632
    num_hidden_layers: int = 48
    num_attention_heads: int = 16
    num_key_value_heads: int | None = 2
    max_position_embeddings: int = 32768
    rms_norm_eps: float = 1e-6
    attention_bias: bool = False
    head_dim: int = 256
    linear_conv_kernel_dim: int = 4
    linear_key_head_dim: int = 128
    linear_value_head_dim: int = 128
    linear_num_key_heads: int = 16
    linear_num_value_heads: int = 32
    decoder_sparse_step: int = 1
    moe_intermediate_size: int = 512
    shared_expert_intermediate_size: int = 512
    num_experts_per_tok: int = 10
    num_experts: int = 512
    norm_topk_prob: bool = True
    output_router_logits: bool = False
    router_aux_loss_coef: float = 0.001
    mlp_only_layers: list[int] | None = None
    layer_types: list[str] | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None

    def __init__(self, **values: Any) -> None:
        every = values.pop("full_attention_interval", 4)
        super().__init__(**values)
        self.mlp_only_layers = self.mlp_only_layers or []
        if self.layer_types is None:
            kinds = ("full_attention", "linear_attention")
            self.layer_types = [kinds[bool((i + 1) % every)] for i in range(self.num_hidden_layers)]


HERE = "linear_attn"
NAMES = qwen2_moe.NAMES.with_(
    layer={
        **qwen3.NORMS,
        "in": f"{HERE}.in_proj_qkvz",
        "step": f"{HERE}.in_proj_ba",
        "conv": f"{HERE}.conv1d",
        "step_bias": f"{HERE}.dt_bias",
        "decay": f"{HERE}.A_log",
        "gated_norm": f"{HERE}.norm",
        "out": f"{HERE}.out_proj",
    }
)


def stack(c: Qwen3NextConfig) -> spec.Stack:
    """The decoder."""
    norm = spec.Norm("rms", c.rms_norm_eps, offset=1.0)
    rule = spec.DeltaRule(
        c.linear_num_value_heads,
        c.linear_value_head_dim,
        c.linear_key_head_dim,
        c.linear_num_key_heads,
        c.linear_conv_kernel_dim,
        c.hidden_act,
        spec.Norm("rms", c.rms_norm_eps),
    )
    attention = llama.attention(c, Causal(), c.attention_bias, qk_norm=norm, gated=True)
    mixers: dict[str, spec.Mixer] = {"linear_attention": rule, "full_attention": attention}
    layers = tuple(
        spec.layer(mixer, qwen2_moe.feedforward(c, i), norm, order="pre")
        for i, mixer in enumerate(llama.by_kind(c, mixers))
    )
    return llama.decoder(c, layers, "Qwen3NextDecoderLayer", norm, NAMES)


QWEN3_NEXT = register(
    replace(
        qwen3_moe.QWEN3_MOE,
        model_type="qwen3_next",
        name="Qwen3Next",
        config=Qwen3NextConfig,
        assembly=Single(stack, routes=True),
        ignored=(*llama.LLAMA.ignored, r"mtp\..*"),
        order=(
            (HERE, *llama.LLAMA.order[0]),
            llama.LLAMA.order[1],
            qwen3.ORDER,
            ("gate", "experts", "shared_expert", "shared_expert_gate"),
            ("conv1d", "in_proj_qkvz", "in_proj_ba", "norm", "out_proj"),
        ),
    )
)
