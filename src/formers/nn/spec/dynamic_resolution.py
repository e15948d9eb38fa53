"""Pictures and films of any size, which come as rows of patches, and what stands for them in a text."""

from __future__ import annotations

from dataclasses import dataclass, replace

from formers.nn.spec.values import Norm


@dataclass(frozen=True)
class GridPatches:
    """A stem for pictures and films of any size, whose patches lie end to end (arXiv:2409.12191).

    Blocks of `merge` x `merge` patches stand together. What layers attend within is held by the pass:
    "frames", and "windows" of so many blocks. Roles: `patch`, and `position` where there is a table.

    Attributes:
        channels: of a picture.
        patch: edge of a patch; `frames` of it.
        width: E.
        merge: edge of a block.
        window: edge of a window in blocks; None for none.
        bias: of the projection.
        side: edge of the square of learned positions, which is stretched to each grid; None for none.
    """

    channels: int
    patch: int
    frames: int
    width: int
    merge: int = 2
    window: int | None = None
    bias: bool = False
    side: int | None = None
    reads = "hidden_states"
    room = None

    @property
    def numbers(self) -> int:
        """Of a patch."""
        return self.channels * self.frames * self.patch**2


@dataclass(frozen=True)
class SizedPatches:
    """A stem for pictures of any size, padded to one, whose own patches lie end to end in one row.

    What layers attend within is held by the pass: "frames" (arXiv:2410.07073, section 2.1). Roles: `patch`.

    Attributes:
        channels: of a picture.
        patch: height and width of a patch.
        width: E.
        bias: of the projection.
    """

    channels: int
    patch: tuple[int, int]
    width: int
    bias: bool = False
    reads = "pixel_values"
    room = None


@dataclass(frozen=True)
class Averaged:
    """The mean of `count` rows that stand together, and a norm: `averaged`, `averaged_norm` of `names.stack`.

    Attributes:
        count: of the rows.
        norm: of the means.
    """

    count: int
    norm: Norm


@dataclass(frozen=True)
class Merged:
    """`count` rows that stand together become one, by two layers (Wang et al. 2024, arXiv:2409.12191).

    Roles of `names.stack`: `merge_norm`, `merge_in`, `merge_act`, `merge_out`; `tap_norm`, ... of what is
    read on the way, with `{i}` in their paths. `merge_node` and `tap_node` may say which nodes hold them.

    Attributes:
        count: of the rows.
        norm: of every row, or of what they make where it is `behind`.
        width: of what they become.
        act: between the layers.
        inner: what comes out of the first; None for all that goes in.
        taps: layers whose states are read likewise, each by leaves of its own, with the norm behind.
    """

    count: int
    norm: Norm
    width: int
    act: str = "gelu"
    behind: bool = False
    inner: int | None = None
    taps: tuple[int, ...] = ()

    @property
    def tapped(self) -> Merged:
        """How what layers give on the way is read."""
        return replace(self, behind=True, taps=())
