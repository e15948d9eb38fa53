"""Speech to tokens: windows of a sound decoded one after the other, each again where its text will not do."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from formers.configs import GenerationConfig
from formers.core.outputs import BaseModelOutput, ModelOutput
from formers.generation import resolve, speech_prompts
from formers.generation.alignment import token_times
from formers.generation.fallback import Limits
from formers.generation.processors.audio import WhisperTimeStampLogitsProcessor
from formers.generation.processors.base import require
from formers.generation.run import run
from formers.generation.segments import Times, Window, joined, said_before, segments_of

_COOL = 0.5  # a text that was drawn at this temperature or above is no prompt for what follows


@dataclass
class Speech:
    """What a caller of a speech model's `generate` asks for beside the usual settings; see there."""

    return_timestamps: bool | None = None
    task: str | None = None
    language: str | Sequence[str] | None = None
    is_multilingual: bool | None = None
    prompt_ids: Tensor | None = None
    prompt_condition_type: str | None = None
    condition_on_prev_tokens: bool | None = None
    temperature: float | Sequence[float] | None = None
    compression_ratio_threshold: float | None = None
    logprob_threshold: float | None = None
    no_speech_threshold: float | None = None
    num_segment_frames: int | None = None
    time_precision: float = 0.02
    time_precision_features: float = 0.01
    return_token_timestamps: bool | None = None
    return_segments: bool = False
    return_dict_in_generate: bool | None = None
    force_unique_generate_call: bool | None = None
    monitor_progress: Callable[[Tensor], None] | None = None


@dataclass
class Heard:
    """The sounds of a call.

    Attributes:
        frames: [B, bins, T], or None where the encoder read them before.
        memory: what the encoder made of their first window.
        lengths: [B], int64, frames of each.
        real: [B], frames without padding, where somebody says.
    """

    frames: Tensor | None
    memory: Any
    lengths: Tensor
    real: Tensor | None


@dataclass
class Row:
    """One sound on its way: how far it is read, what it said, and what is told to the decoder about it."""

    opening: list[int]
    seek: int = 0
    carries: bool = False
    segments: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Decoded:
    """One row of one window: its new tokens without padding and end, its whole row, and what was noted."""

    tokens: Tensor
    row: Tensor
    record: dict[str, Any]
    skipped: bool = False


def transcribe(
    model: Any,
    features: Tensor | None,
    given: GenerationConfig | None,
    speech: Speech,
    kwargs: dict[str, Any],
    extras: dict[str, Any],
    streamer: Any = None,
    generator: torch.Generator | None = None,
) -> Any:
    """Answer a call of `generate` of a model that reads sounds and writes texts with times."""
    return Transcriber(model, features, given, speech, kwargs, extras, streamer, generator).answer()


class Transcriber:
    """One call, settled. Arguments as of `transcribe`."""

    def __init__(
        self,
        model: Any,
        features: Tensor | None,
        given: GenerationConfig | None,
        speech: Speech,
        kwargs: dict[str, Any],
        extras: dict[str, Any],
        streamer: Any = None,
        generator: torch.Generator | None = None,
    ) -> None:
        own = vars(model.generation_config)
        custom = {name: kwargs.pop(name) for name in [*kwargs] if name in own and name not in vars(speech)}
        config = self.config = resolve.settings(model, given, custom | kwargs)
        for name in [name for name in kwargs if name in config.known_names()]:
            del kwargs[name]
        for name, value in custom.items():
            setattr(config, name, value)
        self.model, self.speech, self.kwargs, self.extras = model, speech, kwargs, extras
        self.generator = generator
        self.stride = settle_stride(model)
        self.width = speech.num_segment_frames or self.stride * model.config.max_source_positions
        self.heard = self._heard(features)
        self.short = int(self.heard.lengths.max()) <= self.width
        self._settle()
        self.copies = int(config.num_return_sequences or 1)
        config.num_return_sequences = 1
        self.stream = None if streamer is None else OneStream(streamer)
        temperature = speech.temperature
        every: Any = temperature if isinstance(temperature, (list, tuple)) else [temperature]
        self.temperatures: list[float | None] = [one if one is None else float(one) for one in every]
        require(len(self.temperatures) > 0, "temperature is a number or a list of some, not an empty list")
        require(
            streamer is None or len(self.temperatures) == 1,
            "a streamer shows tokens as they come, and several temperatures may take them back: pass one",
        )

    # -- settings -------------------------------------------------------------------------------------

    def _heard(self, features: Tensor | None) -> Heard:
        """The sounds, from features or from what the encoder made of them.

        Raises:
            TypeError: for features that are no tensor [B, bins, frames].
            ValueError: without sounds, or for several long ones without a mask.
        """
        named, memory = self.kwargs.pop("input_features", None), self.kwargs.pop("encoder_outputs", None)
        features = named if features is None else features
        mask = self.kwargs.pop("attention_mask", None)
        real = None if mask is None else mask.sum(-1).cpu().long()
        if features is None:
            require(
                memory is not None, "generate() needs input_features, as the feature extractor makes them"
            )
            if not isinstance(memory, ModelOutput):
                memory = BaseModelOutput(memory if isinstance(memory, Tensor) else memory[0])
            count, columns = memory[0].shape[:2]
            return Heard(None, memory, torch.full((count,), columns * self.stride), real)
        if not isinstance(features, Tensor) or features.dim() != 3:
            shape = list(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise TypeError(
                f"generate() reads input_features [B, bins, frames], not {shape}: the model's feature "
                "extractor makes them, processor(sound, sampling_rate=..., return_tensors='pt')"
            )
        features = resolve.brought(self.model, features, self.kwargs)
        count, _, frames = features.shape
        lengths = torch.full((count,), frames)
        if count > 1 and frames > self.width:
            require(
                real is not None,
                "several sounds of which one is longer than a window need attention_mask, which says where "
                "each ends: processor(..., return_attention_mask=True, truncation=False, padding='longest')",
            )
            assert real is not None
            lengths = real
        return Heard(features, memory, lengths, real)

    def _settle(self) -> None:
        """Take over what was asked for into the settings, and refuse what they cannot say."""
        config, speech = self.config, self.speech
        if speech.is_multilingual is not None:
            config.is_multilingual = speech.is_multilingual
        speech_prompts.check(config, speech.task, speech.language)
        self.task = speech.task or getattr(config, "task", None)
        self.language = speech.language or getattr(config, "language", None)
        asked = speech.return_timestamps
        asked = getattr(config, "return_timestamps", None) if asked is None else asked
        if not self.short:
            require(
                asked is not False or speech.return_timestamps is None,
                f"the sound is longer than a window of {self.width} frames, and windows follow each other by "
                "the times that are written: leave return_timestamps=False out, or cut the sound",
            )
            asked = True
        config.return_timestamps = bool(asked)
        timeless = getattr(config, "no_timestamps_token_id", None)
        require(
            not asked or timeless is not None,
            "the generation_config of this model has no no_timestamps_token_id, which times are counted "
            "from: take over that of a newer checkpoint",
        )
        first = self.model.config.vocab_size + 1 if timeless is None else timeless + 1
        self.times = Times(first, speech.time_precision, speech.time_precision_features, self.stride)
        self._settle_limits()

    def _settle_limits(self) -> None:
        """What a text must keep to, what windows are told, and what is shown of them."""
        config, speech = self.config, self.speech
        chosen = {
            name: getattr(config, name, None) if getattr(speech, name) is None else getattr(speech, name)
            for name in ("compression_ratio_threshold", "logprob_threshold", "no_speech_threshold")
        }
        self.limits = Limits(*chosen.values())
        self.carries = bool(
            getattr(config, "condition_on_prev_tokens", False)
            if speech.condition_on_prev_tokens is None
            else speech.condition_on_prev_tokens
        )
        self.everywhere = speech.prompt_condition_type == "all-segments"
        require(
            speech.prompt_condition_type in (None, "first-segment", "all-segments"),
            "prompt_condition_type is 'first-segment' or 'all-segments'",
        )
        require(
            self.carries or not self.everywhere,
            "prompt_condition_type='all-segments' needs condition_on_prev_tokens=True",
        )
        if speech.return_token_timestamps:
            require(
                getattr(config, "alignment_heads", None) is not None,
                "the generation_config of this model has no alignment_heads, by which tokens are found in "
                "the sound: leave return_token_timestamps out",
            )
        record = speech.return_dict_in_generate
        self.record = bool(config.return_dict_in_generate if record is None else record)
        self.shows_scores = bool(self.record and config.output_scores)
        config.return_dict_in_generate = self.record or self.limits.logprob is not None
        config.output_scores = bool(config.output_scores or self.limits.logprob is not None)

    def _openings(self) -> list[list[int]]:
        """What each text begins with; languages that nobody named are heard."""
        config, count = self.config, len(self.heard.lengths)
        named = speech_prompts.languages_of(self.language, count)
        unsaid = self.task is None and named is None
        behind = speech_prompts.forced(config, self.model.config) if unsaid else []
        ids: list[int | None] = [None] * count
        if named is not None:
            ids = [speech_prompts.language_id(one, config.lang_to_id) for one in named]
        elif getattr(config, "lang_to_id", None) and (not behind or behind[0] is None):
            every = list(range(count))
            heard = self._encoded(every, [0] * count)
            ids = detect_language(self.model, heard, config).tolist()
        start = int(config.decoder_start_token_id)
        return [
            speech_prompts.opening(start, behind, one, config, self.task, named is not None) for one in ids
        ]

    # -- windows --------------------------------------------------------------------------------------

    def answer(self) -> Any:
        """Decode all windows."""
        speech, prompt = self.speech, self.speech.prompt_ids
        if prompt is not None:
            self.prompt: list[int] = torch.as_tensor(prompt).reshape(-1).tolist()
        else:
            self.prompt = []
        each = [one for one in self._openings() for _ in range(self.copies)]
        self.sounds = [i for i in range(len(self.heard.lengths)) for _ in range(self.copies)]
        lengths = self.heard.lengths[self.sounds].tolist()
        rows = [Row(one, carries=self.carries) for one in each]
        once = speech.force_unique_generate_call
        once = getattr(self.config, "force_unique_generate_call", False) if once is None else once
        decoded: list[Decoded] = []
        record = None
        while open_ := [i for i, row in enumerate(rows) if row.seek < lengths[i]]:
            if speech.monitor_progress is not None:
                speech.monitor_progress(
                    torch.tensor([[r.seek, n] for r, n in zip(rows, lengths, strict=True)])
                )
            decoded, record = self._decode(rows, open_)
            for i, one in zip(open_, decoded, strict=True):
                self._take(rows[i], lengths[i], one)
            if once or self.heard.frames is None:
                break
        if self.stream is not None:
            self.stream.finish()
        return self._answer(rows, decoded, record, bool(once))

    def _take(self, row: Row, length: int, one: Decoded) -> None:
        """Add what a window said to its row, and go on behind it."""
        frames = min(length - row.seek, self.width)
        if one.skipped:
            row.seek += frames
            return
        said = one.record.get("token_timestamps")
        shown = one.record if self.record or said is not None else one.row
        prompt = len(one.row) - one.record["new"]
        one.record.pop("new", None)
        window = Window(one.tokens, row.seek, frames, prompt, shown, said)
        segments, passed = segments_of(window, self.times)
        row.segments += segments
        row.seek += passed

    def _answer(self, rows: list[Row], decoded: list[Decoded], record: Any, once: bool) -> Any:
        """What the caller gets: tokens, or a record of them."""
        speech, said = self.speech, bool(self.speech.return_token_timestamps)
        if self.record and (once or not self.config.return_timestamps):
            require(
                record is not None,
                "return_dict_in_generate shows one decoding, but some texts were decoded again at another "
                "temperature: pass return_segments=True, or one temperature",
            )
            if said:
                record = {
                    **record,
                    "token_timestamps": torch.stack([d.record["token_timestamps"] for d in decoded]),
                }
            return record
        if once:
            ids = torch.stack([one.row for one in decoded])
            times = torch.stack([one.record["token_timestamps"] for one in decoded]) if said else None
        else:
            pad = self.config.pad_token_id
            ids, times = joined([row.segments for row in rows], 0 if pad is None else int(pad), said)
        ids = ids.to(self.model.device)
        if not (self.record or speech.return_segments or said):
            return ids
        out: dict[str, Any] = {"sequences": ids}
        if said:
            out["token_timestamps"] = times
        if speech.return_segments or self.record:
            out["segments"] = [row.segments for row in rows]
        return out

    def _encoded(self, sounds: list[int], seeks: list[int]) -> Any:
        """What the encoder makes of a window of each sound, with silence behind its end."""
        heard, encoder = self.heard, self.model.get_encoder()
        first = not any(seeks)
        if heard.memory is not None and first:
            return _chosen(heard.memory, sounds, self.model.device)
        assert heard.frames is not None
        windows = []
        for sound, seek in zip(sounds, seeks, strict=True):
            stop = min(
                seek + self.width, int(heard.lengths[sound]) if not self.short else heard.frames.shape[-1]
            )
            part = heard.frames[sound, :, seek:stop]
            windows.append(nn.functional.pad(part, (0, self.width - part.shape[-1])))
        asks = {
            name: True for name in ("output_attentions", "output_hidden_states") if getattr(self.config, name)
        }
        out = encoder(torch.stack(windows).to(self.model.dtype), **asks, return_dict=True)
        if first and sounds == list(range(len(heard.lengths))):
            heard.memory = out  # heard for its language, and again for its text
        return out

    def _prompts(self, rows: list[Row]) -> tuple[Tensor, Tensor | None]:
        """What the decoder begins each window with, [n, T], padded before; and what of it is no padding."""
        given, mask = (self.kwargs.pop(f"decoder_{name}", None) for name in ("input_ids", "attention_mask"))
        if given is not None:  # for the first window
            return given, mask
        found = [[*self._before(row), *row.opening] for row in rows]
        longest = max(map(len, found))
        pad = int(self.config.pad_token_id or 0)
        ids = torch.tensor([[pad] * (longest - len(one)) + one for one in found])
        if all(len(one) == longest for one in found):
            return ids.to(self.model.device), None
        mask = torch.tensor([[0] * (longest - len(one)) + [1] * len(one) for one in found])
        return ids.to(self.model.device), mask.to(self.model.device)

    def _before(self, row: Row) -> list[int]:
        """The prompt of a window: the caller's, and the text so far where that is carried on."""
        said = said_before(row.segments, self.times.first) if row.carries and row.segments else None
        marked = getattr(self.config, "prev_sot_token_id", None)
        suppressed: list[int] = self.config.suppress_tokens or []
        if marked is None and len(suppressed) >= 2:
            marked = suppressed[-2]  # as older checkpoints say it
        if not row.carries:
            return self.prompt
        own = self.prompt[1:] if self.prompt[:1] == [marked] else self.prompt
        text = [] if said is None else said.tolist()
        if not self.everywhere:
            text = [*own, *text]
        if not text:
            return self.prompt
        kept = text[-(self.model.config.max_target_positions // 2 - 1) :]
        if self.everywhere and self.prompt:
            return [*self.prompt, *kept]
        return [*([] if marked is None else [marked]), *kept]

    def _room(self, config: GenerationConfig, prompt: int) -> None:
        """Let a text be as long as the settings say, not counting its prompt."""
        room = int(self.model.config.max_target_positions)
        new = config.max_new_tokens
        if new is not None:
            require(
                new + prompt <= room,
                f"the prompt has {prompt} tokens and max_new_tokens is {new}, but the model writes {room} at "
                "most: shorten the prompt, or lower max_new_tokens",
            )
            config.max_length, config.max_new_tokens = new + prompt, None
        elif config.is_set("max_length"):
            config.max_length = min(config.max_length + min(room // 2 - 1, prompt), room)

    # -- one window -----------------------------------------------------------------------------------

    def _decode(self, rows: list[Row], open_: list[int]) -> tuple[list[Decoded], Any]:
        """Decode a window of each open row; those whose text will not do once more, warmer.

        Returns:
            What came of each, and the whole record where all were decoded once.
        """
        active = [rows[i] for i in open_]
        seeks = [row.seek for row in active]
        memory = self._encoded([self.sounds[i] for i in open_], seeks)
        ids, mask = self._prompts(active)
        silence = self._silence(memory, ids, mask, active)
        found: list[Decoded | None] = [None] * len(active)
        left, record = list(range(len(active))), None
        for turn, temperature in enumerate(self.temperatures):
            masked = None if mask is None else mask[left]
            out = self._pass(ids[left], masked, _chosen(memory, left, ids.device), temperature)
            record = out if turn == 0 and isinstance(out, ModelOutput) else None
            again = []
            for i, one in zip(left, self._split(out, ids.shape[1]), strict=True):
                quiet = None if silence is None else float(silence[i])
                more, one.skipped = self.limits.judge(
                    one.tokens,
                    self.model.config.vocab_size,
                    one.record.get("scores", ()),
                    temperature or 1.0,
                    quiet,
                )
                found[i] = one
                active[i].carries = self.carries and (temperature is None or temperature < _COOL)
                again += [i] if more else []
            if not again:
                break
            left = again
        done = [one for one in found if one is not None]
        for i, one in enumerate(done):
            self._finish(one, _chosen(memory, [i], ids.device)[0], ids.shape[1], mask, i, open_[i], seeks[i])
        return done, record

    def _pass(self, ids: Tensor, mask: Tensor | None, memory: Any, temperature: float | None) -> Any:
        """Decode windows at one temperature: None leaves open how tokens are chosen."""
        config = copy.deepcopy(self.config)
        if temperature is not None:
            config.do_sample = temperature > 0
            config.temperature = temperature if temperature > 0 else 1.0
            if temperature > 0:
                config.num_beams = 1
        self._room(config, ids.shape[1])
        own = list(self.extras.get("logits_processor") or ())
        if config.return_timestamps:
            own.insert(0, WhisperTimeStampLogitsProcessor(config, ids.shape[1]))
        inputs = {**self.kwargs, "decoder_input_ids": ids, "encoder_outputs": memory}
        if mask is not None:
            inputs["decoder_attention_mask"] = mask
            inputs["decoder_position_ids"] = (mask.long().cumsum(-1) - 1).clamp(min=0)
        extras = {**self.extras, "logits_processor": own}
        return run(self.model, None, config, inputs, extras, self.stream, self.generator)

    def _split(self, out: Any, prompt: int) -> list[Decoded]:
        """The rows of what `run` returned."""
        every = out if isinstance(out, Tensor) else out.sequences
        scores = None if isinstance(out, Tensor) else out.scores
        beams = None if isinstance(out, Tensor) else getattr(out, "beam_indices", None)
        pad, eos = self.config.pad_token_id, self.config.eos_token_id
        found = []
        for i, row in enumerate(every):
            new = row[prompt:].cpu()
            if pad is not None and len(new) and int(new[-1]) == pad:
                padding = int((new == pad).sum()) - (pad == eos)
                new = new[: len(new) - padding]
            noted: dict[str, Any] = {"sequences": row.cpu(), "new": len(row) - prompt}
            if scores is not None:
                places = [i] * len(scores) if beams is None else beams[i].tolist()
                noted["scores"] = [s[at].cpu() for s, at in zip(scores, places, strict=False)]
            found.append(Decoded(new, row.cpu(), noted))
        return found

    def _finish(
        self, one: Decoded, memory: Tensor, prompt: int, mask: Tensor | None, place: int, row: int, seek: int
    ) -> None:
        """Take the end off a text, and find its tokens in the sound where that is wanted."""
        ended = len(one.tokens) and int(one.tokens[-1]) == self.config.eos_token_id
        if self.speech.return_token_timestamps:
            padding = 0 if mask is None else int((mask[place] == 0).sum())
            ids = torch.cat((one.row[padding:prompt], one.tokens)).to(memory.device)
            real = self.heard.real
            columns = None
            if real is not None:
                columns = max(int(real[self.sounds[row]]) - seek, 0) // self.stride
            heads = self.config.alignment_heads
            times = token_times(self.model, ids, memory, heads, prompt - padding, columns, self.times.seconds)
            behind = len(one.row) - prompt - len(one.tokens)
            last = float(times[-1]) if len(times) else 0.0
            times = nn.functional.pad(times, (padding, 0))
            one.record["token_timestamps"] = nn.functional.pad(times, (0, behind), value=last)
        if ended:
            one.tokens = one.tokens[:-1]
        if not self.shows_scores:
            one.record.pop("scores", None)

    def _silence(self, memory: Any, ids: Tensor, mask: Tensor | None, rows: list[Row]) -> Tensor | None:
        """How likely it is that nothing was said, [n]: what the start of the text is followed by."""
        if self.limits.no_speech is None:
            return None
        opening = len(rows[0].opening)
        more = (
            {}
            if mask is None
            else {
                "decoder_attention_mask": mask,
                "decoder_position_ids": (mask.long().cumsum(-1) - 1).clamp(min=0),
            }
        )
        out = self.model(decoder_input_ids=ids, encoder_outputs=memory, use_cache=False, **more)
        shares: Tensor = out.logits[:, ids.shape[1] - opening].float().softmax(-1)
        return shares[:, self.times.first - 2].cpu()  # before the token that says: no times


def settle_stride(model: Any) -> int:
    """How many frames of the spectrum the encoder makes one state of."""
    encoder = model.get_encoder()
    return int(encoder.conv1.stride[0] * encoder.conv2.stride[0])


def detect_language(model: Any, memory: Any, config: Any) -> Tensor:
    """The language that is likeliest behind the first token: ids of its token, [B], int64.

    Args:
        model: the model.
        memory: what its encoder made of the sounds.
        config: settings with `lang_to_id` and `decoder_start_token_id`.
    """
    start = torch.full((len(memory[0]), 1), int(config.decoder_start_token_id), device=memory[0].device)
    logits = model(decoder_input_ids=start, encoder_outputs=memory, use_cache=False).logits[:, -1]
    known = torch.tensor([*config.lang_to_id.values()], device=logits.device)
    return known[logits[:, known].argmax(-1)]


class OneStream:
    """A streamer for several windows: it hears of one prompt, all new tokens, and one end."""

    def __init__(self, inner: Any) -> None:
        self.inner, self._prompt_is_next, self._began = inner, True, False

    @property
    def closed(self) -> bool:
        """Whether nobody listens any more."""
        return bool(getattr(self.inner, "closed", False))

    def put(self, value: Any) -> None:
        """Hand tokens on, the prompts of later windows excepted."""
        if not (self._prompt_is_next and self._began):
            self.inner.put(value)
        self._prompt_is_next, self._began = False, True

    def end(self) -> None:
        """A window ended."""
        self._prompt_is_next = True

    def fail(self, error: BaseException) -> None:
        """A window failed."""
        if hasattr(self.inner, "fail"):
            self.inner.fail(error)

    def finish(self) -> None:
        """All windows ended."""
        self.inner.end()


def _chosen(memory: Any, rows: list[int], device: Any) -> Any:
    """Rows of what an encoder returned."""
    if rows == list(range(len(memory[0]))):
        return memory
    at = torch.tensor(rows, device=device)

    def pick(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(pick, value))
        return value.index_select(0, at) if isinstance(value, Tensor) else value

    return type(memory)(**{name: pick(value) for name, value in memory.items()})
