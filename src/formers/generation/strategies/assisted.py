"""Assisted generation: drafts of several tokens, which the model reads at once and takes as far as it agrees.

Leviathan et al. 2023 (arXiv:2211.17192). What comes out has the model's own distribution; greedy search gives
the very same tokens. Shapes: one row, n drafted tokens, V the vocabulary.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from formers.core.outputs import ModelOutput
from formers.generation.decoder import Decoder
from formers.generation.drafts import Settled, drafts_for
from formers.generation.resolve import Call, keep_everything
from formers.generation.rows import Book, Draw, Tokens
from formers.generation.strategies.sampling import RECORDS


def assisted(call: Call, settled: Settled) -> Any:
    """Greedy search or sampling, with drafts.

    Args:
        call: the call.
        settled: makes the call of an assistant.

    Raises:
        ValueError: for several rows; for a model that cannot take back what it read; for settings of drafts.
    """
    if len(call.ids) > 1:
        raise ValueError(
            f"drafts are made for one row alone, but there are {len(call.ids)}: call generate() once for "
            "each prompt, with num_return_sequences=1"
        )
    keep_everything(call)
    decoder, book, draw = call.decoder(), Book(call), Draw(call)
    tokens, drafts = Tokens(call.ids, call.limit, call.pad), drafts_for(call, settled, draw)
    vectors = not call.encoder_decoder and call.inputs.get("inputs_embeds") is not None
    ended = False
    while not ended:
        # a prompt that came as vectors is read alone
        propose = not vectors and tokens.length < call.limit - 1
        drafted, chances = drafts.propose(tokens.all) if propose else (tokens.all[:, :0], None)
        vectors = False
        taken, ended = _take(call, tokens, decoder, (book, draw), drafted, chances)
        drafts.learn(taken, drafted.shape[1])
        decoder.crop(call.offset + tokens.length - 1)
    drafts.end()
    found = tokens.finished()
    if not book.on:
        return found
    return book.record(RECORDS, decoder.cache, sequences=found)


def _take(
    call: Call,
    tokens: Tokens,
    decoder: Decoder,
    notes: tuple[Book, Draw],
    drafted: Tensor,
    chances: Tensor | None,
) -> tuple[int, bool]:
    """Let the model read a draft, and take what it agrees with and one token of its own.

    Args:
        call: the call.
        tokens: the row; what is taken is added.
        decoder: the model.
        notes: what is noted and what draws.
        drafted: [1, n], int64.
        chances: [n, V], the distribution that each drafted token was drawn from; None where it was not drawn.

    Returns:
        How many drafted tokens were taken, and whether the row ended.
    """
    book, draw = notes
    count, columns = drafted.shape[1], call.offset + tokens.length
    if "logits_to_keep" in decoder.inputs:
        decoder.inputs["logits_to_keep"] = count + 1
    out = decoder.read(torch.cat((tokens.all, drafted), dim=1))
    logits = out.logits[:, -count - 1 :].float()  # [1, n + 1, V]
    luck = draw.uniform(count) if draw.sample and chances is not None and count else None  # [n]
    for i in range(count + 1):
        own = logits[:, i]
        scores = call.processors(tokens.all, own.clone() if book.logits is not None else own)
        if book.notes:
            book.note(_step(out, i, count, columns), scores, own)
        proposed = drafted[:, i] if i < count else None
        chance = chances[i : i + 1] if chances is not None and proposed is not None else None
        weight = call.config.assistant_ensemble_weight
        if chance is None or proposed is None or luck is None:
            chosen = draw(_mixed(scores, chance, weight))
        else:
            chosen = _weighed(scores.softmax(-1), chance, proposed, luck[i], weight, draw)
        tokens.append(chosen)
        ended = bool(call.criteria(tokens.all, book.scores).all())
        if call.streamer is not None:
            call.streamer.put(chosen.cpu())
            ended |= bool(getattr(call.streamer, "closed", False))
        agrees = proposed is not None and bool(chosen == proposed)
        if ended or not agrees:
            return i + int(agrees), ended
    raise AssertionError("the token behind a draft agrees with none")


def _mixed(scores: Tensor, chance: Tensor | None, weight: float | None) -> Tensor:
    """Scores [1, V] of the model, or of its mean with the draft's distribution (arXiv:2604.07622)."""
    if weight is None or chance is None:
        return scores
    return (weight * scores.softmax(-1) + (1 - weight) * chance).log()


def _weighed(
    own: Tensor, chance: Tensor, proposed: Tensor, luck: Tensor, weight: float | None, draw: Draw
) -> Tensor:
    """Algorithm 1: take the proposed token with chance p / q, or draw from what p has more than q.

    Args:
        own: p, [1, V]; `chance` q, [1, V].
        chance: see there.
        proposed: [1], drawn from q.
        luck: in [0, 1).
        weight: the share of p in the mean of p and q that takes the place of p; None for all.
        draw: draws.
    """
    ratio = own[0, proposed] / chance[0, proposed]  # [1]
    if weight is not None:
        ratio = 1 - weight + weight * ratio
    if bool(luck <= ratio):
        return proposed
    rest = (own - chance).clamp(min=0)
    return draw((rest if bool(rest.sum() > 0) else own).log())


def _step(out: ModelOutput, i: int, count: int, columns: int) -> Any:
    """What the model returned for the i-th token of a round, of the first also what was read before it.

    Args:
        out: of all tokens that were read, the last `count + 1` of them being the round's.
        i: 0 to `count`.
        count: drafted tokens.
        columns: what the first of the round sees.
    """

    def rows(value: Any, axis: int, sees: int | None = None) -> Any:
        if value is None:
            return None
        parts = []
        for layer in value:
            last = layer.shape[axis] - count + i
            part = layer.narrow(axis, last - 1 if i else 0, 1 if i else last)
            parts.append(part if sees is None else part[..., :sees])
        return tuple(parts)

    found = SimpleNamespace(cross_attentions=rows(getattr(out, "cross_attentions", None), -2))
    for prefix in ("", "decoder_"):
        for name, axis, sees in (("hidden_states", 1, None), ("attentions", -2, columns + i)):
            setattr(found, prefix + name, rows(getattr(out, prefix + name, None), axis, sees))
    return found
