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
    voice: Annotated[
        str | None,
        typer.Option(help="Voice to go on in: a name that the model brings, or a .npz file (Bark)."),
    ] = None,
    speaker_embedding: Annotated[
        Path | None,
        typer.Option(help="Vector of whose voice is heard, as a .npy file (SpeechT5).", exists=True),
    ] = None,
    vocoder: Annotated[
        str | None, typer.Option(help="What makes sounds of spectra: folder, or name on the Hub.")
    ] = None,
    rate: Annotated[float | None, typer.Option(help="2.0 speaks twice as fast.")] = None,
    tokens: Annotated[
        int | None,
        typer.Option(min=1, help="How long to go on at most, for models that write token by token."),
    ] = None,
    sample: Annotated[
        bool | None,
        typer.Option("--sample/--greedy", help="Draw tokens, or take the likeliest; as the model says."),
    ] = None,
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
    parts: dict[str, Any] = {"processor": model if voice else None, "vocoder": vocoder}
    pipe = pipeline("text-to-speech", model=model, device=device, **_told(parts))
    given = {"speaker_id": speaker, "speaking_rate": rate, "speaker_embeddings": _vector(speaker_embedding)}
    if seed is not None:
        set_seed(seed)
    answer = pipe(
        text,
        preprocess_params=_told({"voice_preset": voice}),
        forward_params=_told(given),
        generate_kwargs=_told({"max_new_tokens": tokens, "do_sample": sample}),
    )
    write_sound(output, answer["audio"], answer["sampling_rate"])
    seconds = answer["audio"].shape[-1] / answer["sampling_rate"]
    say(f"saved: {output} ({seconds:.1f} seconds)")


def _told(given: dict[str, Any]) -> dict[str, Any]:
    """What somebody said."""
    return {name: value for name, value in given.items() if value is not None}


def _vector(path: Path | None) -> Any:
    """A speaker's vector, [1, width], floating.

    Raises:
        ValueError: for a file that holds none.
    """
    if path is None:
        return None
    import numpy as np
    import torch

    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is no file of numbers (.npy), such as numpy.save writes") from error
    if not isinstance(found, np.ndarray) or found.dtype.kind != "f" or found.squeeze().ndim != 1:
        raise ValueError(f"{path} holds no vector of a speaker, which is a row of floating numbers")
    return torch.from_numpy(found.reshape(1, -1)).float()
