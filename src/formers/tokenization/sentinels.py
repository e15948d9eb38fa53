"""Sentinels: tokens that stand for the spans that a text-to-text model fills in."""

from __future__ import annotations

import re
from typing import Any


class SentinelMethods:
    """What tokenizers with `extra_ids` have."""

    def get_sentinel_tokens(self: Any) -> list[str]:
        """The sentinels, `<extra_id_0>` first."""
        texts = (str(token) for token in self.all_special_tokens)
        found = (match for text in texts if (match := re.fullmatch(r"<extra_id_(\d+)>", text)))
        return [match[0] for match in sorted(found, key=lambda match: int(match[1]))]

    def get_sentinel_token_ids(self: Any) -> list[int]:
        """Their ids, in that order."""
        return [int(index) for index in self.convert_tokens_to_ids(self.get_sentinel_tokens())]
