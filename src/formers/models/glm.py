"""GLM (Zeng et al. 2024, arXiv:2406.12793) and GLM-4-0414, which has norms on both sides of its parts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from formers.assemblies.single import Single
from formers.models import llama
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal


class GlmConfig(llama.DecoderConfig):
    """Configuration of GLM."""

    model_type = "glm"
    keys_to_ignore_at_inference = ["past_key_values"]
    default_share = 0.5
    vocab_size: int = 151552
    intermediate_size: int = 13696
    num_hidden_layers: int = 40
    num_key_value_heads: int | None = 2
    head_dim: int | None = 128
    max_position_embeddings: int = 131072
    rms_norm_eps: float = 1.5625e-07
    pad_token_id: int | None = 151329
    eos_token_id: int | list[int] | None = None
    bos_token_id: int | None = None
    attention_bias: bool = True

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if self.eos_token_id is None:
            self.eos_token_id = [151329, 151336, 151338]


class Glm4Config(GlmConfig):
    """Configuration of GLM-4-0414."""

    model_type = "glm4"


NAMES = llama.NAMES.with_(
    layer={"gate": None, "up": None, "gate_up": "mlp.gate_up_proj", "act": "mlp.activation_fn"}
)
INSIDE = {"attention_inner": "post_self_attn_layernorm", "feedforward_inner": "post_mlp_layernorm"}


def decoder(
    c: GlmConfig, order: Literal["pre", "sandwich"], names: spec.Names, layer_class: str
) -> spec.Stack:
    """The decoder, with its norms in the given order."""
    norm = spec.Norm("rms", c.rms_norm_eps)
    attention = llama.attention(c, Causal(), c.attention_bias, adjacent=True, out_bias=False)
    feedforward = spec.FeedForward(c.intermediate_size, c.hidden_act, gated=True, fused=True, bias=False)
    layers = (spec.layer(attention, feedforward, norm, order),) * c.num_hidden_layers
    return llama.decoder(c, layers, layer_class, norm, names)


GLM = register(
    replace(
        llama.LLAMA,
        model_type="glm",
        name="Glm",
        config=GlmConfig,
        assembly=Single(lambda c: decoder(c, "pre", NAMES, "GlmDecoderLayer")),
        heads=llama.heads_of("ForCausalLM", "ForSequenceClassification", "ForTokenClassification"),
        order=(llama.LLAMA.order[0],),
    )
)
GLM4 = register(
    replace(
        GLM,
        model_type="glm4",
        name="Glm4",
        config=Glm4Config,
        assembly=Single(lambda c: decoder(c, "sandwich", NAMES.with_(layer=INSIDE), "Glm4DecoderLayer")),
        order=(("self_attn", "mlp", "input_layernorm", "post_attention_layernorm", *INSIDE.values()),),
    )
)
