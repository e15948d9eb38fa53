"""What people read: numbers of a run as a table, and as files."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from formers.core.atomic import write_text
from formers.core.jsonfile import finite, read_json_object


def short(value: Any) -> Any:
    """A number with four digits, also inside lists and dicts; anything else as it is."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: short(entry) for key, entry in value.items()}
    return [short(entry) for entry in value] if isinstance(value, (list, tuple)) else value


def readable(metrics: dict[str, Any]) -> dict[str, Any]:
    """Metrics as people read them."""
    shown: dict[str, Any] = {}
    for key, value in metrics.items():
        if "_mem_" in key:
            shown[key] = f"{float(value) / 2**20:.0f}MB"
        elif key.endswith("_runtime"):
            shown[key] = (
                str(timedelta(seconds=round(float(value), 2)))[:-4]
                if value % 1
                else str(timedelta(seconds=value))
            )
        elif key == "total_flos":
            shown[key] = f"{float(value) / 2**30:.0f}GF"
        else:
            shown[key] = round(value, 4) if isinstance(value, float) else short(value)
    return shown


def print_metrics(split: str, shown: dict[str, Any]) -> None:
    """Print metrics as a table."""
    width = max((len(str(key)) for key in shown), default=0)
    print(f"***** {split} metrics *****")
    for key in sorted(shown):
        print(f"  {key:<{width}} = {shown[key]}")


def write_metrics(folder: Path, split: str, metrics: dict[str, Any], combined: bool) -> None:
    """Write `<split>_results.json`, and add to `all_results.json`."""
    every = folder / "all_results.json"
    earlier = read_json_object(every) if combined and every.is_file() else {}
    for path, numbers in ((folder / f"{split}_results.json", metrics), (every, {**earlier, **metrics})):
        if combined or path is not every:
            write_text(path, json.dumps(finite(numbers), indent=4, sort_keys=True, default=float))
