"""Objects found in pictures: a backbone, an encoder over its last map, a decoder of queries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.assemblies.base import Assembly, own_deviations, states_of
from formers.assemblies.encoder_decoder import EncoderDecoder, given_memory
from formers.assemblies.single import Single
from formers.core.outputs import ModelOutput, QueriesOutput
from formers.model.base import PreTrainedModel
from formers.nn import spec
from formers.nn.map_positions import PLACES
from formers.nn.nets.leaves import freeze_norms
from formers.nn.stems.base import pixels_in
from formers.nn.tree import Group, leaf, place
from formers.nn.watch import watched
from formers.stacks.stack import Ask, Inputs, States

READS = (
    *("pixel_values", "pixel_mask", "decoder_attention_mask", "encoder_outputs", "inputs_embeds"),
    *("decoder_inputs_embeds", "output_attentions", "output_hidden_states", "return_dict"),
)
MEANS = MappingProxyType(
    {
        "pixel_values": "[B, channels, height, width], floating.",
        "pixel_mask": "[B, height, width], 1 at pixels that are no padding.",
        "decoder_attention_mask": "[B, Q], 1 at queries that count.",
        "inputs_embeds": "[B, S, E], the projected rows of a square map, in place of the pictures.",
        "decoder_inputs_embeds": "[B, Q, E], what queries begin with, in place of zeros.",
    }
)


@dataclass(frozen=True)
class Detector:
    """What a family says beside its stacks.

    Attributes:
        places: kind of the map's places, a key of `PLACES`.
        queries: how many objects a picture may show.
        paths: of `maps`, the node that holds the backbone; of `places`, the node that knows the map's;
            `queries`, their places; `narrow`, what makes the map as wide as the stacks.
        trained: how names of the backbone's parameters begin that training changes; None for all of them.
    """

    places: str
    queries: int
    paths: Mapping[str, str]
    trained: tuple[str, ...] | None = None


def place_backbone(
    model: PreTrainedModel,
    kind: type[PreTrainedModel],
    config: Any,
    path: str,
    trained: tuple[str, ...] | None,
    frozen: bool = True,
) -> Any:
    """Register what gives maps, under the role `maps`.

    Args:
        model: holds it.
        kind: its class.
        config: its own.
        path: of the node that holds it.
        trained: see `Detector`.
        frozen: training leaves its batch norms alone.
    """
    net: Any = kind(config)
    if frozen:
        freeze_norms(net)
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(trained is None or name.startswith(trained))
    node = MapsNode()
    node.add_module("model", net)
    place(model, "maps", path, node)
    return net


def maps_in(model: Any, given: Mapping[str, Any]) -> list[tuple[Tensor, Tensor]]:
    """The maps of pictures, each with its mask; see `MapsNode`.

    Raises:
        TypeError: for what is no tensor.
        ValueError: for a mask that does not fit.
    """
    pixels, seen = pixels_in(given), given.get("pixel_mask")
    if seen is None:
        seen = torch.ones(pixels.shape[0], *pixels.shape[2:], device=pixels.device)
    if tuple(seen.shape) != (pixels.shape[0], *pixels.shape[2:]):
        raise ValueError(
            f"pixel_mask must have shape {[pixels.shape[0], *pixels.shape[2:]]}, not {list(seen.shape)}"
        )
    found: list[tuple[Tensor, Tensor]] = leaf(model, "maps")(pixels, seen)
    return found


class MapsNode(Group):
    """The node of the tree that holds the backbone. Called with pictures and which pixels are no padding."""

    def forward(self, pixel_values: Tensor, pixel_mask: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Maps [B, C, h, w], the last one smallest, each with its mask [B, h, w], bool."""
        found: Sequence[Tensor] = self.model(pixel_values).feature_maps
        return [(one, shrunk(pixel_mask, one.shape[2:])) for one in found]


def shrunk(mask: Tensor, size: Sequence[int]) -> Tensor:
    """A mask of pixels [B, height, width] over places: [B, *size], bool."""
    return F.interpolate(mask[None].float(), size=tuple(size))[0].bool()


class QueryHalf(Single):
    """The decoder: rows that ask a map for objects.

    Attributes:
        record: what callers get.
    """

    record: Callable[..., ModelOutput] = QueriesOutput

    def _compute(self, model: Any, inputs: Inputs, ask: Ask) -> States:
        states = super()._compute(model, inputs, ask)
        steps = states.pass_.trace.pop("intermediate_hidden_states", None)
        if steps is not None:
            states.extras["intermediate_hidden_states"] = torch.stack([states.spread(one) for one in steps])
        points = states.pass_.memo.get("points")
        if points is not None:  # [Q, B, 2], as callers see them
            states.extras["reference_points"] = points.transpose(0, 1)
        return states

    def output(self, model: Any, states: States) -> ModelOutput:
        """The last states, those of every layer where the spec has them, and what was asked for."""
        return self.record(
            last_hidden_state=states.last,
            cross_attentions=states.cross_attentions,
            hidden_states=states.hidden,
            attentions=states.attentions,
            **states.extras,
        )


class QueryDetection(EncoderDecoder):
    """A backbone, and two stacks over its last map: of the map's places, and of queries for objects.

    Carion et al. 2020, arXiv:2005.12872.

    Args:
        half: (config, whether it is the decoder) -> the spec of one stack.
        about: config -> the rest.
        backbone: a config -> the class that gives maps for it.
        detector: the class that finds boxes; called when a head holds one.
        held: the path of that one.
        asks: the kind of the decoder's stem.
    """

    def __init__(
        self,
        half: Callable[[Any, bool], spec.Stack],
        about: Callable[[Any], Detector],
        backbone: Callable[[Any], type[PreTrainedModel]],
        detector: Callable[[], type[PreTrainedModel]],
        held: str = "",
        asks: type[Any] = spec.Vectors,
    ) -> None:
        super().__init__(half, stem=spec.Vectors)
        self.halves["decoder"] = QueryHalf(self._decoder, asks)
        self.about, self.backbone, self.detector, self.held = about, backbone, detector, held
        self.main, self.inputs, self.means = "pixel_values", READS, dict(MEANS)

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register the backbone, places, queries, a projection, and both stacks."""
        about, own = self.about(config), config.backbone_config
        net = place_backbone(model, self.backbone(own), own, about.paths["maps"], about.trained)
        width = self.half(config, False).width
        made = {
            "places": PLACES[about.places](width),
            "queries": nn.Embedding(about.queries, width),
            "narrow": nn.Conv2d(net.channels[-1], width, kernel_size=1),
        }
        for role, part in made.items():
            place(model, role, about.paths[role], part)
        super().place(model, config)

    def alone(self, part: str, config_class: type[Any]) -> Assembly:
        """A model that finds boxes, as a part of one that finds more."""
        return DetectorPart(self) if part == "detector" else super().alone(part, config_class)

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Read pictures, and let queries ask what was read.

        Raises:
            TypeError: for what is no tensor.
            ValueError: for tensors of other shapes.
        """
        ask.padded = watched(model) if ask.padded is None else ask.padded
        maps, rows, mask, places = self._read(model, given)
        before = given.get("encoder_outputs")
        if before is None:
            read = {"inputs_embeds": rows, "attention_mask": mask, "spatial_position_embeddings": places}
            encoded = states_of(leaf(model, "encoder"), read, ask)
            memory: Any = (encoded.last, encoded.hidden, encoded.attentions)
        else:
            memory = given_memory(before)[:3]
        own = leaf(model, "queries").weight[None].expand(rows.shape[0], -1, -1)
        asks = given.get("decoder_inputs_embeds")
        reads = {
            "inputs_embeds": torch.zeros_like(own) if asks is None else asks,
            "attention_mask": given.get("decoder_attention_mask"),
            "encoder_hidden_states": memory[0],
            "encoder_attention_mask": mask,
            "spatial_position_embeddings": places,
            "object_queries_position_embeddings": own,
        }
        states = states_of(leaf(model, "decoder"), reads, ask)
        names = ("encoder_last_hidden_state", "encoder_hidden_states", "encoder_attentions")
        states.extras.update(zip(names, memory, strict=True))
        states.pass_.memo.put("maps", maps)
        return states

    def _read(self, model: Any, given: Mapping[str, Any]) -> tuple[Any, Tensor, Tensor, Tensor]:
        """The maps and the last one narrowed; its rows [B, S, E], which count [B, S], and their places."""
        seen, rows = given.get("pixel_mask"), given.get("inputs_embeds")
        places = leaf(model, "places")
        if rows is not None:
            side = round(rows.shape[1] ** 0.5)
            if side * side != rows.shape[1]:
                raise ValueError(f"inputs_embeds are the rows of a square map, but there are {rows.shape[1]}")
            shape = torch.Size((rows.shape[0], rows.shape[2], side, side))
            real = torch.ones(rows.shape[0], side, side, device=rows.device) if seen is None else seen
            at = places(shape=shape, device=rows.device, dtype=rows.dtype)
            return None, rows, shrunk(real, (side, side)).flatten(1), at.flatten(2).transpose(1, 2)
        maps = maps_in(model, given)
        last, mask = maps[-1]
        narrow: Tensor = leaf(model, "narrow")(last)
        at = places(shape=last.shape, device=last.device, dtype=narrow.dtype, mask=mask)
        both = [one.flatten(2).transpose(1, 2) for one in (narrow, at)]
        return (maps, narrow), both[0], mask.flatten(1), both[1]

    def passed_on(self, states: States) -> dict[str, Any]:
        """The states of both stacks."""
        found = super().passed_on(states)
        return {name: value for name, value in found.items() if name != "past_key_values"}

    def output(self, model: Any, states: States) -> ModelOutput:
        """The queries' last states, and what was asked for."""
        return QueriesOutput(states.last, **self.passed_on(states))


class DetectorPart(QueryDetection):
    """A model that finds boxes, as the one part of another."""

    def __init__(self, whole: QueryDetection) -> None:
        self.take(whole)

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register it."""
        place(model, "detector", self.held, self.detector()(config))

    def stacks(self, model: nn.Module) -> dict[str, nn.Module]:
        """The part."""
        return {self.held: leaf(model, "detector")}

    def deviations(self, model: Any) -> tuple[float, Mapping[str, float]]:
        """The part's."""
        found: tuple[float, Mapping[str, float]] = own_deviations(leaf(model, "detector"))
        return found

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Those of the model below the boxes' head, which segments read too."""
        inside = leaf(model, "detector").base_model
        ask.padded = watched(model) if ask.padded is None else ask.padded
        return super().run(inside, given, ask)
