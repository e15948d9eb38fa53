"""What enters the first layer: tokens, patches, frames, queries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isqrt, prod
from typing import Any, Literal

from formers.nn.spec.audio_stems import Frames, GatedSubsampling, RawSamples, StridedSpectra, Waves
from formers.nn.spec.dynamic_resolution import GridPatches, SizedPatches
from formers.nn.spec.nets import Node
from formers.nn.spec.tile_stems import TilePatches
from formers.nn.spec.values import Norm


@dataclass(frozen=True)
class LearnedPositions:
    """A learned table of `count` rows; `offset` is added to every position.

    With `padding_idx`, positions count the tokens that differ from it, starting at padding_idx + 1; if they
    are `masked`, the tokens that the mask calls real, from 0, and padding stands at -1; else they start at
    `first`, where nobody gives them. A `fixed` table holds sinusoids, `closed` as `nn.fresh.sinusoids` has
    it, with zeros for padding, and is not trained. Files may keep the `numbers` of the rows that nobody gave
    (role `position_numbers`, [1, rows]); nothing reads them. Rows of `waves` begin as sinusoids, a sine and a
    cosine in turns, and are trained.
    """

    count: int
    offset: int = 0
    first: int = 0
    padding_idx: int | None = None
    fixed: bool = False
    closed: bool = False
    masked: bool = False
    numbers: bool = False
    waves: bool = False


@dataclass(frozen=True)
class ComputedPositions:
    """Sinusoids of as many places as there are, or of `count`: no table, and nothing in the file.

    Counted likewise, padding at zeros; `closed` and `cosines` as `nn.fresh.sinusoids` has them.
    """

    padding_idx: int | None = None
    offset: int = 0
    closed: bool = True
    count: int | None = None
    cosines: bool = False


@dataclass(frozen=True)
class Tokens:
    """A stem for text: token (+ position, + segment, + task) vectors, scaled, normalised, dropped.

    With `share_types` the segment ids are looked up in the token table, as GPT-2 does. `scale` falls on
    what enters, looked up or (with `scale_given`) given, `scale_rounded` to bfloat16 or to its own dtype;
    `table_scale` on what is looked up, in the table itself, and in its dtype if `table_scale_rounded`.
    `norm` is of the sum, or of the tokens before it; dropout stands before it if `drops_first`. Where padding
    is computed its rows are zero if `hides_padding`. A linear layer `projects` the tokens alone (of
    `table_width`; three at a time, each between its neighbours, if `trigrams`), or the normed sum. With
    `boxes`, the number of coordinates, every token has a box on its page, whose edges, height and width are
    looked up: vectors of E features are summed, those of `box_widths` (of an edge, and of height and width)
    stand side by side, where sizes are at least 0 and at most 1023 if they are `box_limited`.
    With `erased`, a token and a share, that token's vectors are zero, and the others make up for its share of
    the row, beyond that which it had in training.
    With `kinds` a token has several types, [.., kinds]; the second is its column in a table, the third its
    row. With `restarts` positions begin anew in every cell, and stop at the last of their table.
    Tokens may have a language each, of `languages`. Where nobody says what is padding, by a mask or by
    `lengths`, it is told by its id if `tells_padding`. Where files keep the numbers of positions they may
    keep types beside them, all zeros (`type_numbers`, a role likewise); nothing reads them. The first place
    and the first type have no vectors where they are `blank`: zeros that are not trained.
    Roles: `token`, `position`, `language`, `type` or `type_0`, .., `task`, `x`, `y`, `height`, `width`,
    `embedding_norm`, `embedding_dropout`, `embedding_projection`.
    """

    vocabulary: int
    width: int
    positions: LearnedPositions | ComputedPositions | None = None
    types: int = 0
    type_numbers: bool = False
    blank: bool = False
    kinds: tuple[int, ...] = ()
    restarts: bool = False
    tasks: int = 0
    languages: int = 0
    boxes: int = 0
    box_widths: tuple[int, int] | None = None
    box_limited: bool = True
    share_types: bool = False
    norm: Norm | None = None
    norm_of: Literal["sum", "tokens"] = "sum"
    scale: float = 1.0
    scale_given: bool = True
    scale_rounded: Literal["", "bfloat16", "own"] = ""
    table_scale: float = 1.0
    table_scale_rounded: bool = False
    dropout: float = 0.0
    drops_first: bool = False
    padding_idx: int | None = None
    hides_padding: bool = False
    tells_padding: bool = False
    projects: Literal["", "tokens", "sum"] = ""
    projection_bias: bool = True
    table_width: int | None = None
    trigrams: bool = False
    erased: tuple[int, float] | None = None
    reads = "input_ids"

    @property
    def reads_padding(self) -> bool:
        """Whether the last token's neighbour is padding."""
        return self.trigrams

    @property
    def room(self) -> int | None:
        """How many tokens a row may have; None where nothing bounds it."""
        if self.positions is None or self.positions.count is None or self.restarts:
            return None
        start = self.positions.padding_idx
        return self.positions.count - (getattr(self.positions, "first", 0) if start is None else start + 1)


@dataclass(frozen=True)
class Preceded(Tokens):
    """Tokens behind rows from elsewhere, `source` wide, which a layer (role `before`) and a norm bring to E.

    Roles beside those of `Tokens`: `before`, `before_norm`.
    """

    source: int = 0
    source_norm: Norm = Norm("layer", 1e-5)


@dataclass(frozen=True)
class Characters(Tokens):
    """A stem for code points: parts of a vector from tables whose rows many of them share.

    Each part is looked up by a hash of its own (Clark et al. 2021, arXiv:2103.06874, section 3.1). Roles:
    `token_0`, .. in place of `token`; `vocabulary` is the number of rows of each.

    Attributes:
        hashes: tables, of E / hashes columns each.
        longest: how many places a text may have, where that is less than the table of positions has.
    """

    hashes: int = 1
    longest: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.hashes <= 16 or self.width % self.hashes:
            raise ValueError(
                f"{self.width} features do not make parts for {self.hashes} hash functions: these are 16 at "
                f"most, and divide the width"
            )

    @property
    def room(self) -> int | None:
        """Places."""
        found, longest = super().room, self.longest
        return longest if found is None else found if longest is None else min(found, longest)


@dataclass(frozen=True)
class Entities:
    """A stem for entities (Yamada et al. 2020, arXiv:2010.01057, section 3.1).

    The positions of an entity are those of the tokens that name it; their vectors are averaged. Roles:
    `entity`, `entity_projection` (where `inner` is not E), `entity_position`, `entity_type`, `entity_norm`,
    `entity_dropout`.

    Attributes:
        vocabulary: how many are known; the first is padding.
        inner: width of their table.
        width: E.
        positions: rows of the table of positions; `types` of that of kinds.
        norm: of the sum.
        dropout: on the result.
    """

    vocabulary: int
    inner: int
    width: int
    positions: int
    types: int
    norm: Norm
    dropout: float = 0.0
    reads = "entity_ids"


@dataclass(frozen=True)
class EntityTokens(Tokens):
    """A stem for text, and for the entities in it, which stand behind it. Their roles are of both."""

    entities: Entities | None = None


@dataclass(frozen=True)
class Patches:
    """A stem for images: patches, projected, learned tokens before them, learned positions.

    Roles: those of `leads`, `registers`, `patch`, `position`, `mask`, `embedding_dropout`.

    Attributes:
        channels: of an image.
        image: height and width in pixels.
        patch: height and width of a patch.
        width: E.
        dropout: on the result.
        masked: a learned vector stands in place of hidden patches.
        std: deviation of fresh positions and of the fresh first token; 0 where they begin as zeros.
        bias: the projection has one.
        flat: the class token is [E], and positions are looked up in a table [P, E].
        leads: roles of the tokens before the patches, one vector each.
        registers: how many tokens stand behind the first of those, without positions, and begin as zeros; a
            table of none is kept in files too.
        registers_std: deviation of those tokens where they begin otherwise.
        placed: there are positions; `fixed` ones are sinusoids of the grid, and not trained.
        free: images of any size are read, where the caller does not say.
        smooth: positions are smoothed where they are drawn together for smaller images.
        stretch: how positions are found for images of another size.
        narrow_mask: the vector of hidden patches is [1, E], not [1, 1, E].
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
    leads: tuple[str, ...] = ("class",)
    registers: int | None = None
    registers_std: float = 0.0
    placed: bool = True
    fixed: bool = False
    free: bool = False
    smooth: bool = False
    stretch: Literal["bicubic", "bilinear", "nearest"] = "bicubic"
    narrow_mask: bool = False
    reads = "pixel_values"
    behind = 0  # tokens behind the patches, which have positions too

    @property
    def before(self) -> int:
        """Tokens before the patches."""
        return len(self.leads) + (self.registers or 0)

    def grid_of(self, height: int, width: int) -> tuple[int, int]:
        """Patches down and across an image of that size."""
        return height // self.patch[0], width // self.patch[1]

    @property
    def grid(self) -> tuple[int, int]:
        """Patches down and across."""
        return self.grid_of(*self.image)

    @property
    def count(self) -> int:
        """Patches."""
        return prod(self.grid)


@dataclass(frozen=True)
class FeatureMapPatches(Patches):
    """Patches whose rows are the places of a network's last map (arXiv:2010.11929, section 3.1, "hybrid").

    Roles beside those of `Patches`: `network`.

    Attributes:
        network: makes it; it returns a record with `feature_maps`.
        map_width: channels of its last map.
    """

    network: Callable[[], Any] | None = None
    map_width: int = 0


@dataclass(frozen=True)
class Pictured(Tokens):
    """A stem for text and a picture behind it (Kim et al. 2021, arXiv:2102.03334, section 3.1).

    A table tells both apart, and the pictures of one text from each other. Roles beside those of `Tokens`:
    `kind`, `picture_class`, `picture_position`, `picture_patch`, `picture_dropout`.

    Attributes:
        picture: its patches, positions and dropout.
        sorts: rows of that table, the first of which is for text.
        most: how many patches are read of a picture, drawn by lot where there are more; None for all.
    """

    picture: Patches | None = None
    sorts: int = 2
    most: int | None = None

    def __post_init__(self) -> None:
        if self.most is not None and self.most < 1:
            raise ValueError(f"of a picture {self.most} patches cannot be read: say 1 at least, or all")


@dataclass(frozen=True)
class TextAndRegions(Tokens):
    """A stem for text and regions of a picture behind it, as vectors (arXiv:1908.03557, section 3).

    Regions stand at place 0 of a table of their own, or where the words stand that they show. Roles beside
    those of `Tokens`: `region`, `region_type`, `region_position`.

    Attributes:
        source: width of those vectors.
    """

    source: int = 0


@dataclass(frozen=True)
class DocumentPages(Tokens):
    """A stem for words of a page and patches of its picture behind them, either or both (arXiv:2204.08387).

    Patches have boxes too, and places of their own. Roles beside those of `Tokens`: those of `Patches`, as
    `picture_class` and so on; `picture_norm`, and `both_norm`, `both_dropout` of the rows of both.

    Attributes:
        picture: its patches and positions; None where pictures are not read.
        picture_norm: on those.
        page: edges of a page are 0 and this.
    """

    picture: Patches | None = None
    picture_norm: Norm = Norm("layer", 1e-6)
    page: int = 1000

    @property
    def reads_padding(self) -> bool:
        """Scores have biases for every pair of places."""
        return True


@dataclass(frozen=True)
class DocumentMaps(Tokens):
    """A stem for words of a page, and rows of its picture's map behind them (arXiv:2012.14740, section 2.1).

    The map's places have the positions from 0 on and boxes of their own, looked up in the words' tables.
    Roles beside those of `Tokens`: `network`, `map_projection`, `map_norm`, `map_dropout` and `map_kind`.

    Attributes:
        network: what makes rows, [B, down * across, `map_width`], of pictures.
        grid: down and across.
        map_width: what the rows hold before they are projected.
        channels: of pictures, whose sides are multiples of `stride`.
        kind: a learned vector is added to all of those rows.
        page: edges of a page are 0 and this.
    """

    network: Node = Node({})
    grid: tuple[int, int] = (7, 7)
    map_width: int = 256
    channels: int = 3
    stride: int = 32
    kind: bool = False
    page: int = 1000

    def __post_init__(self) -> None:
        held = self.positions.count if isinstance(self.positions, LearnedPositions) else None
        if held is not None and held < self.grid[0] * self.grid[1]:
            raise ValueError(f"a map of {[*self.grid]} places needs as many positions, but there are {held}")

    @property
    def reads_padding(self) -> bool:
        """Scores have biases for every pair of places."""
        return True


@dataclass(frozen=True)
class Tubelets(Patches):
    """A stem for films: patches of `depth` frames each (Arnab et al. 2021, arXiv:2103.15691, section 3.2).

    Attributes:
        frames: of a film.
        waves: positions are sinusoids, which no file holds.
    """

    frames: int = 1
    depth: int = 1
    waves: bool = False

    @property
    def count(self) -> int:
        """Patches of all frames."""
        return self.frames // self.depth * prod(self.grid)


@dataclass(frozen=True)
class VisiblePatches(Patches):
    """A stem for images of which a share is hidden: what is left is computed (arXiv:2111.06377).

    Attributes:
        hidden: that share of the patches.
    """

    hidden: float = 0.75


@dataclass(frozen=True)
class QueryPatches(Patches):
    """A stem for images with learned queries for objects behind the patches (arXiv:2106.00666, section 3.1).

    Roles: those of `Patches`, and `queries`.

    Attributes:
        behind: how many those are.
    """

    behind: int = 100


@dataclass(frozen=True)
class Spectrograms(Patches):
    """A stem for sounds as bins over time, one channel: patches that overlap (arXiv:2104.01778, section 2.1).

    `image` is how many bins and frames there are.

    Attributes:
        strides: bins, and frames, from one patch to the next.
    """

    strides: tuple[int, int] = (10, 10)
    reads = "input_values"

    def grid_of(self, height: int, width: int) -> tuple[int, int]:
        """Patches over the bins and over the frames."""
        (high, wide), (down, across) = self.patch, self.strides
        return (height - high) // down + 1, (width - wide) // across + 1


@dataclass(frozen=True)
class GivenPatches:
    """A stem for images of any shape, which come as their patches (Tschannen et al. 2025, arXiv:2502.14786).

    Positions are those of a square, stretched to each image's own grid. Roles: `patch`, `position`.

    Attributes:
        channels: of an image.
        patch: edge of a patch.
        width: E.
        count: rows of the table of positions; `side` of their square.
    """

    channels: int
    patch: int
    width: int
    count: int
    reads = "pixel_values"
    room = None

    @property
    def numbers(self) -> int:
        """Of a patch."""
        return self.channels * self.patch**2

    @property
    def side(self) -> int:
        """Edge of the square."""
        return isqrt(self.count)

    def __post_init__(self) -> None:
        if isqrt(self.count) ** 2 != self.count:
            raise ValueError(f"positions are those of a square, and {self.count} patches make none")


@dataclass(frozen=True)
class FlatPatches:
    """A stem for images of any form, as patches that say in which row and column they stand.

    Lee et al. 2022, arXiv:2210.03347, section 2.2. Roles: `patch`, `row`, `column`, `embedding_dropout`.

    Attributes:
        numbers: of a patch, behind its row and column; those count from 1, and 0 is where there is none.
        width: E.
        count: entries of the table of rows, and of that of columns.
        dropout: on the sum.
    """

    numbers: int
    width: int
    count: int
    dropout: float = 0.0
    reads = "flattened_patches"
    room = None


@dataclass(frozen=True)
class SharedPatches(Patches):
    """Patches of pictures of any form in rooms of one size (Dehghani et al. 2023, arXiv:2307.06304).

    A patch's position is that of the square which lies at the same share of a square picture.
    """


@dataclass(frozen=True)
class Overlapping:
    """A stem for maps: patches that overlap, projected, and a norm.

    Roles: `patch`, `embedding_norm`.

    Attributes:
        channels: of a map.
        patch: edge of a patch.
        stride: from one to the next.
        width: E.
        norm: of the result.
    """

    channels: int
    patch: int
    stride: int
    width: int
    norm: Norm
    reads = "pixel_values"
    room = None


@dataclass(frozen=True)
class Queries:
    """A stem of learned vectors: no input is read for them, they ask what cross attention reads.

    Roles: `query`, where the stack holds them; `embedding_norm`, `embedding_dropout`.

    Attributes:
        count: vectors that the stack holds, the same for every row; 0 where its callers hold them.
        width: E.
        norm: on the vectors.
        dropout: on the result.
        texts: rows of texts may stand behind those that ask, or alone (`Layer.aside`).
    """

    count: int
    width: int
    norm: Norm | None = None
    dropout: float = 0.0
    texts: bool = False
    reads = "query_embeds"


@dataclass(frozen=True)
class InstructedQueries(Queries):
    """Vectors that ask, before texts that say what is asked for; or texts alone.

    Roles: those of `Queries`, `token` and `position`.

    Attributes:
        vocab_size: tokens of the texts.
        room: how many a text may have.
        padding_idx: the token whose row stays zeros in training.
    """

    vocab_size: int = 0
    room: int = 0
    padding_idx: int | None = None


@dataclass(frozen=True)
class Vectors:
    """A stem of rows that callers make, and of what stands beside them for their places.

    It has no leaves. `Attention.placed` reads the places.

    Attributes:
        width: E.
        asks: the rows ask what cross attention reads, which has places too.
        dropout: on the rows.
    """

    width: int
    asks: bool = False
    dropout: float = 0.0
    reads = "inputs_embeds"
    room = None


@dataclass(frozen=True)
class ConditionalQueries(Vectors):
    """Rows that ask, which say themselves where in a map they look (arXiv:2108.06152, section 3.3).

    Roles: `query_points`, what makes points of places of queries; `query_scale`, what makes of a layer's rows
    by what the next one multiplies waves of those points. Layers with `Conditional` parts read them.
    """


@dataclass(frozen=True)
class MultiScaleRows(Vectors):
    """Rows of several maps end to end, or rows that ask such; layers with `Deformable` parts read where.

    Attributes:
        logits: callers say as logits where rows stand that ask.
        places: what stands beside rows that ask: what callers say, or what layers (role `query_places`) make
            of where they stand, of the `boxes` themselves or of `waves` of them.
        moves: every layer may move rows that ask, where the node `boxes` of the stack holds something for
            each that says how; `labels` likewise holds what labels them. Where a norm closes the stack,
            callers see every layer's rows behind it.
        learns: gradients go through the boxes that callers see, and they see labels too.
    """

    logits: bool = False
    places: Literal["given", "boxes", "waves"] = "given"
    boxes: str = "bbox_embed"
    labels: str = "class_embed"
    learns: bool = False


@dataclass(frozen=True)
class GroundedQueries(MultiScaleRows):
    """Rows that ask maps and a text: layers with `Attention(held="text")` parts read it."""


class DeepVisualTokens(Tokens):
    """Tokens, at some of which layers add what a model of pictures found at several depths."""


Stem = (
    Tokens
    | Entities
    | Patches
    | GivenPatches
    | FlatPatches
    | GridPatches
    | SizedPatches
    | Overlapping
    | Frames
    | RawSamples
    | StridedSpectra
    | GatedSubsampling
    | Queries
    | InstructedQueries
    | TilePatches
    | Vectors
    | Waves
)


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
