"""The methods that scripts override are called, and a name that never would be is refused."""

import pytest
import torch
from torch.utils.data import SequentialSampler, WeightedRandomSampler

from formers import Trainer, TrainerCallback, TrainingArguments
from formers.training import DataCollatorWithPadding
from tests.unit.training_toys import PadOnly, bag, rows, same

HOOKS = [
    "create_accelerator_and_postprocess", "_move_model_to_device", "_get_train_sampler",
    "_get_eval_sampler",
    "_set_signature_columns_if_needed", "_get_collator_with_removed_columns", "get_train_dataloader",
    "get_eval_dataloader", "num_examples", "create_optimizer", "create_scheduler",
    "create_optimizer_and_scheduler", "get_decay_parameter_names", "_inner_training_loop", "_wrap_model",
    "get_batch_samples", "training_step", "compute_loss", "compute_loss_context_manager", "_prepare_input",
    "autocast_smart_context_manager",
    "_prepare_inputs", "_clip_grad_norm", "floating_point_ops", "store_flos", "_maybe_log_save_evaluate",
    "_evaluate", "evaluate", "_determine_best_metric", "evaluation_loop", "prediction_loop",
    "prediction_step",
    "log", "_get_output_dir", "save_model", "_save", "_save_checkpoint", "_save_optimizer_and_scheduler",
    "_save_rng_state", "_rotate_checkpoints", "_load_from_checkpoint", "_load_optimizer_and_scheduler",
    "_load_rng_state", "_load_best_model",
]  # fmt: skip


def make(kind, folder, data=None, callbacks=None, **options):
    given = {"max_steps": 4, "save_steps": 2, "disable_tqdm": True, "use_cpu": True, **options}
    args = TrainingArguments(
        str(folder), per_device_train_batch_size=2, per_device_eval_batch_size=2, **given
    )
    return kind(
        bag(), args, DataCollatorWithPadding(PadOnly()), train_dataset=rows(12) if data is None else data,
        eval_dataset=rows(6), callbacks=callbacks,
    )  # fmt: skip


def test_every_hook_is_called_in_a_run_that_is_resumed(tmp_path):
    called = set()

    def hook(name):
        def call(self, *args, **kwargs):
            called.add(name)
            return getattr(super(kind, self), name)(*args, **kwargs)

        return call

    kind = type("Kind", (Trainer,), {name: hook(name) for name in HOOKS})
    options = {"eval_strategy": "steps", "eval_steps": 2, "load_best_model_at_end": True}
    make(kind, tmp_path, **options).train()
    make(kind, tmp_path, **{**options, "max_steps": 6}).train(resume_from_checkpoint=True)
    assert set(HOOKS) - called == set()


def test_a_hook_that_would_never_be_called_is_refused_with_the_one_that_is():
    with pytest.raises(TypeError, match=r"Mine overrides _run_epoch.*_inner_training_loop instead"):
        type("Mine", (Trainer,), {"_run_epoch": lambda self: None})


def test_a_hook_that_comes_from_a_mixin_or_later_is_refused_too(tmp_path):
    class Mixin:
        def _run_epoch(self):
            return None

    with pytest.raises(TypeError, match="Mine overrides _run_epoch"):
        type("Mine", (Mixin, Trainer), {})
    one, other = make(Trainer, tmp_path), make(type("Mine", (Trainer,), {}), tmp_path)
    one._save_scaler = type(other)._get_grad_norm = lambda *_: None
    with pytest.raises(TypeError, match="overrides _save_scaler.*_save_optimizer_and_scheduler instead"):
        one.train()
    with pytest.raises(TypeError, match="Mine overrides _get_grad_norm"):
        other.train()


class Seen(TrainerCallback):
    """The first token of the examples of each batch, through the collator."""

    def __init__(self):
        self.batches = []

    def collate(self, batch):
        self.batches.append([row["input_ids"][0] for row in batch])
        return DataCollatorWithPadding(PadOnly())(batch)


def numbered(count):
    return [{"input_ids": [number + 1, 2], "label": number % 3} for number in range(count)]


def test_a_sampler_of_ones_own_decides_what_is_trained_on(tmp_path):
    class Weighted(Trainer):
        def _get_train_sampler(self, train_dataset=None):
            return WeightedRandomSampler([0.0, 1.0, 0.0, 1.0], num_samples=10)

    seen = Seen()
    trainer = make(Weighted, tmp_path, numbered(4))
    trainer.data_collator = seen.collate
    trainer.train()
    assert [len(batch) for batch in seen.batches] == [2, 2, 2, 2]
    assert {token for batch in seen.batches for token in batch} == {2, 4}


def test_a_run_with_a_random_sampler_of_ones_own_is_resumed_to_the_same_bits(tmp_path):
    class Weighted(Trainer):
        def _get_train_sampler(self, train_dataset=None):
            return WeightedRandomSampler([1.0] * 12, num_samples=12)

    whole = make(Weighted, tmp_path / "whole", max_steps=9, save_steps=4)
    whole.train()
    checkpoint = str(tmp_path / "whole" / "checkpoint-4")
    resumed = make(Weighted, tmp_path / "next", max_steps=9, save_steps=4)
    resumed.train(resume_from_checkpoint=checkpoint)
    assert same(whole.model, resumed.model)


def test_a_sampler_for_evaluation_gives_the_order_of_the_predictions(tmp_path):
    class Backwards(Trainer):
        def _get_eval_sampler(self, eval_dataset):
            return list(reversed(range(len(eval_dataset))))[:3]

    class InOrder(Trainer):
        def _get_eval_sampler(self, eval_dataset):
            return SequentialSampler(eval_dataset)

    data = numbered(5)
    backwards = make(Backwards, tmp_path).predict(data)
    assert backwards.label_ids.tolist() == [1, 0, 2]
    assert make(InOrder, tmp_path).predict(data).label_ids.tolist() == [0, 1, 2, 0, 1]


def test_a_window_of_ones_own_is_weighed_by_what_is_in_it(tmp_path):
    class Doubled(Trainer):
        def get_batch_samples(self, epoch_iterator, num_batches, device):
            window, items = super().get_batch_samples(epoch_iterator, num_batches, device)
            return window + window, items * 2

    models = [
        make(kind, tmp_path, optim="sgd", max_grad_norm=0, learning_rate=0.1) for kind in (Trainer, Doubled)
    ]
    for trainer in models:
        trainer.train()
    pairs = zip(models[0].model.parameters(), models[1].model.parameters(), strict=True)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in pairs)


def test_columns_that_an_override_adds_reach_the_collator(tmp_path):
    class Keeps(Trainer):
        def _set_signature_columns_if_needed(self):
            super()._set_signature_columns_if_needed()
            self._signature_columns.append("text")

    columns = []

    def collate(batch):
        columns.extend(batch[0])
        return DataCollatorWithPadding(PadOnly())(
            [{k: v for k, v in row.items() if k != "text"} for row in batch]
        )

    trainer = make(Keeps, tmp_path, max_steps=1)
    trainer.data_collator = collate
    trainer.train()
    assert "text" in columns


def test_what_a_checkpoint_holds_may_be_more(tmp_path):
    class More(Trainer):
        def _save(self, output_dir=None, state_dict=None):
            super()._save(output_dir, state_dict)
            (tmp_path.__class__(output_dir) / "more.txt").write_text("more")

    make(More, tmp_path).train()
    assert (tmp_path / "checkpoint-2" / "more.txt").read_text() == "more"


def test_older_subclasses_call_what_they_copied(tmp_path):
    """Loaders that drop columns themselves, and checkpoints that are handed their metrics."""
    from datasets import Dataset

    class Copied(Trainer):
        def get_train_dataloader(self):
            data = self._remove_unused_columns(self.train_dataset, description="training")
            columns.extend(data.column_names)
            return torch.utils.data.DataLoader(data, batch_size=2, collate_fn=self.data_collator)

        def _save_checkpoint(self, model, trial, metrics=None):
            super()._save_checkpoint(model, trial, metrics=metrics)

    columns = []
    trainer = make(Copied, tmp_path, Dataset.from_list(list(rows(12))))
    trainer.train()
    assert set(columns) == {"input_ids", "label"}  # and no text
    assert (tmp_path / "checkpoint-2").is_dir()
