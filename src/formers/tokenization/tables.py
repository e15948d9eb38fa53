"""Tokenizers that read a table beside a question."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from formers.core.extras import need
from formers.core.fields import Choice
from formers.core.notices import notice, refuse_unknown
from formers.tokenization import components, numbers
from formers.tokenization.encoder import Encoder, notice_long
from formers.tokenization.encoding import BatchEncoding
from formers.tokenization.options import CALL_KEYWORDS, NO_LIMIT, EncodeOptions
from formers.tokenization.padding import Filling
from formers.tokenization.vocabulary import Vocabulary

_TYPES = 7  # segment, column, row, answer before, rank, rank from the other end, relation to the question


class TapasTruncationStrategy(Choice):
    """What a table loses when it does not fit."""

    DROP_ROWS_TO_FIT = "drop_rows_to_fit"
    DO_NOT_TRUNCATE = "do_not_truncate"


class Token(NamedTuple):
    """A token of a table: its id, its column from 1, its row from 1 (0 for names), where its word begins."""

    piece: int
    column: int
    row: int
    word: int


class Table(NamedTuple):
    """A table as tokens, the ids of each cell (names first), and the values of each column by row."""

    tokens: list[Token]
    cells: list[list[list[int]]]
    values: list[dict[int, numbers.Value]]


class TableMethods:
    """What TAPAS's tokenizer has (arXiv:2004.02349): a call takes a table and questions.

    Attributes:
        cell_trim_length: how many tokens a cell keeps at most where a table does not fit; -1 for any number.
        max_column_id: how many columns a table may have, less one; likewise `max_row_id`.
        strip_column_names: whether names of columns are left out.
        update_answer_coordinates: whether answers are looked for by their texts, not by coordinates.
        min_question_length: questions of fewer tokens are left out; likewise `max_question_length`.
    """

    init_kwargs: dict[str, Any]
    model_max_length: int
    clean_up_tokenization_spaces: bool
    cell_trim_length: int
    max_column_id: int
    max_row_id: int
    strip_column_names: bool
    update_answer_coordinates: bool
    min_question_length: int | None
    max_question_length: int | None
    recipe: Any
    cls_token_id: int
    sep_token_id: int
    empty_token_id: int
    _vocabulary: Vocabulary
    _encoder: Encoder

    def _begin(self: Any) -> None:
        said = {name: value for name, value in self.init_kwargs.items() if value is not None}
        options = {**self.recipe.options, **said}
        if self.model_max_length == NO_LIMIT:
            self.model_max_length = 512
        self.clean_up_tokenization_spaces = bool(said.get("clean_up_tokenization_spaces", True))
        for name in ("cell_trim_length", "min_question_length", "max_question_length"):
            setattr(self, name, options[name])
        for name in ("max_column_id", "max_row_id"):
            setattr(self, name, self.model_max_length if options[name] is None else options[name])
        for name in ("strip_column_names", "update_answer_coordinates"):
            setattr(self, name, bool(options[name]))
        cls, sep = str(self.cls_token), str(self.sep_token)
        single = [f"{cls}:0", "$A:0", f"{sep}:0"]
        components.frame(self._vocabulary.backend, (cls, sep), single, [*single, "$B:1"])

    def __call__(
        self: Any,
        table: Any = None,
        queries: Any = None,
        answer_coordinates: Any = None,
        answer_text: Any = None,
        padding: Any = False,
        truncation: bool | str | TapasTruncationStrategy = False,
        **call: Any,
    ) -> BatchEncoding:
        """Turn a table and questions about it into the inputs of a model.

        Args:
            table: a `pandas.DataFrame` whose cells are texts; or questions alone, without a table.
            queries: a question, or a list of those, each about the answer of the one before too.
            answer_coordinates: the (row, column) of the cells that answer each question, from 0.
            answer_text: their texts, which go with them.
            padding: as for any tokenizer; True pads one question to `max_length` where that is given.
            truncation: True or "drop_rows_to_fit" leaves rows out, and ends of cells, until the rest fits.
            **call: the other keywords of a call of any tokenizer, except those about pairs and pieces.

        Returns:
            `input_ids` [B, T], `attention_mask` [B, T], `token_type_ids` [B, T, 7]; with answers `labels`
            [B, T], `numeric_values` [B, T] (nan where a cell has none) and `numeric_values_scale` [B, T].

        Raises:
            TypeError: for a table whose cells are no texts.
            ValueError: for a question and names of columns that are longer than `max_length`.
        """
        pandas = need("pandas", "tables", "tables")
        known = [name for name in CALL_KEYWORDS if not name.startswith("text")]
        refuse_unknown(call, known, f"{type(self).__name__}()")
        for name in ("return_offsets_mapping", "is_split_into_words", "return_overflowing_tokens"):
            if call.pop(name, None):
                raise ValueError(f"{name} is not available for tables: leave it out")
        if not isinstance(table, pandas.DataFrame):
            if queries is not None:
                raise TypeError(f"a table must be a pandas.DataFrame, but is a {type(table).__name__}")
            table, queries = pandas.DataFrame(), table
        batched = isinstance(queries, (list, tuple))
        asked = list(queries) if batched else ["" if queries is None else queries]
        if not all(isinstance(query, str) for query in asked):
            raise TypeError("queries must be a question (text) or a list of those")
        if bool(answer_coordinates) != bool(answer_text):
            raise ValueError("answers need both: answer_coordinates and answer_text")
        if padding is True and not batched and call.get("max_length") is not None:
            padding = "max_length"
        options = EncodeOptions.of(self, {**call, "padding": padding, "truncation": False})
        limit = call.get("max_length")
        drops = TapasTruncationStrategy.DROP_ROWS_TO_FIT
        cuts = truncation if isinstance(truncation, bool) else TapasTruncationStrategy(truncation) is drops
        read = self._read(table)
        answers = list(zip(answer_coordinates, answer_text, strict=True)) if batched and answer_text else None
        if not batched and answer_text:
            answers = [(answer_coordinates, answer_text)]
        rows: list[dict[str, Any]] = []
        for place, query in enumerate(asked):
            before = answers[place - 1] if answers and place else None
            answer = answers[place] if answers else None
            rows.append(self._row(read, query, table.shape, answer, before, options, limit, cuts))
        found: BatchEncoding = self.pad(
            rows,
            padding=options.padding,
            max_length=options.max_length,
            pad_to_multiple_of=options.pad_to_multiple_of,
            padding_side=options.padding_side,
            return_attention_mask=options.return_attention_mask,
            verbose=options.verbose,
        )
        if not batched and options.return_tensors is None:
            found = BatchEncoding({name: column[0] for name, column in found.items()})
        if options.return_length:
            found["length"] = [len(row["input_ids"]) for row in rows] if batched else len(found["input_ids"])
        return found.convert_to_tensors(options.return_tensors)

    def batch_encode_plus(self: Any, table: Any, queries: Any = None, **call: Any) -> BatchEncoding:
        """The same as calling the tokenizer."""
        found: BatchEncoding = self(table, queries, **call)
        return found

    def tokenize(self, text: str, pair: str | None = None, add_special_tokens: bool = False) -> list[str]:
        """Split a text into tokens, as strings; one that says nothing (`?`, `n/a`) is the `empty_token`."""
        ids = [index for one in (text, pair) if one is not None for index in self._ids([one])[0]]
        ids = [self.cls_token_id, *ids, self.sep_token_id] if add_special_tokens else ids
        return [self._vocabulary.token_of(index) for index in ids]

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        found = self._encoder.rows(list(texts), EncodeOptions(add_special_tokens=False), offsets=False)
        return [
            [self.empty_token_id] if text and _says_nothing(text) else self._vocabulary.ids_in(row)
            for text, row in zip(texts, found, strict=True)
        ]

    def _read(self, table: Any) -> Table:
        """A table as tokens."""
        names = ["" if self.strip_column_names else name for name in table.columns]
        rows = [names, *(list(row) for row in table.itertuples(index=False, name=None))]
        wrong = next((cell for row in rows for cell in row if not isinstance(cell, str)), None)
        if wrong is not None:
            raise no_text(wrong)
        flat = iter(self._ids([cell for row in rows for cell in row]))
        cells = [[next(flat) for _ in row] for row in rows]
        inner = {
            index: self._vocabulary.token_of(index).startswith("##")
            for row in cells
            for cell in row
            for index in cell
        }
        tokens = []
        for row_index, row in enumerate(cells):
            for column, cell in enumerate(row):
                word = -1
                for place, index in enumerate(cell):
                    word = word if inner[index] else place
                    tokens.append(Token(index, column + 1, row_index, word))
        columns = [[row[place] for row in rows[1:]] for place in range(len(names))]
        return Table(tokens, cells, [numbers.in_column(column) if column else {} for column in columns])

    def _question(self, query: str) -> list[int]:
        ids = self._ids([query])[0]
        least, most = self.min_question_length, self.max_question_length
        if (least is not None and len(ids) < least) or (most is not None and len(ids) > most):
            notice(
                f"a question of {len(ids)} tokens is left out: min_question_length={least}, "
                f"max_question_length={most}",
                key="questions that are too short or too long",
            )
            return []
        return ids

    def _fitting(self, table: Table, shape: tuple[int, int], room: int) -> tuple[int, int]:
        """How many rows, and how many tokens of each cell, fit into a number of tokens."""
        rows = min(shape[0], self.max_row_id - 1)
        longest = max((len(cell) for row in table.cells for cell in row), default=0)
        trimmed = longest if self.cell_trim_length < 0 else min(longest, self.cell_trim_length)
        while True:
            words = [token.word for token in table.tokens if token.row <= rows]
            fit = next((n for n in range(trimmed + 1) if sum(word <= n for word in words) > room), trimmed)
            if fit == trimmed or (fit and self.cell_trim_length < 0):
                return rows, fit or 1
            rows -= 1
            if rows < 1:
                return rows, 1

    def _row(
        self,
        table: Table,
        query: str,
        shape: tuple[int, int],
        answer: Any,
        before: Any,
        options: EncodeOptions,
        limit: int | None,
        cuts: bool,
    ) -> dict[str, Any]:
        """One question with the table."""
        for count, most, name in (
            (shape[1], self.max_column_id, "columns"),
            (shape[0], self.max_row_id, "rows"),
        ):
            if count >= most and not (cuts and name == "rows"):
                raise ValueError(f"a table of {count} {name} is too large: at most {most - 1} fit")
        asked = self._question(query)
        tokens = table.tokens
        if cuts:
            room = (self.model_max_length if limit is None else limit) - len(asked) - 2
            rows, most = self._fitting(table, shape, room)
            tokens = [token for token in tokens if token.row <= rows and token.word < most]
        nothing = Token(0, 0, 0, 0)
        head = [nothing] * len(asked)
        ids, special = [*asked, *(token.piece for token in tokens)], [0] * (len(asked) + len(tokens))
        if options.add_special_tokens:
            head = [nothing, *head, nothing]
            ids = [self.cls_token_id, *asked, self.sep_token_id, *ids[len(asked) :]]
            special = [1, *special[: len(asked)], 1, *special[len(asked) :]]
        if limit is not None and len(ids) > limit:
            raise ValueError(
                f"a question and a table of {len(ids)} tokens are longer than max_length={limit}: pass "
                "truncation='drop_rows_to_fit' to leave rows out, or where names of columns do not fit, a "
                "larger max_length"
            )
        if options.verbose:
            notice_long([ids], self.model_max_length)
        places = [*head, *tokens]
        made: dict[str, Any] = {"input_ids": ids}
        if options.return_token_type_ids:
            values = numbers.values_in(query) if asked else []
            made["token_type_ids"] = self._types(table, places, len(head), values, before)
        if options.return_special_tokens_mask:
            made["special_tokens_mask"] = special
        if answer is not None:
            made["labels"] = self._labels(table, places, answer)
            made |= _numeric(table, places)
        return made

    def _types(
        self, table: Table, places: Sequence[Token], head: int, asked: list[numbers.Value], before: Any
    ) -> list[list[int]]:
        ranks = [numbers.ranks_of(column) for column in table.values]
        relations = [numbers.relations_of(asked, column) for column in table.values]
        earlier = [0] * len(places) if before is None else self._labels(table, places, before)
        types = []
        for place, token in enumerate(places):
            rank, relation = (0, 0), 0
            if token.row and token.column:
                rank = ranks[token.column - 1].get(token.row - 1, (0, 0))
                relation = relations[token.column - 1].get(token.row - 1, 0)
            segment = int(place >= head)
            types.append([segment, token.column, token.row, earlier[place], *rank, relation])
        return types

    def _labels(self, table: Table, places: Sequence[Token], answer: Any) -> list[int]:
        """1 for each token of a cell that answers.

        Raises:
            ValueError: for coordinates of a cell that is not in the table, or was left out.
        """
        coordinates, texts = answer
        if self.update_answer_coordinates:
            return self._labels_of_texts(table, places, texts)
        cells = {(int(row) + 1, int(column) + 1) for row, column in coordinates}
        found = {(token.row, token.column) for token in places}
        lost = sorted(cells - found)
        if lost:
            row, column = lost[0]
            raise ValueError(
                f"no token of the answer's cell {(row - 1, column - 1)} (row, column) is there: it is "
                "outside of the table, or was cut off"
            )
        return [int((token.row, token.column) in cells) for token in places]

    def _labels_of_texts(self, table: Table, places: Sequence[Token], texts: Iterable[str]) -> list[int]:
        """1 for the tokens of each answer, in the first cell that holds them all."""
        labels = [0] * len(places)
        for wanted in self._ids(list(texts)):
            for row, column, start in _holding(table.cells, wanted):
                inside = [
                    place for place, token in enumerate(places) if (token.row, token.column) == (row, column)
                ]
                span = inside[start : start + len(wanted)]
                if len(span) == len(wanted):
                    for place in span:
                        labels[place] = 1
                    break
        return labels

    def _filling(self: Any) -> Filling:
        usual = super()._filling()  # type: ignore[misc]  # of the class beside this
        more = {"token_type_ids": [usual.type_id] * _TYPES, "labels": 0}
        more |= {"numeric_values": float("nan"), "numeric_values_scale": 1.0}
        return Filling(usual.token, usual.pad_id, usual.type_id, usual.main, more)

    def convert_logits_to_predictions(
        self,
        data: Mapping[str, Any],
        logits: Any,
        logits_agg: Any = None,
        cell_classification_threshold: float = 0.5,
    ) -> tuple[Any, ...]:
        """Read a model's answers: the cells that it chose, and what to do with them.

        Args:
            data: what the model read, as arrays or tensors.
            logits: for each token [B, T].
            logits_agg: for each aggregation [B, A].
            cell_classification_threshold: the mean probability of its tokens above which a cell is chosen.

        Returns:
            The (row, column) of cells for each question, from 0, none where there is no table; with
            `logits_agg` also the index of the aggregation for each.
        """
        scores = _array(logits).astype(np.float64)
        chances = 1 / (1 + np.exp(-np.maximum(scores, -88.7))) * _array(data["attention_mask"])
        types = _array(data["token_type_ids"])
        chosen, least = [], cell_classification_threshold
        for chance, kinds in zip(chances, types, strict=True):
            cells: defaultdict[tuple[int, int], list[float]] = defaultdict(list)
            for one, (segment, column, row) in zip(chance.tolist(), kinds[:, :3].tolist(), strict=True):
                if segment == 1 and column and row:
                    cells[row - 1, column - 1].append(one)
            means = {cell: float(np.mean(values)) for cell, values in cells.items()}
            chosen.append(sorted(cell for cell, mean in means.items() if mean > least))
        if logits_agg is None:
            return (chosen,)
        return chosen, _array(logits_agg).argmax(axis=-1).tolist()


def no_text(cell: Any) -> TypeError:
    """What is raised for a name or a cell of a table that is none."""
    return TypeError(
        f"names and cells of a table must be texts, but one is {cell!r}, a {type(cell).__name__}: "
        "table.astype(str) makes texts of all"
    )


def _says_nothing(text: str) -> bool:
    text = text.lower().strip()
    return text in ("n/a", "?", "nan") or not re.sub(r"[\W_]+", "", text)


def _holding(cells: list[list[list[int]]], wanted: list[int]) -> Iterable[tuple[int, int, int]]:
    """The cells that hold a row of ids, names of columns left out: row, column, where it begins."""
    for row, line in enumerate(cells[1:], start=1):
        for column, cell in enumerate(line, start=1):
            starts = range(len(cell) - len(wanted) + 1)
            start = next((at for at in starts if cell[at : at + len(wanted)] == wanted), None)
            if start is not None:
                yield row, column, start


def _numeric(table: Table, places: Sequence[Token]) -> dict[str, list[float]]:
    """The number of the cell of each token (nan where there is none), and how many tokens the cell has."""
    sizes: defaultdict[tuple[int, int], int] = defaultdict(int)
    for token in places:
        sizes[token.row, token.column] += 1
    values, scales = [], []
    for token in places:
        inside = bool(token.row and token.column)
        value = table.values[token.column - 1].get(token.row - 1) if inside else None
        values.append(value if isinstance(value, float) else float("nan"))
        scales.append(float(sizes[token.row, token.column]) if inside else 1.0)
    return {"numeric_values": values, "numeric_values_scale": scales}


def _array(value: Any) -> Any:
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
