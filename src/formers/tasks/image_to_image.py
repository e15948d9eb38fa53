"""Pictures out of pictures: larger, or clearer ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch.nn import functional as F

from formers.core.outputs import MaskedImageOutput, ModelOutput
from formers.nn.nets.tree import compute, fill
from formers.nn.spec import nets
from formers.nn.stems.base import pixels_in
from formers.stacks.stack import States
from formers.tasks.base import TaskModel


@dataclass(frozen=True)
class Spec:
    """What reads the last map.

    Attributes:
        parts: name -> a record of `spec.nets`.
        run: what happens to the map, in order. The steps are told the size of the pictures.
        factor: how much larger pictures become.
        mean, scale: pixels are what is computed, divided by `scale`, and the mean of their channels.
        bicubic: before the map stands what was read, made larger.
        added: what is computed is added to what was read.
    """

    parts: Mapping[str, Any]
    run: tuple[nets.Run, ...]
    factor: int
    mean: tuple[float, ...]
    scale: float
    bicubic: bool = False
    added: bool = False


class ImageToImage(TaskModel):
    """Pictures of one size out of such of another."""

    _targets = ()
    _options = ("return_dict",)
    _says = "Make pictures: `reconstruction`, [B, channels, height, width]. There is no loss."

    def _place_head(self, spec: Spec, config: Any) -> None:
        fill(self, nets.Node(spec.parts))

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        spec: Spec = self._formers.facts["head"]
        x, pixels = states.rows, pixels_in(given)
        pixels, (high, wide) = pixels.to(x.dtype), pixels.shape[2:]
        to = (high * spec.factor, wide * spec.factor)
        held = [F.interpolate(pixels, to, mode="bicubic", align_corners=False)] if spec.bicubic else []
        x = compute(self, spec.run, x, held, None, (high, wide))
        if spec.added:
            x = x[:, :, :high, :wide] + pixels
        x = x / spec.scale + x.new_tensor(spec.mean).view(1, -1, 1, 1)
        return MaskedImageOutput(
            reconstruction=x[:, :, : to[0], : to[1]],
            hidden_states=states.hidden,
            attentions=states.attentions,
        )
