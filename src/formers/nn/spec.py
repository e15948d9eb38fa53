"""The vocabulary in which a family states its structure: frozen values, no tensors, no behaviour.

Letters used in shapes throughout: B batch, T query length, S key length, H query heads, G key/value
heads, D head width, E hidden width, F inner width, V vocabulary, N tokens laid end to end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from formers.nn.masks import Full, Mask
from formers.nn.positions import Buckets, Rotary

LinearKind = Literal["linear", "conv1d"]


@dataclass(frozen=True)
class Heads:
    """Head geometry: `query` heads share `key_value` heads, each `width` features wide."""

    query: int
    key_value: int
    width: int

    def __post_init__(self) -> None:
        if self.query <= 0 or self.key_value <= 0 or self.query % self.key_value:
            raise ValueError(
                f"the number of key/value heads must divide the number of attention heads ({self.query}), "
                f"but is {self.key_value}"
            )

    @classmethod
    def split(cls, hidden: int, query: int) -> Heads:
        """Uniform heads that share `hidden` features evenly."""
        if query <= 0 or hidden % query:
            raise ValueError(
                f"the hidden size ({hidden}) must be a multiple of the number of attention heads ({query})"
            )
        return cls(query, query, hidden // query)


@dataclass(frozen=True)
class Norm:
    """Normalisation of the last axis: `layer` (mean and variance) or `rms` (root mean square)."""

    kind: Literal["layer", "rms"] = "layer"
    eps: float = 1e-12


@dataclass(frozen=True)
class Attention:
    """How one attention sub-layer is built.

    Attributes:
        heads: head geometry.
        mask: which keys a query may see, padding aside.
        dropout: probability of dropping an attention weight in training.
        scale: factor on the scores; 1/sqrt(D) when None.
        bias: whether q, k and v have a bias; `out_bias` likewise for the output projection.
        fused: q, k and v are one leaf under the role `qkv`.
        linear: the kind of leaf.
        rotary: rotary position rule, applied to q and k.
        score_bias: relative-position bias that this stack adds to the scores.
        owns_score_bias: this layer holds the bias table that the whole stack uses.
        softcap: scores become c * tanh(scores / c).
    """

    heads: Heads
    mask: Mask = Full()
    dropout: float = 0.0
    scale: float | None = None
    bias: bool = True
    out_bias: bool = True
    fused: bool = False
    linear: LinearKind = "linear"
    rotary: Rotary | None = None
    score_bias: Buckets | None = None
    owns_score_bias: bool = False
    softcap: float | None = None


@dataclass(frozen=True)
class FeedForward:
    """Position-wise feed-forward: up, activation (times gate when `gated`), down.

    `dropout` falls on the inner values, `out_dropout` on the result.
    """

    inner: int
    activation: str = "gelu"
    gated: bool = False
    bias: bool = True
    dropout: float = 0.0
    out_dropout: float = 0.0
    linear: LinearKind = "linear"


@dataclass(frozen=True)
class Layer:
    """One layer: attention, optional cross attention, feed-forward, and where the norms stand.

    `order` is "post" (normalise after the residual sum) or "pre" (normalise what enters a sub-layer).
    """

    attention: Attention
    feedforward: FeedForward
    norm: Norm
    order: Literal["pre", "post"] = "post"
    cross: Attention | None = None
    dropout: float = 0.0


@dataclass(frozen=True)
class LearnedPositions:
    """A learned table of `count` rows; `offset` is added to every position.

    With `padding_idx`, positions count the tokens that differ from it, starting at padding_idx + 1.
    """

    count: int
    offset: int = 0
    padding_idx: int | None = None


@dataclass(frozen=True)
class Embeddings:
    """What enters the first layer: token (+ position, + segment) vectors, scaled, normalised, dropped.

    With `share_types` the segment ids are looked up in the token table, as GPT-2 does. `scale` falls on
    what enters, looked up or given; `table_scale` on what is looked up alone.
    """

    vocabulary: int
    width: int
    positions: LearnedPositions | None = None
    types: int = 0
    share_types: bool = False
    norm: Norm | None = None
    scale: float = 1.0
    table_scale: float = 1.0
    dropout: float = 0.0
    padding_idx: int | None = None


@dataclass(frozen=True)
class Names:
    """Where each role's leaf is registered: the module tree of the ecosystem's checkpoints.

    `layer` maps a role to its path inside a layer; a path of None leaves the role out.
    """

    layers: str
    layer: Mapping[str, str]
    embeddings: Mapping[str, str]
    stack: Mapping[str, str] = field(default_factory=dict)

    def with_(self, *, layers: str | None = None, **roles: Mapping[str, str]) -> Names:
        """A copy in which the given tables (`layer`, `embeddings`, `stack`) are updated."""
        updated = {name: {**getattr(self, name), **table} for name, table in roles.items()}
        return replace(self, **{**updated, **({"layers": layers} if layers else {})})  # type: ignore[arg-type]


@dataclass(frozen=True)
class Stack:
    """A whole stack.

    `pooler` adds a tanh layer over the first token; `final_norm` closes a pre-norm stack; `layer_drop` is the
    probability of leaving a layer out in training (Fan et al. 2019, arXiv:1909.11556).
    """

    embeddings: Embeddings
    layers: tuple[Layer, ...]
    names: Names
    width: int
    final_norm: Norm | None = None
    final_dropout: float = 0.0
    pooler: bool = False
    layer_drop: float = 0.0
    initial_std: float = 0.02
    init: Mapping[str, float] = field(default_factory=dict)
