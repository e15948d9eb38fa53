"""What a tokenizer's files may hold: asked before the `tokenizers` library, which some of it would end."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

# The library's tree of Unigram pieces goes one call deeper for each character of a piece.
MOST_CHARACTERS = 4096
_LONG_PIECE = re.compile(r'\[\s*"(?:[^"\\]|\\.){%d}'.replace("%d", str(MOST_CHARACTERS + 1)))

_WORDS = {
    str: "text",
    list: "a list",
    dict: "a map",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}
# Setting of tokenizer_config.json -> what it may be; null always stands for "not said".
_SETTINGS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("model_max_length", "max_len"), (int, float)),
    **dict.fromkeys(("pad_token_type_id", "extra_ids"), (int,)),
    **dict.fromkeys(("padding_side", "truncation_side", "tokenizer_class", "name_or_path"), (str,)),
    **dict.fromkeys(("additional_special_tokens", "model_input_names"), (list, tuple)),
    "extra_special_tokens": (list, tuple, dict),
    "model_specific_special_tokens": (dict,),
    "added_tokens_decoder": (dict,),
    "chat_template": (str, list, tuple, dict),
    **dict.fromkeys(
        (
            *("clean_up_tokenization_spaces", "split_special_tokens", "add_prefix_space", "add_bos_token"),
            *("add_eos_token", "legacy", "do_lower_case", "strip_accents", "tokenize_chinese_chars"),
            "trim_offsets",
        ),
        (bool, int),
    ),
}


def check_settings(settings: Mapping[str, Any], where: str) -> None:
    """Refuse settings of a type that they cannot have.

    Raises:
        ValueError: naming the setting, what it is and what it may be.
    """
    for name, kinds in _SETTINGS.items():
        value = settings.get(name)
        if value is None:
            continue
        wrong = not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)
        if name in ("model_max_length", "max_len", "pad_token_type_id", "extra_ids"):
            wrong = wrong or not 0 <= value < float("inf")
        elif name == "model_input_names":
            wrong = wrong or not value or not all(isinstance(one, str) for one in value)
        elif name == "chat_template" and isinstance(value, (list, tuple)):
            wrong = not all(isinstance(one, dict) and {"name", "template"} <= set(one) for one in value)
        if wrong:
            wanted = " or ".join(dict.fromkeys(_WORDS.get(kind, "a list") for kind in kinds))
            shown = repr(value)
            shown = shown if len(shown) < 60 else shown[:57] + "..."
            raise ValueError(f"{name} of {where} is {shown}, but must be {wanted}")


def check_ids(added: Any, where: str) -> None:
    """Refuse a map of added tokens whose keys are no ids.

    Raises:
        ValueError: naming the key.
    """
    for key in added:
        if not re.fullmatch(r"\d{1,10}", str(key)) or int(key) >= 2**32:
            raise ValueError(f"{key!r} is no id of an added token in {where}: ids are whole numbers from 0")


def check_text(text: str, where: str) -> None:
    """Refuse a tokenizer.json whose pieces are too long for the library.

    Raises:
        ValueError: naming the file.
    """
    if '"Unigram"' in text and _LONG_PIECE.search(text):
        raise ValueError(
            f"{where} has a piece of more than {MOST_CHARACTERS} characters, which is no vocabulary"
        )


def check_pieces(pieces: Iterable[str], where: str) -> None:
    """Refuse pieces that are too long for the library.

    Raises:
        ValueError: naming the file.
    """
    longest = max(map(len, pieces), default=0)
    if longest > MOST_CHARACTERS:
        raise ValueError(
            f"{where} has a piece of {longest} characters, which is no vocabulary ({MOST_CHARACTERS} at most)"
        )


def check_charsmap(charsmap: bytes, where: str) -> None:
    """Refuse a compiled normalization table whose tree leads out of itself, or of its texts.

    It holds the size of a tree in bytes (4, little endian), the tree as a double array of 32-bit units
    (darts-clone), and texts that end with a zero byte.

    Raises:
        ValueError: when it is broken.
    """
    size = int.from_bytes(charsmap[:4], "little")
    whole = len(charsmap) > 4 and 0 < size <= len(charsmap) - 4 and size % 4 == 0
    if whole:
        units = np.frombuffer(charsmap, "<u4", size // 4, 4).astype(np.int64)
        texts = charsmap[4 + size :]
        inner = np.flatnonzero(units >> 31 == 0)
        node = units[inner]
        base = inner ^ ((node >> 10) << ((node & (1 << 9)) >> 6))
        whole = not units[0] >> 31 and bool(((base | 0xFF) < len(units)).all())
    if whole:
        values = units[base[(node >> 8) & 1 == 1]] & 0x7FFFFFFF
        starts = np.frombuffer(texts, np.uint8)[values[values < len(texts)]]
        try:
            texts.decode()
        except UnicodeDecodeError:
            whole = False
        # a text begins at a character, not inside of one
        whole = whole and bool((values <= len(texts)).all()) and not bool((starts & 0xC0 == 0x80).any())
    if not whole:
        raise ValueError(f"the normalization table (precompiled charsmap) of {where} is broken")


@contextmanager
def told(doing: str) -> Iterator[None]:
    """Say in a ValueError what the library says in an Exception without a class, or in a panic."""
    try:
        yield
    except BaseException as error:
        if type(error) is not Exception and type(error).__name__ != "PanicException":
            raise
        raise ValueError(
            f"the tokenizers library cannot {doing}: {str(error)[:300]}. The tokenizer.json may be "
            "broken, or written for another version of the library"
        ) from error
