"""Sounds as codes: EnCodec."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from formers.assemblies.base import Assembly, returned, states_in
from formers.core.outputs import ModelOutput
from formers.core.sound_outputs import CodedOutput, CodesOutput, SoundOutput
from formers.model.base import PreTrainedModel
from formers.nn.nets.codec import ResidualCodes, down, overlapped, up
from formers.nn.recording import recording
from formers.nn.spec.codec import Codec
from formers.nn.tree import leaf, place, wiring
from formers.stacks.stack import Ask, States


class AudioCodec(Assembly):
    """An encoder, codebooks and a decoder.

    Args:
        codec: config -> its spec.
        paths: of `down`, `up` and `books`.
    """

    main = "input_values"

    def __init__(self, codec: Callable[[Any], Any], paths: Mapping[str, str]) -> None:
        self.codec, self.paths = codec, paths

    def parts(self, s: Any) -> dict[str, nn.Module]:
        """The three, made by their spec."""
        raise NotImplementedError(f"{type(self).__name__} has no parts")

    def spec(self, config: Any) -> Any:
        """Of the whole."""
        return self.codec(config)

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register all parts."""
        made = wiring(model).facts["spec"] = self.codec(config)
        for role, part in self.parts(made).items():
            place(model, role, self.paths[role], part)

    def stacks(self, model: nn.Module) -> dict[str, nn.Module]:
        """Encoder and decoder."""
        return {"encoder": leaf(model, "down"), "decoder": leaf(model, "up")}

    def deviations(self, model: Any) -> tuple[float, Mapping[str, float]]:
        """Parts say theirs."""
        return 0.02, {}

    def room(self, config: Any) -> int | None:
        """Nothing bounds it."""
        return None

    def layer_classes(self, config_class: type[Any]) -> list[str]:
        """None: no part is a layer."""
        return []


class ChunkedCodec(AudioCodec):
    """A codec that reads sounds whole, or chunk by chunk."""

    inputs = (
        *("input_values", "padding_mask", "bandwidth", "audio_codes", "audio_scales", "return_dict"),
        "last_frame_pad_length",
    )
    means: Mapping[str, str] = MappingProxyType(
        {
            "input_values": "[B, channels, samples], floating.",
            "padding_mask": "[B, samples] or [B, channels, samples], 1 at real samples.",
            "bandwidth": "kilobits a second, one of `config.target_bandwidths`; the smallest where None.",
            "audio_codes": "[chunks, B, books, T], int64, with `audio_scales` in place of encoding.",
            "audio_scales": "a scale [B, 1], or None, for each chunk, as `encode` returned them.",
            "last_frame_pad_length": "places of the last chunk that are padding, likewise.",
        }
    )

    def __init__(self, codec: Callable[[Any], Codec], paths: Mapping[str, str]) -> None:
        super().__init__(codec, paths)
        self.offers = {"encode": encode, "decode": decode}

    def parts(self, s: Codec) -> dict[str, nn.Module]:
        """The three."""
        return {"down": down(s), "up": up(s), "books": ResidualCodes(s)}

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Encode, unless codes are given, and decode.

        Raises:
            TypeError: for what is no tensor.
            ValueError: for inputs that do not fit each other or the model.
        """
        codes, scales = given.get("audio_codes"), given.get("audio_scales")
        if (codes is None) != (scales is None):
            raise ValueError("audio_codes and audio_scales go together, as encode() returned both")
        mask, behind = given.get("padding_mask"), given.get("last_frame_pad_length") or 0
        if codes is None:
            sound = _checked(model, given.get("input_values"), mask)
            codes, scales, behind = _encoded(model, sound, mask, given.get("bandwidth"))
            mask = sound if mask is None else mask
        elif mask is None:
            mask = given.get("input_values")
        values = _decoded(model, codes, scales, mask, behind)
        states = states_in(values)
        states.extras.update(codes=codes, values=values)
        return states

    def heard(self, model: Any, codes: Tensor) -> Tensor:
        """The sound [B, channels, samples] of codes [B, books, T], as one chunk of any length."""
        made = wiring(model).facts["spec"]
        refuse_codes(codes, made.books, made.size, "[B, books, T]")
        found: Tensor = leaf(model, "up")(leaf(model, "books").decode(codes))
        return found

    def output(self, model: Any, states: States) -> ModelOutput:
        """Codes, and the sound that they stand for."""
        return CodedOutput(states.extras["codes"], states.extras["values"])


def encode(
    self: Any,
    input_values: Tensor,
    padding_mask: Tensor | None = None,
    bandwidth: float | None = None,
    return_dict: bool | None = None,
) -> Any:
    """Codes of a sound.

    Args:
        self: the model.
        input_values: [B, channels, samples], floating.
        padding_mask: [B, samples] or [B, channels, samples], 1 at real samples.
        bandwidth: kilobits a second, one of `config.target_bandwidths`; the smallest where None.
        return_dict: a record (default) or a tuple.

    Returns:
        `audio_codes` [chunks, B, books, T], int64; `audio_scales`, a tensor [B, 1] or None for each chunk;
        `last_frame_pad_length`.

    Raises:
        TypeError: for what is no tensor.
        ValueError: for another shape, and a bandwidth that the model does not have.
    """
    sound = _checked(self, input_values, padding_mask)
    return returned(CodesOutput(*_encoded(self, sound, padding_mask, bandwidth)), return_dict, self.config)


def decode(
    self: Any,
    audio_codes: Tensor,
    audio_scales: Any,
    padding_mask: Tensor | None = None,
    return_dict: bool | None = None,
    last_frame_pad_length: int = 0,
) -> Any:
    """The sound that codes stand for: `audio_values` [B, channels, samples], a little longer than it was.

    Args:
        self: the model.
        audio_codes: [chunks, B, books, T], int64.
        audio_scales: a scale [B, 1], or None, for each chunk.
        padding_mask: [.., samples], to whose length the sound is cut.
        return_dict: a record (default) or a tuple.
        last_frame_pad_length: places of the last chunk that are padding.

    Raises:
        ValueError: for codes of another shape, or that no book has.
    """
    values = _decoded(self, audio_codes, audio_scales, padding_mask, last_frame_pad_length)
    return returned(SoundOutput(values), return_dict, self.config)


def checked_sound(sound: Any, channels: int, dtype: torch.dtype) -> Tensor:
    """Sounds [B, channels, samples] in that dtype.

    Raises:
        TypeError: for what is no floating tensor.
        ValueError: for another shape, and samples that are no numbers.
    """
    if not isinstance(sound, Tensor) or not sound.is_floating_point():
        kind = getattr(sound, "dtype", type(sound).__name__)
        raise TypeError(f"input_values are floating, [B, {channels}, samples], not {kind}")
    if sound.dim() != 3 or sound.shape[1] != channels or not sound.shape[2]:
        raise ValueError(
            f"input_values have shape [B, {channels}, samples], not {list(sound.shape)}: a feature extractor "
            "makes them"
        )
    if not recording() and not bool(sound.isfinite().all()):
        raise ValueError("input_values hold samples that are no numbers, or infinite: they have no codes")
    return sound.to(dtype)


def refuse_codes(codes: Any, books: int, size: int, axes: str) -> None:
    """Refuse what are no codes, the axis before the last that of books.

    Raises:
        ValueError: for another type or shape, and codes that no book has.
    """
    if not isinstance(codes, Tensor) or codes.is_floating_point() or codes.dim() != axes.count(",") + 1:
        shape = list(codes.shape) if isinstance(codes, Tensor) else type(codes).__name__
        raise ValueError(f"audio_codes are int64, {axes}, not {shape}")
    if recording():
        return
    if codes.shape[-2] > books or int(codes.max()) >= size or int(codes.min()) < 0:
        raise ValueError(
            f"audio_codes come from at most {books} books of {size} vectors each, but there are "
            f"{codes.shape[-2]} books, and codes from {int(codes.min())} to {int(codes.max())}"
        )


def _checked(model: Any, sound: Any, mask: Any) -> Tensor:
    """Sounds in the dtype of the weights."""
    channels = wiring(model).facts["spec"].channels
    found = checked_sound(sound, channels, next(leaf(model, "down").parameters()).dtype)
    if mask is not None and (len(mask), mask.shape[-1]) != (len(found), found.shape[-1]):
        raise ValueError(f"padding_mask {list(mask.shape)} does not fit input_values {list(found.shape)}")
    return found


def _encoded(model: Any, sound: Tensor, mask: Tensor | None, bandwidth: Any) -> tuple[Any, ...]:
    config, length = model.config, sound.shape[-1]
    known = list(config.target_bandwidths)
    bandwidth = known[0] if bandwidth is None else bandwidth
    if bandwidth not in known:
        raise ValueError(f"bandwidth={bandwidth!r} is none of this model's: choose from {known}")
    rate = math.log2(config.codebook_size) * config.frame_rate
    count = max(1, math.floor(bandwidth * 1000 / rate))
    if mask is not None:
        sound = sound * mask.reshape(mask.shape[0], -1, mask.shape[-1]).bool()
    chunk, stride = config.chunk_length or length, config.chunk_stride or length
    frames, scales = [], []
    for start in range(0, length, stride):
        part, scale = sound[..., start : start + chunk], None
        if config.normalize:
            loud = part.mean(1, keepdim=True).pow(2).mean(-1, keepdim=True).sqrt() + 1e-8
            part, scale = part / loud, loud.view(-1, 1)
        frames.append(leaf(model, "books").encode(leaf(model, "down")(part), count))
        scales.append(scale)
    behind = frames[0].shape[-1] - frames[-1].shape[-1]
    frames[-1] = torch.nn.functional.pad(frames[-1], (0, behind))
    return torch.stack(frames), scales, behind


def _decoded(model: Any, codes: Any, scales: Any, mask: Tensor | None, behind: int) -> Tensor:
    config, made = model.config, wiring(model).facts["spec"]
    refuse_codes(codes, made.books, made.size, "[chunks, B, books, T]")
    if len(scales) != len(codes) or (config.chunk_length is None and len(codes) > 1):
        raise ValueError(
            f"there are {len(codes)} chunks and {len(scales)} audio_scales: one for each"
            + ("; this model reads a sound as one chunk" if config.chunk_length is None else "")
        )
    found = []
    for i, (frame, scale) in enumerate(zip(codes, scales, strict=True)):
        frame = frame[..., : frame.shape[-1] - behind] if i == len(codes) - 1 else frame
        values = leaf(model, "up")(leaf(model, "books").decode(frame))
        found.append(values if scale is None else values * scale.view(-1, 1, 1))
    values = found[0] if config.chunk_length is None else overlapped(found, config.chunk_stride or 1)
    return values if mask is None else values[..., : mask.shape[-1]]
