"""OLMo 2 (Walsh et al. 2025, arXiv:2501.00656): norms of what a part returns, and of all queries and keys."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.single import Single
from formers.models import llama, olmo
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal


class Olmo2Config(llama.DecoderConfig):
    """Configuration of OLMo 2."""

    model_type = "olmo2"
    keys_to_ignore_at_inference = ["past_key_values"]
    vocab_size: int = 50304
    pad_token_id: int | None = 1
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = 50279
    attention_bias: bool = False
    rms_norm_eps: float = 1e-5


NAMES = llama.NAMES.with_(
    layer={
        "attention_norm": None,
        "feedforward_norm": None,
        "q_norm": "self_attn.q_norm",
        "k_norm": "self_attn.k_norm",
        "attention_inner": "post_attention_layernorm",
        "feedforward_inner": "post_feedforward_layernorm",
    }
)


def layer(c: Olmo2Config, kind: str = "", window: int | None = None) -> spec.Layer:
    """A layer, of a kind that may have rotary settings of its own."""
    norm = spec.Norm("rms", c.rms_norm_eps, wide=True)
    normed: dict[str, Any] = {"qk_norm": norm, "qk_norm_over": "all"}
    attention = llama.attention(c, Causal(window), c.attention_bias, kind=kind, **normed)
    return spec.layer(attention, llama.feedforward(c, c.intermediate_size), norm, order="inside")


def decoder(c: Olmo2Config, layers: tuple[spec.Layer, ...], layer_class: str) -> spec.Stack:
    """The layers over a token table, and a norm."""
    return llama.decoder(c, layers, layer_class, spec.Norm("rms", c.rms_norm_eps, wide=True), NAMES)


def stack(c: Olmo2Config) -> spec.Stack:
    """The decoder."""
    return decoder(c, (layer(c),) * c.num_hidden_layers, "Olmo2DecoderLayer")


OLMO2 = register(
    replace(
        olmo.OLMO,
        model_type="olmo2",
        name="Olmo2",
        config=Olmo2Config,
        assembly=Single(stack),
        order=(
            ("self_attn", "mlp", "post_attention_layernorm", "post_feedforward_layernorm"),
            ("q_proj", "k_proj", "v_proj", "o_proj", "q_norm", "k_norm"),
            llama.LLAMA.order[1],
        ),
    )
)
