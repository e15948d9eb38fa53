"""Feature extraction: the last states of a model, for every token of a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from formers.pipelines.text.base import TEXT_KEYWORDS, TextPipeline


class FeatureExtractionPipeline(TextPipeline):
    """The states of a text's tokens: `pipeline("feature-extraction")`.

        pipe("a text")                        nested lists of floats, [1, T, E]
        pipe("a text", return_tensors=True)   the same as a tensor
        pipe(["a text", "another"])           a list of them, each in its own length

    For one vector a text see `pipeline("sentence-embeddings")`.

    Args:
        model: any model that reads text; what is returned is the first of its outputs.
        tokenizer: its tokenizer.
        **kwargs: those of `Pipeline`, and as defaults for every call:

            return_tensors: tensors in place of lists.
            tokenize_kwargs: keywords of the tokenizer in a mapping; they may be given beside it, too. With
                `padding="max_length"` and `pad_to_multiple_of` the states of padding are zeros.
            long_text, stride, truncation, ...: see `TextPipeline`; each window is a row [T, E].
    """

    default_task: ClassVar[str] = "feature-extraction"
    run_keywords = ("return_tensors",)

    @classmethod
    def keywords(cls) -> frozenset[str] | None:
        """Keywords that the constructor takes."""
        if cls._sanitize_parameters is not FeatureExtractionPipeline._sanitize_parameters:
            return super().keywords()
        names = [*cls.run_keywords, "tokenize_kwargs", *TEXT_KEYWORDS]
        return frozenset(names) | cls._constructor_keywords()

    def _sanitize_parameters(
        self,
        return_tensors: bool | None = None,
        tokenize_kwargs: Mapping[str, Any] | None = None,
        **given: Any,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        preprocess = self._text_keywords(given, tokenize_kwargs, "tokenize_kwargs")
        padded = ("padding", "max_length", "pad_to_multiple_of", "padding_side")
        postprocess = {name: preprocess[name] for name in padded if name in preprocess}
        if return_tensors is not None:
            postprocess["return_tensors"] = return_tensors
        return preprocess, {}, postprocess

    def postprocess(self, model_outputs: Any, **params: Any) -> Any:
        """The states of one text."""
        return self._states(_first(model_outputs), **params)

    def postprocess_batch(self, outputs: Any, prepared: Sequence[Any], **params: Any) -> list[Any]:
        """The states of a batch of texts, each without the padding of the others."""
        states, found, start = _first(outputs), [], 0
        for one in prepared:
            stop = start + self._rows(one)
            longest = max(map(len, one.windows))
            own = states[start:stop, :longest] if states.dim() == 3 else states[start:stop]
            found.append(self._states(own, **params))
            start = stop
        return found

    def _states(
        self,
        states: torch.Tensor,
        return_tensors: bool = False,
        padding: Any = False,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
    ) -> Any:
        """States [W, T, E] as the caller wants them."""
        width = states.shape[1]
        if padding == "max_length":
            width = max(width, max_length or self.max_length or 0)
        if pad_to_multiple_of and padding:
            width += -width % pad_to_multiple_of
        if states.dim() == 3 and width > states.shape[1]:
            left = (padding_side or getattr(self.tokenizer, "padding_side", "right")) == "left"
            more = width - states.shape[1]
            states = torch.nn.functional.pad(states, (0, 0, more, 0) if left else (0, 0, 0, more))
        return states.clone() if return_tensors else states.tolist()


def _first(outputs: Any) -> torch.Tensor:
    """The first tensor of a model's outputs."""
    found = outputs.values() if hasattr(outputs, "values") else outputs
    tensor: torch.Tensor = next(value for value in found if isinstance(value, torch.Tensor))
    return tensor
