"""What stands between an image model's states and the vectors of a text model: programs by their parts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from formers.nn import spec
from formers.nn.activations import Activation
from formers.nn.fresh import Constant
from formers.nn.kernels import project
from formers.nn.leaves import linear
from formers.nn.program import Bare, Flow, Step
from formers.nn.steps import Normalise, dense
from formers.nn.tiling import shuffled
from formers.nn.tree import leaf

Between = Callable[[int, int], list[Step]]  # widths of states and of vectors -> steps


class PoolGrid(Step):
    """Means of the squares of a grid of patches: [B, P * P, E] -> [B, (P / square)^2, E]."""

    def __init__(self, role: str, edge: int, square: int) -> None:
        super().__init__()
        self.role, self.edge = role, edge
        self.leaves = {role: lambda: nn.AvgPool2d(square, square)}

    def run(self, node: Any, flow: Flow) -> None:
        """As said."""
        columns = flow.x.transpose(1, 2)
        whole = columns.reshape(*columns.shape[:2], self.edge, self.edge)  # [B, E, P, P]
        flow.x = leaf(node, self.role)(whole).flatten(2).transpose(1, 2)


class ThinMap(Step):
    """A map with half as many places down and across, twice over, as rows: [B, C, H, W] -> [B, n, E]."""

    def __init__(self, roles: tuple[str, str], width_in: int, width_out: int) -> None:
        super().__init__()
        self.first, self.second = roles
        self.leaves = {
            self.first: lambda: nn.Conv2d(width_in, 2 * width_in, 3, 2, 1, bias=False),
            self.second: lambda: nn.Conv2d(2 * width_in, width_out, 3, 2, 1, bias=False),
        }

    def run(self, node: Any, flow: Flow) -> None:
        """As said."""
        made = leaf(node, self.second)(leaf(node, self.first)(flow.x))
        flow.x = made.flatten(2).transpose(1, 2)


class GridPool(nn.Module):
    """Squares of a square grid of patches as one each, by their mean, what is largest, or a convolution.

    Args:
        kind: "average", "max" or "conv".
        square: how many down and across are one.
        width: of patches.

    Raises:
        ValueError: for another kind.
    """

    row_wise = True

    def __init__(self, kind: str, square: int, width: int) -> None:
        super().__init__()
        kinds: dict[str, Callable[[], nn.Module]] = {
            "average": lambda: nn.AvgPool2d(square, square),
            "max": lambda: nn.MaxPool2d(square, square),
            "conv": lambda: nn.Conv2d(width, width, square, square),
        }
        if kind not in kinds:
            raise ValueError(f"spatial_pool_mode is average, max or conv, not {kind!r}")
        self.pool = kinds[kind]()

    def forward(self, image_features: Tensor) -> Tensor:
        """[B, P * P, E] -> [B, (P / square)^2, E]."""
        edge = math.isqrt(image_features.shape[1])
        if edge**2 != image_features.shape[1]:
            raise ValueError(
                f"{image_features.shape[1]} vectors make no square grid of patches: set "
                "vision_feature_select_strategy to 'default' for image models with a class token, else 'full'"
            )
        whole = image_features.reshape(len(image_features), edge, edge, -1).permute(0, 3, 1, 2)
        found: Tensor = self.pool(whole).flatten(2).transpose(1, 2)
        return found.contiguous()


class ShuffleGrid(Step):
    """Squares of a square grid of patches as one each: [B, P * P, E] -> [B, (P / s)^2, E * s * s].

    Args:
        square: s.
        grid: the result is [B, P / s, P / s, E * s * s].
    """

    home = "connect_whole"

    def __init__(self, square: int, grid: bool = False) -> None:
        super().__init__()
        self.square, self.grid = square, grid

    def run(self, node: Any, flow: Flow) -> None:
        """As said.

        Raises:
            ValueError: for patches of no square grid.
        """
        edge = math.isqrt(flow.x.shape[1])
        if edge**2 != flow.x.shape[1]:
            raise ValueError(f"{flow.x.shape[1]} patches make no square grid, of which squares could be one")
        found = shuffled(flow.x.reshape(len(flow.x), edge, edge, -1), self.square)
        flow.x = found if self.grid else found.flatten(1, 2)


GRIDS = "grids of pictures"


class MergeGrids(Step):
    """Squares of patches of pictures of any size as one each, through a layer: [N, E] -> [n, E].

    The pass holds how many patches each picture has down and across. What makes no whole square at the lower
    and right edges is left out.
    """

    def __init__(self, role: str, square: int, width: int) -> None:
        super().__init__()
        self.role, self.square = role, square
        self.leaves = {role: lambda: linear("linear", width * square**2, width, bias=False)}

    def run(self, node: Any, flow: Flow) -> None:
        """As said."""
        s, grids, found = self.square, flow.pass_.memo.get(GRIDS), []
        for rows, (down, across) in zip(
            torch.split(flow.x, [down * across for down, across in grids]), grids, strict=True
        ):
            whole = rows.reshape(down, across, -1)[: down // s * s, : across // s * s]
            parts = whole.reshape(down // s, s, across // s, s, -1).permute(0, 2, 4, 1, 3)
            found.append(parts.flatten(2).flatten(0, 1))
        flow.x = project(leaf(node, self.role), torch.cat(found), None, flow.pass_.watched)


class Halved(Step):
    """The first half of what is read, weighed by an activation of the second: [.., 2 E] -> [.., E]."""

    def __init__(self, role: str, act: str) -> None:
        super().__init__()
        self.role = role
        self.leaves = {role: lambda: Activation(act)}

    def run(self, node: Any, flow: Flow) -> None:
        """As said."""
        value, gate = flow.x.chunk(2, dim=-1)
        flow.x = leaf(node, self.role)(gate) * value


class Product(Step):
    """A product with a matrix that is no module's, [in, out]; it starts at zeros."""

    def __init__(self, role: str, width_in: int, width_out: int) -> None:
        super().__init__()
        self.role = role
        self.leaves = {role: lambda: Bare(torch.zeros(width_in, width_out), Constant(0.0))}

    def run(self, node: Any, flow: Flow) -> None:
        """[.., in] -> [.., out]."""
        flow.x = flow.x @ leaf(node, self.role)


def one_layer(width_in: int, width_out: int) -> list[Step]:
    """A linear layer: role `connect`."""
    return [dense("connect", width_in, width_out)]


def two_layers(act: str, bias: bool) -> Between:
    """Two linear layers: roles `connect`, `connect_act`, `connect_out`."""

    def steps(width_in: int, width_out: int) -> list[Step]:
        read = dense("connect", width_in, width_out, bias, act=act, act_role="connect_act")
        return [read, dense("connect_out", width_out, width_out, bias)]

    return steps


def normed_layers(norm: spec.Norm, act: str) -> Between:
    """A norm, two linear layers: role `connect_norm`, and see `two_layers`."""

    def steps(width_in: int, width_out: int) -> list[Step]:
        return [Normalise("connect_norm", norm, width_in), *two_layers(act, True)(width_in, width_out)]

    return steps


def thinned(width_in: int, width_out: int) -> list[Step]:
    """A map thinned out twice, a linear layer: roles `connect_first`, `connect_second`, `connect`."""
    thin = ThinMap(("connect_first", "connect_second"), width_in, width_out)
    return [thin, dense("connect", width_out, width_out)]


def shuffled_layer(square: int, bias: bool) -> Between:
    """Squares of patches as one each, a linear layer: roles `connect_whole`, the node of both, `connect`."""

    def steps(width_in: int, width_out: int) -> list[Step]:
        return [ShuffleGrid(square), dense("connect", width_in * square**2, width_out, bias)]

    return steps


def shuffled_layers(square: int, norm: spec.Norm, act: str) -> Between:
    """Squares of patches as one each, a norm, two layers: role `connect_norm`, and see `two_layers`."""

    def steps(width_in: int, width_out: int) -> list[Step]:
        wide = width_in * square**2
        normed = Normalise("connect_norm", norm, wide)
        return [ShuffleGrid(square), normed, *two_layers(act, True)(wide, width_out)]

    return steps


def merged(square: int, norm: spec.Norm, act: str, bias: bool) -> Between:
    """A norm, squares of patches as one each, two layers: roles `connect_norm`, `connect_merge` too."""

    def steps(width_in: int, width_out: int) -> list[Step]:
        normed, one = Normalise("connect_norm", norm, width_in), MergeGrids("connect_merge", square, width_in)
        return [normed, one, *two_layers(act, bias)(width_in, width_out)]

    return steps


def shuffled_gated(square: int, norm: spec.Norm | None, inner: int, act: str) -> Between:
    """Likewise with the first layer's halves weighing each other; role `connect_whole` too. Grids stay grids.

    Args:
        square: how many patches down and across are one.
        norm: of those; None for none.
        inner: width of what the first layer makes.
        act: of the half that weighs.
    """

    def steps(width_in: int, width_out: int) -> list[Step]:
        wide = width_in * square**2
        return [
            ShuffleGrid(square, grid=True),
            *([] if norm is None else [Normalise("connect_norm", norm, wide)]),
            dense("connect", wide, inner),
            Halved("connect_act", act),
            dense("connect_out", inner // 2, width_out),
        ]

    return steps


def pooled(edge: int, tokens: int, norm: spec.Norm) -> Between:
    """Means of squares of patches, a norm, a product: roles `connect_pool`, `connect_norm`, `connect`.

    Args:
        edge: patches along a side of a picture.
        tokens: how many means stand for it.
        norm: of the means.
    """
    square = edge // int(tokens**0.5)

    def steps(width_in: int, width_out: int) -> list[Step]:
        pool, normed = PoolGrid("connect_pool", edge, square), Normalise("connect_norm", norm, width_in)
        return [pool, normed, Product("connect", width_in, width_out)]

    return steps
