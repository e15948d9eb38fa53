"""The HTTP server: a classifier with a durable queue for what a person must decide; or texts, or vectors.

Importing this package loads neither FastAPI nor torch; each name is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from formers.desk.queue import HumanQueue
    from formers.serving.app import create_app
    from formers.serving.engine import Engine
    from formers.serving.protocol import Classifier, Prepared, Ranked
    from formers.serving.run import StartupError, running, serve
    from formers.serving.settings import Settings

__all__ = [
    "Classifier", "Engine", "HumanQueue", "Prepared", "Ranked", "Settings", "StartupError", "create_app",
    "running", "serve",
]  # fmt: skip
_MODULE_OF = {
    "Classifier": "formers.serving.protocol",
    "Engine": "formers.serving.engine",
    "HumanQueue": "formers.desk.queue",
    "Prepared": "formers.serving.protocol",
    "Ranked": "formers.serving.protocol",
    "Settings": "formers.serving.settings",
    "StartupError": "formers.serving.run",
    "create_app": "formers.serving.app",
    "running": "formers.serving.run",
    "serve": "formers.serving.run",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'formers.serving' has no attribute {name!r}")
    if name == "create_app":
        from formers.core.extras import need

        for package in ("fastapi", "prometheus_client"):
            need(package, "serve", "the HTTP server")
    return getattr(importlib.import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})
