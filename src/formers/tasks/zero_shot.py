"""Texts and images compared, so that an image can be labelled with any texts: `CLIPModel`."""

from __future__ import annotations

from typing import Any, ClassVar

from formers.assemblies.base import BaseModel
from formers.model.base import PreTrainedModel
from formers.tasks.composed_pair import parts_of


class ZeroShotImageClassification(BaseModel):
    """Nothing stands on the towers: their assembly compares what they make."""

    accepts_loss_kwargs: ClassVar[bool] = False  # each batch is its own set of wrong answers

    def _tagged_task(self) -> tuple[str | None, bool]:
        """By the task's record."""
        return self._task.tag, self._task.labelled


class JoinedTowers(ZeroShotImageClassification):
    """Two models that were trained apart, compared: `VisionTextDualEncoderModel`."""

    config_class: ClassVar[Any]
    _assembly: ClassVar[Any]

    def __init__(self, config: Any = None, vision_model: Any = None, text_model: Any = None) -> None:
        if config is None:
            if vision_model is None or text_model is None:
                raise ValueError(f"{type(self).__name__} takes a config, or a vision_model and a text_model")
            config = self.config_class.from_vision_text_configs(vision_model.config, text_model.config)
        PreTrainedModel.__init__(self, config)
        given = {self._assembly.image: vision_model, self._assembly.text: text_model}
        parts = {name: part for name, part in given.items() if part is not None}
        self._assembly.join(self, config, parts)
        self.post_init()

    @classmethod
    def from_vision_text_pretrained(
        cls, vision_model_name_or_path: Any = None, text_model_name_or_path: Any = None, **options: Any
    ) -> Any:
        """Join two checkpoints. The projections and the scale are drawn afresh: they want training.

        Args:
            vision_model_name_or_path: folder or Hub id of an image model; of a pair such as CLIP, its image
                tower is taken.
            text_model_name_or_path: likewise of a text model.
            options: `vision_model` or `text_model` in place of a checkpoint; `vision_` or `text_` before any
                keyword of `from_pretrained`; all others are fields of the pair's config.

        Raises:
            ValueError: when a part is not given, or makes no vector.
        """
        names = {"vision": vision_model_name_or_path, "text": text_model_name_or_path}
        parts = parts_of(names, options, cls._assembly.loaded, "_model_name_or_path")
        vision, text = parts["vision"], parts["text"]
        config = cls.config_class.from_vision_text_configs(vision.config, text.config, **options)
        return cls(config, vision, text).eval()
