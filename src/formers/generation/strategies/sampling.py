"""One token after the other: the likeliest, or one drawn at random."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from formers.generation.outputs import GenerateDecoderOnlyOutput, GenerateEncoderDecoderOutput
from formers.generation.resolve import Call, decoder_spec
from formers.generation.rows import Book, Draw, Tokens
from formers.nn.watch import watched

RECORDS = (GenerateDecoderOnlyOutput, GenerateEncoderDecoderOutput)
_WORTH = 0.75  # share of the computed rows that still grow, under which the others are left out


class Growth:
    """Which rows still grow, and which are computed: one that ended costs nothing, unless somebody sees it.

    Attributes:
        open: [rows], bool, on the host's side of a row's end.
        computed: rows that the model reads, [n], int64; None for all.
    """

    def __init__(self, call: Call, book: Book) -> None:
        self.open = torch.ones(len(call.ids), dtype=torch.bool, device=call.ids.device)
        self.computed: Tensor | None = None
        self._may_leave_out = (
            len(call.ids) > 1
            and not book.on
            and call.config.use_cache
            and getattr(call.processors, "row_wise", False)
            and call.eos is not None
            and call.pad is not None
            and not call.extras.get("synced_gpus")
            and not _by_halves(call.model)
            and not _seen(call.model)
        )

    def ended(self, done: Tensor) -> bool:
        """Note which rows ended, [rows], bool; whether all have."""
        self.open &= ~done
        return not bool(self.open.any())

    def left(self) -> Tensor | None:
        """Places among the computed rows of those to go on with, where leaving the others out is worth it."""
        if not self._may_leave_out:
            return None
        open_ = self.open if self.computed is None else self.open.index_select(0, self.computed)
        if int(open_.sum()) > _WORTH * len(open_):
            return None
        places = open_.nonzero()[:, 0]
        self.computed = places if self.computed is None else self.computed.index_select(0, places)
        return places


def _seen(model: Any) -> bool:
    """Whether somebody looks inside, who is shown a row for each text as the scripts' hooks expect."""
    return hasattr(model, "_assembly") and watched(model)


def _by_halves(model: Any) -> bool:
    """Whether a row's place in the batch says how it is read."""
    return bool(getattr(getattr(decoder_spec(model), "attention", None), "halves", False))


def sample(call: Call, contrast: Callable[[Any, Tensor], Tensor] | None = None) -> Any:
    """Greedy search, or sampling from the processed distribution.

    Args:
        call: the call.
        contrast: makes scores [n, V] of what the model returned, with its states, and of its logits [n, V].
    """
    decoder, book, draw = call.decoder(states=contrast is not None), Book(call), Draw(call)
    tokens, growth = Tokens(call.ids, call.limit, call.pad), Growth(call, book)
    read = call.ids
    while True:
        out = decoder.read(read)
        logits = out.logits[:, -1].float()  # [n, V]
        raw = logits.clone() if book.logits is not None else logits
        scores = call.processors(read, raw if contrast is None else contrast(out, raw))
        book.note(out, scores, logits)
        del out
        rows = growth.computed
        chosen = draw(scores, rows, len(tokens.all))
        if call.pad is not None and call.eos is not None:
            open_ = growth.open if rows is None else growth.open.index_select(0, rows)
            chosen = torch.where(open_, chosen, call.pad)
        tokens.append(chosen, rows)
        if call.streamer is not None:
            call.streamer.put(tokens.all[:, -1].cpu())
            if getattr(call.streamer, "closed", False):
                break
        if growth.ended(call.criteria(tokens.all, book.scores)):
            break
        places = growth.left()
        if places is not None:
            decoder.keep(places)
        read = tokens.all if growth.computed is None else tokens.all.index_select(0, growth.computed)
    found = tokens.finished()
    if not book.on:
        return found
    return book.record(RECORDS, decoder.cache, sequences=found)
