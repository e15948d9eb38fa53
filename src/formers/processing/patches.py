"""Pictures of any form as rows of patches."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from formers.processing.image import BaseImageProcessor, Sizes


class PatchImageProcessor(BaseImageProcessor):
    """Pictures as `BaseImageProcessor` prepares them, cut into patches of `patch_size` pixels, row by row.

    A call returns `pixel_values` [B, max_num_patches, numbers of a patch], `pixel_attention_mask`, int32, 1
    where there is a patch, and `spatial_shapes` [B, 2], how many there are down and across.
    """

    model_input_names: ClassVar[list[str]] = ["pixel_values", "pixel_attention_mask", "spatial_shapes"]

    def _pixel_values(
        self, images: Any, now: dict[str, Any], call: dict[str, Any]
    ) -> tuple[dict[str, Any], list[Sizes]]:
        pictures, sizes = super()._pixel_values(
            images, {**now, "do_pad": False}, {**call, "return_tensors": None}
        )
        edge, most = now["patch_size"], now["max_num_patches"]
        rows, masks, shapes = [], [], []
        for one in pictures["pixel_values"]:
            channels, down, across = one.shape[0], one.shape[1] // edge, one.shape[2] // edge
            if not 0 < down * across <= most or one.shape[1:] != (down * edge, across * edge):
                raise ValueError(
                    f"a picture of {one.shape[1]} x {one.shape[2]} pixels makes no 1 to {most} patches of "
                    f"{edge} x {edge}: leave do_resize on"
                )
            cut = one.reshape(channels, down, edge, across, edge).transpose(1, 3, 2, 4, 0)
            cut = cut.reshape(down * across, -1)
            rows.append(np.pad(cut, ((0, most - len(cut)), (0, 0))))
            masks.append((np.arange(most) < len(cut)).astype(np.int32))
            shapes.append((down, across))
        return {"pixel_values": rows, "pixel_attention_mask": masks, "spatial_shapes": shapes}, sizes
