"""Two experts for every token, while they have room; see `spec.TopTwo`."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from formers.nn import spec
from formers.nn.program import Flow


def two_of(s: spec.Experts, logits: Tensor, flow: Flow, training: bool) -> tuple[Tensor, Tensor]:
    """Weights (float32 at least) and numbers of two experts, [N, 2] each, from logits [N, experts].

    Where there is no room, or nothing to read, the number is that of an expert that does not exist.
    """
    assert s.two is not None
    shares = logits.to(torch.promote_types(logits.dtype, torch.float32)).softmax(-1)
    first = shares.argmax(-1, keepdim=True)
    merit = logits + _gumbel(logits) if s.two.second == "sampling" else logits
    chosen = torch.cat((first, merit.scatter(1, first, float("-inf")).argmax(-1, keepdim=True)), 1)
    weights = shares.gather(1, chosen)
    weights = _normed(weights) if s.two.early else weights
    goes = torch.ones_like(chosen, dtype=torch.bool)
    if s.two.second == "random":
        goes[:, 1] = 2 * weights[:, 1] > torch.rand_like(weights[:, 1])
    layout, real = flow.pass_.layout, flow.pass_.visibility.real
    if real is not None and not s.reads_padding:
        goes = goes & real[:, -layout.length :].reshape(-1, 1)  # it stands there where nothing is left out
    tokens = layout.batch * layout.length
    most = s.two.most(tokens, s.count, training)
    if most < tokens:
        goes = goes & (_places(s.two, chosen, goes, shares, flow) < most)
    weights = weights * goes
    return weights if s.two.early else _normed(weights), chosen.where(goes, s.count)


def _normed(weights: Tensor) -> Tensor:
    return weights / weights.sum(-1, keepdim=True).clamp(min=torch.finfo(weights.dtype).eps)


def _gumbel(like: Tensor) -> Tensor:
    """Noise of a Gumbel distribution, of that shape."""
    kind = torch.finfo(like.dtype)
    return -(-torch.rand_like(like).clamp(kind.tiny, 1 - kind.eps).log()).log()


def _places(two: spec.TopTwo, chosen: Tensor, goes: Tensor, shares: Tensor, flow: Flow) -> Tensor:
    """How many stand before each token at both of its experts, [N, 2]; who chose it second comes last."""
    layout, count = flow.pass_.layout, shares.shape[1]

    def whole(rows: Tensor) -> Tensor:
        """[N, ..] -> [B * T, ..], as the tokens stand."""
        return rows if flow.watched else layout.unpack(rows).flatten(0, 1)

    asks = whole((F.one_hot(chosen, count) * goes[..., None]).flatten(1)).view(-1, 2, count)  # [B * T, 2, X]
    order = whole(shares.amax(-1, keepdim=True))[:, 0].argsort(descending=True, stable=True)
    asked = asks[order] if two.surest else asks
    before = asked.cumsum(0) - asked
    before[:, 1] += asked[:, 0].sum(0)
    if two.surest:
        before = torch.empty_like(before).index_copy(0, order, before)
    before = before.flatten(1)
    rows = before if flow.watched else layout.pack(before.view(layout.batch, layout.length, -1))
    return rows.view(-1, 2, count).gather(2, chosen[..., None])[..., 0]
