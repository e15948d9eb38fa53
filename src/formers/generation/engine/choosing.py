"""The next token of every row: rows that want the same are chosen for together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from formers.generation.engine.request import Request


def choose(requests: Sequence[Request], logits: Tensor) -> tuple[list[int], list[float | None]]:
    """One token for every row, and its log-probability before processors where that is wanted.

    A request that asks for the likeliest tokens too gets them in its `tops`.

    Args:
        requests: one for each row.
        logits: [rows, V], float32.
    """
    scores = logits
    shaped = [i for i, one in enumerate(requests) if one.processors]
    if shaped:
        scores = logits.clone()
        for i in shaped:
            one = requests[i]
            try:
                scores[i] = one.processors(one.ids(logits.device), logits[i : i + 1])[0]
            except Exception as error:  # whatever a processor raises concerns its request alone
                one.error = error
    chosen = scores.argmax(-1)  # [rows]
    drawn = [i for i, one in enumerate(requests) if one.config.do_sample]
    if drawn:
        rows = torch.tensor(drawn, device=logits.device)
        chances = scores.index_select(0, rows).softmax(-1)
        noise = torch.stack(
            [
                torch.empty_like(chance).exponential_(generator=requests[i].luck(logits.device))
                for i, chance in zip(drawn, chances, strict=True)
            ]
        )
        chosen[rows] = (chances / noise).argmax(-1)
    tokens: list[int] = chosen.tolist()  # the step's one wait for the device
    told: list[Any] = [None] * len(tokens)
    wanted = [i for i, one in enumerate(requests) if one.wants_log_probs]
    if wanted:
        rows = torch.tensor(wanted, device=logits.device)
        chances = logits.index_select(0, rows).log_softmax(-1)
        found = chances.gather(1, chosen.index_select(0, rows)[:, None])[:, 0].tolist()
        for i, value in zip(wanted, found, strict=True):
            told[i] = value
        if most := max(requests[i].top for i in wanted):
            best = chances.topk(min(most, chances.shape[-1]))
            for i, ids, values in zip(wanted, best.indices.tolist(), best.values.tolist(), strict=True):
                if count := requests[i].top:
                    requests[i].tops.append(list(zip(ids[:count], values[:count], strict=True)))
    return tokens, told
