"""A network of windows that restores pictures: Swin2SR."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional as F

from formers.assemblies.vision.shifted_windows import ShiftedWindows
from formers.core.outputs import BaseModelOutput, ModelOutput
from formers.model.base import PreTrainedModel
from formers.nn.nets.shifted_windows import place_windows
from formers.nn.spec.shifted_windows import Windows
from formers.nn.stems.base import maps_in
from formers.nn.tree import leaf, wiring
from formers.stacks.stack import Ask, States


class Restoration(ShiftedWindows):
    """See `spec.shifted_windows.Restoration`. The last states are a map of whole windows, [B, E, H, W]."""

    inputs = ("pixel_values", "output_attentions", "output_hidden_states", "return_dict")

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register the network on the model itself.

        Raises:
            TypeError: for options of other models of images.
        """
        if pooler or masked:
            raise TypeError(f"add_pooling_layer and use_mask_token are not for {config.model_type!r} models")
        made: Windows = self.spec(config)
        wiring(model).facts["spec"] = made
        place_windows(model, made, False, False)

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Read pictures and compute.

        Raises:
            TypeError: for what is no tensor.
            ValueError: for a tensor of another shape, or a picture that is too small.
        """
        made: Windows = wiring(model).facts["spec"]
        first = leaf(model, "first")(self._read(model, made, given))
        x, grid = leaf(model, "embeddings")(first)
        way = self._way(model, grid, ask)
        x = leaf(model, "final_norm")(leaf(model, "encoder")(x, grid, way)[0])
        x = leaf(model, "closing")(leaf(model, "unpatched")(x, grid)) + first
        return self._found(x, way)

    def _read(self, model: Any, made: Windows, given: dict[str, Any]) -> Tensor:
        """The pictures, with whole windows, in the dtype of the weights."""
        around = made.restoring
        assert around is not None
        images = maps_in(given, around.channels).to(next(model.parameters()).dtype)
        more = [-size % made.window for size in images.shape[2:]]
        if any(beyond >= size for beyond, size in zip(more, images.shape[2:], strict=True)):
            raise ValueError(
                f"a picture of {list(images.shape[2:])} pixels is too small to be mirrored until windows of "
                f"{made.window} fit: the image processor pads it (do_pad=True)"
            )
        if any(more):
            images = F.pad(images, (0, more[1], 0, more[0]), "reflect")
        return (images - images.new_tensor(around.mean).view(1, -1, 1, 1)) * around.scale

    def output(self, model: Any, states: States) -> ModelOutput:
        """The last map, and what was asked for."""
        return BaseModelOutput(states.last, **self.passed_on(states))

    def passed_on(self, states: States) -> dict[str, Any]:
        """Hidden states and weights."""
        return {"hidden_states": states.hidden, "attentions": states.attentions}
