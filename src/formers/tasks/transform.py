"""What stands before an output layer."""

from __future__ import annotations

from dataclasses import dataclass

from formers.nn.program import Step
from formers.nn.spec import Norm
from formers.nn.steps import Activate, Drop, Normalise, dense


@dataclass(frozen=True)
class Transform:
    """A linear layer, its activation, and a norm; each where it has a path, or a name.

    Attributes:
        dense: path of the linear layer, or None; `bias` whether it has one.
        act: activation after it, whose node is `act_path`.
        drops: rate of the head's dropout, where that stands before the linear layer too.
        norm: path of the norm, or None; `normed` which; `norm_first`: it stands before the activation.
    """

    dense: str | None = None
    act: str | None = None
    act_path: str | None = None
    norm: str | None = None
    normed: Norm = Norm()
    bias: bool = True
    norm_first: bool = False
    drops: float | None = None

    def steps(self, width: int, inner: int | None = None) -> list[Step]:
        """[.., E] -> [.., E], or as wide as `inner` says."""
        steps: list[Step] = []
        inner = inner or width
        if self.drops is not None:
            steps.append(Drop("dropout", self.drops))
        norms: list[Step] = [] if self.norm is None else [Normalise("norm", self.normed, inner)]
        if self.norm_first and self.dense is not None and self.act is not None:
            return [dense("dense", width, inner, self.bias), *norms, Activate("act", self.act)]
        if self.dense is not None:
            steps.append(dense("dense", width, inner, self.bias, act=self.act, act_role="act"))
        elif self.act is not None:
            steps.append(Activate("act", self.act))
        return steps + norms

    @property
    def names(self) -> dict[str, str | None]:
        """Role -> path."""
        return {"dense": self.dense, "act": self.act_path, "norm": self.norm}
