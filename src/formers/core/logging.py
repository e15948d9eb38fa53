"""How much the library says: the level of its loggers and of its notices, and whether it shows progress bars.

The first level is what FORMERS_VERBOSITY or TRANSFORMERS_VERBOSITY names; without them it is "warning".
"""

from __future__ import annotations

import logging
import os
import sys
from functools import partial
from io import StringIO
from logging import CRITICAL, DEBUG, ERROR, FATAL, INFO, NOTSET, WARN, WARNING
from typing import Any

from formers.core.dropin_state import stands_for_another

__all__ = ["CRITICAL", "DEBUG", "ERROR", "FATAL", "INFO", "NOTSET", "WARN", "WARNING"]

log_levels = {
    **{"detail": DEBUG, "debug": DEBUG, "info": INFO},
    **{"warning": WARNING, "error": ERROR, "critical": CRITICAL},
}
_ROOT = __name__.split(".")[0]
_EXPLICIT = "[%(levelname)s|%(filename)s:%(lineno)s] %(asctime)s >> %(message)s"
_bars = True
_handler: logging.Handler | None = None
_said: set[tuple[str, str]] = set()


def _root() -> logging.Logger:
    """The logger of the library; the first time with a handler on standard error and its first level."""
    global _handler
    root = logging.getLogger(_ROOT)
    if _handler is None:
        _handler = logging.StreamHandler(sys.stderr)
        root.addHandler(_handler)
        root.propagate = False
        if root.level == NOTSET:
            asked = (
                os.environ.get("FORMERS_VERBOSITY") or os.environ.get("TRANSFORMERS_VERBOSITY") or "warning"
            )
            if asked.lower() not in log_levels:
                root.warning("unknown verbosity %r; choose one of %s", asked, ", ".join(log_levels))
            root.setLevel(log_levels.get(asked.lower(), WARNING))
    return root


def get_log_levels_dict() -> dict[str, int]:
    """The names of levels and their numbers."""
    return dict(log_levels)


def get_logger(name: str | None = None) -> Any:
    """A logger of Python's `logging` with two more methods, `warning_once` and `info_once`.

    Args:
        name: its name, such as `__name__`; None for the library's own.
    """
    root = _root()
    logger: Any = root if name is None else logging.getLogger(name)
    if not hasattr(logger, "warning_once"):
        for say in (warning_once, info_once):
            setattr(logger, say.__name__, partial(say, logger))
    return logger


def warning_once(logger: logging.Logger, message: str, *args: Any, **kwargs: Any) -> None:
    """Warn, unless this logger has said that; `warning_once.cache_clear()` lets all be said again."""
    _once(logger, WARNING, message, *args, **kwargs)


def info_once(logger: logging.Logger, message: str, *args: Any, **kwargs: Any) -> None:
    """As `warning_once`, of what is no warning."""
    _once(logger, INFO, message, *args, **kwargs)


for _say in (warning_once, info_once):
    vars(_say)["cache_clear"] = _said.clear  # by that name suites empty it


def on_every_logger(on: bool) -> None:
    """Give every logger of Python `warning_once` and `info_once`, as the ecosystem does, or take them."""
    for say in (warning_once, info_once):
        held = vars(logging.Logger).get(say.__name__)
        if on and held is None:
            setattr(logging.Logger, say.__name__, say)
        elif not on and held is say:
            delattr(logging.Logger, say.__name__)


on_every_logger(stands_for_another())


def _once(logger: logging.Logger, level: int, message: str, *args: Any, **kwargs: Any) -> None:
    """Log a message that this logger has not logged yet."""
    key = (logger.name, str(message))
    if key not in _said:
        _said.add(key)
        logger.log(level, message, *args, **kwargs)


def get_verbosity() -> int:
    """The level of the library's loggers."""
    return _root().getEffectiveLevel()


def set_verbosity(verbosity: int | str) -> None:
    """Set the level: a number of Python's `logging`, or its name. Above "warning", notices are silent too.

    Raises:
        ValueError: for a name that is no level.
    """
    if isinstance(verbosity, str):
        if verbosity.lower() not in log_levels:
            raise ValueError(f"{verbosity!r} is no level; choose one of {', '.join(log_levels)}")
        verbosity = log_levels[verbosity.lower()]
    _root().setLevel(verbosity)


def set_verbosity_debug() -> None:
    """Say everything."""
    set_verbosity(DEBUG)


def set_verbosity_info() -> None:
    """Say what is done."""
    set_verbosity(INFO)


def set_verbosity_warning() -> None:
    """Say what may be wrong."""
    set_verbosity(WARNING)


def set_verbosity_error() -> None:
    """Say nothing but errors: notices are silent."""
    set_verbosity(ERROR)


def disable_default_handler() -> None:
    """Take the handler on standard error away."""
    root = _root()
    if _handler is not None:
        root.removeHandler(_handler)


def enable_default_handler() -> None:
    """Put the handler on standard error back."""
    root = _root()
    if _handler is not None:
        root.addHandler(_handler)


def add_handler(handler: logging.Handler) -> None:
    """Add a handler of one's own."""
    _root().addHandler(handler)


def remove_handler(handler: logging.Handler) -> None:
    """Take a handler of one's own away."""
    _root().removeHandler(handler)


def enable_propagation() -> None:
    """Let the root logger of Python handle what the library logs; take the default handler away with it."""
    _root().propagate = True


def disable_propagation() -> None:
    """Keep what the library logs from the root logger of Python."""
    _root().propagate = False


def enable_explicit_format() -> None:
    """Write level, place and time in front of each message."""
    for handler in _root().handlers:
        handler.setFormatter(logging.Formatter(_EXPLICIT))


def reset_format() -> None:
    """Write messages as they are."""
    for handler in _root().handlers:
        handler.setFormatter(None)


def captureWarnings(capture: bool) -> None:  # noqa: N802  (the name in Python's logging)
    """Send Python's warnings, notices among them, to the handlers of the library, or no longer."""
    warned = logging.getLogger("py.warnings")
    for handler in _root().handlers:
        (warned.addHandler if capture else warned.removeHandler)(handler)
    warned.setLevel(_root().level)
    logging.captureWarnings(capture)


class CaptureLogger:
    """What a logger says inside a `with` block: `out`, all of it as one text once the block is left.

    Args:
        logger: one of `get_logger`.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self.logger = logger
        self.io = StringIO()
        self.handler = logging.StreamHandler(self.io)
        self.out = ""

    def __enter__(self) -> CaptureLogger:
        self.logger.addHandler(self.handler)
        return self

    def __exit__(self, *error: object) -> None:
        self.logger.removeHandler(self.handler)
        self.out = self.io.getvalue()

    def __repr__(self) -> str:
        return f"captured: {self.out}\n"


def is_progress_bar_enabled() -> bool:
    """Whether progress bars may be shown."""
    return _bars


def enable_progress_bar() -> None:
    """Let progress bars be shown again: of training, pipelines and downloads."""
    _show_bars(True)


def disable_progress_bar() -> None:
    """Show no progress bars."""
    _show_bars(False)


def _show_bars(shown: bool) -> None:
    global _bars
    _bars = shown
    from huggingface_hub.utils.tqdm import disable_progress_bars, enable_progress_bars

    (enable_progress_bars if shown else disable_progress_bars)()
