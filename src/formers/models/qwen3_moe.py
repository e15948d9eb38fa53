"""Qwen3-MoE (Yang et al. 2025, arXiv:2505.09388): Qwen3 with a mixture of experts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.single import Single
from formers.models import llama, qwen2_moe, qwen3
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal


class Qwen3MoeConfig(llama.DecoderConfig):
    """Configuration of Qwen3-MoE. A window, where one is used, is that of every layer."""

    model_type = "qwen3_moe"
    keys_to_ignore_at_inference = ["past_key_values"]
    attribute_map = {"num_experts": "num_local_experts"}
    gguf_defaults = {"norm_topk_prob": True}
    vocab_size: int = 151936
    hidden_size: int = 2048
    intermediate_size: int = 6144
    num_hidden_layers: int = 24
    num_key_value_heads: int | None = 4
    max_position_embeddings: int = 32768
    rms_norm_eps: float = 1e-6
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    attention_bias: bool = False
    use_sliding_window: bool = False
    sliding_window: int | None = 4096
    decoder_sparse_step: int = 1
    moe_intermediate_size: int = 768
    num_experts_per_tok: int = 8
    num_local_experts: int = 128
    norm_topk_prob: bool = False
    output_router_logits: bool = False
    router_aux_loss_coef: float = 0.001
    mlp_only_layers: list[int] | None = None

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.mlp_only_layers = self.mlp_only_layers or []
        self.sliding_window = self.sliding_window if self.use_sliding_window else None


SHARED = {role: None for role in qwen2_moe.NAMES.layer if "share" in role}
NAMES = qwen2_moe.NAMES.with_(layer={**SHARED, **qwen3.NORMS})


def stack(c: Qwen3MoeConfig) -> spec.Stack:
    """The decoder."""
    norm = spec.Norm("rms", c.rms_norm_eps)
    mixer = llama.attention(c, Causal(c.sliding_window), c.attention_bias, qk_norm=norm)
    count = c.num_hidden_layers
    layers = tuple(llama.block(c, mixer, qwen2_moe.feedforward(c, i)) for i in range(count))
    return llama.decoder(c, layers, "Qwen3MoeDecoderLayer", norm, NAMES)


QWEN3_MOE = register(
    replace(
        qwen2_moe.QWEN2_MOE,
        model_type="qwen3_moe",
        name="Qwen3Moe",
        config=Qwen3MoeConfig,
        assembly=Single(stack, routes=True),
        heads={**llama.HEADS, "ForCausalLM": qwen2_moe.QWEN2_MOE.heads["ForCausalLM"]},
        order=(*llama.LLAMA.order, qwen3.ORDER, ("gate", "experts")),
    )
)
