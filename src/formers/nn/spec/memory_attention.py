"""What a film's frames leave behind, and how later ones read it (Ravi et al. 2024, arXiv:2408.00714)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from formers.nn.spec.grid_layers import Feed
from formers.nn.spec.nets import Node


@dataclass(frozen=True)
class MemoryAttention:
    """Layers in which the places of a map attend to each other, then to memories, and are fed forward.

    Queries and keys are turned by column and row (Su et al. 2021, arXiv:2104.09864); keys of the last tokens,
    which stand at no place, are not. Roles: `layers`, `norm`, `turns`; of a layer `own`, `own_norm`,
    `own_drop`, `memory`, `memory_norm`, `memory_drop`, `feedforward_norm`, `widen`, `act`, `drop`, `narrow`,
    `feedforward_drop`; of attention `q`, `k`, `v`, `o`.

    Attributes:
        width: E; `read` that of memories, `inner` within the feed-forward.
        layers: how many.
        heads: of attention, which runs in E / `share` channels.
        act: of the feed-forward.
        dropout: of what is added, `weights_dropout` of attention weights.
        theta: base of the frequencies.
        grid: places across and down.
        names, layer_names, heads_names: paths of the roles.
    """

    width: int
    read: int
    inner: int
    layers: int
    heads: int
    share: int
    act: str
    dropout: float
    weights_dropout: float
    theta: float
    grid: tuple[int, int]
    names: Mapping[str, str]
    layer_names: Mapping[str, str]
    heads_names: Mapping[str, str]


@dataclass(frozen=True)
class FrameMemory:
    """What is kept of a frame: a map of what was found where, and a vector of it.

    Roles: `recall`, `encoder`, `places` in it, `when`, `none`, `pointer`, `pointer_when`, `shrink`, `hidden`,
    and `unread`, which files hold and nothing reads.

    Attributes:
        recall: the layers that read memories.
        encoder: the network that makes the map, of a mask and of a frame's map.
        width: E, of a frame's map; `kept` channels of the memory's, of which E is a multiple.
        frames: how many frames' maps are read at most, beside those of prompted frames.
        prompted: how many prompted frames' maps; -1 for all.
        pointers: how many frames' vectors.
        pointer: how the vector is made of the token of a mask.
        timed: vectors know how long ago they were made.
        occluded: maps are told where nothing is to be seen.
        sigmoid: by what the share of a mask is multiplied, and what is added to it.
        several: fewest and most points of a prompt of which the best of several masks is taken; None: never.
        tracked: it is taken in frames without a prompt too.
        image: pixels of a mask down and across.
        names: paths of the roles.

    Raises:
        ValueError: for parts that do not fit each other.
    """

    recall: MemoryAttention
    encoder: Node
    width: int
    kept: int
    frames: int
    prompted: int
    pointers: int
    pointer: Feed
    timed: bool
    occluded: bool
    sigmoid: tuple[float, float]
    several: tuple[int, int] | None
    tracked: bool
    image: int
    names: Mapping[str, str]

    def __post_init__(self) -> None:
        if self.width != self.recall.width:
            raise ValueError(
                f"frames' maps have fpn_hidden_size {self.width} channels, but memory_attention_hidden_size "
                f"is {self.recall.width}"
            )
        if self.width % self.kept:
            raise ValueError(
                f"vectors of {self.width} channels are cut into memory_encoder_output_channels {self.kept}: "
                "take a multiple"
            )
