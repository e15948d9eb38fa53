"""`formers embed`: a vector for each text of a file or standard input."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from formers.cli import choices


def embed(
    model: Annotated[str, typer.Argument(help="Folder of a saved model, or a Hub id.", show_default=False)],
    texts: Annotated[
        list[str] | None,
        typer.Argument(help="The texts. Without any: --file, or one a line on standard input."),
    ] = None,
    file: choices.File = None,
    text_column: choices.TextsColumn = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="vectors.npy, .safetensors or .jsonl; JSON lines on standard output when left out.",
            callback=choices.expanded,
        ),
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="What every text begins with.")] = None,
    prompt_name: Annotated[
        str | None, typer.Option(help="One of the prompts that the model declares, such as query.")
    ] = None,
    normalize: Annotated[
        bool | None, typer.Option(help="Vectors of length 1, or not; as the model declares when left out.")
    ] = None,
    dimensions: Annotated[int | None, typer.Option(min=1, help="Only so many of the first numbers.")] = None,
    max_length: choices.MaxLength = None,
    long_text: choices.LongText = None,
    device: choices.Device = None,
    dtype: choices.Dtype = None,
) -> None:
    """Turn texts into vectors, pooled as the model's folder declares it (sentence-transformers).

    Rows come in the order of the texts; lines that are blank have none. A file is written wholly or not at
    all.
    """
    import sys

    from formers.cli import texts as sources
    from formers.cli.show import say
    from formers.jobs import vectors
    from formers.jobs.predictor import model_name

    if output is not None:
        vectors.check(output)
    blocks = sources.blocks(texts, file, text_column)
    name = model_name(model)
    from formers import pipeline

    given = {
        "prompt": prompt,
        "prompt_name": prompt_name,
        "normalize": normalize,
        "dimensions": dimensions,
        "max_length": max_length,
        "long_text": long_text,
        "device": device,
        "dtype": dtype,
    }
    said = {key: value for key, value in given.items() if value is not None}
    pipe = pipeline("sentence-embeddings", model=name, **said)
    shown = output is not None and file is not None and sys.stderr.isatty()
    rows = vectors.embedded(pipe, blocks, shown)
    if output is None:
        vectors.write_lines(rows, sys.stdout.buffer)
        return
    count = vectors.write(rows, dimensions or pipe.width, output)
    say(f"{count} vectors of {dimensions or pipe.width} numbers: {output}")
