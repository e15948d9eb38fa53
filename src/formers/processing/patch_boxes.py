"""Boxes in texts as the tokens of the patches at two of their corners (Peng et al. 2023, arXiv:2306.14824).

A picture is a square grid of patches, numbered row by row: `<patch_index_0044>`. A phrase stands in
`<phrase>..</phrase>`, and its boxes behind it in `<object>..</object>`, with a mark between two of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

PHRASE, PHRASE_END, OBJECT, OBJECT_END = "<phrase>", "</phrase>", "<object>", "</object>"
NEXT = "</delimiter_of_multi_objects/>"
_PAIR = r"<patch_index_(\d+)><patch_index_(\d+)>"
_PAIRS = rf"(?:<patch_index_\d+><patch_index_\d+>{re.escape(NEXT)})*<patch_index_\d+><patch_index_\d+>"
_NAMED = re.compile(rf"(?:{PHRASE}([^<]+){PHRASE_END})?{OBJECT}({_PAIRS}){OBJECT_END}")
_WHOLE_PHRASE = re.compile(rf"{PHRASE}.+?{PHRASE_END}")
_MARK = re.compile(r"<.*?>")
_FORM = (
    "the boxes of a text are a list with an entry for each phrase: None, a box, or a list of boxes; a box is "
    "a tuple of two patches, or of four shares of the picture (left, top, right, bottom)"
)

Box = tuple[float, float, float, float]


def patch_token(index: int) -> str:
    """The token of a patch."""
    return f"<patch_index_{index:04d}>"


def patches_of(box: Any, side: int) -> tuple[int, int]:
    """The patches at the upper left and the lower right corner of a box.

    Args:
        box: those two already, or shares of the picture: left, top, right, bottom.
        side: patches along a side.

    Raises:
        ValueError: for what is no box, and one that is empty or not within the picture.
    """
    kind: type[Any] = Integral if isinstance(box, tuple) and len(box) == 2 else Real
    if not isinstance(box, tuple) or len(box) not in (2, 4) or not all(isinstance(one, kind) for one in box):
        raise ValueError(f"{box!r} is no box: {_FORM}")
    if len(box) == 2:
        first, last = (int(one) for one in box)
        if not (0 <= first < side**2 and 0 <= last < side**2):
            raise ValueError(f"the box {box} names patches that are not there: they are 0 to {side**2 - 1}")
        return first, last
    left, top, right, bottom = box
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise ValueError(
            f"the box {box} has no place in the picture: left < right and top < bottom are shares of it, "
            "from 0 to 1"
        )
    first = math.floor(top * side) * side + math.floor(left * side)
    return first, math.ceil(bottom * side - 1) * side + math.ceil(right * side - 1)


def shares_of(first: int, last: int, side: int) -> Box:
    """The box between two patches as shares of the picture: from their middles, or from edge to edge.

    The latter where both stand in one row or column.
    """
    cell = 1.0 / side
    (top, left), (bottom, right) = divmod(first, side), divmod(last, side)
    if top == bottom or left == right:
        return left * cell, top * cell, right * cell + cell, bottom * cell + cell
    half = cell / 2
    return left * cell + half, top * cell + half, right * cell + half, bottom * cell + half


def with_boxes(text: str, boxes: Any, side: int) -> str:
    """A text with the tokens of boxes behind its phrases; None or nothing for a text without.

    Raises:
        ValueError: for more or fewer entries than phrases, and what is no box.
    """
    if boxes is None:
        return text
    if not isinstance(boxes, list):
        raise ValueError(f"{boxes!r} are no boxes of a text: {_FORM}")
    if not boxes:
        return text
    phrases = [found.end() for found in _WHOLE_PHRASE.finditer(text)]
    if len(phrases) != len(boxes):
        raise ValueError(
            f"the text has {len(phrases)} phrases ({PHRASE}..{PHRASE_END}), and there are boxes for "
            f"{len(boxes)}: give an entry for each, None for one without boxes"
        )
    written, at = list[str](), 0
    for end, each in zip(phrases, boxes, strict=True):
        written.append(text[at:end])
        at = end
        several = [] if each is None else each if isinstance(each, list) else [each]
        if several:
            tokens = (" ".join(map(patch_token, patches_of(box, side))) for box in several)
            written.append(f"{OBJECT} {f' {NEXT} '.join(tokens)} {OBJECT_END}")
    return "".join((*written, text[at:]))


def without_marks(text: str, side: int) -> tuple[str, list[tuple[str, tuple[int, int], list[Box]]]]:
    """What was written as it is to be read, and what it names.

    Args:
        text: with marks.
        side: patches along a side.

    Returns:
        The text without marks and without blanks around it, and for each phrase with boxes: itself, from
        which to which letter of that text it stands, and its boxes as shares of the picture. A box without a
        phrase is named by its patches, and stands between two letters.
    """
    clean = _MARK.sub("", text)
    cut, named = len(clean) - len(clean.lstrip()), list[tuple[str, tuple[int, int], list[Box]]]()

    def place(index: int) -> int:
        return len(_MARK.sub("", text[:index])) - cut

    for found in _NAMED.finditer(text):
        pairs = [(int(one), int(two)) for one, two in re.findall(_PAIR, found[2])]
        boxes = [shares_of(one, two, side) for one, two in pairs]
        phrase = found[1]
        if phrase is None:
            at = place(found.start())
            for (one, two), box in zip(pairs, boxes, strict=True):
                named.append((f"<patch_index_{one}><patch_index_{two}>", (at, at), [box]))
            continue
        start = place(found.start(1)) + len(phrase) - len(phrase.lstrip())
        end = place(found.end(1)) - (len(phrase) - len(phrase.rstrip()))
        named.append((phrase.strip(), (start, end), boxes))
    return clean.strip(), named


def boxes_of_each(boxes: Any, count: int) -> Sequence[Any]:
    """The boxes of each of several texts.

    Raises:
        ValueError: for boxes of more or fewer texts.
    """
    if boxes is None:
        return [None] * count
    if not isinstance(boxes, list) or len(boxes) != count:
        raise ValueError(
            f"bboxes of {count} texts are a list with an entry for each text, None for one without: {_FORM}"
        )
    return boxes
