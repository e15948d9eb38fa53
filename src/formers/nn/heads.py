"""What a task head is made of: frozen records that families fill in and `tasks` computes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Pool = Literal["pooler", "first", "last", "eos"]


@dataclass(frozen=True)
class Head:
    """A task head over a stack.

    Attributes:
        task: name of the computation, a key of `tasks.TASKS`.
        paths: role -> path of the head's leaves (`dense`, `norm`, `out`, `bias`, ...).
        pool: which vector stands for a sequence: the stack's pooler, its first token, its last real
            token, or the last end-of-sequence token.
        activation: between `dense` and `out`.
        dropout: config fields that hold the head's dropout; the first that is set counts.
        default_dropout: the rate where no such field is set.
        drop_first: dropout also stands before `dense`.
        pooler: the base model keeps its pooler under this head.
        tied: the output table is the token table, when the config says so.
        apart: config attribute that says that checkpoints may hold an output table of their own, whatever
            the config says about ties.
        bias: the output layer has a bias.
        base: attribute that holds the base model under this head, where it is not the family's.
        scale: factor on the states before the output layer, or the config's attribute that holds it.
        flat: the base model's parts are registered on the head's own model, without a prefix.
    """

    task: str
    paths: Mapping[str, str] = field(default_factory=dict)
    pool: Pool = "pooler"
    activation: str | None = None
    dropout: tuple[str, ...] = ()
    default_dropout: float = 0.0
    drop_first: bool = False
    pooler: bool = False
    tied: bool = False
    apart: str | None = None
    bias: bool = True
    base: str | None = None
    scale: float | str = 1.0
    flat: bool = False

    def activation_of(self, config: Any) -> str:
        """The activation's name; "config" stands for the config's own `hidden_act`."""
        if self.activation == "config":
            return str(getattr(config, "hidden_act", None) or config.activation)
        return self.activation or "linear"

    def scale_of(self, config: Any) -> float:
        """The factor on the states."""
        return float(getattr(config, self.scale)) if isinstance(self.scale, str) else self.scale

    def eps_of(self, config: Any) -> float:
        """Epsilon of the head's norm: the config's, where it has one."""
        return float(getattr(config, "layer_norm_eps", 1e-12))
