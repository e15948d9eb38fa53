"""`formers quantize` and `formers perplexity`: a model in fewer bits, and how well it predicts a text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from formers.cli import choices, texts

_Model = Annotated[
    str, typer.Argument(help="Folder of a model, a GGUF file, or a Hub id.", show_default=False)
]
_Length = Annotated[int, typer.Option(min=2, help="Tokens that are read at once.")]


def _whole(file: Path) -> str:
    """The text of a file; blank lines are left out."""
    found = "\n".join(texts.read(file, None))
    if not found:
        raise ValueError(f"{file} holds no text")
    return found


def quantize(
    model: _Model,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            help="int8, int4, nf4, fp4, bnb-int8, gptq, awq, hqq, fp8, or gguf- with q8_0, q4_0, q4_k_m, ...",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="Folder to write to, or a file that ends in .gguf; nothing is overwritten.",
            show_default=False,
            callback=choices.expanded,
        ),
    ],
    text: Annotated[
        Path | None,
        typer.Option(
            help="Text whose perplexity is taken, and that gptq and awq fit numbers to.",
            callback=choices.expanded,
        ),
    ] = None,
    max_length: _Length = 512,
    as_json: choices.AsJson = False,
) -> None:
    """Store a model in fewer bits, and show size, perplexity and tokens a second before and after."""
    from dataclasses import asdict

    from formers.cli import show
    from formers.jobs import quantizing

    given = None if text is None else _whole(text)
    path, before, after = quantizing.quantize(model, to, output, text=given, length=max_length)
    if as_json:
        choices.as_json({"written": str(path), "before": asdict(before), "after": asdict(after)})
        return
    show.table([("", "left"), ("before", "right"), ("after", "right")], quantizing.table(before, after))
    show.say(f"written: {path}")


def perplexity(
    model: _Model,
    file: Annotated[Path, typer.Argument(help="A text, or a table with a column text.", show_default=False)],
    max_length: _Length = 512,
    as_json: choices.AsJson = False,
    dtype: choices.Dtype = None,
) -> None:
    """How well a decoder predicts a text: the exponential of its mean loss per token, lower is better."""
    from formers.jobs import quantizing

    text = _whole(file)
    found, tokenizer = quantizing.load(model, dtype=dtype)
    value, count = quantizing.perplexity(found, tokenizer, text, max_length)
    if as_json:
        choices.as_json({"perplexity": value, "tokens": count, "max_length": max_length})
    else:
        typer.echo(f"perplexity {value:.4f} over {count:,} tokens")
