"""Falcon-H1 (Zuo et al. 2025, arXiv:2507.22448): Mamba-2 and attention side by side in every layer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.family import Head
from formers.assemblies.single import Single
from formers.models import bamba, llama
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal
from formers.tasks.specs import Words


class FalconH1Config(bamba.HeadedConfig):
    """Configuration of Falcon-H1."""

    model_type = "falcon_h1"
    max_position_embeddings: int = 8192
    mamba_d_ssm: int | None = 1024
    mamba_norm_before_gate: bool = True
    mamba_rms_norm: bool = False
    projectors_bias: bool = False
    lm_head_multiplier: float = 1.0
    embedding_multiplier: float = 1.0
    mlp_multipliers: list[float] | None = None
    key_multiplier: float = 1.0
    attention_out_multiplier: float = 1.0
    attention_in_multiplier: float = 1.0
    ssm_multipliers: list[float] | None = None
    ssm_in_multiplier: float = 1.0
    ssm_out_multiplier: float = 1.0

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.mlp_multipliers = self.mlp_multipliers or [1.0] * 2
        self.ssm_multipliers = self.ssm_multipliers or [1.0] * 5

    @property
    def inner(self) -> int:
        """Features that are scanned."""
        return super().inner if self.mamba_d_ssm is None else self.mamba_d_ssm

    @property
    def layers_block_type(self) -> list[str]:
        """What each layer is."""
        return ["hybrid"] * self.num_hidden_layers


NAMES = bamba.NAMES.with_(layer={"scan_norm": "input_layernorm", "feedforward_scale": "feed_forward"})


def stack(c: FalconH1Config) -> spec.Stack:
    """The decoder."""
    norm = spec.Norm("rms", c.rms_norm_eps)
    scan = bamba.scan(
        c,
        out_bias=c.projectors_bias,
        norm=replace(norm, wide=True) if c.mamba_rms_norm else None,
        norm_first=c.mamba_norm_before_gate,
        scale_in=c.ssm_in_multiplier,
        scales=tuple(c.ssm_multipliers or ()),
    )
    sharper = c.key_multiplier * llama.heads(c).width ** -0.5
    attention = llama.attention(c, Causal(), c.attention_bias, scale=sharper)
    opened, closed = c.mlp_multipliers or (1.0, 1.0)
    inner = replace(llama.feedforward(c, c.intermediate_size, c.mlp_bias), scale_gate=opened, scale=closed)
    beside = spec.Part(attention, "attention", reads="normed", scale=c.attention_out_multiplier)
    parts = (
        spec.Part(scan, "scan", norm, scale=c.ssm_out_multiplier),
        replace(beside, scale_in=c.attention_in_multiplier),
        spec.Part(inner, "feedforward", norm),
    )
    layers = (spec.Layer(parts),) * c.num_hidden_layers
    tokens = {"scale": c.embedding_multiplier, "scale_given": False}
    return llama.decoder(c, layers, "FalconH1DecoderLayer", norm, NAMES, **tokens)


WORDS = Head("causal_lm", lambda c: Words("lm_head", bias=False, logits_scale=c.lm_head_multiplier))
FALCON_H1 = register(
    replace(
        bamba.BAMBA,
        model_type="falcon_h1",
        name="FalconH1",
        config=FalconH1Config,
        assembly=Single(stack),
        heads={"ForCausalLM": WORDS},
        order=(
            ("feed_forward", "mamba", "self_attn", "input_layernorm", "pre_ff_layernorm"),
            ("gate_proj", "up_proj", "down_proj"),
        ),
    )
)
