"""A network that says of every place of a picture which word it is: DALL-E's encoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from torch import Tensor

from formers.assemblies.vision.feature_maps import FeatureMaps
from formers.core.outputs import ModelOutput
from formers.model.base import PreTrainedModel
from formers.nn.spec import nets
from formers.stacks.stack import States


class VisualCodebook(FeatureMaps):
    """A network over maps whose last map, [B, V, h, w], is what callers get: no record (arXiv:2102.12092).

    Args:
        net: config -> its spec.
        frozen: config -> whether its weights are not trained.
    """

    def __init__(self, net: Callable[[Any], nets.Net], frozen: Callable[[Any], bool]) -> None:
        super().__init__(net)
        self.inputs = ("pixel_values",)
        self._frozen = frozen
        self.offers = {"get_codebook_indices": _words, "get_codebook_probs": _shares}

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register the network."""
        super().place(model, config, pooler, masked)
        if self._frozen(config):
            model.requires_grad_(False)

    def output(self, model: Any, states: States) -> ModelOutput:
        """The last map alone, [B, V, h, w]."""
        return cast(ModelOutput, states.last)


def _words(model: Any, pixel_values: Tensor) -> Tensor:
    """The word of every place: [B, channels, H, W] -> [B, h, w], int64."""
    found: Tensor = model(pixel_values)
    return found.argmax(1)


def _shares(model: Any, pixel_values: Tensor) -> Tensor:
    """How likely each word is: [B, channels, H, W] -> [B, V, h, w]."""
    found: Tensor = model(pixel_values)
    return found.softmax(1)
