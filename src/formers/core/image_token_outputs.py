"""Records of models that tell pictures as codes."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from formers.core.outputs import ModelOutput

if TYPE_CHECKING:
    from torch import Tensor


@dataclasses.dataclass
class PictureCodesOutput(ModelOutput):
    """Pictures as codes.

    `last_hidden_state` [B, C, h, w]; `pooler_output` [B, h * w, E], where a text model has words for codes;
    `quantized_last_hidden_state` [B, E, h, w]; `image_tokens` [B * h * w], int64; `embedding_loss`, scalar.
    """

    last_hidden_state: Tensor | None = None
    pooler_output: Tensor | None = None
    quantized_last_hidden_state: Tensor | None = None
    image_tokens: Tensor | None = None
    embedding_loss: Tensor | None = None
