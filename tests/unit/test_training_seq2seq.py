"""Judging by what a model writes."""

import types

import numpy as np
import pytest
import torch
from torch import nn

from formers import Seq2SeqTrainer, Seq2SeqTrainingArguments
from formers.core.outputs import TaskOutput
from formers.training import DataCollatorForSeq2Seq, DataCollatorWithPadding
from tests.unit.training_toys import PadOnly, bag


class Echo(nn.Module):
    """Writes its input again, one id higher, and as long as it is told to at most."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(60, 60)
        self.config = types.SimpleNamespace(is_encoder_decoder=True, pad_token_id=0, use_cache=False)
        self.asked = []

    def forward(self, input_ids, attention_mask=None, labels=None):
        logits = self.embedding(labels.clamp(min=0))
        return TaskOutput(
            loss=nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten()), logits=logits
        )

    def generate(self, input_ids, attention_mask=None, max_length=20, num_beams=1):
        self.asked.append((max_length, num_beams))
        return (input_ids + 1)[:, :max_length]


def make(tmp_path, model, **options):
    args = Seq2SeqTrainingArguments(
        str(tmp_path), disable_tqdm=True, use_cpu=True, per_device_eval_batch_size=2, **options
    )
    data = [{"input_ids": [5] * n, "labels": [6] * n} for n in (2, 4, 3)]
    return Seq2SeqTrainer(
        model,
        args,
        DataCollatorForSeq2Seq(PadOnly()),
        data,
        data,
        PadOnly(),
        compute_metrics=lambda pair: {"same": (pair.predictions[:, 0] == pair.label_ids[:, 0]).mean()},
    )


def test_evaluation_generates_and_pads_with_the_padding_token(tmp_path):
    model = Echo()
    trainer = make(tmp_path, model, predict_with_generate=True, generation_max_length=6)
    metrics = trainer.evaluate(num_beams=3)
    assert metrics["eval_same"] == 1.0
    assert metrics["eval_loss"] > 0
    assert set(model.asked) == {(6, 3)}
    written = trainer.predict(trainer.eval_dataset, max_length=5).predictions
    assert written.shape[0] == 3
    assert (written != -100).all()
    assert np.array_equal(written[1, :4], [6, 6, 6, 6])


def test_a_model_that_cannot_generate_is_refused(tmp_path):
    with pytest.raises(ValueError, match="cannot generate"):
        make(tmp_path, bag(), predict_with_generate=True)


def test_labels_that_are_single_tensors_are_collated():
    batch = DataCollatorWithPadding(PadOnly())(
        [{"input_ids": torch.tensor([1] * n), "label": torch.tensor(n)} for n in (1, 3)]
    )
    assert batch["input_ids"].tolist() == [[1, 0, 0], [1, 1, 1]]
    assert batch["labels"].tolist() == [1, 3]
