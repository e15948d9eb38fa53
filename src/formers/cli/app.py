"""The command line as a whole: its options, how it fails, and the commands it is put together from."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from formers.cli import (
    audio_demo,
    chat,
    desk,
    doctor,
    embed,
    env,
    errors,
    evaluate,
    export,
    look,
    mapping,
    predict,
    quantize,
    registry,
    serve,
    speak,
    train,
    transcribe,
    vision_demo,
)
from formers.core.notices import reader_went_away


class Commands(TyperGroup):
    """The commands, in the order they were added; whatever one of them raises ends as one clear line."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The order of a day's work, not of the alphabet."""
        return list(self.commands)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that `ctx` holds."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            reader_went_away()
            raise typer.Exit(0) from None
        except (Exception, KeyboardInterrupt) as error:
            if isinstance(error, (typer.Exit, typer.Abort)) or hasattr(error, "exit_code"):
                raise  # typer's own: a usage error, or an end that was asked for
            raise typer.Exit(errors.report(error, debug=bool(ctx.params.get("debug")))) from error


app = typer.Typer(
    name="formers",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        from formers import __version__

        typer.echo(f"formers {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[
        bool, typer.Option("--debug", envvar="FORMERS_DEBUG", help="Show the traceback of a failure.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and stop.")
    ] = False,
) -> None:
    """Train, judge, run and serve transformer models."""
    _show_notices_as_lines()


def _show_notices_as_lines() -> None:
    """Print the library's notices as a plain line each; other warnings stay as they are."""
    from formers.core.notices import Notice, printable

    ordinary = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
        if issubclass(category, Notice):
            sys.stderr.write(f"note: {printable(str(message))}\n")
        else:
            ordinary(message, category, *rest, **more)

    warnings.showwarning = show


app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("report")(evaluate.report)
app.command("predict")(predict.predict)
app.command("map")(mapping.map_)
app.command("look")(look.look)
app.command("embed")(embed.embed)
app.command("transcribe")(transcribe.transcribe)
app.command("speak")(speak.speak)
app.command("serve")(serve.serve)
app.command("chat")(chat.chat)
app.command("export")(export.export)
app.command("quantize")(quantize.quantize)
app.command("perplexity")(quantize.perplexity)
app.add_typer(desk.golden, name="golden")
app.add_typer(desk.drift, name="drift")
app.add_typer(registry.registry, name="registry")
app.command("vision-demo")(vision_demo.vision_demo)
app.command("audio-demo")(audio_demo.audio_demo)
app.command("doctor")(doctor.doctor)
app.command("env")(env.env)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with its status."""
    # The tokenizers use threads of their own; a notice about forks is of no use to a command.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    app(args=list(arguments) if arguments is not None else None)
