"""One stack over spans of sounds, which become whole again: the sound encoder of Phi-4."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from formers.assemblies.single import Single
from formers.nn import spec
from formers.nn.tree import wiring
from formers.stacks.stack import Ask, States


class SpanEncoder(Single):
    """One stack over `spec.StandardisedSpectra`. Its models return states alone, [B, T, E]."""

    def __init__(self, stack: Callable[[Any], spec.Stack]) -> None:
        super().__init__(stack, spec.StandardisedSpectra, mask="mask")
        self.inputs = ("hidden_states", "mask", "return_dict")

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Compute, and lay the spans of each sound end to end."""
        frames = given.get("hidden_states")
        states = super().run(model, given, ask)
        last, stem = states.last, wiring(model).facts["spec"].stem
        assert frames is not None
        whole = last.reshape(len(frames), -1, last.shape[-1])[:, : stem.rows(frames.shape[1])]
        return States(whole, states.pass_, spread_out=True)

    returns: Any = None

    def output(self, model: Any, states: States) -> Any:
        """The states."""
        return states.last
