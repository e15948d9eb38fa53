"""`formers speak`: a text to a sound."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from formers.cli import choices


def speak(
    text: Annotated[
        str | None, typer.Argument(help="What is said; read from standard input without.")
    ] = None,
    model: Annotated[str, typer.Option("--model", "-m", help="Folder, or name on the Hub.")] = (
        "facebook/mms-tts-eng"
    ),
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="File: .wav, .flac, .mp3 or .ogg.", callback=choices.expanded),
    ] = Path("speech.wav"),
    speaker: Annotated[
        int | None, typer.Option(min=0, help="Which speaker, of a model that has several.")
    ] = None,
    rate: Annotated[float | None, typer.Option(help="2.0 speaks twice as fast.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Speak in the same way again.")] = None,
    device: choices.Device = None,
) -> None:
    """Speak a text into a file."""
    import sys

    from formers import pipeline, set_seed
    from formers.cli.show import say
    from formers.core.atomic import refuse_unwritable
    from formers.processing.audio.writing import check_ending, write_sound

    check_ending(output)
    refuse_unwritable(output.parent)
    if text is None:
        if sys.stdin.isatty():
            raise ValueError('say what is to be spoken: formers speak "Good morning"')
        text = sys.stdin.read()
    if not text.strip():
        raise ValueError("there is nothing to speak in an empty text")
    pipe = pipeline("text-to-speech", model=model, device=device)
    given: dict[str, Any] = {"speaker_id": speaker, "speaking_rate": rate}
    if seed is not None:
        set_seed(seed)
    said = {name: value for name, value in given.items() if value is not None}
    answer = pipe(text, forward_params=said)
    write_sound(output, answer["audio"], answer["sampling_rate"])
    seconds = answer["audio"].shape[-1] / answer["sampling_rate"]
    say(f"saved: {output} ({seconds:.1f} seconds)")
