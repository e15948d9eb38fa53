"""Segments of pictures: a backbone, a decoder of its maps to pixels, and queries that ask for segments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from formers.assemblies.base import Assembly, assembly_of, states_in, states_of
from formers.assemblies.encoder_decoder import stack_part
from formers.assemblies.vision.query_detection import QueryHalf
from formers.core.outputs import ModelOutput, QueriesOutput
from formers.core.segment_outputs import PixelsOutput, SegmentStatesOutput
from formers.model.base import PreTrainedModel
from formers.nn import spec
from formers.nn.fresh import Xavier, begins
from formers.nn.map_positions import SinePlaces
from formers.nn.nets.tree import call, fill, part_of
from formers.nn.spec import nets
from formers.nn.stems.base import pixels_in
from formers.nn.tree import Group, has, leaf, place
from formers.nn.watch import watched
from formers.stacks.stack import Ask, States

_MEANS = {
    "pixel_values": "[B, channels, height, width], floating.",
    "pixel_mask": "[B, height, width], as processors return it; queries see padding all the same.",
}


class PixelsNode(Group):
    """A backbone, and the decoder of its maps."""

    def forward(self, pixel_values: Tensor) -> PixelsOutput:
        """[B, channels, height, width] -> maps; see `PixelsOutput`."""
        maps = self.encoder(pixel_values).feature_maps
        pyramid: list[tuple[Tensor, ...]] = []
        last = call(part_of(self, "decoder"), (maps,), pyramid)  # type: ignore[arg-type]  # all maps at once
        return PixelsOutput(maps[-1], last, tuple(maps), pyramid[0])


class QueriesNode(Group):
    """Queries that ask one map."""

    def forward(self, image_features: Tensor, ask: Ask | None = None) -> QueriesOutput:
        """[B, C, h, w] -> the queries' states, [B, Q, E]."""
        narrow: Tensor = leaf(self, "narrow")(image_features) if has(self, "narrow") else image_features
        at = leaf(self, "places")(shape=narrow.shape, device=narrow.device, dtype=narrow.dtype)
        rows, at = (one.flatten(2).transpose(1, 2) for one in (narrow, at))
        own = leaf(self, "queries").weight[None].expand(rows.shape[0], -1, -1)
        reads = {
            "inputs_embeds": torch.zeros_like(own),
            "encoder_hidden_states": rows,
            "spatial_position_embeddings": at,
            "object_queries_position_embeddings": own,
        }
        half = leaf(self, "decoder")
        found: QueriesOutput = assembly_of(half).output(half, states_of(half, reads, ask or Ask(padded=True)))
        return found


class QuerySegmenter(Assembly):
    """A backbone, a pyramid over its maps, and queries that ask the last of them.

    Cheng et al. 2021, arXiv:2107.06278.

    Args:
        settled: config -> that of its backbone, as it is made.
        backbone: a config -> the class that gives maps for it.
        pixels: (config, widths of those maps) -> the decoder of pixels.
        half: config -> the spec of the queries' stack; `inner` of that: config -> the config.
        queries: config -> how many there are.
    """

    inputs: tuple[str, ...] = (
        "pixel_values",
        "pixel_mask",
        "output_hidden_states",
        "output_attentions",
        "return_dict",
    )
    main = "pixel_values"
    means: Mapping[str, str] = MappingProxyType(_MEANS)

    def __init__(
        self,
        settled: Callable[[Any], Any],
        backbone: Callable[[Any], type[PreTrainedModel]],
        pixels: Callable[[Any, Sequence[int]], nets.Node],
        half: Callable[[Any], spec.Stack],
        inner: Callable[[Any], Any],
        queries: Callable[[Any], int],
    ) -> None:
        self.settled, self.backbone, self.pixels = settled, backbone, pixels
        self.half, self.inner, self.queries = half, inner, queries

    def spec(self, config: Any) -> spec.Stack:
        """The queries' stack."""
        return self.half(self.inner(config))

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register the backbone, the decoder of pixels, places, queries, a projection and their stack."""
        made, own = self.spec(config), self.settled(config)
        net: Any = self.backbone(own)(own)
        node = PixelsNode()
        node.add_module("encoder", net)
        fill(node, nets.Node({"decoder": self.pixels(config, net.channels)}))
        place(model, "pixels", "pixel_level_module", node)
        asks, read = QueriesNode(), net.channels[-1]
        place(asks, "places", "position_embedder", SinePlaces(made.width))
        place(asks, "queries", "queries_embedder", nn.Embedding(self.queries(config), made.width))
        if read != made.width:
            narrow = nn.Conv2d(read, made.width, kernel_size=1)
            place(asks, "narrow", "input_projection", begins(narrow, weight=Xavier(config.init_xavier_std)))
        part = stack_part(self.inner(config), QueryHalf(self.half, spec.Vectors), spec.Vectors)
        place(asks, "decoder", "decoder", part)
        place(model, "asks", "transformer_module", asks)

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Read pictures, and let queries ask what was read.

        Raises:
            TypeError: for what is no tensor.
            ValueError: for tensors of other shapes.
        """
        ask.padded = watched(model) if ask.padded is None else ask.padded
        found = leaf(model, "pixels")(self.images(given))
        node = leaf(model, "asks")
        asked = node(found[0], *((ask,) if isinstance(node, QueriesNode) else ()))
        record = SegmentStatesOutput(found[0], found[1], asked[0], attentions=asked.attentions)
        if ask.hidden:
            record.encoder_hidden_states = found.encoder_hidden_states
            record.pixel_decoder_hidden_states = found.decoder_hidden_states
            record.transformer_decoder_hidden_states = asked.hidden_states
            record.hidden_states = (*found[2], *found[3], *asked.hidden_states)
        return self.states(record)

    def images(self, given: Mapping[str, Any]) -> Tensor:
        """What is read.

        Raises:
            TypeError: for what is no tensor.
            ValueError: for tensors of other shapes.
        """
        pixels, seen = pixels_in(given), given.get("pixel_mask")
        wanted = [pixels.shape[0], *pixels.shape[2:]]
        if seen is not None and list(seen.shape) != wanted:
            raise ValueError(f"pixel_mask must have shape {wanted}, not {list(seen.shape)}")
        return pixels

    def states(self, record: ModelOutput) -> States:
        """What heads read."""
        return states_in(record)

    def output(self, model: Any, states: States) -> ModelOutput:
        """The last maps, the queries' last states, and what was asked for."""
        return SegmentStatesOutput(**self.passed_on(states))

    def passed_on(self, states: States) -> dict[str, Any]:
        """Maps and states."""
        return {**states.extras, "hidden_states": states.hidden, "attentions": states.attentions}

    def stacks(self, model: nn.Module) -> dict[str, nn.Module]:
        """None stands on the model itself."""
        return {}

    def deviations(self, model: Any) -> tuple[float, Mapping[str, float]]:
        """The config's."""
        return float(model.config.init_std), {}

    def room(self, config: Any) -> int | None:
        """Nothing bounds it."""
        return None
