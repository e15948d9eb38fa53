"""Films of any size as patches that lie end to end, each of which goes through several frames."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from formers.core.extras import need
from formers.processing.features import BatchFeature
from formers.processing.grids import GridImageProcessor, in_blocks
from formers.processing.reading import BadPicture
from formers.processing.sources import called, opened
from formers.processing.video import FilmSettings, films_of, read_film

_OF_A_CALL = ("num_frames", "fps", "do_sample_frames")
_USUAL_RATE = 24.0  # frames a second, where nobody says it


@dataclass(frozen=True)
class FilmFacts:
    """What is known of a film.

    Attributes:
        count: of its frames.
        rate: frames a second; None where nobody said it.
        indices: numbers of the frames that were chosen.
        duration: seconds, where somebody or the file says it.
    """

    count: int
    rate: float | None = None
    indices: tuple[int, ...] = ()
    duration: float | None = None

    @property
    def chosen_rate(self) -> float:
        """Chosen frames a second."""
        if self.rate is None:
            return _USUAL_RATE
        return len(self.indices) / self.count * self.rate

    @property
    def seconds(self) -> list[float]:
        """When each chosen frame is seen."""
        return [index / (self.rate or _USUAL_RATE) for index in self.indices]

    def times(self, depth: int) -> list[float]:
        """Seconds in the middle of every `depth` chosen frames, the last of which stands again if need be."""
        at = self.seconds
        at += [at[-1]] * (-len(at) % depth)
        return [(at[i] + at[i + depth - 1]) / 2 for i in range(0, len(at), depth)]


class GridFilmProcessor(FilmSettings, GridImageProcessor):
    """Films of whole blocks of patches, each of which goes through `temporal_patch_size` frames.

    A call returns `pixel_values_videos` [N, numbers of a patch], float32, and `video_grid_thw` [films, 3].
    """

    model_input_names: ClassVar[list[str]] = ["pixel_values_videos", "video_grid_thw"]
    temporal_patch_size: int

    @classmethod
    def known_settings(cls) -> set[str]:
        """Names of settings, and of what a call may choose."""
        return {*super().known_settings(), *_OF_A_CALL}

    def __call__(self, videos: Any = None, segmentation_maps: Any = None, **options: Any) -> BatchFeature:
        """Prepare films.

        Args:
            videos: a film or a list of them: a path, an address, bytes, a list of frames, or an array or
                tensor [T, H, W, C] or [T, C, H, W].
            segmentation_maps: none are taken.
            **options: settings for this call; `num_frames` or `fps` choose frames where `do_sample_frames`
                says so; `video_metadata` says what frames cannot, `{"fps": ...}` for each film;
                `return_tensors`.

        Raises:
            BadPicture: when a film cannot be read.
            TypeError: for an unknown keyword, and without films.
            ValueError: for frames that are not there.
        """
        if videos is None:
            raise TypeError(f"{type(self).__name__} needs films: paths, or lists of frames")
        return self.with_facts(videos, options)[0]

    preprocess = __call__  # type: ignore[assignment]  # likewise

    def with_facts(self, videos: Any, options: Mapping[str, Any]) -> tuple[BatchFeature, list[FilmFacts]]:
        """Prepare films, and say of each which frames were chosen; see the call."""
        options = dict(options)
        told, tensors = options.pop("video_metadata", None), options.pop("return_tensors", None)
        options.pop("return_metadata", None)
        chosen = {name: options.pop(name, getattr(self, name, None)) for name in _OF_A_CALL}
        films = every_film(videos)
        each = [told] * len(films) if told is None or isinstance(told, Mapping) else list(told)
        if len(each) != len(films):
            raise ValueError(f"video_metadata is of {len(each)} films, but {len(films)} are given")
        made, facts = list[BatchFeature](), []
        for film, said in zip(films, each, strict=True):
            known = facts_of(film, said or {})
            numbers = self._chosen(known, **chosen) if chosen["do_sample_frames"] else range(known.count)
            known = replace(known, indices=tuple(numbers))
            now = {**options, "return_tensors": "np"}
            made.append(self._prepared(read_film(film, known.indices), None, now))
            facts.append(known)
        return BatchFeature(self._together(made), tensors), facts

    def _together(self, films: Sequence[BatchFeature]) -> dict[str, Any]:
        """What is returned of films that were prepared one by one."""
        rows = np.concatenate([one["pixel_values"] for one in films])
        grids = np.array([one["image_grid_thw"][0] for one in films])
        return {"pixel_values_videos": rows, "video_grid_thw": grids}

    def _chosen(
        self, known: FilmFacts, num_frames: int | None, fps: float | None, do_sample_frames: bool
    ) -> list[int]:
        """Numbers of the frames, as many a second as `fps` says, or so many."""
        if num_frames is not None and fps is not None and fps != getattr(self, "fps", None):
            raise ValueError("num_frames and fps both say how many frames are chosen: give one")
        now = {name: getattr(self, name) for name in ("min_frames", "max_frames")}
        if self.recipe.fit == "film pixels":
            count = num_frames
            if count is None and fps is not None:
                wanted = int(known.count / (known.rate or _USUAL_RATE) * fps)
                count = min(max(wanted, now["min_frames"]), now["max_frames"], known.count)
            if count is None:
                count = min(max(known.count, now["min_frames"]), now["max_frames"])
            self._check(count, known)
            return [int(one) for one in np.linspace(0, known.count - 1, count).round()]
        depth = self.temporal_patch_size
        if num_frames is not None:
            count = round(num_frames / depth) * depth
        elif fps is not None:
            if known.rate is None:
                raise ValueError("frames by their rate need that of the film: video_metadata={'fps': ...}")
            most = math.floor(min(now["max_frames"], known.count) / depth) * depth
            wanted_count = min(max(known.count / known.rate * fps, now["min_frames"]), most, known.count)
            count = math.floor(wanted_count / depth) * depth
        else:
            return list(range(known.count))
        self._check(count, known)
        return [int(one) for one in np.arange(0, known.count, known.count / count)]

    @staticmethod
    def _check(count: int, known: FilmFacts) -> None:
        if not 0 < count <= known.count:
            raise ValueError(f"{count} frames cannot be chosen of {known.count}: change num_frames or fps")

    def _pixel_values(
        self, images: Any, now: dict[str, Any], call: dict[str, Any]
    ) -> tuple[dict[str, Any], list[Any]]:
        now = {**now, "do_pad": False, "frames": len(images)}
        found, sizes = super(GridImageProcessor, self)._pixel_values(
            images, now, {**call, "return_tensors": None}
        )
        frames = np.stack(found["pixel_values"])
        rows, grid = in_blocks(frames, now["patch_size"], now["temporal_patch_size"], now["merge_size"])
        return {"pixel_values": rows, "image_grid_thw": np.array([grid])}, sizes


class FrameFilmProcessor(GridFilmProcessor):
    """Films as their frames, each of which is prepared as a picture is.

    A call returns `pixel_values_videos` [films, T, C, H, W], float32, or a list where films differ.
    """

    model_input_names: ClassVar[list[str]] = ["pixel_values_videos"]

    def _chosen(
        self, known: FilmFacts, num_frames: int | None, fps: float | None, do_sample_frames: bool
    ) -> list[int]:
        """Numbers of the frames, evenly over the film: so many, or as many a second as `fps` says."""
        if num_frames is not None and fps is not None:
            raise ValueError("num_frames and fps both say how many frames are chosen: give one")
        if num_frames is None and fps is not None:
            if known.rate is None:
                raise ValueError("frames by their rate need that of the film: video_metadata={'fps': ...}")
            num_frames = int(known.count / known.rate * fps)
        if num_frames is None:
            return list(range(known.count))
        self._check(num_frames, known)
        step, shift = known.count / num_frames, getattr(self, "initial_shift", 0)
        begin = step / 2 if shift is True else float(shift or 0)  # True: from the middle of each part
        return [int(one) for one in np.arange(begin, known.count, step)]

    def _pixel_values(
        self, images: Any, now: dict[str, Any], call: dict[str, Any]
    ) -> tuple[dict[str, Any], list[Any]]:
        return super(GridImageProcessor, self)._pixel_values(images, {**now, "do_pad": False}, call)

    def _together(self, films: Sequence[BatchFeature]) -> dict[str, Any]:
        return {"pixel_values_videos": [one["pixel_values"] for one in films]}


def every_film(given: Any) -> list[Any]:
    """Every film of a call; what is named is one."""
    if isinstance(given, (str, bytes, Path)):
        return [given]
    if isinstance(given, (list, tuple)) and given:
        if any(isinstance(one, (str, bytes, Path)) for one in given):
            return list(given)
        if isinstance(given[0], (list, tuple)) and given[0] and isinstance(given[0][0], (list, tuple)):
            return [film for each in given for film in each]
    return films_of(given)


def facts_of(film: Any, said: Mapping[str, Any]) -> FilmFacts:
    """How many frames there are, and how many a second."""
    rate, lasts = said.get("fps"), said.get("duration")
    lasts = None if lasts is None else float(lasts)
    if hasattr(film, "ndim") or isinstance(film, (list, tuple)):
        return FilmFacts(len(film), None if rate is None else float(rate), duration=lasts)
    av, name = need("av", "video", "films"), called(film, "film")
    try:
        with opened(film, "film", BadPicture, None, name) as source, av.open(source) as container:
            if not container.streams.video:
                raise BadPicture(f"{name} is no film: it holds no pictures")
            stream = container.streams.video[0]
            rate = rate if rate is not None else stream.average_rate
            count = stream.frames or sum(1 for _ in container.decode(video=0))
    except BadPicture:
        raise
    except (OSError, ValueError, IndexError) as error:  # av's errors are of these
        raise BadPicture(f"{name} cannot be read as a film: {error}") from error
    if lasts is None and rate:
        lasts = int(count) / float(rate)
    return FilmFacts(int(count), None if rate is None else float(rate), duration=lasts)


def frames_between(facts: Sequence[FilmFacts], depth: int) -> list[float]:
    """Seconds from one patch of each film to the next."""
    return [depth / one.chosen_rate for one in facts]
