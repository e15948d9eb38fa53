"""Which method chooses numbers by what a model reads, for formats whose record may have a `dataset`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from formers.quantization import calibrating, scaling

METHODS: dict[str, Callable[[Any, Any, Any], None]] = {
    "gptq": calibrating.calibrate,
    "awq": scaling.calibrate,
}
