"""Objects found in several maps of a picture, at which queries look from where objects may be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from formers.assemblies.base import states_of
from formers.assemblies.encoder_decoder import EncoderDecoder, given_memory
from formers.assemblies.vision.query_detection import MEANS, QueryHalf, maps_in, place_backbone
from formers.core.object_outputs import RefinedOutput
from formers.core.outputs import BaseModelOutput, ModelOutput
from formers.model.base import PreTrainedModel
from formers.nn import spec
from formers.nn.box_proposals import Denoising, noisy, proposals
from formers.nn.box_refinement import labelling
from formers.nn.fresh import Xavier, begins
from formers.nn.kernels import project
from formers.nn.map_positions import GridPlaces
from formers.nn.matching import checked
from formers.nn.mixers.deformable import Sizes
from formers.nn.nets.tree import NetNode, compute, fill
from formers.nn.perceptron import Perceptron
from formers.nn.spec import nets
from formers.nn.tree import Group, leaf, place, wiring
from formers.nn.watch import watched
from formers.stacks.stack import Ask, Inputs, States, place_stack, run

MAPS_READS = (
    *("pixel_values", "pixel_mask", "encoder_outputs", "inputs_embeds", "labels"),
    *("output_attentions", "output_hidden_states", "return_dict"),
)
_MEANS = {
    **MEANS,
    "encoder_outputs": "what the encoder gave before: a record or a tuple, whose first value is the maps.",
    "inputs_embeds": "a list of maps [B, E, h, w], the largest first, in place of the pictures'.",
    "labels": "for each picture a dictionary with `class_labels` and `boxes`: in training, objects with "
    "noise stand among the queries.",
}


class DeformableHalf(QueryHalf):
    """A decoder whose queries look at maps, and may move after every layer."""

    record: Callable[..., ModelOutput] = RefinedOutput

    def _compute(self, model: Any, inputs: Inputs, ask: Ask) -> States:
        states = super()._compute(model, inputs, ask)
        states.extras.update(states.pass_.memo.get("follow").seen())
        return states


class MapLayers(Group):
    """Layers over the places of one map. Called with the map."""

    def __init__(self, s: spec.Stack, warmth: float, always: bool) -> None:
        super().__init__()
        place(self, "places", "position_embedding", GridPlaces(s.width, warmth))
        place_stack(self, s)
        wiring(self).facts["always"] = always

    def forward(
        self, hidden_states: Tensor, ask: Ask | None = None, seen: list[States] | None = None
    ) -> Tensor:
        """[B, E, H, W] -> the same shape; `seen` takes the states of the layers."""
        down, across = hidden_states.shape[2:]
        rows, beside = hidden_states.flatten(2).transpose(1, 2), None
        if self.training or wiring(self).facts["always"]:
            beside = leaf(self, "places")(width=across, height=down, device=rows.device, dtype=rows.dtype)
            beside = beside.expand(rows.shape[0], -1, -1)
        given = {"inputs_embeds": rows, "spatial_position_embeddings": beside}
        states = run(self, Inputs(given), ask or Ask(padded=True))
        if seen is not None:
            seen.append(states)
        return states.last.transpose(1, 2).reshape(hidden_states.shape)


@dataclass(frozen=True)
class HybridEncoder:
    """An encoder of layers over the places of some maps, and convolutions between maps.

    Zhao et al. 2023, arXiv:2304.08069, section 4.2.

    Attributes:
        layers: their spec; none where it has none.
        maps: which maps have such.
        path: of the list of those.
        between: what happens between all maps.
        warmth: of the sinusoids of places; `always`: they are there in evaluation too.
    """

    layers: spec.Stack
    maps: Sequence[int]
    path: str
    between: nets.Node
    warmth: float = 10_000.0
    always: bool = True


class HybridEncoderNode(Group):
    """An encoder of several maps; see `HybridEncoder`. Called with them."""

    def __init__(self, s: HybridEncoder) -> None:
        super().__init__()
        facts = wiring(self).facts
        facts["maps"] = tuple(s.maps) if s.layers.layers else ()
        for i in range(len(s.maps)):
            place(self, f"layers_{i}", f"{s.path}.{i}", MapLayers(s.layers, s.warmth, s.always))
        fill(self, s.between)

    def forward(self, inputs_embeds: Sequence[Tensor], ask: Ask | None = None) -> BaseModelOutput:
        """Maps [B, E, h, w], the largest first -> a record with a list of such.

        Its hidden states are what the first of the layers over places read, and what each of those gave.
        """
        facts, maps, seen = wiring(self).facts, list(inputs_embeds), list[States]()
        hidden = []
        for i, number in enumerate(facts["maps"]):
            hidden += [] if i else [maps[number]]
            maps[number] = leaf(self, f"layers_{i}")(maps[number], ask=ask, seen=seen)
            hidden.append(maps[number])
        last = compute(self, facts["run"], tuple(maps), [], None)
        weights = [one for states in seen for one in states.attentions or ()]
        return BaseModelOutput(
            list(last),  # type: ignore[arg-type]  # several maps are no tensor
            hidden_states=tuple(hidden) if ask is not None and ask.hidden else None,
            attentions=tuple(weights) if ask is not None and ask.attentions else None,
        )


@dataclass(frozen=True)
class HybridDetector:
    """What a family says of a detector over a hybrid encoder, beside its decoder.

    Attributes:
        hybrid: the encoder.
        read: list -> what each map of the backbone goes through before it.
        made: list -> what each map of the encoder, and then its last one again, goes through behind it.
        queries: Q.
        labels: C.
        eps: of the norm of places.
        prior: how likely a label is at first.
        frozen: the backbone's norms are not trained.
        own: queries begin with vectors of their own, not with those of the best places.
        denoising: what stands among the queries in training.
    """

    hybrid: HybridEncoder
    read: Sequence[nets.Node]
    made: Sequence[nets.Node]
    queries: int
    labels: int
    eps: float
    prior: float
    paths: Mapping[str, str]
    frozen: bool = True
    own: bool = False
    denoising: Denoising | None = None


def node_of(s: nets.Node) -> NetNode:
    """A node that computes it."""
    made = NetNode()
    fill(made, s)
    return made


def rows_of(maps: Sequence[Tensor]) -> tuple[Tensor, Sizes]:
    """Maps [B, E, h, w] -> their places end to end, [B, S, E], and the maps' sizes."""
    sizes = [(one.shape[2], one.shape[3]) for one in maps]
    return torch.cat([one.flatten(2).transpose(1, 2) for one in maps], 1), sizes


def taken(rows: Tensor, index: Tensor) -> Tensor:
    """Rows [B, S, E] at places [B, Q] -> [B, Q, E]."""
    return rows.gather(1, index[..., None].expand(-1, -1, rows.shape[-1]))


class HybridQueryDetection(EncoderDecoder):
    """A backbone, a hybrid encoder of its maps, and a decoder whose queries begin at the best places.

    Zhao et al. 2023, arXiv:2304.08069.

    Args:
        half: (config, whether it is the decoder) -> the spec of its stack.
        about: config -> the rest.
        backbone: a config -> the class that gives maps for it.
    """

    def __init__(
        self,
        half: Callable[[Any, bool], spec.Stack],
        about: Callable[[Any], HybridDetector],
        backbone: Callable[[Any], type[PreTrainedModel]],
    ) -> None:
        super().__init__(half, stem=spec.MultiScaleRows)
        self.halves["decoder"] = DeformableHalf(self._decoder, spec.MultiScaleRows)
        self.about, self.backbone = about, backbone
        self.main, self.inputs, self.means = "pixel_values", MAPS_READS, dict(_MEANS)

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register the backbone, the encoder, what tells the best places, and the decoder."""
        about, own, paths = self.about(config), config.backbone_config, self.about(config).paths
        width = self.half(config, True).width
        wiring(model).facts["about"] = about
        place_backbone(model, self.backbone(own), own, paths["maps"], None, about.frozen)
        for name, parts in (("read", about.read), ("made", about.made)):
            for i, one in enumerate(parts):
                place(model, f"{name}_{i}", f"{paths[name]}.{i}", node_of(one))
        place(model, "encoder", paths["encoder"], HybridEncoderNode(about.hybrid))
        if about.denoising is not None:
            table = nn.Embedding(about.labels + 1, width, padding_idx=about.labels)
            place(model, "noise", paths["noise"], begins(table, weight=Xavier()))
        if about.own:
            place(model, "own", paths["own"], begins(nn.Embedding(about.queries, width), weight=Xavier()))
        norm = nets.row(nets.Dense(width, width), nets.ChannelNorm(width, about.eps, rows=True))
        place(model, "best", paths["best"], node_of(norm))
        place(model, "labels", paths["labels"], labelling(width, about.labels, about.prior))
        place(model, "boxes", paths["boxes"], Perceptron(width, width, width, 4))
        self._place(model, config, ("decoder",))

    def deviations(self, model: Any) -> tuple[float, Mapping[str, float]]:
        """From the decoder's spec."""
        made: spec.Stack = wiring(leaf(model, "decoder")).facts["spec"]
        return made.initial_std, dict(made.init)

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Read pictures, and let queries look at them from where objects may be.

        Raises:
            TypeError: for what is no tensor, and labels of another kind.
            ValueError: for tensors of other shapes, and labels that do not fit.
        """
        ask.padded = watched(model) if ask.padded is None else ask.padded
        about: HybridDetector = wiring(model).facts["about"]
        memory = self._memory(model, about, given, ask)
        maps = list(memory[0])
        made = [leaf(model, f"made_{i}")(maps[min(i, len(maps) - 1)]) for i in range(len(about.made))]
        rows, sizes = rows_of(made)
        start, asks, hidden, found = self._begin(model, about, rows, sizes, given.get("labels"))
        reads = {
            "inputs_embeds": asks,
            "attention_mask": hidden,
            "encoder_hidden_states": rows,
            "reference_points": start,
            "spatial_shapes_list": sizes,
        }
        states = states_of(leaf(model, "decoder"), reads, ask)
        names = ("encoder_last_hidden_state", "encoder_hidden_states", "encoder_attentions")
        states.extras.update(zip(names, (maps, *memory[1:3]), strict=True))
        states.extras.update(found)
        return states

    def _memory(self, model: Any, about: HybridDetector, given: Mapping[str, Any], ask: Ask) -> Any:
        """The encoder's maps, its hidden states and weights."""
        before, maps = given.get("encoder_outputs"), given.get("inputs_embeds")
        if before is not None:
            return given_memory(before)
        if maps is None:
            read = maps_in(model, given)
            if len(read) != len(about.read):
                raise ValueError(
                    f"the backbone gives {len(read)} maps, but the config's encoder_in_channels are those of "
                    f"{len(about.read)}"
                )
            maps = [leaf(model, f"read_{i}")(one) for i, (one, _) in enumerate(read)]
        if not isinstance(maps, (list, tuple)) or len(maps) != len(about.read):
            raise ValueError(f"inputs_embeds is a list of {len(about.read)} maps [B, E, h, w]")
        out = leaf(model, "encoder")(maps, ask=ask)
        return out.last_hidden_state, out.hidden_states, out.attentions

    def _begin(
        self, model: Any, about: HybridDetector, rows: Tensor, sizes: Sizes, targets: Any
    ) -> tuple[Tensor, Tensor, Tensor | None, dict[str, Any]]:
        """Where queries stand, as logits, what they begin with, who sees whom, and what callers see of it."""
        drawn = None
        if model.training and about.denoising is not None and targets is not None:
            right = checked(targets, len(rows), about.labels, rows.device)
            drawn = noisy(about.denoising, right, about.queries)
        anchors, good = proposals(sizes, rows, blank=torch.finfo(rows.dtype).max)
        best = leaf(model, "best")(good.to(rows.dtype) * rows)
        scores = project(leaf(model, "labels"), best)
        boxes = leaf(model, "boxes")(best) + anchors
        if about.queries > scores.shape[1]:
            raise ValueError(
                f"{about.queries} queries begin at places of maps, but these have {scores.shape[1]} places: "
                "read larger pictures"
            )
        index = torch.topk(scores.amax(-1), about.queries, dim=1).indices
        start = taken(boxes, index)
        extras: dict[str, Any] = {"enc_topk_logits": taken(scores, index)}
        extras["enc_topk_bboxes"] = start.sigmoid()
        if about.own:
            asks = leaf(model, "own").weight[None].expand(rows.shape[0], -1, -1)
        else:
            asks = taken(best, index).detach()
        hidden = None
        if drawn is not None:
            start = torch.cat((drawn.boxes.to(start.dtype), start), 1)
            asks = torch.cat((leaf(model, "noise")(drawn.labels).to(asks.dtype), asks), 1)
            hidden = ~drawn.hidden[None, None]
            extras["denoising_meta_values"] = drawn.meta
        start = start.detach()
        extras.update(init_reference_points=start, enc_outputs_class=scores, enc_outputs_coord_logits=boxes)
        return start, asks, hidden, extras

    def passed_on(self, states: States) -> dict[str, Any]:
        """The states of both stacks, and where queries stood."""
        found = super().passed_on(states)
        return {name: value for name, value in found.items() if name != "past_key_values"}

    def output(self, model: Any, states: States) -> ModelOutput:
        """The queries' last states, and what was asked for."""
        return RefinedOutput(states.last, **self.passed_on(states))
