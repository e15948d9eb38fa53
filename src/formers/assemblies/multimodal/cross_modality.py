"""Texts and regions of a picture, each in layers of its own, and then in layers that read both: LXMERT."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from formers.assemblies.base import Assembly
from formers.core.cross_modality_outputs import CrossedOutput
from formers.core.outputs import ModelOutput
from formers.model.base import PreTrainedModel
from formers.model.initialise import mark_filled
from formers.nn import spec
from formers.nn.dropout import Dropout
from formers.nn.leaves import linear, norm
from formers.nn.masks import Full, Mask, Padding, Written
from formers.nn.mutual_layers import Crossing, CrossingLayer, SideLayer
from formers.nn.passing import plain_pass
from formers.nn.program import Flow, build, compute
from formers.nn.stems import stem_of
from formers.nn.stems.base import place_stem
from formers.nn.steps import First, dense
from formers.nn.tree import Group, leaf, path_of, place, wiring
from formers.nn.watch import watched
from formers.stacks.stack import Ask, States

_MEANS = {
    "visual_feats": "[B, P, F], floating, a vector for every region of a picture.",
    "visual_pos": "[B, P, 4], floating, the corners of their boxes, as shares of the picture.",
    "visual_attention_mask": "[B, P], 1 at regions, 0 at padding.",
}
_SHOWN = (
    *("language_hidden_states", "vision_hidden_states", "language_attentions", "vision_attentions"),
    "cross_encoder_attentions",
)


@dataclass(frozen=True)
class CrossModality:
    """What such a model is made of.

    Attributes:
        text: a stack without layers: the stem of tokens, and the pooler of the first.
        crossing: the layers.
        counts: how many read one side, `text` and `regions`, and both, `crossing`.
        sources: widths of a region's vector and of its place.
        paths: of the `encoder`; in it of the node `entry`, and of the lists `text`, `regions` and `crossing`;
            in the first of `vector`, `vector_norm`, `box`, `box_norm`, `dropout`.
    """

    text: spec.Stack
    crossing: Crossing
    counts: Mapping[str, int]
    sources: tuple[int, int]
    paths: Mapping[str, str]


class RegionRows(Group):
    """Vectors and boxes of regions as rows: the mean of both, normalised. Called with both."""

    def __init__(self, s: CrossModality) -> None:
        super().__init__()
        for role, read in zip(("vector", "box"), s.sources, strict=True):
            place(self, role, s.paths[role], linear("linear", read, s.crossing.width))
            place(self, f"{role}_norm", s.paths[f"{role}_norm"], norm(s.crossing.norm, s.crossing.width))
        place(self, "dropout", s.paths["dropout"], Dropout(s.crossing.dropout))

    def forward(self, visual_feats: Tensor, visual_pos: Tensor) -> Tensor:
        """[B, P, F] and [B, P, 4] -> [B, P, E]."""
        vectors, boxes = (
            leaf(self, f"{role}_norm")(leaf(self, role)(x))
            for role, x in (("vector", visual_feats), ("box", visual_pos))
        )
        found: Tensor = leaf(self, "dropout")((vectors + boxes) / 2)
        return found


class CrossModalityEncoder(Group):
    """The layers of both sides, and of both together. Called with texts and regions.

    Attributes:
        gradient_checkpointing: layers are computed again in the backward pass.
    """

    def __init__(self, s: CrossModality) -> None:
        super().__init__()
        self.gradient_checkpointing = False
        place(self, "entry", s.paths["entry"], RegionRows(s))
        for role, count in s.counts.items():
            kind = CrossingLayer if role == "crossing" else SideLayer
            place(self, role, s.paths[role], nn.ModuleList(kind(s.crossing) for _ in range(count)))

    def forward(
        self,
        lang_feats: Tensor,
        visual_feats: Tensor,
        visual_pos: Tensor,
        text_real: Tensor | None = None,
        regions_real: Tensor | None = None,
        ask: Ask | None = None,
    ) -> dict[str, tuple[Any, ...]]:
        """Run the layers.

        Args:
            lang_feats: [B, T, E].
            visual_feats: [B, P, F].
            visual_pos: [B, P, 4].
            text_real: [B, T], bool, which tokens are no padding; None for all.
            regions_real: [B, P], likewise.
            ask: what is wanted beside the states.

        Returns:
            The states behind every layer of both sides, and the weights, by the names that callers know.
        """
        ask = ask or Ask()
        needs: dict[str, list[Any]] = {"attentions": []} if ask.attentions else {}
        backend = plain_pass((1, 1), lang_feats.device, ask.backend, needs, True).backend
        masks = [_mask(text_real), _mask(regions_real)]
        rows = [lang_feats, leaf(self, "entry")(visual_feats, visual_pos)]
        found: dict[str, list[Any]] = {"vision_hidden_states": [], "cross_encoder_attentions": []}
        for i, (name, role) in enumerate((("language", "text"), ("vision", "regions"))):
            found |= {f"{name}_hidden_states": [rows[i]], f"{name}_attentions": []}
            for layer in leaf(self, role):
                rows[i], weights = self._run(layer, rows[i], mask=masks[i], backend=backend)
                found[f"{name}_hidden_states"].append(rows[i])
                found[f"{name}_attentions"].append(weights)
        for layer in leaf(self, "crossing"):
            *rows, weights = self._run(layer, *rows, masks=masks, backend=backend)
            found["language_hidden_states"].append(rows[0])
            found["vision_hidden_states"].append(rows[1])
            found["cross_encoder_attentions"].append(weights)
        return {name: tuple(each) for name, each in found.items()}

    def _run(self, layer: Any, *rows: Tensor, **told: Any) -> Any:
        """What a layer gives."""
        if self.gradient_checkpointing and self.training and torch.is_grad_enabled():
            return checkpoint(partial(layer, **told), *rows, use_reentrant=False)
        return layer(*rows, **told)


def _mask(real: Tensor | None) -> Mask:
    return Full() if real is None else Written(Padding(real))


class CrossModalityTowers(Assembly):
    """A text and regions of a picture.

    Args:
        about: config -> what it is made of.
    """

    inputs = (
        *("input_ids", "visual_feats", "visual_pos", "attention_mask", "visual_attention_mask"),
        *("token_type_ids", "inputs_embeds", "output_attentions", "output_hidden_states", "return_dict"),
    )
    means: Mapping[str, str] = _MEANS

    def __init__(self, about: Callable[[Any], CrossModality]) -> None:
        self.about = about

    def spec(self, config: Any) -> spec.Stack:
        """That of texts."""
        return self.about(config).text

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register the stem of texts, the layers, and the pooler."""
        s = self.about(config)
        facts = wiring(model).facts
        facts["about"], facts["spec"], facts["stem"] = s, s.text, stem_of(s.text.stem)
        facts["embeddings"] = place_stem(model, facts["stem"], s.text.names.embeddings)[0]
        place(model, "encoder", s.paths["encoder"], CrossModalityEncoder(s))
        names, width = s.text.names.stack, s.text.width
        path = str(names["pooler"])
        read = dense("pooler", width, width, act=s.text.pooler_act, act_role="pooler_act")
        inside = {"pooler": path, "pooler_act": names["pooler_act"], "pool": path.rpartition(".")[0]}
        build(model, [First(), read], inside)

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Read both, and let them read each other.

        Raises:
            ValueError: without regions, or for what does not fit them.
        """
        ask.padded = watched(model) if ask.padded is None else ask.padded
        facts = wiring(model).facts
        told = {name: given.get(name) for name in ("input_ids", "token_type_ids", "inputs_embeds")}
        told = {name: value for name, value in told.items() if value is not None}
        text = facts["stem"].shape(told)
        regions, boxes = _regions(facts["about"].sources, given, text[0])
        kept = leaf(model, "encoder")(
            model._modules[facts["embeddings"]](**told),
            visual_feats=regions,
            visual_pos=boxes,
            text_real=_real(given, "attention_mask", text),
            regions_real=_real(given, "visual_attention_mask", (regions.shape[0], regions.shape[1])),
            ask=ask,
        )
        words, places = kept["language_hidden_states"], kept["vision_hidden_states"]
        pass_ = plain_pass(text, regions.device, ask.backend, {}, True)
        flow = Flow(words[-1], pass_)
        compute(model, flow)
        extras: dict[str, Any] = {"vision_output": places[-1]}
        for name in _SHOWN:
            if name.endswith("attentions"):
                extras[name] = kept[name] if ask.attentions else None
            else:
                extras[name] = kept[name][1:] if ask.hidden else None
        return States(words[-1], pass_, pooled=flow.x, extras=extras)

    def received(self, states: States, given: Mapping[str, Any]) -> States:
        """With the pooled vector, which records have by another name."""
        if "pooled_output" in states.extras:
            states.pooled = states.extras.pop("pooled_output")
        return states

    def output(self, model: Any, states: States) -> ModelOutput:
        """The last states of both, and what was asked for."""
        return CrossedOutput(states.last, pooled_output=states.pooled, **states.extras)

    def passed_on(self, states: States) -> dict[str, Any]:
        """What was asked for of both sides."""
        return {name: states.extras.get(name) for name in _SHOWN}

    def deviations(self, model: Any) -> tuple[float, Mapping[str, float]]:
        """From the texts' spec."""
        s: spec.Stack = wiring(model).facts["spec"]
        return s.initial_std, dict(s.init)

    def set_table(self, model: Any, value: nn.Module) -> None:
        """Replace the token table."""
        mark_filled(value)
        place(model, "token", path_of(model, "token"), value)

    def room(self, config: Any) -> int | None:
        """What the texts' positions allow."""
        return self.spec(config).room

    def layer_classes(self, config_class: type[Any]) -> list[str]:
        """Those of one side, and of both."""
        return [SideLayer.__name__, CrossingLayer.__name__]

    def layer_class(self, name: str) -> type[nn.Module]:
        """The one of that name."""
        return {"SideLayer": SideLayer, "CrossingLayer": CrossingLayer}[name]


def _regions(sources: tuple[int, int], given: Mapping[str, Any], batch: int) -> tuple[Tensor, Tensor]:
    """The regions' vectors and boxes."""
    seen, boxes = given.get("visual_feats"), given.get("visual_pos")
    if seen is None or boxes is None:
        raise ValueError("this model reads regions of a picture: pass visual_feats and visual_pos")
    for name, value, wide in (("visual_feats", seen, sources[0]), ("visual_pos", boxes, sources[1])):
        fits = isinstance(value, Tensor) and value.dim() == 3
        if not fits or (len(value), value.shape[2]) != (batch, wide) or value.shape[1] != seen.shape[1]:
            found = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"{name} must have shape [{batch}, regions, {wide}], not {found}")
    return seen, boxes


def _real(given: Mapping[str, Any], name: str, shape: tuple[int, int]) -> Tensor | None:
    """A mask as which places are no padding."""
    mask = given.get(name)
    if mask is None:
        return None
    if not isinstance(mask, Tensor) or tuple(mask.shape) != shape:
        found = list(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
        raise ValueError(f"{name} must have shape {list(shape)}, not {found}")
    return mask.bool()
