"""What every stem answers, and the node that computes one where the checkpoint's tree has a node for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from formers.nn.attend import eager
from formers.nn.layout import Layout
from formers.nn.passing import Geometry, Pass, Visibility
from formers.nn.spec import Paths, SpecError
from formers.nn.tree import Block, Group, wiring


def pixels_in(
    given: Mapping[str, Any],
    axes: str = "[B, channels, height, width]",
    made: str = "an image processor makes it from pictures",
) -> Tensor:
    """What a model of pictures reads.

    Raises:
        TypeError: for what is no tensor.
    """
    found = given.get("pixel_values")
    if not isinstance(found, Tensor):
        raise TypeError(
            f"the model reads pixel_values as a tensor {axes}, not {type(found).__name__}: {made}"
        )
    return found


def maps_in(given: Mapping[str, Any], channels: int, name: str = "pixel_values") -> Tensor:
    """Pictures of any size, [B, channels, height, width]; callers know them by a `name`.

    Raises:
        TypeError: for what is no tensor.
        ValueError: for a tensor of another shape.
    """
    maps = pixels_in(given)
    if maps.dim() != 4 or maps.shape[1] != channels or not maps.shape[2] * maps.shape[3]:
        raise ValueError(f"{name} must have shape [B, {channels}, height, width], not {list(maps.shape)}")
    return maps


class Stem:
    """Raw inputs to the first layer's rows.

    Attributes:
        inputs: what it reads: name -> what that is, in the order of the ecosystem's calls; the first is the
            main one.
        by_row: those of them that have an entry for every row, [B, T, ..].
        reads_mask: it reads the caller's mask [B, S] too.
        flat: callers see rows [N, E] as they are computed, in a watched pass too; `places_flat`: what turns
            rows is told where they stand as [N, ..] there, though rows are [1, N, E].
    """

    inputs: ClassVar[Mapping[str, str]] = {}
    by_row: ClassVar[tuple[str, ...]] = ()
    flat: ClassVar[bool] = False
    reads_mask: ClassVar[bool] = False
    places_flat: ClassVar[bool] = False

    def __init__(self, s: Any) -> None:
        self.spec = s

    def place(self, owner: Block, names: Paths) -> None:
        """Register the leaves."""
        raise NotImplementedError(f"{type(self).__name__} places nothing")

    def shape(self, given: Mapping[str, Any]) -> tuple[int, int]:
        """B and T of what enters the first layer.

        Raises:
            TypeError: for what is no tensor of the right kind.
            ValueError: for both or neither of two inputs, or a shape that does not fit.
        """
        raise NotImplementedError(f"{type(self).__name__} reads nothing")

    def positions(
        self, given: Mapping[str, Any], layout: Layout, past: int, real: Tensor | None = None
    ) -> Tensor:
        """Positions of every place, [1 or B, T], int64; `real` [B, past + T] says which hold something."""
        raise NotImplementedError(f"{type(self).__name__} reads nothing")

    def places(
        self, given: Mapping[str, Any], layout: Layout, past: int, real: Tensor | None = None
    ) -> Tensor:
        """The positions that the caller gives, or those that follow."""
        found, told = self.positions(given, layout, past, real), given.get("position_ids")
        return found if told is None else told  # too long a row is refused all the same

    def second(self, given: Mapping[str, Any]) -> int | None:
        """The column where a second stream begins."""
        return None

    def rows_mask(self, mask: Any, given: Mapping[str, Any] | None = None) -> Any:
        """The caller's mask over what is read as a mask over rows; None where all rows count.

        Raises:
            ValueError: for a mask that does not fit.
        """
        return mask

    def trained_on(self, given: dict[str, Any]) -> dict[str, Any]:
        """What is read in training in place of `given`: the same, unless something is hidden of it."""
        return given

    def widened(self, pass_: Pass) -> Pass:
        """The pass of the layers, where more enters them than is read."""
        return pass_

    def run(self, node: Any, given: Mapping[str, Any], pass_: Pass) -> Tensor:
        """What enters the first layer: [N, E], or [B, T, E] in a watched pass."""
        raise NotImplementedError(f"{type(self).__name__} reads nothing")

    @property
    def room(self) -> int | None:
        """How many tokens a row may have; None where nothing bounds it."""
        return getattr(self.spec, "room", None)


class StemNode(Group):
    """The node of the tree that holds a stem's leaves: `embeddings`. Called with what the stem reads."""

    def forward(self, *args: Any, pass_: Pass | None = None, **given: Any) -> Tensor:
        """Embed; inputs as the stem names them, [B, T, ..] -> [B, T, E]."""
        stem: Stem = self._formers.facts["stem"]
        given.pop("past_key_values_length", None)
        given.update(zip(stem.inputs, args, strict=False))
        if pass_ is None:
            batch, length = stem.shape(given)
            layout = Layout.dense(batch, length)
            places = stem.places(given, layout, 0)
            pass_ = Pass(Geometry(layout, places), Visibility(), eager, watched=True)
        return stem.run(self, given, pass_)


def place_stem(owner: Block, stem: Stem, names: Paths) -> tuple[str, ...]:
    """Register a stem's leaves, under a node of their own where they share one.

    Returns:
        The node's names; empty where the owner itself holds the leaves.
    """
    parents = {path.split(".")[0] if "." in path else "" for path in names.values() if path}
    if len(parents) != 1 or parents == {""}:
        stem.place(owner, names)
        return ()
    home = parents.pop()
    node = StemNode()
    wiring(node).facts["stem"] = stem
    owner.add_module(home, node)
    inside = {role: path and path.removeprefix(home + ".") for role, path in names.items()}
    stem.place(node, inside)
    known = wiring(owner).roles
    known.update({role: (home, *path) for role, path in wiring(node).roles.items()})
    return (home,)


def want(names: Paths, *wanted: str) -> None:
    """Check that the names have a path for each role.

    Raises:
        SpecError: naming those that have none.
    """
    missing = [role for role in wanted if names.get(role) is None]
    if missing:
        raise SpecError(f"the names of the embeddings have no path for {', '.join(map(repr, missing))}")
