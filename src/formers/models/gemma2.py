"""Gemma 2 (Riviere et al. 2024, arXiv:2408.00118): norms on both sides, capped scores, windows in turn."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from formers.assemblies.family import Head
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models import llama
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal
from formers.tasks.specs import Words


class Gemma2Config(PretrainedConfig):
    """Configuration of Gemma 2. Layers see a window and everything in turn, where `layer_types` is None."""

    model_type = "gemma2"
    keys_to_ignore_at_inference = ["past_key_values"]
    _available = {"use_bidirectional_attention": (False,)}  # every layer is causal
    vocab_size: int = 256000
    hidden_size: int = 2304
    intermediate_size: int = 9216
    num_hidden_layers: int = 26
    num_attention_heads: int = 8
    num_key_value_heads: int = 4
    head_dim: int = 256
    hidden_activation: str = "gelu_pytorch_tanh"
    max_position_embeddings: int = 8192
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-6
    use_cache: bool = True
    pad_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 1
    bos_token_id: int | None = 2
    tie_word_embeddings: bool = True
    rope_parameters: dict[str, Any] | None = None
    attention_bias: bool = False
    attention_dropout: float | None = 0.0
    query_pre_attn_scalar: int = 256
    sliding_window: int | None = 4096
    layer_types: list[str] | None = None
    final_logit_softcapping: float | None = 30.0
    attn_logit_softcapping: float | None = 50.0
    use_bidirectional_attention: bool | None = None

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if self.layer_types is None:
            self.layer_types = llama.turns(self.num_hidden_layers, 2)


OWN = {
    "attention_inner": "post_attention_layernorm",
    "feedforward_norm": "pre_feedforward_layernorm",
    "feedforward_inner": "post_feedforward_layernorm",
}
NAMES = llama.NAMES.with_(layer=OWN)


def decoder(
    c: Gemma2Config, layer_class: str, names: spec.Names, outer: bool = True, **other: Any
) -> spec.Stack:
    """The decoder; with norms behind parts too where `outer`, `other` fields as its attention has them."""
    norm = spec.Norm("rms", c.rms_norm_eps, offset=1.0)
    feedforward = spec.FeedForward(c.intermediate_size, c.hidden_activation, gated=True, bias=False)
    other |= {"scale": c.query_pre_attn_scalar**-0.5, "softcap": c.attn_logit_softcapping}
    masks = {"full_attention": Causal(), "sliding_attention": Causal(c.sliding_window)}
    mixers = {
        kind: llama.attention(c, mask, c.attention_bias, kind=kind, **other) for kind, mask in masks.items()
    }
    layer = partial(spec.layer, norm=norm, order="sandwich" if outer else "pre")
    kinds = {kind: layer(one, feedforward) for kind, one in mixers.items()}
    scaled = {"table_scale": c.hidden_size**0.5, "table_scale_rounded": True}
    return llama.decoder(c, llama.by_kind(c, kinds), layer_class, norm, names, **scaled)


HEADS = {key: head for key, head in llama.LLAMA.heads.items() if key != "ForQuestionAnswering"}
WORDS = Head("causal_lm", lambda c: Words("lm_head", bias=False, cap=c.final_logit_softcapping))
GEMMA2 = register(
    replace(
        llama.LLAMA,
        model_type="gemma2",
        name="Gemma2",
        config=Gemma2Config,
        assembly=Single(lambda c: decoder(c, "Gemma2DecoderLayer", NAMES)),
        heads={**HEADS, "ForCausalLM": WORDS},
        order=(("self_attn", "mlp", "input_layernorm", *OWN.values()), llama.LLAMA.order[1]),
    )
)
