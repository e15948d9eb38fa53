"""Exports the main head of every family as ONNX and compares ONNX Runtime with the model.

    python benchmarks/exports.py                  # all families, in tiny random models
    python benchmarks/exports.py --only bert t5   # some of them
    python benchmarks/exports.py --minilm         # a real MiniLM in ONNX Runtime and torch

A row is a family, the class, the largest difference (by its share, above 1), or what went wrong. Families
enrol themselves: their shapes are those of `tests/parity`. Rows are kept in `benchmarks/exports.md`, where
those of a run replace older ones of the same families.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import torch

import formers
from formers.export import ExportError
from formers.export.exporting import export_model
from formers.export.graph import write
from formers.export.parity import check
from formers.export.parts import graphs
from formers.models.registry import families, family_of

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "benchmarks" / "exports.md"
_HEAD = """# Families as ONNX graphs

Written by `python benchmarks/exports.py`: the main head of every family in a tiny random model, exported, and
run in ONNX Runtime over the example and over smaller and larger sizes of every open axis. *agrees*: the
largest difference of any number from the model's (by its share, above 1); 1e-4 is allowed. *agreed*: it did,
over the example and fewer rows and columns, which was all that was tried then. *refused*: the exporter says
why. *failed*: anything else. Families that are not listed were not measured yet.

| family | class | outcome | largest difference, or reason |
|---|---|---|---|
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--skip", nargs="*", default=[])
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no family after so long")
    parser.add_argument("--minilm", action="store_true")
    chosen = parser.parse_args()
    sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "examples")]
    warnings.simplefilter("ignore")
    if chosen.minilm:
        minilm()
        return
    begun, names = time.monotonic(), chosen.only or [one.model_type for one in families()]
    counts: dict[str, int] = {}
    for name in names:
        if name in chosen.skip or time.monotonic() - begun > chosen.seconds:
            continue
        at = time.monotonic()
        head, outcome, text = export_one(name)
        counts[outcome] = counts.get(outcome, 0) + 1
        record({name: (head, outcome, text)})
        print(f"{name:26} {head:44} {outcome:8} {text}  {time.monotonic() - at:.0f} s", flush=True)
    print(json.dumps(counts))


def record(rows: dict[str, tuple[str, str, str]], file: Path = TABLE) -> None:
    """Put rows into the table, in place of older ones of the same families."""
    kept = file.read_text().splitlines() if file.is_file() else []
    held = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in kept if line.startswith("| ")]
    cells = {first: rest for first, *rest in held if first != "family"}
    cells |= {name: [cell.replace("|", "/") for cell in row] for name, row in rows.items()}
    lines = (f"| {name} | {' | '.join(row)} |\n" for name, row in sorted(cells.items()))
    file.write_text(_HEAD + "".join(lines))


def export_one(model_type: str) -> tuple[str, str, str]:
    """Class, outcome and largest difference of one family's main head."""
    from tests.parity import seq2seq_shapes, shapes

    head = ""
    try:
        room: Any = seq2seq_shapes if model_type in seq2seq_shapes.SHAPES else shapes
        if model_type not in room.SHAPES:
            return head, "no shape", ""
        named = shapes.class_names(family_of(model_type))
        head = next((name for name in named if not name.endswith("Model")), named[0])
        torch.manual_seed(0)
        config = formers.AutoConfig.for_model(model_type, **next(iter(room.SHAPES[model_type].values())))
        model = getattr(formers, head)(config).eval()
        given = {k: v for k, v in room.inputs_of(model).items() if isinstance(v, torch.Tensor)}
        writes = model.can_generate() and (config.is_encoder_decoder or set(given) <= _TEXT)
        largest = 0.0
        for graph in graphs(model, given if config.is_encoder_decoder or not writes else None):
            with tempfile.TemporaryDirectory() as folder:
                largest = max(largest, check(graph, write(graph, Path(folder))))
    except ExportError as error:
        return head, "refused", " ".join(str(error).split())[:300]
    except Exception as error:  # a row of the table says what went wrong, of whatever kind
        return head, "failed", f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return head, "agrees", f"{largest:.1e}"


_TEXT = {"input_ids", "attention_mask", "token_type_ids"}


def minilm() -> None:
    """Texts a second of a real MiniLM, one core, by what computes it, in one run."""
    from formers.export import ORTModelForFeatureExtraction
    from minilm import minilm as folder_of_minilm

    source = folder_of_minilm()
    tokenizer = formers.AutoTokenizer.from_pretrained(source)
    torch.set_num_threads(1)
    words = "the parcel that was sent last week is late and my card was charged twice please help"
    rest = words.split()
    texts = [" ".join(rest[i % 5 : i % 5 + 4 + i % 12]) for i in range(64)]
    given = tokenizer(texts, padding=True, return_tensors="pt")
    model = formers.AutoModel.from_pretrained(source).eval()
    with tempfile.TemporaryDirectory() as folder:
        ours = formers.Int8DynamicConfig()
        quantized = formers.AutoModel.from_pretrained(source, quantization_config=ours).eval()
        kinds: dict[str, Any] = {"torch float32": model, "torch int8, our own": quantized}
        for name, options in (("ONNX Runtime float32", {}), ("ONNX Runtime int8", {"int8": True})):
            to = Path(folder) / name.replace(" ", "-")
            export_model(model, to, **options)  # type: ignore[arg-type]  # keywords by name
            kinds[name] = ORTModelForFeatureExtraction.from_pretrained(to)
        with torch.no_grad():
            wanted = _pooled(model(**given)[0], given["attention_mask"])
            for name, one in kinds.items():
                best = min(_seconds(one, given) for _ in range(7))
                vectors = _pooled(one(**given)[0], given["attention_mask"])
                near = torch.cosine_similarity(vectors, wanted).min()
                print(f"{name:24} {len(texts) / best:8.0f} texts/s  least cosine {float(near):.5f}")


def _seconds(model: Any, given: Any) -> float:
    begun = time.perf_counter()
    model(**given)
    return time.perf_counter() - begun


def _pooled(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


if __name__ == "__main__":
    main()
