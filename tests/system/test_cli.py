"""The `formers` command, as a person at a terminal and a script in a pipe use it."""

from __future__ import annotations

import csv
import errno
import importlib
import io
import json
import os
import shutil
import signal
import sys
import time
import types
import urllib.request

import pytest

import tiny
from formers import __version__
from formers.evaluation.thresholds import Thresholds
from system.cli_command import in_this_process, process, train_options, write_table

# Elsewhere a notice that is not expected fails a test; a command shows them to the person at the terminal.
pytestmark = pytest.mark.filterwarnings("default::formers.core.notices.Notice")

TEXTS = ["my card was charged again", "the parcel is late", "login error since the update"]


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    folder = tiny.save_classifier(tmp_path_factory.mktemp("classifier"))
    Thresholds.fixed(tiny.LABELS, 0.9).save(folder)
    return folder


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_table(tmp_path_factory.mktemp("data") / "tickets.csv", tiny.tickets(60))


@pytest.fixture
def formers(capsys, monkeypatch):
    return in_this_process(capsys, monkeypatch)


def test_version_and_help_of_every_command(formers):
    assert formers("--version")[:2] == (0, f"formers {__version__}\n")
    status, shown, _ = formers("--help")
    commands = ["train", "evaluate", "report", "predict", "serve", "chat", "golden", "drift", "env"]
    assert status == 0
    assert all(command in shown for command in commands)
    for command in [*commands, ("golden", "record"), ("golden", "check"), ("drift", "check")]:
        words = [command] if isinstance(command, str) else command
        status, shown, _ = formers(*words, "--help")
        assert status == 0
        assert "Usage" in shown


def test_env_names_versions_and_hardware(formers):
    found = json.loads(formers("env", "--json")[1])
    assert found["packages"]["formers"] == __version__
    assert found["hardware"]["cores"] >= 1
    shown = formers("env")[1]
    assert found["packages"]["torch"] in shown
    assert found["python"] in shown


def test_predict_answers_in_order_however_the_texts_come(formers, classifier, tmp_path):
    as_lines = tmp_path / "texts.txt"
    as_lines.write_text("\n".join(TEXTS))
    as_table = write_table(tmp_path / "texts.csv", [(text, "billing") for text in TEXTS])
    status, from_arguments, _ = formers("predict", "-m", classifier, "--json", *TEXTS)
    assert status == 0
    assert [json.loads(line)["text"] for line in from_arguments.splitlines()] == TEXTS
    for source in (["--file", as_lines], ["--file", as_table]):
        assert formers("predict", "-m", classifier, "--json", *source)[1] == from_arguments
    assert formers("predict", "-m", classifier, "--json", stdin="\n".join(TEXTS))[1] == from_arguments


def test_predict_writes_json_csv_and_lines_with_the_same_answers(formers, classifier):
    rows = [
        json.loads(line)
        for line in formers("predict", "-m", classifier, "--json", "--top-k", "3", *TEXTS)[1].splitlines()
    ]
    table = list(
        csv.DictReader(io.StringIO(formers("predict", "-m", classifier, "--csv", "--top-k", "3", *TEXTS)[1]))
    )
    lines = formers("predict", "-m", classifier, "--top-k", "3", *TEXTS)[1].splitlines()
    for row, cells, line in zip(rows, table, lines, strict=True):
        scores = [entry["score"] for entry in row["top"]]
        assert scores == sorted(scores, reverse=True)
        assert sum(scores) == pytest.approx(1, abs=1e-6)
        assert row["label"] == row["top"][0]["label"] == cells["label"]
        assert float(cells["score_2"]) == pytest.approx(scores[1], abs=1e-6)
        assert row["accepted"] is (scores[0] >= 0.9)
        assert cells["accepted"] == str(row["accepted"]).lower()
        assert ("(to a person)" in line) is not row["accepted"]
        assert f"{row['label']} {scores[0]:.3f}" in line


def test_the_reader_of_a_pipe_may_go_away(classifier, tmp_path):
    many = tmp_path / "many.txt"
    many.write_text("\n".join(TEXTS * 20_000))
    running = process("predict", "-m", classifier, "--json", "--file", many)
    assert running.stdout.readline().startswith("{")
    running.stdout.close()
    errors = running.stderr.read()
    assert running.wait(timeout=60) == 0
    assert "Error" not in errors


def test_evaluate_counts_what_predict_answers(formers, classifier, table):
    status, shown, _ = formers("evaluate", "-m", classifier, "-d", table, "--json")
    assert status == 0
    found = json.loads(shown)
    with table.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    answers = formers("predict", "-m", classifier, "--csv", "-f", table)[1]
    predicted = [row["label"] for row in csv.DictReader(io.StringIO(answers))]
    right = sum(label == row["label"] for label, row in zip(predicted, rows, strict=True))
    assert found["accuracy"] == pytest.approx(right / len(rows))
    assert found["per_class"]["billing"]["support"] == 60
    shown = formers("evaluate", "-m", classifier, "-d", table)[1]
    assert f"macro_f1 {found['macro_f1']:.4f}" in shown
    assert all(label in shown for label in tiny.LABELS)


def test_evaluate_measures_thresholds_written_by_hand_for_some_labels(formers, classifier, table, tmp_path):
    shutil.copytree(classifier, tmp_path / "model")
    (tmp_path / "model" / "thresholds.json").write_text(json.dumps({"labels": {"billing": 0.0}}))
    status, shown, error = formers("evaluate", "-m", tmp_path / "model", "-d", table, "--json")
    assert status == 0, error
    assert 0 < json.loads(shown)["thresholds"]["coverage"] <= 1


def test_report_writes_a_page_and_its_figures(formers, classifier, table, tmp_path):
    assert (
        formers("report", "-m", classifier, "-d", table, "-o", tmp_path / "report", "--title", "Tickets")[0]
        == 0
    )
    assert "Tickets" in (tmp_path / "report" / "report.html").read_text()
    assert json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert formers("evaluate", "-m", classifier, "-d", table, "--report", tmp_path / "again")[0] == 0
    assert (tmp_path / "again" / "report.html").is_file()


def test_a_golden_file_tells_a_changed_model_from_the_same_one(formers, classifier, tmp_path):
    golden = tmp_path / "golden.jsonl"
    assert formers("golden", "record", "-m", classifier, "-g", golden, *TEXTS)[0] == 0
    status, shown, _ = formers("golden", "check", "-m", classifier, "-g", golden)
    assert (status, "3 of 3 answers as recorded" in shown) == (0, True)
    other = tiny.save_classifier(tmp_path / "other", seed=1)
    status, shown, _ = formers("golden", "check", "-m", other, "-g", golden, "--json")
    assert status == 1
    assert not json.loads(shown)["ok"]


def test_golden_record_spreads_its_limit_over_the_file(formers, classifier, table, tmp_path):
    golden = tmp_path / "golden.jsonl"
    assert formers("golden", "record", "-m", classifier, "-g", golden, "-f", table, "--limit", "10")[0] == 0
    recorded = [json.loads(line)["text"] for line in golden.read_text().splitlines()[1:]]
    texts = [text for text, _ in tiny.tickets(60)]
    assert recorded == texts[::18]


def test_drift_is_found_against_the_baseline(formers, classifier, table, tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    assert formers("drift", "baseline", "-m", classifier, "-f", table, "--output", base)[0] == 0
    status, shown, _ = formers("drift", "check", "-m", classifier, "-f", table, "--baseline", base)
    assert (status, shown.splitlines()[0]) == (0, "drift: stable (180 texts)")
    other = tmp_path / "other.txt"
    other.write_text("\n".join(["nobody ever wrote of such things in such long sentences before"] * 200))
    status, shown, _ = formers("drift", "check", "-m", classifier, "-f", other, "--baseline", base, "--json")
    assert (status, json.loads(shown)["verdict"]) == (1, "drift")


def test_serve_answers_over_http_and_stops_when_told(classifier, tmp_path):
    running = process(
        "serve", "-m", classifier, "--port", "0", "--queue", tmp_path / "queue.sqlite3", "--threshold", "1"
    )
    try:
        url = "http://" + running.stdout.readline().split("http://")[1].split()[0]
        request = urllib.request.Request(
            f"{url}/classify", json.dumps({"text": TEXTS[0]}).encode(), {"content-type": "application/json"}
        )
        for _ in range(200):
            try:
                with urllib.request.urlopen(f"{url}/health"):
                    break
            except OSError:
                time.sleep(0.05)
        with urllib.request.urlopen(request, timeout=30) as answer:
            found = json.load(answer)
        assert found["label"] in tiny.LABELS
        assert found["needs_human"]
    finally:
        running.send_signal(signal.SIGTERM)
        errors = running.communicate(timeout=60)[1]
    assert running.returncode == 0, errors


def test_train_saves_one_folder_that_the_other_commands_take(formers, tmp_path):
    status, shown, errors = formers(*train_options(tmp_path), "--epochs", "6", "--max-length", "16")
    assert status == 0, errors
    assert "note: BertForSequenceClassification: 2 weights" in errors
    router = tmp_path / "router"
    saved = {path.name for path in router.iterdir()}
    assert saved >= {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "calibration.json",
        "thresholds.json",
    }
    assert saved >= {"drift-baseline.json", "held-out.csv", "README.md"}
    assert "checkpoints" not in saved
    card = (router / "README.md").read_text()
    assert "| macro_f1 |" in card
    assert "technical" in card
    # what was cut in training is cut in service
    assert json.loads((router / "tokenizer_config.json").read_text())["model_max_length"] == 16

    held_out = router / "held-out.csv"
    found = json.loads(formers("evaluate", "-m", router, "-d", held_out, "--json")[1])
    assert sum(row["support"] for row in found["per_class"].values()) == 45
    assert found["accuracy"] > 0.6  # a third by chance
    assert f"macro_f1 {found['macro_f1']:.4f}" in shown  # what `train` said of the same texts
    status, _, errors = formers(*train_options(tmp_path))
    assert (status, "--overwrite" in errors) == (2, True)


def test_an_interrupted_training_goes_on_where_it_was(formers, tmp_path):
    options = train_options(tmp_path)
    running = process(*options, "--epochs", "500", "--patience", "500")
    checkpoints = tmp_path / "router" / "checkpoints"
    try:
        until = time.monotonic() + 120
        while not list(checkpoints.glob("checkpoint-*/trainer_state.json")) and running.poll() is None:
            assert time.monotonic() < until, "no checkpoint was written"
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        errors = running.communicate(timeout=120)[1]
    finally:
        running.kill()
    assert running.returncode == 130, errors
    assert "Traceback" not in errors
    steps = max(int(path.name.split("-")[1]) for path in checkpoints.glob("checkpoint-*"))
    per_epoch = 18
    status, _, errors = formers(
        *options, "--epochs", str(steps // per_epoch + 2), "--patience", "500", "--resume"
    )
    assert status == 0, errors
    assert (tmp_path / "router" / "model.safetensors").is_file()


# --- what goes wrong ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["predict", "-m", "./nowhere", "a text"], "there is no folder ./nowhere"),
        (["predict", "-m", "{file}", "a text"], "is a file; a model is a folder"),
        (["predict", "-m", "{empty}", "a text"], "config.json"),
        (["predict", "-m", "{model}", "--file", "nowhere.csv"], "there is no file nowhere.csv"),
        (["predict", "-m", "{model}", "--file", "{file}", "--text-column", "txt"], "no column 'txt'; did"),
        (["predict", "-m", "{model}", "--file", "{blank}"], "holds no text"),
        (["predict", "-m", "{model}", "--file", "{file}", "a text"], "not both"),
        (["predict", "-m", "{model}", "--json", "--csv", "a text"], "exclude each other"),
        (["predict", "-m", "{model}", "--device", "cuda:7", "a text"], "is not there; found: "),
        (["evaluate", "-m", "{model}", "-d", "{strange}"], "the label 'biling'"),
        (["evaluate", "-m", "{model}", "-d", "{blank}"], "is empty"),
        (["golden", "check", "-m", "{model}", "-g", "nowhere.jsonl"], "no golden file at nowhere.jsonl"),
        (["drift", "check", "-m", "{model}", "-f", "{file}"], "formers drift baseline writes one"),
        (["train", "-m", "./nowhere", "-d", "{file}", "-o", "out"], "there is no folder ./nowhere"),
        (["train", "-m", "{model}", "-d", "nowhere.csv", "-o", "out"], "no such file: nowhere.csv"),
        (["train", "-m", "{model}", "-d", "{strange}", "-o", "out"], "at least two labels"),
        (["train", "-m", "{model}", "-d", "{file}", "-o", "out", "--class-weights", "root"], "sqrt, balance"),
        (["train", "-m", "{model}", "-d", "{file}", "-o", "{model}"], "--overwrite"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_one_clear_line(formers, classifier, table, tmp_path, arguments, said):
    (tmp_path / "empty").mkdir()
    (tmp_path / "blank.txt").write_text("\n")
    places = {
        "model": classifier,
        "file": table,
        "empty": tmp_path / "empty",
        "blank": tmp_path / "blank.txt",
        "strange": write_table(tmp_path / "strange.csv", [("my card", "biling")] * 5),
    }
    status, _, errors = formers(*(argument.format(**places) for argument in arguments))
    assert status == 2
    assert said in errors
    assert "Traceback" not in errors
    assert len([line for line in errors.splitlines() if line.startswith("error: ")]) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["predit"],
        ["predict", "--modle", "x"],
        ["train", "--epochs", "many"],
        ["serve", "--port", "99999"],
        ["serve"],
        ["serve", "one", "--model", "another"],
    ],
)
def test_what_was_mistyped_is_a_usage_error(formers, arguments):
    status, _, errors = formers(*arguments)
    assert status == 2
    assert "Usage" in errors


def test_a_model_that_cannot_be_fetched_says_what_to_do(tmp_path):
    # A closed port of this machine in place of the Hub.
    environment = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)}
    done = process("predict", "-m", "nobody/nothing", "a text", env=environment)
    _, errors = done.communicate(timeout=120)
    assert done.returncode == 2, errors
    assert "nobody/nothing" in errors
    assert "Traceback" not in errors


def test_a_missing_package_is_named_with_what_to_type(formers, classifier, table, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    status, _, errors = formers("evaluate", "-m", classifier, "-d", table)
    assert status == 2
    assert "pip install 'formers[train]'" in errors


def test_an_interruption_ends_with_the_shells_status(formers, classifier, monkeypatch):
    def interrupted(*rest, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr("formers.jobs.predictor.Predictor.load", interrupted)
    status, _, errors = formers("predict", "-m", classifier, "a text")
    assert (status, errors.strip()) == (130, "interrupted")


def test_an_interruption_of_the_import_ends_with_the_shells_status(monkeypatch):
    class Slow(types.ModuleType):
        def __getattr__(self, name):
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "formers.cli", Slow("formers.cli"))
    with pytest.raises(SystemExit) as stop:
        importlib.import_module("formers.__main__").main()
    assert stop.value.code == 130


def test_a_full_disk_is_named(formers, classifier, monkeypatch):
    def full(*rest, **more):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("formers.cli.predict._lines", full)
    status, _, errors = formers("predict", "-m", classifier, "a text")
    assert (status, errors.strip()) == (2, "error: no space left on device")


def test_a_defect_is_told_from_a_refusal(formers, classifier, monkeypatch):
    def broken(*rest, **more):
        raise KeyError("inside")

    monkeypatch.setattr("formers.jobs.predictor.Predictor.load", broken)
    status, _, errors = formers("predict", "-m", classifier, "a text")
    assert status == 1
    assert "a defect of formers" in errors
    assert "Traceback" not in errors
    assert "Traceback" in formers("--debug", "predict", "-m", classifier, "a text")[2]
