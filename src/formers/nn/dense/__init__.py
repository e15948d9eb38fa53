"""Decoders of maps: a value, or several, for every place of a picture. `DECODERS` is the list."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from formers.nn.dense.fused import FusedMaps
from formers.nn.dense.selective import BoundedDepth, SelectiveMaps
from formers.nn.spec import dense

DECODERS: dict[type[Any], Callable[[Any], nn.Module]] = {
    dense.BoundedDepth: BoundedDepth,
    dense.FusedMaps: FusedMaps,
    dense.SelectiveMaps: SelectiveMaps,
}
