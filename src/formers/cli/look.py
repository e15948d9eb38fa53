"""`formers look`: what a model sees in pictures, as text, as JSON, or drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from formers.cli import choices


def look(
    pictures: Annotated[list[str], typer.Argument(help="Files or addresses of pictures.")],
    model: choices.Model,
    task: Annotated[
        str | None, typer.Option(help="As in pipeline(task); the model's own when left out.")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option("--labels", help="Labels of your own, with commas between, for zero-shot tasks."),
    ] = None,
    draw: Annotated[
        Path | None,
        typer.Option("--draw", help="Write the picture with its answers: a file, or a folder for several."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    device: choices.Device = None,
    dtype: choices.Dtype = None,
) -> None:
    """Answer pictures with a model; one that cannot be read is answered by why, and the others as usual."""
    from formers import pipeline, plots

    if draw is not None and len(pictures) > 1 and draw.suffix:
        raise ValueError(f"--draw {draw} is one file, but there are {len(pictures)} pictures: name a folder")
    pipe = pipeline(task, model=model, device=device, dtype=dtype)
    given: dict[str, Any] = {"on_error": "return"}
    if labels is not None:
        given["candidate_labels"] = labels
    failed = False
    for name, answer in zip(pictures, pipe(pictures, **given), strict=True):
        wrong = isinstance(answer, dict) and "error" in answer
        failed = failed or wrong
        typer.echo(_json(name, answer) if as_json else f"{name}: {_line(answer)}")
        if draw is not None and not wrong:
            where = draw if draw.suffix else draw / f"{Path(name).stem}.png"
            where.parent.mkdir(parents=True, exist_ok=True)
            plots.draw(name, answer).save(where)
            typer.echo(f"drawn: {where}", err=True)
    if failed:
        raise typer.Exit(1)


def _plain(answer: Any) -> Any:
    """Without what is no JSON: pictures and tensors are told by their sizes."""
    if isinstance(answer, dict):
        return {key: _plain(value) for key, value in answer.items()}
    if isinstance(answer, list):
        return [_plain(one) for one in answer]
    size = getattr(answer, "size", None)
    if size is None or isinstance(answer, (int, float, str)):
        return answer
    return f"{type(answer).__name__} {list(size() if callable(size) else size)}"


def _json(name: str, answer: Any) -> str:
    import json

    return json.dumps({"picture": name, "answer": _plain(answer)}, ensure_ascii=False)


def _line(answer: Any) -> str:
    if not isinstance(answer, list):
        return str(_plain(answer))
    return "  ".join(_of_one(one) for one in answer) or "nothing"


def _of_one(one: dict[str, Any]) -> str:
    score = f" {one['score']:.3f}" if one.get("score") is not None else ""
    box = one.get("box")
    return f"{one['label']}{score}" + (f" at {list(box.values())}" if box else "")
