"""A LoRA adapter out of others: sums, ranks in a row, TIES (arXiv:2306.01708), DARE (arXiv:2311.03099)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from formers.adapters.lora.layers import LoraLayer
from formers.adapters.tuner import Tuner, parts_of

_PRUNED = ("ties", "dare_ties", "dare_linear", "magnitude_prune")
_KINDS = ("cat", "linear", *_PRUNED)  # of A and B
_WHOLE = ("svd", *(f"{kind}_svd" for kind in _PRUNED))  # of their products


@torch.no_grad()
def add_weighted(
    tuner: Tuner,
    adapters: Sequence[str],
    weights: Sequence[float],
    name: str,
    kind: str,
    svd_rank: int | None,
    svd_clamp: float | None,
    density: float | None,
    sign: str,
) -> None:
    """The body of `LoraModel.add_weighted_adapter`: the new adapter is frozen, and not active."""
    held: list[Any] = [tuner.peft_config.get(one) for one in adapters]
    rank = _checked(held, adapters, weights, kind, svd_rank, density, sign)
    targets = [one.target_modules for one in held if one is not None]
    texts = [one for one in targets if isinstance(one, str)]
    if texts and len(texts) < len(targets):
        raise ValueError("target_modules of all adapters are expressions, or of none: these are mixed")
    union: Any = "|".join(f"({one})" for one in texts) if texts else set().union(*targets)
    fresh = {"r": rank, "lora_alpha": rank, "rank_pattern": {}, "alpha_pattern": {}, "use_rslora": False}
    config = dataclasses.replace(
        held[0], **fresh, target_modules=union, init_lora_weights=True, loftq_config={}
    )
    tuner.inject_adapter(name, config)
    tuner.set_requires_grad(name, False)
    for _, layer in parts_of(tuner.model):
        if not isinstance(layer, LoraLayer) or not layer.holds(name):
            continue
        own = [(one, w) for one, w in zip(adapters, weights, strict=True) if layer.holds(one)]
        if kind in _WHOLE:
            deltas = [_flat(layer, layer.get_delta_weight(one)) for one, _ in own]
            whole = _combined(kind, deltas, [w for _, w in own], density, sign)
            a, b = _decomposed(whole, rank, svd_clamp)
        else:
            a, b = _of_factors(layer, own, kind, density, sign)
        _fill(layer, name, a, b)


def _checked(
    held: Sequence[Any],
    adapters: Sequence[str],
    weights: Sequence[float],
    kind: str,
    svd_rank: int | None,
    density: float | None,
    sign: str,
) -> int:
    """The rank of the new adapter."""
    missing = [one for one, config in zip(adapters, held, strict=True) if config is None]
    if missing or not held:
        raise ValueError(f"Adapter {', '.join(missing) or 'names are none, and one'} does not exist")
    if len(weights) != len(held):
        raise ValueError(f"there are {len(held)} adapters and {len(weights)} weights")
    if kind not in (*_KINDS, *_WHOLE):
        raise ValueError(f"combination_type is one of {', '.join((*_KINDS, *_WHOLE))}, not {kind!r}")
    if sum(bool(config.modules_to_save) for config in held) > 1:
        raise ValueError("adapters that save whole modules cannot be put together: a module cannot be two")
    if any(config.use_dora or config.lora_bias for config in held):
        raise ValueError("adapters with use_dora or lora_bias cannot be put together")
    if kind.removesuffix("_svd") in _PRUNED and (density is None or not 0 < density <= 1):
        raise ValueError(f"{kind} needs a density above 0, at most 1: the share of the numbers that stay")
    if sign not in ("total", "frequency"):
        raise ValueError(f"majority_sign_method is 'total' or 'frequency', not {sign!r}")
    ranks: list[int] = [max(config.r, *config.rank_pattern.values(), 0) for config in held]
    if kind in _WHOLE:
        return svd_rank or max(ranks)
    if kind == "cat":
        return sum(ranks)
    if len(set(ranks)) > 1 or any(config.rank_pattern for config in held):
        raise ValueError(f"{kind} takes adapters of one rank, these have {ranks}: take 'cat' or 'svd'")
    return ranks[0]


def _flat(layer: LoraLayer, delta: Tensor) -> Tensor:
    """[out, all that a row reads]."""
    return delta.t() if layer.transposed else delta.flatten(1)


def _of_factors(
    layer: LoraLayer, own: Sequence[tuple[str, float]], kind: str, density: float | None, sign: str
) -> tuple[Tensor, Tensor]:
    """A and B, each put together of theirs."""
    factors = [tuple(part.data for part in layer.factors(one)) for one, _ in own]
    counts = [w * layer.scaling[one] for one, w in own]
    if kind == "cat":
        a = torch.cat([part[0] * count for part, count in zip(factors, counts, strict=True)], 0)
        return a, torch.cat([part[1] for part in factors], 1)
    roots = [math.sqrt(abs(count)) for count in counts]
    signed = [math.copysign(root, count) for root, count in zip(roots, counts, strict=True)]
    a = _combined(kind, [part[0] for part in factors], signed, density, sign)
    return a, _combined(kind, [part[1] for part in factors], roots, density, sign)


def _combined(
    kind: str, parts: Sequence[Tensor], weights: Sequence[float], density: float | None, sign: str
) -> Tensor:
    """The weighted sum; where asked after taking numbers away, and of those alone whose signs agree."""
    if density is not None and density < 1:
        if kind.startswith("dare"):
            parts = [part * torch.bernoulli(torch.full_like(part, density)) / density for part in parts]
        elif kind.startswith(("ties", "magnitude")):
            parts = [_largest(part, density) for part in parts]
    stacked = torch.stack(list(parts))
    scaled = stacked * torch.tensor(list(weights)).to(stacked).view(-1, *(1,) * (stacked.dim() - 1))
    if "ties" not in kind:
        return scaled.sum(0)
    signs = stacked.sign()
    votes = (stacked if sign == "total" else signs).sum(0)
    agree = signs == torch.where(votes >= 0, 1, -1)
    return (scaled * agree).sum(0) / agree.sum(0).clamp(min=1)


def _largest(part: Tensor, density: float) -> Tensor:
    kept = torch.zeros(part.numel(), dtype=part.dtype, device=part.device)
    kept[part.abs().flatten().topk(int(density * part.numel())).indices] = 1
    return part * kept.view(part.shape)


def _decomposed(whole: Tensor, rank: int, clamp: float | None) -> tuple[Tensor, Tensor]:
    left, values, right = torch.linalg.svd(whole, full_matrices=False)
    a, b = right[:rank], left[:, :rank] * values[:rank]
    if clamp is not None:
        bound = float(torch.quantile(torch.cat((b.flatten(), a.flatten())), clamp))
        a, b = a.clamp(-bound, bound), b.clamp(-bound, bound)
    return a, b


def _fill(layer: LoraLayer, name: str, a: Tensor, b: Tensor) -> None:
    """Put A and B into a leaf's; where they have fewer ranks, the others are zero."""
    for held, value, axis in zip(layer.factors(name), (a, b), (0, 1), strict=True):
        held.zero_()
        count = value.shape[axis]
        held.narrow(axis, 0, count).copy_(value.reshape(held.narrow(axis, 0, count).shape))
