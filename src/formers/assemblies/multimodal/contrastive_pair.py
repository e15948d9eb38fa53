"""A text model and an image model that were trained apart, compared: VisionTextDualEncoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from formers.assemblies.base import BaseModel
from formers.assemblies.multimodal.contrastive import DualTowers, Shared
from formers.configs import PretrainedConfig


class ContrastivePair(DualTowers):
    """Two towers of any families, each of which makes a vector of what it reads (arXiv:2111.07991).

    Args:
        config_of: name or folder -> the config that lies there, with the keywords that were not for it.
        model_of, text, image, shared: see `DualTowers`.
    """

    def __init__(
        self,
        config_of: Callable[..., tuple[PretrainedConfig, dict[str, Any]]],
        model_of: Callable[[Any], type[BaseModel]],
        text: tuple[str, str],
        image: tuple[str, str],
        shared: Callable[[Any], Shared],
    ) -> None:
        reads = ("input_ids", "attention_mask", "position_ids", "token_type_ids")
        super().__init__(model_of, text, image, shared, reads, ("pixel_values",))
        self.config_of = config_of
        self.inputs = ("input_ids", "pixel_values", "attention_mask", "position_ids", "return_loss")
        self.inputs = (
            *self.inputs,
            "token_type_ids",
            "output_attentions",
            "output_hidden_states",
            "return_dict",
        )

    def loaded(self, name: str, source: Any, options: dict[str, Any]) -> Any:
        """A tower from a checkpoint of its own, or of a pair that has such a tower.

        Args:
            name: "vision" or "text".
            source: folder or Hub id.
            options: as `from_pretrained` takes them.
        """
        config = options.pop("config", None)
        if config is None:
            config, options = self.config_of(source, **options)
        config = getattr(config, f"{name}_config", config)
        return self.model_of(config).from_pretrained(source, config=config, **options)
