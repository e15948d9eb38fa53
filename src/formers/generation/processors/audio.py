"""Processors of models that write sound, or times in it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from formers.generation.processors.base import LogitsProcessor, TokenSet, above_zero, require, whole

Device = torch.device | str | None


class WhisperTimeStampLogitsProcessor(LogitsProcessor):
    """Whisper's grammar of times (Radford et al. 2022): they come in pairs, never fall, and open the text.

    Args:
        generate_config: names `no_timestamps_token_id`, after which the tokens of times begin,
            `eos_token_id`, and `max_initial_timestamp_index`.
        begin_index: the length of the prompt.
        _detect_timestamp_from_logprob: a time comes where all times together are likelier than any
            other token.
    """

    row_wise = True

    def __init__(
        self, generate_config: Any, begin_index: int, _detect_timestamp_from_logprob: bool | None = None
    ) -> None:
        self.no_timestamps_token_id: int = generate_config.no_timestamps_token_id
        self.timestamp_begin = self.no_timestamps_token_id + 1
        self.eos_token_id: int = generate_config.eos_token_id or generate_config.bos_token_id
        detect = _detect_timestamp_from_logprob
        self._detect = (
            getattr(generate_config, "_detect_timestamp_from_logprob", True) if detect is None else detect
        )
        self.begin_index = whole(begin_index, "begin_index", 0)
        self.max_initial_timestamp_index = getattr(generate_config, "max_initial_timestamp_index", None)

    def set_begin_index(self, begin_index: int) -> None:
        """Where the text begins."""
        self.begin_index = begin_index

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores of what the grammar allows."""
        first = self.timestamp_begin
        vocabulary = torch.arange(scores.shape[1], device=scores.device)
        text, times = vocabulary < self.eos_token_id, vocabulary >= first
        out = self._out(input_ids[:, self.begin_index :], vocabulary, text, times)
        out |= vocabulary == self.no_timestamps_token_id
        if input_ids.shape[1] == self.begin_index:
            out |= ~times
            if self.max_initial_timestamp_index is not None:
                out |= vocabulary > first + self.max_initial_timestamp_index
        scores = scores.masked_fill(out, -math.inf)
        if self._detect:
            wide = scores.float()
            likelier = wide[:, first:].logsumexp(-1) > wide[:, :first].amax(-1)
            scores = scores.masked_fill(likelier[:, None] & ~times, -math.inf)
        return scores

    def _out(self, written: Tensor, vocabulary: Tensor, text: Tensor, times: Tensor) -> Tensor:
        """What the pairs and the order of times rule out after `written` [B, n]: [B, V]."""
        first, length = self.timestamp_begin, written.shape[1]
        nothing = torch.zeros((written.shape[0], 1), dtype=torch.bool, device=written.device)
        is_time = written >= first
        last = is_time[:, -1:] if length else nothing
        before = is_time[:, -2:-1] if length > 1 else ~nothing
        closed, open_ = last & before, last & ~before
        # the last time that was written, or none
        places = torch.arange(1, length + 1, device=written.device) * is_time
        place = places.amax(1, keepdim=True) if length else nothing.long()
        latest = torch.cat([nothing.long(), written], 1).gather(1, place)
        earliest = torch.where(place > 0, latest + (~open_).long(), first)
        return (closed & times) | (open_ & text) | (times & (vocabulary < earliest))


class WhisperNoSpeechDetection(LogitsProcessor):
    """Notes how likely silence is: the probability of `no_speech_token` after the first token of the prompt.

    Args:
        no_speech_token: the id.
        begin_index: the length of the prompt.
        scores_is_logprobs: scores are logarithms of probabilities already.
    """

    def __init__(self, no_speech_token: int, begin_index: int, scores_is_logprobs: bool = False) -> None:
        self.no_speech_token = whole(no_speech_token, "no_speech_token", 0)
        self.start_of_trans_offset = self.begin_index = whole(begin_index, "begin_index", 0)
        self.is_scores_logprobs = scores_is_logprobs
        self.no_speech_prob: Any = [0.0]
        self.model: Any = None
        self.inputs: dict[str, Any] | None = None

    def set_model(self, model: Any) -> None:
        """The model that is asked where the prompt has several tokens."""
        self.model = model

    def set_inputs(self, inputs: dict[str, Any]) -> None:
        """What the model is asked with: the keywords of its `prepare_inputs_for_generation`."""
        prepared = {**self.model.prepare_inputs_for_generation(**inputs), **inputs}
        prepared["input_features"] = prepared.pop("inputs")
        self.inputs = prepared

    def set_begin_index(self, begin_index: int) -> None:
        """Where the text begins."""
        self.begin_index = begin_index

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores as they are; `no_speech_prob` is set at the beginning of the text."""
        if input_ids.shape[1] != self.begin_index:
            return scores
        if self.start_of_trans_offset > 1:
            require(self.inputs is not None, "WhisperNoSpeechDetection needs set_model and set_inputs first")
            with torch.no_grad():
                logits = self.model(**(self.inputs or {})).logits
            shares = logits[:, self.begin_index - self.start_of_trans_offset].float().softmax(-1)
        else:
            shares = scores.exp() if self.is_scores_logprobs else scores.float().softmax(-1)
        self.no_speech_prob = shares[:, self.no_speech_token]
        return scores


class AlternatingCodebooksLogitsProcessor(LogitsProcessor):
    """Bark's coarse sound: tokens of the first and of the second codebook in turn.

    Args:
        input_start_len: the length of the prompt.
        semantic_vocab_size: tokens before those of the codebooks.
        codebook_size: tokens of the first codebook; the second follows.
    """

    row_wise = True

    def __init__(self, input_start_len: int, semantic_vocab_size: int, codebook_size: int) -> None:
        self.input_start_len = whole(input_start_len, "input_start_len", 0)
        self.semantic_vocab_size = semantic_vocab_size
        self.codebook_size = codebook_size

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores of the codebook whose turn it is."""
        middle = self.semantic_vocab_size + self.codebook_size
        first = (input_ids.shape[1] - self.input_start_len) % 2 == 0
        turn = slice(self.semantic_vocab_size, middle) if first else slice(middle, None)
        out = torch.full_like(scores, -math.inf)
        out[:, turn] = scores[:, turn]
        return out


class BarkEosPrioritizerLogitsProcessor(LogitsProcessor):
    """The end, as soon as its probability is above `min_eos_p`."""

    row_wise = True

    def __init__(
        self, eos_token_id: int | Iterable[int] | Tensor, min_eos_p: float | None, device: Device = None
    ) -> None:
        self.end = TokenSet(eos_token_id, "eos_token_id", device)
        self.min_eos_p = None if min_eos_p is None else above_zero(min_eos_p, "min_eos_p")

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores, or the end's alone."""
        if self.min_eos_p is None:
            return scores
        end = self.end.of(scores)
        stop = (scores.float().softmax(-1)[:, end] > self.min_eos_p).any(1, keepdim=True)
        alone = torch.full_like(scores, -math.inf).index_copy_(1, end, scores[:, end])
        return torch.where(stop, alone, scores)


class DiaEOSChannelFilterLogitsProcessor(LogitsProcessor):
    """Dia's sound: the first channel alone may end, where the end is its likeliest token.

    Rows are channels of texts, [B * num_channels, V]; ids from `eos_token_id` on are no sound.
    """

    def __init__(self, num_channels: int, eos_token_id: int) -> None:
        self.num_channels = whole(num_channels, "num_channels", 1)
        self.eos_id = whole(eos_token_id, "eos_token_id", 1)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores of sound, and of the end where it comes."""
        channels = scores.reshape(-1, self.num_channels, scores.shape[-1])
        out = torch.full_like(channels, -math.inf)
        out[..., : self.eos_id] = channels[..., : self.eos_id]
        end = channels[:, 0, self.eos_id]
        ends = (end > out[:, 0].amax(-1))[:, None]
        out[:, 0] = out[:, 0].masked_fill(ends, -math.inf)
        out[:, 0, self.eos_id] = end.masked_fill(~ends[:, 0], -math.inf)
        return out.reshape(scores.shape)


class DiaEOSDelayPatternLogitsProcessor(LogitsProcessor):
    """Dia's channels end one after another: each `delay_pattern[i]` steps after the first channel's end.

    Args:
        delay_pattern: steps for each channel.
        eos_token_id: the end.
        max_generation_len: the length at which the last channel has ended.
        device: where scores will lie.
    """

    def __init__(
        self, delay_pattern: list[int], eos_token_id: int, max_generation_len: int, device: Device = None
    ) -> None:
        self.num_channels = len(delay_pattern)
        self.delay_pattern = torch.tensor(delay_pattern, device=device)[None]
        self.eos_token_id = eos_token_id
        self.max_generation_len = max_generation_len - max(delay_pattern) - 1
        self.active_batches: Tensor | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores; where a channel's turn to end has come, the end alone."""
        channels = scores.reshape(-1, self.num_channels, scores.shape[-1])
        ends = channels[:, 0].argmax(-1) == self.eos_token_id
        if self.active_batches is None:
            self.active_batches = torch.zeros_like(ends)
            self.delay_pattern = self.delay_pattern.to(scores.device).repeat(channels.shape[0], 1)
        self.active_batches = self.active_batches | ends
        if input_ids.shape[1] == self.max_generation_len:
            self.active_batches = torch.ones_like(ends)
        now = (self.active_batches[:, None] & (self.delay_pattern == 0))[..., None]
        forced = torch.full_like(channels[:1, :1], -math.inf)
        forced[..., self.eos_token_id] = 0
        self.delay_pattern = self.delay_pattern - self.active_batches[:, None].long()
        return torch.where(now, forced, channels).reshape(scores.shape)
