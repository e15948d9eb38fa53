"""A network of windows: Swin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from formers.assemblies.base import Assembly, BaseModel
from formers.core.outputs import BaseModelOutputWithPooling, ModelOutput
from formers.model.base import PreTrainedModel
from formers.nn.attend import eager
from formers.nn.layout import Layout
from formers.nn.nets.windows import Way, node_class, place_windows
from formers.nn.passing import Geometry, Pass, Visibility
from formers.nn.spec.windows import Windows
from formers.nn.stems.base import maps_in
from formers.nn.tree import has, leaf, wiring
from formers.nn.watch import watched
from formers.stacks.stack import Ask, States


class Windowed(Assembly):
    """One network of windows.

    Args:
        net: config -> its spec.
        kept: files of a backbone keep the norm of the last states, which it does not read.
    """

    inputs: tuple[str, ...] = (
        "pixel_values",
        "bool_masked_pos",
        "interpolate_pos_encoding",
        "output_attentions",
        "output_hidden_states",
        "return_dict",
    )
    main = "pixel_values"
    means: Mapping[str, str] = MappingProxyType({"pixel_values": "[B, channels, height, width], floating."})

    def __init__(self, net: Callable[[Any], Windows], kept: bool = True) -> None:
        self._net, self._kept = net, kept

    def spec(self, config: Any) -> Any:
        """The network."""
        return self._net(config)

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register the network on the model itself."""
        made = self._net(config)
        made = replace(made, stem=replace(made.stem, masked=masked))
        if not isinstance(model, BaseModel):  # a backbone, which reads no norm of the last states
            names = {**made.names}
            last = f"{model.base_model_prefix}.{names.pop('final_norm')}"
            made = replace(made, names={**names, "final_norm": last} if self._kept else names)
        wiring(model).facts["spec"] = made
        place_windows(model, made, masked, pooler is not False)

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Read images and compute.

        Raises:
            TypeError: for what is no tensor.
            ValueError: for a tensor of another shape.
        """
        made: Windows = wiring(model).facts["spec"]
        images = _read(model, made, given)
        looked, maps = watched(model) or bool(ask.padded), bool(wiring(model).facts.get("maps"))
        x, grid = leaf(model, "embeddings")(
            images, given.get("bool_masked_pos"), bool(given.get("interpolate_pos_encoding"))
        )
        way = Way(
            grid,
            watched=looked,
            whole=maps,
            before=maps,
            eager=ask.attentions or ask.backend == "eager",
            recompute=model.gradient_checkpointing and model.training and torch.is_grad_enabled(),
            hidden=[] if ask.hidden else None,
            maps=[] if ask.hidden else None,
            weights=[] if ask.attentions else None,
        )
        x = leaf(model, "encoder")(x, grid, way)[0]
        x = leaf(model, "final_norm")(x) if has(model, "final_norm") else x
        at = torch.arange(x.shape[1], device=x.device)[None]
        pass_ = Pass(Geometry(Layout.dense(x.shape[0], x.shape[1]), at), Visibility(), eager, watched=looked)
        states = States(x, pass_, spread_out=True)
        if way.hidden is not None and way.maps is not None:
            states.extras["maps"] = way.maps
            shown = way.maps if maps else way.hidden
            if maps and made.scaled:
                shown = [one.flatten(2).transpose(1, 2) for one in way.maps]
            pass_.trace["hidden_states"] = list(shown)
            states.extras["reshaped_hidden_states"] = tuple(way.maps)
        if way.weights is not None:
            pass_.trace["attentions"] = list(way.weights)
        if has(model, "pooler"):
            states.pooled = leaf(model, "pooler")(x.transpose(1, 2)).flatten(1)
        return states

    def output(self, model: Any, states: States) -> ModelOutput:
        """The last rows, their mean, and what was asked for."""
        return BaseModelOutputWithPooling(states.last, states.pooled, **self.passed_on(states))

    def passed_on(self, states: States) -> dict[str, Any]:
        """Hidden states as rows and as maps, and weights."""
        return {
            "hidden_states": states.hidden,
            "attentions": states.attentions,
            "reshaped_hidden_states": states.extras.get("reshaped_hidden_states"),
        }

    def deviations(self, model: Any) -> tuple[float, Mapping[str, float]]:
        """From the spec."""
        return wiring(model).facts["spec"].std, {}

    def room(self, config: Any) -> int | None:
        """Nothing bounds it."""
        return None

    def layer_class(self, name: str) -> type[nn.Module]:
        """The class of nodes of that name."""
        return node_class(name, True)


def _read(model: Any, made: Windows, given: dict[str, Any]) -> Tensor:
    """The images, in the dtype of the weights."""
    return maps_in(given, made.stem.channels).to(next(model.parameters()).dtype)
