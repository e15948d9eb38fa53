"""A stack: a stem, layers, names, and what lies after them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from formers.nn.grids import Axial
from formers.nn.positions import Rotary
from formers.nn.spec.attention import Attention, Disentangled
from formers.nn.spec.dynamic_resolution import Averaged, Merged
from formers.nn.spec.layers import Layer
from formers.nn.spec.mixers import FeedForward, Mixer
from formers.nn.spec.post_encoder import PostEncoder
from formers.nn.spec.scans import TimeMixing
from formers.nn.spec.stems import Stem, Tokens
from formers.nn.spec.values import Names, Norm, SlotSpec, SpecError


@dataclass(frozen=True)
class Summary:
    """One token's state stands for its row.

    Attributes:
        token: the first of the row, or the one that ends it, or that in the last column, be it padding, or
            the mean of all but the first, or that of the first two (`pair`).
        ends: ids that end a row, of which the first counts; without any, the highest id does.
        norm: of that state.
        projected: width of a linear layer over it.
        again: the norm that closes the stack is of that state once more.
    """

    token: Literal["first", "end", "last", "rest", "pair"] = "first"
    ends: tuple[int, ...] = ()
    norm: Norm | None = None
    projected: int | None = None
    again: bool = False


@dataclass(frozen=True)
class Asked:
    """A learned query that attends to all states of a row without padding, and a feed-forward behind it.

    Zhai et al. 2021, arXiv:2106.04560, section 3.4. Roles of `names.stack`: `query`, `asked`, which holds
    the projections as `torch.nn.MultiheadAttention` does, `asked_norm`, and those of the feed-forward.

    Attributes:
        heads: H.
        feedforward: its result is added to what it reads, `norm` before it.
    """

    heads: int
    feedforward: FeedForward
    norm: Norm
    token = "all"


@dataclass(frozen=True)
class LayerSharing:
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
class Convolution:
    """A convolution along the text of what enters the first layer, added to what that returns.

    Microsoft's DeBERTa v2, `ConvLayer`. Roles of `names.stack`: `conv`, `conv_dropout`, `conv_norm`.

    Attributes:
        kernel: its reach, odd; `groups` of features that do not mix.
        activation: of its result, after `dropout`.
        norm: of the sum.
    """

    kernel: int
    norm: Norm
    groups: int = 1
    activation: str = "tanh"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.kernel % 2 == 0:
            raise ValueError(f"a convolution that keeps a text's length has an odd reach, not {self.kernel}")


@dataclass(frozen=True)
class ConvolutionalPositions:
    """Convolutions along time whose result is added, in place of positions: what is near tells the place.

    Roles of `names.stack`: `near`, a module of them; `near_norm`, `near_dropout`.

    Attributes:
        kernel: their reach.
        groups: of features that do not mix.
        depth: how many follow each other, each with a norm without weights; if None, one has a normed kernel
            instead, a length for each of its columns and directions.
        activation: after each of them.
        norm: of the sum; `dropout` follows, where it is not None.
        every: rows that become one before the layers (Wu et al. 2021, arXiv:2109.06870, section 4.3): the
            convolution takes steps of as many, and its result is added to their mean (role `near_pool`);
            behind the layers a linear layer makes as many of each again (`widen`, a module).
        idle: files keep the convolution and nothing runs it, or (a kernel of 0) there is none: what enters is
            zero where it is not real, and dropped.
    """

    kernel: int
    groups: int
    depth: int | None = None
    activation: str = "gelu"
    norm: Norm | None = None
    dropout: float | None = 0.0
    every: int = 1
    idle: bool = False

    def __post_init__(self) -> None:
        if self.every < 1 or (self.every > 1 and (self.depth is not None or not self.kernel or self.idle)):
            raise SpecError(
                "rows become fewer, every >= 1 of them one, by one convolution with a normed kernel"
            )


@dataclass(frozen=True)
class Stack:
    """A whole stack.

    Attributes:
        stem: what enters the first layer.
        layers: the layers, those of one group after those of another.
        names: where the leaves lie; roles of `names.stack`: `first_norm`, `final_norm`, `final_dropout`,
            `pooler`, `pooler_act`, `rotary`, `relative`, `relative_norm`; `projection` to E of what the stem
            gives, `final_projection` from E; `score_bias`, a table of distances that all layers read;
            `rotary_table`, sines and cosines that stand in the file, in place of those that the layers'
            rotary rule gives; `blank`, what a second stream begins with; `beside`, the table of that beside
            every row; `prompts` and `cross_prompts`, see `Prompts`.
        width: E.
        layer_class: name of the layers' class, as sharding policies spell it.
        first_norm: of what enters the first layer.
        relative_norm: of the table of relative positions that `Disentangled` layers read.
        convolution: beside the first layer.
        near: added to what enters the first layer.
        final_norm: closes a pre-norm stack; `final_dropout` follows it, or a projection to `projected`.
        pooler: width of a tanh layer over the first token, `pooler_act` its activation; or which token stands
            for a row as it is; or a query that asks all; None for none.
        sharing: how layers share weights.
        beside: vectors that stand beside every row, a second stream of `Chunked` layers.
        layer_drop: probability of leaving a layer out in training (Fan et al. 2019, arXiv:1909.11556).
        decoder: it predicts what comes next, and may keep a cache.
        between: positions of a stem of patches are learned for every layer but the first, and added to what
            it reads (role `between` of `names.stack`, in the node that holds the layers).
        stepwise: `final_norm` follows every layer too, and callers get what it gives after each.
        behind: layers behind all, which make rows fewer; `assemblies.audio.waveform_encoder` runs them.
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
    convolution: Convolution | None = None
    near: ConvolutionalPositions | None = None
    final_norm: Norm | None = None
    final_dropout: float = 0.0
    projected: int | None = None
    pooler: int | Summary | Asked | Merged | Averaged | None = None
    pooler_act: str = "tanh"
    sharing: LayerSharing | None = None
    beside: int = 0
    layer_drop: float = 0.0
    decoder: bool = False
    between: bool = False
    stepwise: bool = False
    behind: PostEncoder | None = None
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
    def crosses(self) -> bool:
        """Whether some attention reads an encoder's states."""
        return any(isinstance(m, Attention) and m.cross for m in self.mixers)

    @property
    def last_width(self) -> int:
        """Width of the last states."""
        return self.behind.width if self.behind is not None else self.projected or self.width

    @cached_property
    def by_distance(self) -> bool:
        """Whether closing a gap in a row would change what is computed."""
        return self.convolution is not None or any(m.by_distance for m in self.mixers)

    @cached_property
    def by_time(self) -> bool:
        """Whether whoever looks inside the layers sees [T, B, E]."""
        return self.attention is not None and self.attention.by_time

    @cached_property
    def by_column(self) -> bool:
        """Whether padding before the first token changes what is computed."""
        return any(getattr(m, "by_column", False) for m in self.mixers)

    @cached_property
    def causal(self) -> bool:
        """Whether some mixer looks back alone."""
        return any(m.causal for m in self.mixers)

    @cached_property
    def honours_masks(self) -> bool:
        """Whether a mask of the caller's own can be obeyed."""
        return all(m.honours_masks for m in self.mixers)

    @cached_property
    def reads_padding(self) -> bool:
        """Whether padding is computed, because tokens read it."""
        padded = getattr(self.stem, "reads_padding", False) or getattr(self.pooler, "token", "") == "last"
        return padded or any(m.reads_padding for m in self.mixers)

    @cached_property
    def slots(self) -> tuple[SlotSpec | None, ...]:
        """What every layer keeps: the slot of its first mixer that has one, or one for a state and keys."""
        found = []
        for layer in self.layers:
            kept = [p.mixer.slot for p in layer.parts if p.mixer.slot is not None]
            both = {slot.kind for slot in kept} == {"recurrent", "growing"}
            found.append(SlotSpec("hybrid") if both else next(iter(kept), None))
        return tuple(found)

    @cached_property
    def shows(self) -> bool:
        """Whether there is anything to show where attentions are asked for."""
        return any(isinstance(m, Attention | TimeMixing) for m in self.mixers)

    @cached_property
    def layer_classes(self) -> tuple[str, ...]:
        """Names of the layers' classes, each once; none where no node holds a layer."""
        if not self.names.layers:
            return ()
        return tuple(dict.fromkeys(layer.name or self.layer_class for layer in self.layers))

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
            and (self.near is None or self.near.every == 1)
            and getattr(self.pooler, "token", "first") == "first"
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
        rules = (m.rotary for m in self.mixers if isinstance(m, Attention) and isinstance(m.rotary, Rotary))
        return tuple(dict.fromkeys(rules))

    @cached_property
    def axes(self) -> int:
        """How many axes positions have; 0 where they are numbers."""
        return max((len(rule.sections) for rule in self.rotaries), default=0)

    @cached_property
    def axial(self) -> Axial | None:
        """How patches are turned by their places."""
        rule = None if self.attention is None else self.attention.rotary
        return rule if isinstance(rule, Axial) else None


@dataclass(frozen=True)
class Downsampled:
    """Text read by characters, and in groups of them (Clark et al. 2021, arXiv:2103.06874, section 3).

    Layers of one kind read characters; a convolution makes a place of every `rate` of them, before which the
    first character has a place of its own, and the last group none. The other layers read places. Every
    character and the state of its place are made one by a second convolution, for the last layers.

    Attributes:
        first: the stem, the first layers, and what is common to all.
        layers: those over places.
        last: those over characters again.
        paths: of the lists `deep` and `last`; `down_conv`, `down_act`, `down_norm`; `up_conv`, `up_act`,
            `up_norm`, `up_dropout`; `pooler_dense`, `pooler_act`, over the first place.
        rate: characters of a place.
        kernel: reach of the second convolution.
        activation: of both; `norm` likewise.
        dropout: on what the second one found.
    """

    first: Stack
    layers: tuple[Layer, ...]
    last: tuple[Layer, ...]
    paths: Mapping[str, str]
    rate: int
    kernel: int
    activation: str
    norm: Norm
    dropout: float = 0.0


def norms_first(made: Stack) -> Stack:
    """A stack with norms on its sums, with those norms before its parts instead, and one that closes it."""
    turned = {  # layers that are alike stay one value
        id(layer): replace(
            layer, parts=tuple(replace(part, before=part.after, after=None) for part in layer.parts)
        )
        for layer in made.layers
    }
    norm = next((part.after for layer in made.layers for part in layer.parts), None)
    return replace(made, layers=tuple(turned[id(layer)] for layer in made.layers), final_norm=norm)
