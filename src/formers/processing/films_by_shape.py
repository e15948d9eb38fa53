"""Films as scripts handle them: what is known of one, batches of one shape, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from formers.processing.kinds import is_valid_image
from formers.processing.video import films_of


@dataclass
class VideoMetadata(Mapping[str, Any]):
    """What is known of a film beside its frames; also a mapping of the same names.

    Attributes:
        total_num_frames: frames of the whole film.
        fps: frames a second.
        width: of a frame, in pixels.
        height: likewise.
        duration: in seconds.
        video_backend: what read it.
        frames_indices: numbers of the frames that were chosen.
    """

    total_num_frames: int
    fps: float | None = None
    width: int | None = None
    height: int | None = None
    duration: float | None = None
    video_backend: str | None = None
    frames_indices: list[int] | None = None

    def __iter__(self) -> Iterator[str]:
        return (one.name for one in fields(self))

    def __len__(self) -> int:
        return len(fields(self))

    def __getitem__(self, name: str) -> Any:
        if name not in set(self):
            raise KeyError(name)
        return getattr(self, name)

    def __setitem__(self, name: str, value: Any) -> None:
        setattr(self, name, value)

    @property
    def timestamps(self) -> list[float]:
        """When the chosen frames are seen, in seconds.

        Raises:
            ValueError: where the rate or the frames are not known.
        """
        if self.fps is None or self.frames_indices is None:
            raise ValueError("Cannot infer video `timestamps` when `fps` or `frames_indices` is None.")
        return [number / self.fps for number in self.frames_indices]

    @property
    def sampled_fps(self) -> float:
        """Chosen frames a second; 24 where no rate is known."""
        if self.frames_indices is None or self.total_num_frames is None or self.fps is None:
            return self.fps or 24
        return len(self.frames_indices) / self.total_num_frames * self.fps

    def update(self, dictionary: Mapping[str, Any]) -> None:
        """Take over what is known elsewhere; other names are left out."""
        for name in set(self) & set(dictionary):
            setattr(self, name, dictionary[name])


def make_batched_videos(videos: Any) -> list[Any]:
    """Films as a list of them: frames of a list that are pictures become one array [T, H, W, C].

    Raises:
        ValueError: for what is no film.
    """
    if isinstance(videos, str):
        return [videos]
    if getattr(videos, "ndim", 0) == 3 or hasattr(videos, "getbands"):
        return [np.asarray(videos)[None]]
    if not isinstance(videos, (list, tuple)) and getattr(videos, "ndim", 0) not in (4, 5):
        raise ValueError(
            "Invalid video input. Expected either a list of video frames or an input of 4 or 5 dimensions, "
            f"but got type {type(videos)}."
        )
    if isinstance(videos, (list, tuple)) and all(isinstance(one, str) for one in videos):
        return list(videos)
    found = []
    for film in films_of(videos):
        frames = isinstance(film, (list, tuple)) and film and is_valid_image(film[0])
        found.append(np.stack([np.asarray(frame) for frame in film]) if frames else film)
    return found


def group_videos_by_shape(
    videos: Sequence[Any],
) -> tuple[dict[tuple[int, ...], Any], dict[int, tuple[tuple[int, ...], int]]]:
    """Films [T, C, H, W] of one shape as one tensor [n, T, C, H, W], by (T, H, W), and where each went."""
    import torch

    held: dict[tuple[int, ...], list[Any]] = {}
    places = {}
    for number, film in enumerate(videos):
        shape = (film.shape[-4], *film.shape[-2:])
        held.setdefault(shape, []).append(film)
        places[number] = (shape, len(held[shape]) - 1)
    return {shape: torch.stack(films) for shape, films in held.items()}, places


def reorder_videos(
    processed_videos: Mapping[tuple[int, ...], Any],
    grouped_videos_index: Mapping[int, tuple[tuple[int, ...], int]],
) -> list[Any]:
    """The films in their first order, out of `group_videos_by_shape` and what was made of its tensors."""
    places = (grouped_videos_index[number] for number in range(len(grouped_videos_index)))
    return [processed_videos[shape][at] for shape, at in places]
