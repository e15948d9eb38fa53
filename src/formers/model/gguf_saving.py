"""A model as a GGUF file, read back as the same model or refused."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from formers.checkpoints.gguf_writing import KINDS, type_of, write
from formers.checkpoints.report import some
from formers.configs import metadata
from formers.hub.gguf import INSTEAD, Header, Held
from formers.model.building import for_a_checkpoint
from formers.model.gguf import OUTPUT, Turn, first_stack, places
from formers.nn.positions import RULES, Rotary
from formers.nn.spec import Stack
from formers.nn.tree import wiring


def save_gguf(model: Any, path: Path, kind: str, architecture: str, tokenizer: Any = None) -> Path:
    """Write a model, its tokenizer and chat template as one file, whole or not at all.

    Args:
        model: on any device, in any dtype.
        path: the file.
        kind: "f32", "f16", "bf16", "q8_0", "q4_0" or "q4_k_m".
        architecture: what llama.cpp calls the kind of model.
        tokenizer: with the model's vocabulary; None for a file without one.

    Raises:
        ValueError: for a model or a tokenizer that such files cannot describe.
    """
    from formers.tokenization.gguf_writing import fields_of

    if kind not in KINDS:
        raise ValueError(f"{kind!r} is no kind of GGUF file that is written: {', '.join(KINDS)} are")
    tensors, config = tensors_of(model, architecture, kind), model.config
    stack = first_stack(model)
    divisors = _divisors(config, next(iter(stack.rotaries), None))
    tensors = [(name, "F32", (len(x),), partial(torch.clone, x)) for name, x in divisors.items()] + tensors
    norm = stack.final_norm
    said = metadata.described(config, architecture, norm is not None and norm.kind == "rms")
    said |= {
        "general.type": "model",
        "general.file_type": KINDS[kind].number,
        "general.quantization_version": 2,
    }
    if name := Path(model.name_or_path).name:
        said["general.name"] = name
    for token in ("bos", "eos", "pad"):
        index = getattr(config, f"{token}_token_id", None)
        if isinstance(index, int):
            called = "padding" if token == "pad" else token
            said[f"tokenizer.ggml.{called}_token_id"] = index
    small = {name: values().tolist() for name, _, _, values in tensors[: len(divisors)]}
    told = _Told(path, 0, said | small, {name: Held(shape, 0, 0) for name, _, shape, _ in tensors})
    _refuse_unspeakable(model, told)
    if tokenizer is not None:
        words = fields_of(tokenizer, config.vocab_size)
        _refuse_other_cuts(tokenizer, replace(told, fields=said | words))
        said |= words
    write(path, said, tensors)
    return path


class _Told(Header):
    """What a file would say, before it is written."""

    def floats(self, name: str) -> list[float] | None:
        """A small tensor."""
        found: list[float] | None = self.fields.get(name)
        return found


_PROBES = (
    "two  spaces, don't\n\n\tI'LL pay 1234.50 – “naïve” 漢字 🙂",
    "def f(x):\n    return x\n",
)


def _refuse_other_cuts(tokenizer: Any, told: Header) -> None:
    """Refuse a tokenizer that would be another one when it is read again.

    Raises:
        ValueError: with a text.
    """
    from formers.tokenization.gguf import backend_of

    read = backend_of(told)
    for text in _PROBES:
        if read.encode(text).ids != tokenizer(text)["input_ids"]:
            raise ValueError(
                f"a GGUF file cannot describe this tokenizer: it would cut {text!r} otherwise: {INSTEAD}"
            )


def _divisors(config: Any, rotary: Rotary | None) -> dict[str, Tensor]:
    """Tensors that frequencies are divided by, where a config stretches them by a rule."""
    scaling = getattr(config, "rope_scaling", None) or {}
    if scaling.get("rope_type") == "longrope":
        return {f"rope_factors_{n}.weight": torch.tensor(scaling[f"{n}_factor"]) for n in ("long", "short")}
    if rotary is None or rotary.rule != "llama3":
        return {}
    usual = replace(rotary, rule="default", options=())
    return {"rope_freqs.weight": RULES["default"](usual, 1)[0] / RULES["llama3"](rotary, 1)[0]}


def _refuse_unspeakable(model: Any, told: Header) -> None:
    """Refuse a model of which a file says less than is computed.

    Raises:
        ValueError: naming a value.
    """
    kind = type(model.config)
    with for_a_checkpoint():
        other = type(model)(kind(**metadata.record(told, kind)))
    for path, module in model.named_modules():
        said, told_of = wiring(module).facts, wiring(other.get_submodule(path)).facts
        for name in ("spec", "head"):
            found = next(_apart(said.get(name), told_of.get(name), name), None)
            if found is not None:
                raise ValueError(
                    f"a GGUF file cannot say that {found[0]} is {found[1]!r} "
                    f"(it would be read as {found[2]!r}): {INSTEAD}"
                )


def _apart(one: Any, two: Any, name: str) -> Iterator[tuple[str, Any, Any]]:
    """Values of two specs that differ, but for what training reads and how far positions were trained."""
    if "drop" in name or name in ("initial_std", "init", "trained_length", "room") or one is two:
        return
    if isinstance(one, Rotary) and isinstance(two, Rotary):
        at = torch.tensor([0, 1, 7, 40])
        alike = one.adjacent == two.adjacent and one.width == two.width
        if not alike or not torch.allclose(one.table(at)[0], two.table(at)[0], atol=1e-4):
            yield name, one, two
    elif is_dataclass(one) and type(one) is type(two):
        for field in fields(one):
            yield from _apart(getattr(one, field.name), getattr(two, field.name), field.name)
    elif isinstance(one, tuple) and isinstance(two, tuple) and len(one) == len(two):
        for first, second in zip(one, two, strict=True):
            yield from _apart(first, second, name)
    elif isinstance(one, float) and isinstance(two, float):
        if not math.isclose(one, two, rel_tol=1e-6):  # files keep 32 bits
            yield name, one, two
    elif isinstance(one, Mapping) and isinstance(two, Mapping) and one.keys() == two.keys():
        for key in one:
            yield from _apart(one[key], two[key], name)
    elif one != two:
        yield name, one, two


def tensors_of(model: Any, architecture: str, kind: str) -> list[tuple[str, str, tuple[int, ...], Any]]:
    """What a file of a model holds: names, types, shapes, and what gives the values, as `write` takes them.

    Args:
        model: on any device, in any dtype.
        architecture: what llama.cpp calls it.
        kind: of `gguf_writing.KINDS`.

    Raises:
        ValueError: for a weight that such files have no name for.
    """
    known, table, tied = places(model, architecture), model.state_dict(keep_vars=True), model._tied_weights()
    nameless = [name for name in table if name not in known and name not in tied]
    if nameless:
        raise ValueError(
            f"GGUF files of the architecture {architecture!r} have no name for {some(nameless, 4)}: {INSTEAD}"
        )
    parts: dict[str, list[tuple[Tensor, Turn | None]]] = {}
    for held, (name, part, turn) in known.items():
        if part or (held not in tied and name not in parts):
            parts.setdefault(name, []).append((table[held], turn))
    layers = max(
        len(s.layers) for m in model.modules() if isinstance(s := wiring(m).facts.get("spec"), Stack)
    )
    found = []
    for name, several in parts.items():
        value, turn = several[0]
        empty = torch.zeros(()).expand(value.shape)
        shape = tuple((empty if turn is None else turn.write(empty)).shape)
        shape = shape if _part(known, name) is None else (len(several), *shape)
        type_ = type_of(KINDS[kind], name, shape, layers, f"{OUTPUT}.weight" not in parts)
        found.append((name, type_, shape, partial(_whole, several, shape)))
    return found


def _part(known: dict[str, tuple[str, int | None, Turn | None]], name: str) -> int | None:
    """The number of a part that a tensor of the file has; None where it is one weight."""
    return next(part for held, part, _ in known.values() if held == name)


def _whole(several: list[tuple[Tensor, Turn | None]], shape: tuple[int, ...]) -> Tensor:
    turned = [value if turn is None else turn.write(value) for value, turn in several]
    return torch.stack(turned) if len(turned) > 1 else turned[0].reshape(shape)
