"""Depths as bins. See `spec.depth_bins`. Maps are [B, C, H, W]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn.activations import Activation
from formers.nn.dropout import Dropout
from formers.nn.leaves import linear
from formers.nn.nets.multi_scale import enlarged
from formers.nn.nets.tree import NetNode, compute, fill
from formers.nn.spec import multi_scale, nets
from formers.nn.spec.depth_bins import Bins, Range, Router
from formers.nn.tree import Group, hold, wiring

_STRENGTH, _REACH = 300.0, 2  # of attractors: published with these, whatever a config says
_LEAST = 1e-3  # of what is made a share
_SURE = 1e-4  # least chance


def _two(read: int, inner: int, made: int, last: str | None, names: Sequence[str]) -> nets.Node:
    """Two convolutions of size 1 with activations behind them."""
    convs = (nets.Conv(read, inner, bias=True), nets.Act("relu"), nets.Conv(inner, made, bias=True))
    parts: dict[str, Any] = dict(zip(names, convs, strict=False))
    return nets.Node({**parts, **({names[3]: nets.Act(last)} if last else {})})


_NAMES = ("conv1", "act1", "conv2", "act2")


def projector(read: int, inner: int, made: int) -> NetNode:
    """What is said of bins, by a map."""
    found = NetNode()
    fill(found, _two(read, inner, made, None, ("conv1", "act", "conv2")))
    return found


class Stretched(NetNode):
    """A node of convolutions, and what follows from their result."""

    def __init__(self, s: nets.Node) -> None:
        super().__init__()
        fill(self, s)

    def made(self, x: Tensor) -> Tensor:
        """What the convolutions make."""
        found: Tensor = compute(self, wiring(self).facts["run"], x, [], None)
        return found


class Seeds(Stretched):
    """The first centres."""

    def __init__(self, s: Bins, own: Range) -> None:
        last = "relu" if s.bounded else "softplus"
        super().__init__(_two(s.read, s.inner_seed, own.count, last, _NAMES))
        self.own, self.bounded = own, s.bounded

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]  # a map alone
        """[B, C, h, w] -> how wide bins are, and their centres, [B, bins, h, w]."""
        centres = self.made(x)
        if not self.bounded:
            return centres, centres
        shares = centres + _LEAST
        shares = shares / shares.sum(1, keepdim=True)
        wide = (self.own.most - self.own.least) * shares
        edges = F.pad(wide, (0, 0, 0, 0, 1, 0), value=self.own.least).cumsum(1)
        return shares, (edges[:, :-1] + edges[:, 1:]) / 2


class Attractors(Stretched):
    """Points that centres are drawn to."""

    def __init__(self, s: Bins, own: Range, count: int) -> None:
        made, last = (2 * count, "relu") if s.bounded else (count, "softplus")
        super().__init__(_two(s.embedding, s.embedding, made, last, _NAMES))
        self.own, self.count, self.bounded, self.mean = own, count, s.bounded, s.kind == "mean"

    def forward(self, x: Tensor, centres: Tensor, said: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]  # likewise
        """What a map and the smaller one before say of bins -> their centres there, and in metres.

        Args:
            x: [B, C, h, w].
            centres: [B, bins, ..].
            said: [B, C, ..].
        """
        points = self.made(x + enlarged(said, x.shape[2:], True))
        if self.bounded:
            points = (points + _LEAST)[:, ::2]  # the other half is made, and not read
        centres = enlarged(centres, x.shape[2:], True)
        apart = points[:, :, None] - centres[:, None]  # [B, points, bins, h, w]
        drawn = apart / (1 + _STRENGTH * apart**_REACH)
        moved = centres + (drawn.mean(1) if self.mean else drawn.sum(1))
        if not self.bounded:
            return moved, moved
        metres = (self.own.most - self.own.least) * moved + self.own.least
        return moved, metres.sort(1).values.clip(self.own.least, self.own.most)


class LogBinomial(nn.Module):
    """Chances of so many bins, by one number and a temperature."""

    row_wise = True

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, chance: Tensor, temperature: Tensor) -> Tensor:
        """[B, H, W] and [B, 1, H, W] -> [B, bins, H, W], whose sum is 1."""
        last = torch.tensor(float(self.count - 1), dtype=chance.dtype, device=chance.device)
        at = torch.arange(self.count, dtype=chance.dtype, device=chance.device).view(1, -1, 1, 1)
        chance = chance[:, None]
        left, chance = (1 - chance).clamp(_SURE, 1.0), chance.clamp(_SURE, 1.0)
        small = 1e-7
        n, k = last + small, at + small  # Stirling's approximation
        ways = n * n.log() - k * k.log() - (n - k) * (n - k + small).log()
        return ((ways + at * chance.log() + (last - at) * left.log()) / temperature).softmax(1)


class Shares(Group):
    """How the bins share every pixel."""

    def __init__(self, s: Bins, own: Range) -> None:
        super().__init__()
        self.temperatures = s.temperatures
        read = s.seen + (s.router is None) + s.embedding
        inner = read // s.shrink
        mlp, last = NetNode(), nets.Conv(inner, 4, bias=True)
        fill(mlp, nets.row(nets.Conv(read, inner, bias=True), nets.Act("gelu"), last, nets.Act("softplus")))
        hold(self, "mlp", mlp)
        hold(self, "log_binomial_transform", LogBinomial(own.count))

    def forward(self, seen: Tensor, said: Tensor) -> Tensor:
        """[B, C, H, W] each -> [B, bins, H, W]."""
        found = self.get_submodule("mlp")(torch.cat((seen, said), dim=1)) + _SURE
        chance, warm = found[:, 0] / (found[:, 0] + found[:, 1]), found[:, 2] / (found[:, 2] + found[:, 3])
        least, most = self.temperatures
        made: Tensor = self.get_submodule("log_binomial_transform")(
            chance, (most - least) * warm[:, None] + least
        )
        return made


class PatchAttention(Group):
    """Attention of the router's rows."""

    def __init__(self, s: Router) -> None:
        super().__init__()
        self.heads = s.heads
        for name in ("query", "key", "value", "out_proj"):
            hold(self, name, linear("linear", s.width, s.width))
        hold(self, "dropout", Dropout(s.dropout))

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor]:
        """[B, T, E] each -> [B, T, E]."""
        q, k, v = (
            self.get_submodule(name)(one).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for name, one in (("query", queries), ("key", keys), ("value", values))
        )
        weights = (q @ k.transpose(2, 3) / q.shape[-1] ** 0.5).softmax(-1)
        mixed = self.get_submodule("dropout")(weights) @ v
        return (self.get_submodule("out_proj")(mixed.transpose(1, 2).flatten(2)),)


class PatchLayer(Group):
    """Attention and a feed-forward, norms behind them."""

    def __init__(self, s: Router) -> None:
        super().__init__()
        parts = {
            "self_attn": PatchAttention(s),
            "linear1": linear("linear", s.width, s.inner),
            "dropout": Dropout(s.dropout),
            "linear2": linear("linear", s.inner, s.width),
            "norm1": nn.LayerNorm(s.width),
            "norm2": nn.LayerNorm(s.width),
            "dropout1": Dropout(s.dropout),
            "dropout2": Dropout(s.dropout),
            "activation": Activation("relu"),
        }
        for name, one in parts.items():
            hold(self, name, one)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, E] -> [B, T, E]."""
        part = self.get_submodule
        x = part("norm1")(x + part("dropout1")(part("self_attn")(x, x, x)[0]))
        y = part("linear2")(part("dropout")(part("activation")(part("linear1")(x))))
        found: Tensor = part("norm2")(x + part("dropout2")(y))
        return found


class PatchRouter(Group):
    """All places of a map as rows, behind one of zeros that becomes what the picture is."""

    def __init__(self, s: Router, read: int) -> None:
        super().__init__()
        hold(self, "transformer_encoder", nn.ModuleList(PatchLayer(s) for _ in range(s.layers)))
        hold(self, "embedding_convPxP", nn.Conv2d(read, s.width, 1))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, h, w] -> [B, 1 + h * w, E]."""
        rows = F.pad(self.get_submodule("embedding_convPxP")(x).flatten(2), (1, 0)).transpose(1, 2)
        count, wide = rows.shape[1:]
        at = torch.arange(count, dtype=rows.dtype, device=rows.device)[:, None]
        pair = torch.arange(0, wide, 2, dtype=rows.dtype, device=rows.device)
        turn = at * (pair * (-torch.log(rows.new_tensor(10000.0)) / wide)).exp()
        rows = rows + torch.cat([turn.sin(), turn.cos()], dim=1)
        for one in self.get_submodule("transformer_encoder"):  # type: ignore[attr-defined]  # a list
            rows = one(rows)
        return rows


class Kinds(Group):
    """The kind of a picture, by its vector."""

    def __init__(self, width: int, count: int) -> None:
        super().__init__()
        hold(self, "linear1", linear("linear", width, width))
        hold(self, "activation", Activation("relu"))
        hold(self, "linear2", linear("linear", width, count))

    def forward(self, x: Tensor) -> Tensor:
        """[B, E] -> [B, kinds]."""
        part = self.get_submodule
        found: Tensor = part("linear2")(part("activation")(part("linear1")(x)))
        return found


class Relative(Stretched):
    """Depths without a unit, and what they are made of."""

    def __init__(self, wide: int, made: int, number: int, projects: bool) -> None:
        first = {"projection": nets.Conv(wide, wide, 3, bias=True)} if projects else {}
        parts = {
            **first,
            "conv1": nets.Conv(wide, wide // 2, 3, bias=True),
            "upsample": nets.Larger(corners=True),
            "conv2": nets.Conv(wide // 2, made, 3, bias=True),
            "conv3": nets.Conv(made, 1, bias=True),
        }
        relu, before = multi_scale.Bare("relu"), ("conv1", "upsample", "conv2")
        run: tuple[Any, ...] = (multi_scale.Pick(number), *((*first, relu) if first else ()), *before, relu)
        super().__init__(nets.Node(parts, run))

    def forward(self, maps: Any) -> tuple[Tensor, Tensor]:  # type: ignore[override]  # several maps
        """Fused maps -> [B, H, W], and [B, C, H, W]."""
        seen = self.made(maps)
        depths = compute(self, ("conv3", multi_scale.Bare("relu"), nets.SINGLE), seen, [], None)
        return depths, seen


class Metric(Group):
    """Depths in metres."""

    def __init__(self, s: Bins) -> None:
        super().__init__()
        self.s = s
        hold(self, "conv2", nn.Conv2d(s.read, s.read, 1))
        if s.router is not None:
            hold(self, "patch_transformer", PatchRouter(s.router, s.read))
            hold(self, "mlp_classifier", Kinds(s.router.width, len(s.ranges)))
        self._hold("seeds", lambda own: Seeds(s, own))
        hold(self, "seed_projector", projector(s.read, s.inner, s.embedding))
        each = (projector(s.wide, s.inner, s.embedding) for _ in s.attractors)
        hold(self, "projectors", nn.ModuleList(each))
        self._hold(
            "attractors", lambda own: nn.ModuleList(Attractors(s, own, count) for count in s.attractors)
        )
        self._hold("shares", lambda own: Shares(s, own))

    def _hold(self, role: str, make: Any) -> None:
        """One part, or one for each kind by name."""
        ranges = self.s.ranges
        made = make(ranges[0]) if self.s.router is None else nn.ModuleDict({o.name: make(o) for o in ranges})
        hold(self, self.s.names[role], made)

    def _of(self, role: str, own: Range) -> Any:
        found: Any = self.get_submodule(self.s.names[role])
        return found if self.s.router is None else found[own.name]

    def forward(
        self, seen: Tensor, smallest: Tensor, maps: Sequence[Tensor], relative: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Depths, [B, 1, H, W], and scores of the kinds, [B, kinds], where there are several.

        Args:
            seen: what relative depths are made of, [B, C, H, W].
            smallest: the smallest map before it is fused.
            maps: the fused ones, the smallest first.
            relative: relative depths, [B, H, W].
        """
        x, kinds, own = self.get_submodule("conv2")(smallest), None, self.s.ranges[0]
        if self.s.router is not None:
            kinds = self.get_submodule("mlp_classifier")(self.get_submodule("patch_transformer")(x)[:, 0])
            own = self.s.ranges[int(kinds.sum(0).argmax())]  # of all pictures of a batch
        else:
            again = enlarged(relative[:, None], seen.shape[2:], True)
            seen = torch.cat([seen, again], dim=1)
        _, metres = self._of("seeds", own)(x)
        centres = (metres - own.least) / (own.most - own.least) if self.s.bounded else metres
        said = self.get_submodule("seed_projector")(x)
        several_of = zip(self.get_submodule("projectors"), self._of("attractors", own), maps, strict=True)  # type: ignore[call-overload]  # lists
        for project, attract, one in several_of:
            here = project(one)
            centres, metres = attract(here, centres, said)
            said = here
        shares = self._of("shares", own)(seen, enlarged(said, seen.shape[2:], True))
        return (shares * enlarged(metres, seen.shape[2:], True)).sum(1, keepdim=True), kinds
