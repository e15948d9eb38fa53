"""Films: a stem of their frames' patches, and attention over time and over space by turns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from formers.nn.spec.attention import Attention
from formers.nn.spec.stems import Patches
from formers.nn.spec.values import Norm


@dataclass(frozen=True)
class Films(Patches):
    """A stem for films, every frame of which is cut into patches (Bertasius et al. 2021, arXiv:2102.05095).

    A row is the class token and then, patch by patch, what stands there in every frame. Roles beside those of
    `Patches`: `time`, the vectors of frames, and `time_dropout`.

    Attributes:
        frames: for which there are vectors; those of films of other lengths are the nearest ones.
        apart: every frame is a row of its own, and time is not told.
    """

    frames: int = 1
    apart: bool = False


@dataclass(frozen=True)
class Divided(Attention):
    """Attention between the frames of every patch, or between the patches of every frame.

    Bertasius et al. 2021, arXiv:2102.05095, section 3.3. Over space, what frames make of the class token is
    averaged; over time it has no part. Roles over space are those of attention, with `attention_norm`,
    `attention_dropout`, `attention_skip`; over time `time_norm`, `time_qkv`, `time_weights_dropout`,
    `time_o`, `time_dropout`, `time_skip`, and `time_dense` behind them.

    Attributes:
        over: which of the two.
        frames: of a film, where a layer is called by itself.
        norm: of what it reads.
        after: dropout on what it makes; `skip` of whole patches or frames.
    """

    over: Literal["time", "space"] = "space"
    frames: int = 1
    norm: Norm = Norm()
    after: float = 0.0
    skip: float = 0.0

    @property
    def honours_masks(self) -> bool:
        """Rows are read in pieces, which have no mask of their own."""
        return False

    @property
    def first_alone(self) -> bool:
        """The class token reads all frames."""
        return False
