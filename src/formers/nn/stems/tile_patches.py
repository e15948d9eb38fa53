"""The stem of pictures in tiles, which are told their places by the picture's form: Llama 3.2 Vision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn import spec
from formers.nn.fresh import Constant, Drawn, begins
from formers.nn.layout import Layout
from formers.nn.passing import Pass
from formers.nn.recording import recording, size
from formers.nn.spec import Paths
from formers.nn.stems.base import Stem, pixels_in, want
from formers.nn.tree import Block, leaf, place, place_tensor

FORMS, REAL = "aspect_ratio_ids", "aspect_ratio_mask"


class TileEmbedding(nn.Module):
    """A vector for every tile of a picture of a form, weighed by the tanh of a learned number."""

    row_wise = True

    def __init__(self, s: spec.TilePatches) -> None:
        super().__init__()
        self.tiles = s.tiles
        self.embedding = nn.Embedding(s.forms + 1, s.tiles * s.width)
        self.gate = nn.Parameter(torch.zeros(1))
        begins(self, gate=Constant(0.0))

    def forward(self, hidden_states: Tensor, aspect_ratio_ids: Tensor) -> Tensor:
        """[pictures, tiles, P, E], and the forms [pictures, 1] -> [pictures, tiles, P, E]."""
        found: Tensor = self.embedding(aspect_ratio_ids).reshape(-1, self.tiles, 1, hidden_states.shape[-1])
        return hidden_states + found * self.gate.tanh()


class TilePositions(nn.Module):
    """Places in a tile, and those in a tile of a picture of some form: less of one, more of the other."""

    row_wise = True

    def __init__(self, s: spec.TilePatches) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.zeros(1))
        self.embedding = nn.Parameter(torch.zeros(s.count, s.width))
        self.tile_embedding = nn.Embedding(s.forms + 1, s.tiles * s.count * s.width)
        begins(self, gate=Constant(0.0), embedding=Drawn())

    def forward(self, hidden_states: Tensor, aspect_ratio_ids: Tensor) -> Tensor:
        """[pictures, tiles, P, E], and the forms [pictures, 1] -> [pictures, tiles, P, E]."""
        gate = self.gate.tanh()
        x = hidden_states + (1 - gate) * self.embedding
        found: Tensor = self.tile_embedding(aspect_ratio_ids)
        return x + gate * found.reshape(x.shape)


class TilePatchStem(Stem):
    """See `spec.TilePatches`."""

    inputs: ClassVar = {
        "pixel_values": "[B, pictures, tiles, channels, height, width], floating.",
        FORMS: "[B, pictures], int64, the form of each picture, from 1 on; 0 for no picture.",
        REAL: "[B, pictures, tiles], 1 at tiles that hold something.",
    }

    def place(self, owner: Block, names: Paths) -> None:
        """Register the projection, the class token, both embeddings and the norm."""
        s: spec.TilePatches = self.spec
        want(names, "patch", "cls", "tile_before", "position", "pre_norm")
        place_tensor(owner, "cls", str(names["cls"]), torch.zeros(s.width), Drawn(), False)
        place(
            owner, "patch", str(names["patch"]), nn.Conv2d(s.channels, s.width, s.patch, s.patch, bias=False)
        )
        place(owner, "position", str(names["position"]), TilePositions(s))
        place(owner, "tile_before", str(names["tile_before"]), TileEmbedding(s))
        place(owner, "pre_norm", str(names["pre_norm"]), nn.LayerNorm(s.width))

    def shape(self, given: Mapping[str, Any]) -> tuple[int, int]:
        """The number of pictures, and of the rows of all tiles of one.

        Raises:
            TypeError: for what is no tensor.
            ValueError: for another shape, and for forms that there are not.
        """
        s: spec.TilePatches = self.spec
        pixels = pixels_in(given, "[B, pictures, tiles, channels, height, width]")
        wanted = (s.tiles, s.channels, s.edge, s.edge)
        if pixels.dim() != 6 or tuple(pixels.shape[2:]) != wanted:
            raise ValueError(
                f"pixel_values must have shape [B, pictures, {', '.join(map(str, wanted))}], not "
                f"{list(pixels.shape)}: pass what the processor returns"
            )
        for name, like in ((FORMS, pixels.shape[:2]), (REAL, pixels.shape[:3])):
            found = given.get(name)
            if not isinstance(found, Tensor) or found.shape != like:
                told = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
                raise ValueError(
                    f"{name} must have shape {list(like)}, as pixel_values has pictures, not {told}: "
                    "pass what the processor returns"
                )
        forms = given[FORMS]
        if not recording() and (bool((forms < 0).any()) or bool((forms > s.forms).any())):
            raise ValueError(
                f"{FORMS} are 0 to {s.forms}, by the config's supported_aspect_ratios, but hold "
                f"{int(forms.min())} to {int(forms.max())}"
            )
        return size(pixels.shape[0] * pixels.shape[1]), size(s.tiles * s.padded)

    def positions(
        self, given: Mapping[str, Any], layout: Layout, past: int, real: Tensor | None = None
    ) -> Tensor:
        """Columns: places are added here."""
        return torch.arange(layout.length, device=given["pixel_values"].device)[None]

    def run(self, node: Any, given: Mapping[str, Any], pass_: Pass) -> Tensor:
        """[pictures, tiles * P', E], zeros behind every tile; flat rows where nobody looks."""
        s: spec.TilePatches = self.spec
        patch: Any = leaf(node, "patch")
        pixels: Tensor = given["pixel_values"].flatten(0, 2).to(patch.weight.dtype)
        forms: Tensor = given[FORMS].reshape(-1, 1)
        x: Tensor = patch(pixels).flatten(2).transpose(1, 2).unflatten(0, (-1, s.tiles))
        x = leaf(node, "tile_before")(x, forms)  # [pictures, tiles, P - 1, E]
        x = torch.cat((leaf(node, "cls").expand(*x.shape[:2], 1, -1), x), dim=2)
        x = leaf(node, "pre_norm")(leaf(node, "position")(x, forms))
        x = F.pad(x, (0, 0, 0, s.padded - s.count)).flatten(1, 2)
        return x if pass_.watched else pass_.layout.pack(x)
