"""The documentation's recipe for segments, on tiny pictures: labels of pixels, and segments by queries."""

from __future__ import annotations

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import formers
from formers.evaluation import load_metric

NAMES = {0: "ground", 1: "box", 2: "disc"}


def scene(seed):
    """A picture with a bright box and a dark disc, and the labels of its pixels."""
    rng = np.random.default_rng(seed)
    picture, labels = rng.integers(90, 130, (32, 32, 3)), np.zeros((32, 32), np.uint8)
    top, left = rng.integers(0, 12, 2)
    labels[top : top + 10, left : left + 10] = 1
    down, across = rng.integers(20, 26, 2)
    rows, columns = np.ogrid[:32, :32]
    labels[(rows - down) ** 2 + (columns - across) ** 2 < 25] = 2
    picture[labels == 1], picture[labels == 2] = 240, 10
    return {"image": Image.fromarray(picture.astype(np.uint8)), "annotation": Image.fromarray(labels)}


@pytest.fixture
def scenes():
    rows = [scene(seed) for seed in range(10)]
    return datasets.Dataset.from_list(rows).train_test_split(test_size=2, seed=0)


def arguments(folder, **more):
    return formers.TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=4,
        per_device_eval_batch_size=2,
        save_strategy="no",
        remove_unused_columns=False,
        report_to=[],
        seed=1,
        **more,
    )


def test_segformer_learns_labels_of_pixels(scenes, tmp_path):
    processor = formers.SegformerImageProcessor(size={"height": 32, "width": 32}, do_reduce_labels=False)
    config = formers.SegformerConfig(
        depths=[1] * 4,
        hidden_sizes=[16, 16, 32, 32],
        num_attention_heads=[1, 2, 2, 4],
        decoder_hidden_size=32,
        id2label=NAMES,
        label2id={name: label for label, name in NAMES.items()},
    )
    torch.manual_seed(0)
    model = formers.AutoModelForSemanticSegmentation.from_config(config)
    metric = load_metric("mean_iou")

    def transform(batch):
        return processor(list(batch["image"]), list(batch["annotation"]))

    def compute_metrics(eval_pred):
        with torch.no_grad():
            logits, labels = eval_pred
            logits = nn.functional.interpolate(
                torch.from_numpy(logits), size=labels.shape[-2:], mode="bilinear", align_corners=False
            ).argmax(dim=1)
            metrics = metric.compute(
                predictions=logits.detach().cpu().numpy(),
                references=labels,
                num_labels=len(NAMES),
                ignore_index=255,
                reduce_labels=False,
            )
            for key, value in metrics.items():
                if isinstance(value, np.ndarray):
                    metrics[key] = value.tolist()
            return metrics

    train, test = scenes["train"], scenes["test"]
    train.set_transform(transform)
    test.set_transform(transform)
    trainer = formers.Trainer(
        model=model,
        args=arguments(tmp_path, learning_rate=3e-3, num_train_epochs=30),
        train_dataset=train,
        eval_dataset=test,
        compute_metrics=compute_metrics,
    )
    before = trainer.evaluate()
    trainer.train()
    after = trainer.evaluate()
    assert after["eval_mean_iou"] > max(0.4, before["eval_mean_iou"])
    assert len(after["eval_per_category_iou"]) == 3
    assert trainer.predict(test).predictions.shape == (2, 3, 8, 8)


def test_maskformer_is_trained_on_maps_of_segments(scenes, tmp_path):
    processor = formers.MaskFormerImageProcessor(size={"height": 32, "width": 32}, ignore_index=255)
    backbone = {
        **{"model_type": "resnet", "embedding_size": 16, "hidden_sizes": [16] * 4, "depths": [1] * 4},
        **{"layer_type": "basic", "out_features": ["stage1", "stage2", "stage3", "stage4"]},
    }
    decoder = {
        **{"model_type": "detr", "d_model": 32, "decoder_layers": 1, "num_queries": 6},
        **{"decoder_attention_heads": 4, "decoder_ffn_dim": 32, "dropout": 0.0},
    }
    torch.manual_seed(0)
    model = formers.MaskFormerForInstanceSegmentation(
        formers.MaskFormerConfig(
            backbone_config=backbone,
            decoder_config=decoder,
            fpn_feature_size=32,
            mask_feature_size=32,
            id2label=NAMES,
        )
    )

    def collate(examples):
        return processor(
            [one["image"] for one in examples], [one["annotation"] for one in examples], return_tensors="pt"
        ).data

    trainer = formers.Trainer(
        model=model,
        args=arguments(tmp_path, learning_rate=1e-3, num_train_epochs=10, logging_steps=5),
        train_dataset=scenes["train"],
        data_collator=collate,
    )
    trainer.train()
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    assert losses[-1] < 0.9 * losses[0]
