"""A small training job that tests start, kill and start again as a process of its own.

Usage: training_job.py OUTPUT_DIR RESULT.pt KEY=VALUE... (fields of TrainingArguments, and `dropout`;
`resume`: true for the last checkpoint, or the path of one; `die`: steps at which rank 1 is killed, by start).
"""

import json
import os
import random
import signal
import sys
from pathlib import Path

import torch

from formers import (
    BertConfig,
    BertForSequenceClassification,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)
from formers.training import DataCollatorWithPadding, EarlyStoppingCallback, get_last_checkpoint


class PadOnly:
    """All that a collator needs of a tokenizer."""

    pad_token_id = 0
    padding_side = "right"
    model_input_names = ("input_ids", "attention_mask")


def examples(count: int = 45) -> list[dict]:
    draw = random.Random(7)
    return [
        {
            "input_ids": [draw.randrange(1, 50) for _ in range(draw.randrange(2, 14))],
            "label": draw.randrange(3),
        }
        for _ in range(count)
    ]


class Stream(torch.utils.data.IterableDataset):
    """Rows that can only be gone through."""

    def __init__(self, rows: list[dict]) -> None:
        self.rows = rows

    def __iter__(self):
        return iter(self.rows)


class Killed(TrainerCallback):
    """Ends process 1 in the middle of a step: of the first that is given in its first start, and so on."""

    def __init__(self, steps: list[int]) -> None:
        starts = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
        self.step = steps[starts] if starts < len(steps) else -1

    def on_pre_optimizer_step(self, args, state, control, **kwargs):
        if args.process_index == 1 and state.global_step == self.step:
            print(f"killed in step {self.step + 1}", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)


def model(dropout: float) -> BertForSequenceClassification:
    set_seed(0)
    config = BertConfig(
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        num_labels=3,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    return BertForSequenceClassification(config)


def main(*arguments: str) -> None:
    output_dir, result, *pairs = arguments
    options = {key: json.loads(value) for key, _, value in (pair.partition("=") for pair in pairs)}
    resume, dropout, die = (options.pop(key, None) for key in ("resume", "dropout", "die"))
    args = TrainingArguments(output_dir, disable_tqdm=True, use_cpu=True, learning_rate=5e-3, **options)
    data = examples()
    trainer = Trainer(
        model(dropout or 0.0),
        args,
        DataCollatorWithPadding(PadOnly()),
        train_dataset=data,
        eval_dataset=data[:11],
        compute_metrics=lambda pair: {"accuracy": float((pair[0].argmax(-1) == pair[1]).mean())},
        callbacks=[EarlyStoppingCallback(50)] if args.load_best_model_at_end else None,
    )
    if die:
        trainer.add_callback(Killed(die))
    checkpoint = get_last_checkpoint(output_dir) if resume is True else resume
    output = trainer.train(resume_from_checkpoint=checkpoint)
    metrics = trainer.evaluate()
    prediction = trainer.predict(data[:11])
    streams = {count: trainer.predict(Stream(data[:count])) for count in (1, 9, 17, 18)}
    whole = trainer.accelerator.get_state_dict(trainer.model_wrapped) if trainer.is_sharded else None
    if trainer.is_world_process_zero():
        torch.save(
            {
                "weights": whole or trainer.model.state_dict(),
                "loss": output.training_loss,
                "steps": output.global_step,
                "losses": [entry["loss"] for entry in trainer.state.log_history if "loss" in entry],
                "eval": {key: metrics[key] for key in ("eval_loss", "eval_accuracy")},
                "logits": torch.from_numpy(prediction.predictions),
                "streams": {n: torch.from_numpy(found.predictions) for n, found in streams.items()},
                "labels": {n: found.label_ids.tolist() for n, found in streams.items()},
            },
            Path(result),
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
