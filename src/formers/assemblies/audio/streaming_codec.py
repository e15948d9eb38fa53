"""Sounds as codes of frames, also while they last: convolutions, layers of attention, codes of two kinds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from formers.assemblies.audio.codec import AudioCodec, checked_sound, refuse_codes
from formers.assemblies.base import returned, states_in, states_of
from formers.assemblies.encoder_decoder import stack_part
from formers.assemblies.single import Single
from formers.core.outputs import ModelOutput
from formers.core.sound_outputs import (
    FramedCodesOutput,
    FramedLatentsOutput,
    FramedOutput,
    FramedSoundOutput,
)
from formers.model.base import PreTrainedModel
from formers.nn import spec
from formers.nn.nets.codec import Before, PaddedConv, TurnedConv, down, up
from formers.nn.nets.split_codes import SplitCodes
from formers.nn.spec.codec import FramedCodec
from formers.nn.tree import has, leaf, place, wiring
from formers.nn.watch import watched
from formers.stacks.stack import Ask, States

_ASKED = ("output_attentions", "output_hidden_states", "return_dict")


class StreamingCodec(AudioCodec):
    """A codec whose vectors see those before them.

    Args:
        codec: config -> its spec.
        stack: config -> that of the layers on both sides of the codes.
        paths: of `down`, `up`, `books`, `before` and `behind`, the layers, `fewer` and `more`, which bring
            their places to frames and back.
    """

    inputs = (
        *("input_values", "padding_mask", "num_quantizers", "audio_codes", "encoder_past_key_values"),
        *("decoder_past_key_values", "return_dict"),
    )
    means: Mapping[str, str] = MappingProxyType(
        {
            "input_values": "[B, channels, samples], floating.",
            "padding_mask": "[B, samples] or [B, channels, samples]: the sound is cut to its length.",
            "num_quantizers": "how many books code; all where None.",
            "audio_codes": "[B, books, T], int64, in place of encoding.",
            "encoder_past_key_values": "what `encode` kept of the sound before.",
            "decoder_past_key_values": "what `decode` kept of the codes before.",
        }
    )

    def __init__(
        self,
        codec: Callable[[Any], FramedCodec],
        stack: Callable[[Any], spec.Stack],
        paths: Mapping[str, str],
    ) -> None:
        super().__init__(codec, paths)
        self.layers = Single(stack, spec.SaidRows)
        self.offers = {
            **{"encode": encode, "decode": decode, "get_encoded_length": encoded_length},
            "get_audio_codes_mask": codes_mask,
        }

    def layer_roles(self) -> tuple[str, ...]:
        """Which of the layers there are."""
        return ("before", "behind")

    def parts(self, s: FramedCodec) -> dict[str, nn.Module]:
        """All but the layers."""
        found = {"down": down(s.waves), "up": up(s.waves), "books": SplitCodes(s)}
        if s.stride > 1:
            width, kernel = s.last_width, 2 * s.stride
            found["fewer"] = PaddedConv(
                s.waves, width, width, kernel, s.stride, bias=False, padding="replicate"
            )
            found["more"] = TurnedConv(s.waves, width, width, kernel, s.stride, s.groups, bias=False)
        return found

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register all parts."""
        super().place(model, config, pooler, masked)
        for role in self.layer_roles():
            place(model, role, self.paths[role], stack_part(config, self.layers, spec.SaidRows))

    def layer_classes(self, config_class: type[Any]) -> list[str]:
        """Those between convolutions and codes."""
        return self.layers.layer_classes(config_class)

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Encode, unless codes are given, and decode.

        Raises:
            TypeError: for what is no tensor.
            ValueError: for inputs that do not fit each other or the model.
        """
        codes, mask = given.get("audio_codes"), given.get("padding_mask")
        kept = given.get("encoder_past_key_values")
        if codes is None:
            sound = given.get("input_values")
            made = encoded(model, sound, given.get("num_quantizers"), kept, None, None, Ask())
            codes, kept = made.audio_codes, made.encoder_past_key_values
            mask = sound if mask is None else mask
        heard = decoded(model, codes, mask, given.get("decoder_past_key_values"), None, Ask())
        states = states_in(heard.audio_values)
        states.extras.update(
            audio_codes=codes,
            audio_values=heard.audio_values,
            encoder_past_key_values=kept,
            decoder_past_key_values=heard.decoder_past_key_values,
        )
        return states

    def output(self, model: Any, states: States) -> ModelOutput:
        """Codes, the sound that they stand for, and what was kept."""
        return FramedOutput(**states.extras)


class FramedHalf(StreamingCodec):
    """One side of such a codec alone: a sound to what codes are made of, or that to a sound.

    Args:
        codec: see `StreamingCodec`, as `stack` and `paths`.
        stack: likewise.
        paths: likewise.
        hears: it is the side that reads sounds.
    """

    _READ = ("input_values", "padding_mask", "past_key_values", "padding_cache", "use_streaming")
    _MADE = ("latents", "padding_mask", "past_key_values", "use_cache")

    def __init__(
        self,
        codec: Callable[[Any], FramedCodec],
        stack: Callable[[Any], spec.Stack],
        paths: Mapping[str, str],
        hears: bool,
    ) -> None:
        super().__init__(codec, stack, paths)
        self.hears = hears
        self.inputs = (*(self._READ if hears else self._MADE), *_ASKED)
        self.main = self.inputs[0]
        self.means = MappingProxyType(
            {
                **self.means,
                "latents": "[B, E, frames], floating: what codes stand for.",
                "past_key_values": "what the call before kept of the layers.",
                "padding_cache": "of a stream, what the call before kept of the convolutions.",
                "use_streaming": "return both; as the config says where None.",
            }
        )
        lengths = ("get_encoded_length", "get_audio_codes_mask")
        self.offers = {name: self.offers[name] for name in lengths} if hears else {}
        own = {self.paths[role] for role in self._roles()}
        self.unused = tuple(rf"^{path}\." for path in paths.values() if path not in own)

    def _roles(self) -> tuple[str, ...]:
        return ("down", "before", "fewer") if self.hears else ("more", "behind", "up")

    def layer_roles(self) -> tuple[str, ...]:
        """Those of its side."""
        return tuple(role for role in super().layer_roles() if role in self._roles())

    def parts(self, s: FramedCodec) -> dict[str, nn.Module]:
        """Those of its side, without books."""
        return {role: part for role, part in super().parts(s).items() if role in self._roles()}

    def stacks(self, model: nn.Module) -> dict[str, nn.Module]:
        """It."""
        return {"encoder": leaf(model, "down")} if self.hears else {"decoder": leaf(model, "up")}

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Compute.

        Raises:
            TypeError: for what is no tensor.
            ValueError: for another shape.
        """
        wanted = Ask(attentions=ask.attentions, hidden=ask.hidden)
        cache, main = given.get("past_key_values"), given.get(self.main)
        made: Any
        if self.hears:
            kept = given.get("padding_cache"), given.get("use_streaming")
            made = latents_of(model, main, cache, *kept, wanted)
        else:
            width = wiring(model).facts["spec"].last_width
            if not isinstance(main, Tensor) or main.dim() != 3 or main.shape[1] != width:
                said = list(main.shape) if isinstance(main, Tensor) else type(main).__name__
                raise ValueError(f"latents are floating, [B, {width}, frames], not {said}")
            made = sound_of(model, main, given.get("padding_mask"), cache, given.get("use_cache"), wanted)
        states = states_in(made[0])
        states.extras["made"] = made
        return states

    def output(self, model: Any, states: States) -> ModelOutput:
        """What was made, and what was kept."""
        found: ModelOutput = states.extras["made"]
        return found


def _through(model: Any, role: str, x: Tensor, cache: Any, keeps: bool | None, ask: Ask) -> States:
    """Layers over [B, E, T]."""
    ask.backend = model.config._attn_implementation
    ask.padded = watched(model) if ask.padded is None else ask.padded
    given = {"input_values": x.transpose(1, 2), "past_key_values": cache, "use_cache": keeps}
    return states_of(leaf(model, role), given, ask)


def encoded(
    model: Any, sound: Any, count: Any, cache: Any, before: Before | None, streams: bool | None, ask: Ask
) -> FramedCodesOutput:
    """Codes of a sound; see `encode`."""
    s: FramedCodec = wiring(model).facts["spec"]
    count = s.books if count is None else count
    if isinstance(count, bool) or count not in range(s.first, s.books + 1):
        raise ValueError(f"num_quantizers is a whole number from {s.first} to {s.books}, not {count!r}")
    made = latents_of(model, sound, cache, before, streams, ask)
    codes = leaf(model, "books").encode(made.latents, count)
    return FramedCodesOutput(
        codes, made.past_key_values, made.padding_cache, made.hidden_states, made.attentions
    )


def latents_of(
    model: Any, sound: Any, cache: Any, before: Before | None, streams: bool | None, ask: Ask
) -> FramedLatentsOutput:
    """What codes are made of, [B, E, frames]."""
    s: FramedCodec = wiring(model).facts["spec"]
    streams = bool(model.config.use_streaming) if streams is None else streams
    sound = checked_sound(sound, s.channels, next(leaf(model, "down").parameters()).dtype)
    before = Before() if streams and before is None else before
    x = leaf(model, "down")(sound) if before is None else leaf(model, "down")(sound, before)
    states = _through(model, "before", x, cache, streams, ask)
    x = states.last.transpose(1, 2)
    if has(model, "fewer"):
        x = leaf(model, "fewer")(x) if before is None else leaf(model, "fewer")(x, before)
    return FramedLatentsOutput(x, states.cache, before, states.hidden, states.attentions)


def decoded(
    model: Any, codes: Any, mask: Tensor | None, cache: Any, keeps: bool | None, ask: Ask
) -> FramedSoundOutput:
    """The sound of codes; see `decode`."""
    s: FramedCodec = wiring(model).facts["spec"]
    refuse_codes(codes, s.books, s.size, "[B, books, T]")
    return sound_of(model, leaf(model, "books").decode(codes), mask, cache, keeps, ask)


def sound_of(
    model: Any, latents: Tensor, mask: Tensor | None, cache: Any, keeps: bool | None, ask: Ask
) -> FramedSoundOutput:
    """The sound of what codes stand for, [B, E, frames]."""
    x = leaf(model, "more")(latents) if has(model, "more") else latents
    keeps = bool(model.config.use_cache) if keeps is None else keeps
    states = _through(model, "behind", x, cache, keeps, ask)
    values = leaf(model, "up")(states.last.transpose(1, 2))
    values = values if mask is None else values[..., : mask.shape[-1]]
    return FramedSoundOutput(values, states.cache, states.hidden, states.attentions)


def encode(
    self: Any,
    input_values: Tensor,
    padding_mask: Tensor | None = None,
    num_quantizers: int | None = None,
    encoder_past_key_values: Any = None,
    padding_cache: Any = None,
    use_streaming: bool | None = None,
    return_dict: bool | None = None,
    output_attentions: bool = False,
    output_hidden_states: bool = False,
) -> Any:
    """Codes of a sound, or of the next part of one.

    Args:
        self: the model.
        input_values: [B, channels, samples], floating.
        padding_mask: [B, samples]; codes of padding are made too, and `get_audio_codes_mask` tells which.
        num_quantizers: how many books code; all where None.
        encoder_past_key_values: of a stream, what the call before kept of the layers.
        padding_cache: likewise, of the convolutions.
        use_streaming: return both; as the config says where None. Parts are whole frames, but for the last.
        return_dict: a record (default) or a tuple.
        output_attentions: return attention weights of the layers.
        output_hidden_states: return their states.

    Returns:
        `audio_codes` [B, books, T], int64; `encoder_past_key_values` and `padding_cache` of a stream.

    Raises:
        TypeError: for what is no tensor.
        ValueError: for another shape, and a number of books that is not there.
    """
    ask = Ask(attentions=output_attentions, hidden=output_hidden_states)
    kept = (encoder_past_key_values, padding_cache, use_streaming)
    return returned(encoded(self, input_values, num_quantizers, *kept, ask), return_dict, self.config)


def decode(
    self: Any,
    audio_codes: Tensor,
    padding_mask: Tensor | None = None,
    decoder_past_key_values: Any = None,
    return_dict: bool | None = None,
    use_cache: bool | None = None,
    output_attentions: bool = False,
    output_hidden_states: bool = False,
) -> Any:
    """The sound that codes stand for: `audio_values` [B, channels, samples], a little longer than it was.

    Args:
        self: the model.
        audio_codes: [B, books, T], int64.
        padding_mask: [.., samples], to whose length the sound is cut.
        decoder_past_key_values: what the call before kept of the layers.
        return_dict: a record (default) or a tuple.
        use_cache: return that; as the config says where None.
        output_attentions: return attention weights of the layers.
        output_hidden_states: return their states.

    Raises:
        ValueError: for codes of another shape, or that no book has.
    """
    ask = Ask(attentions=output_attentions, hidden=output_hidden_states)
    found = decoded(self, audio_codes, padding_mask, decoder_past_key_values, use_cache, ask)
    return returned(found, return_dict, self.config)


def encoded_length(self: Any, input_length: Any) -> Any:
    """How many codes a sound of so many samples has: a number, or a tensor of such."""
    s: FramedCodec = wiring(self).facts["spec"]
    for ratio in (*reversed(s.waves.ratios), s.stride):
        input_length = -(-input_length // ratio)
    return input_length


def codes_mask(self: Any, padding_mask: Tensor, padding_side: str = "right") -> Tensor:
    """Which codes are of real samples, [B, T], bool.

    Args:
        self: the model.
        padding_mask: [B, samples], 1 at real samples.
        padding_side: where the padding is, "right" or "left".
    """
    lengths = encoded_length(self, padding_mask.sum(dim=-1))
    found: Tensor = torch.arange(int(lengths.max()), device=lengths.device) < lengths[:, None]
    return found if padding_side == "right" else found.flip(-1)
