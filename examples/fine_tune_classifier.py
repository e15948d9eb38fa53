"""A classifier from a CSV file (text, label), by the Trainer: the whole model, its head alone, or LoRA.

python examples/fine_tune_classifier.py tickets.csv --output my-router
python examples/fine_tune_classifier.py tickets.csv --train head       # the encoder stays as it is
python examples/fine_tune_classifier.py tickets.csv --train lora       # small matrices beside its weights

`formers train` does the same and more (calibration, thresholds, a report); here every step is to be seen.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from datasets import load_dataset

from formers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    EarlyStoppingCallback,
    LoraConfig,
    TaskType,
    Trainer,
    TrainingArguments,
    get_peft_model,
    pipeline,
)
from formers.evaluation.metrics import compute_metrics_for


def main(given: Sequence[str] | None = None) -> dict[str, float]:
    options = arguments(given)
    rows = load_dataset("csv", data_files=options.data, split="train")
    labels = sorted(set(rows["label"]))
    label2id = {label: i for i, label in enumerate(labels)}
    id2label = dict(enumerate(labels))
    tokenizer = AutoTokenizer.from_pretrained(options.model)

    def prepared(row: dict[str, Any]) -> dict[str, Any]:
        return {**tokenizer(row["text"], truncation=True), "labels": label2id[row["label"]]}

    parts = rows.map(prepared, remove_columns=rows.column_names).train_test_split(test_size=0.2, seed=0)
    model = AutoModelForSequenceClassification.from_pretrained(
        options.model, id2label=id2label, label2id=label2id
    )
    if options.train == "head":
        model.base_model.requires_grad_(False)
    if options.train == "lora":
        model = get_peft_model(model, LoraConfig(task_type=TaskType.SEQ_CLS, r=8, lora_alpha=16))
        model.print_trainable_parameters()
    args = TrainingArguments(
        f"{options.output}-checkpoints",
        num_train_epochs=options.epochs,
        learning_rate={"whole": 5e-5, "head": 1e-3, "lora": 5e-4}[options.train],
        per_device_train_batch_size=16,
        warmup_steps=0.1,
        eval_strategy="epoch",
        save_strategy="epoch",
        load_best_model_at_end=True,
        metric_for_best_model="macro_f1",
        save_total_limit=1,
        report_to="none",
    )
    trainer = Trainer(
        model=model,
        args=args,
        train_dataset=parts["train"],
        eval_dataset=parts["test"],
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=compute_metrics_for(id2label),
        callbacks=[EarlyStoppingCallback(early_stopping_patience=2)],
    )
    trainer.train()
    found: dict[str, float] = trainer.evaluate()
    if options.train == "lora":
        trainer.model = model.merge_and_unload()
    trainer.save_model(options.output)
    answer = pipeline("text-classification", model=options.output)(rows["text"][0])
    print(f"macro F1 {found['eval_macro_f1']:.3f}; {rows['text'][0]!r}: {answer}")
    return found


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="CSV with the columns text and label")
    parser.add_argument("--model", default="distilbert/distilbert-base-uncased")
    parser.add_argument("--output", default="my-classifier")
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--train", choices=("whole", "head", "lora"), default="whole", help="what is trained")
    return parser.parse_args(given)


if __name__ == "__main__":
    main()
