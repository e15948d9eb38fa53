"""The records of a text model, an image model and a model of both, and of what they were trained on.

Of shapes: B texts or pictures, T tokens, P patches behind a token of their own, V words, W words of patches.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from formers.core.model_output import ModelOutput

if TYPE_CHECKING:
    from torch import Tensor


@dataclasses.dataclass
class UnimodalAndJointOutput(ModelOutput):
    """States of pictures [B, 1 + P, E], texts [B, T, E] and both [B, 2 + P + T, E], and the three records."""

    image_embeddings: Tensor | None = None
    image_output: ModelOutput | None = None
    text_embeddings: Tensor | None = None
    text_output: ModelOutput | None = None
    multimodal_embeddings: Tensor | None = None
    multimodal_output: ModelOutput | None = None


@dataclasses.dataclass
class UnimodalAndJointLosses(ModelOutput):
    """What each task adds to the loss, weighed: of pictures, of texts, and of both."""

    mim: Tensor | None = None
    mlm: Tensor | None = None
    itm: Tensor | None = None
    global_contrastive: Tensor | None = None
    mmm_image: Tensor | None = None
    mmm_text: Tensor | None = None


@dataclasses.dataclass
class UnimodalAndJointPreTrainingOutput(ModelOutput):
    """What `UnimodalAndJointOutput` has, of inputs as they are and with parts hidden, and all tasks' logits.

    Logits of words and patches are those of hidden ones, [hidden, V] and [hidden, W], where labels say which
    are; else [B, T, V] and [B, P, W]. `itm_logits` [B, 2]; the `contrastive_logits` [B, B].
    """

    loss: Tensor | None = None
    loss_info: UnimodalAndJointLosses | None = None
    image_embeddings: Tensor | None = None
    image_output: ModelOutput | None = None
    text_embeddings: Tensor | None = None
    text_output: ModelOutput | None = None
    multimodal_embeddings: Tensor | None = None
    multimodal_output: ModelOutput | None = None
    image_masked_embeddings: Tensor | None = None
    image_masked_output: ModelOutput | None = None
    text_masked_embeddings: Tensor | None = None
    text_masked_output: ModelOutput | None = None
    multimodal_masked_embeddings: Tensor | None = None
    multimodal_masked_output: ModelOutput | None = None
    mim_logits: Tensor | None = None
    mlm_logits: Tensor | None = None
    itm_logits: Tensor | None = None
    contrastive_logits_per_image: Tensor | None = None
    contrastive_logits_per_text: Tensor | None = None
    mmm_image_logits: Tensor | None = None
    mmm_text_logits: Tensor | None = None
