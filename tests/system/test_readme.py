"""What the README tells people to type works: its Python runs, its commands and options exist."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

import tiny
from system.cli_command import check_commands

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", "examples/README.md", "CONTRIBUTING.md", "docs/rollout.md"]


@pytest.fixture
def newcomer(tmp_path, monkeypatch):
    """A folder that holds the files that the README speaks of, small."""
    monkeypatch.chdir(tmp_path)
    tiny.save_classifier(tmp_path / "router")
    tiny.save_encoder(tmp_path / "sentence-transformers" / "all-MiniLM-L6-v2")
    rows = tiny.tickets(40)
    with open("tickets.csv", "w", newline="") as stream:
        csv.writer(stream).writerows([("text", "label"), *rows])
    Path("today.txt").write_text("\n".join(text for text, _ in rows))
    return tmp_path


@pytest.mark.filterwarnings("ignore::formers.core.notices.Notice")
def test_the_python_of_the_readme_runs(newcomer, capsys):
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert (newcomer / "my-router" / "config.json").is_file()
    assert (newcomer / "copy" / "tokenizer.json").is_file()


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_that_are_named_exist(page, capsys):
    lines = check_commands((ROOT / page).read_text(), capsys)
    assert lines or page == "CONTRIBUTING.md"


@pytest.mark.parametrize("page", PAGES)
def test_the_make_targets_that_are_named_exist(page):
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^    |`)make ([\w-]+)", (ROOT / page).read_text(), re.MULTILINE)) <= targets


@pytest.mark.parametrize("page", [*PAGES, "CHANGELOG.md", "benchmarks/README.md"])
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / page).read_text()):
        assert ((ROOT / page).parent / target).exists(), f"{page}: {target}"


def test_every_benchmark_is_listed():
    page = (ROOT / "benchmarks" / "README.md").read_text()
    assert not [path.name for path in (ROOT / "benchmarks").glob("*.py") if f"`{path.name}`" not in page]
