"""Films whose frames are one square each, as models of pictures in squares read them: SmolVLM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from formers.processing.features import BatchFeature
from formers.processing.grid_video import FilmFacts, FrameFilmProcessor
from formers.processing.reading import as_pillow_or_array, channels_last
from formers.processing.square_tiles import squares_of

_SAMPLING = "video_sampling"
_SKIPPED = 1  # seconds at both ends of a film that is long


class SquareFilmProcessor(FrameFilmProcessor):
    """Films as frames of `max_image_size`, squeezed to a square.

    A call returns `pixel_values` [films, T, C, H, W], float32, zeros behind a film's last frame, and
    `pixel_attention_mask` [films, T, H, W], 1 where a frame reaches; without `do_pad` a list of films alone.

    Args:
        **settings: by the names of the file; older files have `video_sampling`, which says `max_frames`,
            `fps` and a `video_size`.
    """

    model_input_names: ClassVar[list[str]] = ["pixel_values", "pixel_attention_mask"]

    @classmethod
    def known_settings(cls) -> set[str]:
        """Names of settings, and of what a call may choose."""
        return {*super().known_settings(), _SAMPLING}

    def __init__(self, **settings: Any) -> None:
        told = settings.pop(_SAMPLING, None) or {}
        sampled = {
            "num_frames": told.get("max_frames"),
            "fps": told.get("fps"),
            "size": told.get("video_size"),
        }
        super().__init__(**{name: value for name, value in sampled.items() if value is not None} | settings)

    def _chosen(
        self, known: FilmFacts, num_frames: int | None, fps: float | None, do_sample_frames: bool
    ) -> list[int]:
        """Numbers of the frames, evenly over the film: as many a second as `fps`, `num_frames` at most.

        Raises:
            ValueError: for a film whose rate nobody says, or without either number.
        """
        if known.rate is None:
            raise ValueError(
                "frames are chosen by their time, and nobody says that of this film: "
                "video_metadata={'fps': ...}, or do_sample_frames=False"
            )
        if num_frames is None or fps is None:
            raise ValueError("frames are chosen by num_frames, the most of them, and fps: give both")
        lasts = known.count / known.rate if known.duration is None else known.duration
        count = max(min(round(fps * lasts), num_frames), 1)
        first, last = 0, known.count - 1
        if lasts - 2 * _SKIPPED > num_frames * fps:
            first, last = int(_SKIPPED * known.rate), min(int(known.count - _SKIPPED * known.rate), last)
        if first >= last:
            first, last = 0, known.count - 1
        return [int(one) for one in np.unique(np.linspace(first, last, count, dtype=int))]

    def _pixel_values(
        self, images: Any, now: dict[str, Any], call: dict[str, Any]
    ) -> tuple[dict[str, Any], list[Any]]:
        frames, still = [], {**now, "do_image_splitting": False}
        for place, one in enumerate(images):
            frame = as_pillow_or_array(one, place, len(images), call["timeout"])
            if isinstance(frame, np.ndarray):
                frame = channels_last(frame, call["input_data_format"])
            frames.append(squares_of(frame, still)[0][0] if now["do_resize"] else frame)
        plain = {**call, "input_data_format": "channels_last"} if now["do_resize"] else call
        found, sizes = super()._pixel_values(frames, {**now, "do_resize": False}, plain)
        return {"pixel_values": found["pixel_values"], "pads": bool(now["do_pad"])}, sizes

    def _together(self, films: Sequence[BatchFeature]) -> dict[str, Any]:
        found = [np.asarray(one["pixel_values"]) for one in films]
        if not films[0]["pads"]:
            return {"pixel_values": found}
        frames, _, height, width = np.max([one.shape for one in found], axis=0)
        channels = found[0].shape[1]
        pixels = np.zeros((len(found), frames, channels, height, width), found[0].dtype)
        mask = np.zeros((len(found), frames, height, width), np.int64)
        for row, one in enumerate(found):
            count, _, down, across = one.shape
            pixels[row, :count, :, :down, :across] = one
            mask[row, :, :down, :across] = 1
        return {"pixel_values": pixels, "pixel_attention_mask": mask}
