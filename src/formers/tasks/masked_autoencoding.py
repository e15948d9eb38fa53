"""Pixels of hidden patches, by a second stack over all places (He et al. 2021, arXiv:2111.06377)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.core.outputs import HiddenPixelsOutput, ModelOutput, TaskOutput
from formers.nn import spec
from formers.nn.fresh import Constant
from formers.nn.grids import GridWaves
from formers.nn.kernels import project
from formers.nn.spec import Paths
from formers.nn.tree import Group, add_aliases, hold, leaf, place, place_tensor, wiring
from formers.stacks.stack import Ask, Inputs, States, place_stack, run
from formers.tasks.base import TaskModel


@dataclass(frozen=True)
class Spec:
    """A decoder of pixels.

    Attributes:
        stack: its layers.
        node: where they lie; `paths` in it of `embed`, `mask`, `position` and `out`.
        grid: patches down and across; `patch` pixels of one likewise, of so many `channels`.
        normed: pixels of a patch are compared after their mean and variance are taken out.
    """

    stack: spec.Stack
    node: str
    paths: Paths
    grid: tuple[int, int]
    patch: int
    channels: int
    normed: bool


class PixelDecoder(Group):
    """Layers over all places, of which those that are hidden are one learned vector."""

    def __init__(self, s: Spec, width: int) -> None:
        super().__init__()
        inner, paths = s.stack.width, s.paths
        place_tensor(self, "mask", str(paths["mask"]), torch.zeros(1, 1, inner), Constant(0.0))
        table = torch.zeros(1, s.grid[0] * s.grid[1] + 1, inner)
        place_tensor(self, "position", str(paths["position"]), table, GridWaves(*s.grid))
        leaf(self, "position").requires_grad_(False)
        place(self, "embed", str(paths["embed"]), nn.Linear(width, inner))
        place_stack(self, s.stack)
        place(self, "out", str(paths["out"]), nn.Linear(inner, s.patch**2 * s.channels))

    def forward(
        self, hidden_states: Tensor, ids_restore: Tensor, interpolate_pos_encoding: bool = False, **how: Any
    ) -> TaskOutput:
        """States [B, 1 + left, E] and where patches stand, [B, patches] -> `logits` [B, patches, pixels]."""
        padded = bool(how.get("padded", True))
        x = project(leaf(self, "embed"), hidden_states, None, padded)
        batch, left, width = x.shape
        hidden = leaf(self, "mask").expand(batch, ids_restore.shape[1] + 1 - left, -1)
        all_ = torch.cat((x[:, 1:], hidden), dim=1).gather(1, ids_restore[..., None].expand(-1, -1, width))
        table: Tensor = leaf(self, "position")
        if interpolate_pos_encoding:  # along the row of all patches, as the ecosystem has it
            rows = table[:, 1:].transpose(1, 2)[:, :, None]  # [1, E, 1, patches]
            drawn = F.interpolate(rows, (1, ids_restore.shape[1]), mode="bicubic")
            table = torch.cat((table[:, :1], drawn[:, :, 0].transpose(1, 2)), dim=1)
        x = torch.cat((x[:, :1], all_), dim=1) + table
        given = {"query_embeds": x, "encoder_hidden_states": x}
        states = run(
            self,
            Inputs(given),
            Ask(rows=False, padded=padded, backend=how.get("backend")),
            bool(how.get("checkpointing")),
        )
        logits = project(leaf(self, "out"), states.last, None, padded)
        return TaskOutput(logits=logits[:, 1:])


class MaskedAutoencoding(TaskModel):
    """A decoder over the states of the patches that are left."""

    _targets = ()
    _options = ("return_dict",)
    _says = "Predict the pixels of hidden patches, [B, patches, pixels]."

    def _place_head(self, s: Spec, config: Any) -> None:
        hold(self, s.node, PixelDecoder(s, self._width()))
        known = self._family.aliases if self._family is not None else {}
        add_aliases(self, {new: old for new, old in known.items() if new.startswith(f"{s.node}.")})

    def patchify(self, pixel_values: Tensor, interpolate_pos_encoding: bool = False) -> Tensor:
        """[B, channels, height, width] -> [B, patches, pixels], the channels of a pixel side by side."""
        side: int = wiring(self).facts["head"].patch
        batch, channels, high, wide = pixel_values.shape
        apart = pixel_values.reshape(batch, channels, high // side, side, wide // side, side)
        return apart.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)

    def unpatchify(
        self, patchified_pixel_values: Tensor, original_image_size: tuple[int, int] | None = None
    ) -> Tensor:
        """[B, patches, pixels] -> [B, channels, height, width].

        Raises:
            ValueError: for patches that do not make an image of that size.
        """
        s: Spec = wiring(self).facts["head"]
        high, wide = original_image_size or (s.grid[0] * s.patch, s.grid[1] * s.patch)
        down, across = high // s.patch, wide // s.patch
        if down * across != patchified_pixel_values.shape[1]:
            count = patchified_pixel_values.shape[1]
            raise ValueError(f"{count} patches do not make an image of {down} by {across}")
        apart = patchified_pixel_values.reshape(-1, down, across, s.patch, s.patch, s.channels)
        return apart.permute(0, 5, 1, 3, 2, 4).flatten(4).flatten(2, 3)

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        s: Spec = wiring(self).facts["head"]
        mask, back = states.extras["mask"], states.extras["ids_restore"]
        free = bool(given.get("interpolate_pos_encoding"))
        backend, again = self.config._attn_implementation, self.gradient_checkpointing
        own = {"padded": states.watched, "backend": backend, "checkpointing": again}
        node: Any = self._modules[s.node]
        logits = node(states.last, back, free, **(own if isinstance(node, PixelDecoder) else {})).logits
        wanted = self.patchify(given["pixel_values"])
        if s.normed:
            wanted = (wanted - wanted.mean(-1, keepdim=True)) / (wanted.var(-1, keepdim=True) + 1e-6).sqrt()
        apart = (logits - wanted).square().mean(-1)  # [B, patches]
        loss = (apart * mask).sum() / mask.sum()
        return HiddenPixelsOutput(loss, logits, mask, back, states.hidden, states.attentions)
