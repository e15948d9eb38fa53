"""How far every head of every family is from the reference: outputs, hidden states, loss, gradients, saves.

Random checkpoints of the shapes in `tests/parity`, written by the reference, are loaded by both; the largest
difference over all heads and shapes of a family is given (float32, real tokens; the difference of two numbers
is taken over one plus the reference's magnitude, as the tests do): padded on the right, and what is told of
tokens on the left too (of sequences, the reference's encoders read a place of padding there). The last row is
the real all-MiniLM-L6-v2 with pretrained weights: hidden states and unit-length embeddings of texts in one
padded batch. A head whose save differs from the file that was loaded, or that the reference cannot load, is
an error. A record is also what `docs/models.md` tells of parity.

    python benchmarks/parity.py [--only MODEL_TYPE ...] [--record]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 1e-5
MEASURED = ROOT / "benchmarks" / "parity.json"
sys.path.insert(0, str(ROOT))


@dataclass
class Distance:
    """The largest differences seen, and over how many heads and checkpoints."""

    heads: set[str] = field(default_factory=set)
    checkpoints: int = 0
    outputs: float = 0.0
    hidden: float = 0.0
    loss: float = 0.0
    gradients: float = 0.0

    def see(self, kind: str, theirs: Any, ours: Any, real: Any = None) -> None:
        """Note the difference of two tensors, or of two tuples of them."""
        if isinstance(theirs, (tuple, list)):
            for one, other in zip(theirs, ours, strict=True):
                self.see(kind, one, other, real)
            return
        if hasattr(theirs, "keys"):  # of a part, whose vectors are among the whole's
            return
        if isinstance(theirs, int):  # of a size, which tests compare
            return
        if theirs.shape != ours.shape:
            raise SystemExit(f"{kind}: shape {list(ours.shape)}, the reference has {list(theirs.shape)}")
        if real is not None and theirs.shape[: real.dim()] == real.shape:
            theirs, ours = theirs[real], ours[real]
        theirs, ours = theirs.detach(), ours.detach()
        if not theirs.numel():  # pictures without points
            return
        alike = (theirs == ours) | (theirs.isnan() & ours.isnan())  # which infinite ones may be too
        apart = float(((theirs - ours).abs() / (1 + theirs.abs())).masked_fill(alike, 0).max())
        if apart != apart:
            raise SystemExit(f"{kind}: one side has numbers where the other has none")
        setattr(self, kind, max(getattr(self, kind), apart))

    def row(self, name: str) -> list[str]:
        """A row of the table."""
        numbers = (f"{getattr(self, kind):.1e}" for kind in ("outputs", "hidden", "loss", "gradients"))
        return [name, str(len(self.heads)), str(self.checkpoints), *numbers]

    @property
    def largest(self) -> float:
        """The largest difference of any kind."""
        return max(self.outputs, self.hidden, self.loss, self.gradients)


@dataclass
class Case:
    """One head in one shape: the reference's model, its checkpoint, and what to feed it."""

    model_type: str
    name: str
    theirs: Any
    ours: Any
    inputs: dict[str, Any]
    labels: dict[str, Any]
    left: dict[str, Any] | None = None  # the inputs with their padding on the left

    def real(self, key: str = "") -> Any:
        """Which places of an output hold real tokens."""
        if "decoder_input_ids" in self.inputs and not key.startswith("encoder"):
            mask = self.inputs.get("decoder_attention_mask")
            return None if mask is None else mask.bool()
        mask = self.inputs.get("attention_mask", self.inputs.get("pixel_attention_mask"))
        return None if mask is None else mask.bool()


Choice = Callable[[Sequence[str]], Sequence[str]]  # which of a family's heads are looked at


def encoders_and_decoders(folder: Path, only: Container[str], chosen: Choice = list) -> Iterator[Case]:
    """The chosen heads of the families with one stack, in all shapes."""
    import formers
    from formers.models.registry import family_of
    from tests.parity import shapes

    for model_type in filter(only.__contains__, shapes.SHAPES):
        family, found = family_of(model_type), shapes.SHAPES[model_type]
        for shape in (*found, *shapes.MORE.get(model_type, ())):
            for name in chosen(shapes.class_names(family)):
                if "MaskedImage" in name and shape != "plain":
                    continue  # the reference writes square images alone
                theirs = shapes.write_checkpoint(model_type, shape, name, folder)
                ours = getattr(formers, name).from_pretrained(folder)
                inputs = shapes.inputs_of(ours)
                padded = "attention_mask" in inputs and not shapes.lets_padding_in(ours)
                padded = padded and "decoder_input_ids" not in inputs  # whose places are told by another mask
                left = shapes.inputs_of(ours, sided="left") if padded else None
                yield Case(model_type, name, theirs, ours, inputs, shapes.labels(name, inputs), left)


def encoder_decoders(folder: Path, only: Container[str], chosen: Choice = list) -> Iterator[Case]:
    """The chosen heads of the families with two stacks, in all shapes."""
    import formers
    from tests.parity import seq2seq_shapes as shapes

    for model_type in filter(only.__contains__, shapes.SHAPES):
        for shape in shapes.SHAPES[model_type]:
            for name in chosen(shapes.CLASSES[model_type]):
                theirs = shapes.write_checkpoint(model_type, shape, name, folder)
                ours = getattr(formers, name).from_pretrained(folder)
                inputs, labels = shapes.inputs_of(ours), shapes.labels_of(ours)
                yield Case(model_type, name, theirs, ours, inputs, labels)


def flat(real: Any) -> Any:
    """[B, choices, T] -> [B * choices, T], as hidden states have it."""
    return None if real is None else real.reshape(-1, real.shape[-1])


def compare_outputs(case: Case, ours: Any, seen: Distance, tokens: bool = False) -> None:
    """Outputs and hidden states of one head; those of `tokens` alone, where that is asked."""
    import torch

    with torch.no_grad():
        expected, found = (one(**case.inputs, output_hidden_states=True) for one in (case.theirs, ours))
    for key in set(expected.keys()) - {"past_key_values", "cache_params", "state", "mems"}:
        if isinstance(expected[key], tuple) and all(one == () for one in expected[key]):
            continue  # weights that nobody asked for
        kind = "hidden" if "hidden" in key else "outputs"
        real = flat(case.real(key)) if kind == "hidden" else case.real(key)
        if key == "router_logits" and real is not None:  # of every router, [B * T, experts]
            real = real.flatten()
        shape = getattr(expected[key], "shape", None)  # none: states of every layer, or a part's record
        if tokens and not isinstance(expected[key], tuple) and (shape is None or shape[:2] != real.shape):
            continue
        seen.see(kind, expected[key], found[key], real)


def compare(case: Case, ours: Any, seen: Distance) -> None:
    """Outputs, hidden states, loss and gradients of one head."""
    import torch

    from tests.parity.shapes import in_the_file, in_training, learned

    theirs = case.theirs
    compare_outputs(case, ours, seen)
    if case.left is not None:
        compare_outputs(replace(case, inputs=case.left), ours, seen, tokens=True)
    in_training(theirs, ours)
    if case.labels:
        losses = []
        for model in (theirs, ours):
            torch.manual_seed(0)  # where points of masks are drawn
            losses.append(model(**case.inputs, **case.labels).loss.squeeze())
    else:
        real, first = case.real(), [learned(m(**case.inputs)) for m in (theirs, ours)]
        first = [one[-1] if isinstance(one, tuple) else one for one in first]  # the last map of several
        kept = slice(None) if real is None or first[0].shape[:2] != real.shape else real
        losses = [one[kept].square().sum() / 100 for one in first]
    seen.see("loss", *losses)
    for loss in losses:
        loss.backward()
    gradients = {name: value.grad for name, value in ours.named_parameters(remove_duplicate=False)}
    named = ((name, value.grad) for name, value in theirs.named_parameters())
    for name, gradient in in_the_file(theirs, named, ours):
        if gradient is not None and (gradients[name] is not None or gradient.any()):
            seen.see("gradients", gradient, gradients[name])
    seen.heads.add(case.name)
    seen.checkpoints += 1


def check_save(case: Case, ours: Any, folder: Path, saved: Path) -> None:
    """The save must have the bytes of the file that was loaded, and the reference must take it."""
    ours.save_pretrained(saved)
    if (saved / "model.safetensors").read_bytes() != (folder / "model.safetensors").read_bytes():
        raise SystemExit(f"{case.name}: the saved file differs from the one that was loaded")
    _, info = type(case.theirs).from_pretrained(saved, output_loading_info=True)
    if info["missing_keys"] or info["unexpected_keys"] or info["mismatched_keys"]:
        raise SystemExit(f"{case.name}: the reference cannot load the save: {info}")


def real_weights() -> Distance:
    """all-MiniLM-L6-v2 on the changelog's longest and shortest entries, in one padded batch."""
    import csv
    import gzip

    import torch
    import transformers

    import formers

    sys.path.insert(0, str(ROOT / "examples"))
    from minilm import minilm

    with gzip.open(ROOT / "examples" / "data" / "cpython-changelog.csv.gz", "rt", newline="") as file:
        texts = sorted((row["text"] for row in csv.DictReader(file)), key=len)
    texts = [*texts[::400], *texts[-8:]]
    batch = dict(
        transformers.AutoTokenizer.from_pretrained(minilm())(texts, padding=True, return_tensors="pt")
    )
    if dict(formers.AutoTokenizer.from_pretrained(minilm())(texts, padding=True)) != {
        name: value.tolist() for name, value in batch.items()
    }:
        raise SystemExit("the tokenizers disagree")
    real, seen = batch["attention_mask"].bool(), Distance({"BertModel"}, 1)
    found = []
    for package in (transformers, formers):
        model = package.AutoModel.from_pretrained(minilm()).eval()
        with torch.no_grad():
            found.append(model(**batch, output_hidden_states=True))
    seen.see("hidden", found[0].hidden_states, found[1].hidden_states, real)
    weight = real[..., None].float()
    means = ((one.last_hidden_state * weight).sum(1) / weight.sum(1) for one in found)
    seen.see("outputs", *(torch.nn.functional.normalize(mean, dim=-1) for mean in means))
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", help="model types")
    parser.add_argument("--record", action="store_true", help="write RESULTS.md, parity.json, docs/models.md")
    given = parser.parse_args()
    import transformers

    from formers.models.table import FAMILIES

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    families: dict[str, Distance] = {}
    with tempfile.TemporaryDirectory() as made, tempfile.TemporaryDirectory() as saved:
        for cases in (encoders_and_decoders, encoder_decoders):
            for case in cases(Path(made), given.only or FAMILIES):
                check_save(case, case.ours, Path(made), Path(saved))
                compare(case, case.ours, families.setdefault(case.model_type, Distance()))
    minilm = real_weights()
    head = ["largest difference", "heads", "checkpoints", "outputs", "hidden states", "loss", "gradients"]
    last = minilm.row("all-MiniLM-L6-v2")[:5] + ["", ""]
    table = [head, *(seen.row(name) for name, seen in families.items()), last]
    import models
    import record

    record.show(table)
    worst = max(seen.largest for seen in (*families.values(), minilm))
    note = (
        f"The largest of all is {worst:.1e} (wanted: {LIMIT:.0e}). Every save had the bytes of the file that "
        f"was loaded, and the reference loaded it. For all-MiniLM-L6-v2, outputs are unit-length embeddings."
    )
    print(note)
    if worst > LIMIT:
        raise SystemExit("a difference is above the limit")
    if given.record:
        if not given.only:
            record.section("Parity", table, command="python benchmarks/parity.py --record", notes=note)
        told = json.loads(MEASURED.read_text()) if MEASURED.exists() else {}
        told |= {
            name: {"checkpoints": seen.checkpoints, "largest": float(f"{seen.largest:.1e}")}
            for name, seen in sorted(families.items())
        }
        MEASURED.write_text(json.dumps(told, indent=1, sort_keys=True) + "\n")
        models.main()


if __name__ == "__main__":
    main()
