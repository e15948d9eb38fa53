"""The size of the project: physical lines and lines of code of `src` and `tests`, and of each model family.

A line of code holds a token that is neither a docstring nor a comment.

    python benchmarks/size.py [--record]
"""

from __future__ import annotations

import argparse
import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FAMILIES = ROOT / "src" / "formers" / "models"
NOT_FAMILIES = {"__init__", "classes", "registry", "table"}

_SILENT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


def docstring_lines(node: ast.AST) -> set[int]:
    """The line numbers of the docstring of a module, class or function; empty where it has none."""
    body = getattr(node, "body", None)
    if not body or not isinstance(body[0], ast.Expr) or not isinstance(body[0].value, ast.Constant):
        return set()
    if not isinstance(body[0].value.value, str):
        return set()
    return set(range(body[0].lineno, (body[0].end_lineno or body[0].lineno) + 1))


def code_lines(source: str) -> int:
    """How many lines of `source` hold a token that is neither a docstring nor a comment."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in _SILENT:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            lines -= docstring_lines(node)
    return len(lines)


def family_files() -> Iterator[Path]:
    """The recipe files, one per architecture family."""
    return (path for path in sorted(FAMILIES.glob("*.py")) if path.stem not in NOT_FAMILIES)


def measure() -> list[tuple[str, int, int, int]]:
    """Rows of (what, files, physical lines, lines of code)."""
    rows = []
    for name in ("src", "tests", "benchmarks", "examples"):
        sources = [path.read_text() for path in sorted((ROOT / name).rglob("*.py"))]
        physical = sum(len(source.splitlines()) for source in sources)
        rows.append((name, len(sources), physical, sum(map(code_lines, sources))))
    for path in family_files():
        source = path.read_text()
        rows.append((f"family {path.stem}", 1, len(source.splitlines()), code_lines(source)))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--record", action="store_true", help="write the table into RESULTS.md")
    rows = measure()
    table = [
        ("part", "files", "lines", "lines of code"),
        *((n, str(f), f"{p:,}", f"{c:,}") for n, f, p, c in rows),
    ]
    import record

    record.show(table)
    if parser.parse_args().record:
        record.section("Size", table, command="python benchmarks/size.py --record")


if __name__ == "__main__":
    main()
