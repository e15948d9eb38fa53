"""Where the rows of patches of pictures and films end to end lie: sequences, places, and windows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def get_vision_cu_seqlens(
    grid_thw: Tensor, merge_temporal: bool = False, kwargs: dict[str, Any] | None = None
) -> Tensor:
    """Where each sequence begins, and the last one ends, [sequences + 1], int32.

    Args:
        grid_thw: [pictures, 3]: frames, rows and columns of patches.
        merge_temporal: a film is one sequence; else each of its frames.
        kwargs: a call's keywords: `cu_seqlens` is taken out of them, and is the answer where it is there.
    """
    told = None if kwargs is None else kwargs.pop("cu_seqlens", None)
    if told is not None:
        found: Tensor = told
        return found
    each = grid_thw[:, 1] * grid_thw[:, 2]
    lengths = each * grid_thw[:, 0] if merge_temporal else each.repeat_interleave(grid_thw[:, 0])
    ends = lengths.cumsum(0).int()
    return torch.cat((ends.new_zeros(1), ends))


def get_vision_position_ids(
    grid_thw: Tensor,
    spatial_merge_size: int | Tensor,
    include_temporal: bool = False,
    kwargs: dict[str, Any] | None = None,
) -> Tensor:
    """Row and column of every patch, square by square of those that are merged, [patches, 2].

    Args:
        grid_thw: [pictures, 3]: frames, rows and columns of patches.
        spatial_merge_size: the edge of such a square, for all or each.
        include_temporal: the frame's number before them, [patches, 3].
        kwargs: a call's keywords: `position_ids` is taken out of them, and is the answer where it is there.
    """
    told = None if kwargs is None else kwargs.pop("position_ids", None)
    if told is not None:
        given: Tensor = told
        return given
    edges = (
        [spatial_merge_size] * len(grid_thw)
        if isinstance(spatial_merge_size, int)
        else spatial_merge_size.tolist()
    )
    found = []
    for (frames, rows, columns), edge in zip(grid_thw.tolist(), edges, strict=True):
        places = torch.cartesian_prod(
            *(torch.arange(count, device=grid_thw.device) for count in (frames, rows, columns))
        )  # [frames * rows * columns, 3]
        squares = places.view(frames, rows // edge, edge, columns // edge, edge, 3).transpose(2, 3)
        found.append(squares.reshape(-1, 3)[:, 0 if include_temporal else 1 :])
    return torch.cat(found)


def get_vision_window_index(
    grid_thw: Tensor,
    spatial_merge_size: int,
    window_size: int,
    patch_size: int,
    kwargs: dict[str, Any] | None = None,
) -> tuple[Tensor, Tensor]:
    """The order of merged patches window by window, [merged], and where windows begin and end, [windows + 1].

    Args:
        grid_thw: [pictures, 3]: frames, rows and columns of patches.
        spatial_merge_size: the edge of a square that is merged, in patches.
        window_size: the edge of a window, in pixels.
        patch_size: that of a patch.
        kwargs: a call's keywords: `window_index` and `cu_window_seqlens` are taken out of them, and are the
            answer where both are there.

    Returns:
        int64, and int32 counted in patches.
    """
    told = [
        None if kwargs is None else kwargs.pop(name, None) for name in ("window_index", "cu_window_seqlens")
    ]
    if told[0] is not None and told[1] is not None:
        return told[0], told[1]
    side, first = window_size // spatial_merge_size // patch_size, 0
    order, ends = [], [0]
    for frames, rows, columns in grid_thw.tolist():
        shape = (frames, rows // spatial_merge_size, columns // spatial_merge_size)
        numbers = torch.arange(shape[0] * shape[1] * shape[2]).view(shape) + first
        first += numbers.numel()
        for frame in numbers:
            for row in frame.split(side, 0):
                for window in row.split(side, 1):
                    order.append(window.flatten())
                    ends.append(ends[-1] + window.numel() * spatial_merge_size**2)
    return torch.cat(order), torch.tensor(ends, device=grid_thw.device, dtype=torch.int32)
