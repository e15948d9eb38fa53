"""Keypoint matching: points of two pictures that show the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from formers.pipelines.frame import Call
from formers.pipelines.image.base import ImagePipeline
from formers.processing.image_pairs import is_pair, pairs_of


class KeypointMatchingPipeline(ImagePipeline):
    """Points that two pictures both show: `pipeline("keypoint-matching")`.

        pipe(["left.jpg", "right.jpg"])
            [{"keypoint_image_0": {"x": 12, "y": 4}, "keypoint_image_1": {"x": 9, "y": 5}, "score": 0.9}, ..]
        pipe([["a.jpg", "b.jpg"], ["a.jpg", "c.jpg"]])    a list of such lists

    The surest come first; places are pixels of the pictures as they were.

    Args:
        model: a model with a keypoint-matching head.
        **kwargs: those of `ImagePipeline`, and as a default for every call `threshold`, which scores exceed.
    """

    default_task: ClassVar[str] = "keypoint-matching"
    _sized = True

    def _sanitize_parameters(  # type: ignore[override]  # by name, so that others are refused
        self,
        threshold: float | None = None,
        timeout: float | None = None,
        on_error: str | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        return self._reading(timeout, on_error), {}, {} if threshold is None else {"threshold": threshold}

    def _is_many(self, inputs: Any) -> bool:
        return isinstance(inputs, (list, tuple)) and not is_pair(inputs)

    def _opened(self, inputs: Any, timeout: float | None) -> Any:
        (pair,) = pairs_of(inputs if is_pair(inputs) else [inputs])
        return [ImagePipeline._opened(self, one, timeout) for one in pair]

    def _size(self, picture: Any) -> Any:
        return [ImagePipeline._size(self, one) for one in picture]

    def _run(self, prepared: Sequence[Any], call: Call) -> list[Any]:
        """One pair after the other: what fills up rows of a batch would take part in the transport."""
        return [super(KeypointMatchingPipeline, self)._run([one], call)[0] for one in prepared]

    def postprocess(self, model_outputs: Any, threshold: float = 0.0, **params: Any) -> Any:
        """The matches of one pair."""
        how = self.image_processor.post_process_keypoint_matching
        found = how(model_outputs, model_outputs["target_size"], threshold)[0]
        columns = (found[name].tolist() for name in ("keypoints0", "keypoints1", "matching_scores"))
        made = [
            {
                "keypoint_image_0": dict(zip("xy", first, strict=True)),
                "keypoint_image_1": dict(zip("xy", second, strict=True)),
                "score": score,
            }
            for first, second, score in zip(*columns, strict=True)
        ]
        return sorted(made, key=lambda one: -one["score"])
