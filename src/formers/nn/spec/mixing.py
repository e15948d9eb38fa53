"""Mixers of tokens that are no plain attention."""

from __future__ import annotations

from dataclasses import dataclass, field

from formers.nn.spec.attention import Attention


@dataclass(frozen=True)
class Fourier:
    """The real part of a Fourier transform of tokens and features (Lee-Thorp et al. 2021, arXiv:2105.03824).

    It has no leaves; role `fourier` is its node. Padding is read as text.
    """

    causal = False
    by_distance = True
    needs: frozenset[str] = field(default=frozenset(), init=False, repr=False)
    honours_masks = False
    reads_padding = True
    slot = None
    first_alone = False


@dataclass(frozen=True)
class _Neighbourly(Attention):
    """Attention in which what stands beside a token counts, padding too."""

    @property
    def by_distance(self) -> bool:
        """Neighbours, or blocks of columns, are mixed."""
        return True

    @property
    def reads_padding(self) -> bool:
        """As neighbours, or in what stands for several tokens."""
        return True

    @property
    def first_alone(self) -> bool:
        """The first token reads the others."""
        return False


def _check_odd(kernel: int) -> None:
    if kernel % 2 == 0:
        raise ValueError(f"a convolution reaches equally far on both sides: {kernel} is not odd")


@dataclass(frozen=True)
class Channels(Attention):
    """Attention by pointwise convolutions (Iandola et al. 2020, arXiv:2006.11316, section 3).

    It stands in a layer that is `turned`.

    Attributes:
        groups: of the convolutions q, k, v and o.
    """

    groups: tuple[int, int, int, int] = (1, 1, 1, 1)


@dataclass(frozen=True)
class SpanConvolution(_Neighbourly):
    """Half of the heads attend, half convolve (Jiang et al. 2020, arXiv:2008.02496, section 3.2).

    What each place of the convolution weighs follows from the span around it. Roles beside those of
    `Attention`: `span_key`, `span_kernel`, `span_value`. The convolution reads padding.

    Attributes:
        kernel: its reach, an odd number.
    """

    kernel: int = 9

    def __post_init__(self) -> None:
        _check_odd(self.kernel)


@dataclass(frozen=True)
class WideValues(Attention):
    """Attention in a bottleneck: the second narrow copy asks and is asked, values come from the whole layer.

    `source` is the width of the layer.
    """

    @property
    def first_alone(self) -> bool:
        """Its three inputs differ."""
        return False


@dataclass(frozen=True)
class LandmarkAttention(_Neighbourly):
    """Attention through landmarks, the means of segments (Xiong et al. 2021, arXiv:2102.03902, section 3).

    Three small softmaxes stand for the large one; the middle one, among landmarks, is inverted by iteration.
    A convolution along the row (role `value_conv`) is added. Segments and convolution read padding.

    Attributes:
        count: landmarks of a row; as many as `length` for plain attention, beside the convolution.
        length: tokens of a row, no more and no less, where there are fewer landmarks.
        kernel: reach of the convolution, an odd number.
        exact: the iteration begins with each matrix's own norm, not with the largest of the whole batch.
    """

    count: int = 64
    length: int = 64
    kernel: int = 65
    exact: bool = False

    def __post_init__(self) -> None:
        if self.count <= 0 or self.length % self.count:
            raise ValueError(f"{self.length} tokens do not make {self.count} equal segments")
        _check_odd(self.kernel)

    @property
    def honours_masks(self) -> bool:
        """A query that stands for many has no mask of its own."""
        return self.count == self.length


@dataclass(frozen=True)
class HashedAttention(_Neighbourly):
    """Attention by the chance that hashes collide (Zeng et al. 2021, arXiv:2111.09714, section 3).

    A key weighs (1 - angle / pi)^`bits`, by the angle between it and the query; what is mixed gets length
    one. Keys of padding weigh too, as in the ecosystem's models. With a `kernel`, a convolution along
    the row (role `value_conv`) is added, which reads zeros there.

    Attributes:
        bits: of a hash.
        kernel: reach of the convolution, an odd number; None for none.
    """

    bits: int = 9
    kernel: int | None = None

    def __post_init__(self) -> None:
        if self.kernel is not None:
            _check_odd(self.kernel)

    @property
    def by_distance(self) -> bool:
        """Neighbours are mixed where there is a convolution."""
        return self.kernel is not None

    @property
    def honours_masks(self) -> bool:
        """Every key weighs."""
        return False


@dataclass(frozen=True)
class MultiResolution(_Neighbourly):
    """Attention at two resolutions (Zeng et al. 2022, arXiv:2207.10284, section 4).

    The row is cut into blocks. In the pairs of blocks whose means agree most, every query sees every key; in
    all others the means stand for them.

    Attributes:
        block: tokens of a block; padding fills the last one.
        chosen: pairs that are seen at the finer resolution.
        coarse: the other pairs are seen at all.
        first: so many blocks are chosen with all others; `diagonal`: and each with so many around itself.
    """

    block: int = 32
    chosen: int = 64
    coarse: bool = True
    first: int = 0
    diagonal: int = 0

    @property
    def honours_masks(self) -> bool:
        """The mean of a block has no mask of its own."""
        return False


@dataclass(frozen=True)
class BlockSparse(_Neighbourly):
    """Attention of blocks to those beside them, to the first and the last of the row, and to some at random.

    Zaheer et al. 2020, arXiv:2007.14062, section 2. The first and the last block see all. Blocks are of
    columns, whatever they hold. Which are seen at random is drawn from the layer's number, in training alone:
    else the first block stands for them, as published models are read. In short rows every token sees all.

    Attributes:
        block: columns of a block.
        random: how many blocks each sees beside the others.
        longest: columns of the row for which the published plan is drawn.
    """

    block: int = 64
    random: int = 3
    longest: int = 4096

    @property
    def honours_masks(self) -> bool:
        """No: keys are not compared with every query."""
        return False

    @property
    def least(self) -> int:
        """Columns of the longest row in which every token sees all."""
        return (5 + 2 * self.random) * self.block


@dataclass(frozen=True)
class Offsets(Attention):
    """Attention whose queries are compared with a vector for every offset to a key, beside the keys.

    Shaw et al. 2018, arXiv:1803.02155, section 3.2. The layer has the tables (roles `offset_k` and, if
    `values`, `offset_v`, [1, 2 reach + 1, D]), beyond whose reach nothing is added.

    Attributes:
        reach: offsets that are told apart on each side.
        values: what heads mix holds vectors of offsets too.
    """

    reach: int = 4
    values: bool = True

    @property
    def by_distance(self) -> bool:
        """Offsets count columns."""
        return True

    @property
    def first_alone(self) -> bool:
        """Offsets are in the scores."""
        return False


@dataclass(frozen=True)
class SharedOffsets(Offsets):
    """The same with one table that all layers share: role `offsets` of `names.stack`, 2 reach rows of D.

    An offset that lies beyond its reach counts as the furthest on its side.
    """

    values: bool = False


@dataclass(frozen=True)
class ConvolvedFeedForward:
    """A feed-forward of two convolutions along the row (Ren et al. 2019, arXiv:1905.09263, section 3.1).

    Neither sees anything beyond the ends of a sequence; an even `kernel` looks one place further ahead than
    back. Roles: those of `FeedForward`. The activation's node reads features before time, unless `by_row`.
    """

    inner: int = 0
    kernel: int = 3
    activation: str = "relu"
    dropout: float = 0.0
    by_row: bool = False
    causal = False
    by_distance = True
    needs: frozenset[str] = field(default=frozenset(), init=False, repr=False)
    honours_masks = False
    reads_padding = False
    slot = None
    first_alone = False
