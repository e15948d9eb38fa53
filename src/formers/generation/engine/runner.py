"""The model's side of the engine: prompts are read into a cache of their own, rows go on in a shared one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from formers.generation.decoder import cache_name, keeps_tokens, taken_by
from formers.generation.engine.blocks import Blocks
from formers.generation.resolve import decoder_spec, first_position
from formers.nn.cache import Cache, DynamicCache, Growing
from formers.nn.cache.pool import Pooled, Whole, pooled


class Runner:
    """Reads prompts, and lets all rows go on by one token.

    Args:
        model: a decoder with a head for the next token, in evaluation mode.
        rows: how many rows may go on at once.
        blocks: what is kept of prompts.

    Raises:
        ValueError: for a model that cannot share a batch.
    """

    def __init__(self, model: Any, rows: int, blocks: Blocks) -> None:
        if not keeps_tokens(model):
            raise ValueError(
                f"rows of {type(model).__name__} cannot join and leave, which takes a decoder with a cache "
                "of its tokens: use generate()"
            )
        self.model, self.blocks = model, blocks
        self._wanted = decoder_spec(model).slots
        self._name = cache_name(model)
        self._takes = taken_by(model)
        self._slots = [pooled(spec, rows) for spec in self._wanted]
        self.pool = Cache(self._slots)
        self.lengths: list[int] = []  # of every row, what the pool holds
        self._attends = any(isinstance(slot, Pooled) for slot in self._slots)
        self._first = first_position(model)
        kinds = {"growing", "ring", "latent"}
        self._reads_all = all(spec is None or spec.kind in kinds for spec in self._wanted)

    # -- prompts --------------------------------------------------------------------------------------

    def begin(self, prompt: Sequence[int]) -> tuple[Cache, int]:
        """A cache for a prompt, and how many of its tokens that holds already."""
        cache = DynamicCache()
        ring = [spec is not None and spec.kind == "ring" for spec in self._wanted]
        cache.slots = [(Whole if one else Growing)(len(prompt)) for one in ring]
        known = self.blocks.begun(prompt, cache) if self._reads_all else 0
        return cache, known

    def read(self, cache: Cache, ids: Sequence[int]) -> Tensor:
        """Read a piece of a prompt; logits of what follows its last token, [1, V]."""
        rows = torch.tensor([list(ids)], device=self.model.device)
        return self._logits({"input_ids": rows, self._name: cache})

    def join(self, cache: Cache, prompt: Sequence[int]) -> None:
        """A prompt was read: its row joins."""
        if self._reads_all:
            self.blocks.keep(prompt, cache)
        for shared, slot in zip(self._slots, cache.slots, strict=True):
            shared.join(slot)
        self.lengths.append(len(prompt))

    # -- rows -----------------------------------------------------------------------------------------

    def step(self, tokens: Sequence[int]) -> Tensor:
        """Every row reads its newest token; logits of what follows, [rows, V]."""
        ids = torch.tensor(tokens, device=self.model.device)[:, None]  # [rows, 1]
        most = max(self.lengths)
        given: dict[str, Any] = {"input_ids": ids, self._name: self.pool}
        if self._attends and min(self.lengths) < most:
            lengths = torch.tensor(self.lengths, device=ids.device)[:, None]  # [rows, 1]
            columns = torch.arange(most + 1, device=ids.device)
            given["attention_mask"] = (columns >= most - lengths).long()  # [rows, most + 1]
            if "position_ids" in self._takes:
                given["position_ids"] = lengths + self._first
        found = self._logits(given)
        self.lengths = [length + 1 for length in self.lengths]
        return found

    def leave(self, row: int) -> None:
        """A row ends; the last one takes its place."""
        self.lengths[row] = self.lengths[-1]
        self.lengths.pop()
        for slot in self._slots:
            slot.leave(row, max(self.lengths, default=0))

    @property
    def bytes(self) -> int:
        """What the shared cache takes."""
        held = [t for slot in self.pool.slots for t in vars(slot).values() if isinstance(t, Tensor)]
        return sum(t.nbytes for t in held)

    def _logits(self, given: dict[str, Any]) -> Tensor:
        if "logits_to_keep" in self._takes:
            given["logits_to_keep"] = 1
        out = self.model(**given, use_cache=True, return_dict=True)
        logits: Tensor = out.logits[:, -1].float()
        return logits
