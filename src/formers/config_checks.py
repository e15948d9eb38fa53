"""What a config refuses: values of another type than their field declares, and settings that cannot be."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from formers.core.notices import did_you_mean

# The names that models know; kept here as well because a config needs no torch.
# fmt: off
ACTIVATION_NAMES = frozenset((
    "gelu", "gelu_10", "gelu_fast", "gelu_new", "gelu_python", "gelu_python_tanh", "gelu_pytorch_tanh",
    "gelu_accurate", "laplace", "leaky_relu", "linear", "mish", "quick_gelu", "relu", "relu2",
    "relu6", "sigmoid", "silu", "swish", "tanh",
))
# fmt: on

# Fields that name an activation; `summary_activation` has a vocabulary of its own.
_ACTIVATION_FIELDS = frozenset(
    ("hidden_act", "hidden_activation", "activation", "activation_function", "act_fn", "dense_act_fn")
)

_PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")

_SCALARS = {"int": "a whole number", "float": "a number", "bool": "True or False", "str": "a string"}
_CONTAINERS = (list, tuple, set, frozenset, dict, Mapping)


@dataclass(frozen=True)
class FieldRule:
    """What a declared field takes: `kinds` are names of scalar types, `signed` allows negative numbers.

    `listed`: a list or a dictionary is declared beside them.
    """

    kinds: frozenset[str]
    optional: bool
    signed: bool
    listed: bool

    def wanted(self) -> str:
        """The expected value in words."""
        kinds = self.kinds - {"int"} if "float" in self.kinds else self.kinds
        words = [_SCALARS[kind] for kind in _SCALARS if kind in kinds]
        words += ["a list"] * self.listed + ["None"] * self.optional
        return " or ".join(words)


def field_rule(name: str, annotation: object, default: Any) -> FieldRule | None:
    """Read an annotation such as `"int | None"`; None where it holds no scalar, or what is not known here."""
    text = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    text = re.sub(r"\b(?:typing\.|t\.)", "", text)
    text = re.sub(r"^(?:Optional\[(.*)\]|Union\[(.*)\])$", lambda found: _as_union(found), text)
    parts = {re.sub(r"\[.*", "", part).strip() for part in _split(text)}
    kinds = parts & _SCALARS.keys()
    containers = {"list", "tuple", "dict", "set", "List", "Tuple", "Dict", "Set", "Mapping", "Sequence"}
    if not kinds or parts - kinds - containers - {"None", "NoneType"}:
        return None
    negative_default = isinstance(default, Real) and default < 0
    return FieldRule(
        kinds=frozenset(kinds),
        optional=default is None or bool(parts & {"None", "NoneType"}),
        # an id of -1 stands for no id; a default below zero says that the sign means something
        signed=negative_default or name.endswith(("_id", "_index")) or "int" not in kinds,
        listed=bool(parts & containers),
    )


def _as_union(found: re.Match[str]) -> str:
    inner = found.group(1)
    return f"{inner} | None" if inner is not None else " | ".join(_split(found.group(2), ","))


def _split(text: str, mark: str = "|") -> Iterable[str]:
    """Split a union at `mark`, outside brackets."""
    depth, part = 0, ""
    for letter in text:
        depth += (letter == "[") - (letter == "]")
        if letter == mark and depth == 0:
            yield part.strip()
            part = ""
        else:
            part += letter
    yield part.strip()


def checked(owner: str, name: str, value: Any, rule: FieldRule, *, from_file: bool = False) -> Any:
    """Return what the field keeps for `value`: plain Python numbers, everything else as given.

    Files have been written by many versions and hands, so from a file only what no model could be built
    with is refused: text or fractions where a number must be, negative sizes, unknown activations.

    Raises:
        TypeError: for a value of another type than declared.
        ValueError: for a negative size or count, or an unknown activation.
    """
    if isinstance(value, _CONTAINERS) or (value is None and (rule.optional or from_file)):
        return value
    value = _plain_number(value, rule)
    # a token id as text keeps nobody from building the model
    lenient_text = from_file and name.endswith("_id")
    if not _fits(value, rule, from_file) and not (lenient_text and isinstance(value, str)):
        hint = ""
        if isinstance(value, str) and _is_quoted_number(value, rule):
            hint = f": leave out the quotes, {name}={value.strip()}"
        raise TypeError(f"{owner}.{name} takes {rule.wanted()}, not {value!r} ({type(value).__name__}){hint}")
    if isinstance(value, int) and value < 0 and not rule.signed:
        raise ValueError(f"{owner}.{name} is a size or a count, 0 or more; it cannot be {value}")
    if name in _ACTIVATION_FIELDS and value is not None and value not in ACTIVATION_NAMES:
        known = f"; known are {', '.join(sorted(ACTIVATION_NAMES))}"
        hint = did_you_mean(str(value), ACTIVATION_NAMES) or known
        raise ValueError(f"{owner}.{name}={value!r} is no known activation{hint}")
    return value


def _plain_number(value: Any, rule: FieldRule) -> Any:
    """Make numpy's numbers Python's, which JSON knows, and 768.0 a whole number where one is declared."""
    if isinstance(value, int | str):
        return value
    if type(value).__module__ == "numpy" and type(value).__name__ in ("bool", "bool_"):
        return bool(value)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        number = float(value)
        whole = "int" in rule.kinds and "float" not in rule.kinds and number.is_integer()
        return int(number) if whole else number
    return value


def _fits(value: Any, rule: FieldRule, from_file: bool) -> bool:
    kinds = rule.kinds
    if isinstance(value, bool):
        return "bool" in kinds or from_file
    if isinstance(value, int):
        return bool(kinds & {"int", "float", "bool"}) or from_file
    if isinstance(value, float):
        return "float" in kinds or (from_file and "int" not in kinds)
    if isinstance(value, str):
        return "str" in kinds or (from_file and not kinds & {"int", "float"})
    return False


def _is_quoted_number(text: str, rule: FieldRule) -> bool:
    try:
        number = float(text)
    except ValueError:
        return False
    return "float" in rule.kinds or ("int" in rule.kinds and number.is_integer())


def check_problem_type(problem_type: str | None, num_labels: int) -> None:
    """Refuse a `problem_type` that is not known, or that the number of labels contradicts.

    Raises:
        ValueError: for either.
    """
    if problem_type is not None and problem_type not in _PROBLEM_TYPES:
        raise ValueError(
            f"problem_type={problem_type!r} is not known; it is one of "
            + ", ".join(repr(kind) for kind in _PROBLEM_TYPES)
        )
    if problem_type == "single_label_classification" and num_labels == 1:
        raise ValueError(
            "problem_type='single_label_classification' needs num_labels >= 2: for a yes/no question "
            "use num_labels=2, for one number use problem_type='regression'"
        )
