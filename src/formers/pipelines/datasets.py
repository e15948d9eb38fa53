"""Datasets and generators as the inputs of a pipeline, and the lazy results that answer them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from torch.utils.data import DataLoader, Dataset, IterableDataset

from formers.core.notices import did_you_mean

_ROWS_AT_A_TIME = 1024


class _Columns(Dataset[Any]):
    """One or two columns of a dataset of rows (map-style or iterable), each row as a pipeline takes it."""

    def __init__(self, dataset: Any, *keys: str) -> None:
        refuse_tables(dataset)
        self.dataset = dataset
        self._keys = keys

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: Any) -> Any:
        return self.of(self.dataset[index])

    def __iter__(self) -> Iterator[Any]:
        return map(self.of, _rows(self.dataset, self._keys))

    def of(self, row: Any) -> Any:
        """What a pipeline gets of one row: a value, or a pair of texts."""
        values = [_column(row, key) for key in self._keys]
        return values[0] if len(values) == 1 else {"text": values[0], "text_pair": values[1]}


class KeyDataset(_Columns):
    """The column `key` of a dataset whose items are mappings: `pipe(KeyDataset(ds, "text"))`."""

    def __init__(self, dataset: Any, key: str) -> None:
        super().__init__(dataset, key)
        self.key = key


class KeyPairDataset(_Columns):
    """The columns `key1` and `key2` of such a dataset, as the pairs of texts that a pipeline takes."""

    def __init__(self, dataset: Any, key1: str, key2: str) -> None:
        super().__init__(dataset, key1, key2)
        self.key1 = key1
        self.key2 = key2


class _Stream(IterableDataset[Any]):
    """The texts of a dataset that does not know its columns: each row says which it has."""

    def __init__(self, table: Any) -> None:
        self.table = table

    def __iter__(self) -> Iterator[Any]:
        for row in self.table:
            _refuse_no_text(list(row))
            yield row["text"] if row.get("text_pair") is None else {k: row[k] for k in ("text", "text_pair")}


class Results(Iterator[Any]):
    """Answers to a dataset or a generator, computed as they are asked for.

    Its length is that of the source where the source has one, so that `tqdm(pipe(dataset))` shows the total.
    Iterating again starts the source again (a generator is then at its end).

    Args:
        start: begins a run over the source.
        source: what is run over.
    """

    def __init__(self, start: Callable[[], Iterator[Any]], source: Any) -> None:
        self._start = start
        self._source = source
        self._running: Iterator[Any] | None = None

    def __len__(self) -> int:
        return len(self._source)

    def __iter__(self) -> Iterator[Any]:
        self._running = self._start()
        return self

    def __next__(self) -> Any:
        if self._running is None:
            self._running = self._start()
        return next(self._running)


def is_stream(inputs: Any) -> bool:
    """Whether `inputs` is answered lazily: a generator or other iterator, or a dataset."""
    return hasattr(inputs, "__next__") or isinstance(inputs, Dataset | IterableDataset) or is_table(inputs)


def is_table(inputs: Any) -> bool:
    """Whether `inputs` is a dataset of the `datasets` package (which need not be installed)."""
    return _of_datasets(inputs) and not isinstance(inputs, Mapping)


def _of_datasets(inputs: Any) -> bool:
    return type(inputs).__module__.startswith("datasets.") and hasattr(inputs, "column_names")


def refuse_tables(inputs: Any) -> None:
    """Refuse what holds several columns or datasets and is neither a text nor a list of texts.

    Raises:
        TypeError: for a data frame, a table of Arrow, a dictionary of datasets, or a loader of batches; it
            says what to pass.
    """
    if isinstance(inputs, DataLoader):
        raise TypeError("a DataLoader gives batches, not texts: pass its dataset, loader.dataset")
    if _of_datasets(inputs) and isinstance(inputs, Mapping):
        splits = list(inputs)
        raise TypeError(
            f"a {type(inputs).__name__} holds several datasets, {splits}: pass one of them, "
            f"dataset[{str(splits[0]) if splits else 'train'!r}]"
        )
    kinds = {kind.__name__ for kind in type(inputs).__mro__}
    arrow = type(inputs).__module__.startswith("pyarrow.") and hasattr(inputs, "column_names")
    if not arrow and not kinds & {"DataFrame", "LazyFrame"}:
        return
    columns = [str(name) for name in (inputs.column_names if arrow else inputs.columns)]
    one = "text" if "text" in columns or not columns else columns[0]
    raise TypeError(
        f"a {type(inputs).__name__} is no list of texts; its columns are {columns}: pass one of them, such "
        f"as table[{one!r}]{'.to_pylist()' if arrow else ''}, or for pairs a list of (text, text_pair)"
    )


def is_wordlist(inputs: Any) -> bool:
    """Whether `inputs` is sized and in a fixed order: a list, a tuple, an array, a column, a series."""
    if isinstance(inputs, str | bytes | bytearray | Mapping | set | frozenset):
        return False
    return hasattr(inputs, "__iter__") and hasattr(inputs, "__len__")


def texts_of(table: Any) -> Any:
    """The column `text` of a dataset (with `text_pair` where there is one).

    Raises:
        ValueError: when there is no such column; from the row on that lacks it, where only rows can tell.
    """
    columns = table.column_names
    if columns is None:
        return _Stream(table)
    _refuse_no_text(columns)
    return KeyPairDataset(table, "text", "text_pair") if "text_pair" in columns else KeyDataset(table, "text")


def _refuse_no_text(columns: list[str]) -> None:
    if "text" not in columns:
        raise ValueError(
            f"the dataset has no column 'text'; its columns are {columns}: "
            f"pass KeyDataset(dataset, {columns[0] if columns else 'column'!r})"
        )


def items_of(source: Any) -> Iterator[Any]:
    """The items of a source: by iteration where it offers that, else by index up to its length."""
    if hasattr(source, "__iter__"):
        return iter(source)
    return (source[index] for index in range(len(source)))


def length_of(source: Any) -> int | None:
    """How many items a source has, where it knows."""
    try:
        return len(source)
    except (TypeError, NotImplementedError):
        return None


def chunks(
    source: Iterable[Any], check: Callable[[Any, int], Any], *, first: int, largest: int
) -> Iterator[tuple[list[Any], Exception | None]]:
    """Read a source in growing chunks, each item through `check(item, index)`.

    The first answer comes soon, and the later chunks are long enough to sort. An exception of the source
    or of `check` is handed out with the items that were read before it, so that they are still answered.

    Args:
        source: read once, and never further ahead than one chunk.
        check: returns what the item becomes.
        first: items in the first chunk; each next one is twice as long.
        largest: items in a chunk at most.

    Yields:
        The items, and the exception that ended the source early (in the last chunk only).
    """
    reader, index, size = iter(source), 0, first
    while True:
        chunk: list[Any] = []
        try:
            for item in islice(reader, size):
                chunk.append(check(item, index))
                index += 1
        except Exception as error:
            yield chunk, error
            return
        if chunk:
            yield chunk, None
        if len(chunk) < size:
            return
        size = min(2 * size, largest)


def _rows(dataset: Any, keys: tuple[str, ...]) -> Iterator[Any]:
    """The rows of a dataset, holding at least `keys`; a table reads only those, and many rows at a time."""
    columns = dataset.column_names if is_table(dataset) else None
    if columns is None or not hasattr(dataset, "select_columns"):
        yield from items_of(dataset)
        return
    for key in keys:
        if key not in columns:
            _refuse_key(key, columns)
    for block in dataset.select_columns(list(dict.fromkeys(keys))).iter(batch_size=_ROWS_AT_A_TIME):
        for values in zip(*(block[key] for key in keys), strict=True):
            yield dict(zip(keys, values, strict=True))


def _column(row: Any, key: str) -> Any:
    try:
        return row[key]
    except KeyError:
        _refuse_key(key, list(row))


def _refuse_key(key: str, columns: list[Any]) -> None:
    choices = [str(column) for column in columns]
    raise KeyError(
        f"the dataset has no column {key!r}; it has {choices}{did_you_mean(key, choices)}"
    ) from None
