"""AWQ: columns that matter are made larger before weights are rounded, and what they read smaller.

Lin et al. 2023, arXiv:2306.00978: a column whose inputs are large loses most where it is rounded. It is
multiplied by a factor, and what makes its input divided by the same: that changes nothing that a model
computes, and halves the column's error where the factor is 2. How far to go, and where to cut the range of a
group, is searched for by the squared error of what the leaf makes of the texts that are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn.leaves import Conv1D, OffsetLayerNorm, RMSNorm
from formers.quantization.groups import Grid, GroupedLinear
from formers.quantization.hearing import gathered, hessian_of, in_blocks, texts_of
from formers.quantization.packed import PackedLinear

_STEPS = 20  # exponents that are tried, 0 (nothing is scaled) among them
_CUTS = 20  # shares of a group's range that are tried, from all of it to half
_TRIED = 64  # tokens by which is tried whether a factor can be taken out elsewhere
_SAME = 1e-4  # of outputs: factors that are powers of two change no digit
_ROWS = 512  # of a leaf, by which its factors are judged
_AT_ONCE = 1 << 24  # numbers of a leaf's error that stand in memory together


@dataclass(frozen=True)
class _Fold:
    """Leaves that read what one module makes, so that its columns and their rows can be scaled together."""

    maker: nn.Module
    readers: tuple[str, ...]


def offset_of(module: nn.Module) -> float | None:
    """What a norm adds to its weight before it scales by it; None where factors do not fit into a module."""
    if isinstance(module, OffsetLayerNorm):
        return 1.0
    if isinstance(module, RMSNorm):
        return module.offset
    return (
        0.0 if isinstance(module, (nn.LayerNorm, nn.Linear, Conv1D)) and _weight(module) is not None else None
    )


def _weight(module: nn.Module) -> Any:
    return getattr(module, "weight", None)


def width_of(module: nn.Module) -> int:
    """How many columns a module makes."""
    return int(_weight(module).shape[1 if isinstance(module, Conv1D) else 0])


@torch.no_grad()
def divide(maker: nn.Module, by: Tensor) -> None:
    """Make a module's columns smaller by factors, [out]: its weight, and its bias."""
    offset, weight, bias = offset_of(maker) or 0.0, _weight(maker), getattr(maker, "bias", None)
    if isinstance(maker, nn.Linear):
        weight.div_(by.to(weight.dtype)[:, None])
    else:  # of one row, or [in, out]
        weight.copy_((weight.float() + offset) / by - offset)
    if bias is not None:
        bias.div_(by.to(bias.dtype))


@torch.no_grad()
def multiply(reader: nn.Module, by: Tensor) -> None:
    """Make what a linear leaf does with its columns larger by factors, [in]."""
    weight = _weight(reader)
    weight.mul_(by.to(weight.dtype)[:, None] if isinstance(reader, Conv1D) else by.to(weight.dtype))


def stored(leaf: nn.Module) -> Tensor:
    """[out, in], float32."""
    weight: Tensor = _weight(leaf)
    return (weight.t() if isinstance(leaf, Conv1D) else weight).detach().float()


def error(weight: Tensor, rounded: Tensor, hessian: Tensor) -> float:
    """The squared error of what a leaf makes, summed over the rows that it reads."""
    off = rounded - weight
    return float(((off @ hessian) * off).sum())


def searched(weights: list[Tensor], hessian: Tensor, size: Tensor, grid: Grid) -> Tensor:
    """Factors of columns, [in], by which leaves that read together lose least.

    Args:
        weights: [out, in] each.
        hessian: [in, in], the sum of products of what they read.
        size: [in], the magnitude of what they read, in any unit.
        grid: what they are rounded to.

    Returns:
        Ones, where no other factors are better.
    """
    best, least = torch.ones_like(size), float("inf")
    weights = [w[:: -(-len(w) // _ROWS)] for w in weights]
    size = size / size.mean().clamp(min=torch.finfo(torch.float32).tiny)
    for step in range(_STEPS):
        by = size.clamp(min=1e-4).pow(step / _STEPS)
        by = by / (by.max() * by.min()).sqrt()
        lost = sum(error(w, grid.nearest(w * by).values() / by, hessian) for w in weights)
        if lost < least:
            best, least = by, lost
    return best


def cut(weight: Tensor, hessian: Tensor, grid: Grid) -> Tensor:
    """Weights [out, in] whose largest are cut, in each group to where it loses least by what it reads."""
    out, read = weight.shape
    size = read if grid.size < 0 else grid.size
    count = grid.count(read)
    spare = count * size - read
    groups = F.pad(weight, (0, spare)).view(out, count, size)
    padded = F.pad(hessian, (0, spare, 0, spare)).view(count, size, count, size)
    own = padded.diagonal(dim1=0, dim2=2).permute(2, 0, 1)  # [groups, size, size]
    rows = max(1, _AT_ONCE // (count * size))
    return torch.cat([_cut(part, own, grid) for part in torch.split(groups, rows)]).view(out, -1)[:, :read]


def _cut(groups: Tensor, own: Tensor, grid: Grid) -> Tensor:
    """[out, groups, size] -> the same, cut."""
    best, least = groups, torch.full(groups.shape[:2], float("inf"))
    low, high = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
    for step in range(_CUTS + 1):
        share = 1 - 0.5 * step / _CUTS
        kept = groups.clamp(low * share, high * share)
        scale, zero = grid.scales(kept)
        scale = scale.half().float().clamp(min=torch.finfo(torch.float16).tiny)[..., None]
        off = (grid.code(kept, scale, zero[..., None]) - zero[..., None]) * scale - groups
        lost = (torch.einsum("ogi,gij->ogj", off, own) * off).sum(-1)  # [out, groups]
        better = lost < least
        best = torch.where(better[..., None], kept, best)
        least = torch.where(better, lost, least)
    return best


def calibrate(model: Any, config: Any, leaves: dict[str, tuple[nn.Module, PackedLinear]]) -> None:
    """Quantize leaves by what they read while a model reads `config.dataset`, layer after layer.

    Which module makes what a leaf reads is seen by looking at tensors, and that factors can be taken out of
    it is tried before any are: a residual sum or heads that share their values do not allow it. What
    cannot be scaled is cut and rounded only; a leaf that reads nothing is rounded.

    Args:
        model: in full precision.
        config: with `dataset`, `tokenizer` and `model_seqlen`.
        leaves: path -> the leaf and the one that is to stand in its place.
    """
    texts, later = texts_of(config), {path: leaf for path, (leaf, _) in leaves.items()}
    probe = {name: value[:, :_TRIED] for name, value in texts[0].items()}
    for paths in in_blocks(leaves):
        named = {path: later.pop(path) for path in paths}
        grid = _grid(leaves[paths[0]][1])
        both = gathered(model, texts, named, later, _products_and_sizes)
        seen, sizes = ({path: part[rows] for path, part in both.items()} for rows in (slice(1, None), 0))
        for fold in _folds(model, probe, named):
            readers = [named[path] for path in fold.readers if path in named]
            first = next((path for path in fold.readers if path in seen), None)
            if first is None:
                continue
            by = searched([stored(leaf) for leaf in readers], seen[first], sizes[first], grid)
            divide(fold.maker, by)
            for path in fold.readers:
                multiply(model.get_submodule(path), by)
                if path in seen:
                    seen[path] = seen[path] / by / by[:, None]
        for path, leaf in named.items():
            packed = leaves[path][1]
            weight = stored(leaf)
            packed.take(cut(weight, seen[path], grid) if path in seen else weight)
            bias: Any = leaf.bias
            packed.bias = bias
            model.set_submodule(path, packed)


def _grid(packed: PackedLinear) -> Grid:
    assert isinstance(packed, GroupedLinear)
    grid: Any = packed.layout
    found: Grid = grid
    return found


def _products_and_sizes(rows: Tensor) -> Tensor:
    """[N, in] -> [1 + in, in]: the sum of magnitudes, and those of products."""
    size = rows.reshape(-1, rows.shape[-1]).float().abs().sum(0, keepdim=True)
    return torch.cat([size, hessian_of(rows)])


def _folds(model: Any, probe: dict[str, Tensor], named: dict[str, nn.Module]) -> list[_Fold]:
    """What can be scaled together in a layer, of which each was tried."""
    with torch.no_grad():
        wanted = _answer(model(**probe))
    found: list[_Fold] = []
    for readers, makers in _readings(model, probe, named):
        for maker in makers:
            if _stands(model, probe, wanted, _Fold(maker, readers)):
                found.append(_Fold(maker, readers))
                break
    return found


def _readings(
    model: Any, probe: dict[str, Tensor], named: dict[str, nn.Module]
) -> list[tuple[tuple[str, ...], list[nn.Module]]]:
    """Linear leaves that read one tensor, of which one is among `named`, with what may have made it.

    That is the norm whose output it is; or, where something without weights stands between (an attention, a
    product of gate and up), a leaf of the layer that was called before and is as wide, the last one first.
    """
    read: dict[tuple[int, int], list[str]] = {}
    made: dict[tuple[int, int], nn.Module] = {}
    before: list[nn.Module] = []  # linear leaves of the layer, as they are called
    earlier: dict[tuple[int, int], list[nn.Module]] = {}
    kept: list[Tensor] = []  # so that no later tensor lies in the place of one that is gone

    def hear(path: str, module: nn.Module) -> Callable[..., None]:
        def hook(_: nn.Module, given: Any, result: Any) -> None:
            if isinstance(module, (nn.Linear, Conv1D)):
                key = (given[0].data_ptr(), given[0].numel())
                if path in named and key not in read:
                    earlier[key] = before[::-1]
                read.setdefault(key, []).append(path)
                kept.append(given[0])
                if path in named:
                    before.append(module)
            elif isinstance(result, Tensor) and offset_of(module) is not None:
                made[(result.data_ptr(), result.numel())] = module
                kept.append(result)

        return hook

    with _after(model, hear), torch.no_grad():
        model(**probe)
    found = []
    for key, paths in read.items():
        readers = tuple(dict.fromkeys(paths))
        if not any(path in named for path in readers):
            continue
        width = read_by(model.get_submodule(readers[0]))
        makers = (
            [made[key]] if key in made else [one for one in earlier.get(key, []) if width_of(one) == width]
        )
        found.append((readers, makers))
    return found


def read_by(leaf: nn.Module) -> int:
    """How many columns a linear leaf reads."""
    return int(_weight(leaf).shape[0 if isinstance(leaf, Conv1D) else 1])


@contextmanager
def _after(model: Any, hear: Callable[[str, nn.Module], Callable[..., None]]) -> Iterator[None]:
    hooks = [
        module.register_forward_hook(hear(path, module))
        for path, module in model.named_modules()
        if not any(True for _ in module.children())
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _answer(result: Any) -> Tensor:
    found: Tensor = result[0]
    return found.float()


@torch.no_grad()
def _stands(model: Any, probe: dict[str, Tensor], wanted: Tensor, fold: _Fold) -> bool:
    """Whether a model computes the same where factors are taken out of a module and into its readers.

    Powers of two change no digit of a product, so that what differs was no product.
    """
    readers = [model.get_submodule(path) for path in fold.readers]
    if any(isinstance(one, PackedLinear) for one in (fold.maker, *readers)) or fold.maker in readers:
        return False
    by = torch.tensor([0.5, 4.0, 2.0, 0.25, 1.0]).repeat(-(-width_of(fold.maker) // 5))[
        : width_of(fold.maker)
    ]
    held = [(value, value.clone()) for one in (fold.maker, *readers) for value in one.parameters()]
    divide(fold.maker, by)
    for one in readers:
        multiply(one, by)
    found = _answer(model(**probe))
    for value, was in held:
        value.copy_(was)
    return bool((found - wanted).norm() <= _SAME * wanted.norm())
