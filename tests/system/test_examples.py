"""The demonstration does what it says, here with an encoder too small to be good."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import tiny

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_the_ticket_router_trains_judges_reports_serves_and_asks_a_person(tmp_path):
    encoder = tiny.save_encoder(tmp_path / "encoder")
    output = tmp_path / "output"
    command = [sys.executable, EXAMPLES / "ticket_router.py", "--output", output, "--model", encoder]
    done = subprocess.run(
        [*map(str, command), "--epochs", "0.1", "--no-bf16"],
        capture_output=True,
        text=True,
        timeout=280,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr
    for said in (
        "8,618 entries, 11 components",
        "macro F1",
        "50 of 50 answers",
        "to a person (item 1)",
        "left:",
    ):
        assert said in done.stdout

    saved = {path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()}
    for name in ("config.json", "model.safetensors", "tokenizer.json", "README.md"):
        assert f"model/{name}" in saved
    for name in ("calibration.json", "thresholds.json", "drift-baseline.json"):
        assert f"model/{name}" in saved
    assert saved >= {"report/report.html", "report/report.png", "golden.jsonl", "human-queue.sqlite3"}
    assert not any(name.startswith("checkpoints") for name in saved)
    metrics = json.loads((output / "report" / "metrics.json").read_text())
    assert metrics
    lines = [json.loads(line) for line in (output / "requests.log").read_text().splitlines()]
    assert len(lines) >= 5


def test_the_encoder_is_the_packages_where_it_is_installed(monkeypatch):
    from examples import minilm

    assert (Path(minilm.minilm()) / "model.safetensors").is_file()
    monkeypatch.setattr(minilm, "find_spec", lambda name: None)
    assert minilm.minilm() == minilm.HUB_ID


def test_the_files_for_many_processes_can_be_read_and_name_options_that_the_script_has():
    many = EXAMPLES / "many"
    for script in (*many.glob("*.sh"), many / "slurm.sbatch"):
        subprocess.run(["bash", "-n", script], check=True)
    service, job = yaml.safe_load_all((many / "kubernetes.yaml").read_text())
    pods = job["spec"]["template"]["spec"]
    names = {entry["name"]: entry["value"] for entry in pods["containers"][0]["env"]}
    assert pods["subdomain"] == service["metadata"]["name"]
    assert names == {"FIRST": f"{job['metadata']['name']}-0.{pods['subdomain']}", "MACHINES": "4"}
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
    assert job["spec"]["completions"] == job["spec"]["parallelism"] == int(names["MACHINES"])
    assert {mount["name"] for mount in pods["containers"][0]["volumeMounts"]} == {
        volume["name"] for volume in pods["volumes"]
    }
    script, *options = pods["containers"][0]["command"]
    assert (many / Path(script).name).is_file()
    source = (many / "train.py").read_text()
    assert all(f'"{option.partition("=")[0]}"' in source for option in options)


@pytest.mark.filterwarnings("ignore::formers.core.notices.Notice")
def test_the_script_for_many_processes_goes_on_from_its_checkpoint(tmp_path, monkeypatch):
    from examples.many import train

    data, encoder = tmp_path / "data.csv", tiny.save_encoder(tmp_path / "encoder")
    data.write_text("text,label\n" + "the printer is on fire,hardware\nthe page is blank,software\n" * 8)
    for steps in (2, 4):
        options = {"data": data, "output": tmp_path / "run", "model": encoder, "steps": steps, "batch": 4}
        given = [f"--{name}={value}" for name, value in options.items()]
        monkeypatch.setattr(sys, "argv", ["train.py", *given, "--cpu"])
        train.main()
    assert {path.name for path in (tmp_path / "run").iterdir()} >= {"model", "checkpoint-3", "checkpoint-4"}
