"""The recipe of object detection, from COCO annotations of drawn pictures to boxes that a tiny DETR finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

import formers
from formers import (
    DataCollatorForObjectDetection,
    DetrConfig,
    DetrForObjectDetection,
    DetrImageProcessor,
    Trainer,
    TrainingArguments,
)

LABELS = {0: "square", 1: "disc"}
PROCESSOR = DetrImageProcessor(size={"shortest_edge": 48, "longest_edge": 64})


def drawn(number: int) -> tuple[Image.Image, dict[str, Any]]:
    """A picture of a red square or a blue disc, and what COCO says of it."""
    draw = np.random.default_rng(number)
    size = (64, 48) if number % 2 else (48, 48)
    picture, edge = Image.new("RGB", size, (90, 90, 90)), int(draw.integers(14, 24))
    left, top = (int(draw.integers(0, side - edge)) for side in size)
    label = number // 2 % 2
    pen = ImageDraw.Draw(picture)
    around = (left, top, left + edge - 1, top + edge - 1)
    if label:
        pen.ellipse(around, fill=(30, 30, 240))
    else:
        pen.rectangle(around, fill=(240, 30, 30))
    thing = {"bbox": [left, top, edge, edge], "category_id": label, "area": edge * edge, "iscrowd": 0}
    return picture, {"image_id": number, "annotations": [thing]}


class Drawn(torch.utils.data.Dataset[Any]):
    """Pictures as the documentation's transform makes them: one at a time, with its annotation."""

    def __init__(self, numbers: range) -> None:
        self.numbers = numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> dict[str, Any]:
        picture, annotation = drawn(self.numbers[index])
        made = PROCESSOR(images=picture, annotations=annotation, return_tensors="pt")
        return {name: value[0] for name, value in made.items()}


def tiny() -> DetrForObjectDetection:
    """A DETR of 60,000 weights."""
    formers.set_seed(0)
    config = DetrConfig(
        backbone_config={
            **{"model_type": "resnet", "embedding_size": 16, "hidden_sizes": [16, 24, 32, 32]},
            **{"depths": [1, 1, 1, 1], "layer_type": "basic", "out_features": ["stage3"]},
        },
        **{"d_model": 32, "encoder_layers": 1, "decoder_layers": 2, "encoder_attention_heads": 4},
        **{"decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "num_queries": 4},
        dropout=0.0,
        id2label=LABELS,
        label2id={name: number for number, name in LABELS.items()},
    )
    return DetrForObjectDetection(config)


def test_a_detector_learns_by_the_documented_recipe(tmp_path: Path) -> None:
    seen: dict[str, Any] = {}

    def judge(results: formers.EvalPrediction) -> dict[str, float]:
        """As the documentation reads what it gets: batch by batch."""
        seen["targets"], right = results.label_ids, 0
        for batch, targets in zip(results.predictions, results.label_ids, strict=True):
            logits, boxes = torch.tensor(batch[1]), torch.tensor(batch[2])
            sizes = torch.stack([torch.tensor(one["orig_size"]) for one in targets])
            outputs = formers.core.outputs.ObjectsOutput(logits=logits, pred_boxes=boxes)
            found = PROCESSOR.post_process_object_detection(outputs, threshold=0.0, target_sizes=sizes)
            best = [one["labels"][one["scores"].argmax()].item() for one in found]
            right += sum(
                label == int(one["class_labels"][0]) for label, one in zip(best, targets, strict=True)
            )
        return {"right": right / sum(map(len, results.label_ids))}

    args = TrainingArguments(
        output_dir=str(tmp_path),
        per_device_train_batch_size=8,
        per_device_eval_batch_size=4,
        num_train_epochs=7,
        learning_rate=2e-3,
        max_grad_norm=1.0,
        remove_unused_columns=False,
        eval_do_concat_batches=False,
        report_to="none",
        logging_steps=8,
        save_strategy="no",
        disable_tqdm=True,
        seed=0,
    )
    trainer = Trainer(
        model=tiny(),
        args=args,
        train_dataset=Drawn(range(64)),
        eval_dataset=Drawn(range(100, 112)),
        processing_class=PROCESSOR,
        data_collator=DataCollatorForObjectDetection(),
        compute_metrics=judge,
    )
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    after = trainer.evaluate()
    assert after["eval_loss"] < before - 1
    assert after["eval_right"] > 0.8
    assert [len(batch) for batch in seen["targets"]] == [4, 4, 4]
    trainer.save_model(str(tmp_path / "mine"))
    finder = formers.pipeline("object-detection", model=str(tmp_path / "mine"))
    found = finder(drawn(101)[0], threshold=0.1)
    assert max(found, key=lambda one: one["score"])["label"] in LABELS.values()
    assert set(found[0]["box"]) == {"xmin", "ymin", "xmax", "ymax"}


def test_pictures_of_two_sizes_stand_in_equal_rooms_and_what_they_show_stays_apart() -> None:
    rows = [Drawn(range(2))[i] for i in (0, 1)]
    batch = DataCollatorForObjectDetection()(rows)
    assert batch["pixel_values"].shape == (2, 3, 48, 64)
    assert batch["pixel_mask"].sum((1, 2)).tolist() == [48 * 48, 48 * 64]
    assert torch.equal(batch["pixel_values"][0, :, :, :48], rows[0]["pixel_values"])
    assert not batch["pixel_values"][0, :, :, 48:].any()
    assert [one["class_labels"].tolist() for one in batch["labels"]] == [[0], [0]]
    padded = PROCESSOR.pad([row["pixel_values"] for row in rows], return_tensors="pt")
    assert torch.equal(padded["pixel_values"], batch["pixel_values"])
    assert torch.equal(padded["pixel_mask"], batch["pixel_mask"])
    assert "pixel_mask" not in DataCollatorForObjectDetection(masked=False)(rows)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({}, "holds pixel_values with 3 axes, but one has none"),
        ({"pixel_values": torch.zeros(2, 3, 4, 4)}, r"one has \[2, 3, 4, 4\]"),
        ({"pixel_values": torch.zeros(3, 4, 4), "labels": 3}, "is a dictionary"),
    ],
)
def test_examples_that_hold_no_picture_are_refused(row: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        DataCollatorForObjectDetection()([row])
