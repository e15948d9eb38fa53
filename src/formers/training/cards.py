"""The model card of a training run: what was trained, how, and what it scored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from formers.core.notices import refuse_unknown

DETAILS = (
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
    "focal_gamma",
    "bf16",
    "fp16",
)


def write_card(trainer: Any, details: dict[str, Any]) -> None:
    """Write README.md into the output folder; a card that a person wrote is left alone."""
    from formers.hub.card import save_card

    refuse_unknown(details, DETAILS, "create_model_card")
    folder = Path(str(trainer.args.output_dir))
    folder.mkdir(parents=True, exist_ok=True)
    save_card(folder, card(trainer, details))


def card(trainer: Any, details: dict[str, Any]) -> str:
    """The text of the card, from the run and from what the caller knows (see `create_model_card`)."""
    from formers.hub.card import model_card

    config = getattr(trainer.model, "config", None)
    values = trainer.args.to_dict()
    training = {name: values[name] for name in _SHOWN if values.get(name) not in (None, 0, False, -1)}
    training["processes"] = trainer.accelerator.num_processes
    named = _listed(details.get("dataset")) or _listed(details.get("dataset_tags"))
    tasks = _listed(details.get("tasks"))
    return model_card(
        name=details.get("model_name") or Path(str(trainer.args.output_dir)).name,
        base_model=details.get("finetuned_from") or _repository(str(getattr(config, "name_or_path", ""))),
        task=tasks[0] if tasks else None,
        language=details.get("language"),
        license=details.get("license"),
        datasets=[*named, *_listed(details.get("dataset_args"))],
        tags=["generated_from_trainer", *_listed(details.get("tags"))],
        metrics=_scores(trainer),
        labels=getattr(config, "id2label", None) if hasattr(config, "num_labels") else None,
        training=training,
    )


def make_markdown_table(lines: list[dict[str, Any]]) -> str:
    """Rows, each a dictionary with the same keys, as a table in Markdown; empty where there are none."""
    from formers.hub.card import table

    return table(list(lines[0]), ([*line.values()] for line in lines)) + "\n" if lines else ""


def extract_hyperparameters_from_trainer(trainer: Any) -> dict[str, Any]:
    """The settings of a run that a model card shows."""
    values = trainer.args.to_dict()
    shown = {name: values[name] for name in _SHOWN if values.get(name) not in (None, 0, False, -1)}
    return {**shown, "num_devices": trainer.accelerator.num_processes}


def _repository(name: str) -> str | None:
    """The name, where it is one on the Hub and not a folder here."""
    return name if name and name.count("/") <= 1 and not Path(name).exists() else None


def _listed(value: Any) -> list[str]:
    return [] if not value else [value] if isinstance(value, str) else [str(entry) for entry in value]


def _scores(trainer: Any) -> dict[str, float]:
    """The last evaluation's scores; those of the best model where that is the one that is kept."""
    rows = [entry for entry in trainer.state.log_history if any(key.startswith("eval_") for key in entry)]
    if trainer.args.load_best_model_at_end:
        rows = [entry for entry in rows if entry["step"] == trainer.state.best_global_step] or rows
    unshown = ("_runtime", "_per_second")
    return {
        key.removeprefix("eval_"): float(value)
        for key, value in (rows[-1] if rows else {}).items()
        if key.startswith("eval_") and not key.endswith(unshown) and "_mem_" not in key
    }
