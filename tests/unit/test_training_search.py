"""A search for arguments, with optuna; and trackers, which keep trials apart."""

import json
import sys
import types
from collections import Counter

import optuna
import pytest
from optuna.samplers import GridSampler

from formers import HPSearchBackend, Trainer, TrainerCallback, TrainingArguments
from formers.core.extras import MissingExtra
from formers.training import DataCollatorWithPadding
from tests.unit.training_toys import PadOnly, bag, rows


@pytest.fixture(autouse=True)
def quiet():
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


def searcher(tmp_path, compute_metrics=None, callbacks=None, **options):
    args = TrainingArguments(
        str(tmp_path),
        **{"save_strategy": "no", "num_train_epochs": 1, "seed": 1, **options},
        disable_tqdm=True,
        use_cpu=True,
    )
    return Trainer(
        args=args,
        data_collator=DataCollatorWithPadding(PadOnly()),
        train_dataset=rows(12),
        eval_dataset=rows(6),
        model_init=lambda: bag(),
        compute_metrics=compute_metrics,
        callbacks=callbacks,
    )


def rate(trial):
    return {"learning_rate": trial.suggest_float("learning_rate", 0.0, 0.1)}


GRID = {"sampler": GridSampler({"learning_rate": [0.0, 0.1]}, seed=0)}


def test_the_trial_with_the_lowest_loss_is_the_best_and_the_arguments_are_as_before(tmp_path):
    trainer = searcher(tmp_path)
    best = trainer.hyperparameter_search(rate, n_trials=2, backend=HPSearchBackend.OPTUNA, **GRID)
    assert best.hyperparameters == {"learning_rate": 0.1}
    assert best.objective == min(trial.value for trial in best.run_summary.trials)
    assert trainer.args.learning_rate == 5e-5
    assert trainer.state.trial_name is None


def test_an_objective_of_ones_own_may_be_maximised(tmp_path):
    best = searcher(tmp_path).hyperparameter_search(
        rate, lambda metrics: metrics["eval_loss"], n_trials=2, direction="maximize", **GRID
    )
    assert best.hyperparameters == {"learning_rate": 0.0}


def test_of_two_objectives_every_run_is_told_that_no_other_beats_in_both(tmp_path):
    score = iter([(1.0, 0.0), (0.0, 1.0)])
    best = searcher(tmp_path).hyperparameter_search(
        rate, lambda metrics: next(score), n_trials=2, direction=["minimize", "minimize"], **GRID
    )
    assert {tuple(run.objective) for run in best} == {(1.0, 0.0), (0.0, 1.0)}


def test_values_are_read_as_the_arguments_read_them(tmp_path):
    seen = []
    trainer = searcher(tmp_path)
    trainer.model_init = lambda: (seen.append(trainer.args.lr_scheduler_type), bag())[1]
    trainer.hyperparameter_search(lambda trial: {"lr_scheduler_type": "cosine"}, n_trials=1)
    assert seen[0].name == "COSINE"
    with pytest.raises(ValueError, match="coside"):
        trainer.hyperparameter_search(lambda trial: {"lr_scheduler_type": "coside"}, n_trials=1)


def test_the_default_space_is_searched_and_each_trial_has_its_folder(tmp_path):
    trainer = searcher(tmp_path, save_strategy="epoch", max_steps=1)
    best = trainer.hyperparameter_search(n_trials=1, hp_name=lambda trial: f"try-{trial.number}")
    assert set(best.hyperparameters) == {
        *("learning_rate", "num_train_epochs", "seed"),
        "per_device_train_batch_size",
    }
    assert (tmp_path / "try-0" / "checkpoint-1").is_dir()


class Grumpy(optuna.pruners.BasePruner):
    """Breaks off every trial but the first."""

    def prune(self, study, trial):
        return trial.number > 0


class Ends(TrainerCallback):
    """Counts how often runs end, as trackers are told."""

    ended = 0

    def on_train_end(self, args, state, control, **kwargs):
        self.ended += 1


def test_a_trial_that_promises_nothing_is_broken_off_and_ends_its_run_at_the_trackers(tmp_path):
    ends = Ends()
    trainer = searcher(tmp_path, callbacks=[ends], eval_strategy="epoch", num_train_epochs=2)
    best = trainer.hyperparameter_search(rate, n_trials=2, pruner=Grumpy(), **GRID)
    first, second = best.run_summary.trials
    assert list(first.intermediate_values) == [2, 4]
    assert first.value == first.intermediate_values[4]
    assert second.state == optuna.trial.TrialState.PRUNED
    assert list(second.intermediate_values) == [2]
    assert ends.ended == 2
    assert not trainer.is_in_train


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"backend": "wandb"}, "'optuna' and 'ray' are built in"),
        ({"backend": "ray", "direction": ["minimize"]}, "in one direction"),
        ({"backend": "optun"}, "did you mean 'optuna'"),
        ({"n_jobs": 2}, "load_if_exists=True"),
        ({"hp_space": lambda trial: {"learning_rat": 1.0}}, "did you mean 'learning_rate'"),
        ({"hp_space": lambda trial: None}, "hp_space returns a dict"),
    ],
)
def test_what_cannot_be_searched_says_what_to_write(tmp_path, options, said):
    with pytest.raises((ValueError, TypeError), match=said):
        searcher(tmp_path).hyperparameter_search(n_trials=1, **options)


def test_a_search_without_its_package_names_it(tmp_path, monkeypatch):
    monkeypatch.setattr("formers.training.search.installed", lambda module: False)
    with pytest.raises(MissingExtra, match="pip install optuna"):
        searcher(tmp_path).hyperparameter_search()


def test_tensorboard_has_a_folder_for_every_trial_and_the_numbers_in_it(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trainer = searcher(
        tmp_path, report_to="tensorboard", logging_dir=str(tmp_path / "logs"), eval_strategy="epoch"
    )
    trainer.hyperparameter_search(rate, n_trials=2, **GRID)
    losses = []
    for name in ("run-0", "run-1"):
        events = EventAccumulator(str(tmp_path / "logs" / name))
        events.Reload()
        losses.append(events.Scalars("eval/loss")[0].value)
        assert "learning_rate" in events.Tensors("args/text_summary")[0].tensor_proto.string_val[0].decode()
    assert losses[0] != losses[1]


def fake_tracker(name, monkeypatch):
    """A module that notes which of its functions were called, and with what."""
    calls = []

    def note(function, answer=None):
        return lambda *args, **kwargs: (calls.append((function, args, kwargs)), answer)[1]

    module = types.ModuleType(name)
    for function in ("init", "log", "set_experiment", "start_run", "log_params", "log_metrics", "end_run"):
        setattr(module, function, note(function))
    module.finish = note("finish")
    module.active_run = note("active_run")
    module.run, module.config = None, types.SimpleNamespace(update=note("update"))
    monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr("formers.training.callbacks.trackers.installed", lambda module: True)
    return calls


@pytest.mark.parametrize("evaluated", ["epoch", "no"])
@pytest.mark.parametrize(
    ("name", "begin", "end"), [("wandb", "init", "finish"), ("mlflow", "start_run", "end_run")]
)
def test_a_tracker_gets_one_run_for_every_trial_under_its_name(
    tmp_path, monkeypatch, name, begin, end, evaluated
):
    calls = fake_tracker(name, monkeypatch)
    trainer = searcher(tmp_path, report_to=name, run_name="tickets", eval_strategy=evaluated)
    trainer.hyperparameter_search(rate, n_trials=2, **GRID)
    count = Counter(function for function, _, _ in calls)
    assert (count[begin], count[end]) == (2, 2)
    assert "run-1" in json.dumps([kwargs for function, _, kwargs in calls if function == begin])
    sent = [
        args[0] if args else kwargs for function, args, kwargs in calls if function in ("log", "log_metrics")
    ]
    assert any("eval" in key for numbers in sent for key in numbers)
