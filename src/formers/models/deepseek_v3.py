"""DeepSeek-V3 (DeepSeek-AI 2024, arXiv:2412.19437): latent attention, and experts chosen by groups."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.single import Single
from formers.models import llama
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal
from formers.nn.positions import Rotary


class DeepseekV3Config(llama.DecoderConfig):
    """Configuration of DeepSeek-V3."""

    model_type = "deepseek_v3"
    keys_to_ignore_at_inference = ["past_key_values"]
    attribute_map = {
        "num_local_experts": "n_routed_experts",
        "num_mtp_layers": "num_nextn_predict_layers",
    }
    vocab_size: int = 129280
    hidden_size: int = 7168
    intermediate_size: int = 18432
    moe_intermediate_size: int = 2048
    num_hidden_layers: int = 61
    num_attention_heads: int = 128
    num_key_value_heads: int | None = 128
    n_shared_experts: int = 1
    n_routed_experts: int = 256
    output_router_logits: bool = False
    routed_scaling_factor: float = 2.5
    kv_lora_rank: int = 512
    q_lora_rank: int | None = 1536
    qk_rope_head_dim: int = 64
    v_head_dim: int | None = 128
    qk_nope_head_dim: int = 128
    n_group: int | None = 8
    topk_group: int | None = 4
    num_experts_per_tok: int | None = 8
    first_k_dense_replace: int | None = 3
    norm_topk_prob: bool | None = True
    max_position_embeddings: int = 4096
    rms_norm_eps: float = 1e-6
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 1
    pretraining_tp: int | None = 1
    rope_interleave: bool | None = True
    attention_bias: bool = False
    num_nextn_predict_layers: int = 1

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if self.num_key_value_heads is None:
            self.num_key_value_heads = self.num_attention_heads
        self.qk_head_dim = self.qk_nope_head_dim + self.qk_rope_head_dim
        self.head_dim = self.qk_rope_head_dim


ATTENTION = {
    "q_down": "self_attn.q_a_proj",
    "q_norm": "self_attn.q_a_layernorm",
    "q_up": "self_attn.q_b_proj",
    "kv_down": "self_attn.kv_a_proj_with_mqa",
    "kv_norm": "self_attn.kv_a_layernorm",
    "kv_up": "self_attn.kv_b_proj",
}
MIXTURE = {
    "mixture": "mlp",
    "router": "mlp.gate",
    "router_bias": "mlp.gate.e_score_correction_bias",
    "shared_act": "mlp.shared_experts.act_fn",
    **{f"expert_{role}": f"mlp.experts.{{i}}.{role}_proj" for role in ("gate", "up", "down")},
    **{f"shared_{role}": f"mlp.shared_experts.{role}_proj" for role in ("gate", "up", "down")},
}
NAMES = llama.NAMES.with_(layer={**ATTENTION, **MIXTURE})


def attention(c: Any, adjacent: bool) -> spec.Latent:
    """Latent attention; `adjacent` features are turned together."""
    turned, width = c.qk_rope_head_dim, c.qk_nope_head_dim + c.qk_rope_head_dim
    rotary = Rotary.of(turned, c.rope_parameters or {}, c.max_position_embeddings, adjacent)
    return spec.Latent(
        spec.Heads(c.num_attention_heads, c.num_key_value_heads, width),
        mask=Causal(),
        dropout=c.attention_dropout or 0.0,
        scale=width**-0.5 * rotary.sharpening,
        bias=c.attention_bias,
        out_bias=c.attention_bias,
        rotary=rotary,
        rank=c.kv_lora_rank,
        value=c.v_head_dim,
        query_rank=c.q_lora_rank,
    )


def experts(c: DeepseekV3Config) -> spec.Experts:
    """Chosen from the best groups, by scores that a bias corrects."""
    return spec.Experts(
        c.n_routed_experts,
        c.num_experts_per_tok or 0,
        llama.feedforward(c, c.moe_intermediate_size),
        scores="sigmoid",
        normalised=bool(c.norm_topk_prob),
        scale=c.routed_scaling_factor,
        groups=c.n_group or 1,
        kept_groups=c.topk_group or 1,
        group_best=2,
        corrected=True,
        wide=True,
        shared=llama.feedforward(c, c.moe_intermediate_size * c.n_shared_experts),
    )


def decoder(c: Any, mixer: spec.Latent, one: spec.FeedForward, many: spec.Experts, name: str) -> spec.Stack:
    """The first layers have one feed-forward, the others many."""
    dense, sparse = llama.block(c, mixer, one), llama.block(c, mixer, many)
    first = min(c.first_k_dense_replace or 0, c.num_hidden_layers)
    layers = (dense,) * first + (sparse,) * (c.num_hidden_layers - first)
    return replace(llama.decoder(c, layers, name), names=NAMES)


def stack(c: DeepseekV3Config) -> spec.Stack:
    """The decoder."""
    mixer, one = attention(c, bool(c.rope_interleave)), llama.feedforward(c, c.intermediate_size)
    return decoder(c, mixer, one, experts(c), "DeepseekV3DecoderLayer")


DEEPSEEK_V3 = register(
    replace(
        llama.LLAMA,
        model_type="deepseek_v3",
        name="DeepseekV3",
        config=DeepseekV3Config,
        assembly=Single(stack, routes=True),
        heads={key: head for key, head in llama.LLAMA.heads.items() if key != "ForQuestionAnswering"},
        # the layer that predicts further tokens, which the published checkpoint holds beside its 61
        ignored=(*llama.LLAMA.ignored, r"(^|\.)layers\.61\."),
        order=(*llama.LLAMA.order, ("experts", "gate", "shared_experts")),
    )
)
