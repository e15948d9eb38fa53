"""`formers transcribe`: sounds to texts and subtitles."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from formers.cli import choices

Sounds = Annotated[list[str], typer.Argument(help="Files or addresses of sounds, also of films.")]
Wanted = Annotated[bool, typer.Option(help="Write this form.")]


def transcribe(
    sounds: Sounds,
    model: Annotated[str, typer.Option(help="Folder, or name on the Hub.")] = "openai/whisper-base",
    srt: Wanted = False,
    vtt: Wanted = False,
    json: Wanted = False,
    txt: Wanted = False,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder for the files; each sound's own unless given.", callback=choices.expanded),
    ] = None,
    language: Annotated[str | None, typer.Option(help="Code or name; heard unless given.")] = None,
    translate: Annotated[bool, typer.Option("--translate", help="Into English.")] = False,
    words: Annotated[bool, typer.Option("--words", help="Times of words: shorter subtitles.")] = False,
    beams: Annotated[int, typer.Option(min=1, help="Beams of the search.")] = 5,
    chunk: Annotated[
        float | None, typer.Option(min=1, help="Read pieces of so many seconds side by side: faster.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Pieces that are read at once, with --chunk; 8.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, ...")] = None,
) -> None:
    """Write down what is said in sounds: plain text on the screen, or files beside them."""
    from formers import pipeline
    from formers.cli.show import say
    from formers.core.atomic import write_text
    from formers.jobs.subtitles import FORMS, lines_of

    if batch_size is not None and chunk is None:
        raise ValueError("--batch-size is for pieces: say with --chunk how many seconds they have")
    forms = [name for name, wanted in zip(FORMS, (srt, vtt, json, txt), strict=True) if wanted]
    places = _places(sounds, output) if forms else [Path()] * len(sounds)
    pipe = pipeline("automatic-speech-recognition", model=model, device=device)
    settings: dict[str, Any] = {"num_beams": beams}
    if language is not None:
        settings["language"] = language
    if translate:
        settings["task"] = "translate"
    asked: dict[str, Any] = {"return_timestamps": "word" if words else True, "generate_kwargs": settings}
    if chunk is not None:
        asked |= {"chunk_length_s": chunk, "batch_size": batch_size or 8}
    for sound, place in zip(sounds, places, strict=True):
        answer = _transcribed(pipe, sound, asked, chunk is None)
        if words:
            answer = {**answer, "words": answer["chunks"], "chunks": lines_of(answer["chunks"])}
        if not forms:
            typer.echo(FORMS["txt"](answer), nl=False)
        for form in forms:
            path = place.with_name(f"{place.name}.{form}")
            write_text(path, FORMS[form](answer))
            say(f"saved: {path}")


def _places(sounds: list[str], output: Path | None) -> list[Path]:
    """Where the files of each sound go, without their endings: looked at before the work, not after it.

    Raises:
        OSError: for a folder that cannot be written.
        ValueError: where the files of two sounds would be the same.
    """
    from urllib.parse import urlsplit

    from formers.core.atomic import refuse_unwritable

    found = []
    for sound in sounds:
        name = Path(urlsplit(sound).path if "://" in sound else sound)
        folder = output or (Path() if "://" in sound else name.parent)
        found.append(folder / (name.stem or "sound"))
    for place in found:
        if found.count(place) > 1:
            raise ValueError(f"two sounds would be written to {place}.*: transcribe them one by one")
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
    for folder in {place.parent for place in found}:
        if folder.is_dir():  # else there is no such sound either
            refuse_unwritable(folder)
    return found


def _transcribed(pipe: Any, sound: str, asked: dict[str, Any], windows: bool) -> dict[str, Any]:
    """The answer for one sound; a long one that is read window after window shows how far it is."""
    import sys

    if not (windows and sys.stderr.isatty()):
        return dict(pipe(sound, **asked))
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        line = bar.add_task(Path(sound).name, total=None)

        def show(seeks: Any) -> None:
            seek, total = seeks[0].tolist()
            bar.update(line, completed=seek, total=total)

        settings = {**asked["generate_kwargs"], "monitor_progress": show}
        return dict(pipe(sound, **{**asked, "generate_kwargs": settings}))
