"""VeRA put on a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.adapters.config import PeftType
from formers.adapters.layer import AdapterLayer, DeltaLayer, is_linear, is_transposed, widths
from formers.adapters.targets import targeted
from formers.adapters.tuner import Tuner, parts_of
from formers.nn.dropout import Dropout

_SHARED = ("vera_A", "vera_B")


class VeraLayer(DeltaLayer):
    """A linear leaf with vectors around the two matrices that all share."""

    adapter_layer_names: ClassVar[tuple[str, ...]] = ("vera_lambda_b", "vera_lambda_d")
    other_param_names: ClassVar[tuple[str, ...]] = ("r", "vera_dropout")

    vera_A: Tensor
    vera_B: Tensor

    def __init__(self, base_layer: nn.Module) -> None:
        super().__init__(base_layer)
        self.r: dict[str, int] = {}
        self.vera_dropout = nn.ModuleDict()
        self.vera_lambda_b, self.vera_lambda_d = nn.ParameterDict(), nn.ParameterDict()

    def hold(self, name: str, config: Any, shared: Any = (), **_: Any) -> None:
        """Vectors, [out] and [r].

        Raises:
            ValueError: where the shared matrices are too small.
        """
        for kind, value in zip(_SHARED, shared, strict=True):
            self.register_buffer(kind, value, persistent=False)
        if (
            len(self.vera_A) < config.r
            or self.vera_A.shape[1] < self.in_features
            or (len(self.vera_B) < self.out_features)
        ):
            raise ValueError(
                f"the first VeRA adapter drew matrices for {self.vera_A.shape[1]} -> {len(self.vera_B)} at "
                f"rank {len(self.vera_A)}; this one asks for {self.in_features} -> {self.out_features} at "
                f"{config.r}: put the larger one on first"
            )
        self.r[name] = config.r
        self.vera_dropout[name] = Dropout(config.vera_dropout).train(self.training)
        drawn = torch.full((config.r,), config.d_initial) if config.init_weights else torch.randn(config.r)
        outer = torch.zeros if config.init_weights else torch.ones
        self.vera_lambda_b[name] = nn.Parameter(outer(self.out_features))
        self.vera_lambda_d[name] = nn.Parameter(drawn)

    def holds(self, name: str) -> bool:
        """Whether an adapter of that name is here."""
        return name in self.r

    def _matrices(self, name: str) -> tuple[Tensor, Tensor]:
        """The parts that this leaf needs, [r, in] and [out, r], in the dtype of the vectors."""
        r, like = self.r[name], self.vera_lambda_d[name]
        return self.vera_A[:r, : self.in_features].to(like), self.vera_B[: self.out_features, :r].to(like)

    def adapted(self, name: str, x: Tensor, result: Tensor) -> Tensor:
        """The result + b * B (d * A x)."""
        down, up = self._matrices(name)
        thin = self.vera_lambda_d[name] * F.linear(self.vera_dropout[name](x.to(down.dtype)), down)
        found: Tensor = result + self.vera_lambda_b[name] * F.linear(thin, up)
        return found

    def get_delta_weight(self, name: str) -> Tensor:
        """In the layout of the leaf."""
        down, up = self._matrices(name)
        delta: Tensor = (self.vera_lambda_b[name][:, None] * up) @ (self.vera_lambda_d[name][:, None] * down)
        return delta.t() if self.fan_in_fan_out else delta


class VeraModel(Tuner):
    """A model with VeRA on its leaves."""

    kind: ClassVar[PeftType] = PeftType.VERA
    prefix: ClassVar[str] = "vera_lambda_"

    def wrap(self, leaf: nn.Module, config: Any, path: str) -> AdapterLayer | None:
        """Linear leaves."""
        config.fan_in_fan_out = is_transposed(leaf)
        return VeraLayer(leaf) if is_linear(leaf) else None

    def _layers(self) -> list[VeraLayer]:
        return [part for _, part in parts_of(self.model) if isinstance(part, VeraLayer)]

    def prepare(self, config: Any) -> dict[str, Any]:
        """The shared matrices: those that are there, or drawn for the widest of the targets.

        Raises:
            ValueError: for another key than that of the adapters that are there.
        """
        keys = {getattr(one, "projection_prng_key", None) for one in self.peft_config.values()}
        if keys - {config.projection_prng_key}:
            raise ValueError(f"all VeRA adapters of a model have one projection_prng_key, here {keys}")
        held = next(iter(self._layers()), None)
        if held is not None:
            return {"shared": (held.vera_A, held.vera_B)}
        shapes = [widths(self.model.get_submodule(path)) for path in targeted(config, self.model)]
        read, out = max(shape[0] for shape in shapes), max(shape[1] for shape in shapes)
        draw = torch.Generator().manual_seed(config.projection_prng_key)
        return {"shared": tuple(_drawn(shape, draw) for shape in ((config.r, read), (out, config.r)))}

    def to_files(self, name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """With the shared matrices, where the config says so."""
        config: Any = self.peft_config[name]
        shared = {f"base_model.{kind}": getattr(self._layers()[0], kind) for kind in _SHARED}
        return {**tensors, **(shared if config.save_projection else {})}

    def from_files(self, name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Take the shared matrices.

        Raises:
            ValueError: where the config says that they are there, and they are not.
        """
        config: Any = self.peft_config[name]
        rest = dict(tensors)
        for kind in _SHARED:
            value = rest.pop(f"base_model.{kind}", None)
            if value is None and config.save_projection:
                raise ValueError(
                    f"the adapter's config says save_projection, but its file holds no base_model.{kind}"
                )
            if value is None:
                continue
            for layer in self._layers():
                layer.register_buffer(kind, value.to(layer.vera_A.device), persistent=False)
        return rest


def _drawn(shape: tuple[int, int], draw: torch.Generator) -> Tensor:
    """Kaiming's uniform distribution from a generator, on the CPU."""
    bound = (6.0 / shape[1]) ** 0.5
    return torch.empty(shape, device="cpu").uniform_(-bound, bound, generator=draw)
