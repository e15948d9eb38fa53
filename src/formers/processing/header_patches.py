"""Pictures of any form as patches that say where they stand, with questions written above them."""

from __future__ import annotations

import math
import textwrap
from io import BytesIO
from typing import Any, ClassVar

import numpy as np

from formers.core.extras import need
from formers.hub import Source
from formers.processing import steps
from formers.processing.features import BatchFeature
from formers.processing.image import BaseImageProcessor, Sizes
from formers.processing.reading import as_pillow_or_array, channels_last, listed, pillow
from formers.processing.sizes import size_of

FONT = ("ybelkada/fonts", "Arial.TTF")  # in which the questions of published checkpoints were written
_LETTERS, _LINE, _ROOM = 36, 80, 5  # pixels of a letter, letters of a line, pixels around


class HeadedImageProcessor(BaseImageProcessor):
    """Pictures as their patches, as many of `patch_size` pixels as `max_patches` allows, in their own form.

    Lee et al. 2022, arXiv:2210.03347, section 2.2. Each picture is normalised by its own mean and deviation.
    A call returns `flattened_patches` [B, max_patches, 2 + numbers of a patch], float32, whose first two
    numbers are its row and column from 1 on, and `attention_mask`, float32, 1 where there is a patch.
    """

    model_input_names: ClassVar[list[str]] = ["flattened_patches", "attention_mask"]
    is_vqa: bool

    def preprocess(  # type: ignore[override]  # headers in place of maps
        self,
        images: Any,
        header_text: Any = None,
        font_bytes: Any = None,
        font_path: Any = None,
        **options: Any,
    ) -> BatchFeature:
        """Prepare pictures; see `BaseImageProcessor.preprocess`.

        Args:
            images: one picture or a list.
            header_text: what is written above them, or above each; where `is_vqa`, and only there.
            font_bytes: of a TrueType file, in whose letters that is written.
            font_path: of such a file; without both, the file of the published checkpoints, from the Hub.
            **options: settings for this call, and `return_tensors`.

        Raises:
            TypeError: for an unknown keyword.
            ValueError: for pictures and headers that do not fit, or a setting that has no effect.
        """
        if options.get("do_resize") is False:
            raise ValueError("pictures are always resized to whole patches: leave do_resize out")
        asks = options.get("is_vqa")
        if self.is_vqa if asks is None else asks:
            images = self._headed(images, header_text, options, font_bytes, font_path)
        elif header_text is not None or font_bytes is not None or font_path is not None:
            raise ValueError("nothing is written above pictures unless is_vqa=True: leave header_text out")
        return self._prepared(images, None, options)

    def render_header(self, image: Any, header: str, font_bytes: Any = None, font_path: Any = None) -> Any:
        """A picture with a text above it, as wide as the wider of both: uint8 [3, H, W]."""
        image = as_pillow_or_array(image, 0, 1)
        if isinstance(image, np.ndarray):
            image = channels_last(image, None)
        return steps.pixels(_above(image, header, _letters(font_bytes, font_path))).transpose(2, 0, 1)

    def _headed(self, images: Any, headers: Any, options: dict[str, Any], *font: Any) -> list[Any]:
        pictures = listed(images)
        if headers is None:
            raise ValueError("this model reads questions that are written above pictures: pass header_text=")
        told = [headers] * len(pictures) if isinstance(headers, str) else list(headers)
        if len(told) != len(pictures) or not all(isinstance(one, str) for one in told):
            raise ValueError(
                f"header_text is a text, or one for each of the {len(pictures)} pictures, but there are "
                f"{len(told)}, of which {sum(isinstance(one, str) for one in told)} are texts"
            )
        letters, found = _letters(*font), []
        for place, (one, header) in enumerate(zip(pictures, told, strict=True)):
            image = as_pillow_or_array(one, place, len(pictures), options.get("timeout"))
            if isinstance(image, np.ndarray):
                image = channels_last(image, options.get("input_data_format"))
            found.append(_above(image, header, letters))
        return found

    def _pixel_values(
        self, images: Any, now: dict[str, Any], call: dict[str, Any]
    ) -> tuple[dict[str, Any], list[Sizes]]:
        plain = dict.fromkeys(("do_resize", "do_rescale", "do_normalize", "do_pad"), False)
        pictures, sizes = super()._pixel_values(
            images, {**now, **plain}, {**call, "return_tensors": None, "data_format": None}
        )
        most, rows = now["max_patches"], []
        if isinstance(most, bool) or not isinstance(most, int) or most < 1:
            raise ValueError(f"max_patches is a whole number from 1 on, not {most!r}")
        edges = size_of(now["patch_size"], "patch_size")
        for one in pictures["pixel_values"]:
            one = one.astype(np.float32)
            if now["do_normalize"]:
                one = (one - one.mean()) / max(one.std(), 1.0 / math.sqrt(one.size))
            rows.append(_patches(one, edges["height"], edges["width"], most))
        masks = [(one.sum(axis=-1) != 0).astype(np.float32) for one in rows]
        return {"flattened_patches": rows, "attention_mask": masks}, sizes


def _letters(font_bytes: Any, font_path: Any) -> Any:
    """The letters that texts are written in.

    Raises:
        OSError: where there is no such file.
        MissingExtra: without Pillow.
    """
    fonts = need("PIL.ImageFont", "vision", "writing texts above pictures")
    if font_path is None and font_bytes is None:
        try:
            font_path = str(Source.of(FONT[0]).get(FONT[1]))
        except OSError as error:
            raise OSError(
                f"letters to write with cannot be had ({error}): pass font_path=, a TrueType file"
            ) from error
    return fonts.truetype(font_path or BytesIO(font_bytes), encoding="UTF-8", size=_LETTERS)


def _above(image: Any, header: str, letters: Any) -> Any:
    """A picture below a text, both as wide as the wider of them: a Pillow image."""
    image = steps.to_rgb(image)
    image = steps.as_pillow(image)[0] if isinstance(image, np.ndarray) else image
    text = _written(header, letters)
    width = max(text.width, image.width)
    down, above = (int(one.height * (width / one.width)) for one in (image, text))
    made = pillow().new("RGB", (width, down + above), "white")
    made.paste(text.resize((width, above)), (0, 0))
    made.paste(image.resize((width, down)), (0, above))
    return made


def _written(text: str, letters: Any) -> Any:
    """A text in black on white, in lines of 80 letters at most."""
    lines = "\n".join(textwrap.wrap(text, _LINE))
    draw = need("PIL.ImageDraw", "vision", "writing texts above pictures").Draw
    _, _, width, height = draw(pillow().new("RGB", (1, 1))).textbbox((0, 0), lines, font=letters)
    made = pillow().new("RGB", (int(width) + 2 * _ROOM, int(height) + 2 * _ROOM), "white")
    draw(made).text((_ROOM, _ROOM), lines, fill="black", font=letters)
    return made


def _patches(image: Any, down: int, across: int, most: int) -> Any:
    """A picture [C, H, W], float32, as `most` patches of `down` x `across` pixels, zeros behind the last."""
    import torch
    from torch.nn.functional import interpolate

    channels, height, width = image.shape
    scale = math.sqrt(most * (down / height) * (across / width))
    rows = max(min(int(scale * height / down), most), 1)
    columns = max(min(int(scale * width / across), most), 1)
    size = rows * down, columns * across
    drawn = interpolate(torch.from_numpy(image)[None], size, mode="bilinear", antialias=True)
    cut = drawn.numpy().reshape(channels, rows, down, columns, across).transpose(1, 3, 2, 4, 0)
    places = np.indices((rows, columns)).reshape(2, -1).T + 1
    found = np.concatenate((places, cut.reshape(rows * columns, -1)), axis=1).astype(np.float32)
    return np.pad(found, ((0, most - len(found)), (0, 0)))
