"""Write units of speech of a text's states all at once, by the letters of its tokens (arXiv:2312.05187)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from formers.core.outputs import ModelOutput
from formers.core.sound_outputs import NonAutoregressiveUnitsOutput
from formers.nn.losses import cross_entropy
from formers.stacks.stack import States
from formers.tasks.language_model import VocabularyHead
from formers.tasks.speech_to_speech import Said, of_units

_SPACE = "▁"


class NonAutoregressiveUnits(VocabularyHead):
    """The vocabulary head over such a pair, with settings of its own."""

    _trims = 1  # the end of a text is not said
    _says_every = True
    _options = ()
    _says = "Predict units. `labels`: [B, T'], int64, -100 where there is none; not shifted."

    def __init__(self, config: Any, *args: Any, **options: Any) -> None:
        super().__init__(of_units(config), *args, **options)

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        logits, labels = self._vocabulary(states), targets["labels"]  # [B, T', V]
        loss = None if labels is None else cross_entropy(logits, labels, items)
        return NonAutoregressiveUnitsOutput(logits, **self._assembly.passed_on(states), loss=loss)

    def _of_texts(self, said: Said, language: int) -> tuple[Tensor, Tensor]:
        """Units [B, n], int64, and those to be said, silent behind the end of each text.

        Raises:
            ValueError: where nothing says what tokens are in letters.
        """
        settings = said.settings
        ids = said.ids[:, 2:-1].masked_fill(said.ids[:, 2:-1] == settings.eos_token_id, settings.pad_token_id)
        letters, counts = letters_of(ids, settings)
        made = self(
            inputs_embeds=said.rows,
            attention_mask=said.real.long(),
            char_input_ids=letters,
            char_count_per_id=torch.nn.functional.pad(counts, (1, 1)),  # marks have no letters
            return_dict=True,
        )
        logits, heat = made.last_hidden_state, said.options.get("temperature")
        if heat in (None, 1.0) or not said.options.get("do_sample"):
            found = logits.argmax(-1)
        else:
            shares = (logits / heat).softmax(-1)
            found = torch.multinomial(shares.flatten(0, 1), 1).view(len(logits), -1)
        return found, found.masked_fill(made.padding_mask == 0, self.config.pad_token_id)


def letters_of(ids: Tensor, settings: Any) -> tuple[Tensor, Tensor]:
    """The letters of all tokens [B, T] of each text, [B, L], and how many each token has, [B, T], int64.

    A mark alone takes the space of the next token along.

    Args:
        ids: int64; padding stands behind each text.
        settings: of generation, with `id_to_text` (id, as text -> token) and `char_to_id`.

    Raises:
        ValueError: where those are missing, or nothing is to be said.
    """
    for name in ("id_to_text", "char_to_id"):
        if not getattr(settings, name, None):
            raise ValueError(
                f"the model's generation config has no {name}, which says what tokens are in letters: load "
                "the generation_config.json of its checkpoint"
            )
    pad, unknown = settings.pad_token_id, 1
    rows, counts = [], torch.zeros_like(ids)
    for place, row in enumerate(ids.tolist()):
        real = row[: sum(one != pad for one in row)]
        tokens = [str(settings.id_to_text.get(str(one))) for one in real]
        known = [one != unknown for one in real]
        numbers = _counts(tokens, known)
        counts[place, : len(numbers)] = torch.tensor(numbers, dtype=ids.dtype)
        rows.append(_letters(tokens, known, settings.char_to_id, unknown))
    most = int(counts.sum(1).max()) if counts.numel() else 0
    if not most:
        raise ValueError("there is nothing to say: every translation is an empty text")
    made = torch.full((len(rows), most), pad, dtype=torch.int64)
    for place, row in enumerate(rows):
        made[place, : len(row)] = torch.tensor(row, dtype=torch.int64)
    return made.to(ids.device), counts


def _counts(tokens: Sequence[str], known: Sequence[bool]) -> list[int]:
    """How many letters each token of a text has."""
    spaced = [len(one) > 1 and one[0] == _SPACE for one in tokens[1:]] + [False]  # the next one
    marks = [len(t) == 1 and not t.isalpha() and not t.isnumeric() and t != _SPACE for t in tokens]
    found = []
    for i, token in enumerate(tokens):
        if not known[i]:
            found.append(1)
            continue
        gives = i > 0 and marks[i - 1] and spaced[i - 1] and not (marks[i] and spaced[i])
        found.append(len(token) + (marks[i] and spaced[i]) - gives)
    return found


def _letters(tokens: Sequence[str], known: Sequence[bool], ids: Mapping[str, int], unknown: int) -> list[int]:
    """The ids of a text's letters."""
    found: list[int] = []
    for token, read in zip(tokens, known, strict=True):
        found += [ids.get(letter, unknown) for letter in token] if read else [unknown]
    return found
