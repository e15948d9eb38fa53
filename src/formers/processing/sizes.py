"""Sizes: what `size` may say, and which height and width follow from it for one picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from formers.processing.recipe import Fit

_FORMS = (
    {"height", "width"},
    {"shortest_edge"},
    {"shortest_edge", "longest_edge"},
    {"longest_edge"},
    {"max_height", "max_width"},
)


VALID_SIZE_DICT_KEYS = (*_FORMS, {"min_pixels", "max_pixels"})


class SizeDict(dict[str, int]):
    """A size by its keys, which are attributes too."""

    def __getattr__(self, name: str) -> int | None:
        if name.startswith("_"):
            raise AttributeError(name)
        return self.get(name)


def size_of(value: Any, name: str = "size", square: bool = True) -> SizeDict:
    """Read a size: a number, (height, width) or a dictionary.

    Args:
        value: what was given.
        name: what errors call it.
        square: whether a number means both edges; else it is the shortest.

    Raises:
        ValueError: for anything else, or numbers below 1.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        value = {"height": value, "width": value} if square else {"shortest_edge": value}
    elif isinstance(value, (list, tuple)) and len(value) == 2:
        value = {"height": value[0], "width": value[1]}
    elif isinstance(value, (list, tuple)) and len(value) == 1:
        return size_of(value[0], name, square)
    elif isinstance(value, Mapping):
        value = {key: edge for key, edge in value.items() if edge is not None}
    fits = isinstance(value, Mapping) and set(value) in _FORMS
    if not fits or any(isinstance(edge, bool) or not edge >= 1 for edge in value.values()):
        forms = "; ".join(", ".join(sorted(form)) for form in _FORMS)
        raise ValueError(f"{name} is a number, (height, width), or has the keys {forms}; got {value!r}")
    return SizeDict({key: int(edge) for key, edge in value.items()})


def get_size_dict(
    size: Any = None,
    max_size: int | None = None,
    height_width_order: bool = True,
    default_to_square: bool = True,
    param_name: str = "size",
) -> dict[str, int]:
    """A size as a dictionary, as files of today have it.

    Args:
        size: a number, two of them, or such a dictionary, which stays.
        max_size: the longest edge, where a number means the shortest one.
        height_width_order: two numbers are (height, width); else (width, height).
        default_to_square: a number means both edges; else the shortest.
        param_name: what errors call it.

    Raises:
        ValueError: for anything else.
    """
    if isinstance(size, Mapping):
        found = dict(size)
    elif default_to_square and max_size is not None and (size is None or isinstance(size, int)):
        raise ValueError(f"max_size={max_size} bounds a picture whose {param_name} is no square")
    elif isinstance(size, int):
        found = {"height": size, "width": size} if default_to_square else {"shortest_edge": size}
        found |= {} if max_size is None else {"longest_edge": max_size}
    elif isinstance(size, (list, tuple)) and len(size) >= 2:
        found = dict(
            zip(("height", "width") if height_width_order else ("width", "height"), size[:2], strict=True)
        )
    elif size is None and max_size is not None:
        found = {"longest_edge": max_size}
    else:
        raise ValueError(f"{param_name} is a number, two of them or a dictionary, not {size!r}")
    if set(found) not in VALID_SIZE_DICT_KEYS:
        forms = "; ".join(", ".join(sorted(form)) for form in VALID_SIZE_DICT_KEYS)
        raise ValueError(f"{param_name} has the keys {forms}; got {', '.join(map(str, found))}")
    return found


def is_valid_size_dict(size_dict: Any) -> bool:
    """Whether it is a dictionary with keys of a size."""
    return isinstance(size_dict, Mapping) and set(size_dict) in VALID_SIZE_DICT_KEYS


def _by_shortest(height: int, width: int, edge: int) -> tuple[int, int]:
    longest = int(edge * max(height, width) / min(height, width))
    return (longest, edge) if width <= height else (edge, longest)


def _within(height: int, width: int, edge: int, limit: int) -> tuple[int, int]:
    """The shortest edge at `edge`, unless the longest passes `limit`, which it then has."""
    exact: float = edge
    if max(height, width) / min(height, width) * edge > limit:
        exact = limit * min(height, width) / max(height, width)
        edge = round(exact)
    if min(height, width) == edge:
        return height, width
    longest = int(exact * max(height, width) / min(height, width))
    return (longest, edge) if width < height else (edge, longest)


def by_size(height: int, width: int, size: SizeDict) -> tuple[int, int]:
    """The height and width that a picture gets by `size`."""
    if "height" in size:
        return size["height"], size["width"]
    if "max_height" in size:
        share = min(size["max_height"] / height, size["max_width"] / width)
        return int(height * share), int(width * share)
    if "shortest_edge" not in size:
        share = size["longest_edge"] / max(height, width)
        return max(1, int(height * share)), max(1, int(width * share))
    if "longest_edge" in size:
        return _within(height, width, size["shortest_edge"], size["longest_edge"])
    return _by_shortest(height, width, size["shortest_edge"])


def _multiple(edge: float, step: int, least: int = 0) -> int:
    found = int(round(edge / step) * step)
    return math.ceil(edge / step) * step if found < least else found


def _patched(height: int, width: int, edge: int, most: int) -> tuple[int, int]:
    """The largest whole patches that keep a picture's form, `most` of them at most."""

    def scaled(share: float) -> tuple[int, int]:
        down, across = (max(1, math.ceil(one * share / edge)) for one in (height, width))
        return down, across

    low, high = 1e-6, 100.0
    while high - low >= 1e-5:
        share = (low + high) / 2
        low, high = (share, high) if math.prod(scaled(share)) <= most else (low, share)
    down, across = scaled(low)
    return down * edge, across * edge


def _cut_to(height: int, width: int, edge: int | None, step: int) -> tuple[int, int]:
    """The shortest edge at `edge`, the longest at 1333 / 800 of it at most, and of both whole multiples."""
    if edge is None:
        raise ValueError("size must say the shortest_edge")
    limit, share = int(1333 / 800 * edge), edge / min(height, width)
    sides = [edge if one == min(height, width) else one * share for one in (height, width)]
    over = limit / max(sides)
    down, across = (int((one * over if over < 1 else one) + 0.5) // step * step for one in sides)
    return down, across


def by_pixels(
    height: int, width: int, step: int, least: int, most: int, frames: int = 1, whole: int = 1
) -> tuple[int, int]:
    """Whole multiples of `step` near a picture's edges, of `least` to `most` pixels (arXiv:2409.12191).

    Of a film those are the pixels of all `frames`, or of as many as make `whole` patches.

    Raises:
        ValueError: for a picture that is more than 200 times as long as wide.
    """
    if max(height, width) > 200 * min(height, width):
        raise ValueError(f"a picture of {width} x {height} is more than 200 times as long as it is wide")
    down, across = (round(edge / step) * step for edge in (height, width))
    if whole * down * across > most:
        share = math.sqrt(frames * height * width / most)
        down, across = (max(step, math.floor(edge / share / step) * step) for edge in (height, width))
    elif whole * down * across < least:
        share = math.sqrt(least / (frames * height * width))
        down, across = (math.ceil(edge * share / step) * step for edge in (height, width))
    return down, across


def _up_to_patches(height: int, width: int, size: SizeDict, edges: Any) -> tuple[int, int]:
    """A picture that lies within `size`, and then as many whole patches as it touches.

    Raises:
        ValueError: where `size` says neither the longest edge nor both.
    """
    patch, most = size_of(edges, "patch_size"), size.longest_edge
    high, wide = (most, most) if most is not None else (size.height, size.width)
    if high is None or wide is None:
        raise ValueError(f"size says the longest_edge, or height and width; got {size!r}")
    ratio = max(height / high, width / wide)
    if ratio > 1:
        height, width = math.floor(height / ratio), math.floor(width / ratio)
    down, across = patch["height"], patch["width"]
    return ((height - 1) // down + 1) * down, ((width - 1) // across + 1) * across


def rounded(height: int, width: int, longest: int) -> tuple[int, int]:
    """The longest edge at so many pixels, the other at the nearest whole number."""
    share = longest / max(height, width)
    return int(height * share + 0.5), int(width * share + 0.5)


def fitted(
    fit: Fit, height: int, width: int, size: SizeDict, settings: Mapping[str, Any]
) -> tuple[tuple[int, int], tuple[int, int] | None]:
    """The size that a picture is resized to, and the one that it is then cut to, if any.

    Raises:
        ValueError: where the rule needs another kind of size.
    """
    share = settings.get("crop_pct")
    if fit == "shared crop":
        edge = size.shortest_edge
        if edge is None:
            raise ValueError(f"size must say the shortest_edge, as crop_pct is a share of it; got {size!r}")
        if edge >= 384:
            return (edge, edge), None
        return _by_shortest(height, width, int(edge / (share or 224 / 256))), (edge, edge)
    if fit == "share" and share is not None:
        enlarged = SizeDict({key: int(edge / share) for key, edge in size.items()})
        if enlarged.height is not None and enlarged.height == enlarged.width:
            enlarged = SizeDict(shortest_edge=enlarged.height)
        return by_size(height, width, enlarged), None
    if fit == "eighth" and size.shortest_edge is not None:
        return _by_shortest(height, width, int(256 / 224 * size.shortest_edge)), None
    if fit == "patches":
        return _patched(height, width, settings["patch_size"], settings["max_num_patches"]), None
    if fit in ("pixels", "film pixels"):
        least, most = size.shortest_edge, size.longest_edge
        if least is None or most is None:
            raise ValueError("size must say the fewest pixels as shortest_edge and the most as longest_edge")
        step = settings["patch_size"] * settings["merge_size"]
        if fit == "pixels":
            return by_pixels(height, width, step, least, most), None
        frames, depth = settings["frames"], settings["temporal_patch_size"]
        if frames < depth:
            raise ValueError(f"a film of {frames} frames is too short for patches through {depth}")
        if min(height, width) < step:
            grown = max(step / height, step / width)
            height, width = int(height * grown), int(width * grown)
        return by_pixels(height, width, step, least, most, frames, round(frames / depth) * depth), None
    if fit == "whole patches":
        return _up_to_patches(height, width, size, settings["patch_size"]), None
    if fit == "narrow":
        return _by_shortest(height, width, min(size.values())), None
    if fit == "floor":
        step = settings["size_divisor"]
        if min(height, width) < step:
            raise ValueError(f"a picture of {width} x {height} is smaller than size_divisor={step}")
        return (height // step * step, width // step * step), None
    if fit == "multiples":
        down, across = by_size(height, width, size)
        scales = down / height, across / width
        if settings.get("keep_aspect_ratio"):  # as little as possible is changed
            nearest = min(scales, key=lambda scale: abs(1 - scale))
            scales = nearest, nearest
        step = settings.get("ensure_multiple_of") or 1
        return (_multiple(scales[0] * height, step), _multiple(scales[1] * width, step)), None
    if fit == "cut to multiples":
        return _cut_to(height, width, size.shortest_edge, settings.get("size_divisor") or 1), None
    if fit == "up to multiples":
        step = settings.get("size_divisor") or 1
        down, across = by_size(height, width, size)
        return (-(-down // step) * step, -(-across // step) * step), None
    if fit == "nearest" and {*size} == {"longest_edge"}:
        return rounded(height, width, size["longest_edge"]), None
    down, across = by_size(height, width, size)
    sixteens = fit == "sixteens" and "shortest_edge" in size
    return (down // 16 * 16, across // 16 * 16) if sixteens else (down, across), None
