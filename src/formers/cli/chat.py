"""`formers chat`: a talk with a decoder in the terminal, or with lines of a pipe."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from formers.cli import choices, errors

if TYPE_CHECKING:
    from formers.jobs.chat import Chat

_COMMANDS = {
    "/save FILE": "write the chat as JSON",
    "/load FILE": "go on with a chat that was saved",
    "/image FILE": "show a picture, or one under an address, with the next message",
    "/system TEXT": "what the model is told before all; without a text, nothing",
    "/reset": "forget what was said",
    "/help": "this list",
    "/exit": "leave; so do Ctrl-C here and the end of the input",
}
_SHOWN = "\n\t\u200c\u200d"  # beside what is printable: the last two join letters and emoji


def chat(
    model: Annotated[str, typer.Argument(help="Folder of a decoder, or a Hub id.", show_default=False)],
    system: Annotated[str | None, typer.Option(help="What the model is told before all.")] = None,
    max_new_tokens: Annotated[int | None, typer.Option(min=1, help="Longest answer in tokens.")] = None,
    temperature: Annotated[
        float | None, typer.Option(min=0, help="Below 1 the likely is likelier; 0 is --greedy.")
    ] = None,
    top_p: Annotated[float | None, typer.Option(help="Draw from the likeliest of this share.")] = None,
    top_k: Annotated[int | None, typer.Option(help="Draw from so many of the likeliest.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same answers every time.")] = None,
    greedy: Annotated[bool, typer.Option("--greedy", help="Always the likeliest token.")] = False,
    more: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any other field of GenerationConfig."),
    ] = None,
    image: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE", help="A picture that the first message shows; several times for several."
        ),
    ] = None,
    device: choices.Device = None,
    dtype: choices.Dtype = None,
) -> None:
    """Talk with a decoder: answers come as they are written, each line is a message.

    A model that reads pictures is shown them by --image, and by /image in between.
    Ctrl-C stops an answer. Settings left out are the model's own; /help lists what the program obeys.
    """
    from formers.cli.show import say

    given = {"max_new_tokens": max_new_tokens, "temperature": temperature, "top_p": top_p}
    given |= {"top_k": top_k, "seed": seed}
    settings = {name: value for name, value in given.items() if value is not None} | _parsed(more or ())
    drawn = [name for name in ("temperature", "top_p", "top_k") if name in settings]
    if temperature == 0 and not greedy:
        greedy, drawn = True, [name for name in drawn if name != "temperature"]
        del settings["temperature"]
    if greedy and drawn:
        raise ValueError(f"greedy answers are not drawn, so they take no {' and no '.join(drawn)}")
    if greedy or drawn:
        settings["do_sample"] = not greedy

    from formers.jobs.chat import Chat

    talk = Chat.load(model, system, device, dtype, **settings)
    if not talk.templated:
        say(f"{model} has no chat template: it goes on with the plain text of what was said")
    for one in image or ():
        talk.show(one)
    typed = sys.stdin.isatty() and sys.stdout.isatty()
    if typed:
        say("/help lists the commands")
    for line in _lines(typed):
        if line.strip() == "/exit":
            break
        if line.strip():
            _obey(talk, line)


def _parsed(pairs: list[str] | tuple[str, ...]) -> dict[str, Any]:
    """NAME=VALUE, where a value is JSON, or else a text."""
    import json

    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"--set takes NAME=VALUE, such as repetition_penalty=1.1, not {pair!r}")
        try:
            found[name.strip()] = json.loads(value)
        except ValueError:
            found[name.strip()] = {"True": True, "False": False, "None": None}.get(value, value)
    return found


def _lines(typed: bool) -> Iterator[str]:
    """What comes on standard input, line by line; asked for where a person types it."""
    if not typed:
        for line in sys.stdin:
            yield line.rstrip("\r\n")
        return
    with suppress(ImportError):  # Windows has none
        import readline  # noqa: F401  # from here on `input` has keys for editing
    while True:
        try:
            line = input("> ")
        except (EOFError, KeyboardInterrupt):
            typer.echo()
            return
        yield line


def _obey(talk: Chat, line: str) -> None:
    """Do what one line asks for; what cannot be done is said, and the chat goes on."""
    try:
        if line.startswith("/") and not line.startswith("//"):
            _command(talk, line.strip())
        else:
            _answer(talk, line.removeprefix("/"))
    except BrokenPipeError:
        raise
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        errors.report(error, debug=False)


def _answer(talk: Chat, text: str) -> None:
    from formers.cli.show import say
    from formers.core.notices import printable

    try:
        with _interruptible(talk):
            found = talk.answer(text, lambda piece: typer.echo(printable(piece, kept=_SHOWN), nl=False))
    except KeyboardInterrupt:  # the second one, which does not wait for the next token
        typer.echo()
        say("(stopped)")
        return
    typer.echo()
    if found.stopped or not found.text:
        say("(stopped)" if found.stopped else "(no answer)")
    if found.left_out:
        turns = "the oldest turn is" if found.left_out == 1 else f"the {found.left_out} oldest turns are"
        say(f"(the model reads {talk.room} tokens: {turns} left out from here on)")


@contextmanager
def _interruptible(talk: Chat) -> Iterator[None]:
    """Let Ctrl-C stop the answer with its next token, and a second one at once."""
    before = signal.getsignal(signal.SIGINT)

    def stop(*_: Any) -> None:
        talk.stop()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _command(talk: Chat, line: str) -> None:
    """Obey a line that begins with a slash.

    Raises:
        ValueError: for one that is no command.
    """
    from formers.cli.show import say
    from formers.core.notices import did_you_mean

    word, _, rest = line.partition(" ")
    rest = rest.strip()
    if word in ("/save", "/load"):
        if not rest:
            raise ValueError(f"{word} needs the name of a file")
        path = Path(rest).expanduser()
        (talk.save if word == "/save" else talk.restore)(path)
        say(f"{len(talk.messages)} messages {'saved in' if word == '/save' else 'from'} {path}")
    elif word == "/image":
        if not rest:
            raise ValueError("/image needs the name of a file")
        talk.show(rest if "://" in rest else Path(rest).expanduser())
        say("the next message shows it")
    elif word == "/system":
        talk.system = rest or None
        say("the model is told so from here on" if rest else "the model is told nothing before all")
    elif word == "/reset":
        talk.reset()
        say("nothing was said")
    elif word == "/help":
        for name, meaning in _COMMANDS.items():
            say(f"{name:<14}{meaning}")
    else:
        known = [name.partition(" ")[0] for name in _COMMANDS]
        raise ValueError(
            f"{word} is no command{did_you_mean(word, known)} (/help lists them; two slashes begin a message "
            "with one)"
        )
