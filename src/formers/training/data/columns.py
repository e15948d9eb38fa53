"""Looking into datasets: columns, lengths, and what of them a model takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from torch.utils.data import IterableDataset

from formers.training.data.tables import TEXT_NAMES


def is_hub_dataset(dataset: Any) -> bool:
    """Whether this is a `datasets.Dataset` or `datasets.IterableDataset`, without importing that package."""
    return type(dataset).__module__.split(".")[0] == "datasets"


def has_length(dataset: Any) -> bool:
    """Whether `len(dataset)` works."""
    try:
        len(dataset)
    except (TypeError, AttributeError, NotImplementedError):
        return False
    return True


def is_stream(dataset: Any) -> bool:
    """Whether a dataset can only be gone through, whether or not it says how long it is."""
    return isinstance(dataset, IterableDataset) or not has_length(dataset)


def columns_of(dataset: Any) -> list[str] | None:
    """Names of the columns; None where only looking at an example that may be costly would tell.

    None too for several datasets by name, which trainers of packages take: each has its own.
    """
    if isinstance(dataset, Mapping):
        return None
    names = getattr(dataset, "column_names", None)
    if names is not None:
        return list(names)
    if isinstance(dataset, (list, tuple)) and dataset and isinstance(dataset[0], Mapping):
        return list(dataset[0])
    return None


def column(dataset: Any, name: str) -> Iterable[Any] | None:
    """All values of a column where that is cheap: lists of dicts, and `datasets` without a transform."""
    if dataset is None:
        return None
    if isinstance(dataset, (list, tuple)):
        if dataset and all(isinstance(row, Mapping) and name in row for row in dataset):
            return (row[name] for row in dataset)
        return None
    if is_hub_dataset(dataset) and has_length(dataset) and name in (dataset.column_names or []):
        if dataset.format.get("type") == "custom":  # computed by a function at each access
            return None
        values: Iterable[Any] = dataset.with_format(None)[name]
        return values
    return None


def lengths_of(
    dataset: Any, length_column: str = "length", main_input: str = "input_ids"
) -> list[int] | None:
    """Number of tokens of each example, where it can be known without preparing the examples."""
    known = column(dataset, length_column)
    if known is not None:
        return [int(length) for length in known]
    ids = column(dataset, main_input)
    if ids is None:
        return None
    lengths = []
    for entry in ids:
        if not hasattr(entry, "__len__"):
            return None
        lengths.append(len(entry))
    return lengths


class ColumnFilter:
    """A collator that first drops what the model's forward does not take.

    Raises:
        ValueError: at the first batch of which nothing would be left.
    """

    def __init__(
        self, collator: Callable[[list[Any]], Any], accepted: Iterable[str], model_name: str
    ) -> None:
        self.collator = collator
        self.accepted = frozenset(accepted)
        self.model_name = model_name

    def __call__(self, examples: list[Any]) -> Any:
        """Filter and collate."""
        if examples and isinstance(examples[0], Mapping):
            kept = [{name: row[name] for name in row if name in self.accepted} for row in examples]
            check_columns(list(examples[0]), list(kept[0]), self.accepted, self.model_name)
            examples = kept
        return self.collator(examples)


def filtered(dataset: Any, collator: Callable[[list[Any]], Any]) -> Any:
    """A dataset of the `datasets` package without the columns that a collator drops."""
    if not isinstance(collator, ColumnFilter):
        return dataset
    found = dataset.column_names
    used = [name for name in found if name in collator.accepted]
    check_columns(found, used, collator.accepted, collator.model_name)
    return dataset.remove_columns([name for name in found if name not in collator.accepted])


def check_columns(
    found: Sequence[str], kept: Sequence[str], accepted: Iterable[str], model_name: str
) -> None:
    """Refuse examples of which nothing, or nothing but labels, is an input of the model."""
    labels = {"label", "labels", "label_ids"}
    if set(kept) - labels:
        return
    text = [name for name in found if name.lower() in TEXT_NAMES]
    hint = (
        f"The column {text[0]!r} looks like text that was not tokenized: dataset.map(lambda rows: "
        f"tokenizer(rows[{text[0]!r}], truncation=True), batched=True), or "
        "formers.training.data.tokenize_rows."
        if text
        else "If the model takes them all the same, pass remove_unused_columns=False in TrainingArguments."
    )
    inputs = ", ".join(sorted(set(accepted) - labels)[:8])
    raise ValueError(
        f"no column of the dataset is an input of {model_name}: found {list(found)}, expected some of "
        f"{inputs}. {hint}"
    )
