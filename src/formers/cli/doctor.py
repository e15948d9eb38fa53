"""`formers doctor`: what of the ecosystem a project uses, and what of it is there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from formers.cli import choices


def doctor(
    path: Annotated[
        Path, typer.Argument(help="Folder of a project, or one file.", callback=choices.expanded)
    ],
    as_json: choices.AsJson = False,
) -> None:
    """Read a project's sources: which names of the ecosystem are there, and what to type instead of others.

    Ends with 1 where something is needed that is not there.
    """
    from formers.dropin.doctor import examine

    choices.verdict(examine(path), as_json)
