"""Attention, in the forms that families have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from formers.nn.grids import Axial, Grid
from formers.nn.masks import Causal, Full, Mask, Window
from formers.nn.positions import Alibi, Buckets, PageBuckets, Rotary
from formers.nn.spec.values import Heads, LinearKind, Norm, SlotSpec


@dataclass(frozen=True)
class Prompts:
    """Keys and values that every query of a layer sees beside what its mask says.

    Those of all layers are made from one table (Li and Liang 2021, arXiv:2101.00190, section 4.3), once a
    pass, under the roles `prompts` and (of cross attention) `cross_prompts` of `names.stack`. Roles inside
    of such a node: `prompt_table`, `prompt_up`, `prompt_act`, `prompt_down`, `prompt_dropout`.

    Attributes:
        count: how many there are.
        inner: width between the table and what is made of it.
        activation: there.
        dropout: on what is made.
    """

    count: int
    inner: int
    activation: str = "gelu"
    dropout: float = 0.0


@dataclass(frozen=True)
class Attention:
    """How one attention sub-layer is built.

    Attributes:
        heads: head geometry.
        mask: which keys a query may see, padding aside.
        dropout: probability of dropping an attention weight in training; `drops`: whether it is done, or the
            module stands idle.
        scale: factor on the scores; 1/sqrt(D) when None.
        bias: whether q, k and v have a bias; `key_bias` whether k has one too; `out_bias` likewise for the
            output projection; `biases` says it of q, k and v, each by itself: where they are one leaf it has
            none, and those biases stand beside it (roles `q_bias`, `k_bias`, `v_bias`).
        fused: q, k and v are one leaf under the role `qkv`: all q, all k, all v (`blocks`), or for every
            key/value head its q's, its k and its v (`groups`), or for every quarter of the heads all their q,
            all their v, all their k (`quarters`); of cross attention k and v, under `kv` (`blocks`).
        clip: largest absolute value of q, k and v; `clip_normed`: after their norms over `all` features.
        linear: the kind of leaf.
        qk_norm: norm of queries and keys before they are turned (roles `q_norm`, `k_norm`), of every `head`
            by itself (with weights for `each`, or `apart`, by a leaf for each) or over `all` features.
        heads_first: whoever looks at these norms sees [B, H, T, D], not [B, T, H, D].
        heads_flat: likewise [B * T, H, D].
        qk_norm_last: they are normed after they are turned.
        rotary: rotary position rule, applied to q and k; with `rotary_value` to v too.
        rotary_first: the states that queries and keys are made of are turned, head by head, not they.
        warmth: a and f: queries are multiplied by 1 + a log(1 + floor((i + 1) / f)), those of the token i
            (Nakanishi 2025, arXiv:2501.19399).
        score_bias: relative-position bias that this stack adds to the scores.
        owns_score_bias: this layer holds the bias table that the whole stack uses; of a `Grid` its own, to
            which that of the stack is added.
        softcap: scores become c * tanh(scores / c).
        sinks: every head has a learned logit that takes weight and gives no value (role `sinks`).
        gated: q makes for every head its query and then its gate, whose sigmoid weighs what the head mixed.
        cross: keys and values come from the encoder's states; `source` is their width, where it is not E.
        held: or from what the pass holds under this name (`mixers.attention.Memory`); roles begin with it.
        by_time: whoever looks inside the stack's layers sees [T, B, E].
        prompts: keys and values of the stack's own, before those of the tokens.
        within: name of the runs of rows that a pass holds, within which alone rows see each other.
        placed: queries and keys, not values, read what stands beside the rows for their places
            (Carion et al. 2020, arXiv:2005.12872, appendix A.4); see `Vectors`.
        mixed_norm: norm of what the heads mixed, before it is projected back (role `mixed_norm`; Wang et al.
            2022, arXiv:2210.06423).
    """

    heads: Heads
    mask: Mask = Full()
    dropout: float = 0.0
    drops: bool = True
    scale: float | None = None
    bias: bool = True
    key_bias: bool = True
    out_bias: bool = True
    biases: tuple[bool, bool, bool] | None = None
    fused: Literal["", "blocks", "groups", "quarters"] = ""
    clip: float | None = None
    clip_normed: bool = False
    linear: LinearKind = "linear"
    qk_norm: Norm | None = None
    qk_norm_over: Literal["head", "each", "apart", "all"] = "head"
    heads_first: bool = False
    heads_flat: bool = False
    qk_norm_last: bool = False
    rotary: Rotary | Axial | None = None
    rotary_value: bool = False
    rotary_first: bool = False
    warmth: tuple[float, float] | None = None
    score_bias: Buckets | Alibi | Grid | PageBuckets | None = None
    owns_score_bias: bool = False
    softcap: float | None = None
    sinks: bool = False
    gated: bool = False
    cross: bool = False
    held: str = ""
    source: int | None = None
    by_time: bool = False
    prompts: Prompts | None = None
    placed: bool = False
    within: str = ""
    mixed_norm: Norm | None = None

    def __post_init__(self) -> None:
        if self.gated and (self.fused or self.cross):
            raise ValueError("gates are made by a q of its own, for attention of a sequence to itself")
        if self.held and (self.fused or not self.cross):
            raise ValueError(
                "what a pass holds beside its rows is read by cross attention, by leaves of its own"
            )
        if self.fused and self.placed:
            raise ValueError("queries and keys that read places come from leaves of their own")
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
        far = isinstance(self.score_bias, Buckets | Grid) or getattr(self.score_bias, "columns", False)
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
    def reads_padding(self) -> bool:
        """Never."""
        return False

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
        plain = isinstance(self.mask, Full) and not (self.fused or self.gated) and self.rotary is None
        plain = plain and not (self.sinks or self.cross or self.placed or self.within)
        plain = plain and self.warmth is None
        return plain and self.qk_norm is None and self.score_bias is None


@dataclass(frozen=True)
class KeptCross(Attention):
    """Attention to what a pass holds beside its rows, with norms of queries and keys.

    A cache keeps the keys and values, and what comes later stands behind them (Llama Team 2024,
    arXiv:2407.21783, section 7.3). See `mixers.kept_cross_attention.CrossAttended`.

    Attributes:
        beside: the name under which the pass holds it.
    """

    beside: str = ""

    def __post_init__(self) -> None:
        if not self.beside or self.qk_norm is None or self.fused or self.gated or self.rotary is not None:
            raise ValueError(
                "what a cache keeps beside is read by leaves of its own, with norms, and not turned"
            )

    @property
    def slot(self) -> SlotSpec | None:
        """Beside the tokens."""
        return SlotSpec("kept")

    @property
    def first_alone(self) -> bool:
        """Never."""
        return False


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
class EntityAware(Attention):
    """Attention whose queries differ by what looks at what, where entities stand behind a text.

    Yamada et al. 2020, arXiv:2010.01057, section 3.2. Roles beside those of `Attention`: `text_entity_q`,
    `entity_text_q`, `entity_entity_q`; `q` is that of the text for the text, and for all where no entities
    are given.
    """

    def __post_init__(self) -> None:
        if self.fused or self.cross or self.rotary is not None or self.qk_norm is not None:
            raise ValueError(
                "queries that differ by what they look at come from leaves of their own, within one stack, "
                "and are neither turned nor normed"
            )

    @property
    def first_alone(self) -> bool:
        """Its queries are of two kinds."""
        return False


@dataclass(frozen=True)
class GatedRelativeBias(Attention):
    """Attention whose bias of distances every query weighs, by two gates of its state.

    Chen et al. 2021, arXiv:2110.13900, section 3.1. Roles beside those of `Attention`: `bias_gates`, a layer
    from D to 8; `bias_gain`, [1, H, 1, 1].
    """

    def __post_init__(self) -> None:
        if not isinstance(self.score_bias, Buckets) or self.cross or self.fused:
            raise ValueError("what queries weigh is a bias of distances in buckets, within one stack")


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


@dataclass(frozen=True)
class WindowsAndGlobal(Attention):
    """Attention within windows, where some tokens see all and are seen by all.

    Beltagy et al. 2020, arXiv:2004.05150, section 3.1. Which tokens those are the caller says, by
    `global_attention_mask`; their own scores and values, of all keys, come from the roles `q_global`,
    `k_global` and `v_global`.

    Attributes:
        time_first: whoever looks at the projections sees [T, B, E], not [B, T, E].
    """

    time_first: bool = False

    @property
    def honours_masks(self) -> bool:
        """No: keys are not compared with every query."""
        return False

    @property
    def reach(self) -> int:
        """Places on each side that a token sees."""
        assert isinstance(self.mask, Window)
        return self.mask.reach


@dataclass(frozen=True)
class BlockLocal(Attention):
    """Attention of every block of `size` columns to itself.

    Clark et al. 2021, arXiv:2103.06874, section 3.1.
    What stands in a block of padding alone is the mean of that block's values.
    """

    size: int = 0

    @property
    def by_distance(self) -> bool:
        """Blocks are columns."""
        return True

    @property
    def honours_masks(self) -> bool:
        """No: keys are not compared with every query."""
        return False

    @property
    def first_alone(self) -> bool:
        """Not beyond the first block."""
        return False


@dataclass(frozen=True)
class Local(Attention):
    """Attention within windows, and to sums of blocks beside.

    Guo et al. 2021, arXiv:2112.07916, section 3. Roles beside those of `Attention`: `sum_norm` of the sums,
    `sum_bias`, the first layer's table of distances in blocks.

    Attributes:
        block: columns that are summed; 0 for no sums.
        norm: of the sums.
    """

    block: int = 0
    norm: Norm = Norm("rms", 1e-6)

    @property
    def honours_masks(self) -> bool:
        """No: keys are not compared with every query."""
        return False

    @property
    def by_column(self) -> bool:
        """Blocks begin at the first column, whatever it holds."""
        return bool(self.block)

    @property
    def reach(self) -> int:
        """Places on each side that a token sees."""
        assert isinstance(self.mask, Window)
        return self.mask.reach

    @property
    def buckets(self) -> Buckets:
        """How distances are told apart."""
        assert isinstance(self.score_bias, Buckets)
        return self.score_bias


@dataclass(frozen=True)
class Chunked(Attention):
    """Attention within chunks of columns, and to vectors beside the row, which see each other and all of it.

    Phang et al. 2022, arXiv:2208.04347, section 3. Both go through the same leaves.

    Attributes:
        size: columns of a chunk.
        shift: so many columns of the first chunk lie before the row.
    """

    size: int = 512
    shift: int = 0

    @property
    def by_distance(self) -> bool:
        """Chunks are of columns."""
        return True

    @property
    def honours_masks(self) -> bool:
        """No: keys are not compared with every query."""
        return False

    @property
    def by_column(self) -> bool:
        """Chunks begin at the first column, whatever it holds."""
        return True

    @property
    def first_alone(self) -> bool:
        """What stands beside the row reads all of it."""
        return False


@dataclass(frozen=True)
class Relative(Attention):
    """Attention by contents, distances, and whether two tokens are of one segment, in one stream or two.

    Yang et al. 2019, arXiv:1906.08237, sections 2.3 to 2.5; Dai et al. 2019, arXiv:1901.02860, section 3.3.
    Roles: `q`, `k`, `v`, `o`, `r` [E, H, D]; `content_bias`, `distance_bias`, `segment_bias` [H, D];
    `segment` [2, H, D], for the same and for another one. Whoever looks sees [T, B, E].

    Attributes:
        clamp: distances farther than this count as this; 0 or less for none.
        halves: the second half of the rows is read backwards.
        same_length: a token sees as many keys as the last one does.
        memory: states that are kept for later calls; 0 for all.
        reuse: of a call, so many of its first; 0 for all.
        std: deviation of fresh values.
    """

    clamp: int = 0
    halves: bool = False
    same_length: bool = False
    memory: int = 0
    reuse: int = 0
    std: float = 0.02

    @property
    def by_distance(self) -> bool:
        """Distances count columns."""
        return True

    @property
    def slot(self) -> SlotSpec | None:
        """None: callers hand memories on themselves."""
        return None

    @property
    def first_alone(self) -> bool:
        """Distances are in the scores."""
        return False
