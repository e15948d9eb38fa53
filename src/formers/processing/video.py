"""Films to arrays: the frames of each are pictures, prepared all together; and frames out of files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from formers.core.extras import need
from formers.core.jsonfile import read_json_object
from formers.hub import Source, split_hub_keywords
from formers.processing.features import BatchFeature
from formers.processing.image import BaseImageProcessor, Sizes
from formers.processing.reading import BadPicture
from formers.processing.saving import NESTED_FILE
from formers.processing.sources import called, opened

FILE = "video_preprocessor_config.json"


def films_of(given: Any) -> list[Any]:
    """Every film of a call: one, as a list of frames or an array [T, ..], or several."""
    several = isinstance(given, (list, tuple)) and bool(given)
    if several and (isinstance(given[0], (list, tuple)) or getattr(given[0], "ndim", 3) == 4):
        return list(given)
    if getattr(given, "ndim", 4) == 5:
        return list(given)
    return [given if several or getattr(given, "ndim", 3) == 4 else [given]]


class FilmSettings(BaseImageProcessor):
    """What prepares films by settings of its own, which lie beside those of pictures."""

    part = "video_processor"

    @classmethod
    def settings_of(cls, name: Any, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The settings in the files of a checkpoint; those of pictures where there are none of films."""
        hub, rest = split_hub_keywords(dict(options))
        if not (isinstance(name, (str, Path)) and Path(name).is_file()):
            source = Source.of(name, **hub)
            nested, own = source.find(NESTED_FILE), source.find(FILE)
            held = {} if nested is None else read_json_object(nested).get(cls.part)
            if not held and own is not None:
                return read_json_object(own), rest
        return super().settings_of(name, **options)


class FilmImageProcessor(BaseImageProcessor):
    """Films to the arrays that a model reads; its settings are those of an image processor."""

    def preprocess(self, images: Any = None, segmentation_maps: Any = None, **options: Any) -> BatchFeature:
        """Prepare films.

        Args:
            images: a film, or several (`videos` is another name): each is a list of frames, or one array or
                tensor [T, H, W, C] or [T, C, H, W].
            segmentation_maps: none are taken.
            **options: see `BaseImageProcessor`.

        Returns:
            `pixel_values`, float32 [B, T, C, H, W].

        Raises:
            BadPicture: names the frame that cannot be read.
            TypeError: for an unknown keyword, and without films.
        """
        images = options.pop("videos", images)
        if images is None:
            raise TypeError(f"{type(self).__name__} needs films: lists of frames")
        return self._prepared(images, segmentation_maps, options)

    def _pixel_values(
        self, images: Any, now: dict[str, Any], call: dict[str, Any]
    ) -> tuple[dict[str, Any], list[Sizes]]:
        films = [list(film) for film in films_of(images)]
        made, sizes = super()._pixel_values([frame for film in films for frame in film], now, call)
        frames, found = iter(made["pixel_values"]), []
        for film in films:
            found.append([next(frames) for _ in film])
        alike = len({one.shape for film in found for one in film}) == 1
        made["pixel_values"] = [np.stack(film) for film in found] if alike else found
        return made, sizes


def read_film(film: Any, indices: Sequence[int], timeout: float | None = None) -> list[Any]:
    """Frames of a film, [H, W, 3] uint8 each.

    Args:
        film: path, address or bytes of a file that PyAV reads; or the frames themselves, a list or an array.
        indices: numbers of the frames, in order.
        timeout: seconds for an address to answer.

    Raises:
        BadPicture: when it cannot be read, is shorter, or is a picture.
    """
    if getattr(film, "ndim", 4) != 4 or hasattr(film, "getbands"):
        raise BadPicture(
            "this is one picture, not a film, whose frames are an array [frames, height, width, 3]: pass "
            "np.stack(frames), or [frames] for a list of them"
        )
    if hasattr(film, "ndim") or isinstance(film, (list, tuple)):
        if len(film) <= indices[-1]:
            raise BadPicture(f"the film has {len(film)} frames, but number {indices[-1]} is asked for")
        return [film[i] for i in indices]
    av, name = need("av", "video", "films"), called(film, "film")
    found, wanted = {}, set(indices)
    try:
        with opened(film, "film", BadPicture, timeout, name) as source, av.open(source) as container:
            if not container.streams.video:
                raise BadPicture(f"{name} is no film: it holds no pictures")
            for i, frame in enumerate(container.decode(video=0)):
                if i in wanted:
                    found[i] = frame.to_ndarray(format="rgb24")
                if i >= indices[-1]:
                    break
    except BadPicture:
        raise
    except (OSError, ValueError, IndexError) as error:  # av's errors are of these
        raise BadPicture(f"{name} cannot be read as a film: {error}") from error
    if len(found) < len(wanted):
        raise BadPicture(
            f"{name} is too short: it has no frame number {max(wanted - found.keys())}; ask for fewer frames "
            "(num_frames), or for frames nearer to each other (frame_sampling_rate)"
        )
    return [found[i] for i in indices]


BaseVideoProcessor = FilmSettings  # as the ecosystem calls what prepares films
