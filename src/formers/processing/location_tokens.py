"""Places in pictures that models write into texts as `<loc_17>`: boxes, quadrangles and polygons.

Xiao et al. 2023, arXiv:2311.06242, section 3.1: an edge of a picture has 1000 places.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

_PLACES = 1000
_PLACE = r"<loc_(\d+)>"
_BOX = re.compile(_PLACE * 4)
_SEVERAL = r"(?:<loc_\d+>){4,}"
_QUADRANGLE = r"(.+?)" + _PLACE * 8
_OPEN, _CLOSE, _NEXT = "<poly>", "</poly>", "<sep>"
_MARK = rf"(?:<loc_\d+>|{_NEXT}|{_OPEN}|{_CLOSE}){{4,}}"
# what ends the words before places
_ENDS = r"<od>|</od>|<box>|</box>|<bbox>|</bbox>|<loc_"
_AROUND = re.compile(r"<s>|</s>|<pad>")


def pixels(numbers: Sequence[int], size: tuple[int, int]) -> list[int]:
    """Across and down by turns, as pixels of a picture of that width and height: the middle of each place."""
    each = np.array([size[i % 2] / _PLACES for i in range(len(numbers))], dtype=np.float32)
    found: list[int] = ((np.array(numbers, dtype=np.float32) + np.float32(0.5)) * each).astype(int).tolist()
    return found


def words_before(part: str, more: str = "") -> str | None:
    """What stands before the first place; None where no place follows."""
    found = re.match(rf"\s*(.*?)(?={_ENDS}{more})", part)
    return None if found is None else found.group().strip()


def boxes(text: str, size: tuple[int, int], bare: bool = False) -> Iterator[tuple[str, list[list[int]]]]:
    """What is named, and the boxes behind it; `bare` boxes have no names."""
    for part in re.findall(_SEVERAL if bare else rf"[^<]+{_SEVERAL}", text):
        name = words_before(part)
        found = [pixels([int(one) for one in match.groups()], size) for match in _BOX.finditer(part)]
        if name is not None and found:
            yield name.encode("ascii", "ignore").decode("ascii"), found


def polygons(text: str, size: tuple[int, int], bare: bool = False) -> list[dict[str, Any]]:
    """What is named, and the polygons behind it: `cat_name` and `polygons`, a list for each that is drawn."""
    found = list[dict[str, Any]]()
    for part in re.findall(_MARK if bare else rf"[^<]+{_MARK}", text):
        rest = re.sub(r"^<loc_\d+>", "", part, count=1)
        name = words_before(rest, f"|{_OPEN}") if rest or bare else None
        if name is None:
            continue
        whole = _OPEN in part and _CLOSE in part
        for drawn in re.findall(rf"{_OPEN}(.*?){_CLOSE}", part) if whole else [part]:
            each = [
                [int(one) for one in re.findall(_PLACE, run)]
                for run in re.findall(rf"((?:<loc_\d+>)+)(?:{_NEXT}|$)", drawn)
            ]
            if each:
                shapes = [pixels(one[: len(one) // 2 * 2], size) for one in each]
                found.append({"cat_name": name, "polygons": shapes})
    return found


def quadrangles(
    text: str, size: tuple[int, int], pattern: str | None = None, least: float = 0.0
) -> list[dict[str, Any]]:
    """Words and the four corners around them: `text` and `quad_box`.

    Args:
        text: what was written.
        size: width and height of the picture.
        pattern: of words and eight numbers, where it is not the usual one.
        least: share of the picture below which a quadrangle is left out.
    """
    found = list[dict[str, Any]]()
    for words, *numbers in re.findall(pattern or _QUADRANGLE, text):
        corners = pixels([int(one) for one in numbers], size)
        across, down = corners[::2], corners[1::2]
        twice = sum(across[i] * down[i + 1] - across[i + 1] * down[i] for i in range(3))
        if least <= 0 or 0.5 * abs(twice) >= size[0] * size[1] * least:
            found.append({"quad_box": corners, "text": words.strip()})
    return found


def answer(
    text: str, kind: str, size: tuple[int, int] | None, settings: Mapping[str, Any], unwanted: Collection[str]
) -> Any:
    """What a model wrote, by the kind of answer.

    Args:
        text: with the special tokens that places are written by.
        kind: "pure_text", "ocr", "phrase_grounding", "polygons", "bboxes", or "description_with_bboxes",
            "description_with_polygons", "description_with_bboxes_or_polygons".
        size: width and height of the picture in pixels.
        settings: of that kind, by the names in files: `PATTERN`, `AREA_THRESHOLD`.
        unwanted: words that name nothing that could be found.

    Raises:
        ValueError: without a size where places are written; for a kind that is not known.
    """
    if kind == "pure_text":
        return text.replace("<s>", "").replace("</s>", "").strip()
    if size is None or len(size) != 2:
        raise ValueError(
            f"places are written by shares of a picture: pass image_size=(width, height), not {size}"
        )
    text = _AROUND.sub("", text)
    if kind == "ocr":
        each = quadrangles(text, size, settings.get("PATTERN"), settings.get("AREA_THRESHOLD", 0.0))
        return {
            name: [one[key] for one in each] for name, key in (("quad_boxes", "quad_box"), ("labels", "text"))
        }
    if kind in ("phrase_grounding", "bboxes", "description_with_bboxes"):
        named = boxes(text, size, kind == "bboxes")
        kept = [pair for pair in named if kind != "phrase_grounding" or pair[0] not in unwanted]
        return {
            "bboxes": [box for _, several in kept for box in several],
            "labels": [name for name, several in kept for _ in several],
        }
    if kind in ("polygons", "description_with_polygons"):
        drawn = polygons(text, size, kind == "polygons")
        return {"polygons": [one["polygons"] for one in drawn], "labels": [one["cat_name"] for one in drawn]}
    if kind == "description_with_bboxes_or_polygons":
        drawn = polygons(text, size) if _OPEN in text else []
        named_boxes = (
            [] if _OPEN in text else [(name, box) for name, all_ in boxes(text, size) for box in all_]
        )
        return {
            "bboxes": [box for _, box in named_boxes],
            "bboxes_labels": [name for name, _ in named_boxes],
            "polygons": [one["polygons"] for one in drawn],
            "polygons_labels": [one["cat_name"] for one in drawn],
        }
    raise ValueError(f"there is no kind of answers {kind!r}")
