"""Hidden patches of an image, predicted pixel by pixel (SimMIM: Xie et al. 2021, arXiv:2111.09886)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from formers.core.outputs import MaskedImageOutput, ModelOutput, TaskOutput
from formers.nn.kernels import project
from formers.nn.leaves import norm
from formers.nn.losses import cross_entropy
from formers.nn.spec import Norm, Patches
from formers.nn.tree import leaf, place
from formers.stacks.stack import States
from formers.tasks.base import TaskModel


@dataclass(frozen=True)
class Spec:
    """A decoder of pixels.

    Attributes:
        out: its path.
        stride: pixels that are written for each patch, down and across.
    """

    out: str
    stride: int


class MaskedImageModeling(TaskModel):
    """A convolution over the patches' states, spread out to pixels."""

    _masked = True
    _targets = ()
    _options = ("return_dict",)
    _says = "Predict hidden patches, which `bool_masked_pos` [B, patches] names."

    def _place_head(self, spec: Spec, config: Any) -> None:
        pixels = spec.stride**2 * self._patches().channels
        out = nn.Sequential(nn.Conv2d(self._width(), pixels, kernel_size=1), nn.PixelShuffle(spec.stride))
        place(self, "out", spec.out, out)

    def _patches(self) -> Patches:
        """What the stack reads."""
        stem = self._assembly.spec(self.config).stem
        assert isinstance(stem, Patches)
        return stem

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        stem, images = self._patches(), given["pixel_values"]
        down, across = (size // side for size, side in zip(images.shape[2:], stem.patch, strict=True))
        high, wide = down, across
        while high * wide > states.last.shape[1]:  # patches were merged
            high, wide = -(-high // 2), -(-wide // 2)
        rows = states.last[:, -high * wide :].transpose(1, 2)  # [B, E, places]
        pixels: Tensor = leaf(self, "out")(rows.reshape(*rows.shape[:2], high, wide))
        hidden, loss = given.get("bool_masked_pos"), None
        if hidden is not None:
            if pixels.shape != images.shape:
                raise ValueError(
                    f"the loss compares images of {list(images.shape[2:])} pixels, but the decoder writes "
                    f"{list(pixels.shape[2:])}: set patch_size (twice that for every merging of patches) and "
                    "encoder_stride of the config alike"
                )
            mask = hidden.reshape(-1, 1, down, across)
            for axis, side in zip((2, 3), stem.patch, strict=True):
                mask = mask.repeat_interleave(side, axis)  # [B, 1, height, width]
            apart = F.l1_loss(images, pixels, reduction="none")
            loss = (apart * mask).sum() / (mask.sum() + 1e-5) / stem.channels
        maps = states.extras.get("reshaped_hidden_states")
        return MaskedImageOutput(loss, pixels, states.hidden, states.attentions, maps)


@dataclass(frozen=True)
class TokensSpec:
    """Predicts the codes of hidden patches.

    Attributes:
        out: path of the output layer; `norm_path` of the norm before it.
        norm: that norm.
        count: how many codes there are.
    """

    out: str
    norm_path: str
    norm: Norm
    count: int


class VisualTokens(TaskModel):
    """Which code of another model's each hidden patch has (Bao et al. 2021, arXiv:2106.08254)."""

    _says = (
        "Predict the codes of patches, [B, patches, codes]. `labels`: [hidden patches], int64, those of the "
        "patches that `bool_masked_pos` names, row by row."
    )

    def _place_head(self, spec: TokensSpec, config: Any) -> None:
        place(self, "norm", spec.norm_path, norm(spec.norm, self._width()))
        place(self, "out", spec.out, nn.Linear(self._width(), spec.count))

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        rows, labels, loss = leaf(self, "norm")(states.last)[:, 1:], targets["labels"], None
        logits = project(leaf(self, "out"), rows, None, states.watched)
        if labels is not None:
            hidden = given.get("bool_masked_pos")
            if hidden is None:
                raise ValueError("labels are those of hidden patches: pass bool_masked_pos with them")
            loss = cross_entropy(logits[hidden.bool()], labels, items)
        return self._record(TaskOutput, states, loss, logits)
