"""Sounds as codes of few numbers each: DAC."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn

from formers.assemblies.audio.codec import AudioCodec, checked_sound, refuse_codes
from formers.assemblies.base import returned, states_in
from formers.core.outputs import ModelOutput
from formers.core.sound_outputs import FactoredCodesOutput, FactoredOutput, SoundOutput
from formers.nn.nets.snake_codec import NarrowCodes, Snakes
from formers.nn.spec.codec import SnakeCodec
from formers.nn.tree import leaf, wiring
from formers.stacks.stack import Ask, States


class FactoredCodec(AudioCodec):
    """A codec whose codes stand for few numbers each."""

    inputs = ("input_values", "n_quantizers", "return_dict")
    means: Mapping[str, str] = MappingProxyType(
        {
            "input_values": "[B, 1, samples], floating.",
            "n_quantizers": "how many books code; all where None. In training they are drawn.",
        }
    )

    def __init__(self, codec: Callable[[Any], SnakeCodec], paths: Mapping[str, str]) -> None:
        super().__init__(codec, paths)
        self.offers = {"encode": encode, "decode": decode}

    def parts(self, s: SnakeCodec) -> dict[str, nn.Module]:
        """The three."""
        return {"down": Snakes(s, False), "up": Snakes(s, True), "books": NarrowCodes(s)}

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Encode and decode.

        Raises:
            TypeError: for what is no tensor.
            ValueError: for sounds that do not fit, and a number of books that is not there.
        """
        sound = given.get("input_values")
        found = _encoded(model, sound, given.get("n_quantizers"))
        values = leaf(model, "up")(found["quantized_representation"])[:, 0]
        states = states_in(values)
        assert isinstance(sound, Tensor)
        states.extras.update(found, audio_values=values[..., : sound.shape[-1]])
        return states

    def output(self, model: Any, states: States) -> ModelOutput:
        """The loss, the sound, and what stands for it."""
        return FactoredOutput(**states.extras)


def encode(
    self: Any, input_values: Tensor, n_quantizers: int | None = None, return_dict: bool | None = None
) -> Any:
    """Codes of a sound.

    Args:
        self: the model.
        input_values: [B, 1, samples], floating.
        n_quantizers: how many books code; all where None.
        return_dict: a record (default) or a tuple.

    Returns:
        `loss` [B], `quantized_representation` [B, E, T], `audio_codes` [B, books, T], int64, and
        `projected_latents` [B, books * narrow, T].

    Raises:
        TypeError: for what is no tensor.
        ValueError: for another shape, and a number of books that is not there.
    """
    found = FactoredCodesOutput(**_encoded(self, input_values, n_quantizers))
    return returned(found, return_dict, self.config)


def decode(
    self: Any,
    quantized_representation: Tensor | None = None,
    audio_codes: Tensor | None = None,
    return_dict: bool | None = None,
) -> Any:
    """The sound [B, samples] that vectors or codes stand for.

    Args:
        self: the model.
        quantized_representation: [B, E, T].
        audio_codes: [B, books, T], int64, in place of it.
        return_dict: a record (default) or a tuple.

    Raises:
        ValueError: where neither is given, and for codes that no book has.
    """
    vectors = quantized_representation
    if audio_codes is not None:
        made: SnakeCodec = wiring(self).facts["spec"]
        refuse_codes(audio_codes, made.books, made.size, "[B, books, T]")
        vectors = leaf(self, "books").of_codes(audio_codes)
    if vectors is None:
        raise ValueError("give quantized_representation or audio_codes, as encode() returned them")
    return returned(SoundOutput(leaf(self, "up")(vectors)[:, 0]), return_dict, self.config)


def _encoded(model: Any, sound: Any, count: Any) -> dict[str, Tensor]:
    made: SnakeCodec = wiring(model).facts["spec"]
    if count is not None and (isinstance(count, bool) or count not in range(1, made.books + 1)):
        raise ValueError(f"n_quantizers is a whole number from 1 to {made.books}, not {count!r}")
    sound = checked_sound(sound, 1, next(leaf(model, "down").parameters()).dtype)
    total, codes, narrow, loss = leaf(model, "books")(leaf(model, "down")(sound), count)
    names = ("loss", "quantized_representation", "audio_codes", "projected_latents")
    return dict(zip(names, (loss, total, codes, narrow), strict=True))
