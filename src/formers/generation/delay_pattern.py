"""Sounds, code by code: all books of a place are written at once, each book one step behind the one before.

Copet et al. 2023, arXiv:2306.05284, section 2.2.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from formers.configs import GenerationConfig
from formers.configs.generation import GenerationMode
from formers.generation import resolve
from formers.generation.build import criteria_for, processors_for
from formers.generation.processors.guidance import ClassifierFreeGuidanceLogitsProcessor
from formers.generation.resolve import Call
from formers.generation.strategies.sampling import sample

_OPEN = -1  # where a code is written


def pattern(ids: Tensor, books: int, channels: int, pad: int, length: int) -> tuple[Tensor, Tensor]:
    """What rows begin with, and what stands where in them.

    Args:
        ids: [B * books, T], int64, what is gone on with, the books of a sound in a row.
        books: of both channels, in turn, where there are two `channels`.
        channels: of the sound.
        pad: stands before and behind the codes of a book.
        length: columns that rows have in the end.

    Returns:
        The columns before the first that is written, [B * books, T']; and [B * books, length], int64: a
        code, or -1 where one is written. Rows too short for delays are not delayed.
    """
    codes = ids.reshape(-1, books, ids.shape[-1])
    batch, steps = len(codes), codes.shape[-1]
    held = codes.new_full((batch, books, length), _OPEN)
    delays = books // channels
    if length < 2 * delays - 1:
        return ids.reshape(batch * books, -1), held.reshape(batch * books, -1)
    at = torch.arange(length, device=ids.device)
    for book in range(books):
        delay = book // channels
        held[:, book, delay : steps + delay] = codes[:, book, : max(length - delay, 0)]
        hidden = (at <= delay) | (at >= delay + length - delays + 1)
        held[:, book] = held[:, book].masked_fill(hidden, pad)
    written = (held[:, 0] == _OPEN).any(0).nonzero()
    first = int(written[0]) if len(written) else steps
    whole = held.reshape(batch * books, -1)
    return whole[:, :first], whole


def obeyed(ids: Tensor, held: Tensor) -> Tensor:
    """Rows [B * books, T] with what `pattern` says of their columns."""
    held = held[..., : ids.shape[-1]]
    return torch.where(held == _OPEN, ids, held)


def together(ids: Tensor, books: int, channels: int, length: int) -> Tensor:
    """The codes of finished rows [B * books, T], those of a place together again: [B, books, places].

    Args:
        ids: rows with their delays, of as many columns as were written.
        books: as `pattern` takes them, likewise `channels`.
        channels: likewise.
        length: columns that the rows were to have.
    """
    rows = ids.reshape(-1, books, ids.shape[-1])
    delays = books // channels
    if length < 2 * delays - 1:
        return rows[..., 1:]
    count = max(ids.shape[-1] - delays, 0)
    parts = [rows[:, book, 1 + book // channels :][:, :count] for book in range(books)]
    return torch.stack(parts, dim=1)


def go_on(
    model: Any,
    ids: Tensor,
    config: GenerationConfig,
    inputs: dict[str, Any],
    own: Any = None,
    criteria: Any = None,
    streamer: Any = None,
    generator: torch.Generator | None = None,
    encoder_ids: Tensor | None = None,
) -> tuple[Tensor, Any]:
    """Write codes.

    Args:
        model: predicts codes.
        ids: [B * books, T], int64, the first code of every row stands before its sound.
        config: all settings, a copy.
        inputs: what else the model reads, by name, once for every row of a batch that guidance has doubled.
        own: processors of the caller's own.
        criteria: likewise, criteria.
        streamer: gets the prompt and every step [B * books].
        generator: the source of randomness.
        encoder_ids: [B, S], the texts.

    Returns:
        [B, books, places], int64; and the record, or None.

    Raises:
        ValueError: for settings that such rows cannot go on by.
    """
    mode = config.get_generation_mode()
    if mode not in (GenerationMode.GREEDY_SEARCH, GenerationMode.SAMPLE):
        raise ValueError(
            f"codes are written by greedy search or sampling, not by {mode.value}: leave num_beams and the "
            "like out"
        )
    if config.eos_token_id not in (None, -1):
        raise ValueError("no code ends a sound: leave eos_token_id out, and say max_new_tokens")
    books, channels = model.config.num_codebooks, model.config.audio_channels
    start = config.decoder_start_token_id
    start = config.bos_token_id if start is None else start
    if start is None:
        raise ValueError("nothing says which code stands before a sound: pass decoder_start_token_id")
    limit = resolve.lengths(model, config, ids.shape[1])
    begun, held = pattern(ids, books, channels, int(start), limit)
    guided = config.guidance_scale is not None and config.guidance_scale > 1
    inputs = {**inputs, "delay_pattern_mask": held, "guidance_scale": config.guidance_scale}
    processors = list(own or ())
    if guided:
        processors.append(ClassifierFreeGuidanceLogitsProcessor(config.guidance_scale))
    config.guidance_scale = None
    inputs[model._assembly.keeps] = bool(config.use_cache)
    if config.use_cache or inputs.get("past_key_values") is not None:
        resolve.settle_cache(model, config, inputs, limit)
    call = Call(model, config, begun, inputs, begun, len(begun), 1, limit, None, None)
    call.streamer, call.generator = streamer, generator
    call.processors = processors_for(
        config,
        prompt_length=ids.shape[1],
        encoder_ids=encoder_ids,
        model=model,
        device=ids.device,
        own=processors,
    )
    call.criteria = criteria_for(config, None, limit, criteria)
    out = _told(call, streamer) if begun.shape[1] < limit else begun
    record = None if isinstance(out, Tensor) else out
    rows = obeyed(out if record is None else record.sequences, held)
    return together(rows, books, channels, limit), record


def _told(call: Call, streamer: Any) -> Any:
    """Write; a streamer is told how it ended."""
    if streamer is not None:
        streamer.put(call.ids.cpu())
    try:
        out = sample(call)
    except BaseException as error:
        if streamer is not None and hasattr(streamer, "fail"):
            streamer.fail(error)
        raise
    if streamer is not None:
        streamer.end()
    return out
