"""A network of windows: Swin."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from formers.assemblies.base import Assembly, BaseModel
from formers.core.outputs import BaseModelOutputWithPooling, InnerWindowsOutput, ModelOutput
from formers.model.base import PreTrainedModel
from formers.nn.attend import eager
from formers.nn.layout import Layout
from formers.nn.nets.shifted_windows import Way, node_class, place_windows
from formers.nn.passing import Geometry, Pass, Visibility
from formers.nn.spec.shifted_windows import Windows
from formers.nn.stems.base import maps_in
from formers.nn.tree import has, leaf, wiring
from formers.nn.watch import watched
from formers.stacks.stack import Ask, States

_SIZES = "hidden_states_spatial_dimensions"


class ShiftedWindows(Assembly):
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
        x, grid = leaf(model, "embeddings")(
            images, given.get("bool_masked_pos"), bool(given.get("interpolate_pos_encoding"))
        )
        way = self._way(model, grid, ask)
        x = leaf(model, "encoder")(x, grid, way)[0]
        x = leaf(model, "final_norm")(x) if has(model, "final_norm") else x
        states = self._found(x, way)
        if way.hidden is not None and way.maps is not None:
            states.extras["maps"] = way.maps
            shown = way.maps if way.before else way.hidden
            if way.before and made.scaled:
                shown = [one.flatten(2).transpose(1, 2) for one in way.maps]
            states.pass_.trace["hidden_states"] = list(shown)
            states.extras["reshaped_hidden_states"] = tuple(way.maps)
        if made.inner_states:
            states.extras[_SIZES] = tuple(_sizes(grid, len(made.depths)))
        if has(model, "pooler"):
            states.pooled = leaf(model, "pooler")(x.transpose(1, 2)).flatten(1)
        return states

    def _way(self, model: Any, grid: tuple[int, int], ask: Ask) -> Way:
        """What the pass over such a grid shares."""
        made: Windows = wiring(model).facts["spec"]
        maps = _gives_maps(model, made)
        return Way(
            grid,
            watched=watched(model) or bool(ask.padded),
            whole=maps or made.whole,
            before=maps,
            inner=made.inner_states,
            eager=ask.attentions or ask.backend == "eager",
            recompute=model.gradient_checkpointing and model.training and torch.is_grad_enabled(),
            hidden=[] if ask.hidden else None,
            maps=[] if ask.hidden else None,
            weights=[] if ask.attentions else None,
        )

    def _found(self, x: Tensor, way: Way) -> States:
        """The last states, [B, T, E] or a map, and what the stages noted."""
        count = x.shape[1] if x.dim() == 3 else 1
        at = torch.arange(count, device=x.device)[None]
        geometry = Geometry(Layout.dense(x.shape[0], count), at)
        pass_ = Pass(geometry, Visibility(), eager, watched=way.watched)
        if way.hidden is not None:
            pass_.trace["hidden_states"] = list(way.hidden)
        if way.weights is not None:
            pass_.trace["attentions"] = list(way.weights)
        return States(x, pass_, spread_out=True)

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


class InnerWindowed(ShiftedWindows):
    """One whose hidden states are those of every layer (`spec.shifted_windows`), and their sizes."""

    inputs = tuple(name for name in ShiftedWindows.inputs if name != "bool_masked_pos")

    def output(self, model: Any, states: States) -> ModelOutput:
        """The last rows, their mean, how many places every stage has, and what was asked for."""
        return InnerWindowsOutput(states.last, states.pooled, **self.passed_on(states))

    def passed_on(self, states: States) -> dict[str, Any]:
        """Hidden states, weights and sizes."""
        found = super().passed_on(states)
        del found["reshaped_hidden_states"]
        return {**found, _SIZES: states.extras[_SIZES]}

    def received(self, states: States, given: Mapping[str, Any]) -> States:
        """With the maps of the patches, and of the stages before they are merged."""
        found: Any = states.hidden
        patches, *stages = found
        first, *sizes = states.extras[_SIZES]
        rows = [patches, *(one[-1] for one in stages)]
        pairs = zip(rows, (first, first, *sizes[:-1]), strict=True)
        states.extras["maps"] = tuple(one.transpose(1, 2).unflatten(2, size) for one, size in pairs)
        return states


def _sizes(grid: tuple[int, int], stages: int) -> Iterator[tuple[int, int]]:
    """Places down and across of the patches, and then behind every stage."""
    yield grid
    for number in range(1, stages + 1):
        grid = grid if number == stages else (-(-grid[0] // 2), -(-grid[1] // 2))
        yield grid


def _gives_maps(model: Any, made: Windows) -> bool:
    """Whether maps of the stages are what is wanted of it."""
    return bool(wiring(model).facts.get("maps")) and not made.inner_states


def _read(model: Any, made: Windows, given: dict[str, Any]) -> Tensor:
    """The images, in the dtype of the weights."""
    return maps_in(given, made.stem.channels).to(next(model.parameters()).dtype)
