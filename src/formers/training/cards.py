"""The model card of a training run."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from formers.extras import installed
from formers.notices import refuse_unknown

if TYPE_CHECKING:
    from formers.training.trainer import Trainer

_DETAILS = (
    "language",
    "license",
    "tags",
    "model_name",
    "finetuned_from",
    "tasks",
    "dataset_tags",
    "dataset",
    "dataset_args",
)
_SHOWN = (
    "learning_rate",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "num_train_epochs",
    "max_steps",
    "seed",
    "optim",
    "lr_scheduler_type",
    "warmup_steps",
    "warmup_ratio",
    "weight_decay",
    "label_smoothing_factor",
    "class_weights",
    "bf16",
    "fp16",
)


def write_card(trainer: Trainer, details: dict[str, Any]) -> None:
    """Write README.md into the output folder; a card that a person wrote is left alone."""
    from formers.training.checkpointing import write_text

    refuse_unknown(details, _DETAILS, "create_model_card")
    path = Path(str(trainer.args.output_dir)) / "README.md"
    if path.is_file() and "generated_from_trainer" not in path.read_text(encoding="utf-8"):
        return
    write_text(path, card(trainer, details))


def card(trainer: Trainer, details: dict[str, Any]) -> str:
    """The text: header, what was trained on what, scores, arguments, versions."""
    name = details.get("model_name") or Path(str(trainer.args.output_dir)).name
    config = getattr(trainer.model, "config", None)
    base = details.get("finetuned_from") or getattr(config, "name_or_path", None) or None
    tags = details.get("tags") or []
    header: dict[str, Any] = {
        "library_name": "transformers",
        "license": details.get("license"),
        "language": details.get("language"),
        "base_model": base,
        "datasets": details.get("dataset_tags"),
        "tags": ["generated_from_trainer", *([tags] if isinstance(tags, str) else tags)],
    }
    lines = ["---"]
    lines += [f"{key}: {json.dumps(value)}" for key, value in header.items() if value]
    lines += ["---", "", f"# {name}", ""]
    trained_on = details.get("dataset") or "a dataset that its author has not named"
    start = f"fine-tuned from {base}" if base else "trained from scratch"
    lines += [f"This model was {start} on {trained_on}.", ""]
    lines += _scores(trainer)
    lines += [
        "## Intended use and limits",
        "",
        "To be written by the author: what it is for, where it fails, what it must not decide.",
    ]
    lines += ["", "## Training", ""]
    lines += [f"- {key}: {value}" for key, value in trainer.args.to_dict().items() if key in _SHOWN and value]
    lines += [f"- number of processes: {trainer.accelerator.num_processes}", "", "## Versions", ""]
    return "\n".join([*lines, *(f"- {line}" for line in _versions()), ""])


def _scores(trainer: Trainer) -> list[str]:
    rows = [entry for entry in trainer.state.log_history if "eval_loss" in entry]
    if not rows:
        return []
    skipped = ("runtime", "per_second", "mem_")
    keys = [key for key in rows[-1] if key.startswith("eval_") and not any(word in key for word in skipped)]
    lines = [
        "## Scores on the evaluation set",
        "",
        f"| epoch | step | {' | '.join(key[5:] for key in keys)} |",
    ]
    lines.append("|" + "---|" * (len(keys) + 2))
    for row in rows:
        values = " | ".join(
            f"{row[key]:.4f}" if isinstance(row.get(key), float) else str(row.get(key, "")) for key in keys
        )
        lines.append(f"| {row.get('epoch', 0):.2f} | {row['step']} | {values} |")
    return [*lines, ""]


def _versions() -> list[str]:
    import formers

    found = [
        f"formers {formers.__version__}",
        f"Python {platform.python_version()}",
        f"torch {torch.__version__}",
    ]
    for package in ("tokenizers", "datasets", "accelerate"):
        if installed(package):
            from importlib.metadata import version

            found.append(f"{package} {version(package)}")
    return found
