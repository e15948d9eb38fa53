"""What the documentation tells a person to type works: every block of Python runs, every command exists.

Blocks run in a folder of tiny checkpoints under the names that the pages use, a page's blocks one after the
other. A page that asks a server has one: `<!-- served: MODEL -->` in it says of which model.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from benchmarks import snippets
from benchmarks.seeds import blocks
from docs.generator import pages
from system import docs_zoo
from system.cli_command import check_commands

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
ADDRESS = "http://localhost:8000"


@contextlib.contextmanager
def served(page: str) -> Iterator[str]:
    """The address that stands for that of the page."""
    found = re.search(r"<!-- served: (\S+) -->", page)
    if found is None:
        yield ADDRESS
        return
    from formers import pipeline
    from formers.serving import running

    with running(pipeline(model=found[1], device="cpu"), log_path="requests.log") as url:
        yield url


def wrong(path: Path) -> Iterator[str]:
    """What went wrong in a page's blocks; the first one that does ends the page."""
    names: dict[str, object] = {"__name__": "__main__"}
    with served(path.read_text()) as url:
        for line, code in blocks(path):
            shown = io.StringIO()
            try:
                with contextlib.redirect_stdout(shown):
                    exec(compile(code.replace(ADDRESS, url), str(path), "exec"), names)
            except Exception:
                yield f"{path.relative_to(ROOT)}, block at line {line}:\n{traceback.format_exc(limit=-4)}"
                return


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return docs_zoo.build(tmp_path_factory.mktemp("reader"))


@pytest.fixture
def reader(zoo, monkeypatch):
    """A person in the folder of checkpoints; names of the Hub are folders there."""
    monkeypatch.chdir(zoo)
    return zoo


@pytest.mark.parametrize("tasks", [True, False], ids=["tasks", "guides"])
def test_every_block_of_python_runs_as_printed(tasks, reader):
    chosen = [path for path in PAGES if (path.parent.name == "tasks") == tasks]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        failures = [said for path in chosen for said in wrong(path)]
    assert not failures, "\n".join(failures)
    assert not [path for path in chosen if re.search(r"```python .", path.read_text())], (
        "blocks that do not run"
    )


def test_scripts_of_courses_and_guides_run_with_formers_in_the_place_of_transformers(reader):
    """Every eighth here; all in `make docs-check`."""
    chosen = snippets.snippets()[:: 1 if os.environ.get("FORMERS_ALL_SNIPPETS") else 8]
    assert {one.title: said for one, said in snippets.outcomes(chosen) if said} == {}


@pytest.mark.filterwarnings("ignore")
def test_examples_run_on_small_data(reader, capsys):
    from examples import fine_tune_classifier, fine_tune_pictures, fine_tune_writer, generate_text
    from examples import quick_inference as quick

    few = ["--epochs", "0.5"]
    assert quick.main([]) == []
    assert len(quick.main(["sentiment-analysis", "i love this", "i hate this"])) == 2
    (found,) = quick.main(["zero-shot-classification", "my card", "--labels", "billing,shipping"])
    assert sorted(found["labels"]) == ["billing", "shipping"]
    assert len(generate_text.main(["once upon a time", "--max-new-tokens", "3"])) == 5
    for part in ("whole", "head", "lora"):
        told = fine_tune_classifier.main(["tickets.csv", "--train", part, "--output", part, *few])
        assert 0 <= told["eval_macro_f1"] <= 1
        assert (reader / part / "config.json").is_file()
    columns = ["--source", "text", "--target", "label", "--prefix", "summarize: ", "--max-length", "4"]
    assert fine_tune_writer.main(["tickets.csv", *columns, *few])["eval_exact"] >= 0
    assert fine_tune_pictures.main(["food101/train", *few])["eval_accuracy"] >= 0


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["fine_tune", "generate", "quick_tour"])
def test_notebooks_open_and_run_and_hold_no_output(name, reader, capsys):
    book = nbformat.read(ROOT / "examples" / "notebooks" / f"{name}.ipynb", as_version=4)
    nbformat.validate(book)
    names: dict[str, object] = {}
    for cell in book.cells:
        if cell.cell_type == "code":
            assert not cell.outputs
            assert cell.execution_count is None
            exec(compile(cell.source, f"{name}.ipynb: {cell.id}", "exec"), names)


def test_the_commands_that_are_named_exist(capsys):
    texts = (pages.filled(str(path.relative_to(ROOT / "docs")), path.read_text()) for path in PAGES)
    assert check_commands("\n".join(texts), capsys)


def test_every_task_has_a_page_and_every_page_a_place():
    from formers.pipelines.table import TASKS

    made = pages.made()
    listed = set(re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    tasks = {f"tasks/{task.name}.md" for task in TASKS}
    there = {str(path.relative_to(ROOT / "docs")) for path in PAGES}
    assert there | set(made) == listed | tasks | {"tasks/index.md"} | {
        f"reference/{room}.md" for room in (*pages.ROOMS, *pages.MODULES)
    }
    assert "`evaluation_strategy`" in pages.filled("", "<!-- older names -->")
    assert "::: formers.training.trainer.Trainer" in made["reference/training.md"]
