"""What stems share in which a text stands before rows of something else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from formers.nn.layout import Layout
from formers.nn.stems.tokens import TokenStem


class LeadingStem(TokenStem):
    """Texts are embedded with their padding, and laid out with what stands behind them as one."""

    by_row = ()

    def text(self, given: Mapping[str, Any]) -> tuple[int, int]:
        """B and T of the text alone."""
        return TokenStem.shape(self, given)

    def text_mask(self, mask: Any, given: Mapping[str, Any]) -> Tensor:
        """The mask over the text, [B, T]; all real where there is none.

        Raises:
            ValueError: for one of another shape.
        """
        text = self.text(given)
        if mask is None:
            found = given.get("input_ids")
            device = (given["inputs_embeds"] if found is None else found).device
            return torch.ones(text, device=device)
        if not isinstance(mask, Tensor) or tuple(mask.shape) != text:
            told = list(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
            raise ValueError(f"beside a picture attention_mask must have shape {list(text)}, not {told}")
        return mask

    def places(
        self, given: Mapping[str, Any], layout: Layout, past: int, real: Tensor | None = None
    ) -> Tensor:
        """Those of the text, [1 or B, T + P]; the rows behind it have places of their own, and get zeros."""
        batch, length = self.text(given)
        found = super().places(given, Layout.dense(batch, length), past, None)
        return F.pad(found, (0, layout.length - length))
