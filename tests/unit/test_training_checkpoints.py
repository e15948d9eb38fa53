"""Checkpoints: whole or not at all, read without running anything, continued to the same bits."""

import contextlib
import json
import math
import os
import pickle
import re
import shutil

import pytest
import torch

from formers import EarlyStoppingCallback, Trainer, TrainerCallback, TrainerState, TrainingArguments
from formers.core.notices import Notice
from formers.training import DataCollatorForLanguageModeling, DataCollatorWithPadding, get_last_checkpoint
from formers.training.checkpointer import find_checkpoint
from formers.training.files import checkpoints, clean_leftovers, load_weights, rotate, whole_folder
from formers.training.seeds import random_state, restore_random_state
from tests.unit.test_training_collators import Words
from tests.unit.training_toys import Bag, PadOnly, bag, rows, same


def run(folder, resume=None, model=None, data=None, collator=None, callbacks=None, metrics=None, **options):
    defaults = {
        "num_train_epochs": 3,
        "per_device_train_batch_size": 4,
        "save_steps": 3,
        "logging_steps": 2,
        "learning_rate": 0.02,
        "disable_tqdm": True,
        "use_cpu": True,
    }
    trainer = Trainer(
        bag(dropout=0.4) if model is None else model,
        TrainingArguments(str(folder), **{**defaults, **options}),
        collator or DataCollatorWithPadding(PadOnly()),
        train_dataset=rows(22) if data is None else data,
        eval_dataset=rows(6),
        callbacks=callbacks,
        compute_metrics=metrics,
    )
    trainer.train(resume_from_checkpoint=resume)
    return trainer


def from_step(source, step, target):
    shutil.copytree(source / f"checkpoint-{step}", target / f"checkpoint-{step}")
    return target


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"gradient_accumulation_steps": 2},
        {"train_sampling_strategy": "group_by_length"},
        {"lr_scheduler_type": "cosine", "warmup_ratio": 0.2, "optim": "adafactor"},
        {"bf16": True},
    ],
)
@pytest.mark.filterwarnings("ignore::formers.core.notices.Notice")
def test_a_resumed_run_is_the_undisturbed_run(tmp_path, options):
    whole = run(tmp_path / "whole", **options)
    for step in (3, 6):
        folder = from_step(tmp_path / "whole", step, tmp_path / f"from-{step}")
        resumed = run(folder, True, **options)
        assert same(whole.model, resumed.model)
        # all but the times of the last entry
        assert whole.state.log_history[:-1] == resumed.state.log_history[:-1]
        assert whole.state.log_history[-1]["train_loss"] == resumed.state.log_history[-1]["train_loss"]


def test_random_masking_goes_on_where_it_stopped(tmp_path):
    from formers import BertConfig, BertForMaskedLM

    def model():
        torch.manual_seed(0)
        return BertForMaskedLM(
            BertConfig(
                vocab_size=100,
                hidden_size=16,
                num_hidden_layers=1,
                num_attention_heads=2,
                intermediate_size=16,
            )
        )

    data = [{"input_ids": row["input_ids"]} for row in rows(22)]
    options = {"data": data, "collator": DataCollatorForLanguageModeling(Words(), mlm_probability=0.5)}
    whole = run(tmp_path / "whole", model=model(), **options)
    resumed = run(from_step(tmp_path / "whole", 6, tmp_path / "next"), True, model=model(), **options)
    assert same(whole.model, resumed.model)


def test_a_loader_of_ones_own_is_continued_too(tmp_path):
    class Own(Trainer):
        def get_train_dataloader(self):
            return torch.utils.data.DataLoader(
                self.train_dataset,
                4,
                shuffle=True,
                collate_fn=self._get_collator_with_removed_columns(self.data_collator),
            )

    def go(folder, resume=None):
        args = TrainingArguments(
            str(folder), num_train_epochs=2, save_steps=4, disable_tqdm=True, use_cpu=True
        )
        collate = DataCollatorWithPadding(PadOnly())
        trainer = Own(bag(dropout=0.4), args, collate, train_dataset=rows(22))
        trainer.train(resume_from_checkpoint=resume)
        return trainer.model

    whole = go(tmp_path / "whole")
    assert same(whole, go(from_step(tmp_path / "whole", 4, tmp_path / "next"), True))


def test_a_longer_run_may_be_continued(tmp_path):
    run(tmp_path, max_steps=6)
    trainer = run(tmp_path, True, max_steps=12)
    assert trainer.state.global_step == 12
    assert trainer.get_learning_rates()[0] == 0.0


def test_patience_counted_before_counts_after(tmp_path):
    class Worse(EarlyStoppingCallback):
        pass

    options = {
        "eval_strategy": "steps",
        "eval_steps": 1,
        "save_steps": 1,
        "load_best_model_at_end": True,
        "greater_is_better": True,
        "metric_for_best_model": "loss",
        "learning_rate": 0.05,
    }
    whole = run(tmp_path / "whole", callbacks=[Worse(4)], **options)
    stop = whole.state.global_step
    assert 5 <= stop < 18
    resumed = run(
        from_step(tmp_path / "whole", stop - 1, tmp_path / "next"), True, callbacks=[Worse(4)], **options
    )
    assert resumed.state.global_step == stop


def test_nothing_to_resume_says_what_to_do(tmp_path):
    with pytest.raises(ValueError, match=r"holds no checkpoint-<step> folder: start with trainer\.train\(\)"):
        run(tmp_path, True)
    with pytest.raises(ValueError, match="no checkpoint folder"):
        run(tmp_path, str(tmp_path / "nowhere"))


def test_only_the_model_may_be_saved_and_then_the_optimizer_starts_afresh(tmp_path):
    run(tmp_path, save_only_model=True, max_steps=3)
    assert not (tmp_path / "checkpoint-3" / "optimizer.pt").exists()
    with pytest.warns(Notice) as told:
        trainer = run(tmp_path, True, save_only_model=True, max_steps=6)
    assert any("the optimizer starts afresh" in str(entry.message) for entry in told)
    assert trainer.state.global_step == 6


def test_a_limit_keeps_the_newest_and_the_best(tmp_path):
    for step in (1, 2, 3, 4):
        (tmp_path / f"checkpoint-{step}").mkdir()
        TrainerState().save_to_json(tmp_path / f"checkpoint-{step}" / "trainer_state.json")
    rotate(tmp_path, 2, str(tmp_path / "checkpoint-2"))
    assert [folder.name for folder in checkpoints(tmp_path)] == ["checkpoint-2", "checkpoint-4"]


def test_a_short_run_in_the_folder_of_a_longer_one_keeps_its_own_checkpoints(tmp_path):
    run(tmp_path, max_steps=10, save_steps=2, save_total_limit=2)
    assert [folder.name for folder in checkpoints(tmp_path)] == ["checkpoint-8", "checkpoint-10"]
    run(tmp_path, max_steps=4, save_steps=2, save_total_limit=2)
    assert [folder.name for folder in checkpoints(tmp_path)] == ["checkpoint-2", "checkpoint-4"]


def test_what_stands_in_a_checkpoint_s_place_and_is_none_is_moved_aside(tmp_path):
    (tmp_path / "checkpoint-3").mkdir()
    (tmp_path / "checkpoint-3" / "notes.txt").write_text("mine")
    with pytest.warns(Notice, match=r"was no checkpoint: it is checkpoint-3\.1 now"):
        run(tmp_path, max_steps=3)
    assert (tmp_path / "checkpoint-3.1" / "notes.txt").read_text() == "mine"
    assert [folder.name for folder in checkpoints(tmp_path)] == ["checkpoint-3"]


def test_of_a_checkpoint_on_another_disk_the_link_alone_goes(tmp_path):
    run(tmp_path / "disk", max_steps=2, save_steps=2)
    (tmp_path / "checkpoint-2").symlink_to(tmp_path / "disk" / "checkpoint-2")
    run(tmp_path, max_steps=4, save_steps=4, save_total_limit=1)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["checkpoint-4", "disk"]
    assert get_last_checkpoint(tmp_path / "disk")


def test_of_two_runs_in_one_folder_the_later_is_named_where_the_other_is_taken(tmp_path):
    run(tmp_path, max_steps=4, save_steps=2)
    os.utime(tmp_path / "checkpoint-2" / "trainer_state.json")  # a copy may come in any order
    assert find_checkpoint(str(tmp_path), True) == str(tmp_path / "checkpoint-4")
    run(tmp_path, max_steps=2, save_steps=2, learning_rate=0.001)
    with pytest.warns(Notice, match="checkpoint-2 is of another run and was written later"):
        assert find_checkpoint(str(tmp_path), True) == str(tmp_path / "checkpoint-4")


def test_an_output_folder_that_cannot_be_is_refused_before_the_first_step(tmp_path):
    class Steps(TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            raise AssertionError("a step was taken")

    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match="file"):
        run(tmp_path / "file", callbacks=[Steps()])


@pytest.mark.parametrize("how", ["moved", "copied", "from another working folder", "written elsewhere"])
def test_a_run_that_was_moved_keeps_and_loads_its_best_checkpoint(tmp_path, how, monkeypatch):
    scores = iter([0.9, *[0.1] * 20])

    def metrics(pair):
        return {"score": next(scores)}

    options = {
        "eval_strategy": "steps", "eval_steps": 2, "save_steps": 2, "save_total_limit": 2,
        "load_best_model_at_end": True, "metric_for_best_model": "score", "metrics": metrics,
    }  # fmt: skip
    first, place = tmp_path / "first", tmp_path / "moved"
    monkeypatch.chdir(tmp_path)
    run("first", max_steps=4, **options)
    best = Bag()
    load_weights(best, first / "checkpoint-2")
    if how == "moved":
        first.rename(place)
    elif how == "copied":
        shutil.copytree(first, place)
    else:
        place = first
        (tmp_path / "else").mkdir()
        monkeypatch.chdir(tmp_path / "else")
    if how == "written elsewhere":
        state = json.loads((first / "checkpoint-4" / "trainer_state.json").read_text())
        state["best_model_checkpoint"] = "C:\\runs\\first\\checkpoint-2"
        (first / "checkpoint-4" / "trainer_state.json").write_text(json.dumps(state))
    resumed = run(place, True, max_steps=8, **options)
    assert [folder.name for folder in checkpoints(place)] == ["checkpoint-2", "checkpoint-8"]
    assert same(resumed.model, best)
    assert how != "copied" or len(checkpoints(first)) == 2


@pytest.mark.parametrize(("workers", "persistent"), [(0, False), (1, True), (2, False), (2, True)])
def test_a_stream_goes_on_where_it_stood_also_in_workers(tmp_path, workers, persistent):
    seen = []

    def collate(batch):
        return {"number": torch.tensor([row["label"] for row in batch])}

    class Notes(Trainer):
        def training_step(self, model, inputs, num_items_in_batch=None):
            seen.append(inputs["number"].tolist())
            loss = model.out.weight.sum() * 0.0
            loss.backward()
            return loss.detach()

    def go(folder, resume=None, **options):
        seen.clear()
        args = TrainingArguments(
            str(folder), per_device_train_batch_size=2, save_steps=3, dataloader_num_workers=workers,
            dataloader_persistent_workers=persistent, remove_unused_columns=False, use_cpu=True,
            disable_tqdm=True, max_steps=15, **options,
        )  # fmt: skip
        Notes(bag(), args, collate, train_dataset=Stream()).train(resume_from_checkpoint=resume)
        return list(seen)

    whole = go(tmp_path / "whole")
    assert go(from_step(tmp_path / "whole", 3, tmp_path / "next"), True) == whole[3:]


class Stream(torch.utils.data.IterableDataset):
    """Twelve numbers, split among the workers as torch's documentation says."""

    def __iter__(self):
        worker = torch.utils.data.get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        return iter([{"label": number} for number in range(first, 12, step)])


def test_a_write_that_fails_leaves_the_old_and_nothing_else(tmp_path):
    target = tmp_path / "checkpoint-1"
    with whole_folder(target) as beside:
        (beside / "x").write_text("old")

    def fail():
        with whole_folder(target) as beside:
            (beside / "x").write_text("new")
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        fail()
    assert (target / "x").read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["checkpoint-1"]


def test_half_written_folders_are_no_checkpoints_and_are_cleaned_away(tmp_path):
    (tmp_path / ".checkpoint-9.partial").mkdir()
    (tmp_path / "checkpoint-8").mkdir()  # no state: something else, left alone
    assert get_last_checkpoint(tmp_path) is None
    clean_leftovers(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["checkpoint-8"]


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_pickle_with_code_in_it_is_not_run(tmp_path):
    run(tmp_path, max_steps=3)
    ran = tmp_path / "ran"

    class Bomb:
        def __reduce__(self):
            return (open, (str(ran), "w"))

    (tmp_path / "checkpoint-3" / "optimizer.pt").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises((ValueError, pickle.UnpicklingError)):
        run(tmp_path, True)
    assert not ran.exists()


def test_weights_that_do_not_fit_are_all_listed(tmp_path):
    run(tmp_path, max_steps=3)
    with pytest.raises(RuntimeError, match=r"out\.bias(.|\n)*out\.weight|out\.weight(.|\n)*out\.bias"):
        load_weights(Bag(classes=5), tmp_path / "checkpoint-3")


def test_a_checkpoint_holds_what_the_ecosystem_looks_for(tmp_path):
    trainer = run(tmp_path, max_steps=3)
    names = {entry.name for entry in (tmp_path / "checkpoint-3").iterdir()}
    assert names == {
        "model.safetensors",
        "optimizer.pt",
        "scheduler.pt",
        "rng_state.pth",
        "trainer_state.json",
        "training_args.bin",
        "training_args.json",
    }
    saved = torch.load(tmp_path / "checkpoint-3" / "training_args.bin", weights_only=False)
    assert saved == trainer.args
    assert json.loads((tmp_path / "checkpoint-3" / "training_args.json").read_text())["max_steps"] == 3


def test_a_state_file_has_at_its_top_only_what_the_ecosystem_knows(tmp_path):
    state = TrainerState(global_step=4, loss_sum=2.5, step_of_last_log=3, epoch_closed=True)
    state.save_to_json(tmp_path / "state.json")
    written = json.loads((tmp_path / "state.json").read_text())
    assert not {"loss_sum", "loss_since_log", "step_of_last_log", "epoch_closed"} & set(written)
    assert TrainerState.load_from_json(tmp_path / "state.json") == state


def test_fields_that_another_trainer_carried_along_are_not_taken_for_its_own(tmp_path):
    """It went on to step 9 and logged; what we wrote at step 4 is out of date."""
    TrainerState(global_step=4, loss_sum=99.0, step_of_last_log=1).save_to_json(tmp_path / "state.json")
    written = json.loads((tmp_path / "state.json").read_text())
    log = [{"step": 4, "loss": 2.0}, {"step": 8, "loss": 1.0}, {"step": 8, "eval_loss": 7.0}]
    (tmp_path / "state.json").write_text(json.dumps({**written, "global_step": 9, "log_history": log}))
    state = TrainerState.load_from_json(tmp_path / "state.json")
    assert (state.loss_sum, state.step_of_last_log, state.epoch_closed) == (13.0, 9, True)


@pytest.mark.parametrize("broken", ["{", "[]"])
def test_a_broken_state_file_is_named(tmp_path, broken):
    run(tmp_path, max_steps=3)
    path = tmp_path / "checkpoint-3" / "trainer_state.json"
    path.write_text(broken)
    with pytest.raises(OSError, match=re.escape(str(path))):
        run(tmp_path, resume=str(path.parent), max_steps=3)


def test_an_optimizer_of_other_parameters_is_refused_with_the_way_out(tmp_path):
    run(tmp_path, max_steps=3)
    path = tmp_path / "checkpoint-3" / "optimizer.pt"
    saved = torch.load(path, weights_only=True)
    for group in saved["param_groups"]:
        del group["param_names"]
    saved["state"][0]["exp_avg"] = torch.zeros(7, 7)
    torch.save(saved, path)
    with pytest.raises(ValueError, match=r"\(7, 7\).*remove optimizer.pt"):
        run(tmp_path, resume=str(tmp_path / "checkpoint-3"))


def test_generators_come_back():
    state = random_state()
    before = (torch.rand(3), __import__("random").random(), __import__("numpy").random.rand())
    restore_random_state(state)
    assert torch.equal(before[0], torch.rand(3))
    assert before[1:] == (__import__("random").random(), __import__("numpy").random.rand())


@pytest.mark.parametrize(
    ("option", "said"),
    [({"learning_rate": 0.01}, "learning_rate 0.01"), ({"adam_beta1": 0.8}, "betas"), ({}, None)],
)
def test_an_argument_that_a_checkpoint_overrides_is_named(tmp_path, option, said, recwarn):
    run(tmp_path, max_steps=6)
    recwarn.clear()
    with pytest.warns(Notice, match=said) if said else contextlib.nullcontext():
        trainer = run(tmp_path, resume=str(tmp_path / "checkpoint-3"), max_steps=6, **option)
    assert trainer.optimizer.param_groups[0]["initial_lr"] == 0.02


@pytest.mark.parametrize("optim", ["sgd", "adafactor", "lion_32bit"])
def test_the_checkpoint_of_another_optimizer_is_refused(tmp_path, optim):
    run(tmp_path, max_steps=3)
    with pytest.raises(ValueError, match="of another optimizer than"):
        run(tmp_path, resume=True, max_steps=6, optim=optim)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 7}, r"seed 7 \(the interrupted run had 42\): the examples come in another order"),
        ({"gradient_accumulation_steps": 2}, "stand for another number of examples"),
        ({"lr_scheduler_type": "cosine"}, "along the schedule of this run"),
        ({"data": rows(40)}, "has 10 batches, one of the interrupted run had 6: the training set is another"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_run_that_is_resumed_otherwise_than_it_began_says_so(tmp_path, change, said):
    run(tmp_path, max_steps=6)
    with pytest.warns(Notice, match=said):
        run(tmp_path, resume=str(tmp_path / "checkpoint-3"), max_steps=6, **change)


@pytest.mark.parametrize("step", [3, 6])
def test_a_run_that_is_resumed_as_it_began_says_nothing(tmp_path, step, recwarn):
    run(tmp_path)
    recwarn.clear()
    run(tmp_path, resume=str(tmp_path / f"checkpoint-{step}"))
    assert not [warning for warning in recwarn if issubclass(warning.category, Notice)]


def test_a_longer_run_goes_on_at_the_rate_of_its_own_schedule(tmp_path):
    run(tmp_path, max_steps=6)  # ends at a rate of 0
    trainer = run(tmp_path, resume=True, max_steps=12, logging_steps=1)
    rates = [entry["learning_rate"] for entry in trainer.state.log_history if "learning_rate" in entry][-6:-4]
    assert rates == pytest.approx([0.02 * 6 / 12, 0.02 * 5 / 12])


def test_names_of_metrics_become_text_and_cost_no_checkpoint(tmp_path):
    found = {0: 0.5, ("a", 1): 1, "by_class": {3: 0.1, "rest": torch.tensor(0.25)}}
    trainer = run(tmp_path, max_steps=3, eval_strategy="steps", eval_steps=3, metrics=lambda p: dict(found))
    state = TrainerState.load_from_json(tmp_path / "checkpoint-3" / "trainer_state.json")
    logged = next(entry for entry in state.log_history if "eval_0" in entry)
    assert logged["eval_('a', 1)"] == 1
    assert logged["eval_by_class"] == {"3": 0.1, "rest": 0.25}
    assert trainer.state.log_history[1]["eval_0"] == 0.5


def test_a_tensor_that_a_script_logs_is_a_number_in_the_history(tmp_path):
    trainer = run(tmp_path, max_steps=3)
    trainer.log({"auxiliary": torch.tensor(0.5)})
    assert trainer.state.log_history[-1]["auxiliary"] == 0.5


def test_a_run_whose_metric_was_never_a_number_says_that_there_is_no_best_model(tmp_path):
    options = {"eval_strategy": "steps", "eval_steps": 3, "load_best_model_at_end": True}
    with pytest.warns(Notice, match="no best model to load"):
        run(tmp_path, max_steps=3, metric_for_best_model="f1", metrics=lambda p: {"f1": math.nan}, **options)


def test_numbers_that_are_none_are_null_in_the_state_file_and_it_is_read_again(tmp_path):
    log = [{"loss": math.nan, "step": 1}, {"loss": 2.0, "grad_norm": math.inf, "step": 2}]
    state = TrainerState(global_step=2, log_history=log, best_metric=math.nan, loss_sum=math.nan)
    state.save_to_json(tmp_path / "state.json")
    text = (tmp_path / "state.json").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    again = TrainerState.load_from_json(tmp_path / "state.json")
    assert math.isnan(again.loss_sum)
    assert again.best_metric is None
    assert again.log_history == [{"loss": None, "step": 1}, {"loss": 2.0, "grad_norm": None, "step": 2}]


@pytest.mark.parametrize("loss", [None, math.nan])
def test_a_log_of_another_trainer_may_hold_losses_that_are_no_numbers(tmp_path, loss):
    log = [{"loss": loss, "step": 1}, {"loss": 2.0, "step": 2}]
    (tmp_path / "state.json").write_text(json.dumps({"global_step": 2, "log_history": log}))
    assert TrainerState.load_from_json(tmp_path / "state.json").step_of_last_log == 2
