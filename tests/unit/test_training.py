"""The trainer: what it computes, what it hands back, what it says when something is wrong."""

import json
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import formers
from formers import (
    BertConfig,
    BertForMaskedLM,
    BertForTokenClassification,
    BertModel,
    EarlyStoppingCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from formers.core.notices import Notice, forget_notices
from formers.training import DataCollatorForTokenClassification, DataCollatorWithPadding, LabelLoss
from formers.training.losses import count_labels, notice_imbalance
from tests.unit.training_toys import Bag, PadOnly, bag, largest_difference, rows, same


def make(tmp_path, model=None, data=None, trainer=Trainer, **options):
    extra = {
        key: options.pop(key)
        for key in (
            "compute_metrics",
            "callbacks",
            "eval_dataset",
            "compute_loss_func",
            "model_init",
            "optimizers",
            "preprocess_logits_for_metrics",
            "data_collator",
        )
        if key in options
    }
    options = {"save_strategy": "no", "learning_rate": 0.05, "disable_tqdm": True, "use_cpu": True, **options}
    if "model_init" not in extra:
        extra["model"] = bag() if model is None else model
    extra.setdefault("data_collator", DataCollatorWithPadding(PadOnly()))
    return trainer(
        args=TrainingArguments(str(tmp_path), **options),
        train_dataset=rows() if data is None else data,
        **extra,
    )


def small(kind, **options):
    torch.manual_seed(0)
    sizes = {
        "vocab_size": 50,
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    }
    drop = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return kind(BertConfig(**sizes, **drop, **options))


# ---- learning ------------------------------------------------------------------------------------


def test_it_learns(tmp_path):
    data = [{"input_ids": [1 + label] * 3, "label": label} for label in (0, 1, 2) for _ in range(8)]
    trainer = make(tmp_path, data=data, num_train_epochs=20, logging_steps=10)
    output = trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[-1] < 0.2 < losses[0]
    assert output.global_step == trainer.state.global_step == 60
    assert output.training_loss == pytest.approx(np.mean(losses))


@pytest.mark.parametrize(("batch", "accumulation"), [(4, 2), (2, 4), (1, 8)])
def test_accumulation_equals_the_big_batch_also_in_the_last_partial_window(tmp_path, batch, accumulation):
    data = rows(21)
    big, small_ = bag(), bag()
    options = {"optim": "sgd", "num_train_epochs": 2, "logging_steps": 1, "data": data}
    whole = make(tmp_path, big, per_device_train_batch_size=8, **options)
    parts = make(
        tmp_path,
        small_,
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=accumulation,
        **options,
    )
    assert whole.train().training_loss == pytest.approx(parts.train().training_loss, abs=1e-6)
    assert largest_difference(big, small_) < 1e-6


def test_accumulation_weighs_tokens_not_batches(tmp_path):
    generator = torch.Generator().manual_seed(0)
    data = []
    for length in (2, 11, 3, 9, 12, 2, 5):
        ids = torch.randint(1, 50, (length,), generator=generator).tolist()
        data.append({"input_ids": ids, "labels": [-100, *[i % 3 for i in ids[1:]]]})
    models = [small(BertForTokenClassification, num_labels=3) for _ in range(2)]
    options = {
        "data": data,
        "data_collator": DataCollatorForTokenClassification(PadOnly()),
        "optim": "sgd",
        "num_train_epochs": 2,
    }
    make(tmp_path, models[0], per_device_train_batch_size=4, **options).train()
    make(tmp_path, models[1], per_device_train_batch_size=1, gradient_accumulation_steps=4, **options).train()
    assert largest_difference(*models) < 1e-6


def test_an_override_of_compute_loss_as_tutorials_write_it(tmp_path):
    class Older(Trainer):
        def compute_loss(self, model, inputs, return_outputs=False):
            labels = inputs.pop("labels")
            outputs = model(**inputs)
            loss = nn.functional.cross_entropy(outputs.logits, labels)
            return (loss, outputs) if return_outputs else loss

    class Newer(Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            labels = inputs.pop("labels")
            outputs = model(**inputs)
            loss = nn.functional.cross_entropy(outputs.logits, labels)
            return (loss, outputs) if return_outputs else loss

    class Dividing(Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            labels = inputs.pop("labels")
            outputs = model(**inputs)
            total = nn.functional.cross_entropy(outputs.logits, labels, reduction="sum")
            loss = total / (len(labels) if num_items_in_batch is None else num_items_in_batch)
            return (loss, outputs) if return_outputs else loss

    class Wrapping(Trainer):
        def compute_loss(self, model, inputs, *args, **kwargs):
            return super().compute_loss(model, inputs, *args, **kwargs)

    models = []
    for kind in (Trainer, Older, Newer, Dividing, Wrapping):
        models.append(bag())
        make(
            tmp_path,
            models[-1],
            trainer=kind,
            per_device_train_batch_size=3,
            gradient_accumulation_steps=2,
            optim="sgd",
            eval_dataset=rows(5),
            eval_strategy="epoch",
        ).train()
    assert all(largest_difference(models[0], other) < 1e-6 for other in models[1:])


def test_loss_function_of_ones_own(tmp_path):
    def loss(outputs, labels, num_items_in_batch=None):
        total = nn.functional.cross_entropy(outputs.logits, labels, reduction="sum")
        return total / (len(labels) if num_items_in_batch is None else num_items_in_batch)

    models = [bag(), bag()]
    options = {"per_device_train_batch_size": 3, "gradient_accumulation_steps": 2}
    make(tmp_path, models[0], **options).train()
    make(tmp_path, models[1], compute_loss_func=loss, **options).train()
    assert largest_difference(*models) < 1e-6


def test_freezing_by_hand_is_kept(tmp_path):
    model = bag()
    for parameter in model.embedding.parameters():
        parameter.requires_grad = False
    before = model.embedding.weight.clone()
    make(tmp_path, model).train()
    assert torch.equal(model.embedding.weight, before)


def test_nothing_to_train_is_refused(tmp_path):
    model = bag()
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="everything is frozen"):
        make(tmp_path, model).train()


@pytest.mark.parametrize(
    "optim", ["adamw_torch", "adamw_torch_fused", "adafactor", "sgd", "adagrad", "rmsprop", "lion_32bit"]
)
def test_built_in_optimizers_lower_the_loss(tmp_path, optim):
    trainer = make(tmp_path, optim=optim, num_train_epochs=6, logging_steps=4, learning_rate=0.02)
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[-1] < losses[0]


def test_norms_and_biases_do_not_decay(tmp_path):
    trainer = make(tmp_path, weight_decay=0.1)
    assert trainer.get_decay_parameter_names(trainer.model) == ["embedding.weight", "out.weight"]
    decays = [group["weight_decay"] for group in trainer.create_optimizer().param_groups]
    assert decays == [0.1, 0.0]


def test_bf16_on_the_cpu_trains(tmp_path):
    from formers.core.devices import fast_on_cpu

    options = {"bf16": True, "num_train_epochs": 4, "logging_steps": 4}
    if fast_on_cpu(torch.bfloat16):
        trainer = make(tmp_path, **options)
    else:
        with pytest.warns(Notice, match="no bfloat16 instructions"):
            trainer = make(tmp_path, **options)
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[-1] < losses[0]
    assert trainer.model.out.weight.dtype == torch.float32


def test_activation_checkpointing_and_noise_run(tmp_path):
    data = [{"input_ids": row["input_ids"], "labels": row["input_ids"]} for row in rows(8)]
    collate = DataCollatorForTokenClassification(PadOnly())
    outputs = []
    for options in ({}, {"gradient_checkpointing": True}, {"neftune_noise_alpha": 5.0}):
        model = small(BertForMaskedLM)
        trainer = make(tmp_path, model, data, data_collator=collate, num_train_epochs=1, **options)
        outputs.append((trainer.train().training_loss, model))
    assert outputs[0][0] == pytest.approx(outputs[1][0], abs=1e-6)
    assert largest_difference(outputs[0][1], outputs[1][1]) < 1e-5
    assert outputs[2][0] != outputs[0][0]


# ---- imbalance -----------------------------------------------------------------------------------


def test_imbalanced_labels_are_noticed_and_weighed(tmp_path):
    data = [{"input_ids": [1, 2], "label": 0}] * 40 + [{"input_ids": [3, 4], "label": 1}] * 2
    with pytest.warns(Notice, match="class_weights='sqrt'"):
        make(tmp_path, bag(classes=2), data, max_steps=1).train()
    trainer = make(tmp_path, bag(classes=2), data, max_steps=1, class_weights="balanced")
    trainer.train()
    weights = trainer.current_run.label_loss.weights
    assert weights[1] / weights[0] == pytest.approx(20.0)
    assert float((weights * torch.tensor([40.0, 2.0])).sum() / 42) == pytest.approx(1.0)


def test_letters_that_are_rare_are_no_imbalanced_labels(tmp_path):
    sizes = {"vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = formers.LlamaForCausalLM(formers.LlamaConfig(**sizes, intermediate_size=8))
    data = [{"input_ids": [1, 2], "labels": [1, 1]}] * 40 + [{"input_ids": [3, 4], "labels": [3, 1]}]
    with pytest.warns(Notice, match="Labels are imbalanced"):  # by numbers alone they would be
        notice_imbalance(count_labels([row["labels"] for row in data]), None)
    forget_notices()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        make(tmp_path, model, data, max_steps=1).train()
    assert not [one for one in told if "imbalanced" in str(one.message)]


def test_focal_loss_of_zero_is_cross_entropy_and_smoothing_is_torchs():
    logits, labels = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, -100, 1])
    plain = nn.functional.cross_entropy(logits, labels)
    assert torch.allclose(LabelLoss()(logits, labels), plain)
    smooth = nn.functional.cross_entropy(logits, labels, label_smoothing=0.1)
    assert torch.allclose(LabelLoss(smoothing=0.1)(logits, labels), smooth)
    p = torch.softmax(logits, -1)[range(5), [0, 1, 2, 3, 0]][:4]
    focal = LabelLoss(focal_gamma=2.0)(logits[:4], labels[:4])
    assert torch.allclose(focal, (-(1 - p).pow(2) * p.log()).mean())


def test_class_weights_need_a_task_with_classes(tmp_path):
    model = bag()
    model.config = type("Config", (), {"problem_type": "regression", "num_labels": 1})()
    with pytest.raises(ValueError, match="leave them out"):
        make(tmp_path, model, class_weights=[1.0, 2.0]).train()


# ---- evaluation ----------------------------------------------------------------------------------


def test_predictions_come_back_in_the_order_of_the_dataset(tmp_path):
    data = rows(23)
    trainer = make(tmp_path, per_device_eval_batch_size=4, eval_dataset=data)
    predictions, labels, metrics = trainer.predict(data)
    alone = torch.cat([trainer.model(torch.tensor([row["input_ids"]])).logits for row in data])
    assert np.allclose(predictions, alone.detach().numpy(), atol=1e-6)
    assert labels.tolist() == [row["label"] for row in data]
    exact = nn.functional.cross_entropy(alone, torch.tensor(labels)).item()
    assert metrics["test_loss"] == pytest.approx(exact, abs=1e-6)


def test_evaluation_in_the_middle_leaves_training_as_it_was(tmp_path):
    watched, plain = bag(dropout=0.3), bag(dropout=0.3)
    make(
        tmp_path, watched, eval_dataset=rows(9), eval_strategy="steps", eval_steps=1, num_train_epochs=2
    ).train()
    make(tmp_path, plain, num_train_epochs=2).train()
    assert same(watched, plain)
    assert watched.training
    assert watched.dropout.training


def test_compute_metrics_gets_what_tutorials_unpack(tmp_path):
    def accuracy(eval_pred):
        logits, labels = eval_pred
        assert eval_pred.predictions.shape == (12, 3)
        assert eval_pred.label_ids.shape == (12,)
        return {"accuracy": (logits.argmax(-1) == labels).mean()}

    metrics = make(tmp_path, eval_dataset=rows(12), compute_metrics=accuracy).evaluate()
    assert {"eval_loss", "eval_accuracy", "eval_runtime", "eval_samples_per_second"} <= set(metrics)


def test_several_evaluation_sets_are_judged_by_name(tmp_path):
    metrics = make(tmp_path, eval_dataset={"a": rows(4), "b": rows(6, seed=9)}).evaluate()
    assert {"eval_a_loss", "eval_b_loss"} <= set(metrics)


def test_less_of_the_logits_may_be_kept(tmp_path):
    kept = make(tmp_path, preprocess_logits_for_metrics=lambda logits, labels: logits.argmax(-1)).predict(
        rows(7)
    )
    assert kept.predictions.shape == (7,)
    assert kept.predictions.dtype == np.int64


def test_metrics_batch_by_batch(tmp_path):
    seen = []

    def metrics(pair, compute_result):
        seen.append(len(pair.label_ids))
        return {"count": sum(seen)} if compute_result else {}

    trainer = make(
        tmp_path,
        batch_eval_metrics=True,
        compute_metrics=metrics,
        per_device_eval_batch_size=4,
        eval_dataset=rows(10),
    )
    assert trainer.evaluate()["eval_count"] == 10
    assert seen == [4, 4, 2]


def test_ragged_predictions_are_padded_with_minus_100(tmp_path):
    model = small(BertForTokenClassification, num_labels=3)
    data = [{"input_ids": [5] * n, "labels": [1] * n} for n in (2, 6, 3)]
    collate = DataCollatorForTokenClassification(PadOnly())
    out = make(tmp_path, model, data, data_collator=collate, per_device_eval_batch_size=1).predict(data)
    assert out.predictions.shape == (3, 6, 3)
    assert (out.predictions[0, 3:] == -100).all()
    assert out.label_ids.tolist() == [[1, 1, -100, -100, -100, -100], [1] * 6, [1, 1, 1, -100, -100, -100]]


# ---- steering ------------------------------------------------------------------------------------


def test_the_best_model_is_kept_and_training_stops_early(tmp_path):
    scores = iter([0.2, 0.9, 0.5, 0.4, 0.3])
    weights = []

    class Remember(TrainerCallback):
        def on_evaluate(self, args, state, control, model=None, **kwargs):
            weights.append({name: value.clone() for name, value in model.state_dict().items()})

    trainer = make(
        tmp_path,
        num_train_epochs=5,
        eval_strategy="epoch",
        save_strategy="epoch",
        load_best_model_at_end=True,
        metric_for_best_model="f1",
        eval_dataset=rows(5),
        compute_metrics=lambda pair: {"f1": next(scores)},
        callbacks=[EarlyStoppingCallback(early_stopping_patience=2), Remember],
        save_total_limit=1,
    )
    trainer.train()
    assert trainer.state.best_metric == 0.9
    assert trainer.state.epoch == 4.0
    assert trainer.state.best_model_checkpoint.endswith("checkpoint-8")
    assert all(torch.equal(weights[1][name], value) for name, value in trainer.model.state_dict().items())
    assert sorted(p.name for p in tmp_path.glob("checkpoint-*")) == ["checkpoint-16", "checkpoint-8"]


def test_callbacks_are_called_at_every_event_and_may_stop(tmp_path):
    events = []

    class Listen(TrainerCallback):
        def on_epoch_end(self, args, state, control, **kwargs):
            events.append("epoch")
            control.should_training_stop = True

        def on_substep_end(self, args, state, control, **kwargs):
            events.append("substep")

        def on_step_end(self, args, state, control, tokenizer=None, optimizer=None, **kwargs):
            assert optimizer is not None
            events.append("step")

    trainer = make(tmp_path, callbacks=[Listen], gradient_accumulation_steps=2, num_train_epochs=7)
    trainer.train()
    assert events == ["substep", "step", "substep", "step", "epoch"]
    assert trainer.pop_callback(Listen) is not None
    assert trainer.pop_callback(Listen) is None


def test_max_steps_shares_of_the_run_and_first_step_logging(tmp_path):
    trainer = make(tmp_path, max_steps=10, logging_steps=0.5, logging_first_step=True)
    trainer.train()
    assert [entry["step"] for entry in trainer.state.log_history if "loss" in entry] == [1, 5, 10]


class Sometimes(Bag):
    """Whose loss is no number at some of its calls."""

    def __init__(self, lost):
        super().__init__()
        self.calls, self.lost = 0, lost

    def forward(self, **inputs):
        out = super().forward(**inputs)
        self.calls += 1
        if self.calls in self.lost:
            out.loss = out.loss + float("inf")  # a constant: the gradient stays finite
        return out


def judged_by(tmp_path, lost, **options):
    torch.manual_seed(0)
    data = [{key: row[key] for key in ("input_ids", "label")} for row in rows()]
    options = {
        "logging_steps": 2, "max_steps": 6, "label_names": ["labels"], "learning_rate": 0.0,
        "remove_unused_columns": False, "eval_dataset": data, "data": data, **options,
    }  # fmt: skip
    return make(tmp_path, Sometimes(lost), **options)


def losses(trainer):
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_loss_that_is_no_number_is_said_and_left_out_of_the_mean(tmp_path, accumulation):
    undisturbed = judged_by(tmp_path, (), gradient_accumulation_steps=accumulation, logging_steps=1)
    undisturbed.train()
    each = losses(undisturbed)
    lost = range(3 * accumulation - accumulation + 1, 3 * accumulation + 1)  # all calls of step 3
    trainer = judged_by(tmp_path, lost, gradient_accumulation_steps=accumulation)
    with pytest.warns(Notice, match="loss of step 3 is not a number"):
        result = trainer.train()
    assert losses(trainer) == pytest.approx([(each[0] + each[1]) / 2, each[3], (each[4] + each[5]) / 2])
    assert result.training_loss == pytest.approx(np.mean([*each[:2], *each[3:]]))


@pytest.mark.parametrize("filtered", [True, False])
def test_where_no_loss_is_a_number_none_is_logged(tmp_path, filtered):
    trainer = judged_by(tmp_path, range(1, 99), logging_nan_inf_filter=filtered)
    with pytest.warns(Notice, match="loss of step 1 is not a number"):
        result = trainer.train()
    assert not np.isfinite([*losses(trainer), result.training_loss]).any()


def test_a_step_whose_labels_are_all_left_out_has_no_loss_and_leaves_the_weights(tmp_path):
    data = [{"input_ids": [1, 2], "labels": -100} for _ in range(4)]
    trainer = make(tmp_path, data=data, max_steps=2, logging_steps=1, weight_decay=0.0)
    before = [weight.clone() for weight in trainer.model.parameters()]
    with pytest.warns(Notice, match="loss of step 1 is not a number.*every label is -100"):
        result = trainer.train()
    assert not np.isfinite([*losses(trainer), result.training_loss]).any()
    assert all(torch.equal(old, new) for old, new in zip(before, trainer.model.parameters(), strict=True))


def test_evaluation_batches_without_a_loss_are_said_and_left_out(tmp_path):
    trainer = judged_by(tmp_path, (2,), eval_dataset=rows(2), per_device_eval_batch_size=1)
    trainer.args.logging_nan_inf_filter = True
    with pytest.warns(Notice, match="loss of 1 evaluation batches is not a number"):
        found = trainer.evaluate()["eval_loss"]
    first = judged_by(tmp_path, (), eval_dataset=rows(2)[:1], per_device_eval_batch_size=1)
    assert np.isfinite(found)
    assert found != first.evaluate(rows(2))["eval_loss"]


def test_a_run_without_steps_says_so_and_judges_nothing(tmp_path):
    trainer = make(tmp_path, num_train_epochs=0, eval_strategy="epoch", eval_dataset=rows(4))
    with pytest.warns(Notice, match="This run has no steps: nothing is left to train"):
        assert trainer.train().global_step == 0
    assert not any("eval_loss" in entry for entry in trainer.state.log_history)


def test_a_dataset_without_examples_is_said(tmp_path):
    with pytest.warns(Notice, match="nothing to judge"):
        make(tmp_path).evaluate([])


def test_printed_numbers_have_four_digits_and_the_history_all(tmp_path, capsys):
    trainer = make(
        tmp_path, max_steps=2, logging_steps=1, eval_dataset=rows(5), eval_strategy="steps", eval_steps=2,
        compute_metrics=lambda pair: {"each": [1 / 3, 2 / 3], "of": {"a": 1 / 7}},
    )  # fmt: skip
    trainer.train()
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    judged = next(entry for entry in printed if "eval_each" in entry)
    assert (judged["eval_each"], judged["eval_of"]) == ([0.3333, 0.6667], {"a": 0.1429})
    exact = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert [entry["loss"] for entry in printed if "loss" in entry] == [float(f"{x:.4g}") for x in exact]
    assert exact != [round(x, 4) for x in exact]


def test_order_and_length_grouping(tmp_path):
    seen = []

    def collate(batch):
        seen.append([len(row["input_ids"]) for row in batch])
        return DataCollatorWithPadding(PadOnly())(batch)

    make(
        tmp_path,
        data=rows(64),
        train_sampling_strategy="group_by_length",
        data_collator=collate,
        num_train_epochs=1,
    ).train()
    spread = np.mean([max(lengths) - min(lengths) for lengths in seen])
    assert max(seen[0]) == max(max(lengths) for lengths in seen)
    seen.clear()
    make(tmp_path, data=rows(64), data_collator=collate, num_train_epochs=1).train()
    assert spread < np.mean([max(lengths) - min(lengths) for lengths in seen]) * 0.6


def test_a_stream_trains_for_max_steps(tmp_path):
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            yield from rows(10)

    trainer = make(tmp_path, data=Stream(), max_steps=5, per_device_train_batch_size=4)
    assert trainer.train().global_step == 5
    with pytest.raises(ValueError, match="max_steps must say"):
        make(tmp_path, data=Stream())


def test_the_batch_size_is_halved_until_it_fits(tmp_path):
    class Hungry(Bag):
        def forward(self, input_ids, attention_mask=None, labels=None):
            if len(input_ids) > 2 and self.training:
                raise torch.OutOfMemoryError("no room")
            return super().forward(input_ids, attention_mask, labels)

    torch.manual_seed(0)
    trainer = make(
        tmp_path, Hungry(), auto_find_batch_size=True, num_train_epochs=1, per_device_train_batch_size=4
    )
    with pytest.warns(Notice, match="starts again with 2 examples"):
        assert trainer.train().global_step == 15


def test_training_again_starts_a_new_schedule(tmp_path):
    trainer = make(tmp_path, num_train_epochs=1, logging_steps=1)
    trainer.train()
    first = [entry["learning_rate"] for entry in trainer.state.log_history if "loss" in entry]
    trainer.train()
    assert [entry["learning_rate"] for entry in trainer.state.log_history if "loss" in entry] == first
    assert first[0] == 0.05


def test_a_second_run_ends_as_that_of_a_new_trainer_would(tmp_path):
    """Of the first nothing is left but the weights: no loss, no count, no average, no optimizer."""
    options = {
        "num_train_epochs": 1,
        "logging_steps": 2,
        "ema_decay": 0.9,
        "include_num_input_tokens_seen": "all",
    }
    twice, first = make(tmp_path, **options), make(tmp_path, **options)
    twice.train()
    ended = twice.current_run
    twice.train()
    first.train()
    second = make(tmp_path, first.model, **options)
    second.train()
    assert twice.current_run is not ended
    assert same(twice.model, second.model)
    timed = ("train_runtime", "train_samples_per_second", "train_steps_per_second")
    histories = [
        [{key: value for key, value in entry.items() if key not in timed} for entry in run.state.log_history]
        for run in (twice, second)
    ]
    assert histories[0] == histories[1]
    assert twice.state.num_input_tokens_seen == second.state.num_input_tokens_seen


def test_an_optimizer_that_was_given_serves_every_run_and_one_that_was_made_just_its_own(tmp_path):
    trainer = make(tmp_path, num_train_epochs=1)
    given = torch.optim.SGD(trainer.model.parameters(), lr=0.1)
    trainer.train()
    made = trainer.optimizer
    trainer.train()
    assert trainer.optimizer is not made
    trainer.optimizer = given
    for _ in range(2):
        trainer.train()
        assert trainer.optimizer is given


def test_tf32_is_allowed_in_a_run_and_not_after_it(tmp_path, monkeypatch):
    seen = []

    class Look(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            seen.append(torch.backends.cuda.matmul.allow_tf32)

    trainer = make(tmp_path, max_steps=1, callbacks=[Look])
    before = torch.backends.cuda.matmul.allow_tf32
    trainer.args.tf32 = not before
    trainer.train()
    assert seen == [not before]
    assert torch.backends.cuda.matmul.allow_tf32 is before


def test_metrics_of_torch_and_numpy_become_plain_numbers(tmp_path):
    odd = {
        "torch": torch.tensor(0.5),
        "array": np.array([0.25, 0.5]),
        "nested": {"support": np.int64(3), "parts": [torch.tensor(1.0)]},
        "flag": np.bool_(True),
        "complex": 1 + 2j,
    }
    trainer = make(
        tmp_path,
        max_steps=2,
        save_strategy="steps",
        save_steps=2,
        eval_strategy="steps",
        eval_steps=2,
        eval_dataset=rows(4),
        compute_metrics=lambda pair: odd,
    )
    with pytest.warns(Notice, match="'eval_complex' is logged as a complex"):
        trainer.train()
    found = {key[5:]: value for key, value in trainer.state.log_history[-2].items() if key[5:] in odd}
    assert found == {
        "torch": 0.5,
        "array": [0.25, 0.5],
        "nested": {"support": 3, "parts": [1.0]},
        "flag": True,
        "complex": 1 + 2j,
    }
    assert (tmp_path / "checkpoint-2" / "trainer_state.json").is_file()


def test_a_collator_that_makes_other_rows_than_examples(tmp_path):
    def twice(batch):
        return DataCollatorWithPadding(PadOnly())([row for row in batch for _ in range(2)])

    data = [{"input_ids": [1, 2 + number], "label": number % 3} for number in range(5)]
    trainer = make(tmp_path, per_device_eval_batch_size=2, data_collator=twice, remove_unused_columns=False)
    trainer.data_collator = twice
    found = trainer.predict(data)
    assert found.label_ids.tolist() == [0, 0, 1, 1, 2, 2, 0, 0, 1, 1]
    assert found.predictions.shape == (10, 3)
    data[3]["input_ids"] = [1, 2, 3]
    with pytest.raises(ValueError, match="made 4 rows of 2 examples"):
        trainer.predict(data)


def test_a_model_that_compares_the_rows_of_a_batch_is_judged_on_the_batches_asked_for(tmp_path):
    seen = []

    class Watched(Bag):
        def forward(self, input_ids, attention_mask=None, labels=None):
            seen.append(len(input_ids))
            return super().forward(input_ids, attention_mask, labels)

    trainer = make(tmp_path, Watched(), per_device_eval_batch_size=4)
    data = [{"input_ids": [1] * length, "labels": 0} for length in [2] * 10 + [60]]
    trainer.evaluate(data)
    trainer.predict(iter_of(data))
    assert max(seen) == 4
    assert sum(seen) == 22


def iter_of(rows):
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter(rows)

    return Stream()


@pytest.mark.parametrize("extra", [{"in": (torch.zeros(5),)}, [torch.zeros(2), torch.zeros(3)]])
def test_an_output_within_others_that_has_other_rows_is_named_too(tmp_path, extra):
    class More(Bag):
        def forward(self, **inputs):
            out = super().forward(**inputs)
            return {"loss": out.loss, "logits": out.logits, "extra": extra}

    trainer = make(tmp_path, More(), remove_unused_columns=False, per_device_eval_batch_size=2)
    with pytest.raises(ValueError, match=r"shape \[[35]\] came with a batch of 2 rows"):
        trainer.predict([{"input_ids": [1, 2], "labels": 0} for _ in range(4)])


def test_an_output_with_other_rows_than_the_batch_is_named(tmp_path):
    class More(Bag):
        def forward(self, **inputs):
            out = super().forward(**inputs)
            return {"loss": out.loss, "logits": out.logits, "experts": torch.zeros(5)}

    trainer = make(tmp_path, More(), remove_unused_columns=False, per_device_eval_batch_size=2)
    data = [{"input_ids": [1, 2], "labels": 0} for _ in range(4)]
    with pytest.raises(ValueError, match=r"shape \[5\] came with a batch of 2 rows"):
        trainer.predict(data)
    assert trainer.predict(data, ignore_keys=["experts"]).predictions.shape == (4, 3)


def test_model_init_makes_a_new_model_each_time(tmp_path):
    trainer = make(tmp_path, model_init=bag, num_train_epochs=1)
    trainer.train()
    first = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.train()
    assert all(torch.equal(first[name], value) for name, value in trainer.model.state_dict().items())


# ---- what it says --------------------------------------------------------------------------------


def test_evaluation_without_a_set_is_refused_at_once(tmp_path):
    with pytest.raises(ValueError, match="there is no eval_dataset"):
        make(tmp_path, eval_strategy="epoch")


def test_text_that_was_not_tokenized_is_named(tmp_path):
    trainer = make(tmp_path, data=[{"text": "hello", "label": 1}] * 8)
    with pytest.raises(ValueError, match="'text' looks like text that was not tokenized"):
        trainer.train()


def test_a_headless_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match="AutoModelForSequenceClassification"):
        make(tmp_path, small(BertModel))


def test_missing_labels_are_named(tmp_path):
    trainer = make(tmp_path, data=[{"input_ids": [1, 2]}] * 8)
    with pytest.raises(ValueError, match="rename the column with the targets to 'labels'"):
        trainer.train()


def test_unknown_keywords_of_the_trainer_are_refused(tmp_path):
    with pytest.raises(TypeError, match="did you mean 'eval_dataset'"):
        Trainer(bag(), TrainingArguments(str(tmp_path)), evaldataset=[])


def test_a_metric_that_is_not_there_is_named(tmp_path):
    trainer = make(
        tmp_path,
        eval_dataset=rows(4),
        eval_strategy="epoch",
        load_best_model_at_end=True,
        metric_for_best_model="f1",
        save_strategy="epoch",
    )
    with pytest.raises(KeyError, match="eval_loss"):
        trainer.train()


def test_tokenizer_is_the_older_name_of_processing_class(tmp_path):
    trainer = Trainer(bag(), TrainingArguments(str(tmp_path)), train_dataset=rows(), tokenizer=PadOnly())
    assert isinstance(trainer.data_collator, DataCollatorWithPadding)
    assert trainer.tokenizer is trainer.processing_class


def test_the_head_can_have_a_learning_rate_of_its_own(tmp_path):
    import formers

    config = formers.BertConfig(
        vocab_size=30, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    model = formers.BertForSequenceClassification(config)
    args = TrainingArguments(output_dir=str(tmp_path), learning_rate=1e-4, head_learning_rate=5e-4)
    trainer = Trainer(model=model, args=args, train_dataset=[{"input_ids": [1, 2], "labels": 0}])
    optimizer = trainer.create_optimizer()
    rate_of = {
        id(parameter): group["lr"] for group in optimizer.param_groups for parameter in group["params"]
    }
    rates = {name: rate_of[id(parameter)] for name, parameter in model.named_parameters()}
    head = {name for name, rate in rates.items() if rate == 5e-4}
    assert head == {
        "classifier.weight",
        "classifier.bias",
        "bert.pooler.dense.weight",
        "bert.pooler.dense.bias",
    }
    assert {rate for name, rate in rates.items() if name not in head} == {1e-4}


def test_a_head_learning_rate_needs_a_model_that_knows_its_head(tmp_path):
    args = TrainingArguments(output_dir=str(tmp_path), head_learning_rate=5e-4)
    trainer = Trainer(model=torch.nn.Linear(2, 2), args=args, train_dataset=[{"x": [1.0, 2.0]}])
    with pytest.raises(ValueError, match="head_parameter_names"):
        trainer.create_optimizer()
