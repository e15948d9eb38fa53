"""Scans over states, and short convolutions."""

from __future__ import annotations

from dataclasses import dataclass, field

from formers.nn.spec.values import Norm, SlotSpec


@dataclass(frozen=True)
class _Recurrence:
    """Facts of a mixer that reads tokens one after another."""

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


@dataclass(frozen=True)
class Scan(_Recurrence):
    """A selective state space (Gu and Dao 2023, arXiv:2312.00752, section 3).

    Roles: `in`, `conv`, `conv_act`, `select`, `step`, `out`, the tensors `decay` and `skip`; with `norm`
    `step_norm`, `writes_norm`, `reads_norm`.

    Attributes:
        inner: I, features that are scanned.
        state: n, numbers that each feature remembers.
        kernel: reach of the short convolution before the scan.
        rank: width through which the step size is chosen.
        activation: after the convolution; on the gate it is always silu.
        bias: of the projections in and out; `conv_bias` of the convolution.
        norm: of what is selected: the step of `rank` features, what is written, what is read.
        steps: least and largest step of a fresh model, and its floor; None for a model whose leaves begin as
            others do.
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
    steps: tuple[float, float, float] | None = (0.001, 0.1, 1e-4)
    step_scale: float = 1.0
    step_constant: bool = False
    depth: int = 1
    norm: Norm | None = None


@dataclass(frozen=True)
class HeadScan(_Recurrence):
    """A selective state space in which every head forgets at one speed (Dao and Gu 2024, arXiv:2405.21060).

    Roles: `in`, `conv`, `conv_act`, `gated_norm`, `out`; the tensors `decay`, `skip` and `step_bias`.

    Attributes:
        heads: H, of `width` features each.
        width: p.
        state: n, numbers that each feature remembers.
        groups: heads of a group write and read by the same vectors.
        kernel: reach of the short convolution before the scan.
        activation: after the convolution; on the gate it is always silu.
        bias: of the projection in, `out_bias` of that out, `conv_bias` of the convolution.
        limits: least and largest step.
        norm: RMS norm of what was read, over the features of a group, after the gate or (`norm_first`)
            before it; None for none. `wide`: its weight is applied in float32 too.
        scale_in: factor on what is read; `scales` on parts of its projection: gate, features, what is
            written, what is read, steps.
        steps: as of `Scan`.
        depth: layers among which the fresh results are shared out.
    """

    heads: int
    width: int
    state: int
    groups: int
    kernel: int
    activation: str = "silu"
    bias: bool = False
    out_bias: bool = False
    conv_bias: bool = True
    limits: tuple[float, float] = (0.0, float("inf"))
    norm: Norm | None = Norm("rms", 1e-5)
    norm_first: bool = False
    scale_in: float = 1.0
    scales: tuple[float, ...] = (1.0,) * 5
    steps: tuple[float, float, float] | None = (0.001, 0.1, 1e-4)
    depth: int = 1

    def __post_init__(self) -> None:
        if self.groups < 1 or self.heads % self.groups:
            raise ValueError(f"{self.heads} heads cannot be shared out among {self.groups} groups")
        if len(self.scales) != 5:
            raise ValueError(f"a projection has five parts, but there are factors {list(self.scales)}")

    @property
    def inner(self) -> int:
        """Features that are scanned."""
        return self.heads * self.width

    @property
    def parts(self) -> tuple[int, int, int, int, int]:
        """Widths of the gate, of the features, of what is written and read, and of the steps."""
        return self.inner, self.inner, self.groups * self.state, self.groups * self.state, self.heads


@dataclass(frozen=True)
class GatedRecurrence(_Recurrence):
    """A recurrence of every feature by itself, behind a short convolution and beside a gate.

    De et al. 2024, arXiv:2402.19427, section 2.4. How much of a token enters and how fast a feature forgets
    is chosen by blocks of features; the first token of a sequence enters as it is.
    Roles: `in`, `conv`, `scan_gate`, `scan_act`, `out`; in a node of their own the tensors `lru_decay`,
    `lru_input_weight`, `lru_input_bias`, `lru_keep_weight`, `lru_keep_bias`.

    Attributes:
        width: I, features that are remembered.
        heads: blocks of features.
        kernel: reach of the convolution.
        activation: of the gate beside it.
        gate_variance: of the fresh weights of both choices, times the width of a block.
    """

    width: int
    heads: int
    kernel: int
    activation: str = "gelu_pytorch_tanh"
    gate_variance: float = 0.01
    bias = True

    def __post_init__(self) -> None:
        if self.heads < 1 or self.width % self.heads:
            raise ValueError(f"{self.width} features cannot be shared out among {self.heads} blocks")


@dataclass(frozen=True)
class DeltaRule(_Recurrence):
    """Heads that replace what a key recalls, and forget as a whole (Yang et al. 2024, arXiv:2412.06464).

    Roles: `in`, which makes for every group its query, key, values and gates; `step`, likewise how much is
    written and the steps; `conv`, `conv_act`, `gated_norm`, `out`; the tensors `decay` and `step_bias`.

    Attributes:
        heads: H, with values of `width` features each.
        width: p.
        state: n, width of queries and keys.
        groups: G; heads of a group share a query and a key.
        kernel: reach of the short convolution before the rule.
        activation: after the convolution; on the gate it is always silu.
        norm: RMS norm of what a head recalls, before the gate.
    """

    heads: int
    width: int
    state: int
    groups: int
    kernel: int
    activation: str = "silu"
    norm: Norm = Norm("rms", 1e-6)
    bias = False

    def __post_init__(self) -> None:
        if self.groups < 1 or self.heads % self.groups:
            raise ValueError(f"{self.heads} heads cannot be shared out among {self.groups} groups")

    @property
    def keys(self) -> int:
        """Features of all keys."""
        return self.groups * self.state

    @property
    def values(self) -> int:
        """Features of all values."""
        return self.heads * self.width


@dataclass(frozen=True)
class ShortConvolution(_Recurrence):
    """A convolution over few tokens between two gates (Liquid AI 2025, arXiv:2511.23404).

    Roles: `in`, which makes both gates and what is convolved; `conv`, `out`.

    Attributes:
        kernel: tokens that it reads.
        bias: of all three leaves.
    """

    kernel: int
    bias: bool = False


@dataclass(frozen=True)
class TimeMixing(_Recurrence):
    """Values weighed by their keys and their age (Peng et al. 2023, arXiv:2305.13048, section 3.1).

    Every feature forgets at a speed of its own; the newest token has a bonus. What is read is mixed with the
    token before. Callers who ask for attentions get what it returns, [B, T, E].
    Roles: `time_shift`, the tensors `key_mix`, `value_mix`, `receptance_mix`, `decay` and `bonus`; `k`, `v`,
    `receptance`, `o`.

    Attributes:
        width: A, features that are remembered.
        depth: the layer's number and how many there are, by which fresh tensors begin.
        eased: factor on the result, in evaluation alone.
    """

    width: int
    depth: tuple[int, int] = (0, 1)
    eased: float = 1.0
    by_distance = False
    bias = True


@dataclass(frozen=True)
class ChannelMixing(_Recurrence):
    """A feed-forward behind a gate, which reads the token before too; it stands behind a `TimeMixing`.

    Roles: `channel_shift`, the tensors `channel_key_mix` and `channel_receptance_mix`; `up`,
    `channel_receptance`, `down`.

    Attributes:
        inner: F; `depth` and `eased` as of `TimeMixing`.
    """

    inner: int
    depth: tuple[int, int] = (0, 1)
    eased: float = 1.0
    by_distance = False
    bias = True
