"""Pictures out of pictures: larger, or clearer ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from formers.core.extras import need
from formers.core.notices import refuse_unknown
from formers.pipelines.image.base import ImagePipeline


class ImageToImagePipeline(ImagePipeline):
    """Pictures made larger, or clearer: `pipeline("image-to-image")`.

        pipe("small.png")                  a Pillow image, as large as the model makes what it reads
        pipe(["small.png", "old.jpg"])     one for each

    The processor pads pictures until the model can read them, and what was padded is made larger too.

    Args:
        model: a model that makes pictures, such as Swin2SR.
        **kwargs: those of `ImagePipeline`.
    """

    default_task: ClassVar[str] = "image-to-image"

    def _sanitize_parameters(  # type: ignore[override]  # by name, so that others are refused
        self,
        timeout: float | None = None,
        parameters: Mapping[str, Any] | None = None,
        on_error: str | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        given = dict(parameters or {})
        refuse_unknown(given, ["timeout"], f"{type(self).__name__}'s parameters")
        return self._reading(given.get("timeout", timeout), on_error), {}, {}

    def postprocess(self, model_outputs: Any, **params: Any) -> Any:
        """One picture: RGB, or grey where the model makes one channel."""
        pixels = model_outputs["reconstruction"][0].float().clamp(0, 1).mul(255).round().byte()
        rows = pixels.permute(1, 2, 0).cpu().numpy()
        return need("PIL.Image", "vision").fromarray(rows[..., 0] if rows.shape[-1] == 1 else rows)
