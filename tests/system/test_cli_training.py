"""`formers train` beside what an earlier training left, and what it refuses before it trains."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

import tiny
from system.cli_command import in_this_process, train_options, write_table

pytestmark = pytest.mark.filterwarnings("default::formers.core.notices.Notice")


@pytest.fixture
def formers(capsys, monkeypatch):
    return in_this_process(capsys, monkeypatch)


@pytest.fixture
def interrupted(formers, tmp_path, monkeypatch):
    """Options of a training that was interrupted at its first step, and what it said."""

    def stopped(trainer, resume_from_checkpoint=None):
        (Path(trainer.args.output_dir) / "checkpoint-1").mkdir()
        raise KeyboardInterrupt

    options = train_options(tmp_path, each=10)
    with monkeypatch.context() as patch:
        patch.setattr("formers.Trainer.train", stopped)
        status, _, errors = formers(*options)
    assert status == 130
    return options, errors


@pytest.fixture
def resumed(monkeypatch):
    """What `Trainer.train` was asked to resume from, for each time that it was called."""
    asked = []

    def stopped(trainer, resume_from_checkpoint=None):
        asked.append(resume_from_checkpoint)
        raise KeyboardInterrupt

    monkeypatch.setattr("formers.Trainer.train", stopped)
    return asked


def test_an_interruption_says_what_to_type(interrupted):
    assert "--resume goes on from there" in interrupted[1]


def test_the_same_command_goes_on(formers, interrupted, resumed):
    assert formers(*interrupted[0], "--resume", "--epochs", "9")[0] == 130
    assert resumed == [True]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (["--seed", "1"], "was trained with --seed 0:"),
        (["--test-size", "0.2"], "was trained with --test-size 0.1:"),
        (["--validation-size", "0.2"], "was trained with --validation-size 0.3:"),
        (["--data", "{other}"], "are not those that"),
    ],
)
def test_another_split_is_refused(formers, interrupted, resumed, tmp_path, changed, said):
    other = write_table(tmp_path / "other.csv", tiny.tickets(10, seed=1))
    status, _, errors = formers(*interrupted[0], *(part.format(other=other) for part in changed), "--resume")
    assert (status, resumed) == (2, [])
    assert said in errors


def test_checkpoints_of_an_unknown_split_are_refused(formers, interrupted, resumed, tmp_path):
    (tmp_path / "router" / "checkpoints" / "split.json").unlink()
    status, _, errors = formers(*interrupted[0], "--resume")
    assert (status, resumed) == (2, [])
    assert "it is not known which rows" in errors


def test_an_unfinished_training_is_not_started_again_unasked(formers, interrupted, resumed, tmp_path):
    checkpoint = tmp_path / "router" / "checkpoints" / "checkpoint-1"
    status, _, errors = formers(*interrupted[0], "--seed", "1")
    assert (status, resumed) == (2, [])
    assert "--resume goes on with it, --overwrite starts again" in errors
    assert checkpoint.is_dir()
    assert formers(*interrupted[0], "--seed", "1", "--overwrite")[0] == 130
    assert resumed == [None]
    assert not checkpoint.exists()  # or a later --resume would go on from the other split


@pytest.mark.parametrize("finished", [False, True])
def test_there_must_be_something_to_resume(formers, tmp_path, finished):
    options = train_options(tmp_path, each=10)
    if finished:
        tiny.save_classifier(tmp_path / "router")
    status, _, errors = formers(*options, "--resume")
    assert status == 2
    assert ("give --overwrite to train again" if finished else "leave --resume out to start") in errors
    assert "resume_from_checkpoint" not in errors
    assert not (tmp_path / "router" / "checkpoints").exists()


def test_a_new_model_lies_beside_no_record_of_the_old_one(formers, tmp_path):
    router = tiny.save_classifier(tmp_path / "router")
    for name in ("drift-baseline.json", "thresholds.json", "calibration.json"):
        (router / name).write_text('{"version": 1, "of": "the old model"}')
    held_out = 'text,label\n"of the old, model",x\n'
    (router / "held-out.csv").write_text(held_out)
    facts = {"rows": "", "labels": [], "held-out.csv": hashlib.sha256(held_out.encode()).hexdigest()}
    (router / "split.json").write_text(json.dumps(facts))
    (router / "README.md").write_text("by a person")
    status, _, errors = formers(
        *train_options(tmp_path, each=10), "--epochs", "1", "--test-size", "0", "--overwrite"
    )
    assert status == 0, errors
    assert "no drift baseline" in errors
    left = {path.name for path in router.iterdir() if path.is_file()}
    assert not left & {"held-out.csv", "drift-baseline.json"}
    assert (router / "README.md").read_text() == "by a person"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("checkpoints/run7/weights.pt", "precious"),
        ("checkpoints/checkpoint-7/weights.pt", "of another trainer"),
        ("checkpoints", "a file"),
        ("calibration.json", '{"mine": 1}'),
        ("held-out.csv", "text,label\nmine,x\n"),
        ("split.json", '{"train": [1, 2]}'),
        ("config.json", '{"port": 80}'),
        ("model.safetensors", "of another program"),
        ("vocab.txt", "my words"),
    ],
)
@pytest.mark.parametrize("more", [[], ["--overwrite"]])
def test_what_training_did_not_write_is_neither_replaced_nor_removed(
    formers, tmp_path, resumed, name, content, more
):
    theirs = tmp_path / "router" / name
    theirs.parent.mkdir(parents=True)
    theirs.write_text(content)
    status, _, errors = formers(*train_options(tmp_path, each=10), *more)
    assert (status, resumed) == (2, [])
    assert "move it away, or name another --output" in errors
    assert theirs.read_text() == content


def test_other_files_of_a_project_folder_disturb_nobody(formers, tmp_path, resumed):
    (tmp_path / "router" / "notes").mkdir(parents=True)
    (tmp_path / "router" / "notes.txt").write_text("mine")
    assert formers(*train_options(tmp_path, each=10))[0] == 130
    assert resumed == [None]


@pytest.mark.parametrize(
    "name", ["held-out.csv", "checkpoints/data.csv", "checkpoints/checkpoint-1/data.csv"]
)
@pytest.mark.parametrize("link", [False, True])
def test_training_does_not_replace_the_table_that_it_reads(formers, tmp_path, resumed, name, link):
    options = train_options(tmp_path, each=10)
    inside = tmp_path / "router" / name
    inside.parent.mkdir(parents=True)
    inside.symlink_to(tmp_path / "data.csv") if link else shutil.move(tmp_path / "data.csv", inside)
    before = inside.read_bytes()
    status, _, errors = formers(*options, "--data", inside, "--overwrite")
    assert (status, resumed) == (2, [])
    assert "name another --output" in errors
    assert inside.read_bytes() == before


def test_training_does_not_replace_the_model_that_it_starts_from(formers, tmp_path, resumed):
    options = train_options(tmp_path, each=10)
    status, _, errors = formers(*options, "--output", tmp_path / "encoder", "--overwrite")
    assert (status, resumed) == (2, [])
    assert "training would replace its own --model" in errors


def test_checkpoints_may_be_a_link_to_another_disk(formers, tmp_path, resumed):
    options = train_options(tmp_path, each=10)
    for folder in ("disk", "router"):
        (tmp_path / folder).mkdir()
    (tmp_path / "router" / "checkpoints").symlink_to(tmp_path / "disk")
    assert formers(*options)[0] == 130
    assert (tmp_path / "disk" / "split.json").is_file()
    shutil.rmtree(tmp_path / "disk")
    status, _, errors = formers(*options)
    assert status == 2
    assert "is a link to nothing" in errors


def test_a_training_that_diverged_leaves_the_model_that_was_there(formers, tmp_path):
    options = [*train_options(tmp_path, each=10), "--epochs", "1", "--ema-decay", "0"]
    assert formers(*options)[0] == 0
    before = {path: path.read_bytes() for path in (tmp_path / "router").iterdir()}
    status, _, errors = formers(*options, "--overwrite", "--learning-rate", "1e30")
    assert status == 2
    assert "the model has diverged" in errors
    assert {path: path.read_bytes() for path in before} == before


def test_a_folder_that_cannot_be_made_is_refused_before_training(formers, tmp_path, resumed):
    status, _, errors = formers(*train_options(tmp_path, each=10), "--output", "/proc/router")
    assert (status, resumed) == (2, [])
    assert errors.startswith("error: /proc/router: ")


def test_a_resumed_training_keeps_the_numbers_of_its_labels(formers, interrupted, monkeypatch):
    path = Path(interrupted[0][6]) / "checkpoints" / "split.json"
    facts = json.loads(path.read_text())
    turned = facts["labels"][::-1]
    path.write_text(json.dumps({**facts, "labels": turned}))
    found = []

    def stopped(trainer, resume_from_checkpoint=None):
        found.append(trainer.model.config.id2label)
        raise KeyboardInterrupt

    monkeypatch.setattr("formers.Trainer.train", stopped)
    assert formers(*interrupted[0], "--resume")[0] == 130
    assert found == [dict(enumerate(turned))]


@pytest.mark.parametrize(
    ("each", "more", "said"),
    [
        (3, [], "--test-size 0.1 takes 1 of 9 texts and leaves 8; each part needs one or more of each of"),
        (4, ["--test-size", "0", "--validation-size", "0.1"], "--validation-size 0.1 takes 2 of 12"),
    ],
)
def test_too_few_texts_to_split_are_counted(formers, tmp_path, each, more, said):
    status, _, errors = formers(*train_options(tmp_path, each=each), *more)
    assert status == 2
    assert said in errors
    assert "stratify" not in errors


def test_a_label_of_which_one_text_is_left_is_named(formers, tmp_path):
    common = [(f"my card {number}", label) for number in range(30) for label in ("billing", "shipping")]
    data = write_table(tmp_path / "rare.csv", [*common, *[("an error", "technical")] * 3])
    status, _, errors = formers(*train_options(tmp_path, each=3), "-d", data, "--test-size", "0.6")
    assert status == 2
    assert "a single text is left for ['technical']" in errors


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ('{"text": 42, "label": "a"}', "line 2: the column 'text' holds 42 (int)"),
        ('{"text": ["a", "b"], "label": "a"}', "line 2: the column 'text' holds ['a', 'b'] (list)"),
        ('{"text": "a", "label": ["a", "b"]}', "line 2: the column 'label' holds ['a', 'b'] (list)"),
    ],
)
def test_rows_that_are_no_text_and_label_are_refused_before_training(formers, tmp_path, resumed, row, said):
    data = tmp_path / "data.jsonl"
    data.write_text('{"text": "a", "label": "a"}\n' + row + "\n")
    status, _, errors = formers(*train_options(tmp_path, each=3), "-d", data)
    assert (status, resumed) == (2, [])
    assert said in errors


@pytest.mark.parametrize("device", ["cuda:7", "cpu:7", "meta", "nonsense", ""])
@pytest.mark.parametrize("more", [[], ["--bf16"]])
def test_a_device_that_is_not_there_is_refused_before_training(formers, tmp_path, resumed, device, more):
    options = train_options(tmp_path, each=10)
    status, _, errors = formers(*options, "--device", device, *more)
    assert (status, resumed) == (2, [])
    assert "found: " in errors
    assert not (tmp_path / "router").exists()


@pytest.mark.parametrize("option", ["--epochs", "--learning-rate", "--head-learning-rate"])
def test_a_number_that_is_not_finite_is_refused(formers, tmp_path, resumed, option):
    status, _, errors = formers(*train_options(tmp_path, each=10), option, "inf")
    assert (status, resumed) == (2, [])
    assert f"{option} must be a finite number" in errors
    assert "defect" not in errors
