"""ColPali (Faysse et al. 2024, arXiv:2407.01449): vectors of pages and questions, by PaliGemma."""

from __future__ import annotations

from typing import Any, ClassVar

from formers.assemblies.family import Family, Head
from formers.assemblies.within import Within
from formers.checkpoints import Rename
from formers.configs import PretrainedConfig
from formers.models import paligemma
from formers.models.classes import base_class
from formers.models.registry import config_class, register
from formers.tasks.row_vectors import Spec as Vectors


class ColPaliConfig(PretrainedConfig):
    """Configuration of ColPali."""

    model_type = "colpali"
    sub_configs: ClassVar[dict[str, Any]] = {"vlm_config": config_class}
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {"vlm_config": {"model_type": "paligemma"}}
    embedding_dim: int = 128

    def get_text_config(self, decoder: bool | None = None, encoder: bool | None = None) -> Any:
        """Of the model inside."""
        return self.vlm_config.get_text_config(decoder=decoder, encoder=encoder)


COLPALI = register(
    Family(
        model_type="colpali",
        name="ColPali",
        config=ColPaliConfig,
        base="model",
        bare="",
        assembly=Within(base_class, "vlm", "vlm_config", paligemma.PALIGEMMA.assembly),
        heads={
            "ForRetrieval": Head(
                "row_vectors",
                lambda c: Vectors("embedding_proj_layer", c.embedding_dim),
                base="vlm",
                flat=True,
            )
        },
        # files have a text model with its head, which nothing here reads
        renames=(Rename("vlm.language_model.model.{rest}", "vlm.language_model.{rest}", written=True),),
        ignored=(r"^vlm\.language_model\.lm_head\.",),
    )
)
