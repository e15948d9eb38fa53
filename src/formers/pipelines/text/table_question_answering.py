"""Answers to questions about tables: cells, and what is to be done with their numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from formers.core.extras import need
from formers.core.nested import split
from formers.core.notices import refuse_unknown
from formers.generation import GenerationConfig
from formers.pipelines.datasets import is_stream, is_wordlist
from formers.pipelines.frame import side_by_side
from formers.pipelines.text.base import TextPipeline
from formers.pipelines.text.generation import OF_GENERATE, WritingPipeline
from formers.pipelines.text.inputs import Prepared, collate, one_of, place_of
from formers.tokenization.tables import TapasTruncationStrategy

_PADDING = ("longest", "max_length", "do_not_pad")
_COLUMN, _ROW, _BEFORE = 1, 2, 3  # kinds of types of a token: where it stands, whether it answered before


@dataclasses.dataclass(slots=True)
class Asked(Prepared):
    """A table with questions about it, a row of ids for each.

    Attributes:
        table: a `pandas.DataFrame`.
    """

    table: Any = None


class TableQuestionAnsweringArgumentHandler:
    """Reads what a call is given: a list of `{"table", "query"}`, or a generator or dataset as it is."""

    def __call__(self, table: Any = None, query: Any = None, **kwargs: Any) -> Any:
        """Read a table and its question, or mappings with both.

        Raises:
            KeyError: for a mapping without a table or a question.
            TypeError: for what is no table or no question.
            ValueError: for an empty table or question.
        """
        refuse_unknown(kwargs, ("table", "query"), type(self).__name__)
        if query is not None:
            return [self.normalize({"table": table, "query": query})]
        if is_stream(table):
            return table
        if isinstance(table, Mapping) and "table" not in table and "query" not in table:
            raise ValueError("a table needs a question: pass query=...")
        several = is_wordlist(table) and not hasattr(table, "columns")
        items = list(table) if several else [table]
        single = len(items) == 1
        return [self.normalize(one, None if single else index) for index, one in enumerate(items)]

    def normalize(self, item: Any, index: int | None = None) -> dict[str, Any]:
        """One table, as a `pandas.DataFrame`, with its question or questions."""
        pandas = need("pandas", "tables", "tables")
        if not isinstance(item, Mapping):
            raise TypeError(
                f"{place_of(index)} is of type {type(item).__name__}; expected a table and query=..., or "
                "{'table': ..., 'query': ...}"
            )
        lost = [name for name in ("table", "query") if name not in item]
        if lost:
            raise KeyError(f"{place_of(index)} has no {lost[0]!r}; its keys are {list(item)}")
        table, query = item["table"], item["query"]
        if not isinstance(table, pandas.DataFrame):
            if not isinstance(table, Mapping | list):
                raise TypeError(
                    f"the table of {place_of(index)} is of type {type(table).__name__}; expected a "
                    "pandas.DataFrame, or a mapping of names of columns to lists of texts"
                )
            try:
                table = pandas.DataFrame(table)
            except ValueError as error:
                raise ValueError(f"the table of {place_of(index)} is no table: {error}") from error
        if table.empty:
            raise ValueError(f"the table of {place_of(index)} is empty")
        asked = list(query) if is_wordlist(query) else [query]
        if not asked or not all(asked):
            raise ValueError(f"a question of {place_of(index)} is empty")
        if not all(isinstance(one, str) for one in asked):
            raise TypeError(f"the query of {place_of(index)} must be a question (text) or a list of those")
        return {"table": table, "query": asked}


class TableQuestionAnsweringPipeline(TextPipeline):
    """Answers questions about tables: `pipeline("table-question-answering")`.

        table = {"Name": ["Anna", "Ben"], "Age": ["31", "45"]}
        pipe(table=table, query="How old is Ben?")
            {"answer": "45", "coordinates": [(1, 1)], "cells": ["45"], "aggregator": "NONE"}
        pipe(table=table, query=["...", "..."])     a list of answers
        pipe([{"table": ..., "query": ...}, ...])   likewise

    `answer` begins with the operator ("SUM > 31, 45") where the model names one. A model that writes its
    answers, as TAPEX does, gives `{"answer": ...}` alone.

    Args:
        model: TAPAS with its question-answering head, or an encoder-decoder.
        tokenizer: its tokenizer.
        **kwargs: those of `Pipeline`, and as defaults for every call:

            sequential: whether each question of a table is asked with the answer of the one before in mind.
            truncation: "drop_rows_to_fit", also True, leaves rows out until the table fits, which is the
                default; "do_not_truncate" or False leaves none out.
            padding: accepted; padding changes no answer.

            Settings of `generate`, for a model that writes: at most 256 tokens where nobody says otherwise.

    Raises:
        ValueError: for a model with another kind of head.
    """

    default_task: ClassVar[str] = "table-question-answering"
    default_input_names: ClassVar[Any] = "table,query"

    def __new__(cls, model: Any = None, *args: Any, **kwargs: Any) -> Any:
        """One whose model chooses cells, or one whose model writes."""
        writes = getattr(getattr(model, "config", None), "is_encoder_decoder", False)
        return object.__new__(
            WrittenAnswersPipeline if cls is TableQuestionAnsweringPipeline and writes else cls
        )

    @classmethod
    def keywords(cls) -> frozenset[str] | None:
        """Keywords that the constructor takes, for models of both kinds."""
        names = {"sequential", "padding", "truncation", *OF_GENERATE, *GenerationConfig().known_names()}
        return frozenset(names) | cls._constructor_keywords()

    def _sanitize_parameters(  # type: ignore[override]  # keywords of its own, by name
        self, sequential: bool | None = None, padding: Any = None, truncation: Any = None
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        one_of("padding", padding, _PADDING, switch=True)
        preprocess, forward = {}, {}
        if truncation is not None:
            preprocess["truncation"] = one_of("truncation", truncation, list(TapasTruncationStrategy), True)
        if sequential is not None:
            forward["sequential"] = bool(sequential)
        return preprocess, forward, {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Answer one question about a table or many.

        Args:
            *args: a table and a query; or `{"table": ..., "query": ...}`, a list of those, a generator or a
                dataset. A table is a `pandas.DataFrame`, or what one is made from.
            **kwargs: `table` and `query`, a question or a list of them; see the class, and
                `Pipeline.__call__` for `batch_size` and `progress`.

        Returns:
            `{"answer", "coordinates", "cells"}`, with `aggregator` where the model has operators; a list for
            several questions, or tables.
        """
        given = {name: kwargs.pop(name) for name in ("table", "query") if name in kwargs}
        items = TableQuestionAnsweringArgumentHandler()(*args, **given)
        found = super().__call__(items, **kwargs)
        return found[0] if isinstance(found, list) and len(found) == 1 else found

    # -- the steps ---------------------------------------------------------------------------------

    def _is_many(self, inputs: Any) -> bool:
        return isinstance(inputs, list)

    def _rows_of(self, table: Any) -> Any:
        return table

    def _item(self, item: Any, index: int | None) -> Any:
        return TableQuestionAnsweringArgumentHandler().normalize(item, index)

    def preprocess(self, inputs: Any, **params: Any) -> Any:
        """The model's keywords for one table, [questions, T] each, and `table`."""
        (one,) = self.preprocess_batch([inputs], **params)
        return {**self._tensors([one], always=True), "table": one.table}

    def preprocess_batch(
        self,
        inputs: Sequence[Any],
        first: int | None = None,
        truncation: Any = "drop_rows_to_fit",
        **params: Any,
    ) -> list[Any]:
        """Tokenise tables with their questions; an `Asked` for each."""
        refuse_unknown(params, ("truncation",), f"{type(self).__name__}.preprocess")
        ready = []
        for index, item in enumerate(inputs):
            one = self._item(item, None if first is None else first + index)
            found = self.tokenizer(one["table"], one["query"], truncation=truncation, verbose=False)
            rows = [np.asarray(row, dtype=np.int64) for row in found["input_ids"]]
            types = [np.asarray(row, dtype=np.int64) for row in found["token_type_ids"]]
            ready.append(Asked(rows, types, sum(map(len, rows)), table=one["table"]))
        return list(ready)

    def _forward(self, model_inputs: Any, sequential: bool = False, **params: Any) -> Any:
        """The model's outputs, a row for each question; with the inputs where a table is among them."""
        table = model_inputs.get("table")
        inputs = {name: value for name, value in model_inputs.items() if name != "table"}
        if sequential:
            raise ValueError("sequential=True needs the steps over batches: override forward_batch instead")
        outputs = super()._forward(inputs, **params)
        return outputs if table is None else {**dict(outputs.items()), **inputs, "table": table}

    def forward_batch(self, prepared: Sequence[Any], sequential: bool = False, **params: Any) -> Any:
        """The model's outputs with a row for every question of every table."""
        # where no column may be chosen, padding counts for that: tables are not padded for each other
        if len(prepared) > 1 and self.model.config.allow_empty_column_selection:
            alone = [self.forward_batch([one], sequential=sequential, **params) for one in prepared]
            return side_by_side([dict(one.items()) for one in alone], self.tokenizer)
        if not sequential:
            return super().forward_batch(prepared, **params)
        found: list[list[Any]] = [[] for _ in prepared]
        last: dict[int, Asked] = {}
        for turn in range(max(len(one.windows) for one in prepared)):
            now = {i: self._turn(one, turn) for i, one in enumerate(prepared) if turn < len(one.windows)}
            for place, one in now.items():
                if turn:
                    self._remember(one, last[place], found[place][-1])
            outputs = super().forward_batch(list(now.values()), **params)
            rows = split(dict(outputs.items()), [1] * len(now))
            for place, row in zip(now, rows, strict=True):
                found[place].append(row)
            last = now
        return side_by_side([row for rows in found for row in rows], self.tokenizer)

    @staticmethod
    def _turn(one: Asked, turn: int) -> Asked:
        """One question of several; the types of its tokens are its own."""
        row, types = one.windows[turn], (one.types or [])[turn].copy()
        return Asked([row], [types], len(row), table=one.table)

    def _remember(self, one: Asked, before: Asked, outputs: Any) -> None:
        """Mark the tokens of cells that answered the question before."""
        ((cells,), *_) = self._chosen(before, {"logits": outputs["logits"]})
        types = (one.types or [])[0]
        at = {(int(row), int(column)) for row, column in cells}
        places = zip(types[:, _ROW].tolist(), types[:, _COLUMN].tolist(), strict=True)
        types[:, _BEFORE] = [int((row - 1, column - 1) in at) for row, column in places]

    def _chosen(self, one: Asked, outputs: Mapping[str, torch.Tensor]) -> Any:
        """The cells that answer each question, and the numbers of their operators where there are some."""
        inputs = collate([one], pad_id=0, types=True, always=True)
        width = inputs["input_ids"].shape[1]
        given = (outputs["logits"][:, :width].float(), outputs.get("logits_aggregation"))
        return self.tokenizer.convert_logits_to_predictions(
            inputs, *(one for one in given if one is not None)
        )

    def postprocess(self, model_outputs: Any, **params: Any) -> Any:
        """The answers about one table, from the model's outputs, its inputs and the `table`."""
        mask = model_outputs["attention_mask"].bool()
        rows, types = (
            [row[real].cpu().numpy() for row, real in zip(model_outputs[name], mask, strict=True)]
            for name in ("input_ids", "token_type_ids")
        )
        return self.postprocess_batch(
            model_outputs, [Asked(rows, types, int(mask.sum()), table=model_outputs["table"])], **params
        )[0]

    def postprocess_batch(self, outputs: Any, prepared: Sequence[Any], **params: Any) -> list[Any]:
        """The answers about each table: one, or a list where several questions were asked."""
        refuse_unknown(params, (), f"{type(self).__name__}.postprocess")
        known = {name: outputs[name] for name in ("logits", "logits_aggregation") if name in outputs}
        rows = [self._rows(one) for one in prepared]
        answers = []
        for one, own in zip(prepared, split(known, rows), strict=True):
            found = self._answered(one, own)
            answers.append(found if len(found) > 1 else found[0])
        return answers

    def _answered(self, one: Asked, outputs: Mapping[str, torch.Tensor]) -> list[dict[str, Any]]:
        config: Any = self.model.config
        names = {int(index): name for index, name in (config.aggregation_labels or {}).items()}
        if not (names and config.num_aggregation_labels):
            outputs = {"logits": outputs["logits"]}
        cells, *operators = self._chosen(one, outputs)
        answers = []
        for index, coordinates in enumerate(cells):
            texts = [one.table.iat[place] for place in coordinates]
            answer = {"answer": ", ".join(texts), "coordinates": coordinates, "cells": texts}
            if operators:
                operator = operators[0][index]
                if operator != config.no_aggregation_label_index:
                    answer["answer"] = f"{names[operator]} > {answer['answer']}"
                answer["aggregator"] = names[operator]
            answers.append(answer)
        return answers


class WrittenAnswersPipeline(WritingPipeline, TableQuestionAnsweringPipeline):
    """The same for models that write answers, such as TAPEX; see `TableQuestionAnsweringPipeline`."""

    defaults: ClassVar[Mapping[str, Any]] = {"max_new_tokens": 256}
    run_keywords: ClassVar[tuple[str, ...]] = ("padding", "truncation")

    def _sanitize_parameters(
        self, sequential: bool | None = None, padding: Any = None, truncation: Any = None, **given: Any
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        if sequential:
            raise ValueError("sequential=True is for models that choose cells: each answer is written alone")
        before, _, after = TableQuestionAnsweringPipeline._sanitize_parameters(
            self, None, padding, truncation
        )
        return before, self._settings(given), after

    def preprocess_batch(
        self,
        inputs: Sequence[Any],
        first: int | None = None,
        truncation: Any = "drop_rows_to_fit",
        **params: Any,
    ) -> list[Any]:
        """Tokenise tables with their questions; an `Asked` for each."""
        refuse_unknown(params, ("truncation",), f"{type(self).__name__}.preprocess")
        cut = "drop_rows_to_fit" if truncation is True else truncation
        ready = []
        for index, item in enumerate(inputs):
            one = self._item(item, None if first is None else first + index)
            found = self.tokenizer(one["table"], one["query"], truncation=cut, verbose=False)
            rows = [np.asarray(row, dtype=np.int64) for row in found["input_ids"]]
            ready.append(Asked(rows, None, sum(map(len, rows)), table=one["table"]))
        return list(ready)

    def _forward(self, model_inputs: Any, sequential: bool = False, **params: Any) -> Any:
        """What is written about each question, as tokens."""
        inputs = {name: value for name, value in model_inputs.items() if name != "table"}
        return {"sequences": self.model.generate(**inputs, **self._filled(params))}

    def forward_batch(self, prepared: Sequence[Any], sequential: bool = False, **params: Any) -> Any:
        """What is written about every question of every table."""
        return self.forward(self._tensors(prepared, always=True), **params)

    def postprocess(self, model_outputs: Any, **params: Any) -> Any:
        """The answers about one table: one, or a list where several questions were asked."""
        refuse_unknown(params, (), f"{type(self).__name__}.postprocess")
        found = [{"answer": self._decoded(row, {})} for row in model_outputs["sequences"]]
        return found if len(found) > 1 else found[0]

    def postprocess_batch(self, outputs: Any, prepared: Sequence[Any], **params: Any) -> list[Any]:
        """The answers about each table."""
        parts = split(outputs["sequences"], [self._rows(one) for one in prepared])
        return [self.postprocess({"sequences": part}, **params) for part in parts]
