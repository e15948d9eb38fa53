"""LLaMA (Touvron et al. 2023, arXiv:2302.13971): pre-RMS decoder, rotary positions, grouped heads, SwiGLU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal, Mask
from formers.nn.positions import Rotary
from formers.tasks.base import first_set
from formers.tasks.specs import Labels, Sequences, Spans, Words

T = TypeVar("T")


class DecoderConfig(PretrainedConfig):
    """What the configurations of decoders with rotary positions have in common."""

    vocab_size: int = 32000
    hidden_size: int = 4096
    intermediate_size: int = 11008
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int | None = None
    hidden_act: str = "silu"
    max_position_embeddings: int = 2048
    initializer_range: float = 0.02
    use_cache: bool = True
    pad_token_id: int | None = None
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    tie_word_embeddings: bool = False
    rope_parameters: dict[str, Any] | None = None
    attention_dropout: float | None = 0.0


class LlamaConfig(DecoderConfig):
    """Configuration of LLaMA."""

    model_type = "llama"
    rms_norm_eps: float = 1e-6
    pretraining_tp: int | None = 1
    attention_bias: bool = False
    mlp_bias: bool = False
    head_dim: int | None = None


NAMES = spec.Names(
    layers="layers",
    layer={
        "attention_norm": "input_layernorm",
        "q": "self_attn.q_proj",
        "k": "self_attn.k_proj",
        "v": "self_attn.v_proj",
        "o": "self_attn.o_proj",
        "feedforward_norm": "post_attention_layernorm",
        "gate": "mlp.gate_proj",
        "act": "mlp.act_fn",
        "up": "mlp.up_proj",
        "down": "mlp.down_proj",
    },
    embeddings={"token": "embed_tokens"},
    stack={"final_norm": "norm", "rotary": "rotary_emb"},
)


def heads(c: Any) -> spec.Heads:
    """Key/value heads default to the query heads, their width to an even share."""
    width = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
    shared = getattr(c, "num_key_value_heads", None) or c.num_attention_heads
    return spec.Heads(c.num_attention_heads, shared, width)


def attention(
    c: Any, mask: Mask, bias: bool = False, adjacent: bool = False, kind: str = "", **other: Any
) -> spec.Attention:
    """Grouped heads, turned by their positions; `other` fields as the mixer has them.

    Where layers of each `kind` have rotary settings of their own, those count.
    """
    settings = c.rope_parameters or {}
    rotary = Rotary.of(heads(c).width, settings.get(kind, settings), c.max_position_embeddings, adjacent)
    dropout = c.attention_dropout or 0.0
    fields: dict[str, Any] = {"bias": bias, "out_bias": bias, "rotary": rotary, **other}
    return spec.Attention(heads(c), mask=mask, dropout=dropout, **fields)


def decoder(
    c: Any,
    layers: tuple[spec.Layer, ...],
    layer_class: str,
    norm: spec.Norm | None = None,
    names: spec.Names = NAMES,
    **tokens: Any,
) -> spec.Stack:
    """The layers over a token table, and a norm."""
    return spec.Stack(
        stem=spec.Tokens(c.vocab_size, c.hidden_size, **{"padding_idx": c.pad_token_id, **tokens}),
        layers=layers,
        names=names,
        width=c.hidden_size,
        layer_class=layer_class,
        decoder=True,
        final_norm=norm or spec.Norm("rms", c.rms_norm_eps),
        initial_std=c.initializer_range,
    )


def feedforward(c: Any, inner: int, bias: bool = False) -> spec.FeedForward:
    """A gated feed-forward."""
    return spec.FeedForward(inner, c.hidden_act, gated=True, bias=bias)


def block(c: Any, mixer: spec.Mixer, feedforward: spec.Mixer) -> spec.Layer:
    """One layer of two parts, a norm before each."""
    return spec.layer(mixer, feedforward, spec.Norm("rms", c.rms_norm_eps), order="pre")


def layer(c: Any, mask: Mask, bias: bool = False, inner_bias: bool = False) -> spec.Layer:
    """The usual layer; `bias` of the attention and `inner_bias` of the feed-forward."""
    return block(c, attention(c, mask, bias), feedforward(c, c.intermediate_size, inner_bias))


def turns(count: int, every: int) -> list[str]:
    """Kinds of layers: every so manieth sees everything, the others a window; all see everything for 0."""
    return ["sliding_attention" if every and (i + 1) % every else "full_attention" for i in range(count)]


def by_kind(c: Any, kinds: Mapping[Any, T], named: str = "layer_types") -> tuple[T, ...]:
    """What every layer has, by the kind that a field of the config names; one that was cut uses the first.

    Raises:
        ValueError: for a kind that is not among them, and for a layer that has none.
    """
    said = (getattr(c, named) or ())[: c.num_hidden_layers]
    if len(said) < c.num_hidden_layers:
        raise ValueError(
            f"{named} names {len(said)} layers, num_hidden_layers is {c.num_hidden_layers}: "
            f"name a kind for each"
        )
    strange = [kind for kind in said if kind not in kinds]
    if strange:
        raise ValueError(f"{named} are {' and '.join(map(repr, kinds))}, not {strange[0]!r}")
    return tuple(kinds[kind] for kind in said)


def stack(c: LlamaConfig) -> spec.Stack:
    """The decoder."""
    one = layer(c, Causal(), c.attention_bias, c.mlp_bias)
    return decoder(c, (one,) * c.num_hidden_layers, "LlamaDecoderLayer")


def labels(c: Any) -> Labels:
    """A label for every token."""
    own = (getattr(c, name, None) for name in ("classifier_dropout", "hidden_dropout"))
    return Labels("score", first_set(*own, default=0.1))


HEADS = {
    "ForCausalLM": Head("causal_lm", lambda c: Words("lm_head", bias=False)),
    "ForSequenceClassification": Head(
        "sequence_classification", lambda c: Sequences("score", pool="last", bias=False)
    ),
    "ForTokenClassification": Head("token_classification", labels),
    "ForQuestionAnswering": Head("question_answering", lambda c: Spans(), base="transformer"),
}


def heads_of(*endings: str) -> dict[str, Head]:
    """Those of LLaMA's heads that a relative has."""
    return {ending: HEADS[ending] for ending in endings}


LLAMA = register(
    Family(
        model_type="llama",
        name="Llama",
        config=LlamaConfig,
        base="model",
        assembly=Single(stack),
        heads=HEADS,
        gguf={"llama": {"q": "pairs", "k": "pairs"}},
        ignored=(r".*rotary_emb\.inv_freq",),
        order=(
            ("self_attn", "mlp", "input_layernorm", "post_attention_layernorm"),
            ("gate_proj", "up_proj", "down_proj"),
        ),
    )
)
