"""Code of courses and guides, written anew as small scripts: each runs on formers in transformers' place.

    python benchmarks/snippets.py
    python benchmarks/snippets.py --only "Chapter 7"
    python benchmarks/snippets.py --table outcomes.md

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
from dataclasses import dataclass
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
    except Exception as error:
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return ""


def outcomes(chosen: list[Snippet]) -> Iterator[tuple[Snippet, str]]:
    """Run scripts under the drop-in, in this folder; each with what it ended with."""
    import formers.dropin

    with warnings.catch_warnings(), formers.dropin.using():
        warnings.simplefilter("ignore")
        for one in chosen:
            yield one, run(one)


def main() -> None:
    """Run them and say what became of each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="part of a headline")
    parser.add_argument("--table", type=Path, help="Markdown file for the outcomes")
    given = parser.parse_args()
    here = str(Path(__file__).parent)
    sys.path[:] = [
        str(ROOT / "src"),
        str(ROOT / "tests"),
        str(ROOT),
        *(one for one in sys.path if one != here),
    ]
    from system import docs_zoo

    lines = ["| source | script | outcome |", "|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(docs_zoo.build(Path(folder))):
        ran = 0
        for one, said in outcomes(snippets(given.only)):
            ran += not said
            lines.append(f"| {one.source} | {one.title} | {said or 'runs'} |".replace("\\|", "\\\\|"))
            if said:
                print(f"{one.source}: {one.title}: {said}", flush=True)
    print(f"{ran} of {len(lines) - 2} scripts run")
    if given.table:
        given.table.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
