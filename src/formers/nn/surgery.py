"""What scripts do to modules and tensors by hand: activations by name, smaller leaves, layers in pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from formers.nn.activations import ACTIVATIONS, Activation
from formers.nn.leaves import Conv1D, RMSNorm
from formers.nn.recording import recording

L = TypeVar("L", nn.Linear, Conv1D)

# The kinds of norms that weight decay leaves alone; scripts add their own.
ALL_LAYERNORM_LAYERS: list[type[nn.Module]] = [nn.LayerNorm, RMSNorm]


class _ByName(Mapping[str, nn.Module]):
    """Activations by name, a new module at each look-up."""

    def __getitem__(self, name: str) -> nn.Module:
        if name not in ACTIVATIONS:
            raise KeyError(name)
        return Activation(name)

    def __iter__(self) -> Iterator[str]:
        return iter(ACTIVATIONS)

    def __len__(self) -> int:
        return len(ACTIVATIONS)

    def __repr__(self) -> str:
        return f"ACT2FN({', '.join(self)})"


ACT2FN = _ByName()


def get_activation(activation_string: str) -> nn.Module:
    """The activation of that name, as a module.

    Raises:
        ValueError: for an unknown name, with the nearest known one.
    """
    return Activation(activation_string)


class GELUActivation(Activation):
    """GELU (arXiv:1606.08415)."""

    def __init__(self, use_gelu_python: bool = False) -> None:
        super().__init__("gelu")


class NewGELUActivation(Activation):
    """GELU by its approximation with tanh."""

    def __init__(self) -> None:
        super().__init__("gelu_new")


class PytorchGELUTanh(Activation):
    """GELU by its approximation with tanh."""

    def __init__(self) -> None:
        super().__init__("gelu_pytorch_tanh")


class GELUTanh(Activation):
    """GELU by its approximation with tanh."""

    def __init__(self, use_gelu_tanh_python: bool = False) -> None:
        super().__init__("gelu_python_tanh" if use_gelu_tanh_python else "gelu_pytorch_tanh")


class QuickGELUActivation(Activation):
    """GELU as `x * sigmoid(1.702 x)`."""

    def __init__(self) -> None:
        super().__init__("quick_gelu")


gelu, gelu_python, gelu_new = map(Activation, ("gelu", "gelu_python", "gelu_new"))
gelu_fast, gelu_pytorch_tanh, quick_gelu = map(Activation, ("gelu_fast", "gelu_pytorch_tanh", "quick_gelu"))
linear_act, mish, silu = map(Activation, ("linear", "mish", "silu"))


def find_pruneable_heads_and_indices(
    heads: Iterable[int], n_heads: int, head_size: int, already_pruned_heads: Iterable[int]
) -> tuple[set[int], Tensor]:
    """Which heads are still to go, and what stays of the projections.

    Args:
        heads: by their first numbers, those that went before included or not.
        n_heads: how many there are now.
        head_size: D.
        already_pruned_heads: by their first numbers.

    Returns:
        The heads, and the rows that stay [(n_heads - gone) * D], int64, as `prune_linear_layer` takes them.
    """
    before = set(already_pruned_heads)
    going = set(heads) - before
    present = [head for head in range(n_heads + len(before)) if head not in before]
    stays = torch.tensor([head not in going for head in present]).repeat_interleave(head_size)
    return going, stays.nonzero().flatten()


def prune_linear_layer(layer: nn.Linear, index: Tensor, dim: int = 0) -> nn.Linear:
    """A smaller linear layer.

    Args:
        layer: weight [out, in].
        index: [N], int64: the rows (`dim=0`, outputs) or columns (`dim=1`, inputs) to keep.
        dim: which.
    """
    kept = index.to(layer.weight.device)
    weight = layer.weight.detach().index_select(dim, kept)
    made = nn.Linear(
        weight.shape[1], weight.shape[0], layer.bias is not None, device=weight.device, dtype=weight.dtype
    )
    bias = None if layer.bias is None else (layer.bias[kept] if dim == 0 else layer.bias)
    return _filled(made, weight, bias)


def prune_conv1d_layer(layer: Conv1D, index: Tensor, dim: int = 1) -> Conv1D:
    """A smaller `Conv1D`: weight [in, out], so that `dim=1` keeps outputs and `dim=0` inputs; as above."""
    kept = index.to(layer.weight.device)
    weight = layer.weight.detach().index_select(dim, kept)
    made = Conv1D(weight.shape[1], weight.shape[0], drawn=False).to(weight.device, weight.dtype)
    return _filled(made, weight, layer.bias[kept] if dim == 1 else layer.bias)


def _filled(made: L, weight: Tensor, bias: Tensor | None) -> L:
    with torch.no_grad():
        made.weight.copy_(weight)
        if bias is not None:
            made.bias.copy_(bias)
    return made


def apply_chunking_to_forward(
    forward_fn: Callable[..., Tensor], chunk_size: int, chunk_dim: int, *input_tensors: Tensor
) -> Tensor:
    """Compute a function of positions in pieces of `chunk_size` along `chunk_dim`; 0 cuts nothing.

    Raises:
        ValueError: for tensors of different sizes there, or a size that is no multiple of `chunk_size`.
    """
    if not input_tensors:
        raise ValueError("apply_chunking_to_forward needs at least one tensor")
    sizes = {tensor.shape[chunk_dim] for tensor in input_tensors}
    if len(sizes) > 1:
        raise ValueError(f"the tensors have the sizes {sorted(sizes)} along dimension {chunk_dim}, not one")
    if chunk_size <= 0:
        return forward_fn(*input_tensors)
    size = sizes.pop()
    if size % chunk_size:
        raise ValueError(f"{size} positions cannot be cut into pieces of {chunk_size}")
    pieces = zip(*(torch.split(tensor, chunk_size, chunk_dim) for tensor in input_tensors), strict=True)
    return torch.cat([forward_fn(*piece) for piece in pieces], dim=chunk_dim)


def id_tensor_storage(tensor: Tensor) -> tuple[torch.device, int, int]:
    """What two tensors that share memory have in common: device, address of the storage, bytes of it."""
    storage = tensor.untyped_storage()
    return tensor.device, storage.data_ptr(), storage.nbytes()


def torch_int(x: Any) -> Any:
    """`int(x)`; while a graph is recorded, an int64 tensor that stays in the graph."""
    recorded = recording() and isinstance(x, Tensor)
    return x.to(torch.int64) if recorded else int(x)


def torch_float(x: Any) -> Any:
    """`float(x)`; while a graph is recorded, a float32 tensor that stays in the graph."""
    recorded = recording() and isinstance(x, Tensor)
    return x.to(torch.float32) if recorded else float(x)


def rotate_half(x: Tensor) -> Tensor:
    """[..., D]: the second half negated, then the first."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((-second, first), dim=-1)


def apply_rotary_pos_emb(
    q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, unsqueeze_dim: int = 1
) -> tuple[Tensor, Tensor]:
    """Turn queries and keys by their positions (arXiv:2104.09864).

    Args:
        q: [B, H, T, D], or [B, T, H, D] with `unsqueeze_dim=2`.
        k: likewise.
        cos: [B, T, D]; each angle twice, half by half.
        sin: likewise.
        unsqueeze_dim: where the axis of heads is.
    """
    cos, sin = cos.unsqueeze(unsqueeze_dim), sin.unsqueeze(unsqueeze_dim)
    return q * cos + rotate_half(q) * sin, k * cos + rotate_half(k) * sin


def repeat_kv(hidden_states: Tensor, n_rep: int) -> Tensor:
    """[B, G, S, D] -> [B, G * n_rep, S, D]: each head of keys or values for several of queries."""
    return hidden_states if n_rep == 1 else hidden_states.repeat_interleave(n_rep, dim=1)
