"""Tokenizers that read a table as a text behind its question, for models that write the answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from formers.core.extras import need
from formers.core.fields import Choice
from formers.core.notices import notice
from formers.tokenization.encoding import BatchEncoding
from formers.tokenization.options import EncodeOptions
from formers.tokenization.tables import no_text

_NEIGHBOURS = 2  # rows on either side of one that the question speaks of, which stay with it


class TapexTruncationStrategy(Choice):
    """What a table loses when it does not fit."""

    DROP_ROWS_TO_FIT = "drop_rows_to_fit"


class _Content(NamedTuple):
    """Names of columns, and rows of cells."""

    names: list[str]
    rows: list[list[str]]


class WrittenTableMethods:
    """What TAPEX's tokenizer has (Liu et al. 2021, arXiv:2107.07653): a call takes tables and questions.

    Attributes:
        do_lower_case: whether what is read is lower-cased first.
        max_cell_length: how many tokens a cell keeps at most.
    """

    init_kwargs: dict[str, Any]
    recipe: Any
    do_lower_case: bool
    max_cell_length: int

    def _begin(self) -> None:
        options = {**self.recipe.options, **self.init_kwargs}
        self.do_lower_case, self.max_cell_length = (
            bool(options["do_lower_case"]),
            int(options["max_cell_length"]),
        )

    def __call__(
        self: Any,
        table: Any = None,
        query: Any = None,
        answer: Any = None,
        truncation: Any = None,
        max_length: int | None = None,
        **call: Any,
    ) -> BatchEncoding:
        """Turn tables and questions about them into the inputs of a model; or answers into its labels.

        Args:
            table: a `pandas.DataFrame` whose cells are texts or whole numbers, or a list of those.
            query: a question, or a list of those; one table, or one question, goes with all of the others.
            answer: a text or a list of those. Beside a table, texts that rows which are left out should not
                hold; alone, what is tokenized.
            truncation: "drop_rows_to_fit" leaves rows out until the rest fits, those first that share no
                word with question and answer; the other values as for any tokenizer.
            max_length: tokens that it shall fit into; as many as the model reads where None.
            **call: the other keywords of a call of any tokenizer.

        Returns:
            `input_ids` and `attention_mask`.

        Raises:
            TypeError: for what is no table, and cells that are no texts.
            ValueError: for neither a table nor an answer, other numbers of tables than of questions, and a
                question that leaves no room for a table.
        """
        drops = truncation == TapexTruncationStrategy.DROP_ROWS_TO_FIT
        call |= {"truncation": False if drops or truncation is None else truncation, "max_length": max_length}
        if table is None and answer is None:
            raise ValueError("pass a table with its query, or an answer")
        if table is None:
            texts: Any = answer
        else:
            limit = (self.model_max_length if max_length is None else max_length) if drops else None
            every = [self._joined(*one, limit) for one in _pairs(table, query, answer)]
            several = isinstance(table, (list, tuple)) or isinstance(query, (list, tuple))
            texts = every if several else every[0]
        if self.do_lower_case:
            texts = texts.lower() if isinstance(texts, str) else [text.lower() for text in texts]
        found: BatchEncoding = super().__call__(texts, **call)  # type: ignore[misc]  # of the class beside this
        return found

    def tokenize(
        self: Any, text: str, pair: str | None = None, add_special_tokens: bool = False
    ) -> list[str]:
        """Split a text into tokens, as strings; it is not lower-cased."""
        given = EncodeOptions(add_special_tokens=add_special_tokens, verbose=False)
        ids = self._encode(text, pair, given)["input_ids"]
        return [self._vocabulary.token_of(index) for index in ids]

    def batch_encode_plus(self: Any, table: Any, query: Any = None, answer: Any = None, **call: Any) -> Any:
        """The same as calling the tokenizer, as is `encode_plus`."""
        return self(table, query, answer, **call)

    def encode_plus(self: Any, table: Any, query: Any = None, answer: Any = None, **call: Any) -> Any:
        """The same as calling the tokenizer."""
        return self(table, query, answer, **call)

    def encode(self: Any, table: Any, query: Any = None, answer: Any = None, **call: Any) -> list[int]:
        """The ids alone of one table and question."""
        ids: list[int] = self(table, query, answer, **call)["input_ids"]
        return ids

    def prepare_table_query(
        self,
        table: Any,
        query: str,
        answer: Any = None,
        truncation_strategy: Any = None,
        max_length: Any = None,
    ) -> str:
        """The text that is read: the question, the names of columns, and each row with its number."""
        drops = truncation_strategy == TapexTruncationStrategy.DROP_ROWS_TO_FIT
        if drops and max_length is None:
            raise ValueError("rows are left out to fit into max_length: pass it")
        return self._joined(table, query, answer, max_length if drops else None)

    def _joined(self, table: Any, query: str, answer: Any, limit: int | None) -> str:
        written = ""
        if not table.empty:
            content = self._read(table)
            if limit is not None:
                content = self._fitted(content, query, answer, limit)
            written = _as_text(content)
        if not written:
            notice("a table is empty, or its names of columns leave no room for rows")
        return " ".join(part for part in (query, written) if part)

    def _read(self, table: Any) -> _Content:
        names, rows = list(table.columns), [list(row) for row in table.itertuples(index=False, name=None)]
        for cell in (*names, *(cell for row in rows for cell in row)):
            if not isinstance(cell, (str, int)) and not hasattr(cell, "__index__"):
                raise no_text(cell)
        return _Content(
            [str(name) for name in names], [[self._shortened(cell) for cell in row] for row in rows]
        )

    def _shortened(self: Any, cell: Any) -> str:
        if not isinstance(cell, str) or not cell.strip():
            return str(cell)
        tokens = self.tokenize(cell)
        if len(tokens) < self.max_cell_length:
            return cell
        short: str = self.convert_tokens_to_string(tokens[: self.max_cell_length])
        return short

    def _fitted(self: Any, content: _Content, query: str, answer: Any, limit: int) -> _Content:
        """Fewer rows: as many of those without a word of the question as are too many, then the last ones.

        Raises:
            ValueError: where question and names of columns alone are too long.
        """

        def size(text: str, framed: bool = False) -> int:
            return len(self.tokenize(text, add_special_tokens=framed))

        room = limit - size(query, framed=True) - size(_header(content.names))
        if room < 0:
            raise ValueError(
                f"question and names of columns take {limit - room} tokens and max_length is {limit}: no row "
                "fits"
            )
        whole = size("".join(_row(row, 100) + " " for row in content.rows))
        rows = content.rows
        if whole >= room:
            spare = list(_unrelated(rows, query, answer))
            gone = {*spare[max(0, len(spare) - int(len(rows) * (1 - room / whole))) :]}
            rows = [row for place, row in enumerate(rows) if place not in gone]
        kept = []
        for place, row in enumerate(rows, 1):
            room -= size(_row(row, place))
            if room < 0:
                break
            kept.append(row)
        return _Content(content.names, kept)


def _unrelated(rows: Sequence[Sequence[str]], query: str, answer: Any) -> Iterator[int]:
    """Rows of which no cell is a word of the question or an answer, and that stand near no other."""
    answers = [answer] if isinstance(answer, str) else list(answer or ())
    words = {*query.split(), *query.strip("?!.,").split(" "), *(one.lower() for one in answers)}
    related = [place for place, row in enumerate(rows) if words & {cell.lower() for cell in row}]
    near = {place + step for place in related for step in range(-_NEIGHBOURS, _NEIGHBOURS + 1)}
    return (place for place in range(len(rows)) if place not in near)


def _header(names: Sequence[str]) -> str:
    return "col : " + " | ".join(names)


def _row(cells: Sequence[str], number: int) -> str:
    return f"row {number} : " + " | ".join(cells)


def _as_text(content: _Content) -> str:
    rows = (_row(row, number) for number, row in enumerate(content.rows, 1))
    return " ".join([_header(content.names), *rows]).strip()


def _pairs(table: Any, query: Any, answer: Any) -> list[tuple[Any, str, Any]]:
    """Tables beside their questions and answers."""
    pandas = need("pandas", "tables", "tables")
    asked = query if isinstance(query, (list, tuple)) else [query]
    tables = table if isinstance(table, (list, tuple)) else [table] * len(asked)
    if len(asked) == 1 and not isinstance(query, (list, tuple)):
        asked = [query] * len(tables)
    answers = answer if isinstance(answer, (list, tuple)) and len(tables) > 1 else [answer] * len(tables)
    wrong = next((one for one in tables if not isinstance(one, pandas.DataFrame)), None)
    if wrong is not None:
        raise TypeError(f"a table must be a pandas.DataFrame, but is a {type(wrong).__name__}")
    if not all(one is None or isinstance(one, str) for one in asked):
        raise TypeError("a query must be a question (text), or a list of those")
    if not len(tables) == len(asked) == len(answers):
        raise ValueError(
            f"{len(tables)} tables, {len(asked)} questions and {len(answers)} answers do not go together"
        )
    return list(zip(tables, [one or "" for one in asked], answers, strict=True))
