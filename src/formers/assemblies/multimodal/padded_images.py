"""A text model whose rows show any number of pictures, padded with empty ones: Idefics 3."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from formers.assemblies.multimodal.image_text import ImageText
from formers.nn.passing import Pass
from formers.nn.resampling import ASKED
from formers.stacks.stack import Ask, States

_MASK = "pixel_attention_mask"


class PaddedImages(ImageText):
    """A text model that is shown pictures [B, pictures, C, H, W], of which some are empty: zeros alone.

    Args:
        *parts, **named: see `ImageText`.
        empty: where all pictures are empty, the first one is read all the same.
        records: see `ImageText`.
        whole_patches: a patch shows something where all its pixels do; else where any does.
    """

    beside = (_MASK,)

    def __init__(
        self,
        *parts: Any,
        empty: bool = False,
        records: bool = False,
        whole_patches: bool = False,
        **named: Any,
    ) -> None:
        self._empty, self.records, self._whole_patches = empty, records, whole_patches
        usual = (
            *("input_ids", "attention_mask", "position_ids", "past_key_values", "inputs_embeds"),
            *("pixel_values", _MASK, "mm_encoder_outputs", "use_cache"),
        )
        super().__init__(*parts, **{"inputs": usual, **named})

    def connected(
        self,
        model: Any,
        pictures: dict[str, Any],
        choice: Mapping[str, Any],
        ask: Ask,
        before: Callable[[Tensor], Tensor] | None = None,
    ) -> tuple[States, Tensor]:
        """See `ImageText`; what shows nothing is computed too, for squares of patches become one."""
        return super().connected(model, pictures, choice, replace(ask, keep_padding=True), before)

    def opened(self, model: Any, given: dict[str, Any]) -> dict[str, Any]:
        """The pictures that are not empty, and which of their patches show something.

        Raises:
            ValueError: for what is no pictures of rows.
        """
        pixels, mask = self._checked(given)
        real = self._real(pixels)
        edge = model.config.vision_config.patch_size
        shown: dict[str, Any] = {"pixel_values": pixels.flatten(0, 1)[real.flatten()]}
        if mask is not None:
            kept = mask.flatten(0, 1)[real.flatten()].float()[:, None]
            found = -F.max_pool2d(-kept, edge) if self._whole_patches else F.max_pool2d(kept, edge)
            shown["patch_attention_mask"] = found[:, 0] > 0
        return shown

    def noted(self, model: Any, pass_: Pass, pictures: Mapping[str, Any]) -> None:
        """Which patches show something."""
        seen = pictures.get("patch_attention_mask")
        if seen is not None:
            pass_.memo.put(ASKED, seen.flatten(1))

    def stands(self, model: Any, x: Tensor, given: Mapping[str, Any]) -> Sequence[Tensor] | Tensor:
        """What stands for the pictures of each row, [tokens, E]."""
        counts = self._real(given["pixel_values"]).sum(1).tolist()
        return [one.flatten(0, 1) for one in torch.split(x, counts)]

    @staticmethod
    def _checked(given: Mapping[str, Any]) -> tuple[Tensor, Tensor | None]:
        pixels, mask = given.get("pixel_values"), given.get(_MASK)
        if not isinstance(pixels, Tensor) or pixels.dim() != 5:
            said = list(pixels.shape) if isinstance(pixels, Tensor) else type(pixels).__name__
            raise ValueError(
                f"pixel_values are the pictures of every row, [B, pictures, channels, height, width], not "
                f"{said}: pass what the processor returns"
            )
        wanted = (*pixels.shape[:2], *pixels.shape[3:])
        if mask is not None and tuple(mask.shape) != wanted:
            raise ValueError(f"{_MASK} has an entry for every pixel, {list(wanted)}, not {list(mask.shape)}")
        return pixels, mask

    def _real(self, pixels: Tensor) -> Tensor:
        """Which pictures are not empty, [B, pictures]."""
        real = (pixels != 0).flatten(2).any(-1)
        if self._empty and not bool(real.any()):
            real[0, 0] = True
        return real

    def _chosen(
        self, model: Any, ids: Tensor, given: dict[str, Any], which: Callable[..., list[int]]
    ) -> dict[str, Any]:
        """Inputs with the pictures that `which` names, one in a row."""
        if given.get("pixel_values") is None:
            return given
        pixels, mask = self._checked(given)
        real, here = self._real(pixels), ids == self.connector(model.config).token
        count = int(real.sum())
        kept = which(here, [int(here.sum()) // max(1, count)] * count)
        rest = {name: value for name, value in given.items() if name not in ("pixel_values", _MASK)}
        if not kept:
            return rest
        rest["pixel_values"] = pixels.flatten(0, 1)[real.flatten()][kept][:, None]
        if mask is not None:
            rest[_MASK] = mask.flatten(0, 1)[real.flatten()][kept][:, None]
        return rest
