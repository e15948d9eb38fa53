"""`formers train` beside what an earlier training left, and what it refuses before it trains."""

from __future__ import annotations

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
    for name in ("held-out.csv", "drift-baseline.json", "thresholds.json", "calibration.json"):
        (router / name).write_text("of the old model")
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
        ('{"text": 42, "label": "a"}', "row 2: the column 'text' holds 42 (int)"),
        ('{"text": ["a", "b"], "label": "a"}', "row 2: the column 'text' holds ['a', 'b'] (list)"),
        ('{"text": "a", "label": ["a", "b"]}', "row 2: the column 'label' holds ['a', 'b'] (list)"),
    ],
)
def test_rows_that_are_no_text_and_label_are_refused_before_training(formers, tmp_path, resumed, row, said):
    data = tmp_path / "data.jsonl"
    data.write_text('{"text": "a", "label": "a"}\n' + row + "\n")
    status, _, errors = formers(*train_options(tmp_path, each=3), "-d", data)
    assert (status, resumed) == (2, [])
    assert said in errors


@pytest.mark.parametrize("device", ["cuda:7", "nonsense", ""])
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
