"""Small functions of the ecosystem's utilities that packages import."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# kinds of layers that configs name in `layer_types`
_KINDS = (
    *("full_attention", "attention", "sliding_attention", "chunked_attention", "window_attention"),
    *("linear_attention", "mamba", "hybrid", "hybrid_sliding", "conv", "moe", "sparse", "dense"),
)


def whitespace_tokenize(text: str | None) -> list[str]:
    """The words of a text between blanks."""
    return (text or "").split()


def bytes_to_unicode() -> dict[int, str]:
    """Byte -> the character that stands for it in vocabularies of bytes, as GPT-2's.

    Bytes that print in Latin-1 stand for themselves, the others for characters from 256 on, in their order.
    """
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {**{byte: chr(byte) for byte in shown}, **{byte: chr(256 + i) for i, byte in enumerate(hidden)}}


@contextmanager
def working_or_temp_dir(working_dir: str | Path, use_temp_dir: bool = False) -> Iterator[str | Path]:
    """A folder to work in: the one given, or one that is removed afterwards."""
    if not use_temp_dir:
        yield working_dir
        return
    with tempfile.TemporaryDirectory() as folder:
        yield folder


def check_torch_load_is_safe() -> None:
    """Nothing: weights in pickles are read by a reader of our own, which executes nothing, with any torch."""


def is_flash_attention_requested(
    config: Any = None,
    requested_attention_implementation: str | None = None,
    version: int | Sequence[int] | None = None,
) -> bool:
    """Whether a config, or the name of a backend, asks for flash attention.

    Args:
        config: a model's config.
        requested_attention_implementation: the name of a backend, instead.
        version: which versions count; None for all.

    Raises:
        ValueError: for both, or neither.
    """
    if (config is None) == (requested_attention_implementation is None):
        raise ValueError("give one of config and requested_attention_implementation")
    name = config._attn_implementation if config is not None else requested_attention_implementation
    if name is None or "flash" not in name:
        return False
    versions = [version] if isinstance(version, int) else version
    return versions is None or any(str(one) in name.partition("flash")[2] for one in versions)


def layer_type_validation(
    layer_types: Sequence[str], num_hidden_layers: int | None = None, attention: bool = True
) -> None:
    """See that `layer_types` of a config names known kinds, one for each layer.

    Args:
        layer_types: the kinds.
        num_hidden_layers: how many layers there are; None where it is not to be checked.
        attention: not needed: kinds of attention and of feed-forwards have names of their own.

    Raises:
        ValueError: for an unknown kind, or another number of them.
    """
    for one in layer_types:
        if one not in _KINDS:
            raise ValueError(f"layer_types: {one!r} is none of {', '.join(_KINDS)}")
    if num_hidden_layers is not None and num_hidden_layers != len(layer_types):
        raise ValueError(
            f"layer_types has {len(layer_types)} entries for num_hidden_layers={num_hidden_layers}"
        )
