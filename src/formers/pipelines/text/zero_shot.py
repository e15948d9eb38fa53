"""Zero-shot classification: labels that a call names, by a model that tells what follows from a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from formers.core.arrays import softmax
from formers.core.nested import split
from formers.core.notices import notice
from formers.pipelines.labels import candidates, hypotheses
from formers.pipelines.text.base import TEXT_KEYWORDS, TextPipeline
from formers.pipelines.text.inputs import Prepared, as_text, prepare

_TEMPLATE = "This example is {}."


@dataclass(slots=True)
class Several(Prepared):
    """Pairs of one input as its windows, such as a text with each label.

    Attributes:
        kept: what the answer needs of the input.
    """

    kept: Any = None

    @classmethod
    def of(cls, pairs: Sequence[Prepared], kept: Any) -> Several:
        """Lay pairs side by side; each is one window."""
        types = [one.types[0] for one in pairs if one.types is not None]
        length, cut = (sum(getattr(one, name) for one in pairs) for name in ("length", "cut"))
        return cls([one.ids for one in pairs], types or None, length, cut, kept)


class ZeroShotClassificationPipeline(TextPipeline):
    """Labels of the caller's own for texts: `pipeline("zero-shot-classification")`.

        pipe("a text", candidate_labels=["urgent", "not urgent"])
            {"sequence": "a text", "labels": [...], "scores": [...]}, the best first

    Every text and every label make a pair, text and hypothesis; the label's score is that of "entailment".
    All pairs are batched by their tokens.

    Args:
        model: a classifier of pairs that was trained on natural language inference.
        tokenizer: its tokenizer.
        **kwargs: those of `Pipeline`, and as defaults for every call:

            candidate_labels: a list of labels, or one string with commas between them.
            hypothesis_template: the hypothesis, with {} for the label.
            multi_label: score each label by itself, against "contradiction", so that several may be true;
                otherwise scores add up to 1. `multi_class` is its older name.
            long_text, truncation, max_length: see `TextPipeline`; a long text is cut, never its hypothesis.
    """

    default_task: ClassVar[str] = "zero-shot-classification"
    windowed = False
    run_keywords = ("multi_class", "multi_label")
    prepare_keywords = (*TEXT_KEYWORDS, "candidate_labels", "hypothesis_template")

    def __init__(self, model: Any, tokenizer: Any = None, **kwargs: Any) -> None:
        super().__init__(model, tokenizer, **kwargs)
        if self.entailment_id == -1:
            notice(
                "no label of the model's config begins with 'entail', so the last one is taken for it: set "
                "model.config.label2id, or name a model that was trained on natural language inference"
            )

    @property
    def entailment_id(self) -> int:
        """Place of the label "entailment"; -1 where no label is called so."""
        labels = self.model.config.label2id.items()
        return next((int(place) for label, place in labels if label.lower().startswith("entail")), -1)

    @classmethod
    def keywords(cls) -> frozenset[str] | None:
        """Keywords that the constructor takes."""
        if cls._sanitize_parameters is not ZeroShotClassificationPipeline._sanitize_parameters:
            return super().keywords()
        return frozenset([*cls.run_keywords, *cls.prepare_keywords]) | cls._constructor_keywords()

    def _sanitize_parameters(self, **given: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        preprocess = self._text_keywords(given)
        if "candidate_labels" in preprocess:
            preprocess["candidate_labels"] = candidates(preprocess["candidate_labels"])
        several = given.get("multi_label", given.get("multi_class"))
        return preprocess, {}, {} if several is None else {"multi_label": bool(several)}

    def __call__(
        self, inputs: Any = None, candidate_labels: Any = None, *, sequences: Any = None, **kwargs: Any
    ) -> Any:
        """Classify one text or many.

        Args:
            inputs: a string, a list of them, or a generator or dataset; `sequences` is the same.
            candidate_labels: see the class.
            sequences: see `inputs`.
            **kwargs: see the class, and `Pipeline.__call__`.

        Returns:
            For one string a dictionary, for many a list of them.
        """
        if candidate_labels is not None:
            kwargs["candidate_labels"] = candidate_labels
        return super().__call__(inputs if sequences is None else sequences, **kwargs)

    def preprocess_batch(
        self,
        inputs: Sequence[Any],
        first: int | None = None,
        candidate_labels: Sequence[str] = (),
        hypothesis_template: str = _TEMPLATE,
        **params: Any,
    ) -> list[Prepared]:
        """Tokenise every text with every hypothesis; the pairs of a text are its windows."""
        named = hypotheses(candidate_labels, hypothesis_template)
        pairs = []
        for place, item in enumerate(inputs):
            text, second = as_text(item, None if first is None else first + place)
            if second is not None or not text:
                what = "is empty" if second is None else "is a pair"
                raise ValueError(f"input {(first or 0) + place} {what}: a text by itself is classified")
            pairs += [(text, hypothesis) for hypothesis in named]
        fitting = self._fitting(params)
        if fitting.strategy == "longest_first":
            fitting = replace(fitting, strategy="only_first")
        found, count = prepare(self.tokenizer, pairs, fitting, None), len(named)
        return [
            Several.of(found[i : i + count], (pairs[i][0], candidate_labels))
            for i in range(0, len(found), count)
        ]

    def postprocess(
        self,
        model_outputs: Any,
        multi_label: bool = False,
        labels: Sequence[str] = (),
        text: str = "",
        **_: Any,
    ) -> dict[str, Any]:
        """The answer for one text from the logits of its pairs, [labels, C]."""
        logits, entailed = model_outputs["logits"].float().numpy(), self.entailment_id
        if multi_label or len(logits) == 1:
            scores = softmax(logits[:, [-1 if entailed == 0 else 0, entailed]])[:, 1]
        else:
            scores = softmax(logits[:, entailed])
        order = np.argsort(scores)[::-1]
        ranked = [labels[place] for place in order]
        return {"sequence": text, "labels": ranked, "scores": scores[order].tolist()}

    def postprocess_batch(self, outputs: Any, prepared: Sequence[Any], **params: Any) -> list[Any]:
        """The answers for a batch of texts."""
        parts = split({"logits": outputs["logits"]}, [len(one.windows) for one in prepared])
        each = zip(parts, prepared, strict=True)
        return [self.postprocess(part, **params, text=one.kept[0], labels=one.kept[1]) for part, one in each]
