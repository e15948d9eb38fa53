"""The special tokens around texts: the methods and attributes that are about nothing else."""

from __future__ import annotations

from typing import Any

from formers.tokenization import components
from formers.tokenization.encoder import Encoder
from formers.tokenization.vocabulary import Vocabulary


class FrameMethods:
    """What a tokenizer puts around texts."""

    _vocabulary: Vocabulary
    _encoder: Encoder
    model_max_length: int
    bos_token: Any
    bos_token_id: Any
    eos_token: Any
    eos_token_id: Any

    @property
    def add_bos_token(self) -> bool:
        """Whether a text gets the `bos_token` in front; can be set."""
        return self.bos_token is not None and self._edge(0) == self.bos_token_id

    @add_bos_token.setter
    def add_bos_token(self, value: bool) -> None:
        self._surround(bos=bool(value))

    @property
    def add_eos_token(self) -> bool:
        """Whether a text gets the `eos_token` at its end; can be set."""
        return self.eos_token is not None and self._edge(-1) == self.eos_token_id

    @add_eos_token.setter
    def add_eos_token(self, value: bool) -> None:
        self._surround(eos=bool(value))

    def _edge(self, place: int) -> int | None:
        """Return the special token at one end of a text, None where the text itself stands there."""
        if not self.num_special_tokens_to_add():
            return None
        index, _, sequence = self._encoder.frame(False)[place]
        return index if sequence is None else None

    def _surround(self, bos: bool | None = None, eos: bool | None = None) -> None:
        """Put the start and end tokens around texts, or not; None leaves one as it is."""
        asked = (("bos_token", bos), ("eos_token", eos))
        if not self._encoder.is_surrounded():
            for name, wanted in asked:
                if wanted is not None and wanted != getattr(self, f"add_{name}"):
                    raise ValueError(
                        f"add_{name}={wanted}: this tokenizer puts more around a text than start and end, "
                        "so there is no place for it. Name other tokens with cls_token= and sep_token=, or "
                        "leave all out of a call with add_special_tokens=False"
                    )
            return
        tokens = []
        for name, wanted in asked:
            on, token = getattr(self, f"add_{name}") if wanted is None else wanted, getattr(self, name)
            if on and token is None:
                raise ValueError(
                    f"add_{name}=True needs a {name}, but this tokenizer has none: set tokenizer.{name}"
                )
            tokens.append(token if on else None)
        components.surround(self._vocabulary.backend, *tokens)

    def update_post_processor(self) -> None:
        """Put the present `bos_token` and `eos_token` around texts, after one of them was set anew."""
        if self._encoder.is_surrounded():
            first, last = self._edge(0) is not None, self._edge(-1) is not None
            self._surround(bos=first and self.bos_token is not None, eos=last and self.eos_token is not None)

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """Return how many special tokens a text (or a pair) gets."""
        return self._encoder.special_count(pair)

    @property
    def max_len_single_sentence(self) -> int:
        """How many tokens of text fit beside the special tokens."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=False)

    @property
    def max_len_sentences_pair(self) -> int:
        """How many tokens of a pair fit beside the special tokens."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=True)
