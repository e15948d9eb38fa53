"""Phi (Li et al. 2023, arXiv:2309.05463): attention and feed-forward read one norm; heads turned by half."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.family import Head
from formers.assemblies.single import Single
from formers.models import llama
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal
from formers.tasks.specs import Words


class PhiConfig(llama.DecoderConfig):
    """Configuration of Phi."""

    model_type = "phi"
    keys_to_ignore_at_inference = ["past_key_values"]
    default_share = 0.5
    vocab_size: int = 51200
    hidden_size: int = 2048
    intermediate_size: int = 8192
    num_hidden_layers: int = 24
    resid_pdrop: float = 0.0
    embd_pdrop: float = 0.0
    hidden_act: str = "gelu_new"
    layer_norm_eps: float = 1e-5
    qk_layernorm: bool = False


NAMES = spec.Names(
    layers="layers",
    layer={
        "attention_norm": "input_layernorm",
        "q": "self_attn.q_proj",
        "k": "self_attn.k_proj",
        "v": "self_attn.v_proj",
        "q_norm": "self_attn.q_layernorm",
        "k_norm": "self_attn.k_layernorm",
        "o": "self_attn.dense",
        "attention_dropout": "resid_dropout",
        "up": "mlp.fc1",
        "act": "mlp.activation_fn",
        "down": "mlp.fc2",
        "feedforward_dropout": "resid_dropout",
    },
    embeddings={"token": "embed_tokens", "embedding_dropout": "embed_dropout"},
    stack={"final_norm": "final_layernorm", "rotary": "rotary_emb"},
)


def stack(c: PhiConfig) -> spec.Stack:
    """The decoder."""
    norm = spec.Norm("layer", c.layer_norm_eps)
    qk_norm = norm if c.qk_layernorm else None
    attention = llama.attention(c, Causal(), bias=True, qk_norm=qk_norm, heads_first=True)
    feedforward = spec.FeedForward(c.intermediate_size, c.hidden_act)
    layer = spec.layer(attention, feedforward, norm, "pre", dropout=c.resid_pdrop, reads="normed")
    layers = (layer,) * c.num_hidden_layers
    return llama.decoder(c, layers, "PhiDecoderLayer", norm, NAMES, dropout=c.embd_pdrop)


HEADS = llama.heads_of("ForSequenceClassification", "ForTokenClassification")
PHI = register(
    replace(
        llama.LLAMA,
        model_type="phi",
        name="Phi",
        config=PhiConfig,
        assembly=Single(stack),
        heads={"ForCausalLM": Head("causal_lm", lambda c: Words("lm_head")), **HEADS},
        order=(
            ("self_attn", "mlp", "input_layernorm"),
            ("q_proj", "k_proj", "v_proj", "dense", "q_layernorm", "k_layernorm"),
        ),
    )
)
