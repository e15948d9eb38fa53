"""A text model that reads pictures of any size, of which each has as many patches as it fills: Pixtral."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from formers.assemblies.base import assembly_of
from formers.assemblies.multimodal.image_text import ImageText
from formers.core.tiles import Size
from formers.nn.connectors import GRIDS
from formers.nn.passing import Pass
from formers.nn.spec import pair
from formers.nn.stems.sized_patches import SIZES, sizes_in


class NativeResolution(ImageText):
    """A text model that is told the sizes of pictures, where its image model reads them (arXiv:2410.07073).

    Args:
        *parts, **named: see `ImageText`.
        merge: config -> edge of the square of patches that is one token.
        always: sizes are those of all pixels where nobody says them; else they are not told then.
    """

    beside = (SIZES,)

    def __init__(
        self,
        *parts: Any,
        merge: Callable[[Any], int] = lambda c: 1,
        always: bool = False,
        **named: Any,
    ) -> None:
        self._merge, self._always = merge, always
        super().__init__(*parts, **named)

    def opened(self, model: Any, given: dict[str, Any]) -> dict[str, Any]:
        """The pictures and their sizes.

        Raises:
            ValueError: for sizes that the image model does not read.
        """
        read = assembly_of(self.part(model.config, self.image)[0]).inputs
        if given.get(SIZES) is not None and SIZES not in read:
            kind = getattr(model.config, self.fields[self.image]).model_type
            raise ValueError(f"{kind!r} models read pictures of one size, and take no {SIZES}: leave it out")
        sizes, rest = self._sizes(given), {name: one for name, one in given.items() if name != SIZES}
        return rest if sizes is None else {**rest, SIZES: torch.tensor(sizes)}

    def _sizes(self, given: Mapping[str, Any]) -> list[Size] | None:
        """Of the pictures; None where they are not told."""
        told, pixels = given.get(SIZES), given.get("pixel_values")
        if told is not None:
            return sizes_in(told)
        if not self._always or not isinstance(pixels, Tensor):
            return None
        return [(int(pixels.shape[-2]), int(pixels.shape[-1]))] * len(pixels)

    def noted(self, model: Any, pass_: Pass, pictures: Mapping[str, Any]) -> None:
        """Patches down and across each picture, for the connector."""
        sizes = self._sizes(pictures)
        if sizes is not None:
            pass_.memo.put(GRIDS, self._grids(model.config, sizes, 1))

    def _grids(self, config: Any, sizes: Sequence[Size], merge: int) -> list[Size]:
        """Squares of so many patches down and across each picture."""
        high, wide = pair(getattr(config, self.fields[self.image]).patch_size)
        return [(down // (high * merge), across // (wide * merge)) for down, across in sizes]

    def stands(self, model: Any, x: Tensor, given: Mapping[str, Any]) -> Sequence[Tensor] | Tensor:
        """What stands for each picture, [tokens, E]."""
        sizes = self._sizes(given)
        if sizes is None:
            return super().stands(model, x, given)
        grids = self._grids(model.config, sizes, self._merge(model.config))
        rows = x.reshape(-1, x.shape[-1])
        return list(torch.split(rows, [down * across for down, across in grids]))

    def _chosen(
        self, model: Any, ids: Tensor, given: dict[str, Any], which: Callable[..., list[int]]
    ) -> dict[str, Any]:
        """Inputs with the pictures that `which` names, by the tokens of all and how many each fills."""
        sizes, pixels = self._sizes(given), given.get("pixel_values")
        if sizes is None or pixels is None:
            return super()._chosen(model, ids, given, which)
        grids = self._grids(model.config, sizes, self._merge(model.config))
        here = ids == self.connector(model.config).token
        kept = which(here, [down * across for down, across in grids])
        rest = {name: one for name, one in given.items() if name not in ("pixel_values", SIZES)}
        if not kept:
            return rest
        return {**rest, "pixel_values": pixels[kept], SIZES: torch.tensor([sizes[i] for i in kept])}
