"""Zero-shot object detection: things that a call names, found in pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from formers.pipelines.frame import number, whole_number
from formers.pipelines.image.base import ImagePipeline, Unread
from formers.pipelines.labels import candidates
from formers.tasks.table import task_of

_READ = ("logits", "pred_boxes", "target_size")


class ZeroShotObjectDetectionPipeline(ImagePipeline):
    """Boxes around what a call names: `pipeline("zero-shot-object-detection")`.

        pipe("street.jpg", candidate_labels=["a cat", "a red car"])
            [{"score": 0.9, "label": "a cat", "box": {"xmin": 4, "ymin": 7, "xmax": 90, "ymax": 61}}, ...]
        pipe([{"image": "street.jpg", "candidate_labels": ["a cat"]}, ...])    a list of such lists

    The surest come first; edges are pixels of the picture.

    Args:
        model: a model that compares parts of pictures with texts, such as OWL-ViT.
        tokenizer: its tokenizer.
        **kwargs: those of `ImagePipeline`, and as defaults for every call:

            candidate_labels: see `__call__`; those of a mapping are its own.
            threshold: least probability of a label, 0.1 unless given.
            top_k: how many boxes a picture has at most.
    """

    default_task: ClassVar[str] = "zero-shot-object-detection"
    _load_tokenizer: ClassVar[bool | None] = True
    _sized = True

    def _sanitize_parameters(  # type: ignore[override]  # by name, so that others are refused
        self,
        candidate_labels: Any = None,
        threshold: float | None = None,
        top_k: int | None = None,
        timeout: float | None = None,
        on_error: str | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        found: dict[str, Any] = {} if threshold is None else {"threshold": number("threshold", threshold)}
        if top_k is not None:
            found["top_k"] = whole_number("top_k", top_k, "boxes, at least 1")
        before = self._reading(timeout, on_error)
        if candidate_labels is not None:
            before["candidate_labels"] = candidates(candidate_labels)
        return before, {}, found

    def __call__(self, inputs: Any = None, candidate_labels: Any = None, **kwargs: Any) -> Any:
        """Find things in one picture or many.

        Args:
            inputs: a picture, a list of them, or mappings with `image` and `candidate_labels`, of which a
                generator or dataset may consist; `image` and `images` are the same.
            candidate_labels: a list of labels, or one string with commas between them, for all pictures; or a
                list of such lists, one for each. `text_queries` is the same.
            **kwargs: see the class, and `Pipeline.__call__`.

        Raises:
            ValueError: without labels, or with another number of lists than pictures.
        """
        image = kwargs.pop("image", kwargs.pop("images", inputs))
        labels = kwargs.pop("text_queries", candidate_labels)
        several = isinstance(labels, (list, tuple)) and any(isinstance(one, (list, tuple)) for one in labels)
        if not (several and isinstance(image, (list, tuple))):
            image = list(image) if isinstance(image, tuple) else image
            return super().__call__(image, candidate_labels=labels, **kwargs)
        if len(labels) != len(image):
            raise ValueError(f"there are {len(image)} pictures, but {len(labels)} lists of candidate_labels")
        pairs = zip(image, labels, strict=True)
        return super().__call__([{"image": one, "candidate_labels": said} for one, said in pairs], **kwargs)

    def preprocess(
        self,
        inputs: Any,
        timeout: float | None = None,
        on_error: str = "raise",
        candidate_labels: Sequence[str] = (),
        **settings: Any,
    ) -> Any:
        """The picture's keywords, and the labels as texts beside them.

        Raises:
            ValueError: without labels, or a picture.
        """
        own = inputs if isinstance(inputs, Mapping) else {"image": inputs}
        labels = candidates(own.get("candidate_labels") or candidate_labels)
        if not labels or "image" not in own:
            raise ValueError(
                f"there {'is no picture' if labels else 'are no labels to find'}: pass "
                'candidate_labels=["a cat", ...], or mappings with "image" and "candidate_labels"'
            )
        made = super().preprocess(own["image"], timeout, on_error, **settings)
        if isinstance(made, Unread):
            return made
        if self._apart:
            return {**made, "labels": labels}
        texts = self.tokenizer(labels, padding=True, return_tensors="pt")
        return {**texts, **made, "labels": labels}

    @property
    def _apart(self) -> bool:
        """Whether the model reads one text for each picture, so that every label is a run of its own."""
        task = task_of(self.model)
        return task is not None and task.alone

    def _forward(self, model_inputs: Any, **params: Any) -> Any:
        """What the model finds; one value for each label, where it reads one text for each picture."""
        inputs = {name: value for name, value in model_inputs.items() if name != "labels"}
        if not self._apart:
            found = super()._forward(inputs, **params)
            return {name: found[name] for name in _READ}
        runs = []
        for label in model_inputs["labels"]:
            texts = self._ensure_tensor_on_device(self.tokenizer([label], return_tensors="pt"), self.device)
            runs.append(super()._forward({**inputs, **texts}, **params))
        logits = [one["logits"].amax(-1, keepdim=True) for one in runs]
        # [B, labels * Q, labels]: every label's queries are sure of that label alone
        count = len(runs)
        apart = [
            torch.cat([one if j == i else torch.full_like(one, -torch.inf) for j in range(count)], -1)
            for i, one in enumerate(logits)
        ]
        boxes = torch.cat([one["pred_boxes"] for one in runs], 1)
        return {"logits": torch.cat(apart, 1), "pred_boxes": boxes, "target_size": inputs["target_size"]}

    def forward_batch(self, prepared: Sequence[Any], **params: Any) -> Any:
        """Run the model; picture by picture where it reads one text for each."""
        if self._apart:
            return [self.forward(one, **params) for one in prepared]
        return super().forward_batch(prepared, **params)

    def postprocess_batch(self, outputs: Any, prepared: Sequence[Any], **params: Any) -> list[Any]:
        """The boxes of every picture."""
        found = []
        for place, one in enumerate(prepared):
            alone = isinstance(outputs, list)
            own = outputs[place] if alone else {name: outputs[name][place : place + 1] for name in _READ}
            found.append(self.postprocess({**own, "labels": one["labels"]}, **params))
        return found

    def postprocess(
        self, model_outputs: Any, threshold: float = 0.1, top_k: int | None = None, **params: Any
    ) -> Any:
        """The boxes of one picture; every label is looked for by itself."""
        how, found = self.image_processor.post_process_object_detection, []
        for place, label in enumerate(model_outputs["labels"]):
            alone = {**model_outputs, "logits": model_outputs["logits"][..., place : place + 1]}
            one = how(alone, threshold=threshold, target_sizes=model_outputs["target_size"])[0]
            for score, box in zip(one["scores"].tolist(), one["boxes"].int().tolist(), strict=True):
                edges = dict(zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
                found.append({"score": score, "label": label, "box": edges})
        return sorted(found, key=lambda one: -one["score"])[:top_k]
