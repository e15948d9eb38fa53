"""A text model that reads images as rows before the text: GIT."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from formers.assemblies.base import BaseModel, assembly_of, states_of
from formers.assemblies.single import Single
from formers.model.base import PreTrainedModel
from formers.nn import spec
from formers.nn.cache import Cache
from formers.nn.fresh import Constant
from formers.nn.masks import Mask, Padding, Prefix, materialise
from formers.nn.tree import leaf, place, place_tensor
from formers.nn.watch import watched
from formers.stacks.stack import Ask, States

_READS = ("input_ids", "attention_mask", "position_ids", "pixel_values", "inputs_embeds")
_MORE = ("past_key_values", "use_cache", "interpolate_pos_encoding", "cache_position")


class Preceded(Single):
    """One stack over an image's states and a text behind them (Wang et al. 2022, arXiv:2205.14100).

    Images see each other; the text sees them, and looks back.

    Args:
        stack: config -> its spec, whose stem is `spec.Preceded`.
        image: path of the image model.
        model_of: a config -> the class without a head of its family.
        frames: config -> how many images of a film are told apart; None where there are no films.
        time: path of what is added to each of their states, `{i}` its number.
    """

    once = ("pixel_values",)

    def __init__(
        self,
        stack: Callable[[Any], spec.Stack],
        image: str,
        model_of: Callable[[Any], type[BaseModel]],
        frames: Callable[[Any], int | None],
        time: str,
    ) -> None:
        super().__init__(stack, spec.Preceded, reads=(*_READS, *_MORE), pools=False)
        self.image, self.model_of, self.frames, self.time = image, model_of, frames, time
        self.means = {**self.means, "pixel_values": "[B, channels, height, width], or [B, frames, ..]."}

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register the stack and the image model."""
        super().place(model, config, pooler, masked)
        own = config.vision_config
        place(model, "image", self.image, self.model_of(own)(own, part=True))
        for i in range(self.frames(config) or 0):
            value = torch.zeros(1, 1, own.hidden_size)
            place_tensor(model, f"time_{i}", self.time.format(i=i), value, Constant(0.0))

    def layer_classes(self, config_class: type[Any]) -> list[str]:
        """Those of both models."""
        own = config_class().vision_config
        images = assembly_of(self.model_of(own)).spec(own).layer_classes
        return [*super().layer_classes(config_class), *images]

    def before(self, model: Any, given: dict[str, Any]) -> int:
        """What the image model makes of each image, or film."""
        pixels, own = given.get("pixel_values"), model.config.vision_config
        if not isinstance(pixels, Tensor):
            return 0
        stem = assembly_of(self.model_of(own)).spec(own).stem
        assert isinstance(stem, spec.Patches)
        down, across = pixels.shape[-2] // stem.patch[0], pixels.shape[-1] // stem.patch[1]
        return int((down * across + stem.before) * (pixels.shape[1] if pixels.dim() == 5 else 1))

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Read the images, if any, and then the text behind them.

        Raises:
            ValueError: for images where a text was begun already, or as many as do not fit the texts.
        """
        ask.padded = watched(model) if ask.padded is None else ask.padded
        pixels, stretch = given.pop("pixel_values", None), given.pop("interpolate_pos_encoding", None)
        past, mask = given.get("past_key_values"), given.get("attention_mask")
        held = past.before if isinstance(past, Cache) else 0
        given["held"] = held
        if pixels is None:
            if held and isinstance(mask, Tensor) and mask.dim() == 2:
                given["attention_mask"] = nn.functional.pad(mask, (held, 0), value=1)
            return super().run(model, given, ask)
        if isinstance(past, Cache) and past.get_seq_length():
            raise ValueError("images stand before a text, and this one has begun: leave pixel_values out")
        rows = self._seen(model, pixels, stretch, ask)
        text = given.get("input_ids") if given.get("inputs_embeds") is None else given["inputs_embeds"]
        batch, length = text.shape[:2] if isinstance(text, Tensor) else (rows.shape[0], 0)
        if batch % rows.shape[0]:
            raise ValueError(f"there are {len(rows)} images and {batch} texts: give one for each text")
        given["before"] = rows.repeat(batch // rows.shape[0], 1, 1)
        given["attention_mask"] = _mask(mask, batch, rows.shape[1], length, rows.device)
        states = super().run(model, given, ask)
        if states.cache is not None:
            states.cache.before = rows.shape[1]
        return states

    def _seen(self, model: Any, pixels: Tensor, stretch: Any, ask: Ask) -> Tensor:
        """The states of every image, those of a film one after the other: [B, P, E]."""
        part, films = leaf(model, "image"), pixels.dim() == 5

        def read(images: Tensor) -> Tensor:
            reads = {"pixel_values": images, "interpolate_pos_encoding": stretch}
            how = Ask(backend=ask.backend, rows=False, padded=ask.padded)
            return states_of(part, reads, how).last

        if not films:
            return read(pixels)
        most = self.frames(model.config) or 0
        if pixels.shape[1] > most:
            raise ValueError(
                f"pixel_values have {pixels.shape[1]} frames, but num_image_with_embedding is {most}"
            )
        each = [read(frame) + leaf(model, f"time_{i}") for i, frame in enumerate(pixels.unbind(1))]
        return torch.cat(each, dim=1)


def _mask(mask: Any, batch: int, before: int, length: int, device: torch.device) -> Tensor:
    """What images and the text behind them see, [B, 1, P + T, P + T], bool."""
    if isinstance(mask, Tensor) and mask.dim() != 2:
        raise ValueError(f"beside images attention_mask is [B, T], not {list(mask.shape)}")
    found: Mask = Prefix(torch.full((batch,), before, device=device))
    if mask is not None:
        found = found & Padding(nn.functional.pad(mask.bool(), (before, 0), value=True))
    at = torch.arange(before + length, device=device)
    written = materialise(found, batch, at, at)
    assert written is not None
    return written
