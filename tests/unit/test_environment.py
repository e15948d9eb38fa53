"""Where this runs, and how benchmarks write that down beside their figures."""

from __future__ import annotations

import importlib.metadata

from benchmarks import record
from formers.core.environment import environment, version


def test_the_environment_names_what_decides_results():
    found = environment(accelerators=False)
    assert found["packages"]["torch"] == importlib.metadata.version("torch")
    assert found["hardware"]["cores"] >= 1
    assert "accelerators" not in found
    assert version("no-such-package") is None


def test_a_section_of_the_results_is_written_in_the_place_of_the_earlier_one(tmp_path):
    results = tmp_path / "RESULTS.md"
    results.write_text("# Results\n\nAn introduction.\n")
    record.section("First", [("case", "s"), ("a | b", "41.5")], command="run first", results=results)
    record.section(
        "Second", [("case", "s"), ("c", "2.0")], command="run second", notes="A note.", results=results
    )
    before = results.read_text()
    assert before.startswith("# Results\n\nAn introduction.\n\n## First\n")
    assert "| a \\| b | 41.5 |" in before

    record.section("First", [("case", "s"), ("a", "0.5")], command="run first", results=results)
    after = results.read_text()
    assert after.count("## First") == after.count("## Second") == 1
    assert "41.5" not in after
    assert after.index("## First") < after.index("## Second")
    assert after.split("## Second")[1] == before.split("## Second")[1]
    assert "torch" in after
