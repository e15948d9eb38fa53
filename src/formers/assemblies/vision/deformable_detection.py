"""Objects found in several maps of a picture, whose places look at each other before queries look at them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from formers.assemblies.base import states_of
from formers.assemblies.encoder_decoder import EncoderDecoder, given_memory
from formers.assemblies.vision.hybrid_detection import DeformableHalf, node_of, rows_of, taken
from formers.assemblies.vision.query_detection import MEANS, maps_in, place_backbone, shrunk
from formers.core.object_outputs import LocatedOutput
from formers.core.outputs import ModelOutput
from formers.model.base import PreTrainedModel
from formers.nn import spec
from formers.nn.box_proposals import proposals
from formers.nn.fresh import Constant, Normal, Xavier, begins
from formers.nn.kernels import project
from formers.nn.leaves import norm
from formers.nn.map_positions import PLACES, box_waves
from formers.nn.mixers.deformable import Sizes
from formers.nn.spec import nets
from formers.nn.tree import leaf, place, place_tensor, wiring
from formers.nn.watch import watched
from formers.stacks.stack import Ask, States

_READS = (
    *("pixel_values", "pixel_mask", "decoder_attention_mask", "encoder_outputs"),
    *("output_attentions", "output_hidden_states", "return_dict"),
)


@dataclass(frozen=True)
class DeformableDetector:
    """What a family says beside its stacks.

    Attributes:
        places: kind of the maps' places, a key of `PLACES`.
        queries: Q.
        narrow: list -> what each map of the backbone goes through, and then, from its last one on, each of
            those that are made in turn.
        paths: of `maps`, `places`, `narrow`, `levels` (what tells maps apart); of `queries` and `points`, or
            where queries begin at the best places: `best`, `best_norm`, `asks`, `asks_norm`.
        trained: see `Detector`.
        warmth: of the sinusoids of places, where it is not the usual one.
        proposes: queries begin at the best places, which what labels and moves queries tells.
    """

    places: str
    queries: int
    narrow: Sequence[nets.Node]
    paths: Mapping[str, str]
    trained: tuple[str, ...] | None = None
    proposes: bool = False
    warmth: float | None = None


@dataclass(eq=False)
class DeformableMaps:
    """Maps, as both stacks read them.

    Attributes:
        rows: their places end to end, [B, S, E].
        places: vectors beside them, likewise.
        real: [B, S], bool, which are no padding.
        sizes: height and width of each map.
        ratios: [B, L, 2], which share of each map's width and height is no padding.
    """

    rows: Tensor
    places: Tensor
    real: Tensor
    sizes: Sizes
    ratios: Tensor


class DeformableQueryDetection(EncoderDecoder):
    """A backbone, an encoder over all places of its maps, and a decoder whose queries look at them.

    Zhu et al. 2020, arXiv:2010.04159.

    Args:
        half: (config, whether it is the decoder) -> the spec of one stack.
        about: config -> the rest.
        backbone: a config -> the class that gives maps for it.
    """

    def __init__(
        self,
        half: Callable[[Any, bool], spec.Stack],
        about: Callable[[Any], DeformableDetector],
        backbone: Callable[[Any], type[PreTrainedModel]],
    ) -> None:
        super().__init__(half, stem=spec.MultiScaleRows)
        self.halves["decoder"] = DeformableHalf(self._decoder, spec.MultiScaleRows)
        self.about, self.backbone = about, backbone
        self.main, self.inputs, self.means = "pixel_values", _READS, dict(MEANS)

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register the backbone, places, what queries begin with, and both stacks."""
        about = self.place_maps(model, config)
        width, paths = self.half(config, True).width, about.paths
        if about.proposes:
            usual = spec.Norm("layer", 1e-5)
            for role, wide in (("best", width), ("asks", 2 * width)):
                place(model, role, paths[role], nn.Linear(wide, wide))
                place(model, f"{role}_norm", paths[f"{role}_norm"], norm(usual, wide))
        else:
            points = begins(nn.Linear(width, 2), weight=Xavier(), bias=Constant(0.0))
            place(model, "queries", paths["queries"], nn.Embedding(about.queries, 2 * width))
            place(model, "points", paths["points"], points)
        super().place(model, config)

    def place_maps(self, model: PreTrainedModel, config: Any) -> DeformableDetector:
        """Register what makes maps, and what tells their places apart."""
        about, own = self.about(config), config.backbone_config
        width, paths = self.half(config, True).width, about.paths
        wiring(model).facts["about"] = about
        place_backbone(model, self.backbone(own), own, paths["maps"], about.trained)
        warmth = {} if about.warmth is None else {"warmth": about.warmth}
        place(model, "places", paths["places"], PLACES[about.places](width, **warmth))
        for i, one in enumerate(about.narrow):
            place(model, f"narrow_{i}", f"{paths['narrow']}.{i}", node_of(one))
        levels = torch.zeros(len(about.narrow), width)
        place_tensor(model, "levels", paths["levels"], levels, Normal(1.0))
        return about

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Read pictures, let their places look at each other, and queries at them.

        Raises:
            TypeError: for what is no tensor.
            ValueError: for tensors of other shapes.
        """
        ask.padded = watched(model) if ask.padded is None else ask.padded
        about: DeformableDetector = wiring(model).facts["about"]
        found = self.survey(model, about, given)
        maps = {"spatial_shapes_list": found.sizes, "valid_ratios": found.ratios}
        before = given.get("encoder_outputs")
        if before is None:
            reads: dict[str, Any] = {
                "inputs_embeds": found.rows,
                "attention_mask": found.real,
                "spatial_position_embeddings": found.places,
            }
            encoded = states_of(leaf(model, "encoder"), {**reads, **maps}, ask)
            memory: Any = (encoded.last, encoded.hidden, encoded.attentions)
        else:
            memory = given_memory(before)[:3]
        start, places, asks, extras = self._begin(model, about, found, memory[0])
        reads = {
            "inputs_embeds": asks,
            "attention_mask": given.get("decoder_attention_mask"),
            "encoder_hidden_states": memory[0],
            "encoder_attention_mask": found.real,
            "object_queries_position_embeddings": places,
            "reference_points": start,
        }
        states = states_of(leaf(model, "decoder"), {**reads, **maps}, ask)
        names = ("encoder_last_hidden_state", "encoder_hidden_states", "encoder_attentions")
        states.extras.update(zip(names, memory, strict=True))
        states.extras.update(extras, init_reference_points=start)
        return states

    def survey(self, model: Any, about: DeformableDetector, given: Mapping[str, Any]) -> DeformableMaps:
        """The maps of pictures, and those made of the last one."""
        read, seen = maps_in(model, given), given.get("pixel_mask")
        if len(read) > len(about.narrow):
            raise ValueError(
                f"the backbone gives {len(read)} maps, but the config's num_feature_levels is "
                f"{len(about.narrow)}: name the last stages alone in out_features"
            )
        made: list[Tensor] = []
        masks = [mask for _, mask in read]
        for i in range(len(about.narrow)):
            source = read[i][0] if i < len(read) else read[-1][0] if i == len(read) else made[-1]
            made.append(leaf(model, f"narrow_{i}")(source))
            if i >= len(read):
                pixels = given["pixel_values"]
                whole = torch.ones(pixels.shape[0], *pixels.shape[2:], device=pixels.device)
                masks.append(shrunk(whole if seen is None else seen, made[-1].shape[2:]))
        places, levels = leaf(model, "places"), leaf(model, "levels")
        beside = [
            places(shape=one.shape, device=one.device, dtype=one.dtype, mask=mask).to(one.dtype)
            + levels[i, :, None, None]
            for i, (one, mask) in enumerate(zip(made, masks, strict=True))
        ]
        ratios = [
            torch.stack((mask[:, 0].float().mean(1), mask[:, :, 0].float().mean(1)), -1) for mask in masks
        ]
        rows, sizes = rows_of(made)
        real = torch.cat([mask.flatten(1) for mask in masks], 1)
        return DeformableMaps(rows, rows_of(beside)[0], real, sizes, torch.stack(ratios, 1).to(rows.dtype))

    def _begin(
        self, model: Any, about: DeformableDetector, found: DeformableMaps, memory: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, dict[str, Any]]:
        """Where queries stand, what stands beside them, what they begin with, and what callers see of it."""
        if not about.proposes:
            both = leaf(model, "queries").weight[None].expand(memory.shape[0], -1, -1)
            places, asks = both.chunk(2, dim=-1)
            return project(leaf(model, "points"), places).sigmoid(), places, asks, {}
        decoder = leaf(model, "decoder")
        tells = [decoder._modules.get(name) for name in ("class_embed", "bbox_embed")]
        if None in tells:
            raise ValueError(
                "queries begin at the best places (config.two_stage), which the head tells: load the "
                "checkpoint with the class for object detection"
            )
        anchors, good = proposals(found.sizes, memory, found.real)
        best = leaf(model, "best_norm")(project(leaf(model, "best"), memory.masked_fill(~good, 0.0)))
        labels, boxes = (one[-1](best) for one in tells if one is not None)
        boxes = boxes + anchors
        if about.queries > labels.shape[1]:
            raise ValueError(
                f"{about.queries} queries begin at places of maps, but these have {labels.shape[1]} places: "
                "read larger pictures"
            )
        index = torch.topk(labels[..., 0], about.queries, dim=1).indices
        start = taken(boxes, index).detach().sigmoid()
        waves = box_waves(start, memory.shape[-1] // 2, turned=False)
        both = leaf(model, "asks_norm")(project(leaf(model, "asks"), waves))
        places, asks = both.chunk(2, dim=-1)
        return start, places, asks, {"enc_outputs_class": labels, "enc_outputs_coord_logits": boxes}

    def passed_on(self, states: States) -> dict[str, Any]:
        """The states of both stacks, and where queries stood."""
        found = super().passed_on(states)
        return {name: value for name, value in found.items() if name != "past_key_values"}

    def output(self, model: Any, states: States) -> ModelOutput:
        """Where queries stood first, their last states, and what was asked for."""
        return LocatedOutput(last_hidden_state=states.last, **self.passed_on(states))
