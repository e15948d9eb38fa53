"""Pictures out of pictures: larger, or clearer ones."""

from __future__ import annotations

from typing import Any, ClassVar

from formers.core.extras import need
from formers.pipelines.image.base import PlainImagePipeline


class ImageToImagePipeline(PlainImagePipeline):
    """Pictures made larger, or clearer: `pipeline("image-to-image")`.

        pipe("small.png")                  a Pillow image, as large as the model makes what it reads
        pipe(["small.png", "old.jpg"])     one for each

    The processor pads pictures until the model can read them, and what was padded is made larger too.

    Args:
        model: a model that makes pictures, such as Swin2SR.
        **kwargs: those of `ImagePipeline`.
    """

    default_task: ClassVar[str] = "image-to-image"

    def postprocess(self, model_outputs: Any, **params: Any) -> Any:
        """One picture: RGB, or grey where the model makes one channel."""
        pixels = model_outputs["reconstruction"][0].float().clamp(0, 1).mul(255).round().byte()
        rows = pixels.permute(1, 2, 0).cpu().numpy()
        return need("PIL.Image", "vision").fromarray(rows[..., 0] if rows.shape[-1] == 1 else rows)
