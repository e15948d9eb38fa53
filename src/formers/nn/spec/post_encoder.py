"""Layers behind an encoder, which make its rows fewer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from formers.nn.spec.layers import Layer
from formers.nn.spec.mixers import FeedForward
from formers.nn.spec.values import Norm


@dataclass(frozen=True)
class PostEncoder:
    """Convolutions along time with gates, each of which makes one row of several.

    Layers may have attention and a feed-forward behind the convolution; then a second convolution makes
    what their result is added to (Seamless Communication 2023, arXiv:2308.11596, section 4.1). None of them
    is left out in training, since the length of a sound's rows follows from them.

    Attributes:
        read: width of the encoder's states; where that is another than `width`, they are projected first.
        width: E of the layers.
        count: of layers.
        kernel: rows that a convolution reads, `stride` apart, with `padding` rows of zeros at both ends.
        path: of the node that holds the layers.
        layer_class: name of the layers' class.
        names: paths in a layer; roles `conv`, `conv_norm`, `conv_gate`, `beside_conv`, `beside_norm`, and
            those of the parts of `layer`.
        norm: of what convolutions read, and of what was projected.
        layer: what follows the convolution.
        first: a feed-forward before all, half of whose result is added; roles `first_*` of `own`.
        first_dropout: on that result.
        own: paths of the model.
        last: a norm behind all; role `behind_norm` of `own`.
    """

    read: int
    width: int
    count: int
    kernel: int
    stride: int
    padding: int
    path: str
    layer_class: str
    names: Mapping[str, str]
    norm: Norm
    layer: Layer | None = None
    first: FeedForward | None = None
    first_dropout: float = 0.0
    own: Mapping[str, str] = field(default_factory=dict)
    last: Norm | None = None

    def fewer(self, rows: Any) -> Any:
        """How many rows one convolution makes of so many; of a number or a tensor."""
        return (rows + 2 * self.padding - self.kernel) // self.stride + 1

    def rows(self, rows: Any) -> Any:
        """How many rows all layers make of so many; of a number or a tensor."""
        for _ in range(self.count):
            rows = self.fewer(rows)
        return rows
