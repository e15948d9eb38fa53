"""Mixers: what a part of a layer does. One file each; `steps_of` is the list of all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from formers.nn import spec
from formers.nn.mixers.attention import attention_steps
from formers.nn.mixers.chosen import chosen_steps
from formers.nn.mixers.disentangled import disentangled_steps
from formers.nn.mixers.experts import experts_steps
from formers.nn.mixers.feedforward import feedforward_steps
from formers.nn.mixers.latent import latent_steps
from formers.nn.mixers.scan import scan_steps
from formers.nn.program import Step
from formers.nn.steps import Add, Begin, Drop, Normalise

STEPS: dict[type[Any], Callable[[Any, int], list[Step]]] = {
    spec.Attention: attention_steps,
    spec.ChosenHeads: chosen_steps,
    spec.Disentangled: disentangled_steps,
    spec.Experts: experts_steps,
    spec.FeedForward: feedforward_steps,
    spec.Latent: latent_steps,
    spec.Scan: scan_steps,
}


def part_steps(part: spec.Part, width: int) -> list[Step]:
    """The steps of one part, from reading to the sum and what stands after it."""
    role = part.role
    steps: list[Step] = [Begin(role, part.reads, part.wide)]
    if part.before is not None and part.reads != "normed":
        at = 0 if part.keeps == "normed" else 1
        steps.insert(at, Normalise(f"{role}_norm", part.before, width, notes=True))
    mixing = STEPS[type(part.mixer)](part.mixer, width)
    mixing[0].normed = part.before is not None
    steps += mixing
    if part.inside is not None:
        steps.append(Normalise(f"{role}_inner", part.inside, width))
    steps += [Drop(f"{role}_dropout", part.dropout), Add(role, width, part.scale, part.gain)]
    if part.after is not None:
        steps.append(Normalise(f"{role}_{'norm' if part.before is None else 'outer'}", part.after, width))
    for step in steps:
        step.crosses = getattr(part.mixer, "cross", False)
    return steps
