"""The callbacks that every trainer has."""

from __future__ import annotations

from typing import Any

from formers.training.callbacks.base import DefaultFlowCallback, PrinterCallback, TrainerCallback
from formers.training.callbacks.progress import ProgressCallback
from formers.training.callbacks.trackers import reporters


def default_callbacks(args: Any) -> list[TrainerCallback]:
    """The rules of when, progress or plain lines, and the trackers of `report_to`."""
    shown: TrainerCallback = PrinterCallback() if args.disable_tqdm else ProgressCallback()
    return [DefaultFlowCallback(), *reporters(args), shown]
