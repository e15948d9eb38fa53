"""What a family does to a picture, as data: the settings it starts from, and how it finds the size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any, Literal

IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
IMAGENET_STANDARD_MEAN = IMAGENET_STANDARD_STD = [0.5, 0.5, 0.5]
OPENAI_CLIP_MEAN, OPENAI_CLIP_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
NEAREST, LANCZOS, BILINEAR, BICUBIC = 0, 1, 2, 3  # numbers of Pillow's filters


class PILImageResampling(IntEnum):
    """Pillow's filters by their names, without Pillow."""

    NEAREST = NEAREST
    LANCZOS = LANCZOS
    BILINEAR = BILINEAR
    BICUBIC = BICUBIC
    BOX = 4
    HAMMING = 5


# How the size to resize to follows from `size`: as it says; the shortest edge made larger by a share, and cut
# to it (or, from 384 on, warped); larger by a share alone; larger by 256 / 224; whole multiples near it; the
# nearest whole multiples below the picture's own; as it says, of a square in which the picture lies, blurred;
# as many patches as there may be at most; the shortest edge as the shortest of both; what `size`
# says, to the nearest pixel; whole multiples of 16 below what it says, unless it says both edges; the
# shortest edge as it says, the longest 1333 / 800 of that at most, both cut to whole multiples; as it says,
# and up to whole multiples; whole blocks of patches, as many pixels as `size` allows, in each frame
# or in all; within what `size` says, and up to whole patches.
Fit = Literal[
    "size",
    "shared crop",
    "share",
    "eighth",
    "multiples",
    "floor",
    "blurred square",
    "patches",
    "narrow",
    "nearest",
    "sixteens",
    "cut to multiples",
    "up to multiples",
    "pixels",
    "film pixels",
    "whole patches",
]


@dataclass(frozen=True)
class Recipe:
    """One family's processor.

    Attributes:
        settings: the values it starts from, by the names of `preprocessor_config.json`.
        fit: how the size is found.
        square: whether a single number as `size` means both edges; else it is the shortest.
        maps: whether segmentation maps are taken.
        films: films are taken, whose frames are the pictures; `paired`: pairs of pictures are.
        framed: pictures stand in the middle of rooms of `size`, with zeros around; a pair is (width, height).
        thumbnail: filter by which pictures are made to fit into their rooms; None for that of resizing.
        blue_first: channels come in the order blue, green, red, always.
        objects: annotations of objects are taken.
        segments: maps of segments are taken, of which masks and labels are made.
        masks: what is padded is as large as the largest, and comes with `pixel_mask`.
        tasked: so are tasks, and texts are made too.
        mirrored: pictures are padded below and to the right by themselves, by one pixel at least.
        scanned: crops of long pictures stand behind them where settings say so; how many comes along.
        ringed: pictures are mirrored around by `do_pad`, and resized so that corners' centres stay there.
        pointed: sizes come along, by which points find their places, and masks the pictures' sizes.
        stretched: they fill the size that is read, whatever their form.
        pinned: pictures are read whole, and in tiles of one of the sizes that `image_grid_pinpoints` names;
            `alone`: those that are not alone in their list are not cut.
        squares: they come text by text, and are read in squares and whole.
        sized: their sizes come along.
        crops: they are read whole, and in crops of a canvas that they fill from the upper left.
        quarters: likewise in four parts of any size.
        covering: likewise of a canvas in which it lies with the least growth.
        canvas: they are read in tiles of a canvas of their form, and whole.
        forms: they come text by text, and are read in tiles of a canvas, whose form is told by its number.
        model_types: model types whose checkpoints may leave the class out.
        answers: how methods `post_process_..` end -> the function of `answers` that they are.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    fit: Fit = "size"
    square: bool = True
    maps: bool = False
    films: bool = False
    paired: bool = False
    framed: bool = False
    thumbnail: int | None = None
    blue_first: bool = False
    objects: bool = False
    segments: bool = False
    masks: bool = False
    tasked: bool = False
    mirrored: bool = False
    scanned: bool = False
    ringed: bool = False
    pointed: bool = False
    stretched: bool = False
    pinned: Literal["", "always", "alone"] = ""
    squares: bool = False
    quarters: bool = False
    covering: bool = False
    canvas: bool = False
    forms: bool = False
    sized: bool = False
    crops: bool = False
    model_types: tuple[str, ...] = ()
    answers: Mapping[str, str] = field(default_factory=dict)

    def but(self, *model_types: str, fit: Fit | None = None, **settings: Any) -> Recipe:
        """The same for other families, with some settings changed."""
        changed = {**self.settings, **settings}
        return replace(self, settings=changed, fit=fit or self.fit, model_types=model_types)
