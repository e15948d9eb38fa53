"""A network over maps where nobody looks inside and no gradient is wanted: fewer and faster steps.

Batch norms become part of the convolutions before them, and these take the sum and the activation that
follow, where oneDNN can. Channels lie last in memory. What was made of weights is made anew when they change:
each has a counter of changes and an address; and for changes that are not counted (through `.data`) some of
the numbers are compared, one of every channel's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import NoneType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn.activations import Activation, activation
from formers.nn.dropout import Dropout, DropPath
from formers.nn.kernels import project
from formers.nn.nets.leaves import FrozenNorm, NormedConv, SameConv, StandardConv, padded
from formers.nn.nets.tree import NetNode, compute, mark, part_of, scaled
from formers.nn.spec import multi_scale, nets
from formers.nn.tree import wiring

Kept = list[Tensor]
Op = Callable[[Tensor, Kept, "Kept | None"], Tensor]
_IDLE = (nn.Identity, Dropout, nn.Dropout, DropPath)  # in evaluation
# activation -> how oneDNN calls it: name, numbers, algorithm
_FUSED: dict[str | None, tuple[str, list[float], str]] = {
    None: ("none", [], ""),
    "relu": ("relu", [], ""),
    "relu6": ("hardtanh", [0.0, 6.0], ""),
    **dict.fromkeys(("silu", "swish"), ("swish", [], "")),
    "sigmoid": ("sigmoid", [], ""),
    "tanh": ("tanh", [], ""),
    "gelu": ("gelu", [], "none"),
    **dict.fromkeys(("gelu_new", "gelu_pytorch_tanh"), ("gelu", [], "tanh")),
}
_SUMMED: dict[str | None, tuple[str | None, list[float], str | None]] = {
    None: (None, [], None),
    "relu": ("relu", [], ""),
}  # those that may follow a sum


def _find_operators() -> Any:
    try:
        if torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]  # torch does not type it
            found = torch.ops.mkldnn._convolution_pointwise
            return found.default, found.binary, torch.ops.mkldnn._reorder_convolution_weight.default
    except (AttributeError, RuntimeError):
        pass  # a torch build without the operators
    return None


_operators = _find_operators()


class _Forget:
    """What was kept and not used is given up."""


class _Branch:
    """What is made of what was kept, and added."""

    def __init__(self, ops: tuple[Op, ...]) -> None:
        self.ops = ops

    def __call__(self, held: Kept) -> Tensor:
        """Take it off `held`."""
        x = held.pop()
        for op in self.ops:
            x = op(x, [], None)
        return x


class _Convolve:
    """A convolution with its norm, the sum and the activation that follow."""

    def __init__(self, conv: nn.Conv2d) -> None:
        self.conv, self.norm = conv, None
        self.act: str | None = None
        self.adds: Callable[[Kept], Tensor] | None = None
        self.weight: Tensor | None = None
        self.bias: Tensor | None = None
        self.packed = False

    norm: nn.BatchNorm2d | FrozenNorm | None

    def tensors(self) -> list[Tensor]:
        """What the result follows from."""
        n = self.norm
        own = [] if n is None else [n.weight, n.bias, n.running_mean, n.running_var]
        return [one for one in (self.conv.weight, self.conv.bias, *own) if one is not None]

    def fold(self) -> None:
        """Make weight and bias anew."""
        conv, n = self.conv, self.norm
        weight = (conv.standard() if isinstance(conv, StandardConv) else conv.weight).detach()
        bias: Tensor | None = self.conv.bias
        if n is not None and n.running_mean is not None and n.running_var is not None:
            scale = (n.running_var.float() + n.eps).rsqrt() * n.weight.float()
            start = 0.0 if bias is None else bias.float()
            bias = ((start - n.running_mean.float()) * scale + n.bias.float()).to(weight.dtype)
            weight = (weight.float() * scale.view(-1, 1, 1, 1)).to(weight.dtype)
        self.weight, self.bias = weight.contiguous(memory_format=torch.channels_last), bias
        self.packed = False

    def __call__(self, x: Tensor, held: Kept, trace: Kept | None) -> Tensor:
        """[B, C, H, W] -> the next map."""
        conv, weight, other = self.conv, self.weight, None
        assert weight is not None
        x = padded(conv, x)
        if self.adds is not None:
            other = self.adds(held)
        how = (conv.padding, conv.stride, conv.dilation, conv.groups)
        known = _FUSED if other is None else _SUMMED
        fast = x.dtype is torch.float32 and x.device.type == "cpu" and _operators is not None
        if not fast:
            x = F.conv2d(x, weight, self.bias, conv.stride, conv.padding, conv.dilation, conv.groups)
            x = x if other is None else x.add_(other)
            return x if self.act is None else activation(self.act, True)(x)
        if not self.packed:
            weight = self.weight = _operators[2](weight, *how, list(x.shape))
            self.packed = True
        act, rest = (self.act, None) if self.act in known else (None, self.act)
        out: Tensor
        if other is None:
            out = _operators[0](x, weight, self.bias, *how, *_FUSED[act])
        else:
            out = _operators[1](x, other, weight, self.bias, *how, "add", 1.0, *_SUMMED[act])
        return out if rest is None else activation(rest, True)(out)


class Folding:
    """The steps of a network, in evaluation."""

    def __init__(self, owner: nn.Module, run: Sequence[nets.Run]) -> None:
        self._folded: list[_Convolve] = []
        self._changing: list[nn.Module] = []  # those that do something else in training
        self._ops = self._fused(self._flat(owner, run))
        self._state: tuple[Any, ...] | None = None
        self._samples: list[Tensor] = []
        self._seen: Tensor | None = None

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return NoneType, ()  # a copy of the model makes its own

    @property
    def fits(self) -> bool:
        """Whether nothing is in training."""
        return not any(module.training for module in self._changing)

    def __call__(self, x: Tensor, trace: Kept | None) -> Tensor:
        """[B, C, H, W] -> the last map; hidden states go to `trace`."""
        self._refresh()
        held: Kept = []
        x = x.contiguous(memory_format=torch.channels_last)
        for op in self._ops:
            x = op(x, held, trace)
        return x

    def _refresh(self) -> None:
        """Fold anew where weights changed."""
        tensors = [t for one in self._folded for t in one.tensors()]
        state = tuple((t.data_ptr(), t.dtype, 0 if t.is_inference() else t._version) for t in tensors)
        seen = self._seen
        if seen is not None and state == self._state and torch.equal(torch.cat(self._samples), seen):
            return
        for one in self._folded:
            one.fold()
        self._state = state
        self._samples = [_sample(t.detach()) for t in tensors]
        self._seen = torch.cat(self._samples) if tensors else None

    # -- what runs ----------------------------------------------------------------------------------

    def _flat(self, node: Any, run: Sequence[nets.Run]) -> list[Any]:
        """The leaves of a node and of those within it, marks, and branches."""
        found: list[Any] = []
        for one in run:
            if isinstance(one, nets.Mark):
                found.append(one)
            elif isinstance(one, multi_scale.Unread):
                continue
            elif isinstance(one, (nets.Scaled, nets.Step)):
                found.append((node, one))
            elif isinstance(one, nets.Plus):
                found.append(_Branch(self._fused(self._inside(part_of(node, one.part)))))
            else:
                part = part_of(node, one if isinstance(one, str) else one.part)
                if isinstance(one, nets.Within) and one.near:
                    found.append(nets.SWAP)
                found += self._inside(part)
                if not isinstance(one, str) and not _sums(part):
                    found.append(_Forget)
        return found

    def _inside(self, part: Any) -> list[Any]:
        if isinstance(part, NetNode):
            return self._flat(part, wiring(part).facts["run"])
        if isinstance(part, (nn.BatchNorm2d, *_IDLE[1:])):
            self._changing.append(part)
        return [] if type(part) in _IDLE else [part]

    def _fused(self, items: list[Any]) -> tuple[Op, ...]:
        ops: list[Op] = []
        while items:
            one = items.pop(0)
            if _foldable(one):
                ops.append(self._convolve(one, items))
            elif type(one) is nn.Linear:
                act = items.pop(0).name if items and type(items[0]) is Activation else None
                ops.append(_projected(one, act))
            else:
                ops.append(_op(one))
        return tuple(ops)

    def _convolve(self, conv: nn.Conv2d, items: list[Any]) -> Op:
        made = _Convolve(conv)
        if isinstance(conv, NormedConv):
            made.norm = conv.norm  # type: ignore[assignment]  # `_foldable` has asked
        elif items and _is_norm(items[0]):
            made.norm = items.pop(0)
        if items and (items[0] is nets.SUM or isinstance(items[0], _Branch)):
            one = items.pop(0)
            made.adds = one if isinstance(one, _Branch) else list.pop
        if items and _act_of(items[0]) is not None:
            made.act = _act_of(items.pop(0))
        self._folded.append(made)
        return made


def _sums(node: Any) -> bool:
    """Whether a node takes what was kept for it."""
    return nets.SUM in wiring(node).facts.get("run", ())


def _foldable(one: Any) -> bool:
    if type(one) not in (nn.Conv2d, SameConv, StandardConv, NormedConv) or one.padding_mode != "zeros":
        return False
    if type(one) is NormedConv and not _is_norm(one.norm):
        return False
    return type(one.weight) is nn.Parameter and not isinstance(one.padding, str)


def _act_of(one: Any) -> str | None:
    """The name of an activation, a module's or none's."""
    if isinstance(one, tuple):
        one = one[1]
        return one.name if isinstance(one, multi_scale.Bare) else None
    return one.name if type(one) is Activation else None


def _is_norm(one: Any) -> bool:
    return type(one) is FrozenNorm or (type(one) is nn.BatchNorm2d and one.affine and one.track_running_stats)


def _sample(tensor: Tensor) -> Tensor:
    """One number of every channel."""
    if tensor.dim() < 4:
        return tensor
    return tensor[:, 0, tensor.shape[2] // 2, tensor.shape[3] // 2]


def _projected(linear: nn.Linear, act: str | None) -> Op:
    def run(x: Tensor, held: Kept, trace: Kept | None) -> Tensor:
        return project(linear, x.reshape(-1, x.shape[-1]), act, False).view(*x.shape[:-1], -1)

    return run


def _op(one: Any) -> Op:
    """A mark, a factor, or a module that is called."""
    if one is _Forget:
        return lambda x, held, trace: x if held.pop() is x else x
    if isinstance(one, nets.Mark):
        return lambda x, held, trace: mark(one, x, held, trace)
    if isinstance(one, tuple):
        node, step = one
        if isinstance(step, nets.Step):
            return lambda x, held, trace: compute(node, (step,), x, held, None)
        return lambda x, held, trace: scaled(node, step, x)
    if isinstance(one, _Branch):
        return lambda x, held, trace: x + one(held)
    return lambda x, held, trace: one(x)


def folded(owner: nn.Module, run: Sequence[nets.Run]) -> Folding:
    """The steps for when nobody looks, made anew when the tree has changed that `nn.watch` walked."""
    facts = wiring(owner).facts
    tree, found = facts.get("folded") or (None, None)
    if found is None or tree is not facts["tree"]:
        found = Folding(owner, run)
        facts["folded"] = (facts["tree"], found)
    return found
