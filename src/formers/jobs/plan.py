"""What a training is told: the fields of its plan, which are the options of `formers train`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from formers.core.fields import read_fields


def told(default: Any, what: str, **limits: Any) -> Any:
    """A field of a plan: its default, what it is for, and its limits (see `core.fields.Field`)."""
    return field(default=default, metadata={"help": what, "limits": limits})


@dataclass(frozen=True)
class Plan:
    """What to train, from what, and how: the fields of every task."""

    settings: ClassVar[tuple[str, ...]] = (  # that the model card tells
        *("epochs", "learning_rate", "batch_size", "warmup", "weight_decay", "max_length"),
    )

    data: Path
    model: str
    output: Path
    epochs: float = told(4.0, "Passes over the training part.", at_least=0.01)
    learning_rate: float = told(2e-4, "Its highest value; 2e-5 to 5e-5 suit larger models.", at_least=0)
    batch_size: int = told(32, "Examples in a step.", at_least=1)
    warmup: float = told(0.1, "Share of the steps in which the rate rises.", at_least=0, at_most=1)
    weight_decay: float = told(0.0, "As AdamW has it.", at_least=0)
    max_length: int = told(256, "Longest text in tokens, in training and ever after.", at_least=8)
    bf16: bool | None = told(None, "bfloat16 where the hardware has it, if left out.")
    seed: int = told(
        0, "Of the weights' start, the order of the examples and the splits.", at_least=0, at_most=2**32 - 1
    )
    test_size: float = told(0.1, "Share held out and judged at the end; 0 for none.", at_least=0, at_most=0.9)
    validation_size: float = told(
        0.1, "Share of the rest for early stopping and calibration.", at_least=0.01, at_most=0.9
    )
    patience: int = told(2, "Epochs without a better model before it stops.", at_least=1)
    resume: bool = told(False, "Go on from the last checkpoint in the output folder.")
    overwrite: bool = told(False, "Train again over a finished output folder.")
    device: str | None = told(None, "cpu, cuda, cuda:1, mps; the best one when left out.")
    card: dict[str, Any] | None = told(None, "More for the model card, as `hub.card.model_card` takes it.")

    def __post_init__(self) -> None:
        read_fields(self)
        for name, value in vars(self).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"--{name.replace('_', '-')} must be a finite number, got {value}")


@dataclass(frozen=True)
class HeadPlan(Plan):
    """A plan for a pretrained model with a new head."""

    head_learning_rate: float | None = told(
        None, "That of the new head; 5 times the other, if left out.", at_least=0
    )
    ema_decay: float = told(
        0.995, "Of the average of the weights that is kept; 0 for none.", at_least=0, at_most=0.9999
    )
