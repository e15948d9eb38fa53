"""Image blocks whose states are read one by one, and bridges from layers below to layers over both.

Xu et al. 2022, arXiv:2206.08657, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from formers.nn.activations import Activation
from formers.nn.fresh import Constant, Normal, begins
from formers.nn.leaves import linear, norm
from formers.nn.nets.masked_attention import PackedAttention
from formers.nn.spec import Norm
from formers.nn.spec.masked_attention import Heads
from formers.nn.tree import Group

LINKS = ("add", "scaled_add", "interpolate")

_HEAD = 64  # width of a head


@dataclass(frozen=True)
class Blocks:
    """Image blocks: attention and a feed-forward, with norms before.

    Attributes:
        width: E.
        norm: of all norms.
        count: how many there are.
        factor: on the deviations of fresh weights.
    """

    width: int
    norm: Norm
    count: int
    factor: float = 1.0

    @property
    def heads(self) -> Heads:
        """How attention shares the states out.

        Raises:
            ValueError: for a width that heads of 64 do not fill.
        """
        if self.width % _HEAD:
            raise ValueError(
                f"hidden_size={self.width} of the image tower has to be a multiple of {_HEAD}, the width of "
                "a head"
            )
        return Heads(self.width, self.width // _HEAD)

    def deviation(self, of: str) -> float:
        """Of fresh weights of the `read` kind, of what is `added`, and of the `wide` layer."""
        wide: float = self.width**-0.5 * self.factor
        layers: float = (2 * self.count) ** -0.5
        found = {"read": wide, "added": wide * layers, "wide": wide * 2**-0.5}
        return found[of]


class Feeding(Group):
    """Two layers with an activation between; its parts are called one by one."""

    def __init__(self, s: Blocks) -> None:
        super().__init__()
        first = linear("linear", s.width, 4 * s.width)
        last = linear("linear", 4 * s.width, s.width)
        self.c_fc = begins(first, weight=Normal(s.deviation("wide")), bias=Constant(0.0))
        self.gelu = Activation("quick_gelu")
        self.c_proj = begins(last, weight=Normal(s.deviation("added")), bias=Constant(0.0))

    def run(self, x: Tensor) -> Tensor:
        """[.., E] -> [.., E]."""
        for part in self.children():
            x = part(x)
        return x


class Block(Group):
    """One block: [P, B, E] -> [P, B, E]."""

    def __init__(self, s: Blocks) -> None:
        super().__init__()
        self.attn = PackedAttention(s.heads)
        read, added = Normal(s.deviation("read")), Normal(s.deviation("added"))
        begins(self.attn, in_proj_weight=read, in_proj_bias=Constant(0.0))
        begins(self.attn.out_proj, weight=added, bias=Constant(0.0))
        self.ln_1, self.mlp, self.ln_2 = norm(s.norm, s.width), Feeding(s), norm(s.norm, s.width)

    def forward(self, hidden_state: Tensor) -> Tensor:
        """Attention, the feed-forward, and what they are added to."""
        rows = self.ln_1(hidden_state)
        read: Tensor = hidden_state + self.attn(rows, rows, rows)[0]
        return read + self.mlp.run(self.ln_2(read))


class Visual(Group):
    """The blocks, a norm before them, and norms behind. The stem of patches lies beside them.

    With `separate`, every block has a norm of its own, which the layers over both do not read.
    """

    def __init__(self, s: Blocks, separate: int = 0) -> None:
        super().__init__()
        self.ln_pre, self.ln_post = norm(s.norm, s.width), norm(s.norm, s.width)
        self.transformer = Group()
        self.transformer.add_module("resblocks", nn.ModuleList(Block(s) for _ in range(s.count)))
        if separate:
            self.ln_separate = nn.ModuleList(norm(s.norm, s.width) for _ in range(separate))

    def states(self, x: Tensor) -> list[Tensor]:
        """Patches [B, P, E] -> what enters the first block and what each makes, [P, B, E]."""
        found = [self.ln_pre(x).transpose(0, 1)]
        for block in self.transformer.get_submodule("resblocks").children():
            found.append(block(found[-1]))
        return found

    def closed(self, state: Tensor) -> Tensor:
        """One of those, normalised: [P, B, E] -> [B, P, E]."""
        found: Tensor = self.ln_post(state.transpose(0, 1))
        return found


class Link(Group):
    """What a layer below made, and what the layer over both made, as one, normalised.

    Args:
        kind: both are added; the first times a learned factor (`scaled_add`); or they are mixed by one.
        width: E.
        closing: the norm.

    Raises:
        ValueError: for another kind.
    """

    def __init__(self, kind: str, width: int, closing: Norm) -> None:
        super().__init__()
        if kind not in LINKS:
            raise ValueError(f"link_tower_type is one of {', '.join(LINKS)}, not {kind!r}")
        self._kind = kind
        if kind == "scaled_add":
            self.scaled_factor = nn.Parameter(torch.tensor(1.0))
            begins(self, scaled_factor=Constant(1.0))
        if kind == "interpolate":
            self.beta = nn.Parameter(torch.tensor(0.5))
            begins(self, beta=Constant(0.5))
        self.LayerNorm = norm(closing, width)

    def forward(self, hidden_states: Tensor, cross_modal_hidden_states: Tensor) -> Tensor:
        """[B, T, E] both -> [B, T, E]."""
        below, above = hidden_states, cross_modal_hidden_states
        if self._kind == "scaled_add":
            below = below * self.scaled_factor
        if self._kind == "interpolate":
            below, above = below * (1 - self.beta), above * self.beta
        found: Tensor = self.LayerNorm(below + above)
        return found
