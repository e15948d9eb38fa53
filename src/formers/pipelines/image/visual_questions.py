"""Questions about pictures: `pipeline("visual-question-answering")`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch

from formers.generation.decoder import taken_by
from formers.pipelines.datasets import is_stream
from formers.pipelines.frame import whole_number
from formers.pipelines.image.base import ImagePipeline, Unread
from formers.pipelines.labels import APPLIED, labels_of, ranked
from formers.pipelines.text.inputs import place_of


class VisualQuestionAnsweringPipeline(ImagePipeline):
    """Answers questions about pictures: `pipeline("visual-question-answering")`, or "vqa".

        pipe(image="cats.jpg", question="How many cats are there?")    [{"score": 0.9, "answer": "2"}, ...]
        pipe({"image": ..., "question": ...})
        pipe([{"image": ..., "question": ...}, ...])                   a list of such lists
        pipe(["cats.jpg", image], ["How many cats are there?", ...])   each about each

    Args:
        model: a model whose labels are answers, such as ViLT; or one that writes them, such as BLIP: its
            answers have no score, and there is one to each question.
        tokenizer: its tokenizer.
        **kwargs: those of `ImagePipeline`, and as defaults for every call:

            top_k: how many answers, the best first; 5 unless given.
            padding, truncation: keywords of the tokenizer's call.
            max_new_tokens: how long an answer that is written may become; `generate_kwargs` are other
                settings of `generate`, in a mapping.
    """

    default_task: ClassVar[str] = "visual-question-answering"
    default_input_names: ClassVar[Any] = "image,question"
    _load_tokenizer: ClassVar[bool | None] = True

    def _sanitize_parameters(  # type: ignore[override]  # by name, so that others are refused
        self,
        top_k: int | None = None,
        padding: Any = None,
        truncation: Any = None,
        timeout: float | None = None,
        on_error: str | None = None,
        max_new_tokens: int | None = None,
        generate_kwargs: Mapping[str, Any] | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        encoding = {"padding": padding, "truncation": truncation}
        told = {name: value for name, value in encoding.items() if value is not None}
        reading = self._reading(timeout, on_error)
        writing = dict(generate_kwargs or {})
        if max_new_tokens is not None:
            writing["max_new_tokens"] = whole_number("max_new_tokens", max_new_tokens, "tokens, at least 1")
        wrong = {"max_new_tokens": writing} if not self._writes else {"top_k": top_k}
        for name, value in wrong.items():
            if value:
                how = "writes its answers" if self._writes else "chooses among answers"
                raise ValueError(f"{type(self.model).__name__} {how}: leave {name} out")
        answering = {} if top_k is None else {"top_k": whole_number("top_k", top_k, "answers, at least 1")}
        return {**reading, **({"encoding": told} if told else {})}, writing, answering

    @property
    def _writes(self) -> bool:
        """Whether answers are written, not chosen."""
        return bool(self.model.can_generate())

    def __call__(self, inputs: Any = None, question: Any = None, *, image: Any = None, **kwargs: Any) -> Any:
        """Answer one question about one picture, or many.

        Args:
            inputs: a picture or a list of them; or `{"image": ..., "question": ...}`, a list of such, or a
                generator or dataset.
            question: about the picture, or a list of them: each is asked about each picture, all pictures for
                the first before the second.
            image: the same as `inputs`.
            **kwargs: see the class, and `Pipeline.__call__`.

        Returns:
            For each question a list of records with `score` and `answer`.

        Raises:
            ValueError: without a question, or a picture.
        """
        image = inputs if image is None else image
        if question is None:
            return super().__call__(image, **kwargs)
        if is_stream(image):
            raise ValueError(
                "a generator or dataset holds the questions too: {'image': ..., 'question': ...}"
            )
        if not isinstance(image, list) and not isinstance(question, list):
            return super().__call__({"image": image, "question": question}, **kwargs)
        pictures, questions = (one if isinstance(one, list) else [one] for one in (image, question))
        asked = [{"image": one, "question": each} for each in questions for one in pictures]
        return super().__call__(asked, **kwargs)

    def _item(self, item: Any, index: int | None) -> Any:
        where = place_of(index)
        if not isinstance(item, Mapping) or not isinstance(item.get("question"), str):
            raise ValueError(f"{where} has no question: pass {{'image': ..., 'question': a text}}")
        if not item["question"].strip():
            raise ValueError(f"the question of {where} is empty")
        if item.get("image") is None:
            raise ValueError(f"{where} has no picture: pass its image")
        return item

    def preprocess(
        self,
        inputs: Any,
        timeout: float | None = None,
        on_error: str = "raise",
        encoding: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Any:
        """The model's keywords for one picture, and a question about it."""
        made = super().preprocess(inputs["image"], timeout, on_error, **settings)
        if isinstance(made, Unread):
            return made
        asked = self.tokenizer(inputs["question"], return_tensors="pt", **(encoding or {}))
        taken = taken_by(self.model)
        return {**{name: value for name, value in asked.items() if name in taken}, **made}

    def _forward(self, model_inputs: Any, **params: Any) -> Any:
        """Logits of answers, or the answers, [B, returned, T]."""
        if not self._writes:
            return super()._forward(model_inputs, **params)
        found = self.model.generate(**model_inputs, **params)
        sequences = found if isinstance(found, torch.Tensor) else found.sequences
        return {"output_ids": sequences.view(len(model_inputs["pixel_values"]), -1, sequences.shape[1])}

    def postprocess(self, model_outputs: Any, top_k: int = 5, **params: Any) -> list[dict[str, Any]]:
        """The best answers to one question."""
        if "output_ids" in model_outputs:
            rows = model_outputs["output_ids"][0]
            return [{"answer": self.tokenizer.decode(row, skip_special_tokens=True).strip()} for row in rows]
        scores = APPLIED["sigmoid"](model_outputs["logits"].float().numpy())
        best = ranked(scores, labels_of(self.model.config), top_k)[0]
        return [{"score": one["score"], "answer": one["label"]} for one in best]
