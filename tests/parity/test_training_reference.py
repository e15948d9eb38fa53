"""Training beside the reference: fields, schedules, collators, Adafactor, and the losses of a whole run."""

import dataclasses

import numpy as np
import pytest
import torch
import transformers

import formers
from formers import training
from formers.training.choices import OptimizerNames, SchedulerType

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{i}" for i in range(40)), "##ly", "##ing"]


@pytest.mark.parametrize("name", ["TrainingArguments", "Seq2SeqTrainingArguments"])
def test_every_argument_of_the_reference_is_one_of_ours_with_its_default(name):
    theirs, ours = getattr(transformers, name), getattr(formers, name)
    known = {field.name: field for field in dataclasses.fields(ours)}
    for field in dataclasses.fields(theirs):
        assert field.name in known, field.name
        mine = known[field.name]
        if field.default is not dataclasses.MISSING:
            assert mine.default == getattr(field.default, "value", field.default), field.name


def test_every_name_of_the_reference_s_choices_is_known():
    from transformers.training_args import OptimizerNames as TheirOptimizers

    assert {str(name.value) for name in TheirOptimizers} <= {name.value for name in OptimizerNames}
    assert {name.value for name in transformers.SchedulerType} == {name.value for name in SchedulerType}


def test_every_public_method_of_the_reference_s_trainer_is_there():
    def public(cls):
        return {name for name in vars(cls) if not name.startswith("_")}

    # parallelism inside a layer, which is no part of this trainer
    absent = {"get_cp_size", "get_sp_size"}
    internal = {
        "create_accelerator_and_postprocess",
        "set_initial_training_values",
        "get_batch_samples",
        "end",
        "loss_is_scaled_for_ga",
    }
    theirs = {name for name in public(transformers.Trainer) if callable(getattr(transformers.Trainer, name))}
    assert theirs - absent - internal <= set(dir(formers.Trainer))
    assert public(transformers.TrainerCallback) <= public(formers.TrainerCallback)
    for record in ("TrainerState", "TrainerControl"):
        fields = {field.name for field in dataclasses.fields(getattr(transformers, record))}
        assert fields <= {
            field.name
            for field in dataclasses.fields(getattr(formers, record, None) or getattr(training, record))
        }


SCHEDULES = [
    ("linear", {}),
    ("cosine", {}),
    ("cosine", {"num_cycles": 1.5}),
    ("cosine_with_restarts", {"num_cycles": 3}),
    ("polynomial", {"power": 2.0, "lr_end": 1e-5}),
    ("constant", {}),
    ("constant_with_warmup", {}),
    ("inverse_sqrt", {}),
    ("inverse_sqrt", {"timescale": 30}),
    ("cosine_with_min_lr", {"min_lr": 1e-5}),
    ("cosine_with_min_lr", {"min_lr_rate": 0.1}),
    ("cosine_warmup_with_min_lr", {"min_lr_rate": 0.1}),
    ("cosine_warmup_with_min_lr", {"min_lr_rate": 0.1, "warmup_lr_rate": 0.2}),
    ("warmup_stable_decay", {"num_decay_steps": 9}),
    (
        "warmup_stable_decay",
        {"num_decay_steps": 9, "warmup_type": "cosine", "decay_type": "1-sqrt", "min_lr_ratio": 0.1},
    ),
    ("warmup_stable_decay", {"num_decay_steps": 9, "warmup_type": "1-sqrt", "decay_type": "linear"}),
]


def rates(library, name, kwargs, warmup, total):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    schedule = library.get_scheduler(name, optimizer, warmup, total, dict(kwargs))
    found = []
    for _ in range(total + 5):
        found.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return found


@pytest.mark.parametrize(("name", "kwargs"), SCHEDULES)
@pytest.mark.parametrize("warmup", [0, 7])
def test_rates_are_those_of_the_reference(name, kwargs, warmup):
    ours = rates(formers, name, kwargs, warmup, 40)
    assert ours == pytest.approx(rates(transformers, name, kwargs, warmup, 40), abs=1e-12)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"smooth": True, "window_size": 3},
        {"mode": "max", "cooldown": 2, "warmup": 1},
        {"threshold_mode": "rel", "threshold": 0.01, "reset_start": 3},
    ],
)
def test_the_greedy_schedule_moves_as_the_reference_s(options):
    def run(library):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
        schedule = library.get_scheduler(
            "greedy", optimizer, scheduler_specific_kwargs={"patience": 2, "min_lr": 0.09, **options}
        )
        found = []
        for value in values:
            schedule.step(value)
            found.append(optimizer.param_groups[0]["lr"])
        return found

    draw = np.random.default_rng(0)
    values = [*np.linspace(3, 1, 20), *(1 + draw.random(60)), *np.linspace(1, 0.2, 20)]
    assert run(formers) == pytest.approx(run(transformers), abs=1e-12)


@pytest.mark.parametrize(
    "options",
    [
        {"lr": 0.01, "relative_step": False, "scale_parameter": False},
        {},
        {"beta1": 0.9, "weight_decay": 0.1},
        {"warmup_init": True},
    ],
)
def test_adafactor_steps_as_the_reference_s(options):
    torch.manual_seed(0)
    start = [torch.randn(4, 5), torch.randn(6)]
    gradients = [[torch.randn_like(p) for p in start] for _ in range(5)]
    results = []
    for kind in (training.Adafactor, transformers.Adafactor):
        parameters = [torch.nn.Parameter(p.clone()) for p in start]
        optimizer = kind(parameters, **options)
        for step in gradients:
            for parameter, gradient in zip(parameters, step, strict=True):
                parameter.grad = gradient.clone()
            optimizer.step()
        results.append(parameters)
    for mine, theirs in zip(*results, strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6)


def test_adafactor_tells_the_rates_that_it_sets_as_the_reference_s_does():
    from transformers.optimization import AdafactorSchedule

    told = []
    for kind, schedule in (
        (training.Adafactor, training.AdafactorSchedule),
        (transformers.Adafactor, AdafactorSchedule),
    ):
        parameter = torch.nn.Parameter(torch.ones(4, 5))
        optimizer = kind([parameter], scale_parameter=False, warmup_init=True)
        rates = schedule(optimizer, initial_lr=0.5)
        told.append([rates.get_last_lr()])
        for _ in range(3):
            parameter.grad = torch.ones(4, 5)
            optimizer.step()
            rates.step()
            told[-1].append(rates.get_last_lr())
    assert told[0] == [pytest.approx(one) for one in told[1]]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """One WordPiece tokenizer, read by the reference; its padding rules serve both sides."""
    from tokenizers import Tokenizer, models

    folder = tmp_path_factory.mktemp("tokenizer")
    raw = Tokenizer(models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    raw.save(str(folder / "tokenizer.json"))
    special = {f"{n}_token": f"[{n.upper()}]" for n in ("pad", "unk", "cls", "sep", "mask")}
    return transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), **special)


def examples(labels=lambda n: 1):
    return [
        {"input_ids": list(range(5, 5 + n)), "attention_mask": [1] * n, "labels": labels(n)}
        for n in (3, 7, 5)
    ]


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize(
    ("name", "rows", "options"),
    [
        ("DataCollatorWithPadding", examples(), {}),
        ("DataCollatorWithPadding", examples(), {"pad_to_multiple_of": 8}),
        ("DataCollatorWithPadding", examples(), {"padding": "max_length", "max_length": 12}),
        ("DataCollatorForTokenClassification", examples(lambda n: [n] * n), {}),
        ("DataCollatorForSeq2Seq", examples(lambda n: [n] * (10 - n)), {}),
        ("DataCollatorForSeq2Seq", examples(lambda n: [n] * (10 - n)), {"pad_to_multiple_of": 4}),
        ("DataCollatorForLanguageModeling", examples(), {"mlm": False}),
    ],
)
def test_batches_are_those_of_the_reference(tokenizer, side, name, rows, options):
    tokenizer.padding_side = side
    if name == "DataCollatorForLanguageModeling":
        rows = [{key: row[key] for key in ("input_ids", "attention_mask")} for row in rows]
    ours = getattr(formers, name)(tokenizer, **options)([dict(row) for row in rows])
    theirs = getattr(transformers, name)(tokenizer, **options)([dict(row) for row in rows])
    assert set(ours) == set(theirs)
    for key in theirs:
        assert torch.equal(ours[key], theirs[key]), key
        assert ours[key].dtype == theirs[key].dtype, key


def test_multiple_choice_and_flattened_batches_are_those_of_the_reference(tokenizer):
    tokenizer.padding_side = "right"
    rows = [
        {"input_ids": [[5, 6], [7, 8, 9]], "attention_mask": [[1, 1], [1, 1, 1]], "labels": i} for i in (0, 1)
    ]
    pairs = [
        (
            training.DataCollatorForMultipleChoice(tokenizer),
            transformers.data.data_collator.DataCollatorForMultipleChoice(tokenizer),
            rows,
        )
    ]
    flat = {"return_flash_attn_kwargs": True, "return_seq_idx": True}
    pairs.append(
        (
            training.DataCollatorWithFlattening(**flat),
            transformers.DataCollatorWithFlattening(**flat),
            [{"input_ids": [5, 6, 7]}, {"input_ids": [8, 9]}],
        )
    )
    for mine, theirs, batch in pairs:
        ours, expected = mine([dict(row) for row in batch]), theirs([dict(row) for row in batch])
        assert set(ours) == set(expected)
        for key, value in expected.items():
            assert torch.equal(torch.as_tensor(ours[key]), torch.as_tensor(value)), key


@pytest.mark.parametrize("return_tensors", ["pt", "np"])
def test_batches_for_permutation_are_of_the_reference_s_form(tokenizer, return_tensors):
    """What is drawn differs; names, shapes, kinds, and what holds for every draw do not."""
    # as long as the widest context that a span of five is drawn from: every draw hides something of it
    rows = [{"input_ids": [*range(5, 35)]}, {"input_ids": [*range(10, 40)]}]
    original = np.array([row["input_ids"] for row in rows])
    batches = [
        library.DataCollatorForPermutationLanguageModeling(tokenizer, return_tensors=return_tensors)(
            [dict(row) for row in rows]
        )
        for library in (formers, transformers)
    ]
    assert {k: (v.shape, v.dtype) for k, v in batches[0].items()} == {
        k: (v.shape, v.dtype) for k, v in batches[1].items()
    }
    for batch in batches:
        found = {name: np.asarray(value) for name, value in batch.items()}
        targets = found["labels"] != -100
        assert targets.any(1).all()
        assert (found["input_ids"] == np.where(targets, tokenizer.mask_token_id, original)).all()
        assert (found["labels"][targets] == original[targets]).all()
        assert (found["target_mapping"] == np.eye(30)).all()
        for row, mask in zip(targets, found["perm_mask"].astype(bool), strict=True):
            assert not mask[:, ~row].any()
            assert mask[~row][:, row].all()
            among = mask[row][:, row]
            assert sorted((~among).sum(1).tolist()) == list(range(len(among)))
            first = np.flatnonzero(row) < 15
            assert among[first][:, ~first].all()


def test_a_run_takes_the_same_batches_and_has_the_same_losses(tmp_path):
    """Both trainers draw the order from the seed; without dropout the losses agree step by step.

    Without accumulation: there the reference adds up the means of a sequence classifier's batches.
    """
    sizes = {
        "vocab_size": 60,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "num_labels": 3,
    }
    torch.manual_seed(0)
    transformers.BertForSequenceClassification(transformers.BertConfig(**sizes)).save_pretrained(
        tmp_path / "start"
    )
    draw = np.random.default_rng(0)
    rows = [
        {"input_ids": draw.integers(1, 60, draw.integers(3, 15)).tolist(), "label": int(draw.integers(3))}
        for _ in range(42)
    ]

    class PadOnly:
        pad_token_id, padding_side, model_input_names = 0, "right", ("input_ids", "attention_mask")

    losses = {}
    for library in (formers, transformers):
        model = library.BertForSequenceClassification.from_pretrained(str(tmp_path / "start"))
        args = library.TrainingArguments(
            str(tmp_path / library.__name__),
            per_device_train_batch_size=8,
            num_train_epochs=3,
            learning_rate=1e-3,
            warmup_steps=2,
            weight_decay=0.01,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
            seed=3,
        )
        collate = formers.DataCollatorWithPadding(PadOnly())
        trainer = library.Trainer(model, args, collate, train_dataset=rows, eval_dataset=rows)
        trainer.train()
        log = [entry for entry in trainer.state.log_history if "loss" in entry]
        losses[library] = (log, trainer.evaluate()["eval_loss"], trainer.predict(rows).predictions)
    mine, theirs = losses[formers], losses[transformers]
    for key in ("loss", "grad_norm", "learning_rate", "epoch"):
        assert [e[key] for e in mine[0]] == pytest.approx([float(e[key]) for e in theirs[0]], abs=1e-5), key
    assert mine[1] == pytest.approx(theirs[1], abs=1e-5)
    assert np.allclose(mine[2], theirs[2], atol=1e-5)
