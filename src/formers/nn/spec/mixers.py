"""What a part of a layer does: the protocol, and what treats each token by itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil
from typing import Literal, Protocol

from formers.nn.spec.values import LinearKind, Norm, SlotSpec


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
    def reads_padding(self) -> bool:
        """Whether tokens read padding, as neighbours or as text, so that it is computed."""

    @property
    def slot(self) -> SlotSpec | None:
        """What it keeps in a cache."""

    @property
    def first_alone(self) -> bool:
        """Whether the first token's result can be computed without that of the others."""


@dataclass(frozen=True)
class _Tokenwise:
    """Facts of a mixer that looks at one token at a time."""

    causal = False
    by_distance = False
    needs: frozenset[str] = field(default=frozenset(), init=False, repr=False)
    honours_masks = True
    reads_padding = False
    slot = None
    first_alone = True


@dataclass(frozen=True)
class FeedForward(_Tokenwise):
    """Position-wise feed-forward: up, activation (times gate when `gated`), down.

    `dropout` falls on the inner values. `fused`: gate and up are one leaf under the role `gate_up`, one after
    the other (if `up_first`, up stands first) or (`alternating`) feature by feature. `clamp`, c and a: gate
    and up are cut at c, up at -c too, and (up + 1) * gate * sigmoid(a * gate) comes out, whatever the
    activation. `down` is the kind of the last leaf where it is not that of the others. Where a layer has
    several, roles begin with their `prefix`. Factors: `scale_gate` on what the activation of a gate reads,
    `scale` on the result. `norm` is of the inner values, once they were dropped (role `inner_norm`; Wang et
    al. 2022, arXiv:2210.06423).
    """

    inner: int = 0
    activation: str = "gelu"
    gated: bool = False
    fused: bool = False
    alternating: bool = False
    up_first: bool = False
    clamp: tuple[float, float] | None = None
    bias: bool = True
    dropout: float = 0.0
    linear: LinearKind = "linear"
    down: LinearKind | None = None
    prefix: str = ""
    scale_gate: float = 1.0
    scale: float = 1.0
    norm: Norm | None = None


@dataclass(frozen=True)
class TopTwo:
    """Two experts for every token, while they have room among all tokens of a batch.

    Lepikhin et al. 2020, arXiv:2006.16668, section 2.2 and algorithm 1; the shares of the two sum to one.

    Attributes:
        second: the second best of `all`; of a `sampling` that adds Gumbel noise to the logits; or left out at
            `random`, where twice its weight is less than a number from 0 to 1.
        early: weights are normed before tokens are left out for lack of room, not after.
        surest: the surest tokens find room first, not those that stand first.
        room: tokens that an expert reads at most; None for twice its even share.
        share: of all tokens, that room in evaluation; none of its own where it is not positive.
    """

    second: Literal["all", "sampling", "random"] = "all"
    early: bool = False
    surest: bool = False
    room: int | None = None
    share: float = 0.0

    def most(self, tokens: int, experts: int, training: bool) -> int:
        """How many of so many tokens one of so many experts reads."""
        if self.share > 0 and not training:
            return ceil(self.share * tokens)
        return 2 * ceil(tokens / experts) if self.room is None else self.room


@dataclass(frozen=True)
class Experts(_Tokenwise):
    """A mixture of experts: a router sends every token to some of many feed-forwards (Shazeer et al. 2017).

    Roles: `router`, `router_bias`; `expert_gate`, `expert_up`, `expert_down` with `{i}` in their paths, or
    of tensors that hold all experts (then with `expert_up_bias`, ...); `shared_gate`, ... of a feed-forward
    that reads every token, `share` of its weight; `mixture`, the node that holds them all.

    Attributes:
        count: experts; `chosen` of them read each token.
        each: one expert.
        stacked: one tensor holds all experts: [experts, out, in] (`rows`), [experts, in, out] (`columns`),
            or [experts * F, E] (`flat`).
        router_bias: the router's leaf has a bias.
        scores: how logits become scores: of all, or (`softmax of chosen`) of the chosen alone; or `in turn`,
            twice, of those that are as good as the best but for `tolerance` (Liu et al. 2024,
            arXiv:2409.12136).
        tolerance: half the relative distance from the best.
        normalised: the weights of the chosen have the norm one, before `scale`; `order` is that of the norm.
        scale: factor on the weights.
        weighs: whether the weights fall on what an expert finds (`results`), or on what it reads (`inputs`).
        groups: experts are chosen from the best `kept_groups` of so many groups alone, a group being judged
            by the sum of its `group_best` best (DeepSeek-AI 2024, arXiv:2405.04434, section 2.2.2).
        corrected: a bias on the scores counts for the choice, not for the weights (arXiv:2408.15664).
        wide: the router computes in float32.
        shared: the feed-forward that reads every token, `weighed` by a sigmoid of its own.
        capacity: tokens of a sequence that an expert reads at most in one call, the first ones; the others
            are left as they are (arXiv:2101.03961, section 2.2). Whoever looks at the router sees sequences.
        shift: a learned vector is added to what they find (role `mixture_bias`).
        flat: it is called with [N, E] in a watched pass too, as the experts are.
        jitter: in training, what enters is multiplied by numbers from 1 - jitter to 1 + jitter (Fedus et al.
            2021, arXiv:2101.03961, section 2.2), `jitters` times.
        two: how two are found for every token, in place of `scores`.
        dropout: probability of dropping what experts find, under the role `expert_dropout`; in evaluation all
            of it is multiplied by what that would leave.
        reads_padding: padding takes room too.
    """

    count: int
    chosen: int
    each: FeedForward
    stacked: Literal["", "rows", "columns", "flat"] = ""
    router_bias: bool = False
    scores: Literal["softmax", "softmax of chosen", "sigmoid", "in turn"] = "softmax"
    tolerance: float = 0.0
    normalised: bool = True
    order: float = 1.0
    scale: float = 1.0
    weighs: Literal["results", "inputs"] = "results"
    groups: int = 1
    kept_groups: int = 1
    group_best: int = 1
    corrected: bool = False
    wide: bool = False
    shared: FeedForward | None = None
    weighed: bool = False
    capacity: int | None = None
    shift: bool = False
    flat: bool = False
    jitter: float = 0.0
    jitters: int = 1
    two: TopTwo | None = None
    dropout: float = 0.0
    reads_padding: bool = False

    def __post_init__(self) -> None:
        size = self.count // self.groups
        if self.count % self.groups or not 0 < self.kept_groups <= self.groups or self.group_best > size:
            raise ValueError(
                f"{self.count} experts do not make {self.groups} equal groups, of which {self.kept_groups} "
                f"are kept by their best {self.group_best}"
            )
        if (self.scores == "in turn" or self.two is not None) and self.chosen != 2:
            raise ValueError(f"experts that are chosen in turn are two for each token, not {self.chosen}")
        if self.chosen > size * self.kept_groups:
            raise ValueError(
                f"{self.chosen} experts cannot be chosen from the {size * self.kept_groups} that there are"
            )


@dataclass(frozen=True)
class ByLanguage(_Tokenwise):
    """A feed-forward for each language (Pfeiffer et al. 2022, arXiv:2205.06266, section 3).

    A token is read by that of its language's number. Roles: `language_up`, `language_act`, `language_down`
    with `{i}` for the language; `languages`, the node that holds them all.
    """

    languages: tuple[str, ...] = ()
    each: FeedForward = FeedForward()
