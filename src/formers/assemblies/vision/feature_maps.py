"""A network over maps: ResNet, ConvNeXT."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from formers.assemblies.base import Assembly
from formers.core.outputs import BaseModelOutput, BaseModelOutputWithPooling, ModelOutput
from formers.model.base import PreTrainedModel
from formers.nn.attend import eager
from formers.nn.layout import Layout
from formers.nn.nets.inference import folded
from formers.nn.nets.tree import compute, fill, node_class
from formers.nn.passing import Geometry, Pass, Visibility
from formers.nn.spec import nets
from formers.nn.stems.base import maps_in
from formers.nn.tree import wiring
from formers.nn.watch import watched
from formers.stacks.stack import Ask, States


class FeatureMaps(Assembly):
    """One network over maps.

    Args:
        net: config -> its spec.
        reads: by which name callers give the images.
    """

    inputs: tuple[str, ...] = ("pixel_values", "output_hidden_states", "return_dict")
    main = "pixel_values"
    means: Mapping[str, str] = MappingProxyType(
        {
            "pixel_values": "[B, channels, height, width], floating.",
            "output_hidden_states": "return hidden states: what the first stage reads, and every result.",
        }
    )

    def __init__(self, net: Callable[[Any], nets.Net], reads: str = "pixel_values") -> None:
        self._net, self.main = net, reads
        self.inputs = (reads, *self.inputs[1:])
        self.means = {**self.means, reads: self.means["pixel_values"]}

    def spec(self, config: Any) -> Any:
        """The network."""
        return self._net(config)

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register the network on the model itself; where it is no model's, what pools is left out."""
        made = self._net(config)
        facts = wiring(model).facts
        facts["pools"] = pooler is not False and made.pool is not None
        idle = {one for one in (*made.closing, *(made.pool or ())) if isinstance(one, str)}
        if facts["pools"]:
            made, idle = replace(made, run=(*made.steps, *made.closing)), set()
        facts["spec"] = made
        parts = {name: part for name, part in made.parts.items() if name not in idle}
        fill(model, nets.Node(parts, made.run))

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Read images and compute.

        Raises:
            TypeError: for what is no tensor.
            ValueError: for a tensor of another shape, and where layers should be recomputed.
        """
        facts = wiring(model).facts
        made: nets.Net = facts["spec"]
        x = _read(model, made, {"pixel_values": given.get(self.main)})
        trace: list[Tensor] | None = [] if ask.hidden else None
        looked = watched(model) or bool(ask.padded)
        plain = not (looked or torch.is_grad_enabled() or torch.is_autocast_enabled(x.device.type))
        folding = folded(model, made.steps) if plain else None
        if folding is not None and folding.fits:
            x = folding(x, trace).contiguous()
            trace = None if trace is None else [one.contiguous() for one in trace]
        else:
            x = compute(model, made.steps, x, [], trace)
        layout, at = Layout.dense(x.shape[0], 1), torch.zeros(1, 1, dtype=torch.long, device=x.device)
        pass_ = Pass(Geometry(layout, at), Visibility(), eager, watched=looked)
        if trace is not None:
            pass_.trace["hidden_states"] = trace
        states = States(x, pass_, spread_out=True)
        if facts["pools"]:
            states.pooled = compute(model, made.pool or (), x, [], None)
        return states

    def output(self, model: Any, states: States) -> ModelOutput:
        """The last map, the vectors, and what was asked for."""
        if wiring(model).facts["spec"].pool is None:
            return BaseModelOutput(states.last, hidden_states=states.hidden)
        return BaseModelOutputWithPooling(states.last, states.pooled, hidden_states=states.hidden)

    def passed_on(self, states: States) -> dict[str, Any]:
        """Hidden states."""
        return {"hidden_states": states.hidden}

    def deviations(self, model: Any) -> tuple[float, Mapping[str, float]]:
        """From the spec."""
        made: nets.Net = wiring(model).facts["spec"]
        return made.std, made.deviations

    def room(self, config: Any) -> int | None:
        """Nothing bounds it."""
        return None

    def layer_class(self, name: str) -> type[nn.Module]:
        """The class of nodes of that name."""
        return node_class(name)


def _read(model: Any, made: nets.Net, given: dict[str, Any]) -> Tensor:
    """The images, in the dtype of the weights."""
    images = maps_in(given, made.channels)
    if model.gradient_checkpointing and model.training:
        raise ValueError(
            "networks over maps do not recompute their layers (batch norms would count each batch twice): "
            "call gradient_checkpointing_disable()"
        )
    return images.to(next(model.parameters()).dtype)
