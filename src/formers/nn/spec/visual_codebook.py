"""The network that says words of places of a picture: DALL-E's encoder (arXiv:2102.12092, appendix A.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from formers.nn.spec import nets
from formers.nn.spec.multi_scale import Times

_GROUPS = 4


@dataclass(frozen=True)
class Words:
    """Groups of blocks, each but the last with the largest values of windows of two by two places behind it.

    What a block adds is divided by the square of how many layers are counted.

    Attributes:
        channels: of pictures.
        width: of the first group; of the next ones 2, 4 and 8 times as many.
        blocks: of a group.
        counted: layers.
        count: words.
        std: deviation of fresh weights.
    """

    channels: int
    width: int
    blocks: int
    counted: int
    count: int
    std: float = 0.02

    def net(self) -> nets.Net:
        """The network."""
        widths = (self.width, *(self.width * 2**i for i in range(_GROUPS)))
        groups = {f"group_{i}": self._group(i, *widths[i - 1 : i + 1]) for i in range(1, _GROUPS + 1)}
        told = nets.Node({"relu": nets.Act("relu"), "conv": _conv(widths[-1], self.count, 1)})
        first = _conv(self.channels, self.width, 7)
        blocks = nets.Node({"input": first, **groups, "output": told})
        return nets.Net(
            {"blocks": blocks}, channels=self.channels, widths=widths, last=self.count, std=self.std
        )

    def _group(self, number: int, read: int, made: int) -> nets.Node:
        parts: dict[str, Any] = {
            f"block_{j + 1}": self._block(made if j else read, made) for j in range(self.blocks)
        }
        pool = {"pool": nets.Pool("largest", 2, 2)} if number < _GROUPS else {}
        return nets.Node({"group": nets.Node({**parts, **pool})})

    def _block(self, read: int, made: int) -> nets.Node:
        inner, path = made // 4, dict[str, Any]()
        layers = ((read, inner, 3), (inner, inner, 3), (inner, inner, 3), (inner, made, 1))
        for i, layer in enumerate(layers, start=1):
            path |= {f"relu_{i}": nets.Act("relu"), f"conv_{i}": _conv(*layer)}
        parts = {
            "id_path": nets.Act() if read == made else _conv(read, made, 1),
            "res_path": nets.Node({"path": nets.Node(path)}),
        }
        run = (nets.BEGIN, "res_path", Times(1 / self.counted**2), nets.Plus("id_path"))
        return nets.Node(parts, run)


def _conv(read: int, made: int, kernel: int) -> nets.Conv:
    return nets.Conv(read, made, kernel, bias=True)
