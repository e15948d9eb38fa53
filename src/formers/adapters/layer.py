"""What stands in a leaf's place: the leaf, and what adapters add to it, by name."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from formers.nn.kernels import project
from formers.nn.leaves import Conv1D
from formers.quantization.packed import PackedLinear


def is_transposed(leaf: nn.Module) -> bool:
    """Whether a linear leaf holds its weight [in, out]: `Conv1D`, ours or the ecosystem's."""
    return isinstance(leaf, Conv1D) or (type(leaf).__name__ == "Conv1D" and hasattr(leaf, "nf"))


def is_linear(leaf: nn.Module) -> bool:
    """Whether a leaf is a product with one weight."""
    return isinstance(leaf, nn.Linear) or is_transposed(leaf)


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

    # -- computing -------------------------------------------------------------------------------------

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """As the leaf: [..., in] -> [..., out]."""
        result = self._computed(x, *args, **kwargs)
        if self._disable_adapters or self.merged_adapters:
            return result
        kind = result.dtype
        for name in self._active_adapter:
            if self.holds(name):
                result = self.adapted(name, x, result)
        return result if result.dtype is kind else result.to(kind)

    def _computed(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        leaf: Any = self.base_layer
        if x.dim() == 2 and not args and not kwargs and x.is_floating_point():
            return project(leaf, x)
        found: Tensor = leaf(x, *args, **kwargs)
        return found

    def adapted(self, name: str, x: Tensor, result: Tensor) -> Tensor:
        """What an adapter makes of the leaf's result for x."""
        raise NotImplementedError

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

    @torch.no_grad()
    def _put(self, name: str, change: Any, sign: float) -> None:
        leaf: Any = self.get_base_layer()
        packed = isinstance(leaf, PackedLinear)
        held = leaf.dequantized() if packed else leaf.weight.data
        made = change(name, held.to(torch.promote_types(held.dtype, torch.float32))).to(held.dtype)
        if not torch.isfinite(made).all():
            raise ValueError(
                f"NaNs detected in the merged weights. The adapter {name} seems to be broken; this leaf "
                "is as it was"
            )
        self.shift_bias(name, sign)
        if packed:
            leaf.take(made)
        else:
            leaf.weight.data = made


def _parameters(held: Any) -> Iterable[nn.Parameter]:
    return held.parameters() if isinstance(held, nn.Module) else (held,)
