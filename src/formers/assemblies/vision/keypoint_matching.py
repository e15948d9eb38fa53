"""A model that finds points, in both pictures of pairs: SuperGlue."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch

from formers.assemblies.vision.backbone_maps import BackboneMaps
from formers.nn.attend import eager
from formers.nn.layout import Layout
from formers.nn.passing import Geometry, Pass, Visibility
from formers.nn.stems.base import pixels_in
from formers.nn.tree import leaf
from formers.nn.watch import watched
from formers.stacks.stack import Ask, States


class PairedKeypoints(BackboneMaps):
    """What the part finds is in `states.extras["points"]`, of a picture and its pair after each other."""

    means: Mapping[str, str] = MappingProxyType(
        {"pixel_values": "[B, 2, channels, height, width], floating: pairs of pictures."}
    )

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Call the part.

        Raises:
            TypeError: for what is no tensor.
            ValueError: for a tensor of another shape.
        """
        images = pixels_in(given)
        if images.dim() != 5 or images.shape[1] != 2:
            raise ValueError(
                "pixel_values are pairs of pictures, [B, 2, channels, height, width], not "
                f"{list(images.shape)}"
            )
        out = leaf(model, "part")(images.flatten(0, 1), return_dict=True)
        rows = out.descriptors  # [2 B, N, E]
        at = torch.arange(rows.shape[1], device=rows.device)[None]
        geometry = Geometry(Layout.dense(*rows.shape[:2]), at)
        states = States(rows, Pass(geometry, Visibility(), eager, watched=watched(model)), spread_out=True)
        states.extras["points"] = out
        return states
