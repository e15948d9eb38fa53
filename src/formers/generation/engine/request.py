"""One request: a prompt, how it is to go on, and where it stands."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from formers.configs import GenerationConfig
from formers.generation.rows import Tokens

_numbers = itertools.count()
Reason = Literal["stop", "length", "cancelled", "failed"]


@dataclass(eq=False)
class Request:
    """What somebody wants to be gone on with.

    Attributes:
        prompt: token ids, at least one.
        config: settings: lengths, sampling, what ends the text.
        on_token: called in the engine's thread with (request, token, log-probability) for every new token;
            what it returns true for ends the request ("stop").
        on_end: called once, when the request has ended for any reason.
        processors: what shapes its scores; None for none.
        client: whose it is, for a fair order.
        top: how many of the likeliest tokens are told beside each log-probability.
        tokens: what is new so far; `log_probs` likewise, where they are wanted.
        tops: for each new token the `top` likeliest, (token, log-probability).
        done: of the prompt's tokens, how many were read; `known`, how many of those for an earlier request.
        reason: why it ended; None while it has not.
        error: what went wrong, where that is why.
    """

    prompt: list[int]
    config: GenerationConfig
    on_token: Callable[[Request, int, float | None], Any] | None = None
    on_end: Callable[[Request], Any] | None = None
    processors: Any = None
    client: str = ""
    wants_log_probs: bool = False
    top: int = 0
    tokens: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    tops: list[list[tuple[int, float]]] = field(default_factory=list)
    done: int = 0
    known: int = 0
    reason: Reason | None = None
    error: BaseException | None = None
    number: int = field(default_factory=lambda: next(_numbers))
    arrived: float = field(default_factory=time.monotonic)
    first_at: float | None = None
    ended_at: float | None = None
    cancelled: bool = False
    generator: torch.Generator | None = None
    _row: Tokens | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.prompt:
            raise ValueError("a request needs a prompt of at least one token")

    @property
    def length(self) -> int:
        """Tokens so far, the prompt's included."""
        return len(self.prompt) + len(self.tokens)

    def ids(self, device: torch.device) -> Tensor:
        """All tokens so far, [1, length], int64: a view of a buffer that only takes in what is new."""
        if self._row is None:
            self._row = Tokens(torch.tensor([self.prompt], device=device), len(self.prompt) + self.most, None)
        new = self.tokens[self._row.length - len(self.prompt) :]
        if new:
            self._row.extend(torch.tensor([new], device=device))
        return self._row.all

    def luck(self, device: torch.device) -> torch.Generator | None:
        """What it draws from: its own source where it has a seed, else torch's."""
        if self.generator is None and self.config.seed is not None:
            self.generator = torch.Generator(device).manual_seed(int(self.config.seed))
        return self.generator

    @functools.cached_property
    def ends(self) -> frozenset[int]:
        """Tokens that end it."""
        eos = self.config.eos_token_id
        return frozenset([eos] if isinstance(eos, int) else eos or ())

    @functools.cached_property
    def most(self) -> int:
        """How many new tokens it may have."""
        config = self.config
        if config.max_new_tokens is not None:
            return int(config.max_new_tokens)
        return max(int(config.max_length) - len(self.prompt), 1)

    def cancel(self) -> None:
        """Let it end at its next step, or when its turn comes (`Engine.cancel` waits for neither)."""
        self.cancelled = True
