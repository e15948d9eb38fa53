"""What a config refuses: values of another type than their field declares, and settings that cannot be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

from formers.core.fields import Field
from formers.core.notices import did_you_mean

# The names that models know; kept here as well because a config needs no torch.
# fmt: off
ACTIVATION_NAMES = frozenset((
    "elu", "gelu", "gelu_10", "gelu_fast", "gelu_new", "gelu_python", "gelu_python_tanh", "gelu_pytorch_tanh",
    "gelu_accurate", "laplace", "leaky_relu", "linear", "mish", "quick_gelu", "relu", "relu2",
    "relu6", "sigmoid", "silu", "softplus", "swish", "tanh",
))
# fmt: on

# Fields that name an activation; `summary_activation` has a vocabulary of its own.
_ACTIVATION_FIELDS = frozenset(
    ("hidden_act", "hidden_activation", "activation", "activation_function", "act_fn", "dense_act_fn")
)
# What a file may ask for before anything is looped over or set aside: any real model has far less.
_MOST = 2**31 - 1
_MOST_LAYERS = 10_000
# of one at least
_WIDTH = re.compile(
    r"(?<!vocab)(?<!shared_intermediate)_(size|dim|embd|model|kv|ff|kernel|rank|heads|head|scalar|interval|frequency|sparse_step)$|^(dim|expand)$"
)
FAR = 1e300
_CONTAINERS = (list, tuple, set, frozenset, dict, Mapping)


def config_field(name: str, annotation: object, default: Any) -> Field | None:
    """What a config's field takes; None where its annotation holds no scalar, or what is not known here."""
    field = Field.of(annotation)
    if not field.kinds:
        return None
    usual = default if isinstance(default, (list, tuple)) else (default,)
    negative_default = any(isinstance(one, Real) and one < 0 for one in usual)
    # -1 stands for no id, or no buckets; a default below zero says that the sign means something
    signed = (
        negative_default
        or name.endswith(("_id", "_index", "left_chunk_num", "position_buckets"))
        or "int" not in field.kinds
    )
    most = _MOST_LAYERS if name.endswith(("layer", "layers")) else _MOST
    return Field(
        kinds=field.kinds,
        optional=default is None or field.optional,
        listed=field.listed,
        at_least=None if signed else int(bool(_WIDTH.search(name)) and default != 0),
        at_most=most if "int" in field.kinds else None,
        choices=ACTIVATION_NAMES if name in _ACTIVATION_FIELDS else None,
    )


def checked(owner: str, name: str, value: Any, field: Field, *, from_file: bool = False) -> Any:
    """Return what the field keeps for `value`: plain Python numbers, everything else as given.

    Files have been written by many versions and hands, so from a file only what no model could be built
    with is refused: text or fractions where a number must be, negative sizes, unknown activations.

    Raises:
        TypeError: for a value of another type than declared.
        ValueError: for a negative size or count, or an unknown activation.
    """
    if value is None and (field.optional or from_file):
        return value
    if isinstance(value, _CONTAINERS) and (field.listed or (from_file and name.endswith("_id"))):
        return value
    value = _plain_number(value, field.kinds)
    if from_file and field.kinds == {"str"} and isinstance(value, (int, float)):
        value = str(value)
    # a token id as text keeps nobody from building the model
    lenient_text = from_file and name.endswith("_id")
    if not _fits(value, field.kinds, from_file) and not (lenient_text and isinstance(value, str)):
        hint = ""
        if isinstance(value, str) and _is_quoted_number(value, field.kinds):
            hint = f": leave out the quotes, {name}={value.strip()}"
        raise TypeError(
            f"{owner}.{name} takes {field.wanted()}, not {value!r} ({type(value).__name__}){hint}"
        )
    if isinstance(value, int) and not field.within(value):
        said = value if abs(value) <= _MOST else f"a number of {len(hex(value)) - 2} digits (hexadecimal)"
        kind = (
            "a whole number" if field.at_least is None else f"a size or a count, {field.at_least:g} or more"
        )
        raise ValueError(f"{owner}.{name} is {kind}, {field.at_most:,} at most; it cannot be {said}")
    if isinstance(value, (int, float)) and not abs(value) < FAR:
        raise ValueError(f"{owner}.{name} takes a number that can be computed with: finite, below {FAR:g}")
    if field.choices is not None and value is not None and value not in ACTIVATION_NAMES:
        known = f"; known are {', '.join(sorted(ACTIVATION_NAMES))}"
        hint = did_you_mean(str(value), ACTIVATION_NAMES) or known
        raise ValueError(f"{owner}.{name}={value!r} is no known activation{hint}")
    number = isinstance(value, bool) and "bool" not in field.kinds  # a file's; tables take it for a mask
    return int(value) if number else value


def _plain_number(value: Any, kinds: frozenset[str]) -> Any:
    """Make numpy's numbers Python's, which JSON knows, and 768.0 a whole number where one is declared."""
    if isinstance(value, int | str):
        return value
    if type(value).__module__ == "numpy" and type(value).__name__ in ("bool", "bool_"):
        return bool(value)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        number = float(value)
        whole = "int" in kinds and "float" not in kinds and number.is_integer()
        return int(number) if whole else number
    return value


def _fits(value: Any, kinds: frozenset[str], from_file: bool) -> bool:
    if isinstance(value, bool):
        return "bool" in kinds or from_file
    if isinstance(value, int):
        return bool(kinds & {"int", "float", "bool"}) or from_file
    if isinstance(value, float):
        return "float" in kinds or (from_file and "int" not in kinds)
    if isinstance(value, str):
        return "str" in kinds or (from_file and not kinds & {"int", "float"})
    return False


def _is_quoted_number(text: str, kinds: frozenset[str]) -> bool:
    try:
        number = float(text)
    except ValueError:
        return False
    return "float" in kinds or ("int" in kinds and number.is_integer())
