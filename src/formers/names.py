"""Which module a derived public name comes from, without importing it."""

from __future__ import annotations

from collections.abc import Iterator

from formers.models.table import FAMILIES


def find(name: str) -> tuple[str, str] | None:
    """Module and attribute behind a name such as `BertForMaskedLM`, `BertConfig` or `BertTokenizer`."""
    from formers.tokenization.recipes import CLASSES

    if name in CLASSES:
        return "formers.tokenization", name
    if any(name.startswith(prefix) for _, prefix in FAMILIES.values()):
        return "formers.auto", name
    return None


def known() -> Iterator[str]:
    """Every derived name; this imports the families."""
    from formers.auto import derived_names
    from formers.tokenization.recipes import CLASSES

    yield from CLASSES
    yield from derived_names()
