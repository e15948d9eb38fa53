"""Attention by contents, distances and segments, of one stream or two. Roles: see `spec.Relative`."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from formers.nn import spec
from formers.nn.attend import Scores
from formers.nn.fresh import Spread, sinusoids
from formers.nn.masks import Full, materialise
from formers.nn.mixers.attention import Attend
from formers.nn.passing import Pass
from formers.nn.program import Bare, Flow, Step
from formers.nn.recording import by_sizes
from formers.nn.tree import leaf


@dataclass(eq=False)
class Streams:
    """What the layers of a pass share, beside what every pass has.

    Attributes:
        hidden: [B, T, T], bool, which keys no query may see; None for none.
        targets: [B, P, T], which tokens each of P predictions is made for; None where there is one stream.
        memories: [M, B, E] for each layer, states of earlier calls; None for none.
        kept: what later calls may read likewise; None where nobody asked.
        table: of distances, from the farthest key behind on: [R, E], or [R, B, E] where rows differ.
        types: segment of every row, [N]; in a watched pass [T, B].
    """

    hidden: Tensor | None = None
    targets: Tensor | None = None
    memories: tuple[Tensor, ...] | None = None
    kept: list[Tensor] | None = None
    table: Tensor = field(default_factory=lambda: torch.empty(0))
    types: Tensor | None = None

    @property
    def past(self) -> int:
        """M."""
        return 0 if self.memories is None else self.memories[0].shape[0]

    def recall(self, s: spec.Relative, index: int, x: Tensor) -> Tensor:
        """What the tokens `x` [B, T, E] of a layer see, [B, M + T, E]; and note what is to be kept of it."""
        held = None if self.memories is None else self.memories[index].to(x.dtype)
        if self.kept is not None:
            new = x.detach().transpose(0, 1)[: s.reuse or None]
            new = new if held is None else torch.cat((held, new))
            self.kept[index : index + 1] = [new[-s.memory :] if s.memory else new]
        return x if held is None else torch.cat((held.transpose(0, 1), x), dim=1)


def distances(s: spec.Relative, pass_: Pass, past: int, like: Tensor) -> Tensor:
    """The table of a pass: [R, E], or [R, B, E] where rows differ or somebody looks.

    Raises:
        ValueError: for a number of rows that has no two halves, where those read in two directions.
    """
    batch = pass_.layout.batch
    longest = max((span.length for span in pass_.layout.spans), default=1)
    last = 0 if s.causal else 1 - longest
    places = torch.arange(past + longest, last - 1, -1, device=like.device)
    if s.clamp > 0:
        places = places.clamp(-s.clamp, s.clamp)
    if s.halves:
        if batch % 2:
            raise ValueError(f"half of the rows are read backwards, so their number is even, not {batch}")
        places = torch.stack((places, -places), 1).repeat_interleave(batch // 2, 1)  # [R, B]
    elif pass_.watched:
        places = places[:, None].expand(-1, batch)
    return sinusoids(places, like.shape[-1], closed=False).to(like.dtype)


class AttendRelative(Attend):
    """Project, attend in each stream, project back."""

    spec: spec.Relative

    def _make_projections(self, width: int) -> None:
        heads = self.spec.heads
        shapes = {
            **dict.fromkeys(("q", "k", "v", "o", "r"), (width, heads.query, heads.width)),
            **dict.fromkeys(("content_bias", "distance_bias", "segment_bias"), (heads.query, heads.width)),
            "segment": (2, heads.query, heads.width),
        }
        for role, shape in shapes.items():
            self.leaves[role] = partial(_fresh, shape, self.spec.std)

    def run(self, node: Any, flow: Flow) -> None:
        """[.., E] -> [.., E], of both streams where there are two.

        Raises:
            ValueError: for a layer that is called by itself.
        """
        pass_, second = flow.pass_, flow.second
        shared: Streams | None = pass_.memo.get("streams")
        if shared is None:
            raise ValueError(
                "this attention reads its stack's table of distances: call the model, not a part"
            )
        r = _projected(node, "r", shared.table)  # [R, H, D] or [R, B, H, D]
        r = r.permute(1, 2, 0) if r.dim() == 3 else r.permute(1, 2, 3, 0)
        parts, types = self._runs(pass_, flow.x), self._runs(pass_, shared.types)
        found = []
        for i, x in enumerate(parts):
            seen = shared.recall(self.spec, flow.index, x)
            k, v = (_projected(node, role, seen).transpose(1, 2) for role in ("k", "v"))  # [b, H, K, D]
            read = (k, v, r, types[i])
            mixed = self._stream(node, flow, _projected(node, "q", x), *read, own=True)
            found.append(mixed if flow.watched else mixed.flatten(0, 1))
            if second is not None:
                self._predict(node, second, shared, *read)
        flow.x = self._back(node, flow, found[0] if len(found) == 1 else torch.cat(found))

    def _predict(
        self, node: Any, flow: Flow, shared: Streams, k: Tensor, v: Tensor, r: Tensor, types: Tensor | None
    ) -> None:
        """The second stream: P predictions of each row, which see what their tokens do but for themselves."""
        assert shared.targets is not None
        to = shared.targets.to(flow.x.dtype)  # [B, P, T]
        g = flow.x.transpose(0, 1) if flow.watched else flow.x.view(*to.shape[:2], -1)
        q = _projected(node, "q", g)
        q = (to.transpose(1, 2) @ q.flatten(2)).view(to.shape[0], -1, *q.shape[2:])  # [B, T, H, D]
        mixed = to @ self._stream(node, flow, q, k, v, r, types, own=False)
        flow.x = self._back(node, flow, mixed if flow.watched else mixed.flatten(0, 1))

    def _runs(self, pass_: Pass, rows: Tensor | None) -> list[Any]:
        """Each run of sequences, [b, t, ..]."""
        if rows is None:
            return [None] * len(pass_.layout.spans)
        return [rows.transpose(0, 1)] if pass_.watched else pass_.layout.by_span(rows)

    def _back(self, node: Any, flow: Flow, mixed: Tensor) -> Tensor:
        """[.., H * D] -> [.., E]; [B, t, ..] becomes [t, B, ..]."""
        out = F.linear(mixed, leaf(node, "o").flatten(1))
        return out.transpose(0, 1) if flow.watched else out

    def _stream(
        self,
        node: Any,
        flow: Flow,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        r: Tensor,
        types: Tensor | None,
        own: bool,
    ) -> Tensor:
        """Queries [b, t, H, D] -> [b, t, H * D]; `own`: a token sees itself whatever is hidden."""
        s, pass_, q = self.spec, flow.pass_, q.transpose(1, 2)  # [b, H, t, D]
        length, count = q.shape[2], k.shape[2]
        scale = q.shape[-1] ** -0.5 if s.scale is None else s.scale
        longest = r.shape[-1] // 2 if not s.causal else r.shape[-1] - 1
        if count == length < longest:  # a shorter run than the table is for
            r = r[..., longest - length : longest + (1 if s.causal else length)]
        far = (q + leaf(node, "distance_bias")[:, None]) @ r  # [b, H, t, R]
        # place i reads entry t - i + j for key j, which lies in every row one entry further to the left
        far = far.flatten(2)[..., length:].view(*far.shape[:3], -1)[..., :count]
        if types is not None:
            both = (q + leaf(node, "segment_bias")[:, None]) @ leaf(node, "segment").permute(1, 2, 0)
            here = F.pad(types, (count - length, 0))  # memories are of the first kind
            far = far + torch.where(
                (types[:, :, None] != here[:, None])[:, None], both[..., 1:], both[..., :1]
            )
        bias = far * scale
        if pass_.visibility.bias is not None:
            bias = bias + F.pad(pass_.visibility.bias, (count - length, 0))
        place = by_sizes("seen", own, length, count)
        unseen = pass_.memo.once(place, lambda: self._unseen(pass_, bias, length, own))
        bias = bias if unseen is None else bias + unseen
        at = pass_.range(0, length), pass_.range(0, count)
        q = q + leaf(node, "content_bias")[:, None]
        mixed = self._mix(node, flow, q, k, v, Scores(Full(), *at, bias=bias, scale=scale), "attentions")
        return mixed.transpose(1, 2).flatten(2)

    def _unseen(self, pass_: Pass, like: Tensor, length: int, own: bool) -> Tensor | None:
        """What hides keys, the last of which are the tokens: [B or 1, 1, t, K] beside [b, H, t, K], or None.

        It is finite and added: who sees nothing reads all alike.
        """
        shared: Streams = pass_.memo.get("streams")
        batch, count = like.shape[0], like.shape[-1]
        at = pass_.range(0, length)
        seen = materialise(pass_.visibility.mask(self.spec.mask), batch, at, at)
        if shared.hidden is not None:
            shown = ~shared.hidden[:, None]
            seen = shown if seen is None else seen & shown
        if seen is not None:
            seen = F.pad(seen.expand(-1, -1, length, length), (count - length, 0), value=True)
        if self.spec.same_length:
            near = pass_.range(0, count) >= at[:, None]
            seen = near[None, None] if seen is None else seen & near
        if seen is None:
            return None
        if own:
            seen = seen | (pass_.range(0, count) == at[:, None] + count - length)
        floor = max(-1e30, torch.finfo(like.dtype).min / 2)
        return torch.zeros(seen.shape, dtype=like.dtype, device=like.device).masked_fill(~seen, floor)


def _fresh(shape: tuple[int, ...], std: float) -> Bare:
    return Bare(torch.zeros(shape), Spread(std))


def _projected(node: Any, role: str, x: Tensor) -> Tensor:
    """[.., E] -> [.., H, D]."""
    weight: Tensor = leaf(node, role)
    return F.linear(x, weight.flatten(1).t()).view(*x.shape[:-1], *weight.shape[1:])


def relative_steps(s: spec.Relative, width: int) -> list[Step]:
    """One step: its tensors are no modules."""
    return [AttendRelative(s, width)]
