"""What a command says when it cannot go on: one clear line in place of a traceback."""

from __future__ import annotations

import errno
import sys
from dataclasses import dataclass

from formers.core.extras import MissingExtra
from formers.core.notices import printable
from formers.jobs.predictor import NoAnswer

BAD_REQUEST = 2  # what was asked for cannot be done: a wrong path, a wrong type, a missing package
DEFECT = 1  # the model or the program itself is broken
INTERRUPTED = 130  # as a shell reports SIGINT


# What the library raises for a request that it refuses. Anything else is a defect of its own.
_REFUSALS = (OSError, ValueError, TypeError, MissingExtra, RuntimeError, MemoryError)


@dataclass(frozen=True)
class Failure:
    """The text to show, the exit status, and whether it is the fault of this program."""

    text: str
    status: int
    defect: bool = False


def describe(error: BaseException) -> Failure:
    """Say what `error` means to the person who typed the command."""
    if isinstance(error, KeyboardInterrupt):
        return Failure("interrupted", INTERRUPTED)
    if isinstance(error, NoAnswer):
        return Failure(str(error), DEFECT)
    if isinstance(error, OSError) and error.errno is not None:
        said = (error.strerror or errno.errorcode[error.errno]).lower()
        return Failure(said if error.filename is None else f"{error.filename}: {said}", BAD_REQUEST)
    empty = isinstance(error, MemoryError) and not str(error)
    if empty or type(error).__name__ == "OutOfMemoryError":  # torch's, which help does not import
        return Failure("out of memory: a smaller --batch-size or --max-length needs less", BAD_REQUEST)
    if isinstance(error, _REFUSALS) and str(error):
        return Failure(str(error), BAD_REQUEST)
    return Failure(f"{type(error).__name__}: {error} (a defect of formers; please report it)", DEFECT, True)


def report(error: BaseException, *, debug: bool) -> int:
    """Print `error` to standard error, with its traceback for `debug`, and return the exit status."""
    failure = describe(error)
    if debug:
        import traceback

        sys.stderr.write(printable("".join(traceback.format_exception(error))))
    elif failure.status == INTERRUPTED:
        sys.stderr.write("\ninterrupted\n")
    else:
        hint = "\n(formers --debug ... shows the traceback)" if failure.defect else ""
        sys.stderr.write(f"error: {printable(failure.text)}{hint}\n")
    return failure.status
