"""`formers registry`: versions of a model in a folder, and which of them `formers serve` answers with."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from formers.cli import choices

registry = typer.Typer(
    no_args_is_help=True,
    help="Keep versions of a model, and say which of them a server answers with, while it runs.",
)

Folder = Annotated[
    Path,
    typer.Argument(help="Folder of the registry.", show_default=False, callback=choices.expanded),
]
Name = Annotated[str, typer.Argument(metavar="VERSION", help="Name of a version.", show_default=False)]


@registry.command("add")
def add(
    folder: Folder,
    model: Annotated[str, typer.Argument(help="Folder of a saved model, or a Hub id.", show_default=False)],
    name: Annotated[str | None, typer.Option(help="Of the version; v1, v2, ... when left out.")] = None,
    note: Annotated[str, typer.Option(help="What it is.")] = "",
) -> None:
    """Copy a model into the registry as a new version, with the hash of each file. It answers nothing yet."""
    from formers.cli.show import say
    from formers.jobs.predictor import model_name

    version, new = _at(folder).add(model_name(model), name, note)
    say(f"{'added' if new else 'there already as'} {version.name} ({version.hash[:19]})")
    typer.echo(version.name)


@registry.command("list")
def list_(folder: Folder, as_json: choices.AsJson = False) -> None:
    """List the versions, the oldest first, and the stage of each."""
    state = _at(folder).state()
    if as_json:
        choices.as_json(_told(state))
        return
    from formers.cli.show import table

    stages = state.stages
    roles = {stages.shadow: "shadow", stages.candidate: f"{stages.share:.3g}", stages.current: "current"}
    rows = [
        (one.name, roles.get(one.name, ""), one.hash[7:19], one.added, one.source, one.note)
        for one in state.versions.values()
    ]
    table([(head, "left") for head in ("version", "stage", "hash", "added", "from", "note")], rows)


@registry.command("show")
def show(
    folder: Folder,
    version: Annotated[
        str | None, typer.Argument(help="A version; the stages and what was done when left out.")
    ] = None,
    as_json: choices.AsJson = False,
) -> None:
    """Show what answers and what was done; or a version, once its files are found to be what was added."""
    found = _at(folder)
    if version is not None:
        told: Any = asdict(found.verify(version))
        if not as_json:
            files = "".join(f"\n  {value[:12]}  {file}" for file, value in told.pop("files").items())
            typer.echo("\n".join(f"{name}: {value}" for name, value in told.items()) + files)
            return
    else:
        state = found.state()
        told = _told(state)
        if not as_json:
            events = "".join(f"\n  {one['at']}  {one['did']}" for one in state.history)
            typer.echo(f"revision {state.revision}: {state.stages}{events}")
            return
    choices.as_json(told)


@registry.command("promote")
def promote(
    folder: Folder,
    version: Name,
    share: Annotated[
        float,
        typer.Option(min=0, max=1, help="Of the requests that it gets; 1 makes it the current version."),
    ] = 1.0,
    shadow: Annotated[
        bool, typer.Option("--shadow", help="It is asked, too; its answers are compared, and not sent.")
    ] = False,
) -> None:
    """Let a version answer: all requests, a share of them, or as a shadow. Servers follow while they run."""
    typer.echo(str(_at(folder).promote(version, share, shadow=shadow).stages))


@registry.command("rollback")
def rollback(
    folder: Folder,
    to: Annotated[str | None, typer.Option(help="A version; the one that was current before.")] = None,
) -> None:
    """Go back: a candidate loses its share; without one, the version before is current again."""
    typer.echo(str(_at(folder).rollback(to).stages))


@registry.command("end-shadow")
def end_shadow(folder: Folder) -> None:
    """Take the shadow away."""
    typer.echo(str(_at(folder).end_shadow().stages))


def _at(folder: Path) -> Any:
    from formers.desk.registry import Registry

    return Registry(folder)


def _told(state: Any) -> dict[str, Any]:
    told = asdict(state)
    for one in told["versions"].values():
        del one["files"]
    return told
