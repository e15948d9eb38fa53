"""What happens to several maps, the largest first: decoders are nodes of `nets` whose runs hold these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from formers.nn.spec.nets import Run, Step


def numbered(path: str, count: int) -> tuple[str, ...]:
    """Names of the parts of a list."""
    return tuple(f"{path}.{i}" for i in range(count))


@dataclass(frozen=True)
class Each(Step):
    """Every map goes through a part of its own.

    Attributes:
        parts: one for each of the first maps.
        rest: what happens to every map behind those.
        rows: the parts make rows, [B, H * W, D], which become maps again.
    """

    parts: tuple[str, ...]
    rest: tuple[Run, ...] = ()
    rows: bool = False


@dataclass(frozen=True)
class Fold(Step):
    """From the last map to the first, parts of a list make something of each and of what was made before it.

    Attributes:
        part: the list; what its parts make are the maps that are left, the smallest first.
        near: they are called with the map first, and with what was made before it second.
        told: they are told the size of the map that follows.
        first: the part that reads the last map, before those of the list; what it makes is not left.
    """

    part: str
    near: bool = False
    told: bool = False
    first: str = ""


@dataclass(frozen=True)
class Raised(Step):
    """What was kept is added, each place of this map taking the nearest of it."""


@dataclass(frozen=True)
class Downward(Step):
    """From the last map to the first, each goes on in the one before it (arXiv:1612.03144), all of one width.

    Attributes:
        parts: for each step, what reads a map (its result takes the map's place), and what reads that result,
            twice as large, with the map before it beside it.
    """

    parts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Upward(Step):
    """From the first map to the last, each goes on in the next one (arXiv:1803.01534, section 3.1).

    Attributes:
        parts: for each step, what makes the map before half as large, and what reads that with the next one
            beside it.
    """

    parts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Pick(Step):
    """One of several maps is left."""

    number: int


@dataclass(frozen=True)
class Collected(Step):
    """What was kept, `count` maps, and behind them what is here: several maps."""

    count: int


@dataclass(frozen=True)
class Released(Step):
    """Of several maps the last is here, and those before it are kept."""


@dataclass(frozen=True)
class Unread(Step):
    """A part reads what is here, and nothing reads what it makes: it is called where somebody looks."""

    part: str


@dataclass(frozen=True)
class Standardised(Step):
    """Pictures less a mean, over a deviation, for every channel."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]


@dataclass(frozen=True)
class Last(Step):
    """What a part makes of the last map takes its place."""

    part: str


@dataclass(frozen=True)
class Besides(Step):
    """What a part makes of several maps, and behind it the last of them as it was."""

    part: str


@dataclass(frozen=True)
class Branches(Step):
    """What runs of steps each make of one map, as large as that: several maps."""

    runs: tuple[tuple[Run, ...], ...]


@dataclass(frozen=True)
class Grown(Step):
    """As large as what was kept, which is given up."""


@dataclass(frozen=True)
class Attends(Step):
    """Rows attend to each other: parts `query`, `key` and `value`; `dropout` of the weights."""

    heads: int


@dataclass(frozen=True)
class Looks(Step):
    """Places of a map attend to each other, by one head: convolutions of size 1 named so make its three."""

    query: str
    key: str
    value: str


@dataclass(frozen=True)
class Edged(Step):
    """So many zeros to the left, to the right, above and below, which no part of the tree puts there."""

    sides: tuple[int, int, int, int]


@dataclass(frozen=True)
class ByPatches(Step):
    """Places that lie alike in their patches are rows, [B * patch, patches, C], to parts; then a map again.

    Mehta and Rastegari 2021, arXiv:2110.02178, section 3.1.
    """

    patch: tuple[int, int]
    parts: tuple[str, ...]


@dataclass(frozen=True)
class Mixed(Step):
    """All maps as large as the first, the last one first, side by side, through a convolution of size 1."""

    part: str


@dataclass(frozen=True)
class Onto(Step):
    """Where something was kept: what a part makes of this map, as large as that, is added to it."""

    part: str


@dataclass(frozen=True)
class Enlarged(Step):
    """A map is made larger, between its places by shares.

    Attributes:
        factor: how much.
        corners: the centres of the corners' places stay in the corners.
        told: `factor` times the size that the node was told, where it was told one.
        exact: or that size itself.
        part: a convolution of size 1 that reads the result.
    """

    factor: int = 2
    corners: bool = False
    told: bool = False
    exact: bool = False
    part: str = ""


@dataclass(frozen=True)
class Repeated(Step):
    """A map is made larger: every place stands `factor` times down and across."""

    factor: int = 2


@dataclass(frozen=True)
class CutTo(Step):
    """Of a map its upper left, `factor` times the size that was told."""

    factor: int = 1
    told: ClassVar[bool] = True


@dataclass(frozen=True)
class Bare(Step):
    """An activation that no module holds."""

    name: str


@dataclass(frozen=True)
class Times(Step):
    """Multiplied by a number."""

    value: float


@dataclass(frozen=True)
class Weighed(Step):
    """Of two maps side by side, parts make two weights for every place, and these their weighed sum."""

    parts: tuple[str, ...]


@dataclass(frozen=True)
class Placed(Step):
    """Rows of patches behind a class token, [B, 1 + H * W, E], become maps of the size told; maps stay.

    Attributes:
        readout: what becomes of the class token: "ignore" leaves it out, "add" adds it to every patch; with
            "project" it stands beside every one, and the map's own part in the list `part` makes one of both.
    """

    readout: str = "ignore"
    part: str = ""
