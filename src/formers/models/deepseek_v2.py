"""DeepSeek-V2 (DeepSeek-AI 2024, arXiv:2405.04434): latent attention, and experts beside shared ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.single import Single
from formers.models import deepseek_v3, llama
from formers.models.registry import register
from formers.nn import spec


class DeepseekV2Config(llama.DecoderConfig):
    """Configuration of DeepSeek-V2."""

    model_type = "deepseek_v2"
    keys_to_ignore_at_inference = ["past_key_values"]
    attribute_map = {"num_experts": "n_routed_experts"}
    _available = {
        "topk_method": ("greedy", "group_limited_greedy"),
        "norm_topk_prob": (False,),  # the weights of the chosen are used as they are
    }
    vocab_size: int = 102400
    rms_norm_eps: float = 1e-6
    pretraining_tp: int | None = 1
    attention_bias: bool = False
    mlp_bias: bool = False
    head_dim: int | None = None
    first_k_dense_replace: int = 0
    kv_lora_rank: int = 512
    q_lora_rank: int | None = 1536
    n_group: int | None = None
    n_routed_experts: int = 64
    output_router_logits: bool = False
    n_shared_experts: int = 2
    qk_nope_head_dim: int = 128
    qk_rope_head_dim: int = 64
    routed_scaling_factor: float = 1.0
    topk_group: int | None = None
    topk_method: str | None = "greedy"
    norm_topk_prob: bool | None = False
    v_head_dim: int = 128
    num_experts_per_tok: int | None = None
    moe_intermediate_size: int = 1407

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if self.num_key_value_heads is None:
            self.num_key_value_heads = self.num_attention_heads
        self.qk_head_dim = self.qk_nope_head_dim + self.qk_rope_head_dim
        self.head_dim = self.qk_rope_head_dim


def experts(c: DeepseekV2Config) -> spec.Experts:
    """Chosen from all, or from the groups of the best."""
    grouped = c.topk_method == "group_limited_greedy"
    return spec.Experts(
        c.n_routed_experts,
        c.num_experts_per_tok or 0,
        llama.feedforward(c, c.moe_intermediate_size),
        normalised=False,
        scale=c.routed_scaling_factor,
        groups=(c.n_group or 1) if grouped else 1,
        kept_groups=(c.topk_group or 1) if grouped else 1,
        wide=True,
        shared=llama.feedforward(c, c.moe_intermediate_size * c.n_shared_experts, c.mlp_bias),
    )


def stack(c: DeepseekV2Config) -> spec.Stack:
    """The decoder."""
    mixer = deepseek_v3.attention(c, adjacent=True)
    one = llama.feedforward(c, c.intermediate_size, c.mlp_bias)
    return deepseek_v3.decoder(c, mixer, one, experts(c), "DeepseekV2DecoderLayer")


DEEPSEEK_V2 = register(
    replace(
        deepseek_v3.DEEPSEEK_V3,
        model_type="deepseek_v2",
        name="DeepseekV2",
        config=DeepseekV2Config,
        assembly=Single(stack, routes=True),
        heads={key: llama.LLAMA.heads[key] for key in ("ForCausalLM", "ForSequenceClassification")},
        ignored=llama.LLAMA.ignored,
    )
)
