"""Contrastive search: of the likeliest tokens, the one least like what was said.

Su et al. 2022 (arXiv:2202.06417). Shapes: B prompts, k candidates each, E the width of the states.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from formers.core.nested import mapped
from formers.core.notices import notice
from formers.core.outputs import ModelOutput
from formers.generation.processors.base import require
from formers.generation.resolve import Call
from formers.generation.rows import Book, Tokens
from formers.generation.strategies.sampling import RECORDS


def contrastive(call: Call) -> Any:
    """Choose the candidate v with the greatest (1 - a) * p(v) - a * max over j of cos(h_v, h_j).

    a is `penalty_alpha`, h the last layer's states of v and of the tokens j before; padding is none of them.

    Raises:
        ValueError: for a `penalty_alpha` that is no share; for a model that returns no states.
    """
    alpha, k = float(call.config.penalty_alpha), call.copies
    require(0 < alpha <= 1, f"penalty_alpha lies between 0 and 1, not {alpha!r}")
    if call.config.low_memory:
        notice("low_memory changes nothing: all candidates of a step are read together")
    decoder, book = call.decoder(folds=True, states=True), Book(call)
    tokens = Tokens(call.ids[::k], call.limit, call.pad)
    open_ = torch.ones(call.batch, dtype=torch.bool, device=call.ids.device)
    out = decoder.read(call.ids)
    logits = out.logits[::k, -1].float()  # [B, V]
    step = _rows(
        out, torch.arange(0, len(_states(out)), len(_states(out)) // call.batch, device=call.ids.device)
    )
    said, counts = F.normalize(_states(step).float(), dim=-1), _counts(call)  # [B, T, E], [B, T]
    while True:
        scores = call.processors(tokens.all, logits.clone() if book.logits is not None else logits)
        book.note(step, scores, logits)
        chances, found = scores.softmax(-1).topk(k)  # [B, k]
        out = decoder.read(torch.cat((tokens.all.repeat_interleave(k, 0), found.flatten()[:, None]), dim=1))
        new = F.normalize(_states(out)[:, -1].float(), dim=-1).view(call.batch, k, -1)  # [B, k, E]
        like = (new @ said.mT).masked_fill(~counts[:, None], -torch.inf).amax(-1)  # [B, k]
        worth = (1 - alpha) * chances - alpha * like
        best = worth.masked_fill(scores.gather(1, found).isneginf(), -torch.inf).argmax(-1)  # [B]
        rows = torch.arange(call.batch, device=best.device) * k + best
        chosen = found.flatten()[rows]
        if call.pad is not None and call.eos is not None:
            chosen = torch.where(open_, chosen, call.pad)
        tokens.append(chosen)
        if call.streamer is not None:
            call.streamer.put(chosen.cpu())
            if getattr(call.streamer, "closed", False):
                break
        open_ &= ~call.criteria(tokens.all, book.scores)
        if not bool(open_.any()):
            break
        said = torch.cat((said, new.flatten(0, 1)[rows][:, None]), dim=1)
        counts = F.pad(counts, (0, 1), value=True)
        logits, step = out.logits[rows, -1].float(), _rows(out, rows) if book.notes else out
        if decoder.cache is not None:
            decoder.reorder(rows.repeat_interleave(k))
    if not book.on:
        return tokens.finished()
    return book.record(RECORDS, decoder.cache, sequences=tokens.finished())


def _states(out: Any) -> Tensor:
    """The last layer's states, [rows, T, E].

    Raises:
        ValueError: where there are none.
    """
    states = getattr(out, "decoder_hidden_states", None) or getattr(out, "hidden_states", None)
    if not states:
        raise ValueError("contrastive search compares hidden states, which this model does not return")
    last: Tensor = states[-1]
    return last


def _counts(call: Call) -> Tensor:
    """Which columns of the prompts are tokens, [B, T], bool."""
    mask = call.inputs.get("decoder_attention_mask" if call.encoder_decoder else "attention_mask")
    columns = call.ids.shape[1] + call.offset
    if mask is None:
        return torch.ones(call.batch, columns, dtype=torch.bool, device=call.ids.device)
    counts: Tensor = mask[:, :columns] != 0
    return counts


def _rows(out: ModelOutput, rows: Tensor) -> Any:
    """What a model returned, of some rows."""
    shown = {name: value for name, value in out.items() if name.endswith(("hidden_states", "attentions"))}
    return type(out)(**mapped(lambda value: value[rows], shown))
