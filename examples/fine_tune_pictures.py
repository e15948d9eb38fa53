"""A classifier of pictures from a folder with a folder for each label, by the Trainer.

python examples/fine_tune_pictures.py photos --model google/vit-base-patch16-224 --output my-sorter
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from datasets import load_dataset

from formers import (
    AutoImageProcessor,
    AutoModelForImageClassification,
    DefaultDataCollator,
    Trainer,
    TrainingArguments,
    pipeline,
)
from formers.evaluation.metrics import compute_metrics_for


def main(given: Sequence[str] | None = None) -> dict[str, float]:
    options = arguments(given)
    rows = load_dataset("imagefolder", data_dir=options.data, split="train")
    names = rows.features["label"].names
    id2label = dict(enumerate(names))
    processor = AutoImageProcessor.from_pretrained(options.model)

    def prepared(part: dict[str, Any]) -> dict[str, Any]:
        pixels = processor([one.convert("RGB") for one in part["image"]], return_tensors="pt")["pixel_values"]
        return {"pixel_values": list(pixels), "labels": part["label"]}

    parts = rows.train_test_split(test_size=0.25, seed=0, stratify_by_column="label").with_transform(prepared)
    model = AutoModelForImageClassification.from_pretrained(
        options.model,
        id2label=id2label,
        label2id={name: i for i, name in id2label.items()},
        ignore_mismatched_sizes=True,  # the checkpoint's head has labels of its own
    )
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            f"{options.output}-checkpoints",
            num_train_epochs=options.epochs,
            learning_rate=5e-5,
            per_device_train_batch_size=16,
            remove_unused_columns=False,  # `prepared` reads them
            eval_strategy="epoch",
            save_strategy="no",
            report_to="none",
        ),
        train_dataset=parts["train"],
        eval_dataset=parts["test"],
        processing_class=processor,
        data_collator=DefaultDataCollator(),
        compute_metrics=compute_metrics_for(id2label),
    )
    trainer.train()
    found: dict[str, float] = trainer.evaluate()
    trainer.save_model(options.output)
    print(f"accuracy {found['eval_accuracy']:.3f}")
    print(pipeline("image-classification", model=options.output)(rows[0]["image"]))
    return found


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="folder with a folder of pictures for each label")
    parser.add_argument("--model", default="google/vit-base-patch16-224")
    parser.add_argument("--output", default="my-sorter")
    parser.add_argument("--epochs", type=float, default=3)
    return parser.parse_args(given)


if __name__ == "__main__":
    main()
