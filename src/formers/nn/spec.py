"""The vocabulary in which a family states its structure: frozen values, no tensors.

Letters used in shapes throughout: B batch, T query length, S key length, H query heads, G key/value
heads, D head width, E hidden width, F inner width, V vocabulary, N tokens laid end to end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from typing import Literal, Protocol

import torch
from torch import Tensor

from formers.nn.masks import Causal, Full, Mask
from formers.nn.positions import Alibi, Buckets, Rotary

LinearKind = Literal["linear", "conv1d"]
Paths = Mapping[str, "str | None"]  # role -> path of its leaf; None leaves the role out


class SpecError(ValueError):
    """A spec and its names do not fit each other."""


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
    """Normalisation of the last axis: `layer` (mean and variance), `rms` (root mean square), or `none`.

    `offset` (of a `layer` norm: 1) is added to the stored weight. A `layer` norm may lack both values.
    The weight of a `wide` RMS norm is applied in float32 too.
    """

    kind: Literal["layer", "rms", "none"] = "layer"
    eps: float = 1e-12
    offset: float = 0.0
    weight: bool = True
    bias: bool = True
    wide: bool = False


@dataclass(frozen=True)
class SlotSpec:
    """What a mixer keeps between calls.

    Keys and values of all tokens (`growing`) or of the last `size` (`ring`), what they are read from
    (`latent`), or a state (`recurrent`).
    """

    kind: Literal["growing", "ring", "latent", "recurrent"] = "growing"
    size: int = 0


class Mixer(Protocol):
    """What every mixer spec answers; `nn.mixers` builds its steps."""

    @property
    def causal(self) -> bool:
        """Whether a token's result depends on what stands before it alone."""

    @property
    def by_distance(self) -> bool:
        """Whether it depends on how many columns lie between two tokens, so that no gap may be closed."""

    @property
    def needs(self) -> frozenset[str]:
        """Features that an attention backend must have."""

    @property
    def honours_masks(self) -> bool:
        """Whether a mask of the caller's own, or several examples in one row, can be obeyed."""

    @property
    def slot(self) -> SlotSpec | None:
        """What it keeps in a cache."""

    @property
    def first_alone(self) -> bool:
        """Whether the first token's result can be computed without that of the others."""


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
        rotary: rotary position rule, applied to q and k.
        score_bias: relative-position bias that this stack adds to the scores.
        owns_score_bias: this layer holds the bias table that the whole stack uses.
        softcap: scores become c * tanh(scores / c).
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
    rotary: Rotary | None = None
    score_bias: Buckets | Alibi | None = None
    owns_score_bias: bool = False
    softcap: float | None = None
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
        """A soft cap is all that some backends lack."""
        return frozenset({"softcap"} if self.softcap is not None else ())

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
        return plain and self.qk_norm is None and self.score_bias is None and not self.cross


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


@dataclass(frozen=True)
class _Tokenwise:
    """Facts of a mixer that looks at one token at a time."""

    causal = False
    by_distance = False
    needs: frozenset[str] = field(default=frozenset(), init=False, repr=False)
    honours_masks = True
    slot = None
    first_alone = True


@dataclass(frozen=True)
class FeedForward(_Tokenwise):
    """Position-wise feed-forward: up, activation (times gate when `gated`), down.

    `dropout` falls on the inner values. `fused`: gate and up are one leaf under the role `gate_up`.
    """

    inner: int = 0
    activation: str = "gelu"
    gated: bool = False
    fused: bool = False
    bias: bool = True
    dropout: float = 0.0
    linear: LinearKind = "linear"


@dataclass(frozen=True)
class Experts(_Tokenwise):
    """A mixture of experts: a router sends every token to some of many feed-forwards (Shazeer et al. 2017).

    Roles: `router`, `router_bias`; `expert_gate`, `expert_up`, `expert_down` with `{i}` in their paths;
    `shared_gate`, ... of a feed-forward that reads every token, `share` of its weight; `mixture`, the node
    that holds them all.

    Attributes:
        count: experts; `chosen` of them read each token.
        each: one expert.
        scores: how logits become scores.
        normalised: the weights of the chosen sum to one, before `scale`.
        scale: factor on the weights.
        groups: experts are chosen from the best `kept_groups` of so many groups alone, a group being judged
            by the sum of its `group_best` best (DeepSeek-AI 2024, arXiv:2405.04434, section 2.2.2).
        corrected: a bias on the scores counts for the choice, not for the weights (arXiv:2408.15664).
        wide: the router computes in float32.
        shared: the feed-forward that reads every token, `weighed` by a sigmoid of its own.
        flat: it is called with [N, E] in a watched pass too, as the experts are.
        jitter: in training, what enters is multiplied by numbers from 1 - jitter to 1 + jitter (Fedus et al.
            2021, arXiv:2101.03961, section 2.2).
    """

    count: int
    chosen: int
    each: FeedForward
    scores: Literal["softmax", "sigmoid"] = "softmax"
    normalised: bool = True
    scale: float = 1.0
    groups: int = 1
    kept_groups: int = 1
    group_best: int = 1
    corrected: bool = False
    wide: bool = False
    shared: FeedForward | None = None
    weighed: bool = False
    flat: bool = False
    jitter: float = 0.0

    def __post_init__(self) -> None:
        size = self.count // self.groups
        if self.count % self.groups or not 0 < self.kept_groups <= self.groups or self.group_best > size:
            raise ValueError(
                f"{self.count} experts do not make {self.groups} equal groups, of which {self.kept_groups} "
                f"are kept by their best {self.group_best}"
            )
        if self.chosen > size * self.kept_groups:
            raise ValueError(
                f"{self.chosen} experts cannot be chosen from the {size * self.kept_groups} that there are"
            )


@dataclass(frozen=True)
class Scan:
    """A selective state space (Gu and Dao 2023, arXiv:2312.00752, section 3).

    Roles: `in`, `conv`, `select`, `step`, `out`, and the tensors `decay` and `skip`.

    Attributes:
        inner: I, features that are scanned.
        state: n, numbers that each feature remembers.
        kernel: reach of the short convolution before the scan.
        rank: width through which the step size is chosen.
        activation: after the convolution; on the gate it is always silu.
        bias: of the projections in and out; `conv_bias` of the convolution.
        steps: least and largest step of a fresh model, and its floor.
        step_scale: of the fresh weights that choose steps: drawn, or (`step_constant`) all the same.
        depth: layers among which the fresh results are shared out.
    """

    inner: int
    state: int
    kernel: int
    rank: int
    activation: str = "silu"
    bias: bool = False
    conv_bias: bool = True
    steps: tuple[float, float, float] = (0.001, 0.1, 1e-4)
    step_scale: float = 1.0
    step_constant: bool = False
    depth: int = 1
    causal = True
    by_distance = True
    needs: frozenset[str] = field(default=frozenset(), init=False, repr=False)
    honours_masks = False
    first_alone = False

    @property
    def slot(self) -> SlotSpec | None:
        """The state, and the last tokens that the convolution saw."""
        return SlotSpec("recurrent")


@dataclass(frozen=True)
class Part:
    """One mixer of a layer with its norms and its residual sum.

    x -> x + scale * gain * dropout(inside(mixer(before(x)))), then `after`.

    Attributes:
        mixer: what it does.
        role: beginning of its roles: `{role}_norm` (before, or else after), `{role}_inner` (inside),
            `{role}_outer` (after, beside one before), `{role}_dropout`, `{role}_gain`, `{role}_add`.
        before: norm of what the mixer reads.
        inside: norm of the mixer's result, before the sum.
        after: norm of the sum.
        dropout: on the mixer's result.
        reads: the sum so far, or (parallel branches) what the part before it read: that part's `input`, or
            the `normed` input of its mixer.
        keeps: what the result is added to: what is read, or that `normed` (with `before`).
        scale: factor on the result.
        gain: value that a learned factor per feature begins with.
        wide: the sum is held in float32 at least.
    """

    mixer: Mixer
    role: str
    before: Norm | None = None
    inside: Norm | None = None
    after: Norm | None = None
    dropout: float = 0.0
    reads: Literal["sum", "input", "normed"] = "sum"
    scale: float = 1.0
    gain: float | None = None
    wide: bool = False
    keeps: Literal["read", "normed"] = "read"


@dataclass(frozen=True)
class Layer:
    """One layer: its parts, in the order in which they run."""

    parts: tuple[Part, ...]

    def masked(self, mask: Mask) -> Layer:
        """The same layer, whose self attention has another mask."""
        parts = (
            replace(part, mixer=replace(part.mixer, mask=mask))
            if isinstance(part.mixer, Attention) and not part.mixer.cross
            else part
            for part in self.parts
        )
        return Layer(tuple(parts))


def layer(
    mixer: Mixer,
    feedforward: Mixer | None,
    norm: Norm,
    order: Literal["pre", "post", "inside", "sandwich"] = "post",
    cross: Attention | None = None,
    dropout: float = 0.0,
    reads: Literal["sum", "input", "normed"] = "sum",
    scale: float = 1.0,
) -> Layer:
    """The usual layer: a mixer, cross attention where there is one, and a feed-forward.

    `order` says where the norms stand: on the sum ("post", Vaswani et al. 2017), on what enters a part
    ("pre", Xiong et al. 2020), on what a part returns ("inside"), or on both ("sandwich", Ding et al. 2021).
    The feed-forward `reads` what `Part.reads` says; `scale` is every part's.
    """
    before = norm if order in ("pre", "sandwich") else None
    inside = norm if order in ("inside", "sandwich") else None
    after = norm if order == "post" else None
    mixers = (("attention", mixer), ("cross", cross))
    parts = [Part(m, role, before, inside, after, dropout, scale=scale) for role, m in mixers if m]
    if feedforward is not None:
        first = before if reads != "normed" else None
        parts.append(Part(feedforward, "feedforward", first, inside, after, dropout, reads, scale))
    return Layer(tuple(parts))


@dataclass(frozen=True)
class LearnedPositions:
    """A learned table of `count` rows; `offset` is added to every position.

    With `padding_idx`, positions count the tokens that differ from it, starting at padding_idx + 1. A
    `fixed` table holds sinusoids and is not trained.
    """

    count: int
    offset: int = 0
    padding_idx: int | None = None
    fixed: bool = False


@dataclass(frozen=True)
class ComputedPositions:
    """Sinusoids of as many places as there are: no table, and nothing in the file. Counted likewise."""

    padding_idx: int | None = None


@dataclass(frozen=True)
class Tokens:
    """A stem for text: token (+ position, + segment, + task) vectors, scaled, normalised, dropped.

    With `share_types` the segment ids are looked up in the token table, as GPT-2 does. `scale` falls on
    what enters, looked up or (with `scale_given`) given; `table_scale` on what is looked up, in the table
    itself, and in its dtype if `table_scale_rounded`. `norm` is of the sum, or of the tokens before it.
    Where padding is computed its rows are zero if `hides_padding`.
    Roles: `token`, `position`, `type`, `task`, `embedding_norm`, `embedding_dropout`.
    """

    vocabulary: int
    width: int
    positions: LearnedPositions | ComputedPositions | None = None
    types: int = 0
    tasks: int = 0
    share_types: bool = False
    norm: Norm | None = None
    norm_of: Literal["sum", "tokens"] = "sum"
    scale: float = 1.0
    scale_given: bool = True
    table_scale: float = 1.0
    table_scale_rounded: bool = False
    dropout: float = 0.0
    padding_idx: int | None = None
    hides_padding: bool = False
    reads = "input_ids"

    @property
    def room(self) -> int | None:
        """How many tokens a row may have; None where nothing bounds it."""
        if not isinstance(self.positions, LearnedPositions):
            return None
        start = self.positions.padding_idx
        return self.positions.count - (0 if start is None else start + 1)


@dataclass(frozen=True)
class Patches:
    """A stem for images: patches, projected, a class token before them, learned positions.

    Roles: `class`, `patch`, `position`, `mask`, `embedding_dropout`.

    Attributes:
        channels: of an image.
        image: height and width in pixels.
        patch: height and width of a patch.
        width: E.
        dropout: on the result.
        masked: a learned vector stands in place of hidden patches.
        std: deviation of fresh positions and of the fresh class token.
        bias: the projection has one.
        flat: the class token is [E], and positions are looked up in a table [P, E].
    """

    channels: int
    image: tuple[int, int]
    patch: tuple[int, int]
    width: int
    dropout: float = 0.0
    masked: bool = False
    std: float = 0.02
    bias: bool = True
    flat: bool = False
    reads = "pixel_values"

    @property
    def grid(self) -> tuple[int, int]:
        """Patches down and across."""
        return self.image[0] // self.patch[0], self.image[1] // self.patch[1]


@dataclass(frozen=True)
class Spans:
    """Spans of an axis that are hidden in training (Park et al. 2019, arXiv:1904.08779, section 2).

    Attributes:
        share: of the axis that is hidden, where spans do not overlap.
        length: of a span.
        least: how many there are at least.
    """

    share: float
    length: int
    least: int = 0


@dataclass(frozen=True)
class Frames:
    """A stem for sounds: frames of a spectrum, read by convolutions along time, at fixed positions.

    Roles: `conv_0`, `conv_1`, ..; `position`, a table of sinusoids that is not trained.

    Attributes:
        bins: numbers of a frame.
        width: E.
        count: T, rows that come out: every input has as many frames as give that many.
        strides: of the convolutions, in order.
        kernel: their reach.
        activation: after each of them.
        dropout: on the result.
        hidden: spans of frames that are silenced in training; `hidden_bins` spans of bins.
    """

    bins: int
    width: int
    count: int
    strides: tuple[int, ...] = (1, 2)
    kernel: int = 3
    activation: str = "gelu"
    dropout: float = 0.0
    hidden: Spans | None = None
    hidden_bins: Spans | None = None
    reads = "input_features"

    @property
    def length(self) -> int:
        """Frames of an input."""
        return self.count * prod(self.strides)


@dataclass(frozen=True)
class Queries:
    """A stem of learned vectors: no input is read for them, they ask what cross attention reads.

    Roles: `query`, where the stack holds them; `embedding_norm`, `embedding_dropout`.

    Attributes:
        count: vectors that the stack holds, the same for every row; 0 where its callers hold them.
        width: E.
        norm: on the vectors.
        dropout: on the result.
    """

    count: int
    width: int
    norm: Norm | None = None
    dropout: float = 0.0
    reads = "query_embeds"


Stem = Tokens | Patches | Frames | Queries


@dataclass(frozen=True)
class Names:
    """Where each role's leaf is registered: the module tree of the ecosystem's checkpoints.

    `layer` maps a role to its path inside a layer; a path of None leaves the role out. `{role}_add` names
    the node in which a residual sum belongs, where that does not follow from the leaves around it.
    """

    layers: str
    layer: Paths
    embeddings: Paths
    stack: Paths = field(default_factory=dict)

    def with_(self, *, layers: str | None = None, **roles: Paths) -> Names:
        """A copy in which the given tables (`layer`, `embeddings`, `stack`) are updated."""
        updated = {name: {**getattr(self, name), **table} for name, table in roles.items()}
        return replace(self, **{**updated, **({"layers": layers} if layers else {})})  # type: ignore[arg-type]


def crossed(paths: Paths) -> dict[str, str | None]:
    """The paths of self attention's roles as those of cross attention's: `q` -> `cross_q`, and so on."""
    return {f"cross_{role.removeprefix('attention_')}": path for role, path in paths.items()}


@dataclass(frozen=True)
class Summary:
    """One token's state stands for its row.

    Attributes:
        token: the first of the row, or the one that ends it.
        ends: ids that end a row, of which the first counts; without any, the highest id does.
        norm: of that state.
    """

    token: Literal["first", "end"] = "first"
    ends: tuple[int, ...] = ()
    norm: Norm | None = None


@dataclass(frozen=True)
class Sharing:
    """Groups of layers, each of which runs several times (Lan et al. 2019, arXiv:1909.11942, section 3.1).

    Attributes:
        inner: name of the list of layers in a group.
        size: layers of a group.
        order: the group that runs at each step.
    """

    inner: str
    size: int
    order: tuple[int, ...]


@dataclass(frozen=True)
class Stack:
    """A whole stack.

    Attributes:
        stem: what enters the first layer.
        layers: the layers, those of one group after those of another.
        names: where the leaves lie; roles of `names.stack`: `first_norm`, `final_norm`, `final_dropout`,
            `pooler`, `pooler_act`, `rotary`, `relative`, `relative_norm`; `projection` to E of what the stem
            gives; `score_bias`, a table of distances that all layers read.
        width: E.
        layer_class: name of the layers' class, as sharding policies spell it.
        first_norm: of what enters the first layer.
        relative_norm: of the table of relative positions that `Disentangled` layers read.
        final_norm: closes a pre-norm stack; `final_dropout` follows it.
        pooler: width of a tanh layer over the first token, `pooler_act` its activation; or which token stands
            for a row as it is; None for neither.
        sharing: how layers share weights.
        layer_drop: probability of leaving a layer out in training (Fan et al. 2019, arXiv:1909.11556).
        decoder: it predicts what comes next, and may keep a cache.
        reports: which hidden states callers see: the last one `normed`, or `plain` as the layers left it, or
            the layers' `outputs` alone, normed.
        initial_std: deviation of fresh weights, `init` that of names with other endings.
    """

    stem: Stem
    layers: tuple[Layer, ...]
    names: Names
    width: int
    layer_class: str = "Layer"
    first_norm: Norm | None = None
    relative_norm: Norm | None = None
    final_norm: Norm | None = None
    final_dropout: float = 0.0
    pooler: int | Summary | None = None
    pooler_act: str = "tanh"
    sharing: Sharing | None = None
    layer_drop: float = 0.0
    decoder: bool = False
    reports: Literal["normed", "plain", "outputs"] = "normed"
    initial_std: float = 0.02
    init: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def mixers(self) -> tuple[Mixer, ...]:
        """The mixers of all layers."""
        return tuple(part.mixer for layer in self.layers for part in layer.parts)

    @cached_property
    def attention(self) -> Attention | None:
        """The first self attention, or None."""
        return next((m for m in self.mixers if isinstance(m, Attention) and not m.cross), None)

    @cached_property
    def by_distance(self) -> bool:
        """Whether closing a gap in a row would change what is computed."""
        return any(m.by_distance for m in self.mixers)

    @cached_property
    def causal(self) -> bool:
        """Whether some mixer looks back alone."""
        return any(m.causal for m in self.mixers)

    @cached_property
    def honours_masks(self) -> bool:
        """Whether a mask of the caller's own can be obeyed."""
        return all(m.honours_masks for m in self.mixers)

    @cached_property
    def slots(self) -> tuple[SlotSpec | None, ...]:
        """What every layer keeps: the slot of its first mixer that has one."""
        return tuple(
            next((p.mixer.slot for p in layer.parts if p.mixer.slot is not None), None)
            for layer in self.layers
        )

    @cached_property
    def needs(self) -> frozenset[str]:
        """What an attention backend must be able to do."""
        return frozenset().union(*(m.needs for m in self.mixers))

    @cached_property
    def first_suffices(self) -> bool:
        """Whether the last layer may compute the first token of every sequence alone."""
        return (
            bool(self.layers)
            and not self.layer_drop
            and (self.sharing is None or self.sharing.size == 1)
            and all(part.mixer.first_alone for part in self.layers[-1].parts)
        )

    @cached_property
    def room(self) -> int | None:
        """How many tokens a row may have: rows of the position table, or what rotary positions know."""
        if isinstance(self.stem, Tokens) and self.stem.room is not None:
            return self.stem.room
        return next((rule.trained_length for rule in self.rotaries), None)

    @cached_property
    def relative(self) -> int:
        """Rows of the table of relative positions; 0 for none."""
        return 2 * max((m.span for m in self.mixers if isinstance(m, Disentangled)), default=0)

    @cached_property
    def rotaries(self) -> tuple[Rotary, ...]:
        """The rotary rules of the layers, each once."""
        rules = (m.rotary for m in self.mixers if isinstance(m, Attention) and m.rotary is not None)
        return tuple(dict.fromkeys(rules))


def norms_first(made: Stack) -> Stack:
    """A stack with norms on its sums, with those norms before its parts instead, and one that closes it."""
    turned = {  # layers that are alike stay one value
        id(layer): Layer(tuple(replace(part, before=part.after, after=None) for part in layer.parts))
        for layer in made.layers
    }
    norm = next((part.after for layer in made.layers for part in layer.parts), None)
    return replace(made, layers=tuple(turned[id(layer)] for layer in made.layers), final_norm=norm)


def pair(size: object) -> tuple[int, int]:
    """Height and width, of one number or of two.

    Raises:
        ValueError: for what is neither.
    """
    found = (size, size) if isinstance(size, int) else size
    if isinstance(found, (list, tuple)) and len(found) == 2:
        high, wide = found
        if isinstance(high, int) and isinstance(wide, int) and min(high, wide) > 0:
            return high, wide
    raise ValueError(f"sizes of images and patches are whole numbers, one or two, not {size!r}")
