"""What enters a stack that reads the states of others."""

from __future__ import annotations

from dataclasses import dataclass

from formers.nn.spec.stems import Vectors


@dataclass(frozen=True)
class StateRows(Vectors):
    """Rows that other models made, behind one learned row (role `lead`), if they are `led`."""

    led: bool = True
    reads = "hidden_states"
