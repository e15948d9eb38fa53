"""Training arguments: every spelling understood, every contradiction named, nothing swallowed."""

import dataclasses
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import formers
from formers import Seq2SeqTrainingArguments, TrainingArguments
from formers.core.notices import Notice
from formers.training.arguments.backends import tf32
from formers.training.processes import make_accelerator


def test_older_spellings_mean_the_same():
    args = TrainingArguments(
        "out",
        evaluation_strategy="epoch",
        per_gpu_train_batch_size=4,
        no_cuda=True,
        warmup_ratio=0.1,
        group_by_length=True,
        include_inputs_for_metrics=True,
        push_to_hub_token="secret",
        adafactor=True,
        split_batches=True,
    )
    assert args.eval_strategy == args.evaluation_strategy == "epoch"
    assert args.per_device_train_batch_size == 4
    assert args.use_cpu
    assert args.no_cuda
    assert args.get_warmup_steps(55) == 6
    assert args.train_sampling_strategy == "group_by_length"
    assert args.group_by_length
    assert args.include_for_metrics == ["inputs"]
    assert args.hub_token == "secret"
    assert args.optim == "adafactor"
    assert args.accelerator_config == {"split_batches": True}


@pytest.mark.parametrize(("written", "meant"), [("evalution_strategy", "evaluation_strategy"), ("lr", None)])
def test_an_unknown_keyword_is_refused_with_a_suggestion(written, meant):
    with pytest.raises(TypeError, match=f"'{written}'" + (f"; did you mean '{meant}'" if meant else "")):
        TrainingArguments("out", **{written: 1})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fp16": True, "bf16": True}, "contradict"),
        ({"load_best_model_at_end": True}, "eval_strategy='epoch'"),
        (
            {"load_best_model_at_end": True, "eval_strategy": "epoch", "save_strategy": "steps"},
            "leave save_strategy out",
        ),
        (
            {"load_best_model_at_end": True, "eval_strategy": "steps", "eval_steps": 20, "save_steps": 30},
            "multiple of eval_steps",
        ),
        ({"use_liger_kernel": True}, "leave it out"),
        ({"past_index": 2}, "not available"),
        ({"tpu_num_cores": 8}, "TPUs"),
        ({"warmup_ratio": 1.5}, "between 0 and 1"),
        ({"lr_scheduler_type": "reduce_lr_on_plateau"}, "set eval_strategy"),
        ({"fsdp": True, "deepspeed": "x.json"}, "contradict"),
        ({"optim": "adamw_troch"}, "did you mean 'adamw_torch'"),
        ({"eval_strategy": "epochs"}, "did you mean 'epoch'"),
        ({"include_for_metrics": ["logits"]}, "'inputs' and 'loss'"),
        ({"dataloader_prefetch_factor": 2}, "dataloader_num_workers"),
    ],
)
def test_contradictions_and_impossible_wishes_say_why(options, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        TrainingArguments("out", **options)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"per_device_train_batch_size": 2.5}, "must be a whole number, got 2.5"),
        ({"per_device_train_batch_size": True}, "must be a whole number, got True"),
        ({"max_steps": float("inf")}, "must be a whole number"),
        ({"num_train_epochs": float("inf")}, "must be finite and not negative, got inf"),
        ({"dataloader_num_workers": -1}, "must not be negative, got -1"),
        ({"seed": -1}, "must not be negative, got -1"),
        ({"bf16": "maybe"}, "is True or False, got 'maybe'"),
        ({"bf16": 3}, "is True or False, got 3"),
        ({"learning_rate": float("nan")}, "must be a number, got nan"),
        ({"adam_beta1": 2}, "must be in [0, 1), got 2"),
        ({"adam_beta2": 1.0}, "must be in [0, 1), got 1.0"),
        ({"parallelism_config": 3}, "must be an accelerate.ParallelismConfig, got 3"),
        ({"lr_scheduler_kwargs": 3}, "must be a dict of keywords, got 3"),
    ],
)
def test_values_that_cannot_work_are_refused_where_they_are_given(option, words):
    with pytest.raises(ValueError, match=re.escape(f"{next(iter(option))} {words}")):
        TrainingArguments("out", **option)


def test_numbers_and_switches_that_mean_what_is_wanted_are_taken():
    args = TrainingArguments("out", max_steps=1e3, seed=np.int64(3), use_cpu="yes", do_eval=1)
    assert (args.max_steps, type(args.max_steps), args.seed) == (1000, int, 3)
    assert args.use_cpu is args.do_eval is True


def test_two_lengths_of_warmup_are_noticed():
    with pytest.warns(Notice, match="warmup_ratio=0.2 has no effect beside warmup_steps=0.1"):
        args = TrainingArguments("out", warmup_steps=0.1, warmup_ratio=0.2)
    assert args.get_warmup_steps(100) == 10


def test_older_spellings_see_what_was_given_by_place():
    args = TrainingArguments("runs/out", push_to_hub_organization="acme")
    assert (args.hub_model_id, args.output_dir) == ("acme/out", "runs/out")
    with pytest.raises(TypeError, match="multiple values"):
        TrainingArguments("out", output_dir="other")
    with pytest.raises(TypeError, match="which mean the same"):
        TrainingArguments("out", 8, per_gpu_train_batch_size=4)


@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is a GPU here, on which fp16 works")
def test_half_precision_on_a_cpu_names_the_way_out():
    with pytest.raises(ValueError, match="bf16=True"):
        TrainingArguments("out", fp16=True)


def test_saving_follows_evaluation_when_the_best_model_is_wanted():
    args = TrainingArguments("out", eval_strategy="epoch", load_best_model_at_end=True)
    assert args.save_strategy == "epoch"
    assert args.metric_for_best_model == "loss"
    assert args.greater_is_better is False
    args = TrainingArguments("out", eval_strategy="steps", eval_steps=30, load_best_model_at_end=True)
    assert (args.save_strategy, args.save_steps) == ("steps", 30)
    assert TrainingArguments("out", metric_for_best_model="f1").greater_is_better is True


@pytest.mark.parametrize(
    "options", [{"overwrite_output_dir": True}, {"use_ipex": True}, {"jit_mode_eval": True}]
)
def test_a_wish_without_effect_is_noticed(options):
    with pytest.warns(Notice, match="no effect"):
        TrainingArguments("out", **options)


def test_arguments_survive_json_pickle_and_replace(tmp_path):
    args = TrainingArguments(
        "out", evaluation_strategy="epoch", load_best_model_at_end=True, hub_token="secret"
    )
    (tmp_path / "args.json").write_text(args.to_json_string())
    again = TrainingArguments.from_json_file(tmp_path / "args.json")
    assert "secret" not in args.to_json_string()
    assert dataclasses.replace(again, hub_token="secret") == args
    assert pickle.loads(pickle.dumps(args)) == args


def test_subclasses_understand_every_spelling_too():
    @dataclasses.dataclass
    class Mine(TrainingArguments):
        flavour: str = "plain"

    assert Mine("out", evaluation_strategy="epoch", flavour="sour").eval_strategy == "epoch"
    assert Seq2SeqTrainingArguments("out", predict_with_generate=True, no_cuda=True).predict_with_generate


def test_no_field_is_silently_ignored():
    """Each field is read somewhere beyond its definition and its setter."""
    folder = Path(formers.__file__).parent / "training"
    own = (folder / "arguments" / "base.py").read_text()
    places = list(folder.rglob("*.py"))
    code = "\n".join(
        p.read_text()
        for p in places
        if p.parent.name != "arguments" or p.name not in ("table.py", "setters.py", "base.py")
    )
    # flags for people's scripts, read by nothing here, as in the ecosystem
    scripts = {"do_train", "do_predict", "resume_from_checkpoint", "local_rank"}
    for field in dataclasses.fields(Seq2SeqTrainingArguments):
        read = re.search(rf"\b{field.name}\b", code) or len(re.findall(rf"self\.{field.name}\b", own)) > 0
        assert read or field.name in scripts, f"nothing reads {field.name}"


@pytest.mark.parametrize(("given", "steps"), [(7, 7), (0.25, 25), (0, 0)])
def test_warmup_is_steps_or_a_share(given, steps):
    assert TrainingArguments("out", warmup_steps=given).get_warmup_steps(100) == steps


@pytest.mark.parametrize("wanted", [False, None])
def test_arguments_switch_tf32_for_a_block_and_not_for_the_process(wanted):
    def found():
        return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32

    def fail_within():
        with tf32(args):
            seen.append(found())
            raise KeyError

    before, seen = found(), []
    args = TrainingArguments("out", tf32=wanted)
    assert found() == before
    with pytest.raises(KeyError):
        fail_within()
    assert seen == [before if wanted is None else (wanted, wanted)]
    assert found() == before


def test_the_chained_setters_set_fields_by_shorter_names():
    args = TrainingArguments("out").set_training(batch_size=3, num_epochs=2, gradient_checkpointing=True)
    assert (args.do_train, args.per_device_train_batch_size, args.num_train_epochs) == (True, 3, 2)
    assert args.gradient_checkpointing
    args.set_evaluate("steps", 20, loss_only=True).set_logging(level="info").set_optimizer(
        beta1=0.8, args="x=1"
    )
    assert (args.eval_strategy, args.eval_steps, args.prediction_loss_only) == ("steps", 20, True)
    assert (args.log_level, args.optim, args.adam_beta1, args.optim_args) == (
        "info",
        "adamw_torch",
        0.8,
        "x=1",
    )
    args.set_push_to_hub("me/it", token="secret").set_dataloader(num_workers=2, sampler_seed=5)
    assert (args.push_to_hub, args.hub_model_id, args.hub_token) == (True, "me/it", "secret")
    assert (args.dataloader_num_workers, args.data_seed) == (2, 5)
    with pytest.raises(ValueError, match="save_steps"):
        args.set_save(steps=0)
    with pytest.raises(TypeError, match="unexpected keyword"):
        args.set_save(every=3)


def test_deepspeed_is_refused_with_what_does_the_same():
    arguments = TrainingArguments("out", deepspeed={"zero_optimization": {"stage": 3}}, use_cpu=True)
    with pytest.raises(ValueError, match="fsdp=True shards"):
        make_accelerator(arguments)


def test_a_class_of_ones_own_may_leave_the_ratio_of_warm_up_out(tmp_path):
    args = TrainingArguments(output_dir=str(tmp_path), warmup_steps=0.25)
    args.warmup_ratio = None
    assert args.get_warmup_steps(8) == 2
    args.warmup_steps = 0
    assert args.get_warmup_steps(8) == 0
