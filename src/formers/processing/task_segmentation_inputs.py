"""Pictures for models of segments that are told the task, with texts about what pictures show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from formers.core.jsonfile import read_json_object
from formers.hub import Source
from formers.hub.failures import HubError
from formers.processing import post_processing
from formers.processing.features import BatchFeature
from formers.processing.image import Sizes
from formers.processing.reading import listed
from formers.processing.segmentation_inputs import Names, SegmentImageProcessor

# task -> the text that stands where a picture shows fewer things than there are texts
_TASKS = {"semantic": "a semantic photo", "instance": "an instance photo", "panoptic": "an panoptic photo"}


class TaskedImageProcessor(SegmentImageProcessor):
    """Pictures as `SegmentImageProcessor` prepares them, with the task of each (arXiv:2211.06220).

    Its own settings are `class_info_file`, a JSON file of labels in `repo_path` (a folder, a data set of the
    Hub, or a model there): `{"0": {"name": "wall", "isthing": 0}, ...}`; `metadata`, what it says, which is
    read from it where it is not given; and `num_text`, how many texts a picture has in training.
    """

    model_input_names: ClassVar[list[str]] = ["pixel_values", "pixel_mask", "task_inputs"]
    class_info_file: str | None
    repo_path: str | None
    num_text: int | None
    metadata: dict[str, Any] | None

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        if self.class_info_file and self.metadata is None:
            self.metadata = _labels_of(self.repo_path, self.class_info_file)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], **options: Any) -> Any:
        """See `Settings`; another file of labels takes the place of what is known of labels."""
        if {"class_info_file", "repo_path"} & options.keys():
            values = {name: value for name, value in values.items() if name != "metadata"}
        return super().from_dict(values, **options)

    def __call__(  # type: ignore[override]  # the task stands second, as in the ecosystem
        self,
        images: Any,
        task_inputs: str | Sequence[str] | None = None,
        segmentation_maps: Any = None,
        instance_id_to_semantic_id: Names | list[Names] | None = None,
        **options: Any,
    ) -> BatchFeature:
        """Prepare pictures, their tasks, and the segments in them.

        Args:
            images: see `BaseImageProcessor`.
            task_inputs: "semantic", "instance" or "panoptic", for all pictures or for each; "panoptic".
            segmentation_maps: see `SegmentImageProcessor`.
            instance_id_to_semantic_id: likewise.
            **options: see `BaseImageProcessor`.

        Returns:
            `pixel_values`, `pixel_mask` and `task_inputs`, a text for each picture. For maps `mask_labels`
            and `class_labels` of what the task asks for (one mask for each label where it is semantic, things
            alone where it is instances), and `text_inputs`, `num_text` texts for each picture.

        Raises:
            BadPicture: names the picture that cannot be read.
            TypeError: for an unknown keyword.
            ValueError: for another task or number of tasks; for maps without `metadata` and `num_text`.
        """
        pictures = listed(images)
        tasks = _tasks_of(task_inputs or "panoptic", len(pictures))
        beside = None
        if segmentation_maps is not None:
            if self.metadata is None or self.num_text is None:
                raise ValueError(
                    "texts about segments need num_text and the names of labels: pass class_info_file= and "
                    "repo_path=, or metadata="
                )
            beside = (segmentation_maps, instance_id_to_semantic_id, tasks)
        found = self._prepared(pictures, beside, options)
        found["task_inputs"] = [f"the task is {task}" for task in tasks]
        return found

    preprocess = __call__  # type: ignore[assignment]  # likewise

    def _labels(self, beside: Any, now: dict[str, Any], sizes: list[Sizes]) -> list[Any]:
        """The masks, the labels and the texts of each picture."""
        *drawn, tasks = beside
        each = zip(super()._labels(tuple(drawn), now, sizes), tasks, strict=True)
        return [self._asked(masks, labels, task) for (masks, labels), task in each]

    def _asked(
        self, masks: NDArray[Any], labels: NDArray[Any], task: str
    ) -> tuple[NDArray[Any], NDArray[Any], list[str]]:
        """What a task asks for, of masks [N, H, W] and labels [N]."""
        known = self.metadata or {}
        if task == "instance":
            things = np.isin(labels, known["thing_ids"])
            masks, labels = masks[things], labels[things]
        if task == "semantic":
            first = np.sort(np.unique(labels, return_index=True)[1])
            masks = np.stack([masks[labels == one].max(0) for one in labels[first]]) if len(first) else masks
            labels = labels[first]
        missing = [int(one) for one in labels if str(one) not in known]
        if missing:
            raise ValueError(f"labels {missing[:5]} of a map have no name in metadata: see class_info_file")
        names = [known[str(one)] for one in labels]
        texts = [f"a photo with a {name}" for name in known["class_names"] for _ in range(names.count(name))]
        count = self.num_text or 0
        return masks, labels, [*texts, *[_TASKS[task]] * count][:count]

    def _made(self, found: dict[str, Any], tensors: Any) -> BatchFeature:
        """With texts as lists."""
        texts = None
        if "labels" in found:
            *segments, texts = zip(*found["labels"], strict=True)
            found["labels"] = list(zip(*segments, strict=True))
        made = super()._made(found, tensors)
        return made if texts is None else BatchFeature({**made, "text_inputs": list(texts)})

    def post_process_instance_segmentation(
        self,
        outputs: Any,
        task_type: str = "instance",
        is_demo: bool = True,
        threshold: float = 0.5,
        mask_threshold: float = 0.5,
        overlap_mask_area_threshold: float = 0.8,
        target_sizes: Any = None,
        return_coco_annotation: bool | None = False,
    ) -> list[dict[str, Any]]:
        """See `answers.best_pairs`.

        Args:
            outputs: logits and masks by queries.
            task_type: "panoptic" keeps things alone.
            is_demo: keep what is surer than `threshold`; else all, and labels of ADE20K count things.
            threshold: see `answers.best_pairs`.
            mask_threshold: likewise.
            overlap_mask_area_threshold: likewise.
            target_sizes: likewise.
            return_coco_annotation: likewise.

        Raises:
            ValueError: where things must be known, and there is no `metadata`.
        """
        counts = not is_demo and "instance" in task_type and "ade20k" in (self.class_info_file or "")
        things = None
        if task_type == "panoptic" or counts:
            if self.metadata is None:
                raise ValueError("which labels are things is not known: pass class_info_file= or metadata=")
            things = self.metadata["thing_ids"]
        return post_processing.best_pairs(
            outputs,
            threshold if is_demo else None,
            mask_threshold,
            overlap_mask_area_threshold,
            target_sizes,
            bool(return_coco_annotation),
            things if task_type == "panoptic" else None,
            things if counts else None,
        )


def _tasks_of(given: str | Sequence[str], count: int) -> list[str]:
    """The tasks of `count` pictures.

    Raises:
        ValueError: for another number of them, and for others than there are.
    """
    tasks = [given] * count if isinstance(given, str) else list(given)
    if len(tasks) != count:
        raise ValueError(f"there are {count} pictures, but {len(tasks)} task_inputs: one for each, or a text")
    other = [one for one in tasks if one not in _TASKS]
    if other:
        raise ValueError(f"task_inputs are {', '.join(_TASKS)}, not {other[0]!r}")
    return tasks


def _labels_of(place: str | None, name: str) -> dict[str, Any]:
    """What is known of labels: the name of each, all `class_names` in their order, and the `thing_ids`.

    Raises:
        OSError: when the file is not there.
        ValueError: for a file that says something else.
    """
    path = Path(place or "") / name
    said = read_json_object(path if path.is_file() else _fetched(place, name))
    odd = [key for key, one in said.items() if not (isinstance(one, dict) and {"name", "isthing"} <= {*one})]
    if odd:
        raise ValueError(f'{name} says {{"0": {{"name": .., "isthing": ..}}, ..}}, but not so for {odd[0]!r}')
    names = {key: one["name"] for key, one in said.items()}
    things = [int(key) for key, one in said.items() if one["isthing"]]
    return {**names, "thing_ids": things, "class_names": list(names.values())}


def _fetched(place: str | None, name: str) -> Path:
    """The file in a data set of the Hub, as the ecosystem keeps such, or in a model there."""
    if place is None:
        raise OSError(f"there is no file {name}: say by repo_path= in which folder or repository it lies")
    try:
        return Source.of(place, repo_type="dataset").get(name)
    except HubError as error:
        try:
            return Source.of(place).get(name)
        except HubError:
            raise error from None
