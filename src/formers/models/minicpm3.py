"""MiniCPM3 (Hu et al. 2024, arXiv:2404.06395): latent attention; vectors, branches and states scaled."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from formers.assemblies.family import Head
from formers.assemblies.single import Single
from formers.models import deepseek_v3, llama
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.specs import Words


class MiniCPM3Config(llama.DecoderConfig):
    """Configuration of MiniCPM3. Each of the three scales is none where it is None."""

    model_type = "minicpm3"
    keys_to_ignore_at_inference = ["past_key_values"]
    vocab_size: int = 73448
    hidden_size: int = 2560
    intermediate_size: int = 6400
    num_hidden_layers: int = 62
    num_attention_heads: int = 40
    num_key_value_heads: int | None = 40
    max_position_embeddings: int = 32768
    initializer_range: float = 0.1
    rms_norm_eps: float = 1e-5
    pretraining_tp: int | None = 1
    tie_word_embeddings: bool = True
    attention_bias: bool = False
    mlp_bias: bool = False
    head_dim: int | None = None
    kv_lora_rank: int = 256
    q_lora_rank: int | None = 768
    qk_nope_head_dim: int = 64
    qk_rope_head_dim: int = 32
    v_head_dim: int | None = None
    scale_emb: float = 12.0
    scale_depth: float | None = 1.4
    dim_model_base: int | None = 256

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.head_dim = self.qk_rope_head_dim
        self.qk_head_dim = self.qk_nope_head_dim + self.qk_rope_head_dim
        self.num_key_value_heads = self.num_key_value_heads or self.num_attention_heads
        self.v_head_dim = self.v_head_dim or self.hidden_size // self.num_attention_heads
        if self.scale_depth is None:
            self.scale_depth = math.sqrt(self.num_hidden_layers)
        if self.dim_model_base is None:
            self.dim_model_base = self.hidden_size


def stack(c: MiniCPM3Config) -> spec.Stack:
    """The decoder."""
    factor = (c.scale_depth or 0.0) / math.sqrt(c.num_hidden_layers)
    feedforward = llama.feedforward(c, c.intermediate_size, c.mlp_bias)
    norm = spec.Norm("rms", c.rms_norm_eps)
    mixer = deepseek_v3.attention(c, adjacent=False)
    layer = spec.layer(mixer, feedforward, norm, order="pre", scale=factor)
    names = llama.NAMES.with_(layer=deepseek_v3.ATTENTION)
    layers = (layer,) * c.num_hidden_layers
    return llama.decoder(c, layers, "MiniCPM3DecoderLayer", norm, names, scale=c.scale_emb)


def words(c: MiniCPM3Config) -> Words:
    """States are scaled by the width of the model that the settings were found with."""
    return Words("lm_head", bias=False, scale=(c.dim_model_base or c.hidden_size) / c.hidden_size)


MINICPM3 = register(
    replace(
        llama.LLAMA,
        model_type="minicpm3",
        name="MiniCPM3",
        config=MiniCPM3Config,
        assembly=Single(stack),
        heads={**llama.heads_of("ForSequenceClassification"), "ForCausalLM": Head("causal_lm", words)},
    )
)
