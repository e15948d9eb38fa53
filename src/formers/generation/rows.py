"""Rows of tokens while they grow: their buffer, who still grows, and what is noted on the way."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from formers.core.outputs import ModelOutput
from formers.generation.resolve import Call

_BLOCK = 256  # columns by which the buffer grows at least; by half where that is more, so that copies are few


class Tokens:
    """Rows of tokens, [rows, length], in a buffer that has room for more."""

    def __init__(self, ids: Tensor, limit: int, pad: int | None) -> None:
        self.length, self.pad = ids.shape[1], pad if pad is not None else 0
        self.limit = max(limit, self.length)
        self._held = ids
        self._reserve(self.length + 1)

    @property
    def all(self) -> Tensor:
        """Every row so far, [rows, length], int64; a view."""
        return self._held[:, : self.length]

    def _reserve(self, length: int) -> None:
        if self._held.shape[1] >= length and self._held.shape[1] > self.length:
            return
        room = max(length, min(self.limit, self.length + max(_BLOCK, self.length // 2)))
        grown = self._held.new_full((len(self._held), room), self.pad)
        grown[:, : self.length] = self._held[:, : self.length]
        self._held = grown

    def append(self, chosen: Tensor, rows: Tensor | None = None) -> None:
        """Add a token to every row, [rows]; or to the rows `rows`, the others being padded."""
        self._reserve(self.length + 1)
        if rows is None:
            self._held[:, self.length] = chosen
        else:
            self._held[:, self.length] = self.pad
            self._held[rows, self.length] = chosen
        self.length += 1

    def extend(self, chosen: Tensor) -> None:
        """Add several tokens to every row, [rows, count]."""
        self._reserve(self.length + chosen.shape[1])
        self._held[:, self.length : self.length + chosen.shape[1]] = chosen
        self.length += chosen.shape[1]

    def finished(self) -> Tensor:
        """What the caller gets: [rows, length], on its own."""
        return self.all.clone()


class Book:
    """What a caller who wants a record wants to see of every step."""

    def __init__(self, call: Call) -> None:
        config, on = call.config, bool(call.config.return_dict_in_generate)
        self.call, self.on = call, on
        self.scores: list[Tensor] | None = [] if on and config.output_scores else None
        self.logits: list[Tensor] | None = [] if on and config.output_logits else None
        self.hidden: list[Any] | None = [] if on and config.output_hidden_states else None
        self.attentions: list[Any] | None = [] if on and config.output_attentions else None
        self.cross: list[Any] | None = [] if on and config.output_attentions else None

    @property
    def notes(self) -> bool:
        """Whether anything of a step is kept."""
        return any(part is not None for part in (self.scores, self.logits, self.hidden, self.attentions))

    def note(self, out: ModelOutput, scores: Tensor, logits: Tensor) -> None:
        """Keep what is wanted of one step."""
        prefix = "decoder_" if self.call.encoder_decoder else ""
        values: tuple[tuple[list[Any] | None, Any], ...] = (
            (self.scores, scores),
            (self.logits, logits),
            (self.hidden, getattr(out, f"{prefix}hidden_states", None)),
            (self.attentions, getattr(out, f"{prefix}attentions", None)),
            (self.cross, getattr(out, "cross_attentions", None)),
        )
        for held, value in values:
            if held is not None:
                held.append(value)

    def record(self, kinds: tuple[type[Any], type[Any]], cache: Any, **values: Any) -> Any:
        """The record for a decoder or for an encoder-decoder, of `kinds`, with values of its own."""
        noted = {
            "scores": self.scores,
            "logits": self.logits,
            "hidden_states": self.hidden,
            "attentions": self.attentions,
        }
        found = {name: None if held is None else tuple(held) for name, held in noted.items()}
        if not self.call.encoder_decoder:
            return kinds[0](**values, **found, past_key_values=cache)
        memory = self.call.inputs.get("encoder_outputs")
        for name in ("hidden_states", "attentions"):
            found[f"decoder_{name}"] = found.pop(name)
            wanted = found[f"decoder_{name}"] is not None
            found[f"encoder_{name}"] = getattr(memory, name, None) if wanted else None
        found["cross_attentions"] = None if self.cross is None else tuple(self.cross)
        return kinds[1](**values, **found, past_key_values=cache)


class Draw:
    """Chooses a token for every row: the likeliest, or one at random.

    Without a seed it draws from torch's own generator, all rows together, as `torch.multinomial` does.
    With one, every row draws by itself, so that what it gets does not depend on who shares the batch; the
    copies of one prompt differ. Rows are sampled by exponential noise: argmax of p / e (Gumbel's trick).
    """

    def __init__(self, call: Call) -> None:
        self.sample, seed = bool(call.config.do_sample), call.config.seed
        self._shared, self._own = call.generator, None
        device = self._device = call.ids.device
        if self.sample and seed is not None:
            if call.generator is not None:
                raise ValueError("give one of seed and generator")
            rows = len(call.ids)
            self._own = [
                torch.Generator(device).manual_seed(int(seed) + (i % call.copies)) for i in range(rows)
            ]

    def uniform(self, count: int) -> Tensor:
        """Numbers in [0, 1) for the first row, [count], float."""
        source = self._shared if self._own is None else self._own[0]
        return torch.rand(count, generator=source, device=self._device)

    def __call__(self, scores: Tensor, rows: Tensor | None = None, count: int | None = None) -> Tensor:
        """Scores [rows, V] of all `count` rows or of those at `rows` -> tokens [rows], int64."""
        if not self.sample:
            return scores.argmax(-1)
        chances = scores.softmax(-1)
        if self._own is not None:
            which = range(len(scores)) if rows is None else rows.tolist()
            noise = torch.stack(
                [torch.empty_like(chances[0]).exponential_(generator=self._own[i]) for i in which]
            )
        else:
            whole = len(scores) if count is None else count
            noise = chances.new_empty(whole, chances.shape[1]).exponential_(generator=self._shared)
            noise = noise if rows is None else noise.index_select(0, rows)
        return (chances / noise).argmax(-1)
