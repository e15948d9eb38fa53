"""Scans over states."""

from __future__ import annotations

from dataclasses import dataclass, field

from formers.nn.spec.values import SlotSpec


@dataclass(frozen=True)
class Scan:
    """A selective state space (Gu and Dao 2023, arXiv:2312.00752, section 3).

    Roles: `in`, `conv`, `select`, `step`, `out`, and the tensors `decay` and `skip`.

    Attributes:
        inner: I, features that are scanned.
        state: n, numbers that each feature remembers.
        kernel: reach of the short convolution before the scan.
        rank: width through which the step size is chosen.
        activation: after the convolution; on the gate it is always silu.
        bias: of the projections in and out; `conv_bias` of the convolution.
        steps: least and largest step of a fresh model, and its floor.
        step_scale: of the fresh weights that choose steps: drawn, or (`step_constant`) all the same.
        depth: layers among which the fresh results are shared out.
    """

    inner: int
    state: int
    kernel: int
    rank: int
    activation: str = "silu"
    bias: bool = False
    conv_bias: bool = True
    steps: tuple[float, float, float] = (0.001, 0.1, 1e-4)
    step_scale: float = 1.0
    step_constant: bool = False
    depth: int = 1
    causal = True
    by_distance = True
    needs: frozenset[str] = field(default=frozenset(), init=False, repr=False)
    honours_masks = False
    reads_padding = False
    first_alone = False

    @property
    def slot(self) -> SlotSpec | None:
        """The state, and the last tokens that the convolution saw."""
        return SlotSpec("recurrent")
