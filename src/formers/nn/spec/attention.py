"""Attention, in the forms that families have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from formers.nn.masks import Causal, Full, Mask
from formers.nn.positions import Alibi, Buckets, Rotary
from formers.nn.spec.values import Heads, LinearKind, Norm, SlotSpec


@dataclass(frozen=True)
class Attention:
    """How one attention sub-layer is built.

    Attributes:
        heads: head geometry.
        mask: which keys a query may see, padding aside.
        dropout: probability of dropping an attention weight in training.
        scale: factor on the scores; 1/sqrt(D) when None.
        bias: whether q, k and v have a bias; `key_bias` whether k has one too; `out_bias` likewise for the
            output projection.
        fused: q, k and v are one leaf under the role `qkv`: all q, all k, all v (`blocks`), or for every
            key/value head its q's, its k and its v (`groups`), or for every quarter of the heads all their q,
            all their v, all their k (`quarters`).
        clip: largest absolute value of q, k and v; `clip_normed`: after their norms over `all` features.
        linear: the kind of leaf.
        qk_norm: norm of queries and keys before they are turned (roles `q_norm`, `k_norm`), of every `head`
            by itself (with weights for `each`) or over `all` features.
        heads_first: whoever looks at these norms sees [B, H, T, D], not [B, T, H, D].
        qk_norm_last: they are normed after they are turned.
        rotary: rotary position rule, applied to q and k.
        warmth: a and f: queries are multiplied by 1 + a log(1 + floor((i + 1) / f)), those of the token i
            (Nakanishi 2025, arXiv:2501.19399).
        score_bias: relative-position bias that this stack adds to the scores.
        owns_score_bias: this layer holds the bias table that the whole stack uses.
        softcap: scores become c * tanh(scores / c).
        sinks: every head has a learned logit that takes weight and gives no value (role `sinks`).
        cross: keys and values come from the encoder's states; `source` is their width, where it is not E.
    """

    heads: Heads
    mask: Mask = Full()
    dropout: float = 0.0
    scale: float | None = None
    bias: bool = True
    key_bias: bool = True
    out_bias: bool = True
    fused: Literal["", "blocks", "groups", "quarters"] = ""
    clip: float | None = None
    clip_normed: bool = False
    linear: LinearKind = "linear"
    qk_norm: Norm | None = None
    qk_norm_over: Literal["head", "each", "all"] = "head"
    heads_first: bool = False
    qk_norm_last: bool = False
    rotary: Rotary | None = None
    warmth: tuple[float, float] | None = None
    score_bias: Buckets | Alibi | None = None
    owns_score_bias: bool = False
    softcap: float | None = None
    sinks: bool = False
    cross: bool = False
    source: int | None = None

    def __post_init__(self) -> None:
        if self.fused == "quarters" and (self.heads.query % 4 or self.heads.key_value != self.heads.query):
            raise ValueError(
                f"projections in four parts are those of a multiple of four heads, not of {self.heads.query}"
            )

    @property
    def causal(self) -> bool:
        """A query sees the keys before it alone."""
        return isinstance(self.mask, Causal)

    @property
    def by_distance(self) -> bool:
        """A window or a bias of distances, where those count columns."""
        plain = isinstance(self.mask, Full) or (isinstance(self.mask, Causal) and self.mask.window is None)
        counts = getattr(self.mask, "counts", "columns") == "columns"
        far = isinstance(self.score_bias, Buckets) or getattr(self.score_bias, "columns", False)
        return far or (not plain and counts)

    @property
    def needs(self) -> frozenset[str]:
        """A soft cap and sinks are all that some backends lack."""
        cap = {"softcap"} if self.softcap is not None else set()
        return frozenset(cap | ({"sinks"} if self.sinks else set()))

    @property
    def honours_masks(self) -> bool:
        """Always."""
        return True

    @property
    def slot(self) -> SlotSpec | None:
        """A window needs no more than a ring, unless it reaches over columns that it does not count."""
        if self.cross:
            return None
        mask = self.mask
        window = mask.window if isinstance(mask, Causal) and mask.counts == "columns" else None
        return SlotSpec("ring", window) if window is not None else SlotSpec()

    @property
    def first_alone(self) -> bool:
        """Separate projections, nothing hidden, and no norms and no positions in the scores."""
        plain = isinstance(self.mask, Full) and not self.fused and self.rotary is None
        plain = plain and not self.sinks and not self.cross and self.warmth is None
        return plain and self.qk_norm is None and self.score_bias is None


@dataclass(frozen=True)
class Latent(Attention):
    """Attention whose keys and values are read from one latent vector a token.

    DeepSeek-AI 2024, arXiv:2405.04434, section 2.1. Roles: `q`, or `q_down`, `q_norm` and `q_up`; `kv_down`,
    `kv_norm`, `kv_up`; `o`. Of a head's `heads.width` features the last `rotary.width` are turned; those of
    the keys come from beside the latent vector, and all heads share them. `bias` is that of the projections
    down.

    Attributes:
        rank: width of the latent vector.
        value: width of a head's values.
        query_rank: width through which queries go; None for a plain projection.
        norm: of the latent vectors.
    """

    rank: int = 0
    value: int = 0
    query_rank: int | None = None
    norm: Norm = Norm("rms", 1e-6)

    def __post_init__(self) -> None:
        if self.rotary is None or not (self.rank and self.value):
            raise ValueError("latent attention needs a rank, a width of values and a rotary rule")
        if self.rotary.width > self.heads.width or self.heads.key_value != self.heads.query:
            raise ValueError(
                f"{self.heads.query} heads have as many keys, whose last {self.rotary.width} features are "
                f"turned, but there are {self.heads.key_value} of {self.heads.width} features"
            )

    @property
    def slot(self) -> SlotSpec | None:
        """The latent vectors and the turned keys of all tokens."""
        return SlotSpec("latent")

    @property
    def first_alone(self) -> bool:
        """Keys are turned by their positions."""
        return False


@dataclass(frozen=True)
class Disentangled(Attention):
    """Attention where contents and relative positions see each other apart.

    He et al. 2020, arXiv:2006.03654, section 3.1. All layers of a stack read one table of 2 * `span` vectors,
    `Stack.relative`. Roles beside those of `Attention`: `position_k`, `position_q`, `position_dropout`;
    `q_bias`, `v_bias`.

    Attributes:
        span: distances that are told apart, on each side; 0 for none.
        distance: where the last of them begins, if only half of them are exact and the others grow by even
            factors; 0 where all are exact.
        to_position: contents of queries look at positions; `to_content` positions at contents of keys.
        shared: positions go through the projections of contents.
        position_bias: whether `position_k` has a bias.
        position_dropout: probability of dropping a feature of the table, drawn in every layer.
        narrow: whoever looks sees rows of the table within reach alone.
        apart: k has no bias, those of q and v are tensors beside the leaf that makes all three.
    """

    span: int = 0
    distance: int = 0
    to_position: bool = False
    to_content: bool = False
    shared: bool = False
    position_bias: bool = True
    position_dropout: float = 0.0
    narrow: bool = False
    apart: bool = False

    @property
    def by_distance(self) -> bool:
        """Distances count columns."""
        return bool(self.span)

    @property
    def first_alone(self) -> bool:
        """Positions are in the scores."""
        return False

    def index(self, query: Tensor, key: Tensor) -> Tensor:
        """Row of the table for every pair: `query` [T] and `key` [S] give [T, S], int64."""
        offset = query[:, None] - key[None, :]
        if self.distance:
            exact, back = self.span // 2, offset.abs().clamp(min=1)
            growth = torch.log(back / exact) / torch.log(torch.tensor((self.distance - 1) / exact))
            far = (torch.ceil(growth * (exact - 1)) + exact).long()
            offset = torch.where(back <= exact, offset, far * offset.sign())
        return (offset + self.span).clamp(0, 2 * self.span - 1)
