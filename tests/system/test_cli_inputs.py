"""What the `formers` command makes of files, bytes and models as people really have them."""

from __future__ import annotations

import csv
import gzip
import io
import json
import select
import subprocess
from pathlib import Path

import pytest

import tiny
from formers.training.data import load_table
from system.cli_command import in_this_process, process, write_table

pytestmark = pytest.mark.filterwarnings("default::formers.core.notices.Notice")


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    return tiny.save_classifier(tmp_path_factory.mktemp("classifier"))


@pytest.fixture
def formers(capsys, monkeypatch):
    return in_this_process(capsys, monkeypatch)


def with_config(folder, **changes):
    tiny.save_classifier(folder)
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder


# ---- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["texts.txt", "texts.txt.gz", "texts.TXT.GZ"])
def test_a_file_of_lines_is_read_without_its_mark_and_unpacked(formers, classifier, tmp_path, name):
    content = "\ufeffmy card\r\n\r\nthe parcel\n".encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.lower().endswith("gz") else content)
    status, shown, errors = formers("predict", "-m", classifier, "--json", "-f", tmp_path / name)
    assert status == 0, errors
    assert [json.loads(line)["text"] for line in shown.splitlines()] == ["my card", "the parcel"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("cut.csv.gz", gzip.compress(b"text,label\nmy card,billing\n" * 99)[:-12], "is no whole gzip file"),
        ("cut.txt.gz", gzip.compress(b"my card\n" * 99)[:-12], "is no whole gzip file"),
        ("plain.csv.GZ", b"text,label\nmy card,billing\n", "is no whole gzip file"),
        ("old.txt", "my card\ncafé\n".encode("latin-1"), "line 2 is not UTF-8"),
        ("excel.txt", "my card\n".encode("utf-16"), "iconv -f utf-16 -t utf-8"),
        ("old.csv", "text,label\ncafé,x\n".encode("latin-1"), "iconv -f latin1"),
        ("broken.json", b'[{"text": "a"},\n {"text" "b"}]', "delimiter: line 2"),
    ],
    ids=["cut table", "cut lines", "not packed", "old lines", "UTF-16", "old table", "broken JSON"],
)
def test_a_broken_file_is_named_with_what_is_wrong(formers, classifier, tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    status, _, errors = formers("predict", "-m", classifier, "-f", tmp_path / name)
    assert status == 2
    assert str(tmp_path / name) in errors
    assert said in errors


def test_an_old_line_before_a_bad_one_is_still_answered(formers, classifier):
    status, shown, errors = formers("predict", "-m", classifier, "--json", stdin=b"my card\n\xff\n")
    assert json.loads(shown)["text"] == "my card"
    assert status == 2
    assert "standard input, line 2 is not UTF-8" in errors


def test_an_argument_that_is_no_utf_8_is_named(formers, classifier):
    status, _, errors = formers("predict", "-m", classifier, "a text", "caf\udce9")
    assert (status, "text 2 of the command line is not UTF-8" in errors) == (2, True)


# ---- answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["--json", "--csv"])
def test_a_slow_pipe_is_answered_line_by_line(classifier, form):
    running = process("predict", "-m", classifier, form, stdin=subprocess.PIPE, bufsize=1)
    try:
        running.stdin.write("my card\n")
        assert select.select([running.stdout], [], [], 60)[0], "no answer while standard input was open"
        first = running.stdout.readline()
        if form == "--csv":
            first = running.stdout.readline()
        assert "my card" in first
        running.stdin.write("the parcel\n")
        assert select.select([running.stdout], [], [], 60)[0], "no second answer"
        assert "the parcel" in running.stdout.readline()
    finally:
        errors = running.communicate(timeout=60)[1]
    assert running.returncode == 0, errors


def test_the_csv_is_a_rectangle_that_reads_back_whatever_a_text_holds(formers, classifier):
    texts = ["my card\rwas charged", 'a "parcel", late']
    status, shown, _ = formers("predict", "-m", classifier, "--csv", "--top-k", "99", *texts)
    rows = list(csv.reader(io.StringIO(shown, newline="")))
    assert status == 0
    assert [row[0] for row in rows] == ["text", *texts]
    assert {len(row) for row in rows} == {4 + 2 * (len(tiny.LABELS) - 1)}


@pytest.mark.parametrize("form", ["--json", "--csv"])
def test_a_score_that_is_no_number_ends_with_the_text_that_got_it(formers, tmp_path, form):
    from safetensors.torch import load_file, save_file

    folder = tiny.save_classifier(tmp_path / "broken")
    weights = load_file(folder / "model.safetensors")
    weights["classifier.bias"].fill_(float("nan"))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    status, shown, errors = formers("predict", "-m", folder, form, "my card")
    assert status == 1
    assert "nan" not in shown.lower()
    assert "gave nan as the score" in errors
    assert "'my card'" in errors
    assert "defect of formers" not in errors


def test_a_text_cannot_speak_to_the_terminal(formers, classifier):
    text = "\x1b]0;owned\x07\x1b[2J my card"
    assert "\x1b" not in (shown := formers("predict", "-m", classifier, text)[1])
    assert r"\x1b]0;owned\x07" in shown
    assert json.loads(formers("predict", "-m", classifier, "--json", text)[1])["text"] == text


def test_a_label_cannot_speak_to_the_terminal(formers, tmp_path):
    model = tiny.save_classifier(tmp_path / "model")
    config = (model / "config.json").read_text()
    (model / "config.json").write_text(config.replace(tiny.LABELS[0], r"\u001b]0;owned\u0007"))
    data = write_table(tmp_path / "data.csv", [("my card", label) for label in tiny.LABELS[1:]])
    golden = tmp_path / "golden.jsonl"
    formers("golden", "record", "-m", model, "-g", golden, "my card")
    golden.write_text(golden.read_text().replace(r"\u001b", r"\u001b\u001b"))
    for command in (
        ["predict", "-m", model, "--top-k", "9", "my card"],
        ["evaluate", "-m", model, "-d", data],
        ["golden", "check", "-m", model, "-g", golden],
        ["evaluate", "-m", model, "-d", write_table(tmp_path / "other.csv", [("a", "\x1b[2J")])],
    ):
        _, shown, errors = formers(*command)
        assert "\x1b" not in shown + errors
        assert r"\x1b" in shown + errors


@pytest.mark.parametrize(
    "command",
    [
        ["report", "-d", "{data}", "-o", "{theirs}"],
        ["evaluate", "-d", "{data}", "--report", "{theirs}"],
        ["golden", "record", "-g", "{theirs}/golden.jsonl", "-f", "{data}"],
        ["golden", "record", "-g", "{data}", "-f", "{data}"],
        ["drift", "baseline", "--output", "{theirs}", "-f", "{data}"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("readable", [True, False])
def test_no_command_replaces_what_it_did_not_write(
    formers, classifier, tmp_path, monkeypatch, command, readable
):
    def loaded(*rest, **more):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("formers.jobs.predictor.Predictor.load", loaded)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    data = write_table(tmp_path / "data.csv", tiny.tickets(3))
    files = [theirs / name for name in ("metrics.json", "golden.jsonl", "drift-baseline.json")]
    for file in files if readable else ():
        file.write_text('{"mine": 1}')
    if not readable:
        theirs = Path("/proc")
    before = data.read_bytes()
    status, _, errors = formers(
        *(part.format(data=data, theirs=theirs) for part in command), "-m", classifier
    )
    assert status == 2, errors
    assert "move" in errors or errors.startswith("error: /proc: ")
    assert data.read_bytes() == before
    assert all(file.read_text() == '{"mine": 1}' for file in files if readable)


def test_a_golden_file_says_of_which_revision_it_is(formers, classifier, tmp_path):
    golden = tmp_path / "golden.jsonl"
    assert formers("golden", "record", "-m", classifier, "-g", golden, "my card")[0] == 0
    assert json.loads(golden.read_text().splitlines()[0])["revision"].startswith("sha256:")


# ---- models and places ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "said"),
    [("regression", "is a regression"), ("multi_label_classification", "several labels at once")],
)
@pytest.mark.parametrize("command", ["evaluate", "report"])
def test_a_model_that_gives_no_single_label_is_not_judged(formers, tmp_path, command, kind, said):
    folder = with_config(tmp_path / "model", problem_type=kind)
    table = write_table(tmp_path / "data.csv", tiny.tickets(3))
    output = ["-o", tmp_path / "out"] if command == "report" else []
    status, shown, errors = formers(command, "-m", folder, "-d", table, *output)
    assert (status, shown) == (2, "")
    assert said in errors
    assert "from_logits" not in errors


def test_a_tilde_that_the_shell_left_is_the_home_folder(formers, classifier, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(classifier.parent))
    golden = tmp_path / "golden.jsonl"
    status, _, errors = formers(
        "golden", "record", f"--model=~/{classifier.name}", f"--golden={golden}", "my card"
    )
    assert status == 0, errors
    monkeypatch.setenv("HOME", str(tmp_path))
    status, _, errors = formers("golden", "check", "-m", classifier, "--golden=~/golden.jsonl")
    assert status == 0, errors


@pytest.mark.parametrize(
    "arguments",
    [
        ["report", "-m", "{model}", "-d", "{file}", "-o", "{file}"],
        ["evaluate", "-m", "{model}", "-d", "{file}", "--report", "{file}"],
        ["train", "-m", "{model}", "-d", "{file}", "-o", "{file}"],
        ["drift", "baseline", "-m", "{model}", "-f", "{file}", "--output", "{file}"],
    ],
)
def test_a_file_in_place_of_a_folder_is_refused_before_a_model_is_loaded(
    formers, classifier, tmp_path, monkeypatch, arguments
):
    def loaded(*rest, **more):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("formers.jobs.predictor.Predictor.load", loaded)
    table = write_table(tmp_path / "ok.csv", tiny.tickets(3))
    status, _, errors = formers(*(part.format(model=classifier, file=table) for part in arguments))
    assert status == 2
    assert "is a file" in " ".join(errors.replace("│", " ").split())


def test_texts_of_a_table_are_texts(formers, classifier, tmp_path):
    table = tmp_path / "data.jsonl"
    table.write_text('{"text": "my card"}\n{"text": 42}\n')
    status, _, errors = formers("predict", "-m", classifier, "-f", table)
    assert status == 2
    assert f"{table}, line 2: the column 'text' holds 42 (int)" in errors


def test_what_is_held_out_reads_back(tmp_path):
    from formers.jobs.classification import as_csv

    rows = [
        {"text": text, "label": label}
        for text, label in zip(["my\rcard", "late\nparcel", ' "error"'], tiny.LABELS, strict=True)
    ]
    (tmp_path / "held-out.csv").write_bytes(as_csv(rows).encode())
    assert load_table(tmp_path / "held-out.csv", "text", "label") == rows


@pytest.mark.parametrize("source", [["my card"], ["--file", "{lines}"], []])
def test_a_column_without_a_table_is_refused(formers, classifier, tmp_path, source):
    (tmp_path / "lines.txt").write_text("my card\n")
    given = [part.format(lines=tmp_path / "lines.txt") for part in source]
    status, _, errors = formers("predict", "-m", classifier, "--text-column", "body", *given, stdin="my card")
    assert status == 2
    assert "--text-column names a column of a table" in errors


@pytest.mark.parametrize("device", ["cuda:7", "cpu:7", "meta", "nonsense", ""])
@pytest.mark.parametrize("command", [["predict"], ["golden", "record", "-g", "{folder}/golden.jsonl"]])
def test_a_device_that_cannot_compute_is_refused(formers, classifier, tmp_path, command, device):
    options = [part.format(folder=tmp_path) for part in command]
    status, _, errors = formers(*options, "-m", classifier, "--device", device, "my card")
    assert status == 2
    assert f"device {device!r}" in errors
    assert "found: " in errors
