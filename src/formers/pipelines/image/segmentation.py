"""Image segmentation: a mask for each label, or for each thing, that a picture shows."""

from __future__ import annotations

from typing import Any, ClassVar

from formers.core.extras import need
from formers.pipelines.frame import number
from formers.pipelines.image.base import ImagePipeline
from formers.pipelines.text.inputs import one_of

_SUBTASKS = (
    "panoptic",
    "instance",
    "semantic",
)  # the first that a model can do is done where nobody says which


class ImageSegmentationPipeline(ImagePipeline):
    """Masks of pictures: `pipeline("image-segmentation")`.

        pipe("street.jpg")    [{"score": 0.99, "label": "car", "mask": a Pillow image}, ...]

    Masks have mode "L" and the picture's size: 255 where the label is, else 0. Labels of pixels
    ("semantic") have no score.

    Args:
        model: a model that segments.
        **kwargs: those of `ImagePipeline`, and as defaults for every call:

            subtask: "panoptic", "instance" or "semantic"; the first of them that the processor knows. Models
                that are told the task, as OneFormer, are told it; they need a tokenizer too.
            threshold: least probability of a segment's label.
            mask_threshold: least probability of a pixel in a mask.
            overlap_mask_area_threshold: least share of its own mask that is left to a segment.

    Raises:
        ValueError: for a subtask that the processor does not know; without a tokenizer where tasks are told.
    """

    default_task: ClassVar[str] = "image-segmentation"
    _load_tokenizer: ClassVar[bool | None] = None
    _sized = True

    def __init__(self, model: Any, tokenizer: Any = None, **kwargs: Any) -> None:
        super().__init__(model, tokenizer, **kwargs)
        if self._told and self.tokenizer is None:
            raise ValueError(
                f"{type(self.model).__name__} is told the task by a text: pass "
                "tokenizer=AutoTokenizer.from_pretrained(...)"
            )

    @property
    def _told(self) -> bool:
        """Whether models are told the task."""
        return "task_inputs" in getattr(self.image_processor, "model_input_names", ())

    def _sanitize_parameters(  # type: ignore[override]  # by name, so that others are refused
        self,
        subtask: str | None = None,
        threshold: float | None = None,
        mask_threshold: float | None = None,
        overlap_mask_area_threshold: float | None = None,
        timeout: float | None = None,
        on_error: str | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        given: dict[str, Any] = {
            "threshold": threshold,
            "mask_threshold": mask_threshold,
            "overlap_mask_area_threshold": overlap_mask_area_threshold,
        }
        postprocess: dict[str, Any] = {
            name: number(name, value) for name, value in given.items() if value is not None
        }
        preprocess = self._reading(timeout, on_error)
        if subtask is not None:
            postprocess["subtask"] = one_of("subtask", subtask, list(_SUBTASKS))
            preprocess |= {"task_inputs": subtask} if self._told else {}
        return preprocess, {}, postprocess

    def _made(self, picture: Any, settings: dict[str, Any]) -> Any:
        made = super()._made(picture, settings)
        if self._told:
            length = {"padding": "max_length", "max_length": self.model.config.task_seq_len}
            made["task_inputs"] = self.tokenizer(made["task_inputs"], return_tensors="pt", **length)[
                "input_ids"
            ]
        return made

    def postprocess(self, model_outputs: Any, **params: Any) -> Any:
        """The masks of one picture."""
        return self._masks(model_outputs, **params)

    def _masks(
        self,
        outputs: Any,
        subtask: str | None = None,
        threshold: float = 0.9,
        mask_threshold: float = 0.5,
        overlap_mask_area_threshold: float = 0.5,
    ) -> list[dict[str, Any]]:
        known = [
            one for one in _SUBTASKS if hasattr(self.image_processor, f"post_process_{one}_segmentation")
        ]
        chosen = subtask or next(iter(known), None)
        if chosen not in known:
            raise ValueError(
                f"{type(self.image_processor).__name__} does no {chosen or 'image'} segmentation, but "
                f"{' and '.join(known) or 'none at all'}"
            )
        how = getattr(self.image_processor, f"post_process_{chosen}_segmentation")
        size, names = outputs["target_size"], self.model.config.id2label
        if chosen == "semantic":
            map_ = how(outputs, target_sizes=size)[0]
            found = [(int(label), int(label), None) for label in map_.unique()]
        else:
            options = (threshold, mask_threshold, overlap_mask_area_threshold)
            named = ("threshold", "mask_threshold", "overlap_mask_area_threshold")
            given: dict[str, Any] = dict(zip(named, options, strict=True))
            given |= {"label_ids_to_fuse": ()} if chosen == "panoptic" else {}
            answer = how(outputs, target_sizes=size, **given)[0]
            map_ = answer["segmentation"]
            found = [(one["id"], one["label_id"], one["score"]) for one in answer["segments_info"]]
        pillow = need("PIL.Image", "vision")
        numbers = map_.cpu().numpy()
        return [
            {
                "score": score,
                "label": names[label],
                "mask": pillow.fromarray(((numbers == number) * 255).astype("uint8")),
            }
            for number, label, score in found
        ]
