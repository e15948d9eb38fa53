"""Text ranking: which documents answer a query, by a cross-encoder that reads both at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch

from formers.core.jsonfile import read_json_object
from formers.core.nested import split
from formers.evaluation.records import beside
from formers.hub import Source
from formers.pipelines.frame import whole_number
from formers.pipelines.text.base import TEXT_KEYWORDS, TextPipeline
from formers.pipelines.text.embedding import activation_of
from formers.pipelines.text.inputs import Prepared, one_of, prepare
from formers.pipelines.text.zero_shot import Several

Scores = npt.NDArray[np.float32]
_SAID = "config_sentence_transformers.json"


class TextRankingPipeline(TextPipeline):
    """The documents that fit a query, the best first: `pipeline("text-ranking")`, also called "reranking".

        pipe("a query", ["a document", "another"])              [{"index": 1, "score": 0.9}, ...]
        pipe({"query": "a query", "documents": ["...", "..."]})   the same; a list of these gives a list

    `rank` and `predict` answer as the `CrossEncoder` of sentence-transformers does. What makes scores of the
    logits is what the model's folder declares (`activation_fn`); without that their sigmoid.

    Args:
        model: a classifier of pairs with one output.
        tokenizer: its tokenizer.
        activation: a module that is applied to logits, in place of the declared one.
        **kwargs: those of `Pipeline`, and as defaults for every call:

            top_k: how many documents; None for all.
            return_documents: each record has the document, too, as "text".
            function_to_apply: "sigmoid" or "none", in place of the declared one.
            long_text, truncation, max_length, ...: see `TextPipeline`.

    Raises:
        ValueError: for a model with several outputs.
    """

    default_task: ClassVar[str] = "text-ranking"
    windowed = False
    run_keywords = ("function_to_apply", "return_documents", "top_k")

    def __init__(
        self,
        model: Any,
        tokenizer: Any = None,
        *,
        activation: torch.nn.Module | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(model, tokenizer, **kwargs)
        outputs = len(self.model.config.id2label)
        if outputs != 1:
            raise ValueError(
                f"a model that ranks has one output, this one has {outputs}: "
                'pipeline("text-classification") labels pairs'
            )
        source = beside(model) if activation is None else None
        if source is not None:
            activation = self._declared(Source.of(source)).get("activation")
        self.activation = activation or _activation(vars(self.model.config)) or torch.nn.Sigmoid()

    @classmethod
    def _declared(cls, source: Source) -> dict[str, Any]:
        """What makes scores of logits, as a file beside the model says it."""
        file = source.find(_SAID)
        found = None if file is None else _activation(read_json_object(file))
        return {} if found is None else {"activation": found}

    @classmethod
    def keywords(cls) -> frozenset[str] | None:
        """Keywords that the constructor takes."""
        if cls._sanitize_parameters is not TextRankingPipeline._sanitize_parameters:
            return super().keywords()
        return frozenset([*cls.run_keywords, *TEXT_KEYWORDS]) | cls._constructor_keywords()

    def _sanitize_parameters(self, **given: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        preprocess = self._text_keywords(given)
        postprocess = {name: given[name] for name in self.run_keywords if given.get(name) is not None}
        if "top_k" in given:
            postprocess["top_k"] = whole_number("top_k", given["top_k"], "documents, at least 1")
        function = postprocess.get("function_to_apply")
        if function is not None:
            postprocess["function_to_apply"] = one_of("function_to_apply", function, list(_FUNCTIONS))
        return preprocess, {}, postprocess

    def __call__(self, inputs: Any, documents: Sequence[str] | None = None, **kwargs: Any) -> Any:
        """Rank documents.

        Args:
            inputs: a query with its `documents`, `{"query": ..., "documents": [...]}`, or a list of those.
            documents: texts.
            **kwargs: see the class, and `Pipeline.__call__`.

        Returns:
            A list of `{"index", "score"}` for each query, the best first.
        """
        if documents is not None:
            inputs = {"query": inputs, "documents": documents}
        return super().__call__(inputs, **kwargs)

    def rank(self, query: str, documents: Sequence[str], **kwargs: Any) -> list[dict[str, Any]]:
        """The same records, with the place of a document as "corpus_id"."""
        found = self(query, documents, **kwargs)
        return [{"corpus_id": one.pop("index"), **one} for one in found]

    def predict(self, X: Sequence[Any], **kwargs: Any) -> Scores:  # noqa: N803  (as in every pipeline)
        """Scores [N] of pairs (query, document), in their order."""
        pairs = [{"query": query, "documents": [text]} for query, text in X]
        return np.array([one[0]["score"] for one in self(pairs, **kwargs)], dtype=np.float32)

    def _is_many(self, inputs: Any) -> bool:
        return not isinstance(inputs, Mapping) and super()._is_many(inputs)

    def _item(self, item: Any, index: int | None) -> Any:
        """A query and its documents."""
        where = "the input" if index is None else f"input {index}"
        if not isinstance(item, Mapping) or set(item) != {"query", "documents"}:
            wanted = "{'query': a text, 'documents': a list of texts}"
            raise TypeError(f"{where} must be {wanted}, got {item!r}"[:300])
        texts = [item["query"], *([] if isinstance(item["documents"], str) else item["documents"])]
        if len(texts) < 2 or not all(isinstance(text, str) for text in texts):
            raise TypeError(f"{where} needs a query that is a text, and documents that are a list of texts")
        return texts

    def preprocess_batch(
        self, inputs: Sequence[Any], first: int | None = None, **params: Any
    ) -> list[Prepared]:
        """Tokenise every query with each of its documents; these pairs are its windows."""
        pairs = [(query, text) for query, *texts in inputs for text in texts]
        ready = iter(prepare(self.tokenizer, pairs, self._fitting(params), None))
        return [Several.of([next(ready) for _ in texts], texts) for _, *texts in inputs]

    def postprocess(
        self,
        model_outputs: Any,
        texts: Sequence[str] = (),
        top_k: int | None = None,
        return_documents: bool = False,
        function_to_apply: str | None = None,
        **_: Any,
    ) -> list[dict[str, Any]]:
        """The records of one query from the logits of its documents, [documents, 1]."""
        logits = model_outputs["logits"].float()[:, 0]
        scores = (_FUNCTIONS[function_to_apply] if function_to_apply else self.activation)(logits)
        order = torch.argsort(scores, descending=True, stable=True)[:top_k].tolist()
        found = [{"index": place, "score": scores[place].item()} for place in order]
        if return_documents:
            found = [{**one, "text": texts[one["index"]]} for one in found]
        return found

    def postprocess_batch(self, outputs: Any, prepared: Sequence[Any], **params: Any) -> list[Any]:
        """The records of a batch of queries."""
        parts = split({"logits": outputs["logits"]}, [len(one.windows) for one in prepared])
        each = zip(parts, prepared, strict=True)
        return [self.postprocess(part, **params, texts=one.kept) for part, one in each]


_FUNCTIONS = {"sigmoid": torch.sigmoid, "none": lambda logits: logits}


def _activation(config: Mapping[str, Any]) -> torch.nn.Module | None:
    """What a config declares, in the spelling of any release; None where it does not."""
    nested = config.get("sentence_transformers")
    name = nested.get("activation_fn") if isinstance(nested, Mapping) else None
    name = name or config.get("activation_fn") or config.get("sbert_ce_default_activation_function")
    return activation_of(name) if name else None
