"""The steps that layers and heads share: norms, projections, dropouts, activations, residual sums."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from formers.nn import few_rows, spec
from formers.nn.activations import Activation, activation
from formers.nn.dropout import Dropout, DropPath, drop
from formers.nn.fresh import Constant, Drawn
from formers.nn.kernels import project
from formers.nn.leaves import linear, norm
from formers.nn.program import Bare, Flow, Step
from formers.nn.tree import has, leaf

Quick = Callable[[Flow], None]


def _begin(flow: Flow) -> None:
    flow.entered = flow.read = flow.x


def _nothing(flow: Flow) -> None:
    pass


def _add(flow: Flow) -> None:
    y, x = flow.x, flow.entered
    assert x is not None
    flow.x = y.add_(x) if y.dtype == x.dtype else x + y


class Begin(Step):
    """A part begins: what it reads is what its result will be added to, in float32 at least if `wide`.

    If `flat`, what follows reads rows.
    """

    opens = True

    def __init__(self, role: str, reads: str = "sum", wide: bool = False, flat: bool = False) -> None:
        super().__init__()
        self.home, self.reads, self.wide, self.flat = f"{role}_add", reads, wide, flat

    def run(self, node: Any, flow: Flow) -> None:
        """Note what is read; a parallel part goes back to what the part before it read."""
        if self.reads == "sum":
            flow.entered = flow.read = flow.x
            if self.wide:
                flow.entered = flow.x.to(torch.promote_types(flow.x.dtype, torch.float32))
            if self.flat:
                flow.x = flow.x.flatten(0, -2)
            return
        read = flow.read if self.reads == "input" else flow.normed
        assert read is not None
        flow.entered, flow.x = flow.x, read

    def swift(self, node: Any) -> Quick | None:
        """As `run`."""
        return None if self.reads != "sum" or self.wide or self.flat else _begin


class Add(Step):
    """The residual sum that ends a part."""

    adds = True

    def __init__(self, role: str, scale: float = 1.0) -> None:
        super().__init__()
        self.home, self.scale = f"{role}_add", scale

    def run(self, node: Any, flow: Flow) -> None:
        """[.., E] + [.., E]."""
        y, x = flow.x, flow.entered
        assert x is not None
        if self.scale != 1.0:
            y = y * self.scale
        if flow.kept is not None and x.shape[0] != y.shape[0]:
            x = x.index_select(0, flow.kept)
        if x.dim() > y.dim():
            y = y.view(x.shape)
        flow.x = y.add_(x) if flow.unseen and y.dtype == x.dtype else x + y

    def swift(self, node: Any) -> Quick | None:
        """As `run`."""
        return None if self.scale != 1.0 else _add


class Normalise(Step):
    """A norm; `notes` what comes out as what a mixer reads, for a parallel part.

    `{role}_node` may say which node calls it, where that does not hold it; then another step may call it too.

    What stands beside rows has one of its own, role `{role}_beside`, if `apart`.
    """

    def __init__(self, role: str, s: spec.Norm, width: int, notes: bool = False, apart: bool = False) -> None:
        super().__init__()
        self.role, self.notes, self.apart, self.home = role, notes, apart, f"{role}_node"
        self.leaves = {name: lambda: norm(s, width) for name in (role, f"{role}_beside")[: 1 + apart]}

    def run(self, node: Any, flow: Flow) -> None:
        """[.., E] -> [.., E]."""
        flow.x = leaf(node, f"{self.role}_beside" if self.apart and flow.beside else self.role)(flow.x)
        if self.notes:
            flow.normed = flow.x

    def swift(self, node: Any) -> Quick | None:
        """As `run`."""
        if self.apart:
            return None
        norm_of, notes = few_rows.normalise(leaf(node, self.role)), self.notes

        def run(flow: Flow) -> None:
            flow.x = norm_of(flow.x)
            if notes:
                flow.normed = flow.x

        return run


class Gain(Step):
    """A learned factor for every feature."""

    def __init__(self, role: str, width: int, first: float) -> None:
        super().__init__()
        self.role = f"{role}_gain"
        self.leaves = {self.role: lambda: Bare(torch.full((width,), first), Constant(first))}

    def run(self, node: Any, flow: Flow) -> None:
        """[.., E] -> [.., E]."""
        factor = leaf(node, self.role)
        own = flow.unseen and flow.x.dtype == factor.dtype
        flow.x = flow.x.mul_(factor) if own else flow.x * factor


class TanhGate(Step):
    """The tanh of a learned number is a factor (Alayrac et al. 2022, arXiv:2204.14198, section 2.2)."""

    def __init__(self, role: str, first: str) -> None:
        super().__init__()
        self.home, self.role = f"{role}_add", f"{role}_gate"
        fresh = Drawn() if first == "drawn" else Constant(0.0)
        self.leaves = {self.role: lambda: Bare(torch.zeros(1), fresh)}

    def run(self, node: Any, flow: Flow) -> None:
        """[.., E] -> [.., E]."""
        flow.x = flow.x * leaf(node, self.role).tanh()


class Counted(Step):
    """Rows in which nothing counts become zero; the pass holds which those are, see `CrossAttended`."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def run(self, node: Any, flow: Flow) -> None:
        """[.., E] -> [.., E]."""
        counts = getattr(flow.pass_.memo.get(self.name), "counts", None)
        if counts is not None:
            flow.x = flow.x * counts.reshape(*flow.x.shape[:-1], 1).to(flow.x.dtype)


class Skip(Step):
    """Whole rows of a batch are left out in training."""

    def __init__(self, role: str, rate: float) -> None:
        super().__init__()
        self.role = f"{role}_skip"
        self.leaves = {self.role: lambda: DropPath(rate)}
        self.optional = frozenset({self.role})  # one may serve several parts

    def run(self, node: Any, flow: Flow) -> None:
        """[.., E] -> [.., E]."""
        skip = leaf(node, self.role)
        if flow.x.dim() > 2 or flow.kept is not None:
            flow.x = skip(flow.x)
        elif skip.training:
            parts = [skip(part) for part in flow.pass_.layout.by_span(flow.x)]
            flow.x = torch.cat([part.flatten(0, 1) for part in parts])


class Shift(Step):
    """A learned vector is added, where the residual sum is, whichever node holds it."""

    def __init__(self, role: str, width: int) -> None:
        super().__init__()
        self.home, self.role = f"{role}_add", f"{role}_shift"
        self.leaves = {self.role: lambda: Bare(torch.zeros(width), Constant(0.0))}

    def run(self, node: Any, flow: Flow) -> None:
        """[.., E] -> [.., E]."""
        flow.x = flow.x + leaf(node, self.role)


class Drop(Step):
    """Dropout: a module where the family has one, else a rate that falls while the node trains."""

    def __init__(self, role: str, rate: float) -> None:
        super().__init__()
        self.role, self.rate = role, rate
        self.optional = frozenset({role})
        self.leaves = {role: lambda: Dropout(rate)}

    def run(self, node: Any, flow: Flow) -> None:
        """[..] -> [..]."""
        if not has(node, self.role):
            flow.x = drop(flow.x, self.rate) if self.rate and node.training else flow.x
            return
        found = leaf(node, self.role)
        if flow.pass_.watched or not isinstance(found, nn.Dropout) or (found.training and found.p):
            flow.x = found(flow.x)

    def swift(self, node: Any) -> Quick | None:
        """As `run`."""
        found = leaf(node, self.role) if has(node, self.role) else None
        if not isinstance(found, nn.Dropout):
            return None if self.rate or found is not None else _nothing

        def run(flow: Flow) -> None:
            if found.training and found.p:
                flow.x = found(flow.x)

        return run


class Project(Step):
    """A linear leaf, and an activation where there is one: a module, or a name alone."""

    def __init__(
        self, role: str, make: Callable[[], nn.Module], act: str | None = None, act_role: str = ""
    ) -> None:
        super().__init__()
        self.role, self.act, self.act_role = role, act, act_role
        self.leaves = {role: make}
        if act is not None and act_role:
            self.leaves[act_role] = lambda: Activation(act)
            self.optional = frozenset({act_role})

    def run(self, node: Any, flow: Flow) -> None:
        """[.., in] -> [.., out]."""
        flow.x = apply(node, self.role, flow.x, flow.pass_.watched, self.act_role, self.act)

    def swift(self, node: Any) -> Quick | None:
        """As `run`."""
        of = swift_apply(node, self.role, self.act_role, self.act)

        def run(flow: Flow) -> None:
            flow.x = of(flow.x)

        return run


def apply(
    node: Any, role: str, x: Tensor, watched: bool, act_role: str = "", act: str | None = None
) -> Tensor:
    """A linear leaf and its activation, in one product where the kernel can and nobody looks between."""
    projection = leaf(node, role)
    if not act_role or not has(node, act_role):
        return project(projection, x, act, watched)
    found = leaf(node, act_role)
    if type(found) is Activation and not watched:
        return project(projection, x, found.name, watched)
    out: Tensor = found(project(projection, x, None, watched))
    return out


def apply_rows(node: Any, role: str, x: Tensor, watched: bool, act_role: str = "") -> Tensor:
    """`apply` to [.., in], of any rank; whoever looks sees that."""
    if watched:
        return apply(node, role, x, True, act_role)
    return apply(node, role, x.reshape(-1, x.shape[-1]), False, act_role).view(*x.shape[:-1], -1)


def swift_apply(node: Any, role: str, act_role: str = "", act: str | None = None) -> few_rows.Product:
    """`apply`, with the leaves looked up."""
    projection, found = leaf(node, role), leaf(node, act_role) if act_role and has(node, act_role) else None
    if found is None:
        return few_rows.product(projection, act)
    if type(found) is Activation:
        return few_rows.product(projection, found.name)
    of = few_rows.product(projection)
    return lambda x: found(of(x))


def activate(node: Any, role: str, x: Tensor, name: str) -> Tensor:
    """The activation's module where the family has one, else the function of that name."""
    out: Tensor = leaf(node, role)(x) if has(node, role) else activation(name)(x)
    return out


class Activate(Step):
    """An activation that follows no linear leaf."""

    def __init__(self, role: str, name: str) -> None:
        super().__init__()
        self.role, self.name = role, name
        self.leaves = {role: lambda: Activation(name)}
        self.optional = frozenset({role})

    def run(self, node: Any, flow: Flow) -> None:
        """[..] -> [..]."""
        flow.x = activate(node, self.role, flow.x, self.name)


class Scale(Step):
    """A factor on everything; `home` is the role that names its node. If it `rests`, not in training."""

    def __init__(self, factor: float, home: str = "", rests: bool = False) -> None:
        super().__init__()
        self.factor, self.home, self.rests = factor, home, rests

    def run(self, node: Any, flow: Flow) -> None:
        """[..] -> [..]."""
        flow.x = flow.x if self.rests and node.training else flow.x * self.factor


class Cap(Step):
    """Values become c * tanh(values / c)."""

    def __init__(self, cap: float) -> None:
        super().__init__()
        self.cap = cap

    def run(self, node: Any, flow: Flow) -> None:
        """[..] -> [..]."""
        flow.x = torch.tanh(flow.x / self.cap) * self.cap


class Bar(Step):
    """Values of some features become the lowest that there is, so that none of them is chosen."""

    def __init__(self, features: Sequence[int]) -> None:
        super().__init__()
        marked = sorted(set(features))
        ends = [i for i in range(1, len(marked)) if marked[i] != marked[i - 1] + 1]
        self.runs = [marked[a:b] for a, b in zip([0, *ends], [*ends, len(marked)], strict=True)]

    def run(self, node: Any, flow: Flow) -> None:
        """[.., V] -> [.., V]."""
        flow.x = flow.x.clone()
        for run in self.runs:
            flow.x[..., run[0] : run[-1] + 1] = torch.finfo(flow.x.dtype).min


class Convolve(Step):
    """A convolution along every sequence, which sees nothing beyond its ends."""

    def __init__(self, s: spec.Convolution, width: int) -> None:
        super().__init__()
        around = s.kernel // 2
        self.leaves = {"conv": lambda: nn.Conv1d(width, width, s.kernel, padding=around, groups=s.groups)}

    def run(self, node: Any, flow: Flow) -> None:
        """[.., E] -> [.., E]."""
        conv = leaf(node, "conv")
        whole = flow.x.dim() == 3
        parts = [flow.x] if whole else flow.pass_.layout.by_span(flow.x)
        found = [conv(part.transpose(1, 2)).transpose(1, 2) for part in parts]
        flow.x = found[0] if whole else torch.cat([part.flatten(0, 1) for part in found])


class HidePadding(Step):
    """Zeros where there is padding."""

    def run(self, node: Any, flow: Flow) -> None:
        """[.., E] -> [.., E]; first tokens that are computed alone are none."""
        real = flow.pass_.visibility.real
        if real is not None and flow.kept is None:
            flow.x = flow.x * real.reshape(*flow.x.shape[:-1], 1)


def convolution_steps(s: spec.Convolution, width: int) -> list[Step]:
    """Convolve, drop, activate, add, normalise."""
    dropped = [Convolve(s, width), HidePadding(), Drop("conv_dropout", s.dropout)]
    return [
        *dropped,
        Activate("conv_act", s.activation),
        Add("conv"),
        Normalise("conv_norm", s.norm, width),
        HidePadding(),
    ]


class First(Step):
    """The first token of every sequence stands for it; role `pool` says in which node."""

    home = "pool"

    def run(self, node: Any, flow: Flow) -> None:
        """[N, E] or [B, T, E] -> [B, E]; one vector per sequence stays as it is, in order of the batch."""
        if flow.kept is not None:
            flow.x, flow.kept = flow.pass_.layout.by_row(flow.x), None
        else:
            flow.x = flow.pass_.first(flow.x)


class Mean(Step):
    """The mean of a sequence's tokens stands for it."""

    def run(self, node: Any, flow: Flow) -> None:
        """[N, E] or [B, T, E] -> [B, E]."""
        flow.x = flow.pass_.mean(flow.x)


class Flatten(Step):
    """All axes but the first become one."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self.role = role
        self.leaves = {role: nn.Flatten}

    def run(self, node: Any, flow: Flow) -> None:
        """[B, C, 1, 1] -> [B, C]."""
        flow.x = leaf(node, self.role)(flow.x)


class Column(Step):
    """What stands in the first column ("left") or the last one ("right"), or the mean of all columns."""

    home = "pool"

    def __init__(self, which: str) -> None:
        super().__init__()
        self.which = which

    def run(self, node: Any, flow: Flow) -> None:
        """[N, E] or [B, T, E] -> [B, E]."""
        whole = flow.pass_.layout.unpack(flow.x) if flow.x.dim() == 2 else flow.x
        flow.x = whole.mean(1) if self.which == "all" else whole[:, 0 if self.which == "left" else -1]


class Rest(Step):
    """The mean of all tokens but the first, or from one to another, stands for a row without padding."""

    home = "pool"

    def __init__(self, first: int = 1, end: int | None = None) -> None:
        super().__init__()
        self.span = slice(first, end)

    def run(self, node: Any, flow: Flow) -> None:
        """[N, E] or [B, T, E] -> [B, E]."""
        whole = flow.pass_.layout.unpack(flow.x) if flow.x.dim() == 2 else flow.x
        flow.x = whole[:, self.span].mean(1)


class End(Step):
    """The token that ends a sequence stands for it; see `spec.Summary`. The pass holds the ids as `ids`."""

    home = "pool"

    def __init__(self, ends: tuple[int, ...]) -> None:
        super().__init__()
        self.ends = ends

    def run(self, node: Any, flow: Flow) -> None:
        """[N, E] or [B, T, E] -> [B, E]."""
        ids = flow.pass_.memo.get("ids")
        if ids is None:
            raise ValueError("the token that ends a text is found by its id: pass input_ids")
        if self.ends:
            ids = sum(ids == end for end in self.ends)
        flow.x = flow.pass_.highest(flow.x, ids.long())


class Parted(Step):
    """A linear leaf over the first features, and a table [rest, out] of another layout over the others."""

    def __init__(self, role: str, beside: str, first: int, rest: int, out: int, bias: bool) -> None:
        super().__init__()
        self.role, self.beside, self.first = role, beside, first
        self.leaves = {
            role: lambda: linear("linear", first, out, bias),
            beside: lambda: linear("linear", out, rest, bias=False),
        }

    def run(self, node: Any, flow: Flow) -> None:
        """[.., first + rest] -> [.., out]."""
        first, rest = flow.x[..., : self.first], flow.x[..., self.first :]
        out = project(leaf(node, self.role), first, None, flow.watched)
        flow.x = out + rest @ self._table(node, rest.dtype)

    def _table(self, node: Any, dtype: torch.dtype) -> Tensor:
        """[rest, out]; it is multiplied the other way round, so that calling its leaf would not do.

        Raises:
            TypeError: something else stands in the leaf's place, and would be passed by.
        """
        held = leaf(node, self.beside)
        if hasattr(held, "dequantized"):
            return held.dequantized(dtype)  # type: ignore[no-any-return]  # a packed weight
        if not isinstance(held, nn.Linear):
            raise TypeError(
                f"a {type(held).__name__} stands in the place of a table whose weight is read, not called: "
                "leave it out of an adapter's targets (exclude_modules)"
            )
        return held.weight


def dense(role: str, width_in: int, width_out: int, bias: bool = True, **act: Any) -> Project:
    """A plain linear step."""
    return Project(role, lambda: linear("linear", width_in, width_out, bias), **act)
