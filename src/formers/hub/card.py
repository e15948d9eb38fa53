"""Model cards: the README.md that says what a model is, how it was made, and what it is not for."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from formers.core.environment import deciding_versions
from formers.core.notices import notice
from formers.hub.source import Source

CARD_NAME = "README.md"
_LONGEST = 1 << 20  # characters in which a card's metadata are looked for
_MARK = (
    "<!-- Written by formers. Remove this line to keep the card as it is when the model is saved again. -->"
)
_NON_COMMERCIAL = re.compile(r"(^|[-_ ])nc([-_ ]|$)|non-?commercial|research-only|academic-only")
_TO_WRITE = "_Not stated yet._"
_LIMITS = (
    "The model repeats the biases of the texts it was trained on, and those of its base model. It can be "
    "wrong with a high score, most of all on texts unlike its training data: measure it on your own before "
    "you rely on it, and let a person decide where a mistake costs."
)


def model_card(
    *,
    name: str,
    base_model: str | None = None,
    task: str | None = None,
    language: str | Sequence[str] | None = None,
    license: str | None = None,
    datasets: Sequence[str] = (),
    tags: Sequence[str] = (),
    metrics: Mapping[str, Any] | None = None,
    labels: Mapping[int, str] | Sequence[str] | None = None,
    training: Mapping[str, Any] | None = None,
    versions: Mapping[str, str] | None = None,
    intended_use: str | None = None,
    limitations: str | None = None,
    library: str = "transformers",
) -> str:
    """Write a model card in the Hub's format: metadata for machines, then text for people.

    Args:
        name: the model's name.
        base_model: what it was trained from (a repository id).
        task: the pipeline's name, such as "text-classification".
        language: one or more language codes.
        license: the Hub's short name of the licence, such as "apache-2.0".
        datasets: what it was trained on.
        tags: further tags.
        metrics: name -> value, as measured on held-out data.
        labels: number -> label, or the labels in order.
        training: setting -> value.
        versions: package -> version; None for those that are installed.
        intended_use: a paragraph.
        limitations: a paragraph; None for one that holds for every model of text.
        library: what the Hub calls what loads it; "transformers" for a config.json and these classes.

    Returns:
        The text of the README.md.
    """
    front = {
        "library_name": library,
        "license": license,
        "base_model": base_model,
        "pipeline_tag": task,
        "language": [language] if isinstance(language, str) else list(language or ()),
        "datasets": list(datasets),
        "tags": list(dict.fromkeys(["formers", *tags])),
        "metrics": list(metrics or ()),
        "model-index": _model_index(name, task, datasets, metrics or {}),
    }
    # A line of JSON is valid YAML, so no YAML writer is needed.
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in front.items() if value]
    parts = [
        "\n".join(["---", *lines, "---"]),
        _MARK,
        f"# {name}",
        _opening(base_model, task, datasets),
        f"## Intended use\n\n{intended_use or _TO_WRITE}",
        f"## Limits and bias\n\n{limitations or _LIMITS}",
    ]
    for title, head, values in (
        ("Labels", ("id", "label"), labels),
        ("Results\n\nOn held-out data.", ("metric", "value"), metrics),
        ("Training", ("setting", "value"), training),
    ):
        if values:
            pairs = values.items() if isinstance(values, Mapping) else enumerate(values)
            parts.append(f"## {title}\n\n{table(head, pairs)}")
    pins = "\n".join(
        f"{package}=={version}" for package, version in (versions or deciding_versions()).items()
    )
    parts.append(f"## Versions\n\n```\n{pins}\n```")
    return "\n\n".join(parts) + "\n"


def save_card(folder: str | os.PathLike[str], text: str) -> Path | None:
    """Write a card into a folder, unless a person wrote the one that is there.

    Returns:
        The path, or None when the folder's own card was kept.
    """
    from formers.core.atomic import write_text

    path = Path(folder) / CARD_NAME
    if path.is_file() and _MARK not in path.read_text(encoding="utf-8", errors="replace"):
        return None
    return write_text(path, text)


def licence_of(source: Source) -> str | None:
    """Read the licence from a model's card; one that forbids commercial use is noticed.

    Returns:
        The Hub's short name of the licence, or None when the card or the licence is not there.
    """
    path = source.find_in_passing(CARD_NAME)
    if path is None:
        return None
    with open(path, encoding="utf-8", errors="replace") as file:
        fields = _read_front_matter(file.read(_LONGEST))
    licence = fields.get("license")
    if licence == "other":
        licence = fields.get("license_name", licence)
    if licence is not None and _NON_COMMERCIAL.search(licence.lower()):
        notice(
            f"{source.name} is under the licence {licence}, which forbids commercial use. "
            "Read it before you put the model to work."
        )
    return licence


# -- the metadata ---------------------------------------------------------------------------------


def _model_index(
    name: str, task: str | None, datasets: Sequence[str], metrics: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The measured numbers, as the Hub shows them beside a model."""
    numbers = [
        {"type": key, "value": float(value)}
        for key, value in metrics.items()
        if isinstance(value, int | float)
    ]
    if not numbers or not task:
        return []
    data = {
        "name": datasets[0] if datasets else "held-out data",
        "type": datasets[0] if datasets else "custom",
    }
    return [{"name": name, "results": [{"task": {"type": task}, "dataset": data, "metrics": numbers}]}]


def _read_front_matter(text: str) -> dict[str, str]:
    """Read the one-line text fields of a card's metadata."""
    first, *lines = text.strip().splitlines() or [""]
    fields: dict[str, str] = {}
    if first.strip() != "---" or not any(line.startswith("---") for line in lines):
        return fields
    open_key = ""  # a key whose value is a list that begins below it
    for line in lines:
        if line.startswith("---"):
            break
        key, mark, value = line.partition(":")
        if open_key and (item := line.strip()).startswith("-"):
            fields.setdefault(open_key, item[1:].strip(" \"'"))
        elif mark and re.fullmatch(r"[\w-]+", key):
            open_key = "" if (value := value.strip()) else key
            if value:
                fields[key] = value.strip("\"'[] ")
    return fields


def _opening(base_model: str | None, task: str | None, datasets: Sequence[str]) -> str:
    text = "This model was trained"
    text += f" from [{base_model}](https://huggingface.co/{base_model})" if base_model else ""
    text += f" for {task}" if task else ""
    text += f" on {', '.join(datasets)}" if datasets else ""
    return f"{text}."


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table in Markdown."""
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    lines += [f"| {' | '.join(map(_cell, row))} |" for row in rows]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
