"""Jamba (Lieber et al. 2024, arXiv:2403.19887): Mamba and attention by turns, and experts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models import llama, mixtral
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal


class HybridConfig(PretrainedConfig):
    """What the configurations of models with scans and attention have in common."""

    keys_to_ignore_at_inference = ["past_key_values"]
    vocab_size: int = 128000
    tie_word_embeddings: bool = False
    hidden_size: int = 4096
    intermediate_size: int = 14336
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int | None = 8
    hidden_act: str = "silu"
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-5
    use_cache: bool | None = True
    pad_token_id: int | None = 0
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    max_position_embeddings: int = 262144
    attention_dropout: float | None = 0.0
    mamba_d_conv: int = 4
    mamba_expand: int = 2
    mamba_conv_bias: bool = True
    mamba_proj_bias: bool = False


class JambaConfig(HybridConfig):
    """Configuration of Jamba."""

    model_type = "jamba"
    attribute_map = {"num_local_experts": "num_experts"}
    vocab_size: int = 65536
    rms_norm_eps: float = 1e-6
    output_router_logits: bool = False
    router_aux_loss_coef: float = 0.001
    num_experts_per_tok: int = 2
    num_experts: int = 16
    expert_layer_period: int = 2
    expert_layer_offset: int = 1
    attn_layer_period: int = 8
    attn_layer_offset: int = 4
    use_mamba_kernels: bool = True
    mamba_d_state: int = 16
    mamba_dt_rank: int | str = "auto"
    use_mambapy: bool = False
    use_associative_scan: bool = True

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if self.mamba_dt_rank == "auto":
            self.mamba_dt_rank = -(-self.hidden_size // 16)


INNER, SCAN = "feed_forward", "mamba"
FEEDFORWARD = {"gate": "gate_proj", "down": "down_proj", "up": "up_proj", "act": "act_fn"}
NAMES = llama.NAMES.with_(
    layer={
        "feedforward_norm": "pre_ff_layernorm",
        **{role: f"{INNER}.{name}" for role, name in FEEDFORWARD.items()},
        "in": f"{SCAN}.in_proj",
        "conv": f"{SCAN}.conv1d",
        "conv_act": f"{SCAN}.act",
        "decay": f"{SCAN}.A_log",
        "skip": f"{SCAN}.D",
        "out": f"{SCAN}.out_proj",
    },
    stack={"final_norm": "final_layernorm"},
)
NORMS = {"step_norm": "dt_layernorm", "writes_norm": "b_layernorm", "reads_norm": "c_layernorm"}
EXPERTS = {role: name for role, name in FEEDFORWARD.items() if role != "act"}
OWN = NAMES.with_(
    layer={
        **{role: f"{SCAN}.{name}" for role, name in NORMS.items()},
        "select": f"{SCAN}.x_proj",
        "step": f"{SCAN}.dt_proj",
        "mixture": INNER,
        "router": f"{INNER}.router",
        **{f"expert_{role}": f"{INNER}.experts.{{i}}.{name}" for role, name in EXPERTS.items()},
    },
    stack={"rotary": None},
)


def turns(count: int, period: int, offset: int, kind: str) -> list[bool]:
    """Which layers are of a kind: one of every period.

    Raises:
        ValueError: for a layer that is none of its period.
    """
    if offset >= period:
        raise ValueError(f"{kind}_layer_offset ({offset}) must be below {kind}_layer_period ({period})")
    return [i % period == offset for i in range(count)]


def stack(c: JambaConfig) -> spec.Stack:
    """The decoder."""
    scan = spec.Scan(
        c.mamba_expand * c.hidden_size,
        c.mamba_d_state,
        c.mamba_d_conv,
        int(c.mamba_dt_rank),
        activation=c.hidden_act,
        bias=c.mamba_proj_bias,
        conv_bias=c.mamba_conv_bias,
        norm=spec.Norm("rms", c.rms_norm_eps),
        steps=None,
    )
    dropout = c.attention_dropout or 0.0
    attention = spec.Attention(llama.heads(c), Causal(), dropout, bias=False, out_bias=False)
    dense = llama.feedforward(c, c.intermediate_size)
    many = c.num_experts > 1
    experts = spec.Experts(c.num_experts, c.num_experts_per_tok, dense, normalised=False) if many else dense
    made = {
        (attends, mixes): replace(
            llama.block(c, attention if attends else scan, experts if mixes else dense),
            name=f"Jamba{'Attention' if attends else 'Mamba'}DecoderLayer",
        )
        for attends in (True, False)
        for mixes in (True, False)
    }
    layers = tuple(
        made[pair]
        for pair in zip(
            turns(c.num_hidden_layers, c.attn_layer_period, c.attn_layer_offset, "attn"),
            turns(c.num_hidden_layers, c.expert_layer_period, c.expert_layer_offset, "expert"),
            strict=True,
        )
    )
    return llama.decoder(c, layers, "JambaMambaDecoderLayer", names=OWN)


JAMBA = register(
    Family(
        model_type="jamba",
        name="Jamba",
        config=JambaConfig,
        base="model",
        assembly=Single(stack, routes=True),
        heads={
            **llama.heads_of("ForSequenceClassification"),
            "ForCausalLM": Head("causal_lm", mixtral.words),
        },
        order=(
            ("self_attn", SCAN, INNER, "input_layernorm", "pre_ff_layernorm"),
            ("gate_proj", "up_proj", "down_proj"),
            ("conv1d", "in_proj", "x_proj", "dt_proj", "out_proj", *NORMS.values()),
        ),
    )
)
