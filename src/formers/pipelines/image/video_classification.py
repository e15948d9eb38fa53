"""Video classification: the best labels of a film, with their scores."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from formers.pipelines.frame import whole_number
from formers.pipelines.image.base import Unread
from formers.pipelines.image.classification import ImageClassificationPipeline
from formers.pipelines.labels import ClassificationFunction
from formers.processing.reading import BadPicture
from formers.processing.video import read_film


class VideoClassificationPipeline(ImageClassificationPipeline):
    """Labels and scores for films: `pipeline("video-classification")`.

        pipe("cat.mp4")              [{"label": "playing", "score": 0.9}, ...], the best five
        pipe(["cat.mp4", frames])    a list of such lists; frames are an array [T, height, width, 3]

    Args:
        model: a model with a video-classification head.
        **kwargs: those of `ImageClassificationPipeline`, and as defaults for every call:

            num_frames: how many frames of a film are read; as many as the model was trained on.
            frame_sampling_rate: every how manieth one; 1.
    """

    default_task: ClassVar[str] = "video-classification"

    def _sanitize_parameters(  # type: ignore[override]  # by name, so that others are refused
        self,
        num_frames: int | None = None,
        frame_sampling_rate: int | None = None,
        top_k: int | None = None,
        function_to_apply: ClassificationFunction | str | None = None,
        timeout: float | None = None,
        on_error: str | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        asked = super()._sanitize_parameters(top_k, function_to_apply, timeout, on_error)
        preprocess, forward, postprocess = asked
        for name, value in (("num_frames", num_frames), ("frame_sampling_rate", frame_sampling_rate)):
            if value is not None:
                preprocess[name] = whole_number(name, value, "frames, at least 1")
        return preprocess, forward, postprocess

    def preprocess(
        self,
        inputs: Any,
        timeout: float | None = None,
        on_error: str = "raise",
        num_frames: int | None = None,
        frame_sampling_rate: int = 1,
        **settings: Any,
    ) -> Any:
        """The model's keywords for one film, [1, T, C, H, W], in the model's number format.

        Raises:
            BadPicture: when it cannot be read, or is too short.
        """
        count = num_frames or int(self.model.config.num_frames)
        last = count * frame_sampling_rate - 1
        places = np.linspace(0, last, num=count, dtype=np.int64).tolist()
        try:
            frames = read_film(inputs, places, timeout)
            made = self.image_processor(frames, return_tensors="pt", **settings)
        except BadPicture as error:
            if on_error == "return":
                return Unread(str(error))
            raise
        wanted = self.dtype
        return made if wanted is None else made.to(wanted)
