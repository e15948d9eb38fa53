"""Code of courses and guides, written anew as small scripts: each runs on formers in transformers' place.

    python benchmarks/snippets.py
    python benchmarks/snippets.py --only "Chapter 7"
    python benchmarks/snippets.py --table benchmarks/course_scripts.md --reference

`--reference` runs them on transformers, too, for the table's last column.

Scripts lie in `courses/`, as blocks of Markdown under headlines that say where each is from. One process runs
them all, each with names of its own, in a folder of tiny checkpoints under the names that scripts use.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COURSES = ROOT / "benchmarks" / "courses"


@dataclass(frozen=True)
class Snippet:
    """One script.

    Attributes:
        source: the file's name.
        title: its headline.
        code: the script.
    """

    source: str
    title: str
    code: str


def snippets(only: str = "") -> list[Snippet]:
    """All scripts whose headline holds a text."""
    found = []
    for path in sorted(COURSES.glob("*.md")):
        for part in path.read_text().split("\n### ")[1:]:
            title, _, rest = part.partition("\n")
            code = re.search(r"```python\n(.*?)```", rest, re.DOTALL)
            if code is None:
                raise ValueError(f"{path.name}: there is no script under {title!r}")
            found.append(Snippet(path.stem, title, code[1]))
    return [one for one in found if only in one.title]


def run(one: Snippet) -> str:
    """Run a script; what it ended with, empty where it ran."""
    shown = io.StringIO()
    try:
        with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
            exec(compile(one.code, f"{one.source}: {one.title}", "exec"), {"__name__": "__main__"})
    except Exception as error:  # whatever a script raises is its outcome in the table
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return ""


def outcomes(chosen: list[Snippet], reference: bool = False) -> Iterator[tuple[Snippet, str]]:
    """Run scripts in this folder, under the drop-in or on the reference; each with what it ended with."""
    import formers.dropin

    with warnings.catch_warnings(), contextlib.nullcontext() if reference else formers.dropin.using():
        warnings.simplefilter("ignore")
        for one in chosen:
            yield one, run(one)


def in_a_folder(only: str, reference: bool) -> list[str]:
    """What each script ended with, in a folder of checkpoints of its own."""
    from system import docs_zoo

    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(docs_zoo.build(Path(folder))):
        return [said for _, said in outcomes(snippets(only), reference)]


def main() -> None:
    """Run them and say what became of each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="part of a headline")
    parser.add_argument("--reference", action="store_true", help="on transformers, too")
    parser.add_argument("--table", type=Path, help="Markdown file for the outcomes")
    given = parser.parse_args()
    here = str(Path(__file__).parent)  # whose modules have names of the tests'
    sys.path[:] = [
        str(ROOT / "src"),
        str(ROOT / "tests"),
        str(ROOT),
        *(one for one in sys.path if one != here),
    ]
    chosen = snippets(given.only)
    told = []
    for reference in (False, True)[
        : 1 + given.reference
    ]:  # what packages hold of one must not reach the other
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as aside:
            told.append(aside.submit(in_a_folder, given.only, reference).result())
        name = ("formers", "transformers")[reference]
        print(f"{name}: {told[-1].count('')} of {len(chosen)} scripts run", flush=True)
    for one, said in zip(chosen, told[0], strict=True):
        if said:
            print(f"{one.source}: {one.title}: {said}")
    if given.table:
        given.table.write_text(table(chosen, told))


def table(chosen: list[Snippet], told: list[list[str]]) -> str:
    """What became of each script, as Markdown."""
    head = ["source", "script", "formers", "transformers"][: 2 + len(told)]
    counts = [
        f"{name}: {row.count('')} of {len(chosen)} run" for name, row in zip(head[2:], told, strict=True)
    ]
    lines = [
        "# Scripts of courses and guides",
        "",
        "Written by `python benchmarks/snippets.py`; the scripts lie in `courses/`.",
        "",
        f"{'; '.join(counts)}. Without a network, and without ffmpeg's program.",
        "",
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
    ]
    for one, *said in zip(chosen, *told, strict=True):
        cells = (one.source, one.title, *(shortened(what) or "runs" for what in said))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def shortened(said: str) -> str:
    """An error in a cell of a table, without places of this machine."""
    return re.sub(r" \(?/[\w./-]+.*", "", said)[:120].replace("|", "\\|")


if __name__ == "__main__":
    main()
