"""Pictures in a ring of themselves, mirrored, and depths without it: ZoeDepth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from formers.processing.image import BaseImageProcessor
from formers.processing.post_processing import sizes_of
from formers.processing.steps import ring

if TYPE_CHECKING:
    from torch import Tensor


class RingedImageProcessor(BaseImageProcessor):
    """Pictures as `BaseImageProcessor` prepares them, with a ring around where `do_pad` says so."""

    do_pad: bool

    def post_process_depth_estimation(
        self,
        outputs: Any,
        source_sizes: Any = None,
        target_sizes: Any = None,
        outputs_flipped: Any = None,
        do_remove_padding: bool | None = None,
    ) -> list[dict[str, Tensor]]:
        """`predicted_depth` [height, width] of every picture, in metres.

        Args:
            outputs: what the model returned.
            source_sizes: (height, width) of the pictures as they were, by which the ring is known.
            target_sizes: (height, width) that depths get then; those of the pictures, where nothing is said.
            outputs_flipped: what the model returned for the same pictures, left and right exchanged; the mean
                of both is taken.
            do_remove_padding: take the ring away; as `do_pad` says, where nothing is said.

        Raises:
            ValueError: for a ring around pictures whose sizes are not said, or sizes of other pictures.
        """
        made: Tensor = outputs["predicted_depth"]
        ringed = self.do_pad if do_remove_padding is None else do_remove_padding
        if ringed and source_sizes is None:
            raise ValueError("the ring is as wide as source_sizes say: pass them, or do_remove_padding=False")
        if outputs_flipped is not None:
            other = outputs_flipped["predicted_depth"]
            if other.shape != made.shape:
                raise ValueError(
                    f"outputs and outputs_flipped differ in shape: {[*made.shape]} and {[*other.shape]}"
                )
            made = (made + other.flip(-1)) / 2
        found = []
        sizes = (sizes_of(said, len(made)) for said in (source_sizes, target_sizes))
        for one, source, target in zip(made, *sizes, strict=True):
            if source is not None:
                down, across = (ring(edge) if ringed else 0 for edge in source)
                one = _resized(one, (source[0] + 2 * down, source[1] + 2 * across))
                one = one[down : down + source[0], across : across + source[1]]
            found.append({"predicted_depth": one if target is None else _resized(one, target)})
        return found


def _resized(depths: Tensor, size: tuple[int, int]) -> Tensor:
    from torch.nn import functional as F

    return F.interpolate(depths[None, None], size=size, mode="bicubic", align_corners=False)[0, 0]
