"""The HTTP server: a classifier behind `/classify`, and a durable queue for what a person must decide.

Importing this package loads neither FastAPI nor torch; each name is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from formers.serving.app import create_app
    from formers.serving.classifier import Classifier, Prepared, Ranked
    from formers.serving.engine import Engine
    from formers.serving.queue import HumanQueue
    from formers.serving.run import StartupError, running, serve
    from formers.serving.settings import Settings

_MODULE_OF = {
    "Classifier": "classifier",
    "Engine": "engine",
    "HumanQueue": "queue",
    "Prepared": "classifier",
    "Ranked": "classifier",
    "Settings": "settings",
    "StartupError": "run",
    "create_app": "app",
    "running": "run",
    "serve": "run",
}

__all__ = [
    "Classifier",
    "Engine",
    "HumanQueue",
    "Prepared",
    "Ranked",
    "Settings",
    "StartupError",
    "create_app",
    "running",
    "serve",
]


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'formers.serving' has no attribute {name!r}")
    if module == "app":
        from formers.core.extras import need

        for package in ("fastapi", "prometheus_client"):
            need(package, "serve", "the HTTP server")
    value = getattr(importlib.import_module(f"formers.serving.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
