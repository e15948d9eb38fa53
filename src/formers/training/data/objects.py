"""The collator of pictures with the objects that they show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass
class DataCollatorForObjectDetection:
    """Pictures of any sizes at the upper left of equal rooms, with a mask; what they show stays apart.

    It reads what image processors of detectors return, one picture or a batch of them in each example, or
    examples of a dataset that holds such. With a `Trainer`, `remove_unused_columns=False` keeps the columns
    that a transform reads, and `eval_do_concat_batches=False` predictions of batches of different sizes.

    Attributes:
        label: name of what each picture shows.
        masked: there is a `pixel_mask`; models that read pictures of one size alone take none.
    """

    label: str = "labels"
    masked: bool = True

    def __call__(self, features: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Make a batch.

        Args:
            features: with `pixel_values` [C, height, width] each (or [1, C, height, width]), perhaps
                `pixel_mask` [height, width], and perhaps `labels`, a dictionary (or a list of one).

        Returns:
            `pixel_values` [B, C, height, width], `pixel_mask` [B, height, width], int64, 1 at pixels that are
            no padding, and `labels`, a list of dictionaries of tensors.

        Raises:
            ValueError: for no examples, and such as do not hold one picture.
        """
        if not features:
            raise ValueError("a batch needs at least one example, got none")
        pixels, seen = [_one(row, "pixel_values", 3) for row in features], []
        for row, picture in zip(features, pixels, strict=True):
            told = row.get("pixel_mask") is not None
            seen.append(_one(row, "pixel_mask", 2) if told else torch.ones(picture.shape[1:]))
        down, across = (max(one.shape[axis] for one in pixels) for axis in (1, 2))
        room = [(0, across - one.shape[2], 0, down - one.shape[1]) for one in pixels]
        padded = [F.pad(one, sides) for one, sides in zip(pixels, room, strict=True)]
        made: dict[str, Any] = {"pixel_values": torch.stack(padded)}
        if self.masked:
            masks = [F.pad(one.long(), sides) for one, sides in zip(seen, room, strict=True)]
            made["pixel_mask"] = torch.stack(masks)
        if any(row.get(self.label) is not None for row in features):
            made[self.label] = [_shown(row, self.label) for row in features]
        return made


def _one(row: Mapping[str, Any], name: str, axes: int) -> Tensor:
    """A tensor of so many axes; a batch of one is taken apart."""
    value = row.get(name)
    if isinstance(value, (list, tuple)) and len(value) == 1:
        value = value[0]
    found = torch.as_tensor(value) if value is not None else torch.zeros(())
    found = found[0] if found.dim() == axes + 1 and len(found) == 1 else found
    if found.dim() != axes:
        raise ValueError(
            f"every example holds {name} with {axes} axes, but one has {list(found.shape) or 'none'}: make "
            "them with the image processor, return_tensors='pt'"
        )
    return found


def _shown(row: Mapping[str, Any], label: str) -> dict[str, Tensor]:
    """What one picture shows, as tensors."""
    value = row.get(label)
    if isinstance(value, (list, tuple)) and len(value) == 1:
        value = value[0]
    if not isinstance(value, Mapping):
        raise ValueError(
            f"{label} of every example is a dictionary (class_labels, boxes), not {type(value).__name__}: "
            "give the image processor the annotations"
        )
    return {name: torch.as_tensor(one) for name, one in value.items()}
