"""The shape of the package: no circles, nobody reads another's privates, no class is a drawer of names."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from budget.source import PACKAGE, ROOT, Source, sources

# names with an underscore that are another library's way of saying something that has no other name
OTHERS = {
    "_modules",
    "_parameters",
    "_buffers",
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_global_forward_hooks",
    "_global_forward_pre_hooks",
    "_global_backward_hooks",
    "_global_backward_pre_hooks",
    "_non_persistent_buffers_set",
    "_no_split_modules",
    "_attn_implementation",
    "_from_config",
    "_replace",
    "_version",
    "_asdict",
    "_fields",
    "_make",
}
PUBLIC_NAMES = 46  # of a class of ours, beside those that it inherits from other libraries
MORE = {"Trainer": 51}  # names that scripts call and override, which are the ecosystem's


def foreign_privates(source: Source) -> Iterator[str]:
    """`x._name`, where x is neither the object itself nor a module, and no file beside it has the name."""
    own = private_names(source.path.parent)
    modules = {
        alias.asname or alias.name.split(".")[0]
        for node in source.nodes
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if alias.name[:1].islower()
    }
    for node in source.nodes:
        if not isinstance(node, ast.Attribute) or not re.match(r"_[a-z]", node.attr):
            continue
        root = node.value
        while isinstance(root, ast.Attribute):
            root = root.value
        if isinstance(root, ast.Name) and root.id in modules:
            continue  # torch._C and the like: guarded where they are used
        held = node.value
        if isinstance(held, ast.Name) and held.id in ("self", "cls"):
            continue
        if isinstance(held, ast.Call) and ast.unparse(held.func) in ("super", "type"):
            continue
        if node.attr not in OTHERS and node.attr not in own:
            yield f"{source.name}:{node.lineno} reads {ast.unparse(node)}"


@functools.cache
def private_names(folder: Path) -> set[str]:
    """The private names that the files of a folder define: friends live in one room."""
    found: set[str] = set()
    for other in sources():
        if other.path.parent != folder:
            continue
        for node in other.nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
                    found.add(node.attr)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found.add(node.id)
    return found


def test_no_module_reads_another_s_privates():
    found = [line for source in sources() for line in foreign_privates(source)]
    assert not found, "\n".join(found)


def module_of(source: Source) -> str:
    parts = ("formers", *source.path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def graph() -> dict[str, set[str]]:
    """Module -> the modules of the package that it imports, lazily and for types too."""
    known = {module_of(source) for source in sources()}
    edges: dict[str, set[str]] = {}
    for source in sources():
        here = module_of(source)
        if here in ("formers", "formers.__main__"):
            continue  # the table of public names reaches everything by design
        found = set()
        for _, name in source.imports:
            target = name if name in known else name.rpartition(".")[0]
            if target in known and target not in (here, "formers"):
                found.add(target)
        edges[here] = found
    return edges


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Strongly connected parts of more than one module (Tarjan 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in edges.get(node, ()):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            part = []
            while True:
                part.append(stack.pop())
                if part[-1] == node:
                    break
            if len(part) > 1:
                found.append(sorted(part))

    for node in sorted(edges):
        if node not in index:
            visit(node)
    return found


def test_there_are_no_circles_of_imports():
    found = circles(graph())
    assert not found, "\n".join(", ".join(part) for part in found)


def test_a_circle_would_be_seen():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]


def test_classes_keep_their_public_names_few():
    many = []
    for source in sources():
        for node in source.nodes:
            if isinstance(node, ast.ClassDef):
                names = {
                    item.name
                    for item in node.body
                    if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)
                    and not item.name.startswith("_")
                }
                if len(names) > MORE.get(node.name, PUBLIC_NAMES):
                    many.append(f"{source.name}: {node.name} has {len(names)} public methods")
    assert not many, "\n".join(many)


def test_no_code_compares_with_a_model_type():
    """Code dispatches on declared fields, whatever the variable is called."""
    from formers.models.table import FAMILIES

    words = set(FAMILIES) - {"semantic"}  # a stage of Bark, which is a kind of segmentation too
    found = []
    for source in sources():
        if source.path.parent == PACKAGE / "models":
            continue
        for node in source.nodes:
            if isinstance(node, ast.Compare):
                spelt = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant)}
                if spelt & words:
                    found.append(f"{source.name}:{node.lineno} compares with {sorted(spelt & words)}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize("guide", ["README.md", "CONTRIBUTING.md", "docs/architecture.md"])
def test_the_files_that_a_guide_names_are_there(guide):
    named = re.findall(r"`((?:\w+/)+\w+\.py)`", (ROOT / guide).read_text(encoding="utf-8"))
    roots = (ROOT, ROOT / "src", PACKAGE, ROOT / "tests")
    assert not [path for path in named if not any((root / path).is_file() for root in roots)]
