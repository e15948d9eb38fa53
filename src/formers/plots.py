"""Answers drawn onto their picture for people to look at: labels, boxes, masks, depths. On Pillow alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from formers.core.extras import need
from formers.processing.reading import load_image

# told apart by people who see few colours too (Wong 2011, Nature Methods 8:441)
_COLOURS = (
    *((0, 114, 178), (230, 159, 0), (0, 158, 115), (213, 94, 0), (204, 121, 167)),
    *((86, 180, 233), (240, 228, 66), (120, 120, 120)),
)
_INK, _PAPER = (30, 30, 30), (255, 255, 255)
_NEAR, _FAR = np.array([13, 8, 135]), np.array([240, 249, 33])  # ends of the ramp of depths
_SMALLEST = 320  # pixels across, so that words can be read


def draw(image: Any, answers: Any, least: float = 0.0) -> Any:
    """The picture with what a pipeline answered for it.

    Args:
        image: as `formers.load_image` takes it, or an array.
        answers: what a pipeline gave for this one: labels with scores, boxes or masks; a depth; a picture; or
            the error in its place.
        least: answers with a smaller score are left out.

    Returns:
        A Pillow image in mode "RGB"; small pictures are enlarged.

    Raises:
        TypeError: for answers that no pipeline gives for one picture.
    """
    picture, scale = _enlarged(_opened(image))
    if hasattr(answers, "getbands"):
        return side_by_side([picture, answers.convert("RGB").resize(picture.size)])
    if isinstance(answers, Mapping) and "depth" in answers:
        return side_by_side([picture, _ramp(answers["depth"]).resize(picture.size)])
    if isinstance(answers, Mapping) and "error" in answers:
        return _with_lines(picture, [(str(answers["error"]), None, _COLOURS[3])])
    if isinstance(answers, Mapping):
        answers = [answers]
    if not isinstance(answers, Sequence) or not all(isinstance(one, Mapping) for one in answers):
        raise TypeError(
            "answers for one picture are a list of labels, boxes or masks, a depth or a picture, not "
            f"{repr(answers)[:80]}"
        )
    kept = [one for one in answers if one.get("score") is None or one["score"] >= least]
    names = list(dict.fromkeys(str(one.get("label", "")) for one in kept))
    colours = {name: _COLOURS[place % len(_COLOURS)] for place, name in enumerate(names)}
    lines = []
    for one in reversed(kept):  # the best one is drawn last, above the others
        colour = colours[str(one.get("label", ""))]
        if one.get("mask") is not None:
            picture = _tinted(picture, one["mask"], colour)
        elif one.get("box") is not None:
            _box(picture, one, scale, colour)
            continue
        lines.append((str(one.get("label", "")), one.get("score"), colour))
    return _with_lines(picture, lines[::-1])


def side_by_side(pictures: Sequence[Any], captions: Sequence[str] = (), across: int = 0) -> Any:
    """Pictures in rows of `across` (0: one row), each with its caption below: a Pillow image.

    A caption that begins with "!" is written in red, without that sign.
    """
    across = across or len(pictures)
    wide, high = (max(one.size[axis] for one in pictures) for axis in (0, 1))
    font = _font(14)
    line = 20 if captions else 0
    room = max([wide, *(int(font.getlength(one.lstrip("!"))) + 6 for one in captions)])
    rows, gap = -(-len(pictures) // across), 6
    size = (across * (room + gap) - gap, rows * (high + line + gap) - gap)
    sheet = need("PIL.Image", "vision").new("RGB", size, _PAPER)
    pen = need("PIL.ImageDraw", "vision").Draw(sheet)
    for place, one in enumerate(pictures):
        left, top = place % across * (room + gap), place // across * (high + line + gap)
        sheet.paste(one.convert("RGB"), (left, top))
        if captions:
            wrong = captions[place].startswith("!")
            pen.text(
                (left, top + high + 1),
                captions[place].lstrip("!"),
                fill=_COLOURS[3] if wrong else _INK,
                font=font,
            )
    return sheet


def _opened(image: Any) -> Any:
    if hasattr(image, "detach"):
        image = image.detach().cpu().numpy()
    if isinstance(image, np.ndarray):
        if image.ndim == 3 and image.shape[0] in (1, 3) and image.shape[-1] not in (1, 3, 4):
            image = image.transpose(1, 2, 0)
        if image.dtype.kind == "f" and image.max() <= 1:
            image = image * 255
        image = need("PIL.Image", "vision").fromarray(np.squeeze(image).clip(0, 255).astype(np.uint8))
    return load_image(image)


def _enlarged(picture: Any) -> tuple[Any, float]:
    """A copy that is wide enough for words, and how much larger it is."""
    scale = max(1.0, _SMALLEST / picture.width)
    size = (round(picture.width * scale), max(1, round(picture.height * scale)))
    return (picture.resize(size, 0) if scale > 1 else picture.copy()), scale


def _font(size: int) -> Any:
    return need("PIL.ImageFont", "vision").load_default(size)


def _ramp(depth: Any) -> Any:
    """A grey picture in colours, dark where it is black."""
    share = (np.asarray(depth.convert("L"), np.float32) / 255)[..., None]
    return need("PIL.Image", "vision").fromarray((_NEAR + share * (_FAR - _NEAR)).astype(np.uint8))


def _tinted(picture: Any, mask: Any, colour: tuple[int, int, int]) -> Any:
    """Half of the colour where the mask is, and its edge."""
    image = need("PIL.Image", "vision")
    mask = (
        mask if hasattr(mask, "getbands") else image.fromarray((np.asarray(mask) > 0).astype(np.uint8) * 255)
    )
    inside = np.asarray(mask.convert("L").resize(picture.size, 0)) > 127
    found = np.asarray(picture).astype(np.float32)
    found[inside] = 0.5 * found[inside] + 0.5 * np.array(colour)
    edge = np.zeros_like(inside)
    for axis in (0, 1):
        edge |= inside & ~(np.roll(inside, 1, axis) & np.roll(inside, -1, axis))
    found[edge] = colour
    return image.fromarray(found.astype(np.uint8))


def _box(picture: Any, one: Mapping[str, Any], scale: float, colour: tuple[int, int, int]) -> None:
    pen, font = need("PIL.ImageDraw", "vision").Draw(picture), _font(14)
    corners = [one["box"][name] * scale for name in ("xmin", "ymin", "xmax", "ymax")]
    left, right = sorted(corners[::2])
    top, bottom = sorted(corners[1::2])
    pen.rectangle((left, top, right, bottom), outline=colour, width=max(2, picture.width // 250))
    said = _said(str(one.get("label", "")), one.get("score"))
    at = (max(0, left), max(0, top - 18))
    pen.rectangle((at[0], at[1], at[0] + font.getlength(said) + 6, at[1] + 18), fill=colour)
    pen.text((at[0] + 3, at[1]), said, fill=_INK if sum(colour) > 420 else _PAPER, font=font)


def _said(label: str, score: Any) -> str:
    return label if score is None else f"{label} {score:.2f}"


def _with_lines(picture: Any, lines: Sequence[tuple[str, Any, tuple[int, int, int]]]) -> Any:
    """The picture with a line below for each label: a bar as long as its score, and what it says."""
    if not lines:
        return picture
    high, font = 22, _font(15)
    size = (picture.width, picture.height + high * len(lines) + 4)
    sheet = need("PIL.Image", "vision").new("RGB", size, _PAPER)
    sheet.paste(picture, (0, 0))
    pen = need("PIL.ImageDraw", "vision").Draw(sheet)
    for place, (label, score, colour) in enumerate(lines):
        top = picture.height + 4 + place * high
        share = 1.0 if score is None else min(1.0, max(0.0, float(score)))
        faint = tuple(255 - (255 - one) // 3 for one in colour)
        pen.rectangle((0, top, max(2, share * picture.width), top + high - 4), fill=faint)
        pen.text((6, top), _said(label, score), fill=_INK, font=font)
    return sheet
