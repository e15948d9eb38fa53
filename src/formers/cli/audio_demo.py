"""`formers audio-demo`: sentences that espeak-ng speaks, transcribed, with subtitles and the error rate."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Annotated

import typer

from formers.cli import choices

_SENTENCES = (
    "The weather in London is often cloudy with a chance of rain.",
    "Please leave your message after the tone and we will call you back.",
    "The train to Manchester leaves at half past seven in the morning.",
    "He bought three apples, two oranges and a loaf of bread.",
)


def audio_demo(
    model: Annotated[str, typer.Option(help="Folder, or name on the Hub.")] = "openai/whisper-base",
    output: choices.Folder = Path("audio-demo"),
    voice: Annotated[str, typer.Option(help="Of espeak-ng.")] = "en-us",
) -> None:
    """Let espeak-ng speak a few sentences, write down what Whisper hears, and count its mistakes."""
    from formers import pipeline
    from formers.cli.show import say, table
    from formers.core.atomic import write_text
    from formers.core.extras import need
    from formers.jobs.subtitles import FORMS, lines_of
    from formers.tokenization.normalizers import EnglishTextNormalizer

    program = shutil.which("espeak-ng")
    if program is None:
        raise RuntimeError("the demonstration needs espeak-ng, which speaks: apt install espeak-ng")
    rate = need("jiwer", "audio", "the word error rate").wer
    output.mkdir(parents=True, exist_ok=True)
    pipe, clean, heard = pipeline("automatic-speech-recognition", model=model), EnglishTextNormalizer(), []
    for number, sentence in enumerate(_SENTENCES, 1):
        path = output / f"{number}.wav"
        subprocess.run([program, "-v", voice, "-s", "150", "-w", str(path), sentence], check=True)
        answer = pipe(str(path), return_timestamps="word", generate_kwargs={"language": "en"})
        heard.append(answer["text"].strip())
        write_text(path.with_suffix(".srt"), FORMS["srt"]({"chunks": lines_of(answer["chunks"])}))
    columns = (("said", "left"), ("heard", "left"))
    table(columns, zip(_SENTENCES, heard, strict=True))
    wrong = rate([clean(one) for one in _SENTENCES], [clean(one) for one in heard])
    say(f"word error rate {100 * wrong:.1f} %; sounds and subtitles: {output}")
