"""Audio classification: the labels of a sound, with their scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from formers.pipelines.frame import Call, Pipeline, whole_number
from formers.pipelines.labels import (
    APPLIED,
    ClassificationFunction,
    checked_function,
    function_of,
    labels_of,
    ranked,
)
from formers.processing.audio.reading import as_wave


class AudioClassificationPipeline(Pipeline):
    """Labels and scores for sounds: `pipeline("audio-classification")`.

        pipe("bark.wav")              [{"label": "dog", "score": 0.9}, ...], the best first
        pipe(["bark.wav", array])     a list of such lists

    Sounds are what `AutomaticSpeechRecognitionPipeline` takes.

    Args:
        model: a model with a head that labels sounds.
        **kwargs: those of `Pipeline`, and as defaults for every call:

            top_k: how many labels; all where it is None.
            function_to_apply: "softmax", "sigmoid", "none" or "default", which the problem type decides.
            timeout: seconds for an address to answer.

    Raises:
        BadSound: for a sound that cannot be read.
        ValueError: without a feature extractor.
    """

    default_task: ClassVar[str] = "audio-classification"
    _load_tokenizer: ClassVar[bool | None] = False
    _load_image_processor: ClassVar[bool | None] = False
    _load_feature_extractor: ClassVar[bool | None] = True

    def __init__(self, model: Any, tokenizer: Any = None, **kwargs: Any) -> None:
        super().__init__(model, tokenizer, **kwargs)
        if self.feature_extractor is None:
            raise ValueError(
                f"{type(self).__name__} needs feature_extractor=AutoFeatureExtractor.from_pretrained(...)"
            )

    def _sanitize_parameters(  # type: ignore[override]  # by name, so that others are refused
        self,
        top_k: Any = "",
        function_to_apply: ClassificationFunction | str | None = None,
        timeout: float | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        behind: dict[str, Any] = {}
        if top_k != "":
            behind["top_k"] = whole_number("top_k", top_k, "labels, at least 1, or None for all of them")
        if function_to_apply is not None:
            behind["function_to_apply"] = checked_function(function_to_apply)
        return {} if timeout is None else {"timeout": timeout}, {}, behind

    def preprocess(  # type: ignore[override]  # all of its keywords are named
        self, inputs: Any, timeout: float | None = None
    ) -> Any:
        """The model's keywords for one sound, in the model's number format."""
        rate = self.feature_extractor.sampling_rate
        wave = as_wave(inputs, rate, timeout=timeout)
        made = self.feature_extractor(wave, sampling_rate=rate, return_tensors="pt")
        return made if self.dtype is None else made.to(self.dtype)

    def _forward(self, model_inputs: Any, **params: Any) -> Any:
        return {"logits": self.model(**model_inputs, **params).logits}

    def _run(self, prepared: Sequence[Any], call: Call) -> list[Any]:
        """Answer a batch: sounds of one length together where no mask tells their lengths."""
        run = super()._run if "attention_mask" in prepared[0] else self._run_alike
        return run(prepared, call)

    def postprocess(  # type: ignore[override]  # all of its keywords are named
        self, model_outputs: Any, top_k: int | None = None, function_to_apply: Any = None
    ) -> list[dict[str, Any]]:
        """The best labels of one sound."""
        function = function_to_apply or function_of(self.model.config)
        scores = APPLIED[function.value](model_outputs["logits"].float().numpy())
        return ranked(scores, labels_of(self.model.config), top_k)[0]
