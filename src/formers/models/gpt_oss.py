"""gpt-oss (OpenAI 2025, arXiv:2508.10925): experts in every layer, windows in turn, sinks in attention."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.family import Head
from formers.assemblies.single import Single
from formers.models import llama, mixtral
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal


class GptOssConfig(llama.DecoderConfig):
    """Configuration of gpt-oss. Layers see a window and everything in turn, where `layer_types` is None."""

    model_type = "gpt_oss"
    attribute_map = {"num_experts": "num_local_experts"}
    default_theta = 150000.0
    _available = {"hidden_act": ("silu",)}  # the experts' own gate has no other
    vocab_size: int = 201088
    hidden_size: int = 2880
    intermediate_size: int = 2880
    num_hidden_layers: int = 36
    num_attention_heads: int = 64
    num_key_value_heads: int | None = 8
    head_dim: int | None = 64
    max_position_embeddings: int = 131072
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    rms_norm_eps: float = 1e-5
    sliding_window: int | None = 128
    layer_types: list[str] | None = None
    attention_bias: bool = True
    num_local_experts: int = 128
    num_experts_per_tok: int = 4
    swiglu_alpha: float = 1.702
    swiglu_limit: float = 7.0
    output_router_logits: bool = False
    router_aux_loss_coef: float = 0.001

    def __init__(self, **values: Any) -> None:
        if values.get("rope_parameters") is None and values.get("rope_scaling") is None:
            yarn = {"rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0}
            trained = {"truncate": False, "original_max_position_embeddings": 4096}
            values["rope_parameters"] = {**yarn, **trained}
        super().__init__(**values)
        if self.layer_types is None:
            turns = ("sliding_attention", "full_attention")
            self.layer_types = [turns[i % 2] for i in range(self.num_hidden_layers)]


NAMES = llama.NAMES.with_(
    layer={
        "sinks": "self_attn.sinks",
        "mixture": "mlp",
        "router": "mlp.router",
        **{f"expert_{role}": f"mlp.experts.{role}_proj" for role in ("gate_up", "down")},
        **{f"expert_{role}_bias": f"mlp.experts.{role}_proj_bias" for role in ("gate_up", "down")},
    }
)


def stack(c: GptOssConfig) -> spec.Stack:
    """The decoder."""
    norm = spec.Norm("rms", c.rms_norm_eps, wide=True)
    clamp = (c.swiglu_limit, c.swiglu_alpha)
    each = spec.FeedForward(c.intermediate_size, gated=True, fused=True, alternating=True, clamp=clamp)
    experts = spec.Experts(
        c.num_local_experts,
        c.num_experts_per_tok,
        each,
        stacked="columns",
        router_bias=True,
        scores="softmax of chosen",
    )
    masks = {"full_attention": Causal(), "sliding_attention": Causal(c.sliding_window)}
    kinds = {
        kind: spec.layer(llama.attention(c, mask, c.attention_bias, sinks=True), experts, norm, order="pre")
        for kind, mask in masks.items()
    }
    return llama.decoder(c, llama.by_kind(c, kinds), "GptOssDecoderLayer", norm, NAMES)


GPT_OSS = register(
    replace(
        llama.LLAMA,
        model_type="gpt_oss",
        name="GptOss",
        config=GptOssConfig,
        assembly=Single(stack, routes=True),
        heads={
            **llama.heads_of("ForSequenceClassification", "ForTokenClassification"),
            "ForCausalLM": Head("causal_lm", mixtral.words),
        },
        order=(*llama.LLAMA.order, ("router", "experts")),
    )
)
