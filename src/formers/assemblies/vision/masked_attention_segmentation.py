"""Segments of pictures, found by queries that ask several maps by turns: Mask2Former."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from formers.assemblies.base import states_of
from formers.assemblies.encoder_decoder import stack_part
from formers.assemblies.single import Single
from formers.assemblies.vision.query_segmentation import QuerySegmenter
from formers.core.outputs import ModelOutput
from formers.core.segment_outputs import (
    PixelMapsOutput,
    PixelsOutput,
    SegmentStatesOutput,
    TaskedStatesOutput,
)
from formers.model.base import PreTrainedModel
from formers.nn import spec
from formers.nn.fresh import Normal
from formers.nn.map_positions import SinePlaces
from formers.nn.nets.masked_attention import MaskedAsking, Wanted
from formers.nn.nets.masked_attention import node_class as masked_layer
from formers.nn.nets.multi_scale import enlarged
from formers.nn.nets.task_queries import TaskedAsking, TextMapper, task_node
from formers.nn.nets.task_queries import node_class as tasked_layer
from formers.nn.nets.tree import fill, part_of
from formers.nn.spec import nets
from formers.nn.tree import Group, has, leaf, place, place_tensor, wiring
from formers.nn.watch import watched
from formers.stacks.stack import Ask, States

_LEVELS = 3  # maps that the stack reads, and queries ask


class PixelDecoder(Group):
    """A stack over places of the smallest maps, and what adds the larger ones to what it makes."""

    def __init__(
        self, config: Any, stack: Callable[[Any], spec.Stack], widths: Any, larger: int, made: int
    ) -> None:
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
        part = stack_part(config, Single(stack, spec.MultiScaleRows), spec.MultiScaleRows)
        place(self, "stack", "encoder", part)
        place(self, "pixels", "mask_projection", nn.Conv2d(wide, made, kernel_size=1))
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


class AllPixels(Group):
    """A backbone, and the decoder of its maps, all of which are returned."""

    def forward(self, pixel_values: Tensor, ask: Ask | None = None) -> PixelMapsOutput:
        """[B, channels, height, width] -> maps."""
        maps, decoder = self.encoder(pixel_values).feature_maps, self.decoder
        return PixelMapsOutput(
            tuple(maps), *decoder(maps, *((ask,) if isinstance(decoder, PixelDecoder) else ()))
        )


class MaskedAttentionSegmenter(QuerySegmenter):
    """A backbone, a decoder of pixels that looks at several of its maps, and queries that ask these.

    Cheng et al. 2021, arXiv:2112.01527.

    Args:
        settled, backbone: see `QuerySegmenter`.
        stack: config -> the spec of the stack over places of maps.
        larger: config -> how many maps are added to what that makes.
        queries: config -> the spec of the queries.
    """

    _pixels: Any = LookingPixels
    _asks: Any = MaskedAsking
    _layer: Any = staticmethod(masked_layer)

    def __init__(
        self,
        settled: Callable[[Any], Any],
        backbone: Callable[[Any], type[PreTrainedModel]],
        stack: Callable[[Any], spec.Stack],
        larger: Callable[[Any], int],
        queries: Callable[[Any], Any],
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
        asking, node = self.asking(config), self._pixels()
        node.add_module("encoder", net)
        decoder = PixelDecoder(config, self.stack, net.channels, self.larger(config), asking.pixels)
        node.add_module("decoder", decoder)
        place(model, "pixels", "pixel_level_module", node)
        place(model, "asks", "transformer_module", self._asks(asking))

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
        stacked = "PixelDecoder" in name
        found: type[nn.Module] = super().layer_class(name) if stacked else self._layer(name)
        return found


class TaskConditionedSegmenter(MaskedAttentionSegmenter):
    """One whose queries a task begins, and which can be compared with texts.

    Jain et al. 2022, arXiv:2211.06220.
    """

    inputs = (
        *("pixel_values", "task_inputs", "text_inputs", "pixel_mask"),
        *("output_hidden_states", "output_attentions", "return_dict"),
    )
    means: Mapping[str, str] = MappingProxyType(
        {
            **QuerySegmenter.means,
            "task_inputs": "[B, n], the ids of a text that says the task, as the processor has them.",
            "text_inputs": "[B, N, T], ids of a text for each query (where config.is_training).",
        }
    )
    _pixels, _asks, _layer = AllPixels, TaskedAsking, staticmethod(tasked_layer)

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register what reads tasks, and texts, too."""
        super().place(model, config, pooler, masked)
        asking = self.asking(config)
        fill(model, nets.Node({"task_encoder": task_node(asking)}))
        if asking.texts is not None:
            place(model, "texts", "text_mapper", TextMapper(asking.texts))

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Read pictures, tasks and texts, and let queries ask what was read.

        Raises:
            TypeError: for what is no tensor.
            ValueError: for tensors of other shapes, and texts without what reads them.
        """
        ask.padded = watched(model) if ask.padded is None else ask.padded
        node, asks = leaf(model, "pixels"), leaf(model, "asks")
        images = self.images(given)
        task = part_of(model, "task_encoder")(self._told(model, given, images.shape[0]))
        texts = self._texts(model, given)
        found = node(images, *((ask,) if isinstance(node, AllPixels) else ()))
        recompute = model.gradient_checkpointing and model.training and torch.is_grad_enabled()
        wanted = Wanted(bool(ask.padded), ask.attentions, recompute)
        asked = asks(found[1], found[2], task, *((wanted,) if isinstance(asks, TaskedAsking) else ()))
        *earlier, (labels, masks) = asked.predictions
        names = ("class_queries_logits", "masks_queries_logits")
        before = tuple(dict(zip(names, one, strict=True)) for one in earlier)
        record = TaskedStatesOutput(
            transformer_decoder_object_queries=asked.object_queries,
            transformer_decoder_contrastive_queries=asked.contrastive_logits,
            transformer_decoder_mask_predictions=masks,
            transformer_decoder_class_predictions=labels,
            transformer_decoder_auxiliary_predictions=before if model.config.use_auxiliary_loss else None,
            text_queries=texts,
            task_token=task,
            attentions=asked.attentions,
        )
        if ask.hidden:
            record.encoder_hidden_states = found.encoder_features
            record.pixel_decoder_hidden_states = (found[2], *found[1])
            record.transformer_decoder_hidden_states = record.transformer_decoder_auxiliary_predictions
        return self.states(record)

    def output(self, model: Any, states: States) -> ModelOutput:
        """What queries became and found, and what was asked for."""
        return TaskedStatesOutput(**self.passed_on(states))

    def passed_on(self, states: States) -> dict[str, Any]:
        """Likewise."""
        return {**states.extras, "attentions": states.attentions}

    def _told(self, model: Any, given: Mapping[str, Any], batch: int) -> Tensor:
        task, wanted = given.get("task_inputs"), [batch, self.asking(model.config).told]
        if not isinstance(task, Tensor) or list(task.shape) != wanted:
            is_ = list(task.shape) if isinstance(task, Tensor) else type(task).__name__
            raise ValueError(
                f"task_inputs must be a tensor of shape {wanted}, not {is_}: the processor makes it of "
                'task_inputs=["semantic"], or "instance" or "panoptic"'
            )
        return task.to(next(model.parameters()).dtype)

    def _texts(self, model: Any, given: Mapping[str, Any]) -> Tensor | None:
        texts, reads = given.get("text_inputs"), has(model, "texts")
        if reads != (texts is not None):
            raise ValueError(
                f"config.is_training is {model.config.is_training}, so text_inputs "
                + ("are missing" if reads else "would not be read: leave them out")
            )
        found: Tensor | None = leaf(model, "texts")(texts) if reads else None
        return found
