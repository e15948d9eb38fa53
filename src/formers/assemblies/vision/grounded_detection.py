"""Objects that a text names, found in several maps of a picture: Grounding DINO."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from formers.assemblies.base import BaseModel, assembly_of, states_of
from formers.assemblies.vision.deformable_detection import (
    DeformableDetector,
    DeformableMaps,
    DeformableQueryDetection,
)
from formers.assemblies.vision.feature_enhancer import Enhancer, EnhancerSpec
from formers.assemblies.vision.hybrid_detection import DeformableHalf, taken
from formers.core.object_outputs import AskedOutput, GroundedOutput
from formers.core.outputs import ModelOutput
from formers.model.base import PreTrainedModel
from formers.nn import spec
from formers.nn.box_proposals import proposals
from formers.nn.box_refinement import moving
from formers.nn.leaves import norm
from formers.nn.phrases import phrases
from formers.nn.stems.tokens import check_ids
from formers.nn.tree import leaf, place, wiring
from formers.nn.watch import watched
from formers.stacks.stack import Ask, Inputs, States

_READS = (
    *("pixel_values", "input_ids", "token_type_ids", "attention_mask", "pixel_mask", "encoder_outputs"),
    *("output_attentions", "output_hidden_states", "return_dict"),
)
_MEANS = {
    "pixel_values": "[B, channels, height, width], floating.",
    "input_ids": "[B, T], int64: phrases with a full stop behind each; what is beyond the config's "
    "max_text_len is not read.",
    "token_type_ids": "[B, T], int64, which of two texts a token belongs to.",
    "attention_mask": "[B, T], 1 at tokens that are no padding.",
    "pixel_mask": "[B, height, width], 1 at pixels that are no padding.",
    "encoder_outputs": "what the encoder gave before: a record or a tuple, of places and then of words.",
}


@dataclass(frozen=True)
class GroundedDetector(DeformableDetector):
    """See `DeformableDetector`; paths also of `text`, `text_projection`, `boxes` and `labels`.

    Attributes:
        room: W, how many words are read.
        marks: ids of the tokens between phrases.
        eps: of the norm of places.
    """

    room: int = 256
    marks: tuple[int, ...] = ()
    eps: float = 1e-5


@dataclass(eq=False)
class Text:
    """A text as both stacks read it.

    Attributes:
        rows: [B, W, E]; `real` [B, W], bool, which are no padding.
        seen: [B, W, W], bool, which words see each other; `places` [B, W], where they stand in phrases.
    """

    rows: Tensor
    real: Tensor
    seen: Tensor
    places: Tensor


class ContrastiveEmbedding(nn.Module):
    """How much rows look like words. Called with rows, words, and which words are no padding."""

    row_wise = True

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    def forward(
        self, vision_hidden_state: Tensor, text_hidden_state: Tensor, text_token_mask: Tensor
    ) -> Tensor:
        """[B, Q, E], [B, W', E], bool [B, W'] -> [B, Q, W], -inf for padding and words that are not there."""
        found = vision_hidden_state @ text_hidden_state.transpose(-1, -2)
        found = found.masked_fill(~text_token_mask[:, None], -torch.inf)
        return nn.functional.pad(found, (0, self.room - found.shape[2]), value=-torch.inf)


class GroundedHalf(DeformableHalf):
    """A decoder whose queries look at maps and read words, and may move after every layer."""

    record = AskedOutput

    def _compute(self, model: Any, inputs: Inputs, ask: Ask) -> States:
        states = super()._compute(model, inputs, ask)
        trace, closes = states.pass_.trace, leaf(model, "final_norm")
        if "hidden_states" in trace:
            trace["hidden_states"] = [*map(closes, trace["hidden_states"][:-1]), states.last]
        if "attentions" in trace:
            kinds = ("attentions", "text_attentions", "cross_attentions")
            trace["attentions"] = [tuple(trace.pop(kind)) for kind in kinds]
        return states

    def output(self, model: Any, states: States) -> ModelOutput:
        """The last states, those of every layer, and what was asked for."""
        weights: Any = states.attentions
        return AskedOutput(states.last, hidden_states=states.hidden, attentions=weights, **states.extras)


class GroundedQueryDetection(DeformableQueryDetection):
    """A backbone, a text model, layers over the places of maps and over words, and queries that ask both.

    Liu et al. 2023, arXiv:2303.05499.

    Args:
        half: see `DeformableQueryDetection`; of places of maps, what layers do with them behind their fusion.
        enhanced: config -> those layers.
        about: config -> the rest.
        backbone: a config -> the class that gives maps for it.
        model_of: a config -> the class of its family without a head, which reads texts.
    """

    about: Callable[[Any], GroundedDetector]

    def __init__(
        self,
        half: Callable[[Any, bool], spec.Stack],
        enhanced: Callable[[Any], EnhancerSpec],
        about: Callable[[Any], GroundedDetector],
        backbone: Callable[[Any], type[PreTrainedModel]],
        model_of: Callable[[Any], type[BaseModel]],
    ) -> None:
        super().__init__(half, about, backbone)
        self.halves["decoder"] = GroundedHalf(self._decoder, spec.GroundedQueries)
        self.enhanced, self.model_of = enhanced, model_of
        self.inputs, self.means = _READS, dict(_MEANS)

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register the backbone, the text model, both stacks, and what queries begin with."""
        self.place_maps(model, config)
        about, own = self.about(config), config.text_config
        width, paths = self.half(config, True).width, about.paths
        text = self.model_of(own)(own, add_pooling_layer=False, part=True)
        place(model, "text", paths["text"], text)
        wiring(model).roles["token"] = (*wiring(model).roles["text"], *wiring(text).roles["token"])
        read = assembly_of(text).spec(own).width
        place(model, "text_projection", paths["text_projection"], nn.Linear(read, width))
        place(model, "queries", paths["queries"], nn.Embedding(about.queries, width))
        place(model, "encoder", "encoder", Enhancer(self.enhanced(config)))
        self._place(model, config, ("decoder",))
        place(model, "best", paths["best"], nn.Linear(width, width))
        place(model, "best_norm", paths["best_norm"], norm(spec.Norm("layer", about.eps), width))
        place(model, "boxes", paths["boxes"], moving(width))
        place(model, "labels", paths["labels"], ContrastiveEmbedding(about.room))

    def stacks(self, model: nn.Module) -> dict[str, nn.Module]:
        """The decoder: layers over both sides are no stack."""
        return {"decoder": leaf(model, "decoder")}

    def set_table(self, model: Any, value: nn.Module) -> None:
        """Replace the text model's token table."""
        leaf(model, "text").set_input_embeddings(value)

    def layer_classes(self, config_class: type[Any]) -> list[str]:
        """Those over places and over words, and the decoder's."""
        config = config_class()
        both = self.enhanced(config)
        return [both.text.layer_class, both.maps.layer_class, self.half(config, True).layer_class]

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Read a text and pictures, let both read each other, and queries ask them.

        Raises:
            TypeError: for what is no tensor.
            ValueError: for tensors of other shapes.
        """
        ask.padded = watched(model) if ask.padded is None else ask.padded
        about: GroundedDetector = wiring(model).facts["about"]
        text = self._text(model, about, given, ask)
        found = self.survey(model, about, given)
        if len(found.rows) != len(text.rows):
            raise ValueError(
                f"each of {len(found.rows)} pictures needs a text, but there are {len(text.rows)}"
            )
        memory = self._memory(model, given, text, found, ask)
        start, asks, extras = self._grounds(model, about, found, text, memory)
        reads = {
            "inputs_embeds": asks,
            "encoder_hidden_states": memory[0],
            "encoder_attention_mask": found.real,
            "text_encoder_hidden_states": memory[1],
            "text_encoder_attention_mask": text.real,
            "reference_points": start,
            "spatial_shapes_list": found.sizes,
            "valid_ratios": found.ratios,
        }
        states = states_of(leaf(model, "decoder"), reads, ask)
        names = (
            *("last_hidden_state_vision", "last_hidden_state_text", "vision_hidden_states"),
            *("text_hidden_states", "attentions"),
        )
        states.extras.update({f"encoder_{name}": one for name, one in zip(names, memory, strict=True)})
        states.extras.update(extras, init_reference_points=start)
        return states

    def _text(self, model: Any, about: GroundedDetector, given: Mapping[str, Any], ask: Ask) -> Text:
        """What the text model makes of a text, as wide as the maps."""
        ids, mask, types = (given.get(name) for name in ("input_ids", "attention_mask", "token_type_ids"))
        if not isinstance(ids, Tensor):
            raise ValueError("there is no text that says what to find: pass input_ids, [B, T]")
        check_ids(ids)
        for name, one in (("attention_mask", mask), ("token_type_ids", types)):
            if one is not None and one.shape != ids.shape:
                raise ValueError(f"{name} must have shape {list(ids.shape)}, not {list(one.shape)}")
        seen, places = phrases(ids, torch.tensor(about.marks, device=ids.device))
        room = about.room
        ids, places, seen = ids[:, :room], places[:, :room], seen[:, :room, :room]
        real = torch.ones_like(ids) if mask is None else mask[:, :room]
        types = torch.zeros_like(ids) if types is None else types[:, :room]
        reads = {
            "input_ids": ids,
            "attention_mask": seen[:, None],
            "token_type_ids": types,
            "position_ids": places,
        }
        own = Ask(backend=ask.backend, rows=False, padded=ask.padded)
        states = states_of(leaf(model, "text"), reads, own)
        return Text(leaf(model, "text_projection")(states.last), real.bool(), seen, places)

    def _memory(
        self, model: Any, given: Mapping[str, Any], text: Text, found: DeformableMaps, ask: Ask
    ) -> tuple[Any, ...]:
        """Places, words, the hidden states of both and weights, from the encoder or from a caller."""
        before = given.get("encoder_outputs")
        if before is None:
            out = leaf(model, "encoder")(
                vision_features=found.rows,
                text_features=text.rows,
                vision_real=found.real,
                text_real=text.real,
                vision_position_embedding=found.places,
                spatial_shapes_list=found.sizes,
                valid_ratios=found.ratios,
                text_self_attention_masks=text.seen,
                text_position_ids=text.places,
                ask=replace(ask),
            )
            return tuple(getattr(out, name) for name in type(out).__dataclass_fields__)
        if isinstance(before, (tuple, list)):
            hidden = tuple(before[2:4]) if ask.hidden else (None, None)
            held = (*before[:2], *hidden, before[-1] if ask.attentions else None)
        else:
            names = ("vision_hidden_states", "text_hidden_states", "attentions")
            held = (before[0], before[1], *(getattr(before, name, None) for name in names))
        for one, like in zip(held, (found.rows, text.rows), strict=False):
            if not isinstance(one, Tensor) or one.shape != like.shape:
                raise ValueError(
                    "encoder_outputs are places of maps and words, of shapes "
                    f"{list(found.rows.shape)} and {list(text.rows.shape)}"
                )
        return held

    def _grounds(
        self, model: Any, about: GroundedDetector, found: DeformableMaps, text: Text, memory: tuple[Any, ...]
    ) -> tuple[Tensor, Tensor, dict[str, Any]]:
        """Where queries stand, what they begin with, and what callers see of it."""
        places, words = memory[:2]
        asks = leaf(model, "queries").weight[None].expand(len(places), -1, -1)
        anchors, good = proposals(found.sizes, places, found.real)
        best = leaf(model, "best_norm")(leaf(model, "best")(places.masked_fill(~good, 0.0)))
        labels = leaf(model, "labels")(
            vision_hidden_state=best, text_hidden_state=words, text_token_mask=text.real
        )
        boxes = leaf(model, "boxes")(best) + anchors
        if about.queries > labels.shape[1]:
            raise ValueError(
                f"{about.queries} queries begin at places of maps, but these have {labels.shape[1]} places: "
                "read larger pictures"
            )
        index = torch.topk(labels.amax(-1), about.queries, dim=1).indices
        start = taken(boxes, index).detach().sigmoid()
        seen = {"enc_outputs_class": labels, "enc_outputs_coord_logits": boxes, "encoder_pred_boxes": start}
        seen["encoder_logits"] = leaf(model, "labels")(
            vision_hidden_state=asks, text_hidden_state=text.rows, text_token_mask=text.real
        )
        return start, asks, seen

    def passed_on(self, states: States) -> dict[str, Any]:
        """The states of both stacks, and where queries stood."""
        return {
            "decoder_hidden_states": states.hidden,
            "decoder_attentions": states.attentions,
            **states.extras,
        }

    def output(self, model: Any, states: States) -> ModelOutput:
        """The queries' last states, and what was asked for."""
        return GroundedOutput(states.last, **self.passed_on(states))
