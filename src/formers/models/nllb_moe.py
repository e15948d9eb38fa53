"""NLLB-MoE (NLLB Team 2022, arXiv:2207.04672, section 6.2): M2M-100, some of whose layers have experts."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from formers.assemblies.encoder_decoder import EncoderDecoder
from formers.assemblies.family import Head
from formers.models import bart, m2m_100
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.specs import Words


class NllbMoeConfig(m2m_100.M2M100Config):
    """Configuration of NLLB-MoE. It was trained without a loss of `router_z_loss_coef`, and none is added."""

    model_type = "nllb-moe"
    _available = {"router_dtype": ("float32",), "second_expert_policy": ("all", "sampling", "random")}
    router_bias: bool = False
    router_dtype: str = "float32"
    router_ignore_padding_tokens: bool = False
    num_experts: int = 128
    expert_capacity: int | None = 64
    encoder_sparse_step: int = 4
    decoder_sparse_step: int = 4
    router_z_loss_coef: float = 0.001
    router_aux_loss_coef: float = 0.001
    second_expert_policy: Literal["all", "sampling", "random"] = "all"
    normalize_router_prob_before_dropping: bool = False
    batch_prioritized_routing: bool = False
    moe_eval_capacity_token_fraction: float = 1.0
    moe_token_dropout: float = 0.2
    output_router_logits: bool = False


CROSS = {
    role: path.replace("encoder_attn", "cross_attention")
    for role, path in bart.NAMES.layer.items()
    if path and role.startswith("cross_")
}
READ = {"up": "fc1", "act": "act", "inner_dropout": "dropout", "down": "fc2"}
NAMES = bart.PRE_NORM.with_(
    layer={
        **CROSS,
        **{role: f"ffn.{path}" for role, path in READ.items()},
        **{f"expert_{role}": f"ffn.experts.expert_{{i}}.{path}" for role, path in READ.items()},
        "expert_dropout": "ffn.experts.token_dropout",
        "router": "ffn.router.classifier",
        "mixture": "ffn",
        "attention_dropout": "attn_dropout",
        "cross_dropout": "attn_dropout",
        "feedforward_norm": "ff_layer_norm",
        "feedforward_dropout": "ff_dropout",
    }
)


def experts(c: NllbMoeConfig, each: spec.FeedForward) -> spec.Experts:
    """Two for every token, as long as they have room."""
    return spec.Experts(
        c.num_experts,
        2,
        each,
        router_bias=c.router_bias,
        wide=True,
        two=spec.TopTwo(
            c.second_expert_policy,
            early=c.normalize_router_prob_before_dropping,
            surest=c.batch_prioritized_routing,
            room=c.expert_capacity,
            share=c.moe_eval_capacity_token_fraction,
        ),
        dropout=c.moe_token_dropout,
        reads_padding=c.router_ignore_padding_tokens,
    )


def half(c: NllbMoeConfig, decoder: bool) -> spec.Stack:
    """The encoder or the decoder: the last of every `sparse_step` layers has experts."""
    made = bart.stack(c, decoder, "NllbMoe", m2m_100.tokens(c), NAMES, "pre")
    step = c.decoder_sparse_step if decoder else c.encoder_sparse_step
    *parts, last = bart.layer(c, decoder, "pre").parts
    each = last.mixer
    assert isinstance(each, spec.FeedForward)
    dense, sparse = (
        spec.Layer((*parts, replace(last, mixer=mixer, dropout=c.activation_dropout)))
        for mixer in (each, experts(c, each))
    )
    layers = (dense if (i + 1) % step else sparse for i in range(len(made.layers)))
    return replace(made, layers=tuple(layers))


def words(c: NllbMoeConfig) -> Words:
    """The token table, and what routers cost."""
    return Words("lm_head", bias=False, balance=(2, c.router_aux_loss_coef), steady=None)


NLLB_MOE = register(
    replace(
        m2m_100.M2M100,
        model_type="nllb-moe",
        name="NllbMoe",
        config=NllbMoeConfig,
        assembly=EncoderDecoder(half, may_untie=True, routes=True, flat=True),
        heads={"ForConditionalGeneration": Head("seq2seq_lm", words)},
        order=(
            bart.ORDER[0],
            (
                "self_attn",
                "self_attn_layer_norm",
                "cross_attention",
                "cross_attention_layer_norm",
                "ffn",
                "ff_layer_norm",
            ),
        ),
    )
)
