"""Speech in stages: a text to what it means, that to codes of the first books, those to codes of all."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from formers.core.notices import notice
from formers.generation.mixin import GenerationMixin
from formers.generation.processors.audio import (
    AlternatingCodebooksLogitsProcessor,
    BarkEosPrioritizerLogitsProcessor,
)
from formers.generation.processors.bias import SuppressTokensLogitsProcessor


def needed(config: Any, name: str) -> Any:
    """The settings of a stage.

    Raises:
        ValueError: where there are none.
    """
    if config is None:
        raise ValueError(
            f"{name} says how this stage goes on: pass one, or call generate() of the whole model"
        )
    return config


def voice(history: Any, name: str, like: Tensor) -> Tensor | None:
    """A part of the voice that is gone on with, int64, where there is one.

    Raises:
        ValueError: for a voice without that part.
    """
    if history is None:
        return None
    if name not in history:
        raise ValueError(f"history_prompt is a voice with a {name!r}, but has {', '.join(history) or 'none'}")
    return torch.as_tensor(history[name], device=like.device).long()


def _written(out: Any) -> Tensor:
    """The tokens of what `generate` returned."""
    found: Tensor = out if isinstance(out, Tensor) else out.sequences
    return found


def meant(
    model: Any, ids: Tensor, how: Any, history: Any, mask: Tensor | None, options: dict[str, Any]
) -> Tensor:
    """What texts mean, [B, tokens]; see `tasks.speech_stages.Meaning`."""
    length, pad = how.max_input_semantic_length, how.semantic_pad_token
    if ids.dim() != 2 or ids.shape[1] < length:
        raise ValueError(
            f"input_ids are [B, {length}], texts padded to that length as the processor does, not "
            f"{list(ids.shape)}"
        )
    if ids.shape[1] > length:
        notice(
            f"the text has {ids.shape[1]} tokens and the model reads {length}: the rest is not spoken; cut it"
        )
    batch, end = len(ids), options.pop("min_eos_p", None)
    ids = ids.long() + how.text_encoding_offset
    if mask is not None:
        ids = ids.masked_fill(mask == 0, how.text_pad_token)
    said = voice(history, "semantic_prompt", ids)
    before = ids.new_full((length,), pad)
    if said is not None:
        before[: len(said[-length:])] = said[-length:]
    table = model.get_input_embeddings()
    last = table(ids.new_full((batch, 1), how.semantic_infer_token))
    vectors = torch.cat((table(ids[:, :length]) + table(before)[None], last), dim=1)
    others = [
        *range(how.semantic_vocab_size, pad),
        *range(pad + 1, model.config.output_vocab_size),
    ]
    least = how.min_eos_p if end is None else end
    out = GenerationMixin.generate(
        model,
        ids.new_ones(batch, length + 1),  # in the place of the vectors, which are read
        inputs_embeds=vectors,
        generation_config=how,
        logits_processor=[
            SuppressTokensLogitsProcessor(others, device=ids.device),
            BarkEosPrioritizerLogitsProcessor(how.eos_token_id, least, device=ids.device),
        ],
        **options,
    )
    return _written(out)[:, length + 1 :]


def _remembered(
    history: Any, like: Tensor, said: Any, ratio: float, most: int, size: int
) -> tuple[Tensor, ...]:
    """What a voice meant, [B, n], and the codes of its first books in turn, [B, m]; they go together."""
    batch = len(like)
    meaning, codes = voice(history, "semantic_prompt", like), voice(history, "coarse_prompt", like)
    if meaning is None or codes is None:
        none = like.new_zeros(batch, 0)
        return none, none
    rooms = torch.arange(len(codes), device=like.device)[:, None] * size
    turns = (codes + rooms).t().reshape(-1) + said.semantic_vocab_size
    count = min(most, len(meaning) - len(meaning) % 2, math.floor(len(turns) / ratio))
    kept = round(count * ratio)
    turns = turns[-kept:][:-2]  # so that both end at one time, as Suno's own code has it
    return meaning[-count:].expand(batch, -1), turns.expand(batch, -1)


def coarse(
    model: Any, meaning: Tensor, said: Any, how: Any, size: int, history: Any, options: dict[str, Any]
) -> tuple[Tensor, Tensor]:
    """Codes of the first books, [B, books * places], and how many each row has; see `Coarse`.

    A window of what is meant slides along, and the last codes are read with it.
    """
    pad, books = how.coarse_semantic_pad_token, how.n_coarse_codebooks
    meaning = meaning.long().masked_fill(meaning == said.semantic_pad_token, pad)
    ratio = how.coarse_rate_hz / said.semantic_rate_hz * books
    most = math.floor(how.max_coarse_history / ratio)
    places = torch.floor((meaning != pad).sum(1) * ratio / books)
    lengths = torch.round(places * books).int()
    wanted, batch = int(lengths.max()) if len(lengths) else 0, len(meaning)
    if not wanted:
        raise ValueError(
            "nothing was said: the stage before ended at once; a min_eos_p lets it end too early"
        )
    before, made = _remembered(history, meaning, said, ratio, most, size)
    first, known = before.shape[1], made.shape[1]
    meaning = torch.cat((before, meaning), dim=1)
    infer = meaning.new_full((batch, 1), how.coarse_infer_token)
    while (done := made.shape[1] - known) < wanted:
        at = first + round(done / ratio)
        read = meaning[:, max(0, at - most) :][:, : how.max_coarse_input_length]
        read = F.pad(read, (0, how.max_coarse_input_length - read.shape[1]), value=pad)
        read = torch.cat((read, infer, made[:, -how.max_coarse_history :]), dim=1)
        turns = AlternatingCodebooksLogitsProcessor(read.shape[1], said.semantic_vocab_size, size)
        out = GenerationMixin.generate(
            model,
            read,
            generation_config=how,
            logits_processor=[turns],
            max_new_tokens=min(how.sliding_window_len, wanted - done),
            **options,
        )
        made = torch.cat((made, _written(out)[:, read.shape[1] :]), dim=1)
    return made[:, known:], lengths


def fine(
    model: Any,
    made: Tensor,
    said: Any,
    first: Any,
    how: Any,
    size: int,
    history: Any,
    temperature: float | None,
) -> Tensor:
    """Codes of all books, [B, books, places]; see `Fine`. Windows overlap; each fills what is new in it."""
    given, books = first.n_coarse_codebooks, how.n_fine_codebooks
    codes = torch.remainder(made.long().view(len(made), -1, given) - said.semantic_vocab_size, size)
    places, before = codes.shape[1], 0
    codes = F.pad(codes, (0, books - given), value=size)
    heard = voice(history, "fine_prompt", codes)
    if heard is not None:
        kept = heard.t()[-how.max_fine_history_length :]
        before = len(kept)
        codes = torch.cat((kept.expand(len(codes), -1, -1), codes), dim=1)
    behind = max(0, how.max_fine_input_length - codes.shape[1])
    codes = F.pad(codes, (0, 0, 0, behind), value=size)
    more = math.ceil((places - (how.max_fine_input_length - before)) / how.max_fine_history_length)
    for i in range(max(0, more) + 1):
        start = min(i * how.max_fine_history_length, codes.shape[1] - how.max_fine_input_length)
        fill = min(before + i * how.max_fine_history_length, codes.shape[1] - how.max_fine_history_length)
        window = codes[:, start : start + how.max_fine_input_length]  # filled in place
        for book in range(given, books):
            scores = model(book, window).logits[:, fill - start :, :size]
            window[:, fill - start :, book] = _chosen(scores, temperature)
    return codes[:, before : before + places].transpose(1, 2)


def _chosen(scores: Tensor, temperature: float | None) -> Tensor:
    """The likeliest codes [B, T] of scores [B, T, V], or drawn ones."""
    if temperature is None or temperature == 1.0:
        return scores.argmax(-1)
    chances = (scores / temperature).softmax(-1)
    return torch.multinomial(chances.flatten(0, 1), 1).view(chances.shape[:2])
