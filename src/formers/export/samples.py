"""Example inputs of a model by the names that it reads, and what their axes are called."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from formers.export.errors import ExportError
from formers.export.kinds import kind_of
from formers.model.structure import stem_reading

Axes = tuple[str, ...]
_TEXT: Axes = ("batch_size", "sequence_length")
# names of the axes of every input that graphs read, as optimum calls them
AXES: dict[str, Axes] = {
    "input_ids": _TEXT,
    "attention_mask": _TEXT,
    "token_type_ids": _TEXT,
    "position_ids": _TEXT,
    "bbox": (*_TEXT, "box"),
    "pixel_values": ("batch_size", "num_channels", "height", "width"),
    "pixel_mask": ("batch_size", "height", "width"),
    "input_values": ("batch_size", "audio_sequence_length"),
    "input_features": ("batch_size",),  # and what its stem says
    "decoder_input_ids": ("batch_size", "decoder_sequence_length"),
    "encoder_hidden_states": ("batch_size", "encoder_sequence_length", "encoder_width"),
    "encoder_attention_mask": ("batch_size", "encoder_sequence_length"),
}
# what optimum calls the axes that stems for spectra name
_LAID = {"spectra": "num_channels", "bins": "feature_size", "frames": "nb_max_frames"}
_CHOICES: Axes = ("batch_size", "num_choices", "sequence_length")
# axes that a graph must leave open; others are as open as the model lets them be
OPEN = frozenset({"batch_size", "sequence_length", "decoder_sequence_length", "past_sequence_length"})
# what no two inputs share by chance, and no width of a model is likely to be
SIZES = {"batch_size": 3, "num_choices": 2, "sequence_length": 13, "decoder_sequence_length": 7}
_PICTURE = 64  # pixels, of models that read pictures of any size


def taken(model: Any) -> tuple[str, ...]:
    """Names of the inputs of a model's graph, in the order of its calls."""
    config = model.config
    text = config.get_text_config()
    named = inspect.signature(model.forward).parameters
    found = [name for name in AXES if name in named and not name.startswith("encoder_")]
    if not getattr(text, "type_vocab_size", 0):
        found = [name for name in found if name != "token_type_ids"]
    reads_text = "input_ids" in named and model.main_input_name == "input_ids"
    leave = {"position_ids", "pixel_mask"} | (set() if reads_text else {"attention_mask"})
    if not config.is_encoder_decoder:
        leave.add("decoder_input_ids")
    return tuple(name for name in found if name not in leave)


def sample(
    model: Any, names: tuple[str, ...] | None = None, sizes: Mapping[str, int] | None = None, seed: int = 0
) -> dict[str, Tensor]:
    """Example inputs of a model.

    Args:
        model: any model of the library.
        names: which inputs; those of its graph by default.
        sizes: of the axes `batch_size`, `sequence_length`, ...; those in `SIZES` by default.
        seed: of the values.

    Raises:
        ExportError: for a model that reads something that nobody can make up, naming it.
    """
    sizes, generator = {**SIZES, **(sizes or {})}, torch.Generator().manual_seed(seed)
    names = taken(model) if names is None else names
    if not names:
        raise ExportError(
            f"{type(model).__name__} reads {', '.join(inspect.signature(model.forward).parameters)}, of "
            f"which no example can be made up: pass inputs={{name: tensor}}"
        )
    return {name: _made(name, model, sizes, generator) for name in names}


def axes_of(name: str, value: Tensor, model: Any) -> Axes:
    """What the axes of an input of a model are called."""
    known = AXES.get(name, ())
    if name == "input_features" and (stem := stem_reading(model, name)) is not None:
        known = (*known, *(_LAID[axis] for axis in stem.axes))
    if known == _TEXT and value.dim() == 3:
        known = _CHOICES
    return (*known[: value.dim()], *(own_axis(name, i) for i in range(len(known), value.dim())))


def own_axis(name: str, i: int) -> str:
    """What an axis is called that has no common name."""
    return f"{name}_axis_{i}"


def _made(name: str, model: Any, sizes: Mapping[str, int], generator: torch.Generator) -> Tensor:
    batch = sizes["batch_size"]
    text = model.config.get_text_config()
    if name in ("pixel_values", "input_values", "input_features"):
        spectrum = name == "input_features"
        shape = _spectrum(model, sizes) if spectrum else _shape(name, model.config, sizes)
        return torch.randn(batch, *shape, generator=generator)
    choices = kind_of(type(model)) == "ORTModelForMultipleChoice"
    length = sizes["decoder_sequence_length" if name.startswith("decoder") else "sequence_length"]
    shape = (batch, sizes["num_choices"], length) if choices else (batch, length)
    if name.endswith("input_ids"):
        return torch.randint(1, min(text.vocab_size, 1000), shape, generator=generator)
    if name.endswith("attention_mask"):
        mask = torch.ones(shape, dtype=torch.long)
        mask[1:, ..., length - length // 3 :] = 0  # some rows are padded
        return mask
    if name == "token_type_ids":
        types: Tensor = (torch.arange(length) >= length // 2).long().expand(shape) % text.type_vocab_size
        return types
    corner = torch.randint(0, 500, (*shape, 2), generator=generator)  # of boxes
    return torch.cat((corner, corner + torch.randint(0, 500, (*shape, 2), generator=generator)), -1)


def _shape(name: str, config: Any, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """Of a picture or a sound, without the batch axis."""
    whole = config
    for part in ("vision_config", "audio_config", "backbone_config", "encoder"):
        config = getattr(whole, part, None) or config
    if name == "pixel_values":
        size = getattr(whole, "image_size", None) or getattr(config, "image_size", None) or _PICTURE
        pair = tuple(size) if isinstance(size, list | tuple) else (size, size)
        frames = getattr(config, "num_frames", None)
        return (*(() if frames is None else (frames,)), getattr(config, "num_channels", 3), *pair)
    bins = getattr(config, "num_mel_bins", None)
    return (sizes.get("audio_sequence_length", 8000),) if bins is None else (config.max_length, bins)


def _spectrum(model: Any, sizes: Mapping[str, int]) -> list[int]:
    """Of a sound's spectrum, without the batch axis, as its stem reads it."""
    stem = stem_reading(model, "input_features")
    if stem is None:
        raise ExportError(
            f"{type(model).__name__} does not say how input_features are laid out: pass inputs="
        )
    frames = getattr(stem, "length", None) or sizes.get("nb_max_frames", 120)
    known = {"spectra": getattr(stem, "given", 1), "bins": stem.bins, "frames": frames}
    return [known[axis] for axis in stem.axes]
