"""DBRX (Databricks 2024): fused, clipped projections, layer norms without a bias, stacked experts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from formers.assemblies.family import Head
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models import llama
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal
from formers.nn.positions import Rotary
from formers.tasks.specs import Words


class DbrxAttentionConfig(PretrainedConfig):
    """What a DBRX config says of attention. `rope_theta`, where it is set, is the base of its positions."""

    attn_pdrop: float = 0.0
    clip_qkv: float | None = None
    kv_n_heads: int = 1
    rope_theta: float | None = None


class DbrxFFNConfig(PretrainedConfig):
    """What a DBRX config says of its experts."""

    hidden_size: int = 6144
    ffn_act_fn: dict[str, Any] | None = None
    ffn_hidden_size: int = 3584
    moe_num_experts: int = 4
    moe_top_k: int = 1
    moe_jitter_eps: float | None = None
    moe_loss_weight: float = 0.01
    moe_normalize_expert_weights: float | None = 1.0

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.ffn_act_fn = self.ffn_act_fn or {"name": "silu"}


class DbrxConfig(PretrainedConfig):
    """Configuration of DBRX."""

    model_type = "dbrx"
    sub_configs: ClassVar[dict[str, Any]] = {"attn_config": DbrxAttentionConfig, "ffn_config": DbrxFFNConfig}
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {"attn_config": {}, "ffn_config": {}}
    attribute_map = {
        "num_attention_heads": "n_heads",
        "hidden_size": "d_model",
        "num_hidden_layers": "n_layers",
        "max_position_embeddings": "max_seq_len",
    }
    _available = {
        "tie_word_embeddings": (False,),  # the table of logits is its own
        "emb_pdrop": (0.0, None),  # nothing is dropped before the first layer
    }
    d_model: int = 2048
    n_heads: int = 16
    n_layers: int = 24
    max_seq_len: int = 2048
    vocab_size: int = 32000
    resid_pdrop: float | None = 0.0
    emb_pdrop: float | None = 0.0
    use_cache: bool = True
    initializer_range: float = 0.02
    output_router_logits: bool | None = False
    rope_parameters: dict[str, Any] | None = None
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    tie_word_embeddings: bool = False

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.ffn_config.hidden_size = self.d_model
        self.num_key_value_heads = self.attn_config.kv_n_heads


FIRST = "norm_attn_norm"
NAMES = spec.Names(
    layers="blocks",
    layer={
        "attention_norm": f"{FIRST}.norm_1",
        "qkv": f"{FIRST}.attn.Wqkv",
        "o": f"{FIRST}.attn.out_proj",
        "feedforward_norm": f"{FIRST}.norm_2",
        "mixture": "ffn",
        "router": "ffn.router.layer",
        "expert_gate": "ffn.experts.mlp.w1",
        "expert_up": "ffn.experts.mlp.v1",
        "expert_down": "ffn.experts.mlp.w2",
    },
    embeddings={"token": "wte"},
    stack={"final_norm": "norm_f", "rotary": "rotary_emb"},
)


def experts(c: Any) -> spec.Experts:
    """Three tensors hold all experts."""
    act = c.ffn_act_fn.get("name", "silu")
    order = c.moe_normalize_expert_weights
    return spec.Experts(
        c.moe_num_experts,
        c.moe_top_k,
        spec.FeedForward(c.ffn_hidden_size, act, gated=True, bias=False),
        stacked="flat",
        normalised=order is not None,
        order=order or 1.0,
        jitter=c.moe_jitter_eps or 0.0,
    )


def stack(c: DbrxConfig) -> spec.Stack:
    """The decoder."""
    own, heads = c.attn_config, spec.Heads(c.n_heads, c.attn_config.kv_n_heads, c.d_model // c.n_heads)
    theta = {} if own.rope_theta is None else {"rope_theta": own.rope_theta}
    mixer = spec.Attention(
        heads,
        mask=Causal(),
        dropout=own.attn_pdrop,
        bias=False,
        out_bias=False,
        fused="blocks",
        clip=own.clip_qkv,
        rotary=Rotary.of(heads.width, {**(c.rope_parameters or {}), **theta}, c.max_seq_len),
    )
    norm = spec.Norm("layer", 1e-5, bias=False)
    layer = spec.layer(mixer, experts(c.ffn_config), norm, order="pre", dropout=c.resid_pdrop or 0.0)
    return llama.decoder(c, (layer,) * c.n_layers, "DbrxBlock", norm, NAMES)


def words(c: DbrxConfig) -> Words:
    """Logits, and what it costs to use experts unevenly."""
    cost = (c.ffn_config.moe_top_k, c.ffn_config.moe_loss_weight)
    return Words("lm_head", bias=False, tied=False, balance=cost)


DBRX = register(
    replace(
        llama.LLAMA,
        model_type="dbrx",
        name="Dbrx",
        config=DbrxConfig,
        base="transformer",
        assembly=Single(stack, routes=True),
        heads={"ForCausalLM": Head("causal_lm", words)},
        order=(("norm_1", "attn", "norm_2"), ("w1", "v1", "w2")),
    )
)
