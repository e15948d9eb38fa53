"""Llama 4 (Meta AI 2025), its text model: chunks and layers without positions in turn, one expert a token."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.single import Single
from formers.models import llama
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal, CausalChunk, Mask


class Llama4TextConfig(llama.DecoderConfig):
    """Configuration of Llama 4's text model. What is None by default follows from the other fields."""

    model_type = "llama4_text"
    keys_to_ignore_at_inference = ["past_key_values"]
    default_theta = 500000.0
    # the models were trained without it, and the ecosystem's class does not read it
    _available = {"router_jitter_noise": (0.0,)}
    vocab_size: int = 202048
    hidden_size: int = 5120
    intermediate_size: int = 8192
    intermediate_size_mlp: int = 16384
    num_hidden_layers: int = 48
    num_attention_heads: int = 40
    num_key_value_heads: int | None = 8
    head_dim: int | None = 128
    max_position_embeddings: int = 131072
    rms_norm_eps: float = 1e-5
    num_experts_per_tok: int = 1
    num_local_experts: int = 16
    moe_layers: list[int] | None = None
    interleave_moe_layer_step: int = 1
    use_qk_norm: bool = True
    output_router_logits: bool = False
    router_aux_loss_coef: float = 0.001
    router_jitter_noise: float = 0.0
    no_rope_layers: list[int] | None = None
    no_rope_layer_interval: int = 4
    attention_chunk_size: int | None = 8192
    layer_types: list[str] | None = None
    attn_temperature_tuning: bool = True
    floor_scale: int = 8192
    attn_scale: float = 0.1
    attention_bias: bool = False

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        count, step = self.num_hidden_layers, self.interleave_moe_layer_step
        if self.num_key_value_heads is None:
            self.num_key_value_heads = self.num_attention_heads
        if self.head_dim is None:
            self.head_dim = self.hidden_size // self.num_attention_heads
        if not self.no_rope_layers:
            every = self.no_rope_layer_interval
            self.no_rope_layers = [int((i + 1) % every != 0) for i in range(count)]
        if self.moe_layers is None:
            self.moe_layers = list(range(step - 1, count, step))
        if self.layer_types is None:
            kinds = ("full_attention", "chunked_attention")
            self.layer_types = [kinds[bool(turned)] for turned in self.no_rope_layers]


HERE = "feed_forward"
_PROJECTIONS = ("gate", "up", "down")
NAMES = llama.NAMES.with_(
    layer={
        "q_norm": "self_attn.qk_norm",
        "k_norm": "self_attn.qk_norm",
        **{role: f"{HERE}.{role}_proj" for role in _PROJECTIONS},
        "act": f"{HERE}.activation_fn",
        "mixture": HERE,
        "router": f"{HERE}.router",
        **{f"expert_{role}": f"{HERE}.experts.{role}_proj" for role in ("gate_up", "down")},
        **{f"shared_{role}": f"{HERE}.shared_expert.{role}_proj" for role in _PROJECTIONS},
        "shared_act": f"{HERE}.shared_expert.activation_fn",
    }
)


def attention(c: Llama4TextConfig, turned: bool, mask: Mask) -> spec.Attention:
    """Turned by positions and then normed; or neither, and warmer the further it looks back."""
    if turned:
        norm = spec.Norm("rms", c.rms_norm_eps, weight=False) if c.use_qk_norm else None
        more: dict[str, Any] = {"qk_norm": norm, "qk_norm_last": norm is not None}
    else:
        warmth = (c.attn_scale, float(c.floor_scale)) if c.attn_temperature_tuning else None
        more = {"rotary": None, "warmth": warmth}
    return llama.attention(c, mask, c.attention_bias, adjacent=True, **more)


def stack(c: Llama4TextConfig) -> spec.Stack:
    """The decoder."""
    each = llama.feedforward(c, c.intermediate_size)
    experts = spec.Experts(
        c.num_local_experts,
        c.num_experts_per_tok,
        replace(each, fused=True),
        stacked="columns",
        scores="sigmoid",
        normalised=False,
        weighs="inputs",
        shared=each,
        flat=True,
    )
    dense = llama.feedforward(c, c.intermediate_size_mlp)
    kinds: dict[str, Mask] = {"full_attention": Causal()}
    if c.attention_chunk_size:
        kinds["chunked_attention"] = CausalChunk(size=c.attention_chunk_size)
    turned = llama.by_kind(c, {0: False, 1: True}, "no_rope_layers")
    mixers = [attention(c, *pair) for pair in zip(turned, llama.by_kind(c, kinds), strict=True)]
    mixed = set(c.moe_layers or ())
    layers = (llama.block(c, mixer, experts if i in mixed else dense) for i, mixer in enumerate(mixers))
    return llama.decoder(c, tuple(layers), "Llama4TextDecoderLayer", names=NAMES)


LLAMA4 = register(
    replace(
        llama.LLAMA,
        model_type="llama4_text",
        name="Llama4",
        config=Llama4TextConfig,
        assembly=Single(stack, routes=True),
        heads=llama.heads_of("ForCausalLM"),
        spelt={"Model": "Llama4TextModel"},
        order=(
            ("self_attn", HERE, "input_layernorm", "post_attention_layernorm"),
            ("experts", "router", "shared_expert"),
            ("gate_up_proj", "gate_proj", "up_proj", "down_proj"),
        ),
    )
)
