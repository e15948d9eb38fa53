"""ColPali (Faysse et al. 2024, arXiv:2407.01449): vectors of pages and questions."""

from __future__ import annotations

from typing import Any, ClassVar

from formers.assemblies.family import Family, Head
from formers.assemblies.multimodal.dynamic_resolution import in_rows
from formers.assemblies.wrapped import Within
from formers.checkpoints import Rename
from formers.configs import PretrainedConfig
from formers.models import paligemma, qwen2_vl
from formers.models.classes import base_class
from formers.models.registry import config_class, register
from formers.tasks.multi_vector_retrieval import Spec as Vectors


class ColPaliConfig(PretrainedConfig):
    """Configuration of ColPali."""

    model_type = "colpali"
    sub_configs: ClassVar[dict[str, Any]] = {"vlm_config": config_class}
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {"vlm_config": {"model_type": "paligemma"}}
    embedding_dim: int = 128

    def get_text_config(self, decoder: bool | None = None, encoder: bool | None = None) -> Any:
        """Of the model inside."""
        return self.vlm_config.get_text_config(decoder=decoder, encoder=encoder)


class ColQwen2Config(ColPaliConfig):
    """Configuration of ColQwen2."""

    model_type = "colqwen2"
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {"vlm_config": {"model_type": "qwen2_vl"}}
    initializer_range: float = 0.02


HEADS = {
    "ForRetrieval": Head(
        "multi_vector_retrieval",
        lambda c: Vectors("embedding_proj_layer", c.embedding_dim),
        base="vlm",
        flat=True,
    )
}
COLPALI = register(
    Family(
        model_type="colpali",
        name="ColPali",
        config=ColPaliConfig,
        base="model",
        bare="",
        assembly=Within(base_class, "vlm", "vlm_config", paligemma.PALIGEMMA.assembly),
        heads=HEADS,
        # files have a text model with its head, which nothing here reads
        renames=(Rename("vlm.language_model.model.{rest}", "vlm.language_model.{rest}", written=True),),
        ignored=(r"^vlm\.language_model\.lm_head\.",),
    )
)
COLQWEN2 = register(
    Family(
        model_type="colqwen2",
        name="ColQwen2",
        config=ColQwen2Config,
        base="model",
        bare="",
        assembly=Within(
            base_class,
            "vlm",
            "vlm_config",
            qwen2_vl.QWEN2_VL.assembly,
            unread=("pixel_values_videos", "video_grid_thw", "mm_token_type_ids", "mm_encoder_outputs"),
            reads=in_rows,
        ),
        heads=HEADS,
        # files have had the model with its head, and the text model's parts beside that of patches
        renames=(
            Rename("vlm.model.{rest}", "vlm.{rest}"),
            *(
                Rename(f"vlm.{part}.{{rest}}", f"vlm.language_model.{part}.{{rest}}")
                for part in ("embed_tokens", "layers", "norm")
            ),
        ),
        ignored=(r"^vlm\.lm_head\.",),
    )
)
