"""OFT put on a model."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from formers.adapters.config import PeftType
from formers.adapters.layer import AdapterLayer, is_linear, is_transposed, widths
from formers.adapters.tuner import Tuner
from formers.core.notices import notice


class Rotation(nn.Module):
    """Rotations of blocks of features, from the upper triangles of skew-symmetric matrices."""

    def __init__(self, width: int, block: int, config: Any) -> None:
        super().__init__()
        self.blocks, self.block, self.said = width // block, block, config
        count = 1 if config.block_share else self.blocks
        self.weight = nn.Parameter(torch.empty(count, block * (block - 1) // 2))
        if config.init_weights:
            nn.init.zeros_(self.weight)
        else:
            nn.init.normal_(self.weight, std=0.1)

    def _skew(self) -> Tensor:
        """[blocks or 1, b, b]."""
        upper = torch.triu_indices(self.block, self.block, 1, device=self.weight.device)
        made = self.weight.new_zeros(len(self.weight), self.block, self.block)
        made[:, upper[0], upper[1]] = self.weight
        return made - made.transpose(1, 2)

    @torch.no_grad()
    def _draw_near(self) -> None:
        """Bring rotations back to where COFT keeps them."""
        limit = self.said.eps / len(self.weight) ** 0.5
        length = self._skew().norm(dim=(1, 2))[:, None]
        self.weight.copy_(torch.where(length <= limit, self.weight, self.weight * limit / length))

    def rotations(self) -> Tensor:
        """[blocks, b, b], by Cayley's map."""
        if self.said.coft:
            self._draw_near()
        skew = self._skew()
        one = torch.eye(self.block, dtype=skew.dtype, device=skew.device)
        if self.said.use_cayley_neumann:
            terms = self.said.num_cayley_neumann_terms
            last = max(terms - 1, 3) if terms > 2 else terms - 1  # the ecosystem's shortest series, too
            found, power = one.expand_as(skew), skew
            for number in range(1, last + 1):
                found = found + power * (1 if number == last > 1 else 2)
                power = power @ skew
        else:
            found = torch.linalg.solve(one + skew, one - skew, left=False)
        if self.training and self.said.module_dropout and not self.said.block_share:
            left = torch.rand(len(found), 1, 1, device=found.device) < self.said.module_dropout
            found = torch.where(left, one, found)
        return found.expand(self.blocks, -1, -1)

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., in]."""
        parts = x.to(self.weight.dtype).view(*x.shape[:-1], self.blocks, self.block)
        return torch.einsum("...rk,rkc->...rc", parts, self.rotations()).flatten(-2).to(x.dtype)


class OFTLayer(AdapterLayer):
    """A linear leaf that reads what was rotated."""

    adapter_layer_names: ClassVar[tuple[str, ...]] = ("oft_R",)
    other_param_names: ClassVar[tuple[str, ...]] = ("r", "oft_block_size")

    def __init__(self, base_layer: nn.Module) -> None:
        super().__init__(base_layer)
        self.oft_R = nn.ModuleDict()
        self.r: dict[str, int] = {}
        self.oft_block_size: dict[str, int] = {}
        self.in_features, self.out_features = widths(self.get_base_layer())

    def hold(self, name: str, config: Any, **_: Any) -> None:
        """The rotations; a number that does not divide the width gives way to the nearest that does."""
        asked = config.r or config.oft_block_size
        count = min(
            (d for d in range(1, self.in_features + 1) if self.in_features % d == 0),
            key=lambda d: (abs(d - asked), d),
        )
        if count != asked:
            notice(
                f"{asked} does not divide the {self.in_features} features of an adapted leaf: {count} does"
            )
        block = self.in_features // count if config.r else count
        self.r[name], self.oft_block_size[name] = self.in_features // block, block
        self.oft_R[name] = Rotation(self.in_features, block, config).train(self.training)

    def entering(self, name: str, x: Tensor) -> Tensor:
        """x, rotated."""
        found: Tensor = self.oft_R[name](x)
        return found

    def get_delta_weight(self, name: str) -> Tensor:
        """The whole rotation, [in, in]."""
        held: Any = self.oft_R[name]
        found: Tensor = torch.block_diag(*held.rotations().float())  # type: ignore[no-untyped-call]  # torch has no types there
        return found

    def _turned(self, weight: Tensor, rotation: Tensor) -> Tensor:
        return rotation @ weight if is_transposed(self.get_base_layer()) else weight @ rotation.t()

    def merged_weight(self, name: str, weight: Tensor) -> Tensor:
        """Rotated."""
        return self._turned(weight, self.get_delta_weight(name))

    def unmerged_weight(self, name: str, weight: Tensor) -> Tensor:
        """Rotated back."""
        return self._turned(weight, torch.linalg.inv(self.get_delta_weight(name)))


class OFTModel(Tuner):
    """A model with OFT on its leaves."""

    kind: ClassVar[PeftType] = PeftType.OFT
    prefix: ClassVar[str] = "oft_"

    def wrap(self, leaf: nn.Module, config: Any, path: str) -> AdapterLayer | None:
        """Linear leaves."""
        config.fan_in_fan_out = is_transposed(leaf)
        return OFTLayer(leaf) if is_linear(leaf) else None
