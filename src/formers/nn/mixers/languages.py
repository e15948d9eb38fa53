"""A feed-forward for each language: every token is read by that of its own. Roles: see `spec.ByLanguage`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from formers.nn import spec
from formers.nn.mixers.feedforward import feedforward_steps
from formers.nn.passing import Pass
from formers.nn.program import Flow, Inner, Step, run_inner
from formers.nn.recording import recording


class Adapt(Step):
    """The feed-forward of each token's language reads it; the pass holds the languages as `languages`."""

    home = "languages"
    begins = True

    def __init__(self, s: spec.ByLanguage, width: int) -> None:
        super().__init__()
        self.languages = s.languages
        self.inner["language_"] = Inner(lambda: feedforward_steps(s.each, width), s.languages)

    def run(self, node: Any, flow: Flow) -> None:
        """[.., E] -> [.., E]."""
        told, x, pass_ = flow.pass_.memo.get("languages"), flow.x, flow.pass_
        if told is None:
            raise ValueError("only the model says which language a text is in: call that, not a layer of it")
        if flow.watched or recording():  # all are called, those that have nothing to read too
            rows = told if flow.watched else _of_rows(pass_, told)
            parts = [(i, rows == i) for i in range(len(self.languages))]
        elif flow.kept is None:
            parts = pass_.memo.once("rows of languages", lambda: _present(_of_rows(pass_, told)))
        else:
            parts = _present(_of_rows(pass_, told).index_select(0, flow.kept))
        if parts[0][1] is None:
            flow.x = run_inner(node, f"language_{self.languages[parts[0][0]]}", x, flow)
            return
        found = torch.zeros_like(x)
        for i, which in parts:
            read = run_inner(node, f"language_{self.languages[i]}", x if recording() else x[which], flow)
            if recording():
                found = torch.where(which.view(*which.shape, *[1] * (x.dim() - which.dim())), read, found)
            else:
                found[which] = read.to(found.dtype)
        flow.x = found


def _of_rows(pass_: Pass, told: Tensor) -> Tensor:
    """Languages [B] or [B, T] -> [N]."""
    layout = pass_.layout
    return layout.pack(told if told.dim() > 1 else told[:, None].expand(layout.batch, layout.length))


def _present(rows: Tensor) -> list[tuple[int, Tensor | None]]:
    """The languages of rows [N], and which rows are in each; None for all."""
    numbers = sorted(set(rows.tolist()))
    if len(numbers) == 1:
        return [(numbers[0], None)]
    return [(i, (rows == i).nonzero()[:, 0]) for i in numbers]


def languages_steps(s: spec.ByLanguage, width: int) -> list[Step]:
    """All languages' feed-forwards."""
    return [Adapt(s, width)]
