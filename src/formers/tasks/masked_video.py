"""Pixels of hidden patches of a film, by a second stack (Tong et al. 2022, arXiv:2203.12602)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from formers.core.outputs import ModelOutput, TaskOutput
from formers.nn import spec
from formers.nn.fresh import Constant
from formers.nn.kernels import project
from formers.nn.spec import Paths, Tubelets
from formers.nn.stems.tubelets import waves
from formers.nn.tree import Group, hold, leaf, place, place_tensor, wiring
from formers.stacks.stack import Ask, Inputs, States, place_stack, run
from formers.tasks.base import TaskModel

_MEAN, _SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's red, green and blue


@dataclass(frozen=True)
class Spec:
    """A decoder of pixels.

    Attributes:
        stack: its layers.
        node: where they lie.
        paths: in the model, of `embed` and `mask`; in that node, of `norm` and `out`.
        normed: pixels of a patch are compared after mean and variance of every channel are taken out.
    """

    stack: spec.Stack
    node: str
    paths: Paths
    normed: bool


class ClipDecoder(Group):
    """Layers over all patches, those that are hidden last, whose pixels they give."""

    def __init__(self, s: Spec, pixels: int) -> None:
        super().__init__()
        place_stack(self, s.stack)
        place(self, "norm", str(s.paths["norm"]), nn.LayerNorm(s.stack.width))
        place(self, "out", str(s.paths["out"]), nn.Linear(s.stack.width, pixels))

    def forward(self, hidden_states: Tensor, return_token_num: int, **how: Any) -> TaskOutput:
        """[B, patches, E] -> `logits` of the last so many, [B, hidden, pixels]."""
        padded = bool(how.get("padded", True))
        given = {"query_embeds": hidden_states, "encoder_hidden_states": hidden_states}
        ask = Ask(rows=False, padded=padded, backend=how.get("backend"))
        x = run(self, Inputs(given), ask, bool(how.get("checkpointing"))).last[:, -return_token_num:]
        return TaskOutput(logits=project(leaf(self, "out"), leaf(self, "norm")(x), None, padded))


class MaskedVideo(TaskModel):
    """A decoder over the states of the patches that are left."""

    _targets = ()
    _options = ("return_dict",)
    _says = "Predict the pixels of hidden patches, which `bool_masked_pos` [B, patches] names."

    def _place_head(self, s: Spec, config: Any) -> None:
        stem = self._stem()
        hold(self, s.node, ClipDecoder(s, stem.channels * stem.depth * stem.patch[0] * stem.patch[1]))
        place(self, "embed", str(s.paths["embed"]), nn.Linear(self._width(), s.stack.width, bias=False))
        token = torch.zeros(1, 1, s.stack.width)
        place_tensor(self, "mask", str(s.paths["mask"]), token, Constant(0.0))

    def _stem(self) -> Tubelets:
        """What the stack reads."""
        stem = self._assembly.spec(self.config).stem
        assert isinstance(stem, Tubelets)
        return stem

    def _prepare(self, given: dict[str, Any], targets: dict[str, Any], ask: Ask) -> None:
        if given.get("bool_masked_pos") is None:
            raise ValueError("which patches are hidden, and predicted, is said by bool_masked_pos")

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        s: Spec = wiring(self).facts["head"]
        hidden, stem = given["bool_masked_pos"].bool(), self._stem()
        x = project(leaf(self, "embed"), states.last, None, states.watched)
        batch, _, width = x.shape
        places = waves(stem.count, width).to(x.device, x.dtype).expand(batch, -1, -1)
        seen, unseen = (places[which].view(batch, -1, width) for which in (~hidden, hidden))
        x = torch.cat((x + seen, leaf(self, "mask") + unseen), dim=1)
        backend, again = self.config._attn_implementation, self.gradient_checkpointing
        own = {"padded": states.watched, "backend": backend, "checkpointing": again}
        node: Any = self._modules[s.node]
        logits = node(x, unseen.shape[1], **(own if isinstance(node, ClipDecoder) else {})).logits
        with torch.no_grad():
            wanted = _pixels(given["pixel_values"], stem, s.normed)[hidden].view_as(logits)
        loss = (logits - wanted).square().mean()
        return self._record(TaskOutput, states, loss, logits)


def _pixels(films: Tensor, stem: Tubelets, normed: bool) -> Tensor:
    """Pixels of every patch, [B, patches, pixels], the channels of a pixel side by side.

    Raises:
        ValueError: for pixels as they are, where nobody knows how they were normed.
    """
    if stem.channels == 3:
        mean, spread = (torch.tensor(v, device=films.device).view(3, 1, 1) for v in (_MEAN, _SPREAD))
        films = (films * spread + mean).to(films.dtype)
    elif not normed:
        raise ValueError(
            f"pixels of {stem.channels} channels are compared as they are for red, green and blue alone: set "
            f"norm_pix_loss=True in the config"
        )
    (high, wide), (down, across), deep = stem.patch, stem.grid, stem.depth
    apart = films.reshape(films.shape[0], -1, deep, stem.channels, down, high, across, wide)
    apart = apart.permute(0, 1, 4, 6, 2, 5, 7, 3)  # [B, frames, down, across, deep, high, wide, channels]
    rows = apart.reshape(films.shape[0], -1, deep * high * wide, stem.channels)
    if normed:
        rows = (rows - rows.mean(2, keepdim=True)) / (rows.var(2, keepdim=True).sqrt() + 1e-6)
    return rows.flatten(2)
