"""A model by name becomes a folder of ONNX graphs, with what lies beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from formers.jobs.predictor import model_name


def export(
    model: str,
    output: Path,
    *,
    task: str | None = None,
    with_past: bool | None = None,
    texts: Iterable[str] | None = None,
    judge: Callable[[Path], None] | None = None,
    **options: Any,
) -> Any:
    """Load a model, and write it as ONNX.

    Args:
        model: folder or Hub id.
        output: the folder.
        task: optimum's name of it, such as "text-generation-with-past"; by default that of the model's class.
        with_past: see `export_model`; by default as the task's name says.
        texts: what the ranges of activations are taken from, for int8.
        judge: see `export_model`.
        options: those of `export_model`.

    Returns:
        `Exported`.

    Raises:
        ExportError: for a model without that head, or graphs that do not agree.
        FileExistsError: where something lies there already.
    """
    from formers.auto import AutoConfig, AutoTokenizer
    from formers.export.exporting import export_model
    from formers.export.kinds import ending_for
    from formers.export.reducing import batches_of
    from formers.models.classes import class_of, endings
    from formers.models.registry import family_of

    if output.is_dir() and any(output.iterdir()):
        raise FileExistsError(f"{output} holds files already: name another folder")
    name = model_name(model)
    config = AutoConfig.from_pretrained(name)
    family, past = family_of(config.model_type), None
    if task is None or task == "auto":
        named = [one.removeprefix(family.name) for one in config.architectures or ()]
        ending = next((one for one in named if one in endings(family)), "Model")
    else:
        ending, past = ending_for(family, task)
    found = class_of(family, ending).from_pretrained(name, config=config)
    calibration = None if texts is None else batches_of(texts, AutoTokenizer.from_pretrained(name))
    past = past if with_past is None else with_past
    return export_model(found, output, with_past=past, calibration=calibration, judge=judge, **options)
