"""Networks over maps, [B, channels, height, width]: nodes of the checkpoint's tree, and what runs in them.

A node names its parts as the checkpoint does, and says in which order they run; between them stand marks. A
net is the outermost node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar, Literal


class Mark(Enum):
    """What happens between parts."""

    BEGIN = "what is here is kept for a sum, a product or a difference"
    SUM = "what was kept is added"
    TIMES = "what was kept is multiplied by this"
    LESS = "what was kept is taken away"
    ROWS = "channels go last: [B, H, W, C]"
    MAPS = "channels go second again"
    MEAN = "the mean over height and width: [B, C]"
    FLAT = "[B, C, 1, 1] becomes [B, C]"
    PLACES = "rows of all places, [B, H * W, C]"
    KEEP = "this is a hidden state"
    SWAP = "what was kept, and what is here, change places"
    DOWN = "from the last of several maps to the first, each becomes a sum with the one after it, enlarged"
    ALIKE = "several maps become as large as the first"
    TOGETHER = "several maps side by side"
    BESIDE = "what was kept, and what is here, side by side"
    SINGLE = "[B, 1, H, W] becomes [B, H, W]"


BEGIN, SUM, TIMES, LESS = Mark.BEGIN, Mark.SUM, Mark.TIMES, Mark.LESS
ROWS, MAPS, MEAN, FLAT, KEEP = Mark.ROWS, Mark.MAPS, Mark.MEAN, Mark.FLAT, Mark.KEEP
SWAP, DOWN, ALIKE, TOGETHER, BESIDE = Mark.SWAP, Mark.DOWN, Mark.ALIKE, Mark.TOGETHER, Mark.BESIDE
SINGLE, PLACES = Mark.SINGLE, Mark.PLACES


@dataclass(frozen=True)
class Plus:
    """What a part makes of what was kept is added."""

    part: str


@dataclass(frozen=True)
class Within:
    """A node is called with what was kept, which it may add, and what is here; with `near`, that first."""

    part: str
    near: bool = False


@dataclass(frozen=True)
class Scaled:
    """A learned factor for every channel, which stand last in `rows`, else second."""

    part: str
    rows: bool = True


@dataclass(frozen=True)
class Step:
    """What several maps need; see `spec.multi_scale`."""


# a part by its name, `list.0` one of a list
Run = str | Mark | Plus | Within | Scaled | Step


@dataclass(frozen=True)
class Conv:
    """A convolution, with `padding` on all sides; half the kernel's reach, where nothing is said.

    `same` pads as TensorFlow does, by the size of what is read. Fresh weights are normal; if `spread`, their
    deviation follows from what is made (He et al. 2015, arXiv:1502.01852). With a `gain` they are even, and
    what is read and made bounds them, times that (`fresh.Xavier`). `standard`: weights have mean 0 and
    variance 1 for each channel that is made (arXiv:1903.10520), with so much added to their variance.
    """

    read: int
    made: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    dilation: int = 1
    bias: bool = False
    padding: int | None = None
    same: bool = False
    spread: bool = False
    gain: float | None = None
    standard: float | None = None


@dataclass(frozen=True)
class BatchNorm:
    """Over the images of a batch in training, over what was seen then in evaluation (arXiv:1502.03167).

    Weights begin as ones, or are drawn around zero with a `deviation`.
    """

    width: int
    eps: float = 1e-5
    momentum: float = 0.1
    deviation: float | None = None


@dataclass(frozen=True)
class FrozenNorm:
    """A batch norm that nothing trains and nothing updates: all of it is kept as buffers."""

    width: int


@dataclass(frozen=True)
class NormedConv:
    """A convolution whose part `norm`, a `FrozenNorm`, reads what it made; it may be left out of training."""

    conv: Conv
    trained: bool = True


@dataclass(frozen=True)
class ChannelNorm:
    """A layer norm of the channels of every place, which stand last in `rows`, else second."""

    width: int
    eps: float = 1e-6
    rows: bool = False


@dataclass(frozen=True)
class Act:
    """An activation; without a name nothing happens there. `slope`: of `leaky_relu` below zero."""

    name: str | None = None
    slope: float = 0.01


@dataclass(frozen=True)
class GroupNorm:
    """Over groups of channels and all places (arXiv:1803.08494); its part `activation` reads what it made."""

    width: int
    eps: float = 1e-5
    groups: int = 1
    act: Act | None = None


@dataclass(frozen=True)
class Pool:
    """The largest, or the mean, of what a window sees; padding counts for nothing.

    Size 0: of windows that make `to` places down and across, or so many each. `whole`: windows that reach
    over the edge count too. `zeros`: a part `pad` first puts zeros around, by the size of what is read, or
    none.
    """

    kind: Literal["largest", "mean"] = "mean"
    size: int = 0
    stride: int = 1
    padding: int = 0
    to: int | tuple[int, int] = 1
    whole: bool = False
    zeros: bool | None = None


@dataclass(frozen=True)
class Larger:
    """A map made larger, between its places by shares; with `corners`, corners' centres stay there."""

    factor: int = 2
    corners: bool = False


@dataclass(frozen=True)
class Spread:
    """Every place makes `factor` places down and across: a convolution turned round."""

    read: int
    made: int
    factor: int = 2


@dataclass(frozen=True)
class Shuffled:
    """Channels become places: `factor` down and across of every `factor` ** 2 (arXiv:1609.05158)."""

    factor: int = 2


@dataclass(frozen=True)
class Pad:
    """Zeros to the left, to the right, above and below."""

    sides: tuple[int, int, int, int]


@dataclass(frozen=True)
class Dense:
    """A linear layer over channels that stand last; for `gain` see `Conv`."""

    read: int
    made: int
    bias: bool = True
    gain: float | None = None


@dataclass(frozen=True)
class Responses:
    """Channels against each other by how strongly they respond (arXiv:2301.00808, section 3)."""

    width: int


@dataclass(frozen=True)
class DualAttention:
    """Attention within windows of places, and then between groups of channels (arXiv:2204.03645, section 3).

    Attributes:
        width: channels of the map.
        heads: of windows; `groups` of channels.
        window: edge of a window.
        inner: width within feed-forwards.
        act: activation there.
        drops: how often the sums of either half are left out in training.
        names: of the halves `windows` and `channels`; in each of what attends, `windows_mix` and
            `channels_mix`, and of `conv_1`, `conv_2`, `norm_1`, `norm_2`, `drop_1`, `drop_2`, `feedforward`;
            inside of those of `qkv`, `o`, `act`, `up`, `down`.
        bias: queries, keys and values have one.
    """

    width: int
    heads: int
    groups: int
    window: int
    inner: int
    act: str
    drops: tuple[float, float]
    names: Mapping[str, str]
    bias: bool = True

    def __post_init__(self) -> None:
        for name, count in (("heads", self.heads), ("groups of channels", self.groups)):
            if self.width % count:
                raise ValueError(f"{count} {name} do not share {self.width} channels alike")


@dataclass(frozen=True)
class Drop:
    """Dropout; of whole images if `paths` (stochastic depth, arXiv:1603.09382), of maps if `channels`."""

    rate: float
    paths: bool = False
    channels: bool = False


@dataclass(frozen=True)
class Factor:
    """The parameter of `Scaled`, [C]."""

    width: int
    value: float


@dataclass(frozen=True)
class Node:
    """A node of the tree.

    Attributes:
        parts: name -> what stands there, in the order in which the ecosystem's class makes them.
        run: what happens, in order; all parts, where nothing else is said.
        name: the ecosystem's name of its class, where sharding may ask for it.
        record: it returns a record, not the map alone.
    """

    parts: Mapping[str, Any]
    run: tuple[Run, ...] | None = None
    name: str = ""
    record: bool = False

    @property
    def steps(self) -> tuple[Run, ...]:
        """What happens."""
        return tuple(self.parts) if self.run is None else self.run


def rounded(channels: float, by: int, least: int) -> int:
    """The multiple of `by` near so many channels, at least 0.9 times as many, and `least`."""
    near = max(least, int(channels + by / 2) // by * by)
    return near + by if near < 0.9 * channels else near


def row(*parts: Any, keep: bool = False, first: int = 0) -> Node:
    """A list of numbered parts, the result of each of which is a hidden state if `keep`."""
    names = [str(i) for i in range(first, first + len(parts))]
    run = [one for name in names for one in ((name, KEEP) if keep else (name,))]
    return Node(dict(zip(names, parts, strict=True)), tuple(run))


def perceptron(*widths: int, gain: float | None = None) -> Node:
    """Linear layers of those widths, the first of which is read; between them stands relu."""
    pairs, last = zip(widths[:-1], widths[1:], strict=True), len(widths) - 2
    layers = enumerate(Dense(read, made, gain=gain) for read, made in pairs)
    return row(*(row(one, Act("relu" if i < last else None)) for i, one in layers))


def rates(last: float, depths: Sequence[int]) -> list[list[float]]:
    """How often blocks are left out, in even steps from 0 to `last`, by stage."""
    count = sum(depths)
    even = [last * i / max(count - 1, 1) for i in range(count)]
    starts = [sum(depths[:i]) for i in range(len(depths))]
    return [even[start : start + depth] for start, depth in zip(starts, depths, strict=True)]


def strides(count: int, before: int, most: int) -> list[tuple[int, int]]:
    """Strides of stages, and their dilations: all but the first halve maps, down to a `most`-th of pictures.

    Before, they are `before` times smaller than pictures. Stages that halve no more spread kernels instead.
    """
    found, spread = [], 1
    for number in range(count):
        stride = 2 if number else 1
        if before >= most:
            spread, stride = spread * stride, 1
        before *= stride
        found.append((stride, spread))
    return found


def stages(
    read: int, widths: Sequence[int], depths: Sequence[int], make: Callable[[int, int, int, int], Any]
) -> list[Node]:
    """For every stage a row of blocks.

    `make` is told what a block reads, what it makes, and the numbers of the stage and of the block in it.
    """
    found = []
    for i, (made, depth) in enumerate(zip(widths, depths, strict=True)):
        found.append(row(*(make(made if j else read, made, i, j) for j in range(depth))))
        read = made
    return found


@dataclass(frozen=True)
class Net(Node):
    """A network.

    Attributes:
        channels: of what it reads.
        widths: channels of the hidden states.
        pool: what happens to the last map, for one vector of every image; None for no such vector.
        closing: what happens before that alone.
        deviations: of fresh weights, by ending of the name, beside `std`.
        layer_classes: names of nodes' classes that no sharding cuts.
    """

    channels: int = 3
    widths: tuple[int, ...] = ()
    pool: tuple[Run, ...] | None = None
    closing: tuple[Run, ...] = ()
    last: int | None = None
    std: float = 0.02
    deviations: Mapping[str, float] = field(default_factory=dict)
    layer_classes: tuple[str, ...] = ()
    reads: ClassVar[str] = "pixel_values"
    attention: ClassVar[None] = None
    causal: ClassVar[bool] = False
    decoder: ClassVar[bool] = False

    @property
    def last_width(self) -> int:
        """Channels of the last map."""
        return self.last or self.widths[-1]

    @property
    def kinds(self) -> list[str]:
        """What it is made of, each once."""

        def words(node: Node) -> Iterator[str]:
            for part in node.parts.values():
                if isinstance(part, Node):
                    yield from words(part)
                else:
                    yield type(part).__name__

        return list(dict.fromkeys(words(self)))
