"""Segments of pictures, found by queries that ask several maps by turns: Mask2Former."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from formers.assemblies.base import states_of
from formers.assemblies.encoder_decoder import stack_part
from formers.assemblies.segmenting import Segmenting
from formers.assemblies.single import Single
from formers.core.outputs import PixelsOutput, SegmentStatesOutput
from formers.model.base import PreTrainedModel
from formers.nn import spec
from formers.nn.fresh import Normal
from formers.nn.nets.masked import MaskedAsking, Wanted, node_class
from formers.nn.nets.several import enlarged
from formers.nn.nets.tree import fill, part_of
from formers.nn.places import SinePlaces
from formers.nn.spec import nets
from formers.nn.spec.masked import MaskedQueries
from formers.nn.tree import Group, leaf, place, place_tensor, wiring
from formers.nn.watch import watched
from formers.stacks.stack import Ask, States

_LEVELS = 3  # maps that the stack reads, and queries ask


class PixelDecoder(Group):
    """A stack over places of the smallest maps, and what adds the larger ones to what it makes."""

    def __init__(self, config: Any, stack: Callable[[Any], spec.Stack], widths: Any, larger: int) -> None:
        super().__init__()
        if len(widths) < max(_LEVELS, larger):
            raise ValueError(
                f"pixels are made of {max(_LEVELS, larger)} maps, but the backbone gives {len(widths)}: set "
                "out_features of its config"
            )
        wide = stack(config).width
        wiring(self).facts["larger"] = larger
        place(self, "places", "position_embedding", SinePlaces(wide))
        place_tensor(self, "level", "level_embed", torch.empty(_LEVELS, wide), Normal(1.0))
        narrow = [_grouped(read, wide, 1, bias=True) for read in widths[: -_LEVELS - 1 : -1]]
        fill(self, nets.Node({"input_projections": nets.row(*narrow)}))
        part = stack_part(config, Single(stack, spec.OnMaps), spec.OnMaps)
        place(self, "stack", "encoder", part)
        place(self, "pixels", "mask_projection", nn.Conv2d(wide, config.mask_feature_size, kernel_size=1))
        for i, read in enumerate(widths[:larger], 1):
            mixed = _grouped(wide, wide, 3, act=True)
            fill(self, nets.Node({f"adapter_{i}": _grouped(read, wide, 1), f"layer_{i}": mixed}))

    def forward(self, maps: Any, ask: Ask | None = None) -> tuple[tuple[Tensor, ...], Tensor]:
        """The backbone's maps -> the smallest as the stack made them, smallest first; and the pixels."""
        ask, rows, places = ask or Ask(padded=True), [], []
        small = maps[: -_LEVELS - 1 : -1]
        level: Tensor = leaf(self, "level")
        for i, one in enumerate(small):
            at = leaf(self, "places")(shape=one.shape, device=one.device, dtype=one.dtype)
            places.append(at.flatten(2).transpose(1, 2) + level[i])
            rows.append(part_of(self, f"input_projections.{i}")(one).flatten(2).transpose(1, 2))
        sizes = [tuple(one.shape[2:]) for one in small]
        reads = {
            "inputs_embeds": torch.cat(rows, 1),
            "spatial_position_embeddings": torch.cat(places, 1),
            "spatial_shapes_list": sizes,
        }
        states = states_of(leaf(self, "stack"), reads, Ask(backend=ask.backend, padded=ask.padded))
        made = torch.split(states.last.transpose(1, 2), [down * across for down, across in sizes], 2)
        found = [one.view(*one.shape[:2], *size) for one, size in zip(made, sizes, strict=True)]
        for i in range(wiring(self).facts["larger"], 0, -1):
            beside = part_of(self, f"adapter_{i}")(maps[i - 1])
            found.append(part_of(self, f"layer_{i}")(beside + enlarged(found[-1], beside.shape[2:])))
        return tuple(found[:_LEVELS]), leaf(self, "pixels")(found[-1])


def _grouped(read: int, made: int, kernel: int, bias: bool = False, act: bool = False) -> nets.Node:
    parts = (nets.Conv(read, made, kernel, bias=bias), nets.GroupNorm(made, groups=32))
    return nets.row(*parts, *([nets.Act("relu")] if act else []))


class LookingPixels(Group):
    """A backbone, and the decoder of its maps."""

    def forward(self, pixel_values: Tensor, ask: Ask | None = None) -> PixelsOutput:
        """[B, channels, height, width] -> maps; see `PixelsOutput`."""
        maps, decoder = self.encoder(pixel_values).feature_maps, self.decoder
        small, pixels = decoder(maps, *((ask,) if isinstance(decoder, PixelDecoder) else ()))
        return PixelsOutput(maps[-1], pixels, tuple(maps), small)


class MaskedSegmenting(Segmenting):
    """A backbone, a decoder of pixels that looks at several of its maps, and queries that ask these.

    Cheng et al. 2021, arXiv:2112.01527.

    Args:
        settled, backbone: see `Segmenting`.
        stack: config -> the spec of the stack over places of maps.
        larger: config -> how many maps are added to what that makes.
        queries: config -> the spec of the queries.
    """

    def __init__(
        self,
        settled: Callable[[Any], Any],
        backbone: Callable[[Any], type[PreTrainedModel]],
        stack: Callable[[Any], spec.Stack],
        larger: Callable[[Any], int],
        queries: Callable[[Any], MaskedQueries],
    ) -> None:
        self.settled, self.backbone = settled, backbone
        self.stack, self.larger, self.asking = stack, larger, queries

    def spec(self, config: Any) -> spec.Stack:
        """The stack over places of maps."""
        return self.stack(config)

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register the backbone, the decoder of pixels, and the queries."""
        own = self.settled(config)
        net: Any = self.backbone(own)(own)
        node = LookingPixels()
        node.add_module("encoder", net)
        node.add_module("decoder", PixelDecoder(config, self.stack, net.channels, self.larger(config)))
        place(model, "pixels", "pixel_level_module", node)
        place(model, "asks", "transformer_module", MaskedAsking(self.asking(config)))

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Read pictures, and let queries ask what was read.

        Raises:
            TypeError: for what is no tensor.
            ValueError: for tensors of other shapes.
        """
        ask.padded = watched(model) if ask.padded is None else ask.padded
        node, asks = leaf(model, "pixels"), leaf(model, "asks")
        found = node(self.images(given), *((ask,) if isinstance(node, LookingPixels) else ()))
        recompute = model.gradient_checkpointing and model.training and torch.is_grad_enabled()
        wanted = Wanted(bool(ask.padded), ask.attentions, recompute)
        asked = asks(found[3], found[1], *((wanted,) if isinstance(asks, MaskedAsking) else ()))
        record = SegmentStatesOutput(found[0], found[1], asked[0], attentions=asked.attentions)
        record.masks_queries_logits = asked.masks_queries_logits
        if ask.hidden:
            record.encoder_hidden_states = found.encoder_hidden_states
            record.pixel_decoder_hidden_states = found.decoder_hidden_states
            record.transformer_decoder_hidden_states = asked.hidden_states
            record.transformer_decoder_intermediate_states = asked.intermediate_hidden_states
        return self.states(record)

    def layer_classes(self, config_class: type[Any]) -> list[str]:
        """Those of the stack, and of the queries."""
        config = config_class()
        return [self.stack(config).layer_class, self.asking(config).layer_class]

    def layer_class(self, name: str) -> type[nn.Module]:
        """The class of layers of that name."""
        return node_class(name) if "MaskedAttention" in name else super().layer_class(name)
