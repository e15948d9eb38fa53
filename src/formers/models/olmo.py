"""OLMo (Groeneveld et al. 2024, arXiv:2402.00838): LLaMA with norms that learn nothing."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.single import Single
from formers.models import llama
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal


class OlmoConfig(llama.DecoderConfig):
    """Configuration of OLMo."""

    model_type = "olmo"
    keys_to_ignore_at_inference = ["past_key_values"]
    vocab_size: int = 50304
    pad_token_id: int | None = 1
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = 50279
    attention_bias: bool = False
    clip_qkv: float | None = None


def stack(c: OlmoConfig) -> spec.Stack:
    """The decoder."""
    norm = spec.Norm("layer", 1e-5, weight=False, bias=False)
    attention = llama.attention(c, Causal(), c.attention_bias, clip=c.clip_qkv)
    feedforward = spec.FeedForward(c.intermediate_size, c.hidden_act, gated=True, bias=False)
    layers = (spec.layer(attention, feedforward, norm, order="pre"),) * c.num_hidden_layers
    return llama.decoder(c, layers, "OlmoDecoderLayer", norm)


OLMO = register(
    replace(
        llama.LLAMA,
        model_type="olmo",
        name="Olmo",
        config=OlmoConfig,
        assembly=Single(stack),
        heads=llama.heads_of("ForCausalLM", "ForSequenceClassification"),
    )
)
