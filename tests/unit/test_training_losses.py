"""However a loss is written, the gradient of a window of small batches is that of the one large batch."""

import functools
import types

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import formers
from formers import BertConfig, BertForSequenceClassification, Trainer, TrainerCallback, TrainingArguments
from formers.training import DataCollatorWithPadding
from formers.training.items import ItemCount
from tests.unit.training_toys import Bag, PadOnly, bag, rows


def bert():
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return BertForSequenceClassification(BertConfig(vocab_size=50, num_labels=3, **sizes, **still))


def gradient(folder, kind, size, accumulation, make=bag, patch=None, data=None, **options):
    """Of the first optimizer step, as one vector; and the loss that was logged for it."""
    model, found = make(), []

    class Grab(TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, **kwargs):
            found.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))

    args = TrainingArguments(
        str(folder), per_device_train_batch_size=size, gradient_accumulation_steps=accumulation, max_steps=1,
        max_grad_norm=0, learning_rate=0.0, optim="sgd", logging_steps=1, save_strategy="no", use_cpu=True,
        disable_tqdm=True,
    )  # fmt: skip
    trainer = kind(
        model, args, DataCollatorWithPadding(PadOnly()), train_dataset=rows(8) if data is None else data,
        callbacks=[Grab], **options,
    )  # fmt: skip
    if patch is not None:
        trainer.compute_loss = types.MethodType(patch, trainer)
    trainer.train()
    return found[0], trainer.state.log_history[0]["loss"]


def right(outputs, labels, count=None):
    if count is None:
        return F.cross_entropy(outputs.logits, labels)
    return F.cross_entropy(outputs.logits, labels, reduction="sum") / count


def judged(self, model, inputs, back, loss):
    outputs = model(**inputs)
    value = loss(outputs, inputs["labels"])
    return (value, outputs) if back else value


class Divides(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        return judged(self, model, inputs, return_outputs, lambda o, y: right(o, y, num_items_in_batch))


class DividesAndCallsSuper(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        super().is_world_process_zero()
        return judged(self, model, inputs, return_outputs, lambda o, y: right(o, y, num_items_in_batch))


class Mentions(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        assert num_items_in_batch is None or num_items_in_batch > 0
        self.seen = f"{num_items_in_batch}"
        return judged(self, model, inputs, return_outputs, right)


class Counts(Trainer):
    total = 0

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        self.total += int(num_items_in_batch)
        return judged(self, model, inputs, return_outputs, right)


class ReadsAndDivides(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        count = num_items_in_batch.item()
        return judged(self, model, inputs, return_outputs, lambda o, y: right(o, y, count))


class Ignores(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        return judged(self, model, inputs, return_outputs, right)


class Older(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False):
        return judged(self, model, inputs, return_outputs, right)


class Helper(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
        return judged(self, model, inputs, return_outputs, lambda o, y: right(o, y, *kwargs.values()))


class Star(Trainer):
    def compute_loss(self, model, inputs, *args, **kwargs):
        return Divides.compute_loss(self, model, inputs, *args, **kwargs)


class Child(Divides):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)


class FallsBack(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        if "labels" not in inputs:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        return Divides.compute_loss(self, model, inputs, return_outputs, num_items_in_batch)


class Reciprocal(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        share = 1 / num_items_in_batch.float().clamp(min=1)
        total = lambda o, y: F.cross_entropy(o.logits, y, reduction="sum") * share  # noqa: E731
        return judged(self, model, inputs, return_outputs, total)


class TakesOut(Trainer):
    """Takes the labels out of its inputs, and reads the number: it has to be tried out."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        labels = inputs.pop("labels")
        return F.cross_entropy(model(**inputs).logits, labels, reduction="sum") / float(num_items_in_batch)


OVERRIDES = [
    Trainer, Divides, DividesAndCallsSuper, Mentions, Counts, ReadsAndDivides, Ignores, Older, Helper, Star,
    Child, FallsBack, Reciprocal, TakesOut,
]  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Of one batch of eight, by torch's own mean."""
    return gradient(tmp_path_factory.mktemp("whole"), Older, 8, 1)


def close(found, whole):
    assert torch.allclose(found[0], whole[0], atol=1e-6)
    assert found[1] == pytest.approx(whole[1], abs=1e-5)


@pytest.mark.parametrize("kind", OVERRIDES, ids=lambda kind: kind.__name__)
def test_an_override_of_compute_loss(tmp_path, whole, kind):
    close(gradient(tmp_path, kind, 2, 4), whole)


def test_one_that_is_patched_on_the_object(tmp_path, whole):
    close(gradient(tmp_path, Trainer, 2, 4, patch=Divides.compute_loss), whole)


def divides(outputs, labels, num_items_in_batch=None):
    return right(outputs, labels, num_items_in_batch)


def means(outputs, labels, num_items_in_batch=None):
    return right(outputs, labels)


class Mean:
    def __call__(self, outputs, labels, num_items_in_batch=None):
        return right(outputs, labels)


class MeanModule(nn.Module):
    def forward(self, outputs, labels, num_items_in_batch=None):
        return right(outputs, labels)


@pytest.mark.parametrize(
    "function",
    [
        divides,
        means,
        lambda *args, **kwargs: divides(*args, **kwargs),
        Mean(),
        MeanModule(),
        functools.partial(means),
        functools.partial(divides),
    ],
    ids=["divides", "mean", "wrapper", "object", "module", "partial", "partial-divides"],
)
def test_a_loss_function_of_ones_own(tmp_path, whole, function):
    close(gradient(tmp_path, Trainer, 2, 4, compute_loss_func=function), whole)


class Passes(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
        outputs = model(**inputs, **kwargs)
        return (outputs.loss, outputs) if return_outputs else outputs.loss


class TakesCount(Bag):
    """A model that takes the number and leaves it alone."""

    def forward(self, input_ids, attention_mask=None, labels=None, num_items_in_batch=None):
        return super().forward(input_ids, attention_mask, labels)


@pytest.mark.parametrize("kind", [Trainer, Passes])
def test_the_number_goes_on_to_the_model(tmp_path, kind):
    close(gradient(tmp_path, kind, 2, 4, bert), gradient(tmp_path, Trainer, 8, 1, bert))


def test_a_model_that_takes_the_number_need_not_divide(tmp_path, whole):
    torch.manual_seed(0)
    taking = TakesCount()
    taking.load_state_dict(bag().state_dict())
    close(gradient(tmp_path, Trainer, 2, 4, lambda: taking), whole)


@pytest.mark.parametrize(("said", "factor"), [(False, 1.0), (True, 4.0)])
def test_what_the_class_says_counts(tmp_path, whole, said, factor):
    class Says(Ignores):
        loss_is_normalised = said

    assert torch.allclose(gradient(tmp_path, Says, 2, 4)[0], whole[0] * factor, atol=1e-6)


def test_trying_out_changes_nothing_but_the_answer(tmp_path):
    """Dropout draws and batch statistics go on as if the loss had been computed once."""

    class Normed(Bag):
        def __init__(self):
            super().__init__(dropout=0.4)
            self.norm = nn.BatchNorm1d(8)

    def normed():
        torch.manual_seed(0)
        return Normed()

    models = []
    for kind in (Ignores, Counts):
        models.append(normed())
        gradient(tmp_path, kind, 4, 2, lambda: models[-1])
    pairs = zip(models[0].state_dict().values(), models[1].state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


# ---- training_step -------------------------------------------------------------------------------


class Step(Trainer):
    def training_step(self, model, inputs, num_items_in_batch=None):
        model.train()
        inputs = self._prepare_inputs(inputs)
        with self.compute_loss_context_manager():
            loss = self.compute_loss(model, inputs)
        self.accelerator.backward(loss)
        return loss.detach() / self.args.gradient_accumulation_steps


class OlderStep(Trainer):
    def training_step(self, model, inputs):
        return Step.training_step(self, model, inputs)


class DividedStep(Trainer):
    def training_step(self, model, inputs, num_items_in_batch=None):
        loss = self.compute_loss(model, self._prepare_inputs(inputs)) / self.args.gradient_accumulation_steps
        self.accelerator.backward(loss)
        return loss.detach()


class DividedBackward(Trainer):
    def training_step(self, model, inputs, num_items_in_batch=None):
        loss = self.compute_loss(model, self._prepare_inputs(inputs)) / self.args.gradient_accumulation_steps
        loss.backward()
        return loss.detach()


class CountedStep(Divides):
    def training_step(self, model, inputs, num_items_in_batch=None):
        loss = self.compute_loss(model, self._prepare_inputs(inputs), num_items_in_batch=num_items_in_batch)
        self.accelerator.backward(loss)
        return loss.detach()


class CallsSuper(Trainer):
    def training_step(self, *args, **kwargs):
        return super().training_step(*args, **kwargs)


@pytest.mark.parametrize("kind", [Step, OlderStep, DividedStep, DividedBackward, CountedStep, CallsSuper])
@pytest.mark.parametrize("accumulation", [2, 4])
def test_an_override_of_training_step(tmp_path, whole, kind, accumulation):
    close(gradient(tmp_path, kind, 8 // accumulation, accumulation), whole)


def test_a_partial_window_is_weighed_by_its_items(tmp_path):
    data = rows(6)
    whole = gradient(tmp_path, Older, 6, 1, data=data)
    close(gradient(tmp_path, Ignores, 2, 4, data=data), whole)
    assert torch.allclose(gradient(tmp_path, Step, 2, 4, data=data)[0], whole[0], atol=1e-6)


class Twice(Trainer):
    def training_step(self, model, inputs, num_items_in_batch=None):
        loss = super().training_step(model, dict(inputs), num_items_in_batch)
        self.accelerator.backward(self.compute_loss(model, dict(inputs)))  # as adversarial training does
        return loss


def test_each_of_several_backward_passes_is_weighed(tmp_path, whole):
    close(gradient(tmp_path, Twice, 2, 4), (2 * whole[0], whole[1]))


class OwnLossAndStep(Ignores):
    training_step = OlderStep.training_step


def test_an_override_of_training_step_has_a_loss_of_its_own(tmp_path, whole):
    close(gradient(tmp_path, OwnLossAndStep, 2, 4), whole)


class UndividedOwnLoss(Ignores):
    def training_step(self, model, inputs, num_items_in_batch=None):
        loss = self.compute_loss(model, self._prepare_inputs(inputs))
        loss.backward()
        return loss.detach()


class UndividedSecond(Trainer):
    def training_step(self, model, inputs, num_items_in_batch=None):
        loss = super().training_step(model, dict(inputs), num_items_in_batch)
        self.compute_loss(model, dict(inputs)).backward()
        return loss


class Penalty(Trainer):
    def training_step(self, model, inputs, num_items_in_batch=None):
        loss = super().training_step(model, inputs, num_items_in_batch)
        self.accelerator.backward(sum(p.square().sum() for p in model.parameters()))
        return loss


class Undivided(Trainer):
    def training_step(self, model, inputs, num_items_in_batch=None):
        loss = self.compute_loss(model, self._prepare_inputs(inputs))
        loss.backward()
        return loss.detach()


class Changed(Trainer):
    def training_step(self, model, inputs, num_items_in_batch=None):
        loss = self.compute_loss(model, self._prepare_inputs(inputs)) + 7.0
        self.accelerator.backward(loss)
        return loss.detach()


@pytest.mark.parametrize("kind", [Undivided, Changed, UndividedOwnLoss, UndividedSecond, Penalty])
def test_a_gradient_whose_size_is_not_known_is_refused(tmp_path, whole, kind):
    with pytest.raises(RuntimeError, match=r"super\(\)\.training_step.*loss_is_normalised = True"):
        gradient(tmp_path, kind, 2, 4)
    gradient(tmp_path, kind, 8, 1)


# ---- no loss -------------------------------------------------------------------------------------


class Returns(Bag):
    make = None

    def forward(self, input_ids, attention_mask=None, labels=None):
        outputs = super().forward(input_ids, attention_mask, labels)
        return type(self).make(outputs.logits, outputs.loss)


@pytest.mark.parametrize(
    "make",
    [
        lambda logits, loss: logits,
        lambda logits, loss: (logits,),
        lambda logits, loss: [logits, logits],
        lambda logits, loss: (logits, loss),
        lambda logits, loss: (None, logits),
        lambda logits, loss: (1.0, logits),
        lambda logits, loss: (logits.sum(-1), logits),
        lambda logits, loss: {"logits": logits},
    ],
)
def test_logits_are_not_taken_for_a_loss(tmp_path, make):
    kind = type("Kind", (Returns,), {"make": staticmethod(make)})
    with pytest.raises(ValueError, match="Kind returned no loss"):
        gradient(tmp_path, Trainer, 2, 4, kind)


def test_a_scalar_that_comes_first_is_a_loss(tmp_path, whole):
    kind = type("Kind", (Returns,), {"make": staticmethod(lambda logits, loss: (loss, logits))})

    def made():
        model = kind()
        model.load_state_dict(bag().state_dict())
        return model

    close(gradient(tmp_path, Trainer, 2, 4, made), whole)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda outputs: float(outputs.loss.detach()), "returned "),
        (lambda outputs: outputs.loss.detach(), r"a tensor \[\] without a gradient"),
        (lambda outputs: outputs.logits.sum(-1), r"a tensor \[2\]"),
        (lambda outputs: None, "returned None"),
        (lambda outputs: (outputs.loss, outputs), r"returned \(a tensor"),
    ],
)
def test_what_no_gradient_can_be_made_of_is_refused_by_what_it_is(tmp_path, make, said):
    class Own(Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            return make(model(**inputs))

    with pytest.raises(ValueError, match=f"Own.compute_loss.*{said}"):
        gradient(tmp_path, Own, 2, 4)


def test_a_loss_of_one_element_is_a_loss(tmp_path, whole):
    class Own(Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            return model(**inputs).loss.reshape(1)

    close(gradient(tmp_path, Own, 2, 4), whole)


def test_a_loss_that_is_judged_comes_with_its_outputs(tmp_path):
    class Own(Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            return model(**inputs).loss

    args = TrainingArguments(str(tmp_path), use_cpu=True, disable_tqdm=True)
    with pytest.raises(
        ValueError, match=r"Own.compute_loss.*returned a tensor \[\]: return \(loss, outputs\)"
    ):
        Own(bag(), args, DataCollatorWithPadding(PadOnly()), eval_dataset=rows(2)).evaluate()


# ---- the number ----------------------------------------------------------------------------------


def test_printing_and_comparing_is_no_use_and_arithmetic_is_followed():
    loss = torch.tensor(6.0, requires_grad=True)
    count = ItemCount.of(3)
    assert (str(int(count.plain)), f"{count:d}", bool(count > 2), max(count, 1) is count) == (
        "3",
        "3",
        True,
        True,
    )
    assert not count.use.divided
    assert not count.use.unclear
    assert float((loss / count).detach()) == 2.0
    assert count.use.divided
    for use in (
        lambda count: loss / (count * 2).to("cpu"),
        lambda count: loss * (1 / count),
        lambda count: torch.div(loss, torch.clamp(count, min=1)),
    ):
        count = ItemCount.of(3)
        use(count)
        assert count.use.divided
        assert not count.use.unclear
    for use in (
        int,
        float,
        lambda count: torch.ones(2) / count,
        lambda count: count / loss,
        lambda c: loss * c,
    ):
        count = ItemCount.of(3)
        use(count)
        assert not count.use.divided
        assert count.use.unclear


def test_a_loss_of_packed_rows_is_that_of_padded_ones_and_so_are_its_gradients():
    config = formers.LlamaConfig(
        vocab_size=30, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24
    )
    torch.manual_seed(0)
    model = formers.LlamaForCausalLM(config)
    ids = torch.arange(3, 15).view(2, 6)
    for mask in ([1, 1, 1, 1, 0, 0], [0, 0, 1, 1, 1, 1]):  # on the left, a place without a row has a label
        mask = torch.tensor([mask, [1] * 6])
        labels = ids.masked_fill(mask == 0, -100)
        out = model(input_ids=ids, attention_mask=mask, labels=labels)
        logits = model(input_ids=ids, attention_mask=mask).logits
        torch.testing.assert_close(out.logits, logits)
        flat = logits[:, :-1].reshape(-1, 30), labels[:, 1:].reshape(-1)
        expected = torch.nn.functional.cross_entropy(*flat)
        torch.testing.assert_close(out.loss, expected)
        parameters = list(model.parameters())
        torch.testing.assert_close(
            torch.autograd.grad(out.loss, parameters), torch.autograd.grad(expected, parameters)
        )
