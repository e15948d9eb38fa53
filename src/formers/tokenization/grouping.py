"""Tokens of every moment of a sound as texts, for models that spell by pieces of words (CTC)."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from formers.tokenization.decoder import ids_of


class GroupingMethods:
    """What their tokenizers have: what repeats is one token, and blanks (`pad_token`) are left out."""

    def decode(
        self: Any,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        group_tokens: bool = True,
        **kwargs: Any,
    ) -> Any:
        """Ids of moments to a text.

        Args:
            token_ids: an int, or [T]; [B, T] gives several.
            skip_special_tokens: leave special tokens out.
            clean_up_tokenization_spaces: remove spaces before punctuation; the setting where None.
            group_tokens: whether what repeats is one token.
            **kwargs: as all tokenizers take them.

        Returns:
            A string, or a list of strings for a batch.
        """
        ids = ids_of(token_ids)
        ids = [ids] if isinstance(ids, int) else ids

        def kept(row: list[int]) -> list[int]:
            tokens = [token for token, _ in groupby(row)] if group_tokens else row
            return [token for token in tokens if token != self.pad_token_id]

        batched = bool(ids) and isinstance(ids[0], (list, tuple))
        rows = [kept(row) for row in ids] if batched else kept(ids)
        options = (skip_special_tokens, clean_up_tokenization_spaces)
        return super().decode(rows, *options, **kwargs)  # type: ignore[misc]  # of every tokenizer
