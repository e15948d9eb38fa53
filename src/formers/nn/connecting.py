"""What stands between an image model's states and the vectors of a text model: programs by their parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from formers.nn import spec
from formers.nn.fresh import Constant
from formers.nn.program import Bare, Flow, Step
from formers.nn.steps import Normalise, dense
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
