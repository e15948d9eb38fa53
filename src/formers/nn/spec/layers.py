"""A layer: a tuple of parts around mixers, in the usual orders of norms."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from formers.nn.masks import Mask
from formers.nn.spec.attention import Attention
from formers.nn.spec.mixers import Mixer
from formers.nn.spec.values import Norm


@dataclass(frozen=True)
class Part:
    """One mixer of a layer with its norms and its residual sum.

    x -> x + scale * skip(gain * dropout(shift + inside(mixer(before(x))))), then `after`.

    Attributes:
        mixer: what it does.
        role: beginning of its roles: `{role}_norm` (before, or else after), `{role}_inner` (inside),
            `{role}_outer` (after, beside one before), `{role}_shift`, `{role}_dropout`, `{role}_gain`,
            `{role}_gate`, `{role}_skip`, `{role}_add`.
        before: norm of what the mixer reads.
        inside: norm of the mixer's result, before the sum.
        after: norm of the sum.
        dropout: on the mixer's result.
        reads: the sum so far, or (parallel branches) what the part before it read: that part's `input`, or
            the `normed` input of its mixer.
        keeps: what the result is added to: what is read, or that `normed` (with `before`).
        scale: factor on the result; `scale_in` on what the mixer reads.
        gain: value that a learned factor per feature begins with.
        gate: a learned number's tanh is a factor on the result, and that begins as zero or is drawn.
        counted: name of what a pass holds that says in which rows the result counts: `CrossAttended.counts`.
        skip: probability of leaving a row's result out in training (Huang et al. 2016, arXiv:1603.09382).
        wide: the sum is held in float32 at least.
        flat: what stands before the sum is called with rows, [B * T, E], in a watched pass too.
        shift: a learned vector, which begins as zero, is added to the result.
    """

    mixer: Mixer
    role: str
    before: Norm | None = None
    inside: Norm | None = None
    after: Norm | None = None
    dropout: float = 0.0
    reads: Literal["sum", "input", "normed"] = "sum"
    scale: float = 1.0
    gain: float | None = None
    gate: Literal["", "zero", "drawn"] = ""
    counted: str = ""
    skip: float | None = None
    wide: bool = False
    keeps: Literal["read", "normed"] = "read"
    scale_in: float = 1.0
    shift: bool = False
    flat: bool = False


@dataclass(frozen=True)
class Bottleneck:
    """Parts are narrower than their layer (Sun et al. 2020, arXiv:2004.02984, section 3.1).

    Roles: `narrow_dense`, `narrow_norm`; `widen_dense`, `widen_dropout`, `widen_norm`; and of a second
    narrow copy, `shared_dense`, `shared_norm`.

    Attributes:
        width: of the parts.
        norm: of both copies and, of the layer's width, of the sum that ends the layer.
        dropout: on what is widened.
        shared: there is a second copy, which queries and keys of `WideValues` read.
    """

    width: int
    norm: Norm
    dropout: float = 0.0
    shared: bool = False


@dataclass(frozen=True)
class Layer:
    """One layer: its parts, in the order in which they run.

    Attributes:
        parts: what it computes.
        turned: who looks inside sees [B, E, T].
        bottleneck: the parts are narrower.
        hides_padding: where padding is computed its rows end as zeros.
        name: of its class, where that is not the stack's.
        entry: norm of what enters (role `entry_norm`).
        eased: factor on what it returns, in evaluation alone.
        aside: what rows behind those that ask (see `Queries`) go through in place of the parts after the
            first `common`.
        common: how many parts are for all rows, where some are set aside.
        beside: name of what a pass must hold beside its rows for this layer to be run; else it is left out.
    """

    parts: tuple[Part, ...]
    turned: bool = False
    bottleneck: Bottleneck | None = None
    hides_padding: bool = False
    name: str = ""
    entry: Norm | None = None
    eased: float = 1.0
    aside: tuple[Part, ...] = ()
    common: int = 1
    beside: str = ""

    def masked(self, mask: Mask) -> Layer:
        """The same layer, whose self attention has another mask."""
        parts = (
            replace(part, mixer=replace(part.mixer, mask=mask))
            if isinstance(part.mixer, Attention) and not part.mixer.cross
            else part
            for part in self.parts
        )
        return replace(self, parts=tuple(parts))


def layer(
    mixer: Mixer,
    feedforward: Mixer | None,
    norm: Norm,
    order: Literal["pre", "post", "inside", "sandwich"] = "post",
    cross: Attention | None = None,
    dropout: float = 0.0,
    reads: Literal["sum", "input", "normed"] = "sum",
    scale: float = 1.0,
) -> Layer:
    """The usual layer: a mixer, cross attention where there is one, and a feed-forward.

    `order` says where the norms stand: on the sum ("post", Vaswani et al. 2017), on what enters a part
    ("pre", Xiong et al. 2020), on what a part returns ("inside"), or on both ("sandwich", Ding et al. 2021).
    The feed-forward `reads` what `Part.reads` says; `scale` is every part's.
    """
    before = norm if order in ("pre", "sandwich") else None
    inside = norm if order in ("inside", "sandwich") else None
    after = norm if order == "post" else None
    mixers = (("attention", mixer), ("cross", cross))
    parts = [Part(m, role, before, inside, after, dropout, scale=scale) for role, m in mixers if m]
    if feedforward is not None:
        first = before if reads != "normed" else None
        parts.append(Part(feedforward, "feedforward", first, inside, after, dropout, reads, scale))
    return Layer(tuple(parts))
