"""Pictures of one shape as one tensor, and each in its place again, for processors of packages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_ROWS = "_num_sublists"  # beside the keys of nested pictures: how many lists there are


def _items(given: Any, nested: bool) -> Iterator[tuple[Any, Any]]:
    """(number, picture), or ((row, column), picture)."""
    for i, one in enumerate(given):
        yield from (((i, j), inner) for j, inner in enumerate(one)) if nested else [(i, one)]


def group_images_by_shape(
    images: Any, *paired_inputs: Any, disable_grouping: bool | None = None, is_nested: bool = False
) -> tuple[dict[Any, Any], ...]:
    """Pictures of one shape as one tensor.

    Args:
        images: tensors [C, H, W], or lists of them if `is_nested`.
        *paired_inputs: what goes along with each picture, in lists of the same form; None for nothing.
        disable_grouping: every picture stays by itself; on a CPU, where nothing is said.
        is_nested: see `images`.

    Returns:
        (height, width) -> [n, C, H, W], or number -> [1, C, H, W] where they stay by themselves; for each of
        `paired_inputs` the same keys with lists, or with None; and number -> (key, place), which
        `reorder_images` reads. Numbers of nested pictures are (row, column).

    Raises:
        ValueError: for what goes along with another number of pictures.
    """
    if paired_inputs and isinstance(paired_inputs[-1], bool):  # as older code says it
        *paired_inputs, disable_grouping = paired_inputs  # type: ignore[assignment]  # the last one is no list
    items = list(_items(images, is_nested))
    if disable_grouping is None:
        disable_grouping = not items or items[0][1].device.type == "cpu"
    index: dict[Any, Any] = {_ROWS: len(images)} if is_nested else {}
    groups: dict[Any, list[Any]] = {}
    for number, image in items:
        key = number if disable_grouping else tuple(image.shape[1:])
        index[number] = (key, len(groups.setdefault(key, [])))
        groups[key].append(image)
    beside: list[dict[Any, Any]] = []
    for given in paired_inputs:
        held = None if given is None else dict(_items(given, is_nested))
        if held is not None and held.keys() != dict(items).keys():
            raise ValueError(f"{len(held)} values go along with {len(items)} pictures: give one for each")
        found: dict[Any, Any] = {key: None if held is None else [] for key in groups}
        for number, _ in items if held is not None else ():
            found[index[number][0]].append(held[number])  # type: ignore[index]
        beside.append(found)
    return _stacked(groups), *beside, index


def _stacked(groups: dict[Any, list[Any]]) -> dict[Any, Any]:
    import torch

    return {key: one[0][None] if len(one) == 1 else torch.stack(one) for key, one in groups.items()}


def reorder_images(processed_images: Any, grouped_images_index: Any, is_nested: bool = False) -> list[Any]:
    """What was made of grouped pictures, in the order of the pictures.

    Args:
        processed_images: key -> results, in the order of the group.
        grouped_images_index: the last of what `group_images_by_shape` returned.
        is_nested: in lists of lists, as the pictures stood.
    """
    places = {number: at for number, at in grouped_images_index.items() if number != _ROWS}
    if not is_nested:
        return [processed_images[key][place] for key, place in (places[i] for i in range(len(places)))]
    count = grouped_images_index.get(_ROWS, 1 + max((row for row, _ in places), default=-1))
    found: list[list[Any]] = [[] for _ in range(count)]
    for (row, _), (key, place) in sorted(places.items()):
        found[row].append(processed_images[key][place])
    return found
