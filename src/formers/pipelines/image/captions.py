"""Captions: `pipeline("image-to-text")`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch

from formers.configs import GenerationConfig
from formers.core.notices import refuse_unknown
from formers.generation.decoder import taken_by
from formers.pipelines.frame import whole_number
from formers.pipelines.image.base import ImagePipeline
from formers.tasks.table import task_of


class ImageToTextPipeline(ImagePipeline):
    """What a picture shows, or says, in words: `pipeline("image-to-text")`.

        pipe("birds.png")                       [{"generated_text": "two birds ..."}]
        pipe(["birds.png", image])              a list of such lists
        pipe("birds.png", prompt="a photo of")  goes on with the prompt

    Args:
        model: a model that writes texts about pictures.
        tokenizer: its tokenizer.
        **kwargs: those of `ImagePipeline`, and as defaults for every call:

            max_new_tokens: how long a text may become.
            generate_kwargs: settings of `generate` in a mapping; they may be given by themselves too.
            prompt: a text to go on with, where the model reads one.
    """

    default_task: ClassVar[str] = "image-to-text"
    _load_tokenizer: ClassVar[bool | None] = True

    @classmethod
    def keywords(cls) -> frozenset[str] | None:
        """Those of the class, and the settings of `generate`."""
        own = ("max_new_tokens", "generate_kwargs", "prompt", "timeout", "on_error")
        return frozenset((*own, *GenerationConfig().known_names())) | cls._constructor_keywords()

    def _sanitize_parameters(
        self,
        max_new_tokens: int | None = None,
        generate_kwargs: Mapping[str, Any] | None = None,
        prompt: str | None = None,
        timeout: float | None = None,
        on_error: str | None = None,
        **given: Any,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        refuse_unknown(
            {name: value for name, value in given.items() if name not in GenerationConfig().known_names()},
            self.keywords() or (),
            type(self).__name__,
        )
        forward = {**(generate_kwargs or {}), **given}
        if max_new_tokens is not None:
            if "max_new_tokens" in forward:
                raise ValueError("max_new_tokens is given twice, once in generate_kwargs: leave one out")
            forward["max_new_tokens"] = whole_number("max_new_tokens", max_new_tokens, "tokens, at least 1")
        preprocess = self._reading(timeout, on_error)
        return preprocess if prompt is None else {**preprocess, "prompt": prompt}, forward, {}

    def __call__(self, inputs: Any = None, *, images: Any = None, **kwargs: Any) -> Any:
        """Write about one picture or many.

        Args:
            inputs: a picture, a list of them, or a generator or dataset; `images` is the same.
            images: see `inputs`.
            **kwargs: see the class, and `Pipeline.__call__`.

        Returns:
            For each picture a list of records with the `generated_text`.
        """
        return super().__call__(inputs if images is None else images, **kwargs)

    def preprocess(
        self,
        inputs: Any,
        timeout: float | None = None,
        on_error: str = "raise",
        prompt: str | None = None,
        **settings: Any,
    ) -> Any:
        """The model's keywords for one picture, and for a prompt."""
        if prompt is not None and not isinstance(prompt, str):
            raise TypeError(f"a prompt is one text for all pictures, not {type(prompt).__name__}")
        assembly: Any = getattr(self.model, "_assembly", None)
        if getattr(assembly, "by_processor", False):
            own = assembly.text_options(self.model)
            return super().preprocess(inputs, timeout, on_error, **{"text": prompt or "", **own, **settings})
        if getattr(self.image_processor, "is_vqa", False):  # it is written above the picture
            return super().preprocess(inputs, timeout, on_error, **{"header_text": prompt, **settings})
        made = super().preprocess(inputs, timeout, on_error, **settings)
        if prompt is None or not hasattr(made, "items"):
            return made
        if "input_ids" not in taken_by(self.model):
            raise ValueError(f"{type(self.model).__name__} goes on with no text: leave prompt out")
        made["input_ids"] = self._prompt(prompt)
        return made

    def _made(self, picture: Any, settings: dict[str, Any]) -> Any:
        if "text" in settings:
            if self.processor is None:
                raise ValueError(
                    f"{type(self.model).__name__} reads pictures within texts: pass "
                    "processor=AutoProcessor.from_pretrained(...), which prepares both together"
                )
            return self.processor(images=picture, return_tensors="pt", **settings)
        return super()._made(picture, settings)

    def _prompt(self, prompt: str) -> torch.Tensor:
        """A prompt's tokens, [1, T], without an end unless the model takes that off itself."""
        task = task_of(self.model)
        if task is not None and task.framed:
            whole: torch.Tensor = self.tokenizer(prompt, return_tensors="pt")["input_ids"]
            return whole
        first = self.tokenizer.cls_token_id
        ids = self.tokenizer(prompt, add_special_tokens=False)["input_ids"]
        return torch.tensor([ids if first is None else [first, *ids]])

    def _forward(self, model_inputs: Any, **params: Any) -> Any:
        """Write; the sequences [B, returned, T]."""
        found = self.model.generate(**model_inputs, **params)
        sequences = found if isinstance(found, torch.Tensor) else found.sequences
        pictures = len(next(iter(model_inputs.values())))
        return {"output_ids": sequences.view(pictures, -1, sequences.shape[1])}

    def postprocess(self, model_outputs: Any, **params: Any) -> Any:
        """One record for each text."""
        rows = model_outputs["output_ids"][0]
        return [{"generated_text": self.tokenizer.decode(row, skip_special_tokens=True)} for row in rows]
