"""The package's sources, parsed once, and what each of them imports. Shared by the budget tests."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "formers"


@dataclass(frozen=True)
class Source:
    """One file of the package."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        """The file's path inside the package: `nn/cache.py`."""
        return self.path.relative_to(PACKAGE).as_posix()

    @property
    def part(self) -> str:
        """The module or package right under `formers` that the file belongs to; empty for the root."""
        top = self.path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        return "" if top in ("__init__", "__main__") else top

    @functools.cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """Every node of the tree."""
        return tuple(ast.walk(self.tree))

    @functools.cached_property
    def imports(self) -> tuple[tuple[int, str], ...]:
        """Every module that the file imports, wherever that stands, as (line, dotted name)."""
        return tuple(imports(self.nodes, dotted_package(self)))


@functools.cache
def sources() -> tuple[Source, ...]:
    paths = sorted(PACKAGE.rglob("*.py"))
    texts = [path.read_text() for path in paths]
    return tuple(
        Source(path, text, ast.parse(text, str(path))) for path, text in zip(paths, texts, strict=True)
    )


def imports(nodes: Iterable[ast.AST], package: str) -> Iterator[tuple[int, str]]:
    """Every module that one of `nodes` imports, as (line, dotted name).

    `from a import b` gives `a.b`, since b may be a module. Relative imports are resolved against
    `package`, the dotted name of the file's package. `import_module("a.b")` counts as well.
    """
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called == "import_module" and isinstance(node.args[0].value, str):
                yield node.lineno, node.args[0].value


def dotted_package(source: Source) -> str:
    """The dotted name of the package that `source` lies in."""
    return ".".join(("formers", *source.path.relative_to(PACKAGE).parts[:-1]))


def run_on_import(tree: ast.Module) -> Iterator[ast.AST]:
    """The nodes of `tree` that importing the file executes: nothing in functions or `if TYPE_CHECKING`."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        yield node
        for_types = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        waiting += node.orelse if for_types else ast.iter_child_nodes(node)


@functools.cache
def ranks() -> dict[str, int]:
    """Module or package under `formers` -> its rank in the table of docs/architecture.md."""
    found: dict[str, int] = {}
    for rank, modules in re.findall(
        r"^\| (\d+) \| ([^|]+) \|", (ROOT / "docs" / "architecture.md").read_text(), re.M
    ):
        for name in re.findall(r"`(\w+)/?`", modules):
            found[name] = int(rank)
    return found
