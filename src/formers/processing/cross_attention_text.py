"""Processors of texts whose tokens see pictures by cross attention: Llama 3.2 Vision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from formers.processing.placeholder_text import ShowingProcessor

_MASK = "cross_attention_mask"


class CrossShowingProcessor(ShowingProcessor):
    """Texts that show pictures by one token each, and a mask that says which tokens see which of them.

    A token sees the last picture before it, or those that follow each other there; a text begins with the
    tokenizer's first token, behind pictures that stand before all. See `ShowingProcessor`.
    """

    def __init__(self, *parts: Any, **named: Any) -> None:
        super().__init__(*parts, **named)
        self.bos_token = self.tokenizer.bos_token
        self.python_token_id = self.tokenizer.convert_tokens_to_ids(getattr(self, "python_token", ""))

    @property
    def model_input_names(self) -> list[str]:
        """Names of what a call may return."""
        return [*super().model_input_names, _MASK]

    def _texts(self, text: Any) -> list[str]:
        return [self._begun(one) for one in super()._texts(text)]

    def _begun(self, text: str) -> str:
        first, shown = self.bos_token, self.image_token
        if not first or first in text:
            return text
        rest = text
        while rest.startswith(shown):
            rest = rest[len(shown) :]
        return f"{text[: len(text) - len(rest)]}{first}{rest}"

    def _together(self, found: Mapping[str, Any]) -> dict[str, Any]:
        if "num_tiles" not in found or "input_ids" not in found:
            return {}
        rows = [np.asarray(row) for row in found["input_ids"]]
        counts: list[list[int]] = found["num_tiles"]
        shape = len(rows), max(map(len, rows)), max(map(len, counts)), self.image_processor.max_image_tiles
        mask = np.zeros(shape, np.int64)
        for row, (ids, tiles) in enumerate(zip(rows, counts, strict=True)):
            places = np.flatnonzero(ids == self.image_token_id)
            for one, (begin, end) in enumerate(seen_in(places.tolist(), len(ids))):
                mask[row, begin:end, one, : tiles[one]] = 1
        return {_MASK: mask}


def seen_in(places: Sequence[int], length: int) -> list[tuple[int, int]]:
    """The columns that see each picture of a text, first and behind the last, by where their tokens stand."""
    ends = [*places[1:], length][: len(places)]
    for i in range(len(places) - 2, -1, -1):
        if places[i] == places[i + 1] - 1:  # pictures that follow each other are seen together
            ends[i] = ends[i + 1]
    return list(zip(places, ends, strict=True))
