"""A model becomes a folder of graphs: written beside, compared with the model, then put in its place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from torch import Tensor

from formers.configs import CONFIG_NAME, GENERATION_CONFIG_NAME
from formers.core.atomic import write_text
from formers.core.notices import notice
from formers.export import reducing
from formers.export.errors import ExportError
from formers.export.folder import written_whole
from formers.export.graph import checked_opset, write
from formers.export.parity import HALF, TOLERANCE, check
from formers.export.parts import graphs
from formers.hub import Source

_BESIDE = (  # what a model's folder has for tokenizers and processors
    *("tokenizer*.json", "tokenizer.model", "vocab*", "merges.txt", "*.spm", "spiece.model", "*.bpe.model"),
    *("special_tokens_map.json", "added_tokens.json", "chat_template.jinja", "*preprocessor_config.json"),
    *(
        "processor_config.json",
        "calibration.json",
        "thresholds.json",
        "drift-baseline.json",
        "normalizer.json",
    ),
    *("modules.json", "config_sentence_transformers.json", "sentence_*_config.json"),
)


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        folder: where.
        differences: file -> its largest difference from the model; of float16 where that was asked for.
        bytes: of all graphs together.
    """

    folder: Path
    differences: Mapping[str, float]
    bytes: int


def export_model(
    model: Any,
    folder: str | Path,
    *,
    inputs: Mapping[str, Tensor] | None = None,
    with_past: bool | None = None,
    opset: int | None = None,
    tolerance: float | None = None,
    int8: bool = False,
    fp16: bool = False,
    calibration: Iterable[Mapping[str, Any]] | None = None,
    beside: str | Path | None = None,
    judge: Callable[[Path], None] | None = None,
) -> Exported:
    """Write a model's graphs, config and tokenizer, in the files that `optimum` writes.

    Args:
        model: any model of the library; it is put into evaluation mode for the time.
        folder: where to; nothing is there until all is written and agrees.
        inputs: example inputs, in place of those that are made up.
        with_past: whether a model that writes takes and returns its cache; where it can, by default.
        opset: the version of ONNX's operators.
        tolerance: how far any number may be from the model's (by its share, above 1): 1e-4 by default, 3e-2
            in float16. What int8 does to numbers is for `judge`.
        int8: weights in 8 bits; ranges of activations are found as they come, or by `calibration`.
        fp16: weights and activations in float16; inputs and outputs stay float32.
        calibration: batches of inputs by name, from which the ranges of activations are taken beforehand.
        beside: folder, or Hub id, whose tokenizer and processor files are copied; the model's own by default.
        judge: called with the folder before it is in its place; raises where its answers are wrong.

    Raises:
        ExportError: for what cannot be written, or does not agree; nothing is left then.
    """
    if int8 and fp16:
        raise ExportError("int8 and fp16 are two ways to make a graph smaller: ask for one")
    if calibration is not None and not int8:
        raise ExportError("calibration data is for int8: ask for it too")
    checked_opset(opset)
    was = model.training
    model.eval()
    try:
        with written_whole(Path(folder)) as part:
            found = _written(model, part, inputs, with_past, opset, tolerance, int8, fp16, calibration)
            _write_beside(model, part, beside)
            if judge is not None:
                judge(part)
    finally:
        model.train(was)
    size = sum(path.stat().st_size for path in Path(folder).glob("*.onnx*"))
    return Exported(Path(folder), found, size)


def _written(
    model: Any,
    folder: Path,
    inputs: Mapping[str, Tensor] | None,
    with_past: bool | None,
    opset: int | None,
    tolerance: float | None,
    int8: bool,
    fp16: bool,
    calibration: Iterable[Mapping[str, Any]] | None,
) -> dict[str, float]:
    """Write every graph, compare it, and make it smaller; the largest difference of each."""
    found = {}
    given = None if calibration is None else list(calibration)
    for graph in graphs(model, inputs, with_past):
        file = write(graph, folder, opset)
        found[graph.file] = check(graph, file, TOLERANCE if tolerance is None or fp16 else tolerance)
        if int8:
            reducing.to_int8(file, given)
        elif fp16:
            reducing.to_fp16(file)
            found[graph.file] = check(graph, file, HALF if tolerance is None else tolerance)
    return found


def _write_beside(model: Any, folder: Path, beside: str | Path | None) -> None:
    """The config, and what lies beside a model for its texts, pictures or sounds."""
    config = model.config
    kept = config.architectures
    kind = next(k for k in type(model).__mro__ if not k.__name__.startswith("ORT"))
    config.architectures = [kind.__name__]
    try:
        write_text(folder / CONFIG_NAME, config.to_json_string())
    finally:
        config.architectures = kept
    if model.generation_config is not None:
        write_text(folder / GENERATION_CONFIG_NAME, model.generation_config.to_json_string())
    origin = str(model.name_or_path if beside is None else beside)
    if not origin:
        return
    try:
        source = Source.of(origin, revision=config.commit_hash if beside is None else None)
        found = [
            name
            for name in source.listing()
            if "/" not in name and any(fnmatchcase(name, one) for one in _BESIDE)
        ]
        for name in found:
            (folder / name).write_bytes(source.get(name).read_bytes())
    except OSError as error:  # a folder that is gone, a Hub that does not answer
        notice(f"{folder} gets no tokenizer and no processor, since {origin} cannot be read: {error}")


def export(model: Any, folder: Path, options: dict[str, Any]) -> None:
    """What `save_pretrained(folder, export=True)` does."""
    export_model(model, folder, **options)
