"""The stem of vision transformers that read maps of a network in place of pixels."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from formers.nn.passing import Pass
from formers.nn.spec import Paths
from formers.nn.stems.base import want
from formers.nn.stems.patches import PatchStem, project_patches
from formers.nn.tree import Block, leaf, place

MAPS = "maps of the network"  # where a pass keeps them


class FeatureMapPatchStem(PatchStem):
    """See `spec.FeatureMapPatches`."""

    def place(self, owner: Block, names: Paths) -> None:
        """Register the network, and what a stem of patches has."""
        want(names, "network")
        place(owner, "network", str(names["network"]), self.spec.network())
        super().place(owner, names)

    def _projection(self) -> nn.Module:
        return nn.Conv2d(self.spec.map_width, self.spec.width, 1, bias=self.spec.bias)

    def _patches(self, node: Any, images: Tensor, pass_: Pass) -> Tensor:
        maps = leaf(node, "network")(images, return_dict=True).feature_maps
        pass_.memo.put(MAPS, maps)
        grid = self.spec.grid_of(*images.shape[2:])
        if tuple(maps[-1].shape[2:]) != grid:
            raise ValueError(
                f"the network's last map of pixel_values {list(images.shape)} has {list(maps[-1].shape[2:])} "
                f"places, not one for each of {list(grid)} patches: its stride and patch_size have to agree, "
                "and pictures have multiples of them as sides"
            )
        return project_patches(node, maps[-1])
