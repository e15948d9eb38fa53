"""Text to ids to text, on the `tokenizers` library. Importing this package imports neither it nor torch."""

from __future__ import annotations

import importlib
from typing import Any

from formers.tokenization.recipes import CLASSES, MODEL_TYPES

# module -> the public names that it defines
_TABLE: dict[str, tuple[str, ...]] = {
    "encoding": ("BatchEncoding", "CharSpan", "TokenSpan"),
    "options": (
        *("PaddingStrategy", "TensorType", "TruncationStrategy", "LARGE_INTEGER", "VERY_LARGE_INTEGER"),
        *("EncodedInput", "PreTokenizedInput", "TextInput"),
        *("EncodedInputPair", "PreTokenizedInputPair", "TextInputPair"),
    ),
    "files": ("get_tokenizer_config",),
    "tools": ("get_json_schema",),
    "encoder": ("Ragged", "RenderedChat"),
    "fitting": ("fits",),
    "tokenizer": (
        *("PreTrainedTokenizer", "PreTrainedTokenizerBase", "PreTrainedTokenizerFast", "load"),
        *("TokenizersBackend", "named_class"),
    ),
}
_MODULE_OF = {name: module for module, names in _TABLE.items() for name in names}

__all__ = ["AddedToken", "CLASSES", "MODEL_TYPES", *_MODULE_OF, *CLASSES]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name == "AddedToken":
        value: Any = importlib.import_module("tokenizers").AddedToken
    elif name in CLASSES:
        value = importlib.import_module("formers.tokenization.tokenizer").named_class(name)
    elif name in _MODULE_OF:
        value = getattr(importlib.import_module(f"formers.tokenization.{_MODULE_OF[name]}"), name)
    else:
        from formers.core.notices import did_you_mean

        hint = "" if name.startswith("_") else did_you_mean(name, __all__)
        raise AttributeError(f"module 'formers.tokenization' has no attribute {name!r}{hint}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
