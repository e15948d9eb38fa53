"""LoRA's leaves: linear ones, tables and convolutions."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.adapters.layer import DeltaLayer, is_linear, wide
from formers.adapters.lora import dora
from formers.adapters.lora.ranks import AXES, fitted
from formers.adapters.lora.starts import start
from formers.nn.dropout import Dropout
from formers.nn.kernels import hooked, project
from formers.nn.leaves import Pointwise


class LoraLayer(DeltaLayer):
    """A leaf with two thin matrices beside it, for each adapter."""

    adapter_layer_names: ClassVar[tuple[str, ...]] = (
        "lora_A",
        "lora_B",
        "lora_embedding_A",
        "lora_embedding_B",
        "lora_magnitude_vector",
    )
    other_param_names: ClassVar[tuple[str, ...]] = (
        "r",
        "lora_alpha",
        "scaling",
        "lora_dropout",
        "use_rslora",
        "stretched",
    )

    @property
    def groups(self) -> int:
        """Those of a convolution."""
        return 1

    def __init__(self, base_layer: nn.Module) -> None:
        super().__init__(base_layer)
        self.r: dict[str, int] = {}
        self.lora_alpha: dict[str, float] = {}
        self.scaling: dict[str, Any] = {}  # tensors where they change in a compiled model; see `hotswap`
        self.use_rslora: dict[str, bool] = {}
        self.lora_dropout, self.lora_A, self.lora_B = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        self.lora_embedding_A, self.lora_embedding_B = nn.ParameterDict(), nn.ParameterDict()
        self.lora_magnitude_vector = nn.ParameterDict()  # of adapters with DoRA
        self.stretched: dict[str, Tensor] = {}  # by how much those that are merged stretched the rows

    def _make(self, name: str, config: Any, r: int) -> None:
        """Draw A and B."""
        raise NotImplementedError

    def hold(self, name: str, config: Any, r: int = 8, lora_alpha: float = 8, **_: Any) -> None:
        """A, B, and the scaling of their product.

        Raises:
            ValueError: for a rank above both widths of the leaf.
        """
        if r > max(self.in_features, self.out_features):
            raise ValueError(
                f"the rank r={r} is above the widths of a targeted leaf ({self.in_features} -> "
                f"{self.out_features}): a change of that leaf has no higher rank. Lower r, or set "
                "rank_pattern"
            )
        self.r[name], self.lora_alpha[name], self.use_rslora[name] = r, lora_alpha, config.use_rslora
        self.set_scale(name, 1.0)
        dropped = Dropout(config.lora_dropout) if config.lora_dropout > 0 else nn.Identity()
        self.lora_dropout[name] = dropped.train(self.training)
        self._make(name, config, r)
        if config.use_dora:
            self.lora_magnitude_vector[name] = dora.magnitude(self, name)

    def holds(self, name: str) -> bool:
        """Whether an adapter of that name is here."""
        return name in self.r

    def set_scale(self, name: str, scale: float) -> None:
        """Let an adapter count `scale` times what its config says."""
        root = math.sqrt(self.r[name]) if self.use_rslora[name] else self.r[name]
        value, held = scale * self.lora_alpha[name] / root, self.scaling.get(name)
        if isinstance(held, Tensor):
            held.fill_(value)
        else:
            self.scaling[name] = value

    def variable(self, name: str) -> None:
        """Let the scaling be a tensor, which what was compiled reads."""
        device, held = self.factors(name)[0].device, self.scaling[name]
        if not isinstance(held, Tensor):
            self.scaling[name] = torch.tensor(held, device=device)

    def rescale(self, name: str, r: int, lora_alpha: float) -> None:
        """Let an adapter that holds other weights now have their rank and scaling."""
        self.r[name], self.lora_alpha[name] = r, lora_alpha
        self.set_scale(name, 1.0)

    def widen(self, name: str, r: int) -> None:
        """Let an adapter say a higher rank and the same scaling."""
        ratio = r / self.r[name]
        self.lora_alpha[name] *= math.sqrt(ratio) if self.use_rslora[name] else ratio
        self.r[name] = r

    def stored(self, table: str, name: str, value: Tensor) -> Tensor:
        """A and B without what is beyond the rank."""
        if table not in AXES:
            return value
        rank, axis = self.r[name], AXES[table]
        return fitted(value, axis, rank // self.groups if axis else rank, self.groups)

    def factors(self, name: str) -> tuple[nn.Parameter, nn.Parameter]:
        """A and B."""
        return tuple(table[name].get_parameter("weight") for table in (self.lora_A, self.lora_B))  # type: ignore[return-value]  # two of them

    def merged_weight(self, name: str, weight: Tensor) -> Tensor:
        """The sum; with DoRA, its rows in their lengths."""
        whole = super().merged_weight(name, weight)
        return dora.stretched(self, name, whole) if name in self.lora_magnitude_vector else whole

    def unmerged_weight(self, name: str, weight: Tensor) -> Tensor:
        """The difference, of the rows as they were before they were stretched."""
        if name in self.stretched:
            weight = dora.shrunk(self, name, weight)
        return super().unmerged_weight(name, weight)

    def shift_bias(self, name: str, sign: float) -> None:
        """Add B's bias to the leaf's, or take it away."""
        own = getattr(self.lora_B[name], "bias", None) if name in self.lora_B else None
        if own is None:
            return
        bias = self.get_base_layer().bias
        if bias is None:
            raise ValueError("lora_bias=True cannot be merged into a leaf without a bias")
        bias.data += (sign * self.scaling[name] * own.data).to(bias.dtype)


class Linear(LoraLayer):
    """LoRA on a linear leaf, `Conv1D` included."""

    def _make(self, name: str, config: Any, r: int) -> None:
        self.lora_A[name] = nn.Linear(self.in_features, r, bias=False)
        self.lora_B[name] = nn.Linear(r, self.out_features, bias=config.lora_bias)
        start(self, name, config)

    def adapted(self, name: str, x: Tensor, result: Tensor) -> Tensor:
        """The result + scaling * B A x."""
        down: Any = self.lora_A[name]
        up: Any = self.lora_B[name]
        narrow = torch.is_autocast_enabled(x.device.type)
        x = x if narrow or not self.cast_input_dtype_enabled else x.to(down.weight.dtype)
        dropped = self.lora_dropout[name]
        if name in self.lora_magnitude_vector:
            return dora.adapted(self, name, dropped(x), result)
        x = dropped(x) if type(dropped) is not nn.Identity else x
        thin = project(down, x) if x.dim() == 2 else down(x)
        alike, scaling = (
            result.dim() == 2 and thin.dtype == result.dtype == up.weight.dtype,
            self.scaling[name],
        )
        plain = up.bias is None and type(up) is nn.Linear and not isinstance(scaling, Tensor)
        if alike and plain and not narrow and not hooked(up):
            return torch.addmm(result, thin, up.weight.t(), alpha=scaling)
        found: Tensor = result + up(thin) * scaling
        return found

    def get_delta_weight(self, name: str) -> Tensor:
        """The product, scaling * B A, [out, in], or [in, out] where the leaf is stored so."""
        down, up = map(wide, self.factors(name))
        delta: Tensor = up @ down * self.scaling[name]
        return delta.t() if self.fan_in_fan_out else delta


class Embedding(LoraLayer):
    """LoRA on a table: A is [r, tokens], B is [E, r]."""

    def _make(self, name: str, config: Any, r: int) -> None:
        if config.lora_bias:
            raise ValueError(
                "lora_bias=True is not there for tables of embeddings: leave them out of the targets"
            )
        first, second = torch.randn((r, self.in_features)), torch.randn((self.out_features, r))
        if config.init_lora_weights is not False:
            nn.init.zeros_(first)
            nn.init.normal_(second)
        self.lora_embedding_A[name], self.lora_embedding_B[name] = nn.Parameter(first), nn.Parameter(second)

    def adapted(self, name: str, x: Tensor, result: Tensor) -> Tensor:
        """The result + scaling * B A[:, x], scaled as the table scales what it finds."""
        leaf: Any = self.get_base_layer()
        found = F.embedding(
            x,
            self.lora_embedding_A[name].t(),
            leaf.padding_idx,
            leaf.max_norm,
            leaf.norm_type,
            leaf.scale_grad_by_freq,
            leaf.sparse,
        )
        scale = getattr(leaf, "embed_scale", getattr(leaf, "scale", None))
        factor = self.scaling[name] if scale is None else self.scaling[name] * float(scale)
        if name in self.lora_magnitude_vector:
            stretch = dora.stretch(self, name)
            return torch.mul(stretch, result + (found @ self.lora_embedding_B[name].t()) * factor)
        changed: Tensor = result + (found @ self.lora_embedding_B[name].t()) * factor
        return changed

    def factors(self, name: str) -> tuple[nn.Parameter, nn.Parameter]:
        """A [r, tokens] and B [E, r]."""
        return self.lora_embedding_A[name], self.lora_embedding_B[name]

    def get_delta_weight(self, name: str) -> Tensor:
        """[tokens, E]."""
        first, second = map(wide, self.factors(name))
        delta: Tensor = (second @ first).t() * self.scaling[name]
        return delta


class ConvNd(LoraLayer):
    """LoRA on a convolution: A is one of the same kernel with r channels, B reads one place."""

    @property
    def groups(self) -> int:
        """Those of its layer."""
        leaf: Any = self.get_base_layer()
        return int(leaf.groups)

    def _make(self, name: str, config: Any, r: int) -> None:
        leaf: Any = self.get_base_layer()
        if r % leaf.groups:
            raise ValueError(
                f"a convolution in {leaf.groups} groups takes a rank that these divide, not {r}: choose "
                "another rank (rank_pattern), or leave it out of the targets"
            )
        kind = next(k for k in (nn.Conv1d, nn.Conv2d, nn.Conv3d) if isinstance(leaf, k))
        ones: Any = (1,) * len(leaf.kernel_size)
        self.lora_A[name] = kind(
            self.in_features, r, leaf.kernel_size, leaf.stride, leaf.padding, leaf.dilation, bias=False
        )
        self.lora_B[name] = kind(r, self.out_features, ones, groups=leaf.groups, bias=config.lora_bias)
        start(self, name, config)

    def adapted(self, name: str, x: Tensor, result: Tensor) -> Tensor:
        """The result + scaling * B A x."""
        down, up = self.lora_A[name], self.lora_B[name]
        x = self.lora_dropout[name](x.to(down.get_parameter("weight").dtype))
        if name in self.lora_magnitude_vector:
            return dora.adapted(self, name, x, result)
        found: Tensor = result + up(down(x)) * self.scaling[name]
        return found

    def get_delta_weight(self, name: str) -> Tensor:
        """[out, in, kernel]."""
        if self.get_base_layer().groups > 1:  # type: ignore[operator]  # a number
            raise NotImplementedError("adapters of convolutions in groups cannot be merged: keep them beside")
        down, up = map(wide, self.factors(name))
        delta: Tensor = torch.einsum("or,ri...->oi...", up.flatten(1), down) * self.scaling[name]
        return delta


def wrap(leaf: nn.Module) -> LoraLayer | None:
    """A leaf with room for LoRA around it; None for a kind that it cannot be put on."""
    if isinstance(leaf, nn.Embedding):
        return Embedding(leaf)
    if isinstance(leaf, (nn.Conv1d, nn.Conv2d, nn.Conv3d)) and not isinstance(leaf, Pointwise):
        return ConvNd(leaf)
    return Linear(leaf) if is_linear(leaf) else None
