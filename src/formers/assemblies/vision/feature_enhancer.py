"""Layers over the places of a picture and the words of a text, which read each other: Grounding DINO."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from formers.core.object_outputs import EnhancedOutput
from formers.nn import spec
from formers.nn.map_positions import box_waves
from formers.nn.masks import Explicit, Full, Mask, Padding, Written
from formers.nn.mixers.deformable import Looked, Sizes
from formers.nn.mutual_attention import Fusing, Fusion
from formers.nn.passing import Pass, plain_pass
from formers.nn.stems.multi_scale_rows import middles
from formers.nn.tree import Group, leaf, place
from formers.nn.watch import looks_back, watched
from formers.stacks.layer import LayerRun, make_layers
from formers.stacks.stack import Ask


@dataclass(frozen=True)
class EnhancerSpec:
    """What such layers are made of.

    Attributes:
        maps: a stack of what every layer does with places, behind its fusion; `text` with words.
        fusing: how both read each other first.
        paths: of the list of `layers`; in each of `fusion`, `text` and `maps`.
    """

    maps: spec.Stack
    text: spec.Stack
    fusing: Fusing
    paths: Mapping[str, str]


@dataclass(eq=False)
class EnhancerPasses:
    """What all layers of a pass read beside rows: passes over both sides, and what may be seen of each."""

    maps: Pass
    text: Pass
    masks: tuple[Mask, Mask]


class EnhancerLayer(Group):
    """Both sides read each other, words those of their phrase, and places others of the maps."""

    def __init__(self, s: EnhancerSpec, text: nn.Module, maps: nn.Module) -> None:
        super().__init__()
        place(self, "text", s.paths["text"], text)
        place(self, "fusion", s.paths["fusion"], Fusion(s.fusing))
        place(self, "maps", s.paths["maps"], maps)

    def forward(
        self, vision_features: Tensor, text_features: Tensor, sides: EnhancerPasses
    ) -> tuple[tuple[Tensor, Tensor], tuple[Tensor | None, Tensor | None]]:
        """[B, S, E] and [B, T, E] -> both, and the weights by which they read each other."""
        (places, over_words), (words, over_places) = leaf(self, "fusion")(
            vision_features=vision_features,
            text_features=text_features,
            masks=sides.masks,
            backend=sides.maps.backend,
        )
        both = tuple(
            _through(leaf(self, role), x, pass_)
            for role, x, pass_ in (("text", words, sides.text), ("maps", places, sides.maps))
        )
        return (both[1], both[0]), (over_words, over_places)


def _through(layer: nn.Module, x: Tensor, pass_: Pass) -> Tensor:
    """[B, T, E] -> what the layer makes of it, likewise."""
    rows = LayerRun(goes_on=True)([layer], x if pass_.watched else pass_.layout.pack(x), pass_)
    return rows if pass_.watched else pass_.layout.unpack(rows)


class Enhancer(Group):
    """The layers. Called with both sides.

    Attributes:
        gradient_checkpointing: layers are computed again in the backward pass.
    """

    def __init__(self, s: EnhancerSpec) -> None:
        super().__init__()
        self.gradient_checkpointing = False
        pairs = zip(make_layers(s.text), make_layers(s.maps), strict=True)
        place(self, "layers", s.paths["layers"], nn.ModuleList(EnhancerLayer(s, *pair) for pair in pairs))

    def forward(
        self,
        vision_features: Tensor,
        text_features: Tensor,
        vision_real: Tensor | None,
        text_real: Tensor | None,
        vision_position_embedding: Tensor,
        spatial_shapes_list: Sizes,
        valid_ratios: Tensor,
        text_self_attention_masks: Tensor,
        text_position_ids: Tensor,
        ask: Ask | None = None,
    ) -> EnhancedOutput:
        """Run the layers.

        Args:
            vision_features: [B, S, E], places of maps end to end.
            text_features: [B, T, E].
            vision_real: [B, S], bool, which places are no padding; None for all.
            text_real: [B, T], likewise.
            vision_position_embedding: [B, S, E], vectors beside places.
            spatial_shapes_list: height and width of each map.
            valid_ratios: [B, L, 2], which share of each map's width and height is no padding.
            text_self_attention_masks: [B, T, T], bool, which words see each other.
            text_position_ids: [B, T], int64, where words stand in their phrases.
            ask: what is wanted beside the last states.
        """
        ask = ask or Ask()
        seen = (watched(self) if ask.padded is None else ask.padded) or looks_back(ask.hidden)
        trace = {"hidden_states": ask.hidden, "attentions": ask.attentions}
        each = []
        for x in (vision_features, text_features):
            kept: dict[str, list[Any]] = {name: [] for name, one in trace.items() if one}
            each.append(plain_pass((x.shape[0], x.shape[1]), x.device, ask.backend, kept, seen))
            each[-1].keep("hidden_states", x if seen else each[-1].layout.pack(x))
        maps, text = each
        maps.visibility.real = vision_real
        maps.memo.put(
            "looked", Looked(spatial_shapes_list, middles(spatial_shapes_list, valid_ratios, vision_features))
        )
        text.visibility.extra, text.visibility.alone = Explicit(text_self_attention_masks[:, None]), True
        waves = box_waves(
            text_position_ids[..., None].to(text_features.dtype), text_features.shape[-1], turned=False
        )
        for pass_, beside in ((maps, vision_position_embedding), (text, waves)):
            pass_.memo.put("places", beside if seen else pass_.layout.pack(beside))
        sides = EnhancerPasses(maps, text, (_mask(vision_real), _mask(text_real)))
        fused: list[tuple[Any, Any]] = []
        places, words = vision_features, text_features
        for layer in leaf(self, "layers"):
            if self.gradient_checkpointing and self.training and torch.is_grad_enabled():
                (places, words), weights = checkpoint(layer, places, words, sides, use_reentrant=False)
            else:
                (places, words), weights = layer(vision_features=places, text_features=words, sides=sides)
            fused.append(weights)
        hidden = [
            tuple(one if seen else pass_.layout.unpack(one) for one in pass_.trace["hidden_states"])
            if ask.hidden
            else None
            for pass_ in each
        ]
        weights_of = (
            *zip(*fused, strict=True),
            *(tuple(one.trace.get("attentions", ())) for one in (text, maps)),
        )
        record = EnhancedOutput(places, words, hidden[0], hidden[1])
        if ask.attentions:
            record.attentions = weights_of
        return record


def _mask(real: Tensor | None) -> Mask:
    return Full() if real is None else Written(Padding(real))
