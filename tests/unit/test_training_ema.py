"""The average of the weights along a run: what it is, and who sees it when."""

import pytest
import torch
from torch import nn

from formers import Trainer, TrainerCallback, TrainingArguments
from formers.core.notices import Notice
from formers.training import DataCollatorWithPadding
from formers.training.files import load_weights
from formers.training.optim.ema import EMA
from tests.unit.training_toys import Bag, PadOnly, bag, rows, same


def run(folder, resume=None, callbacks=None, **options):
    defaults = {
        "num_train_epochs": 3,
        "per_device_train_batch_size": 4,
        "save_steps": 3,
        "learning_rate": 0.02,
        "ema_decay": 0.7,
        "disable_tqdm": True,
        "use_cpu": True,
    }
    trainer = Trainer(
        bag(dropout=0.4),
        TrainingArguments(str(folder), **{**defaults, **options}),
        DataCollatorWithPadding(PadOnly()),
        train_dataset=rows(22),
        eval_dataset=rows(6),
        callbacks=callbacks,
    )
    trainer.train(resume_from_checkpoint=resume)
    return trainer


def only(folder, step, target):
    """One of the checkpoints of a run, in a folder of its own."""
    target.mkdir()
    (folder / f"checkpoint-{step}").rename(target / f"checkpoint-{step}")
    return target


class Steps(TrainerCallback):
    """Keeps the weights after every step."""

    def __init__(self):
        self.weights = []

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.weights.append({name: tensor.clone() for name, tensor in model.state_dict().items()})


def averages(history, decay):
    """The average after every step, in float64, from the formula."""
    found = []
    for step, weights in enumerate(history, start=1):
        share = max(1 - decay, 4 / (step + 3))
        before = found[-1] if found else weights
        found.append(
            {name: (1 - share) * before[name].double() + share * weights[name].double() for name in weights}
        )
    return found


def close(model: nn.Module, expected) -> bool:
    return all(
        torch.allclose(t.double(), expected[name], atol=1e-6) for name, t in model.state_dict().items()
    )


def test_the_run_ends_with_the_average_and_trains_on_the_weights(tmp_path):
    steps, plain = Steps(), Steps()
    trainer = run(tmp_path / "averaged", callbacks=[steps])
    run(tmp_path / "plain", callbacks=[plain], ema_decay=None)
    assert all(
        torch.equal(a[name], b[name]) for a, b in zip(steps.weights, plain.weights, strict=True) for name in a
    )
    assert close(trainer.model, averages(steps.weights, 0.7)[-1])
    assert not close(trainer.model, {name: t.double() for name, t in steps.weights[-1].items()})


def test_checkpoints_and_evaluations_have_the_average(tmp_path):
    steps = Steps()
    judged = []

    class Watching(Trainer):
        def prediction_step(self, model, *args, **kwargs):
            judged.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
            return super().prediction_step(model, *args, **kwargs)

    args = TrainingArguments(
        str(tmp_path), max_steps=6, save_steps=3, eval_strategy="steps", eval_steps=6, ema_decay=0.9,
        use_cpu=True, disable_tqdm=True,
    )  # fmt: skip
    trainer = Watching(
        bag(), args, DataCollatorWithPadding(PadOnly()), train_dataset=rows(22), eval_dataset=rows(6),
        callbacks=[steps],
    )  # fmt: skip
    trainer.train()
    expected = averages(steps.weights, 0.9)
    saved = Bag()
    load_weights(saved, tmp_path / "checkpoint-3")
    assert close(saved, expected[2])
    assert all(torch.allclose(tensor.double(), expected[5][name]) for name, tensor in judged[0].items())


@pytest.mark.filterwarnings("ignore:.*no bfloat16 instructions:formers.core.notices.Notice")
@pytest.mark.parametrize("options", [{}, {"bf16_full_eval": True}], ids=["float32", "bfloat16"])
def test_what_is_judged_and_saved_after_a_run_broke_off_is_the_average(tmp_path, options):
    class Broken(Steps):
        def on_step_end(self, args, state, control, **kwargs):
            super().on_step_end(args, state, control, **kwargs)
            if state.global_step == 5:
                raise RuntimeError("the power is gone")

    steps, judged = Broken(), []

    class Watching(Trainer):
        def prediction_step(self, model, *args, **kwargs):
            judged.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
            return super().prediction_step(model, *args, **kwargs)

    args = TrainingArguments(
        str(tmp_path), ema_decay=0.9, learning_rate=0.02, use_cpu=True, disable_tqdm=True, **options
    )
    trainer = Watching(
        bag(), args, DataCollatorWithPadding(PadOnly()), train_dataset=rows(40), eval_dataset=rows(6),
        callbacks=[steps],
    )  # fmt: skip
    with pytest.raises(RuntimeError, match="the power is gone"):
        trainer.train()
    trainer.evaluate()
    trainer.save_model(str(tmp_path / "saved"))
    expected = averages(steps.weights, 0.9)[-1]
    saved = Bag()
    load_weights(saved, tmp_path / "saved")
    assert close(saved, expected)
    assert all(
        torch.allclose(tensor.double(), expected[name].to(tensor.dtype).double(), atol=1e-6)
        for name, tensor in judged[0].items()
    )


@pytest.mark.parametrize("step", [3, 6])
@pytest.mark.filterwarnings("ignore::formers.core.notices.Notice")
def test_a_resumed_run_ends_with_the_same_bits(tmp_path, step):
    whole = run(tmp_path / "whole")
    resumed = run(only(tmp_path / "whole", step, tmp_path / "next"), True)
    assert same(whole.model, resumed.model)


def test_without_averaging_a_run_goes_on_from_the_weights_themselves(tmp_path):
    plain = run(tmp_path / "plain", ema_decay=None)
    run(tmp_path / "averaged")
    with pytest.warns(Notice, match="goes on from the weights themselves"):
        resumed = run(only(tmp_path / "averaged", 3, tmp_path / "next"), True, ema_decay=None)
    assert same(plain.model, resumed.model)


def test_a_checkpoint_without_an_average_starts_one(tmp_path):
    run(tmp_path, max_steps=3, ema_decay=None)
    with pytest.warns(Notice, match="the average of the weights starts there"):
        run(tmp_path, True)


def test_half_precision_weights_are_averaged_in_float32(tmp_path):
    model = nn.Linear(4, 4).bfloat16()
    average = EMA(model, 0.999)
    history = []
    for step in range(1, 60):
        with torch.no_grad():
            model.weight.add_(0.01 * torch.randn(4, 4))
        average.update(step)
        history.append({"weight": model.weight.detach().clone()})
    average.save(tmp_path)
    before = model.weight.detach().clone()
    expected = averages(history, 0.999)[-1]["weight"]
    with average.in_place():
        assert model.weight.dtype is torch.bfloat16
        assert torch.equal(model.weight, expected.float().bfloat16())
        inside = EMA(model, 0.999)
    assert torch.equal(model.weight, before)
    inside.load(tmp_path)
    assert torch.allclose(inside._average["weight"].double(), expected, atol=1e-6)


@pytest.mark.parametrize("decay", [0, 1, -0.5, 1.5])
def test_a_decay_lies_between_0_and_1(tmp_path, decay):
    with pytest.raises(ValueError, match="ema_decay must lie between 0 and 1"):
        TrainingArguments(str(tmp_path), ema_decay=decay)
