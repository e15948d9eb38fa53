"""Streams: resumed at their place in whichever pass they stand, told the epoch, of known length or not."""

import random

import datasets
import pytest
import torch
from torch.utils.data import IterableDataset, RandomSampler, get_worker_info

from formers import Trainer, TrainerCallback, TrainingArguments
from formers.training import DataCollatorWithPadding
from formers.training.data.samplers import StreamShare
from tests.unit.training_toys import PadOnly, bag, rows, same

DATA = [{key: row[key] for key in ("input_ids", "label")} for row in rows(13)]


class Shuffled(IterableDataset):
    """In an order of its own in each epoch, split among the workers as torch's documentation says."""

    epoch = 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        order = list(DATA)
        random.Random(self.epoch).shuffle(order)
        return map(self.changed, order[first::step])

    def changed(self, row):
        return row


class Sized(Shuffled):
    def __len__(self):
        return len(DATA)


class Noisy(Shuffled):
    """Replaces tokens at random."""

    def changed(self, row):
        keeps = [bool(torch.rand(()) < 0.7) and random.random() < 0.9 for _ in row["input_ids"]]
        ids = [number if keep else 3 for number, keep in zip(row["input_ids"], keeps, strict=True)]
        return {**row, "input_ids": ids}


def parts_of(parts):
    for part in parts:
        yield from DATA[part::2]


def hub():
    made = datasets.IterableDataset.from_generator(parts_of, gen_kwargs={"parts": [0, 1]})
    return made.shuffle(seed=1, buffer_size=4)


class Break(TrainerCallback):
    """Interrupts within the accumulation window after a step."""

    def __init__(self, step):
        self.step = step

    def on_substep_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise KeyboardInterrupt


def train(folder, data, resume=None, callbacks=None, **options):
    options = {"max_steps": 9, "save_steps": 3, **options}
    args = TrainingArguments(
        str(folder), per_device_train_batch_size=2, gradient_accumulation_steps=2, learning_rate=0.02,
        logging_steps=1, disable_tqdm=True, use_cpu=True, **options,
    )  # fmt: skip
    collator = DataCollatorWithPadding(PadOnly())
    trainer = Trainer(bag(dropout=0.3), args, collator, train_dataset=data, callbacks=callbacks)
    trainer.train(resume_from_checkpoint=resume)
    return trainer


def logged(trainer):
    return [(entry["step"], entry["loss"]) for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.parametrize(
    ("stream", "workers", "persistent"),
    [
        (Shuffled, 0, False), (Shuffled, 2, True), (Sized, 0, False), (Noisy, 0, False), (Noisy, 2, True),
        (hub, 0, False), (hub, 2, False),
    ],
)  # fmt: skip
def test_broken_off_within_a_window_of_the_second_pass_it_goes_on_to_the_same_bits(
    tmp_path, stream, workers, persistent
):
    options = {"dataloader_num_workers": workers, "dataloader_persistent_workers": persistent}
    whole = train(tmp_path / "whole", stream(), **options)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "broken", stream(), callbacks=[Break(6)], **options)
    resumed = train(tmp_path / "broken", stream(), resume=True, **options)
    assert same(whole.model, resumed.model)
    assert logged(whole) == logged(resumed)


@pytest.mark.parametrize("step", [1, 4, 5, 8])
def test_it_goes_on_from_the_edges_of_a_pass_as_well(tmp_path, step):
    whole = train(tmp_path / "whole", Shuffled(), save_steps=1)
    resumed = train(tmp_path / "next", Shuffled(), resume=str(tmp_path / "whole" / f"checkpoint-{step}"))
    assert same(whole.model, resumed.model)


def test_an_epoch_that_a_callback_cut_short_is_not_counted_as_whole(tmp_path):
    class Short(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            control.should_epoch_stop = state.global_step % 2 == 0

    whole = train(tmp_path / "whole", DATA, callbacks=[Short()], num_train_epochs=9)
    resumed = train(
        tmp_path / "next", DATA, str(tmp_path / "whole" / "checkpoint-3"), [Short()], num_train_epochs=9
    )
    assert same(whole.model, resumed.model)


def test_a_sampler_with_a_generator_of_its_own_goes_on_where_it_stood(tmp_path):
    class Own(Trainer):
        def _get_train_sampler(self, train_dataset=None):
            return RandomSampler(DATA, generator=torch.Generator().manual_seed(5))

    def go(folder, resume=None):
        args = TrainingArguments(
            str(folder), per_device_train_batch_size=2, learning_rate=0.02, save_steps=10, disable_tqdm=True,
            use_cpu=True,
        )  # fmt: skip
        trainer = Own(bag(dropout=0.3), args, DataCollatorWithPadding(PadOnly()), train_dataset=DATA)
        trainer.train(resume_from_checkpoint=resume)
        return trainer.model

    assert same(go(tmp_path / "whole"), go(tmp_path / "next", str(tmp_path / "whole" / "checkpoint-10")))


def test_a_stream_that_tells_its_length_is_trained_on_for_epochs(tmp_path):
    trainer = train(tmp_path, Sized(), max_steps=-1, num_train_epochs=2, save_strategy="no")
    assert (trainer.state.global_step, trainer.state.epoch) == (8, 2.0)


def test_workers_that_live_on_are_told_the_epoch(tmp_path):
    share = StreamShare(Shuffled(), 2, 0, 1, seed=0)
    loader = torch.utils.data.DataLoader(
        share, batch_size=None, num_workers=1, persistent_workers=True, generator=torch.Generator()
    )
    first = [row["input_ids"] for row in loader]
    share.epoch.fill_(1)
    second = [row["input_ids"] for row in loader]
    assert first != second
    assert sorted(first) == sorted(second)
