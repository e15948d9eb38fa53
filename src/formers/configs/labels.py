"""The labels of a config: `num_labels`, `id2label` and `label2id`, each following from the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from formers.core.notices import notice

_MOST_LABELS = 1 << 20  # names are made for each of them
_PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")


class Labels:
    """What a config knows of labels."""

    attribute_map: ClassVar[dict[str, str]] = {}

    id2label: dict[int, str]
    label2id: dict[str, int]

    def _take_labels(self, kwargs: dict[str, Any]) -> None:
        """Set `id2label` and `label2id` from what is given of `num_labels`, `id2label`, `label2id`."""
        count = kwargs.pop("num_labels", None)
        for alias, field in self.attribute_map.items():
            if field == "num_labels" and alias in kwargs:
                count = kwargs.pop(alias)
        names, ids = kwargs.pop("id2label", None), kwargs.pop("label2id", None)
        if names is None and isinstance(ids, Mapping) and ids and (count is None or len(ids) == count):
            names = {number: label for label, number in ids.items()}
        if names is not None:
            self.id2label = names
            if count is not None and count != len(self.id2label):
                notice(
                    f"num_labels={count} does not fit id2label, which names {len(self.id2label)} labels: "
                    "id2label is used. Leave num_labels out."
                )
        else:
            self.num_labels = 2 if count is None else count
        if ids is not None:
            self.label2id = ids

    @property
    def num_labels(self) -> int:
        """The number of labels: the length of `id2label`."""
        return len(self.id2label)

    @num_labels.setter
    def num_labels(self, count: int) -> None:
        if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= _MOST_LABELS:
            said = count if not isinstance(count, int) or abs(count) < 1 << 63 else "a number of many digits"
            raise ValueError(f"num_labels must be a whole number from 0 to {_MOST_LABELS:,}, not {said!r}")
        if len(self.__dict__.get("id2label") or ()) != count or "id2label" not in self.__dict__:
            self.id2label = {number: f"LABEL_{number}" for number in range(count)}

    def _labels_are_default(self) -> bool:
        return self.id2label == {0: "LABEL_0", 1: "LABEL_1"} and self.label2id == {"LABEL_0": 0, "LABEL_1": 1}

    def _check_labels(self, problem_type: str | None) -> None:
        """Refuse a `problem_type` that is not known or that the number of labels contradicts."""
        if problem_type is not None and problem_type not in _PROBLEM_TYPES:
            raise ValueError(
                f"problem_type={problem_type!r} is not known; it is one of "
                + ", ".join(repr(kind) for kind in _PROBLEM_TYPES)
            )
        if problem_type == "single_label_classification" and self.num_labels == 1:
            raise ValueError(
                "problem_type='single_label_classification' needs num_labels >= 2: for a yes/no question "
                "use num_labels=2, for one number use problem_type='regression'"
            )
        backwards = {label: number for number, label in self.id2label.items()}
        if backwards.keys() == self.label2id.keys() and backwards != self.label2id:
            notice("id2label and label2id number the same labels differently; answers follow id2label")


def set_id2label(config: Labels, value: Any) -> None:
    """Set the names by number, and the numbers by name with them."""
    if isinstance(value, list | tuple):
        value = dict(enumerate(value))
    if not isinstance(value, Mapping):
        raise TypeError(
            f"id2label takes a dictionary such as {{0: 'no', 1: 'yes'}}, not {type(value).__name__}"
        )
    names = {_number("id2label", number): str(label) for number, label in value.items()}
    config.__dict__["id2label"] = names
    config.__dict__["label2id"] = {label: number for number, label in names.items()}


def set_label2id(config: Labels, value: Any) -> None:
    """Set the numbers by name alone."""
    if not isinstance(value, Mapping):
        raise TypeError(
            f"label2id takes a dictionary such as {{'no': 0, 'yes': 1}}, not {type(value).__name__}"
        )
    config.__dict__["label2id"] = {str(label): _number("label2id", n) for label, n in value.items()}


def _number(field: str, value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{field} numbers labels with whole numbers, not {value!r}") from error
