"""`formers vision-demo`: train a small vision transformer on real pictures, judge it, show what it sees."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from formers.cli import choices

_EDGE = 16  # pixels; the pictures have 8
_SHOWN = 24


def vision_demo(
    output: choices.Folder = Path("vision-demo"),
    epochs: Annotated[float, typer.Option(min=0.01, help="Passes over the pictures.")] = 20.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the weights and of the split.")] = 0,
) -> None:
    """Handwritten digits, 1,797 of them: a small ViT learns them from nothing, in a minute or two.

    Beside it stands logistic regression on the same split. Writes the model, `seen.png` (what it got right
    and wrong) and `answers.png` (one picture with its scores).
    """
    from formers import pipeline, plots
    from formers.cli.show import say, table

    started = time.monotonic()
    parts, baseline = _digits(seed)
    base, model = output / "base", output / "model"
    _base(base, seed)
    counts = f"{len(parts['train'])} pictures to train on, {len(parts['test'])} held out"
    say(f"{counts}; a ViT of two layers, from random weights")
    metrics = _train(parts, base, model, epochs, seed)
    pipe = pipeline("image-classification", model=str(model), top_k=3)
    pictures, wanted = parts["test"]["image"][:], parts["test"]["label"][:]
    answers = pipe(pictures)
    said = [one[0]["label"] for one in answers]
    names = parts["test"].features["label"].names
    right = [one == names[label] for one, label in zip(said, wanted, strict=True)]
    table(
        (("held-out pictures", "left"), ("right", "right")),
        (("the ViT", f"{sum(right) / len(right):.3f}"), ("logistic regression", f"{baseline:.3f}")),
    )
    wrong = [place for place, one in enumerate(right) if not one]
    shown = (wrong + [place for place, one in enumerate(right) if one])[:_SHOWN]
    captions = [f"{said[i]}" if right[i] else f"!{said[i]}, it is {names[wanted[i]]}" for i in shown]
    large = [pictures[i].resize((80, 80)) for i in shown]
    plots.side_by_side(large, captions, across=6).save(output / "seen.png")
    plots.draw(pictures[shown[0]], answers[shown[0]]).save(output / "answers.png")
    say(f"loss {metrics['eval_loss']:.3f}; saved: {model}; look at {output / 'seen.png'}")
    say(f"{time.monotonic() - started:.0f} s; next: formers look --model {model} PICTURE --draw out.png")


def _digits(seed: int) -> tuple[Any, float]:
    """The pictures in two parts, a fifth held out, and how often logistic regression is right there."""
    from formers.core.extras import need

    datasets = need("datasets", "train", "the demonstration")
    image = need("PIL.Image", "vision")
    found = need("sklearn.datasets", "train", "the digits").load_digits()
    drawn = (found.images / 16 * 255).astype("uint8")
    pictures = [image.fromarray(one).resize((_EDGE, _EDGE), image.Resampling.BICUBIC) for one in drawn]
    columns = {"image": pictures, "label": found.target, "place": range(len(pictures))}
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=[str(one) for one in range(10)]),
            "place": datasets.Value("int64"),
        }
    )
    parts = datasets.Dataset.from_dict(columns, features=features).train_test_split(0.2, seed=seed)
    train, test = (parts[name]["place"][:] for name in ("train", "test"))
    linear = need("sklearn.linear_model", "train").LogisticRegression(max_iter=2000)
    linear.fit(found.data[train] / 16, found.target[train])
    return parts, float(linear.score(found.data[test] / 16, found.target[test]))


def _base(folder: Path, seed: int) -> None:
    """A checkpoint to begin from, with a head for other labels, as those on the Hub have."""
    from formers import ViTConfig, ViTForImageClassification, ViTImageProcessor, set_seed

    set_seed(seed)
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
    config = ViTConfig(**sizes, image_size=_EDGE, patch_size=4, num_labels=2)
    ViTForImageClassification(config).save_pretrained(folder)
    ViTImageProcessor(size={"height": _EDGE, "width": _EDGE}).save_pretrained(folder)


def _train(parts: Any, base: Path, folder: Path, epochs: float, seed: int) -> dict[str, float]:
    """Fine-tune `base`, save it into `folder`; what was measured on the held-out part."""
    from formers import AutoImageProcessor, AutoModelForImageClassification, Trainer, TrainingArguments

    processor = AutoImageProcessor.from_pretrained(base)

    def transform(examples: dict[str, Any]) -> dict[str, Any]:
        pictures = [one.convert("RGB") for one in examples["image"]]
        made = processor(pictures, return_tensors="pt")["pixel_values"]
        return {"pixel_values": list(made), "labels": examples["label"]}

    names = parts["train"].features["label"].names
    model = AutoModelForImageClassification.from_pretrained(
        base,
        num_labels=len(names),
        id2label=dict(enumerate(names)),
        label2id={name: i for i, name in enumerate(names)},
        ignore_mismatched_sizes=True,
    )
    arguments = TrainingArguments(
        output_dir=str(folder.parent / "checkpoints"),
        remove_unused_columns=False,  # the pictures are read by the transform
        learning_rate=2e-3,
        per_device_train_batch_size=64,
        per_device_eval_batch_size=64,
        num_train_epochs=epochs,
        warmup_ratio=0.1,
        logging_steps=0.2,
        save_strategy="no",
        report_to="none",
        seed=seed,
    )
    ready = parts.with_transform(transform)
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=ready["train"],
        eval_dataset=ready["test"],
        processing_class=processor,
    )
    trainer.train()
    trainer.save_model(str(folder))
    return dict(trainer.evaluate())
