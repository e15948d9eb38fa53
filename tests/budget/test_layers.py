"""Each layer imports the layers below it and never one above, as docs/architecture.md ranks them."""

from __future__ import annotations

import ast
from collections.abc import Iterable

import pytest

from budget.source import Source, dotted_package, imports, ranks, sources
from formers import public


def upward(source: Source, nodes: Iterable[ast.AST]) -> list[str]:
    """The imports among `nodes` that reach a higher rank than the file's own."""
    own = ranks()[source.part]
    found = []
    for line, name in imports(nodes, dotted_package(source)):
        root, _, rest = name.partition(".")
        if root != "formers" or not rest:
            continue
        part = rest.split(".")[0]
        if part not in ranks():  # a public name taken from the root: its module decides
            module = public.MODULE_OF.get(part)
            if module is None:
                continue
            part = module.split(".")[1]
        if ranks()[part] > own:
            found.append(f"{source.name}:{line} (rank {own}) imports {name} (rank {ranks()[part]})")
    return found


def test_every_module_has_a_rank():
    parts = {source.part for source in sources()} - {""}
    missing = sorted(parts - ranks().keys())
    assert not missing, f"give these a rank in the table of docs/architecture.md: {missing}"


def test_the_table_names_only_what_exists():
    gone = sorted(ranks().keys() - {source.part for source in sources()})
    assert not gone, f"docs/architecture.md ranks modules that do not exist: {gone}"


@pytest.mark.parametrize("part", sorted(ranks()))
def test_no_layer_imports_one_above_it(part):
    found = [line for source in sources() if source.part == part for line in upward(source, source.nodes)]
    assert not found, "\n".join(found)


def test_an_import_from_above_would_be_seen():
    below = Source(sources()[0].path.parent / "hub" / "x.py", "", ast.parse("from formers import pipeline"))
    assert upward(below, below.nodes)
    inside = ast.parse("def f():\n    from ..models.bert import BertConfig")
    assert upward(below, ast.walk(inside))
    fine = ast.parse("from ..core.notices import notice\nfrom . import cache")
    assert not upward(below, ast.walk(fine))
