"""OLMoE (Muennighoff et al. 2024, arXiv:2409.02060): OLMo with norms of queries and keys, and experts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.family import Head
from formers.assemblies.single import Single
from formers.models import llama, mixtral, qwen3, qwen3_moe
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal


class OlmoeConfig(llama.DecoderConfig):
    """Configuration of OLMoE."""

    model_type = "olmoe"
    keys_to_ignore_at_inference = ["past_key_values"]
    attribute_map = {"num_local_experts": "num_experts"}
    vocab_size: int = 50304
    hidden_size: int = 2048
    intermediate_size: int = 2048
    num_hidden_layers: int = 16
    num_attention_heads: int = 16
    max_position_embeddings: int = 4096
    rms_norm_eps: float = 1e-5
    pad_token_id: int | None = 1
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = 50279
    attention_bias: bool = False
    clip_qkv: float | None = None
    num_experts_per_tok: int = 8
    num_experts: int = 64
    output_router_logits: bool = False
    router_aux_loss_coef: float = 0.01
    norm_topk_prob: bool = False


def stack(c: OlmoeConfig) -> spec.Stack:
    """The decoder."""
    norm = spec.Norm("rms", c.rms_norm_eps)
    normed: dict[str, Any] = {"qk_norm": norm, "qk_norm_over": "all"}
    clips: dict[str, Any] = {"clip": c.clip_qkv, "clip_normed": True}
    mixer = llama.attention(c, Causal(), c.attention_bias, **normed, **clips)
    each = llama.feedforward(c, c.intermediate_size)
    experts = spec.Experts(c.num_experts, c.num_experts_per_tok, each, normalised=c.norm_topk_prob, flat=True)
    layers = (llama.block(c, mixer, experts),) * c.num_hidden_layers
    return llama.decoder(c, layers, "OlmoeDecoderLayer", norm, qwen3_moe.NAMES)


OLMOE = register(
    replace(
        llama.LLAMA,
        model_type="olmoe",
        name="Olmoe",
        config=OlmoeConfig,
        assembly=Single(stack, routes=True),
        heads={"ForCausalLM": Head("causal_lm", mixtral.words)},
        order=(llama.LLAMA.order[0], qwen3.ORDER, ("gate", "experts"), llama.LLAMA.order[1]),
    )
)
