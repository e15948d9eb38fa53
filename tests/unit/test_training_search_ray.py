"""A search for arguments with Ray Tune, whose trials are processes of their own."""

import os
from pathlib import Path

import pytest

from formers import Trainer, TrainingArguments
from formers.training import DataCollatorWithPadding
from tests.unit.training_toys import PadOnly, bag, rows

ray = pytest.importorskip("ray", reason="Ray has no wheel for this interpreter")
from ray import tune  # noqa: E402
from ray.tune.schedulers import ASHAScheduler, PopulationBasedTraining  # noqa: E402


@pytest.fixture(scope="module", autouse=True)
def cluster():
    with pytest.MonkeyPatch.context() as patch:  # inherited; an environment of Ray's own is slow
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]), prepend=os.pathsep)
        ray.init(num_cpus=1, include_dashboard=False, logging_level="error", log_to_driver=False)
    yield
    ray.shutdown()


def searcher(folder, **options):
    args = TrainingArguments(
        str(folder), seed=1, disable_tqdm=True, use_cpu=True, eval_strategy="epoch",
        **{"save_strategy": "no", "num_train_epochs": 2, **options},
    )  # fmt: skip
    return Trainer(
        args=args,
        data_collator=DataCollatorWithPadding(PadOnly()),
        train_dataset=rows(12),
        eval_dataset=rows(6),
        model_init=lambda: bag(),
    )


def test_the_best_of_a_grid_is_found_in_other_processes(tmp_path):
    trainer = searcher(tmp_path / "out", save_strategy="epoch")
    best = trainer.hyperparameter_search(
        lambda trial: {"learning_rate": tune.grid_search([0.0, 0.1])},
        n_trials=1, backend="ray", storage_path=str(tmp_path / "ray"), verbose=0,
    )  # fmt: skip
    assert best.hyperparameters == {"learning_rate": 0.1}
    losses = {trial.config["learning_rate"]: trial.last_result for trial in best.run_summary.trials}
    assert best.objective == losses[0.1]["eval_loss"] < losses[0.0]["eval_loss"]
    assert losses[0.1]["epoch"] == 2.0
    assert {one.name for one in (tmp_path / "out" / f"run-{best.run_id}").iterdir()} == {
        "checkpoint-2",
        "checkpoint-4",
    }
    assert trainer.model is not None
    assert trainer.args.learning_rate == 5e-5


@pytest.mark.parametrize(
    ("scheduler", "kind", "said"),
    [
        (PopulationBasedTraining(hyperparam_mutations={"seed": [1, 2]}), ValueError, "take ASHAScheduler"),
        (ASHAScheduler(), RuntimeError, "set eval_strategy='epoch'"),
    ],
)
def test_schedulers_that_cannot_work_say_why(tmp_path, scheduler, kind, said):
    trainer = searcher(tmp_path)
    trainer.args.eval_strategy = "no"
    with pytest.raises(kind, match=said):
        trainer.hyperparameter_search(n_trials=1, backend="ray", scheduler=scheduler)
