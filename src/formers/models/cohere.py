"""Command R (Cohere 2024) and Command R7B (Cohere 2, 2024), which sees windows by turns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.family import Head
from formers.assemblies.single import Single
from formers.models import llama
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal
from formers.tasks.specs import Words


class _Config(llama.DecoderConfig):
    keys_to_ignore_at_inference = ["past_key_values"]
    vocab_size: int = 256000
    hidden_size: int = 8192
    intermediate_size: int = 22528
    logit_scale: float = 0.0625
    num_hidden_layers: int = 40
    num_attention_heads: int = 64
    max_position_embeddings: int = 8192
    layer_norm_eps: float = 1e-5
    pad_token_id: int | None = 0
    bos_token_id: int | None = 5
    eos_token_id: int | list[int] | None = 255001
    tie_word_embeddings: bool = True
    attention_bias: bool = False


class CohereConfig(_Config):
    """Configuration of Command R."""

    model_type = "cohere"
    default_theta = 500000.0
    use_qk_norm: bool | None = False


class Cohere2Config(_Config):
    """Configuration of Command R7B. Every fourth layer sees everything, and has no positions."""

    model_type = "cohere2"
    sliding_window: int | None = 4096
    layer_types: list[str] | None = None

    def __init__(self, sliding_window_pattern: int = 4, **values: Any) -> None:
        super().__init__(**values)
        if self.layer_types is None:
            kinds = ("full_attention", "sliding_attention")
            self.layer_types = [
                kinds[bool((i + 1) % sliding_window_pattern)] for i in range(self.num_hidden_layers)
            ]


NAMES = llama.NAMES.with_(
    layer={"q_norm": "self_attn.q_norm", "k_norm": "self_attn.k_norm", "feedforward_norm": None}
)


def layer(c: Any, **attention: Any) -> spec.Layer:
    """Attention and feed-forward read one norm."""
    norm = spec.Norm("layer", c.layer_norm_eps, bias=False)
    mixer = llama.attention(c, Causal(), c.attention_bias, adjacent=True, **attention)
    feedforward = spec.FeedForward(c.intermediate_size, c.hidden_act, gated=True, bias=False)
    return spec.layer(mixer, feedforward, norm, order="pre", reads="normed")


def stack(c: CohereConfig) -> spec.Stack:
    """The decoder of Command R."""
    norm = spec.Norm("layer", c.layer_norm_eps, bias=False)
    one = layer(c, qk_norm=norm if c.use_qk_norm else None, qk_norm_over="each")
    return llama.decoder(c, (one,) * c.num_hidden_layers, "CohereDecoderLayer", norm, NAMES)


def stack2(c: Cohere2Config) -> spec.Stack:
    """The decoder of Command R7B."""
    norm = spec.Norm("layer", c.layer_norm_eps, bias=False)
    windowed = layer(c).masked(Causal(c.sliding_window))
    kinds = {"full_attention": layer(c, rotary=None), "sliding_attention": windowed}
    return llama.decoder(c, llama.by_kind(c, kinds), "Cohere2DecoderLayer", norm, NAMES)


COHERE = register(
    replace(
        llama.LLAMA,
        model_type="cohere",
        name="Cohere",
        config=CohereConfig,
        assembly=Single(stack),
        heads={
            "ForCausalLM": Head(
                "causal_lm", lambda c: Words("lm_head", bias=False, logits_scale=c.logit_scale)
            )
        },
        order=(
            ("self_attn", "mlp", "input_layernorm"),
            ("q_proj", "k_proj", "v_proj", "o_proj", "q_norm", "k_norm"),
            llama.LLAMA.order[1],
        ),
    )
)
COHERE2 = register(
    replace(COHERE, model_type="cohere2", name="Cohere2", config=Cohere2Config, assembly=Single(stack2))
)
