"""What stands in a leaf's place: the leaf, and what adapters add to it, by name."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn.kernels import project
from formers.nn.leaves import Conv1D
from formers.quantization.packed import PackedLinear


def is_transposed(leaf: nn.Module) -> bool:
    """Whether a linear leaf holds its weight [in, out]: `Conv1D`, ours or the ecosystem's."""
    return isinstance(leaf, Conv1D) or (type(leaf).__name__ == "Conv1D" and hasattr(leaf, "nf"))


def is_linear(leaf: nn.Module) -> bool:
    """Whether a leaf is a product with one weight."""
    return isinstance(leaf, nn.Linear) or is_transposed(leaf)


def widths(leaf: Any) -> tuple[int, int]:
    """What a leaf reads and makes: features, channels; of a table, tokens and features."""
    if isinstance(leaf, nn.Embedding):
        return leaf.num_embeddings, leaf.embedding_dim
    if hasattr(leaf, "in_channels"):
        return int(leaf.in_channels), int(leaf.out_channels)
    if isinstance(leaf, nn.Linear):  # one whose weight is packed, too
        return leaf.in_features, leaf.out_features
    out, read = leaf.weight.shape[::-1] if is_transposed(leaf) else leaf.weight.shape
    return int(read), int(out)


def wide(weight: Tensor) -> Tensor:
    """In float32 at least."""
    return weight.to(torch.promote_types(weight.dtype, torch.float32))


def train(held: nn.Module | nn.Parameter, wanted: bool) -> None:
    """Let a module or a parameter get gradients, or not; integers never do."""
    for parameter in [held] if isinstance(held, nn.Parameter) else held.parameters():
        if parameter.is_floating_point():
            parameter.requires_grad_(wanted)


class AdapterLayer(nn.Module):
    """A leaf with adapters around it; several may be held, any of them active.

    Subclasses name the tables that hold their weights (`adapter_layer_names`), fill them (`hold`), and say
    what one adapter makes of the leaf's result (`adapted`) and of its weight (`merged_weight`).
    """

    row_wise = True  # rows may be laid end to end; see `nn.watch`
    cast_input_dtype_enabled = True  # whether an adapter reads its rows in the dtype of its weights
    adapter_layer_names: ClassVar[tuple[str, ...]] = ()
    other_param_names: ClassVar[tuple[str, ...]] = ()

    def __init__(self, base_layer: nn.Module) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.merged_adapters: list[str] = []
        self._active_adapter: list[str] = []
        self._disable_adapters = False

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name.startswith("_") or name == "base_layer":
                raise
            return getattr(self.base_layer, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("weight", "bias"):
            setattr(self.get_base_layer(), name, value)  # tied tables are set on leaves
        else:
            super().__setattr__(name, value)

    def __repr__(self) -> str:
        return f"{type(self).__module__.split('.')[2]}.{super().__repr__()}"

    # -- what it holds ---------------------------------------------------------------------------------

    def get_base_layer(self) -> nn.Module:
        """The leaf itself, below all that was put around it."""
        held = self.base_layer
        while isinstance(held, AdapterLayer):
            held = held.base_layer
        return held

    def hold(self, name: str, config: Any, **how: Any) -> None:
        """Make the weights of an adapter."""
        raise NotImplementedError

    def update_layer(self, name: str, config: Any, **how: Any) -> None:
        """Make an adapter's weights, where and in the dtype that the leaf has."""
        if "." in name:
            raise ValueError(f"an adapter's name goes into names of weights, so it has no dot: {name!r}")
        self.hold(name, config, **how)
        weight = self.weight
        if weight is None:  # packed under other names
            weight = next(self.get_base_layer().buffers())
        for table in self._tables(name):
            if not any(p.is_meta for p in _parameters(table[name])):
                dtype = weight.dtype if weight.is_floating_point() else None
                table[name] = table[name].to(weight.device, dtype)
        self.set_adapter(self._active_adapter, inference_mode=config.inference_mode)

    def _tables(self, name: str) -> Iterator[Any]:
        for kind in self.adapter_layer_names:
            table = getattr(self, kind)
            if name in table:
                yield table

    def holds(self, name: str) -> bool:
        """Whether an adapter of that name is here."""
        return any(True for _ in self._tables(name))

    @property
    def active_adapters(self) -> list[str]:
        """The names of those that compute."""
        return self._active_adapter

    active_adapter = active_adapters

    @property
    def disable_adapters(self) -> bool:
        """Whether the leaf computes alone."""
        return self._disable_adapters

    @property
    def merged(self) -> bool:
        """Whether the weight holds adapters."""
        return bool(self.merged_adapters)

    def set_adapter(self, adapter_names: str | Sequence[str], inference_mode: bool = False) -> None:
        """Let these compute, and train, unless `inference_mode`; others do neither."""
        names = [adapter_names] if isinstance(adapter_names, str) else list(adapter_names)
        for kind in self.adapter_layer_names:
            for name, held in getattr(self, kind).items():
                train(held, name in names and not inference_mode)
        self._active_adapter = names

    def set_requires_grad(self, adapter_names: Iterable[str], requires_grad: bool = True) -> None:
        """Let adapters train, or not."""
        for name in adapter_names:
            for table in self._tables(name):
                train(table[name], requires_grad)

    def enable_adapters(self, enabled: bool) -> None:
        """Let the adapters compute again, or the leaf alone."""
        if enabled:
            self.set_adapter(self._active_adapter)
        else:
            for kind in self.adapter_layer_names:
                train(getattr(self, kind), False)
            if self.merged:
                self.unmerge()
        self._disable_adapters = not enabled

    def delete_adapter(self, name: str) -> None:
        """Forget an adapter."""
        if name in self.merged_adapters:
            raise ValueError(f"the adapter {name!r} is merged: call unmerge_adapter() first")
        for kind in self.adapter_layer_names + self.other_param_names:
            table = getattr(self, kind)
            if name in table:
                del table[name]

    def stored(self, table: str, name: str, value: Tensor) -> Tensor:
        """What files hold of an adapter's weight in a table."""
        return value

    # -- computing -------------------------------------------------------------------------------------

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """As the leaf: [..., in] -> [..., out]."""
        if self._disable_adapters or self.merged_adapters:
            return self.computed(x, *args, **kwargs)
        names = [name for name in self._active_adapter if self.holds(name)]
        for name in names:
            x = self.entering(name, x)
        result = self.computed(x, *args, **kwargs)
        kind = result.dtype
        for name in names:
            result = self.adapted(name, x, result)
        return result if result.dtype is kind else result.to(kind)

    def computed(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """As the leaf alone."""
        leaf: Any = self.base_layer
        if x.dim() == 2 and not args and not kwargs and x.is_floating_point():
            return project(leaf, x)
        found: Tensor = leaf(x, *args, **kwargs)
        return found

    def entering(self, name: str, x: Tensor) -> Tensor:
        """What an adapter makes of what the leaf reads."""
        return x

    def adapted(self, name: str, x: Tensor, result: Tensor) -> Tensor:
        """What an adapter makes of the leaf's result for x."""
        return result

    # -- merging ---------------------------------------------------------------------------------------

    def merged_weight(self, name: str, weight: Tensor) -> Tensor:
        """The weight (float32 at least) with an adapter in it."""
        raise NotImplementedError

    def unmerged_weight(self, name: str, weight: Tensor) -> Tensor:
        """The weight (float32 at least) without an adapter that was merged."""
        raise NotImplementedError

    def shift_bias(self, name: str, sign: float) -> None:
        """Put what an adapter adds to the bias there (1.0), or take it away (-1.0)."""

    def merge(self, safe_merge: bool = False, adapter_names: Sequence[str] | None = None) -> None:
        """Put adapters into the weight; where it would not be finite, nothing is changed and it is refused.

        Args:
            safe_merge: no difference is made: what is merged is always computed beside, and checked.
            adapter_names: those to merge; None for the active ones.
        """
        if isinstance(adapter_names, str):
            raise TypeError(f"adapter_names should be a list of strings, got {adapter_names!r}.")
        names = self._active_adapter if adapter_names is None else adapter_names
        for name in [name for name in names if self.holds(name)]:
            if name in self.merged_adapters:
                warnings.warn(f"the adapter {name!r} is merged already, nothing to do.", stacklevel=4)
                continue
            self._put(name, self.merged_weight, 1.0)
            self.merged_adapters.append(name)

    def unmerge(self) -> None:
        """Take all merged adapters out of the weight."""
        while self.merged_adapters:
            self._put(self.merged_adapters[-1], self.unmerged_weight, -1.0)
            self.merged_adapters.pop()

    def base_weight(self) -> Tensor:
        """The leaf's weight in its layout, dequantized where it is packed; without a gradient."""
        leaf: Any = self.get_base_layer()
        found: Tensor = leaf.dequantized() if isinstance(leaf, PackedLinear) else leaf.weight.data
        return found

    @torch.no_grad()
    def _put(self, name: str, change: Any, sign: float) -> None:
        leaf: Any = self.get_base_layer()
        held = self.base_weight()
        made = change(name, wide(held)).to(held.dtype)
        if not torch.isfinite(made).all():
            raise ValueError(
                f"NaNs detected in the merged weights. The adapter {name} seems to be broken; this leaf "
                "is as it was"
            )
        self.shift_bias(name, sign)
        if isinstance(leaf, PackedLinear):
            leaf.take(made)
        else:
            leaf.weight.data = made


BaseTunerLayer = AdapterLayer  # as the ecosystem calls it


class DeltaLayer(AdapterLayer):
    """A leaf whose adapters add to its weight, [out, in, ...].

    Attributes:
        fan_in_fan_out: the leaf is linear and stores [in, out].
        transposed: the weight is stored [in, out]: that, or a table.
    """

    def __init__(self, base_layer: nn.Module) -> None:
        super().__init__(base_layer)
        leaf = self.get_base_layer()
        self.fan_in_fan_out = is_transposed(leaf)
        self.transposed = self.fan_in_fan_out or isinstance(leaf, nn.Embedding)
        self.in_features, self.out_features = widths(leaf)

    def get_delta_weight(self, name: str) -> Tensor:
        """What an adapter adds to the weight, in the layout of the leaf, float32 at least."""
        raise NotImplementedError

    def merged_weight(self, name: str, weight: Tensor) -> Tensor:
        """The sum."""
        return weight + self.get_delta_weight(name)

    def unmerged_weight(self, name: str, weight: Tensor) -> Tensor:
        """The difference."""
        return weight - self.get_delta_weight(name)

    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        """What the leaf would make of x with another weight and no bias."""
        leaf: Any = self.get_base_layer()
        for kind, compute in _CONVOLUTIONS.items():
            if isinstance(leaf, kind):
                how = (leaf.stride, leaf.padding, leaf.dilation, leaf.groups)
                found: Tensor = compute(x, weight, None, *how)
                return found
        return x @ weight if self.fan_in_fan_out else F.linear(x, weight)


_CONVOLUTIONS: dict[type[nn.Module], Any] = {
    nn.Conv1d: F.conv1d,
    nn.Conv2d: F.conv2d,
    nn.Conv3d: F.conv3d,
}


def _parameters(held: Any) -> Iterable[nn.Parameter]:
    return held.parameters() if isinstance(held, nn.Module) else (held,)
