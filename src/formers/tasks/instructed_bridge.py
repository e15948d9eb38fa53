"""What models say of pictures through vectors that ask what a text tells them to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from formers.tasks.query_bridge import BridgedTexts

_TOLD = ("qformer_input_ids", "qformer_attention_mask")


class InstructedTexts(BridgedTexts):
    """Texts about pictures (Dai et al. 2023, arXiv:2305.06500): the vectors that ask read the prompt too."""

    _says = (
        "Predict texts about pictures, which have as many image tokens as vectors ask. `qformer_input_ids`: "
        "[B, T], what those vectors are told to ask for. `labels`: [B, T], int64, -100 where there is none."
    )

    def _instruction(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The ids of what is told, and which of the rows count, those of the vectors first.

        Raises:
            ValueError: without texts, or for a mask of another shape.
        """
        ids, mask = (given.get(name) for name in _TOLD)
        if not isinstance(ids, Tensor):
            raise ValueError(
                f"{type(self).__name__} is told what to look for: pass qformer_input_ids, as its processor "
                f"makes them of a text"
            )
        real = torch.ones_like(ids) if mask is None else mask
        if real.shape != ids.shape:
            raise ValueError(
                f"qformer_attention_mask has shape {list(real.shape)}, and qformer_input_ids "
                f"{list(ids.shape)}"
            )
        before = real.new_ones(len(ids), self.config.num_query_tokens)
        return {"ids": ids, "mask": torch.cat((before, real), dim=1)}

    def get_image_features(  # type: ignore[override]  # texts beside the pictures
        self,
        pixel_values: Any,
        qformer_input_ids: Any = None,
        qformer_attention_mask: Any = None,
        interpolate_pos_encoding: bool = False,
        **options: Any,
    ) -> Any:
        """What is found of pictures: `pooler_output` [B, Q, F] is what the text model reads.

        Args:
            pixel_values: [B, channels, height, width].
            qformer_input_ids: [B, T], what to look for.
            qformer_attention_mask: [B, T], 1 at its tokens.
            interpolate_pos_encoding: read images of another size than the model was trained on.
            **options: `output_attentions`, `output_hidden_states` of the image model.

        Raises:
            ValueError: without pictures, or what to look for.
        """
        seen = self._looked(pixel_values, interpolate_pos_encoding, options)
        told = dict(zip(_TOLD, (qformer_input_ids, qformer_attention_mask), strict=True))
        return self._asked(seen, **self._instruction(told))

    @torch.no_grad()
    def generate(  # type: ignore[override]  # pictures and what to look for beside a prompt
        self,
        pixel_values: Any = None,
        qformer_input_ids: Any = None,
        qformer_attention_mask: Any = None,
        input_ids: Any = None,
        attention_mask: Any = None,
        inputs_embeds: Any = None,
        interpolate_pos_encoding: bool = False,
        **options: Any,
    ) -> Any:
        """Write about pictures.

        Args:
            pixel_values: [B, channels, height, width].
            qformer_input_ids: [B, T], what to look for; `qformer_attention_mask` [B, T], 1 at its tokens.
            qformer_attention_mask: see there.
            input_ids: [B, T], texts to go on with, with their image tokens; without them texts begin.
            attention_mask: [B, T], 1 at their tokens.
            inputs_embeds: [B, T, E], in place of ids.
            interpolate_pos_encoding: read images of another size than the model was trained on.
            **options: see `GenerationMixin.generate`.

        Raises:
            ValueError: without pictures or what to look for, or for texts that do not fit them.
        """
        shown = self.get_image_features(
            pixel_values, qformer_input_ids, qformer_attention_mask, interpolate_pos_encoding
        )
        return self._said(shown.pooler_output, input_ids, attention_mask, inputs_embeds, options)


class InstructedStates(InstructedTexts):
    """The same over a text model without a head: the records of the three parts."""

    _targets = ()
    _shows_all: ClassVar[bool] = True
    _says = "The states of the three parts."

    @classmethod
    def can_generate(cls) -> bool:
        """Only the class for texts does."""
        return False
