"""Hidden patches of an image, predicted pixel by pixel (SimMIM: Xie et al. 2021, arXiv:2111.09886)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from formers.core.outputs import ModelOutput, TaskOutput
from formers.nn.tree import leaf, place
from formers.stacks.stack import Ask, States
from formers.tasks.base import TaskModel


@dataclass(frozen=True)
class Spec:
    """A decoder of pixels: its path, an image's channels, pixels of a patch's side, and pixels it writes."""

    out: str
    channels: int
    patch: int
    stride: int


class MaskedImageModeling(TaskModel):
    """A convolution over the patches' states, spread out to pixels."""

    _targets = ()
    _options = ("return_dict",)
    _says = "Predict hidden patches, which `bool_masked_pos` [B, patches] names."

    def _place_head(self, spec: Spec, config: Any) -> None:
        pixels = spec.stride**2 * spec.channels
        out = nn.Sequential(nn.Conv2d(self._width(), pixels, kernel_size=1), nn.PixelShuffle(spec.stride))
        place(self, "out", spec.out, out)

    def _prepare(self, given: dict[str, Any], targets: dict[str, Any], ask: Ask) -> None:
        spec: Spec = self._formers.facts["head"]
        if given.get("bool_masked_pos") is not None and spec.patch != spec.stride:
            raise ValueError(
                f"the loss compares patches of {spec.patch} pixels, but the decoder writes {spec.stride} for "
                f"each: set patch_size and encoder_stride of the config alike"
            )

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        spec: Spec = self._formers.facts["head"]
        rows = states.last[:, 1:]  # [B, patches, E]
        side = math.isqrt(rows.shape[1])
        grid = rows.transpose(1, 2).reshape(rows.shape[0], rows.shape[2], side, side)  # [B, E, side, side]
        pixels: Tensor = leaf(self, "out")(grid)
        hidden, loss = given.get("bool_masked_pos"), None
        if hidden is not None:
            mask = hidden.reshape(-1, side, side).repeat_interleave(spec.patch, 1)
            mask = mask.repeat_interleave(spec.patch, 2)[:, None]  # [B, 1, height, width]
            apart = F.l1_loss(given["pixel_values"], pixels, reduction="none")
            loss = (apart * mask).sum() / (mask.sum() + 1e-5) / spec.channels
        return self._record(TaskOutput, states, loss, pixels)
