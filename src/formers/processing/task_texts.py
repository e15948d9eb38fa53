"""Tasks and texts beside pictures, for models of segments that are told the task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from formers.processing.features import BatchFeature
from formers.processing.image_text import ProcessorMixin
from formers.tokenization.encoding import as_tensor


class TaskedProcessor(ProcessorMixin):
    """An image processor that takes tasks, and the tokenizer of tasks and texts.

    Args:
        image_processor: one whose class is a `TaskedImageProcessor`.
        tokenizer: that of the model.
        max_seq_length: tokens of a text in training.
        task_seq_length: tokens of a task.
    """

    def __init__(
        self,
        image_processor: Any = None,
        tokenizer: Any = None,
        max_seq_length: int = 77,
        task_seq_length: int = 77,
        **named: Any,
    ) -> None:
        self.max_seq_length, self.task_seq_length = max_seq_length, task_seq_length
        super().__init__(image_processor, tokenizer, **named)

    def __call__(  # type: ignore[override]  # what it is called with
        self, images: Any = None, task_inputs: Any = None, segmentation_maps: Any = None, **options: Any
    ) -> BatchFeature:
        """Prepare pictures with their tasks.

        Args:
            images: see `TaskedImageProcessor`.
            task_inputs: likewise, and needed.
            segmentation_maps: likewise.
            **options: likewise.

        Returns:
            What the image processor gives, with `task_inputs`, int64 [B, task_seq_length], and where there
            are maps `text_inputs`, int64 [B, num_text, max_seq_length]: ids, 0 after the last. They are
            tensors, unless `return_tensors` names arrays.

        Raises:
            BadPicture: names the picture that cannot be read.
            TypeError: for an unknown keyword.
            ValueError: without pictures or tasks; see `TaskedImageProcessor` too.
        """
        if images is None or task_inputs is None:
            raise ValueError(f"{type(self).__name__} needs images= and task_inputs=, such as 'panoptic'")
        found: BatchFeature = self.image_processor(images, task_inputs, segmentation_maps, **options)
        kind = options.get("return_tensors") or "pt"
        found["task_inputs"] = as_tensor(self._ids(found["task_inputs"], self.task_seq_length), kind)
        if "text_inputs" in found:
            each = [self._ids(texts, self.max_seq_length) for texts in found["text_inputs"]]
            found["text_inputs"] = as_tensor(np.stack(each), kind)
        return found

    def _ids(self, texts: list[str], length: int) -> NDArray[Any]:
        """Ids of texts, int64 [N, length]."""
        how = {"padding": "max_length", "max_length": length, "truncation": True}
        made = self.tokenizer(texts, return_tensors="np", **how)
        ids: NDArray[Any] = made["input_ids"] * made["attention_mask"]
        return ids.astype(np.int64)

    @classmethod
    def _own_settings(cls, said: Mapping[str, Any], options: dict[str, Any]) -> dict[str, Any]:
        names = ("max_seq_length", "task_seq_length")
        found = {name: said[name] for name in names if name in said}
        return found | {name: options.pop(name) for name in names if name in options}

    def to_dict(self) -> dict[str, Any]:
        """The settings of the image processor, the lengths, and the name of the class."""
        lengths = {"max_seq_length": self.max_seq_length, "task_seq_length": self.task_seq_length}
        return {**lengths, **super().to_dict()}
