"""Speech of texts in one pass: VITS."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from formers.assemblies.base import Assembly, BaseModel, signed, states_of
from formers.assemblies.encoder_decoder import StackPart
from formers.assemblies.single import Single
from formers.core.outputs import ModelOutput, PriorOutput
from formers.core.sound_outputs import SpeechOutput
from formers.model.base import PreTrainedModel
from formers.model.initialise import mark_filled
from formers.nn import spec
from formers.nn.leaves import fan_in_conv
from formers.nn.nets.durations import DrawnDurations, PlainDurations
from formers.nn.nets.flows import CouplingFlow, GatedConvolutions
from formers.nn.nets.vocoder import WaveMaker
from formers.nn.recording import recording
from formers.nn.spec.speech_synthesis import SplineFlow, Voice
from formers.nn.tree import Group, leaf, path_of, place, wiring
from formers.nn.watch import watched
from formers.stacks.stack import Ask, States

_TEXT = ("input_ids", "attention_mask")
_ASKED = ("output_attentions", "output_hidden_states", "return_dict")


class Priors(Single):
    """A text, and the distribution of which its speech is drawn."""

    def __init__(self, stack: Callable[[Any], spec.Stack], voice: Callable[[Any], Voice]) -> None:
        super().__init__(stack, reads=_TEXT)
        self.voice = voice

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register the stack, and what makes the distribution of its states."""
        super().place(model, config, pooler, masked)
        s = self.voice(config)
        place(model, "prior", s.paths["prior"], fan_in_conv(s.text, 2 * s.width, 1))

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """States, and means and log variances [B, T, C] at tokens, zeros at padding.

        Padding is computed: what rounds otherwise could make a token last a frame longer.
        """
        states = super().run(model, given, replace(ask, keep_padding=True))
        real = real_places(given, states.last)[..., None]
        last = states.last * real
        states.rows = last if states.watched else states.layout.pack(last)
        found = leaf(model, "prior")(last.transpose(1, 2)).transpose(1, 2) * real
        means, variances = found.chunk(2, dim=-1)
        states.extras.update(prior_means=means, prior_log_variances=variances)
        return states

    def output(self, model: Any, states: States) -> ModelOutput:
        """All of them."""
        made = states.extras["prior_means"], states.extras["prior_log_variances"]
        return PriorOutput(states.last, *made, states.hidden, states.attentions)


class TextPart(StackPart):
    """What reads the text; called as the model without a head would be."""


TextPart.forward = signed(TextPart, BaseModel.forward, (*_TEXT, *_ASKED), "Read a text.")  # type: ignore[method-assign]  # with the inputs of this part


def real_places(given: Mapping[str, Any], like: Tensor) -> Tensor:
    """1 at tokens, [B, T], in the dtype of `like` [B, T, ..]."""
    mask = given.get("attention_mask")
    return like.new_ones(like.shape[:2]) if mask is None else mask.to(like.dtype)


class EndToEndSpeech(Assembly):
    """A text encoder, durations, a flow from noise, and a vocoder.

    Args:
        stack: config -> the spec of what reads the text.
        voice: config -> that of the rest.
    """

    inputs = (*_TEXT, "speaker_id", *_ASKED, "labels", "speaking_rate")
    means: Mapping[str, str] = MappingProxyType(
        {
            "speaker_id": "which of the model's speakers is heard: an int, or [1] or [B], int64.",
            "labels": "none are taken: there is no loss.",
            "speaking_rate": "2.0 speaks twice as fast; `model.speaking_rate` where it is None.",
        }
    )

    def __init__(self, stack: Callable[[Any], spec.Stack], voice: Callable[[Any], Voice]) -> None:
        self.voice, self.text = voice, Priors(stack, voice)

    def spec(self, config: Any) -> spec.Stack:
        """Of what reads the text."""
        return self.text.spec(config)

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register all parts, and `speaking_rate`, `noise_scale` and `noise_scale_duration` to be set."""
        s = wiring(model).facts["voice"] = self.voice(config)
        path = s.paths
        place(model, "text", path["text"], TextPart(config, self.text))
        wiring(model).roles["token"] = (path["text"], *wiring(leaf(model, "text")).roles["token"])
        place(model, "flow", path["flow"], CouplingFlow(s.width, s.flows, s.gated))
        place(model, "vocoder", path["vocoder"], WaveMaker(s.vocoder))
        drawn = isinstance(s.durations, SplineFlow)
        durations = DrawnDurations(s.durations) if drawn else PlainDurations(s.durations)  # type: ignore[arg-type]  # as asked
        place(model, "durations", path["durations"], durations)
        if s.speakers > 1:
            place(model, "speakers", path["speakers"], nn.Embedding(s.speakers, s.vocoder.speaker))
        reader = Group()  # read in training alone, which is not offered
        reader.add_module("conv_pre", fan_in_conv(s.bins, s.posterior.width, 1))
        reader.add_module("wavenet", GatedConvolutions(s.posterior))
        reader.add_module("conv_proj", fan_in_conv(s.posterior.width, 2 * s.width, 1))
        place(model, "posterior", path["posterior"], reader)
        for name in ("speaking_rate", "noise_scale", "noise_scale_duration"):
            setattr(model, name, getattr(config, name))

    def stacks(self, model: nn.Module) -> dict[str, nn.Module]:
        """What reads the text."""
        return {"encoder": leaf(model, "text")}

    def deviations(self, model: Any) -> tuple[float, Mapping[str, float]]:
        """From the stack's spec."""
        made: spec.Stack = wiring(leaf(model, "text")).facts["spec"]
        return made.initial_std, dict(made.init)

    def set_table(self, model: Any, value: nn.Module) -> None:
        """Replace the token table."""
        mark_filled(value)
        part = leaf(model, "text")
        place(part, "token", path_of(part, "token"), value)

    def room(self, config: Any) -> int | None:
        """Nothing bounds it."""
        return None

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Speak. Durations and latent spectrograms are drawn by torch's generators, in this order.

        Raises:
            NotImplementedError: for labels.
            ValueError: for a speaker that is not there, or a rate that is not positive.
        """
        if given.get("labels") is not None:
            raise NotImplementedError(f"{type(model).__name__} has no loss, and is not trained here")
        s: Voice = wiring(model).facts["voice"]
        rate = given.get("speaking_rate")
        rate = float(model.speaking_rate if rate is None else rate)
        if not (math.isfinite(rate) and rate > 0):
            raise ValueError(f"speaking_rate is a positive number, such as 1.0, not {rate}")
        speaker = _speaker(model, s, given.get("speaker_id"), given.get("input_ids"))
        ask.padded = watched(model) if ask.padded is None else ask.padded
        states = states_of(leaf(model, "text"), {name: given.get(name) for name in _TEXT}, ask)
        last = states.last
        real = real_places(given, last)[:, None]  # [B, 1, T]
        how = {"noise_scale": model.noise_scale_duration} if isinstance(s.durations, SplineFlow) else {}
        lasting = leaf(model, "durations")(last.transpose(1, 2), real, speaker, **how)
        frames = torch.ceil(torch.exp(lasting) * real * (1.0 / rate))[:, 0]  # [B, T]
        lengths, drawn, shown = _drawn(states, frames, float(model.noise_scale))
        spectrogram = leaf(model, "flow")(drawn, shown, speaker) * shown
        waves = leaf(model, "vocoder")(spectrogram, speaker)[:, 0]
        states.extras.update(waveform=waves, spectrogram=spectrogram)
        states.extras["sequence_lengths"] = lengths * math.prod(s.vocoder.rates)
        return states

    def output(self, model: Any, states: States) -> ModelOutput:
        """The speech, and what was asked for of the text."""
        made = {name: states.extras[name] for name in ("waveform", "sequence_lengths", "spectrogram")}
        return SpeechOutput(**made, hidden_states=states.hidden, attentions=states.attentions)


def _speaker(model: Any, s: Voice, told: Any, ids: Any) -> Tensor | None:
    """The vectors of speakers, [B or 1, G, 1]; None where nobody says which, and where there is one."""
    if told is None:
        return None
    chosen = torch.as_tensor(told, device=model.device).reshape(-1)
    batch = ids.shape[0] if isinstance(ids, Tensor) else 1
    if chosen.is_floating_point() or chosen.dtype == torch.bool or len(chosen) not in (1, batch):
        raise ValueError(f"speaker_id is a whole number, or one for each of {batch} texts, not {told!r}")
    if not recording() and bool(((chosen < 0) | (chosen >= s.speakers)).any()):
        raise ValueError(
            f"speaker_id={told!r} is none of this model's {s.speakers} speakers: choose from 0 to "
            f"{s.speakers - 1}"
        )
    if s.speakers == 1:
        return None
    found: Tensor = leaf(model, "speakers")(chosen)
    return found[..., None]


def _drawn(states: States, frames: Tensor, scale: float) -> tuple[Tensor, Tensor, Tensor]:
    """Spread tokens over as many frames as they last [B, T], and draw.

    Returns:
        How many frames each text has, [B], int64; what was drawn, [B, C, frames]; which of them are real,
        [B, 1, frames].
    """
    ends = frames.cumsum(-1)
    lengths = ends[:, -1].clamp(min=1).long()
    at = torch.arange(int(lengths.max()), device=frames.device)
    shown = (at < lengths[:, None]).to(frames.dtype)  # [B, frames]
    token = torch.searchsorted(ends, at.to(ends.dtype).expand(len(ends), -1).contiguous(), right=True)
    heard = (token < ends.shape[1]).to(shown.dtype)[..., None] * shown[..., None]
    token = token.clamp(max=ends.shape[1] - 1)

    def spread(name: str) -> Tensor:
        rows: Tensor = states.extras[name]
        by_frame = rows.gather(1, token[..., None].expand(-1, -1, rows.shape[-1]))
        return (by_frame * heard).transpose(1, 2)  # [B, C, frames]

    means, variances = spread("prior_means"), spread("prior_log_variances")
    # laid out as the means are, so that a seed gives the same numbers everywhere
    drawn = means + torch.randn_like(means) * torch.exp(variances) * scale
    return lengths, drawn, shown[:, None]
