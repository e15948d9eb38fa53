"""Codes of sounds as what a stack reads: several at every place, each of a book of its own."""

from __future__ import annotations

from dataclasses import dataclass

from formers.nn.spec.stems import Tokens


@dataclass(frozen=True)
class Codes(Tokens):
    """A stem for several codes at every place, [B, T, n], whose vectors are summed; the first books may do.

    Roles: `token_0`, .. in place of `token`, see `tables_of`; `vocabulary` is the number of rows of each.

    Attributes:
        books: how many tables there are.
    """

    books: int = 1


def tables_of(path: str, books: int) -> dict[str, str]:
    """Roles and paths of the tables, which lie in a list."""
    return {f"token_{i}": f"{path}.{i}" for i in range(books)}
