"""Phi-3 (Abdin et al. 2024, arXiv:2404.14219): LLaMA with joined projections, dropout, windows, LongRoPE."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.single import Single
from formers.models import llama
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal
from formers.nn.positions import Rotary


class Phi3Config(llama.DecoderConfig):
    """Configuration of Phi-3."""

    model_type = "phi3"
    keys_to_ignore_at_inference = ["past_key_values"]
    default_share = 1.0
    vocab_size: int = 32064
    hidden_size: int = 3072
    intermediate_size: int = 8192
    resid_pdrop: float = 0.0
    embd_pdrop: float = 0.0
    max_position_embeddings: int = 4096
    original_max_position_embeddings: int = 4096
    rms_norm_eps: float = 1e-5
    eos_token_id: int | list[int] | None = 32000
    pad_token_id: int | None = 32000
    sliding_window: int | None = None

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        rope = self.rope_parameters or {}
        if rope.get("rope_type") in ("su", "yarn"):  # what the first files call it
            rope["rope_type"] = "longrope"


NAMES = llama.NAMES.with_(
    layer={
        "q": None,
        "k": None,
        "v": None,
        "qkv": "self_attn.qkv_proj",
        "attention_dropout": "resid_attn_dropout",
        "gate": None,
        "up": None,
        "gate_up": "mlp.gate_up_proj",
        "act": "mlp.activation_fn",
        "feedforward_dropout": "resid_mlp_dropout",
    }
)


def stack(c: Phi3Config) -> spec.Stack:
    """The decoder."""
    norm = spec.Norm("rms", c.rms_norm_eps)
    trained = {"original_max_position_embeddings": c.original_max_position_embeddings}
    rotary = Rotary.of(
        llama.heads(c).width, {**trained, **(c.rope_parameters or {})}, c.max_position_embeddings
    )
    attention = llama.attention(c, Causal(c.sliding_window), rotary=rotary, fused="blocks")
    feedforward = spec.FeedForward(c.intermediate_size, c.hidden_act, gated=True, fused=True, bias=False)
    layer = spec.layer(attention, feedforward, norm, order="pre", dropout=c.resid_pdrop)
    return llama.decoder(c, (layer,) * c.num_hidden_layers, "Phi3DecoderLayer", norm, NAMES)


PHI3 = register(
    replace(
        llama.LLAMA,
        model_type="phi3",
        name="Phi3",
        config=Phi3Config,
        assembly=Single(stack),
        heads=llama.heads_of("ForCausalLM", "ForSequenceClassification", "ForTokenClassification"),
        order=(
            ("self_attn", "mlp", "input_layernorm", "post_attention_layernorm"),
            ("o_proj", "qkv_proj"),
        ),
    )
)
