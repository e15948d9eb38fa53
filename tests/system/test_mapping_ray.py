"""`formers map` on a cluster of processes whose workers die."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest

import tiny
from formers.jobs.mapping import answers_of, map_files
from system.mapping_data import TASK, held, said_alone, save_each_kind

ray = pytest.importorskip("ray", reason="Ray has no wheel for this interpreter")


@pytest.fixture(scope="module", autouse=True)
def cluster():
    with pytest.MonkeyPatch.context() as patch:  # inherited; an environment of Ray's own is slow
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2] / "src"), prepend=os.pathsep)
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        ray.init(num_cpus=2, include_dashboard=False, logging_level="error", log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def router(tmp_path_factory):
    return tiny.save_classifier(tmp_path_factory.mktemp("router"))


def workers():
    """The processes that hold a model."""
    return [
        one for one in psutil.Process().children(recursive=True) if "MapWorker" in " ".join(one.cmdline())
    ]


def test_a_worker_that_dies_loses_nothing_and_answers_nothing_twice(router, tmp_path):
    texts = [text for text, _ in tiny.tickets(80)]
    save_each_kind(tmp_path / "in", texts)
    (tmp_path / "in" / "z.csv").write_text("text\n \n\n")
    killed = []

    def kill(report):
        if report.blocks == 5:
            killed.append(workers()[0].pid)
            os.kill(killed[0], signal.SIGKILL)

    report = map_files(
        TASK, router, tmp_path / "in", tmp_path / "out",
        address="auto", workers=2, rows=6, device="cpu", told=kill,
    )  # fmt: skip
    assert killed
    rows = list(answers_of(tmp_path / "out"))
    assert rows.pop()["error"] == "the column 'text' is empty"
    held(rows, texts, said_alone(router, texts))
    assert not list((tmp_path / "out").glob(".*"))
    again = map_files(TASK, router, tmp_path / "in", tmp_path / "out", address="auto", rows=6)
    assert (again.blocks, again.skipped) == (0, report.total)


def test_what_a_worker_raises_is_what_the_driver_says(router, tmp_path):
    (tmp_path / "a.csv").write_text("text\nhelp\n")
    with pytest.raises(TypeError, match="top_k"):
        map_files(
            TASK, router, tmp_path / "a.csv", tmp_path / "out",
            address="auto", device="cpu", parameters={"top_kk": 3},
        )  # fmt: skip
    assert ray.is_initialized()
