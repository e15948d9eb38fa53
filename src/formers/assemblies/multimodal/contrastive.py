"""A text tower and an image tower whose vectors lie in one space, so that they are compared: CLIP, SigLIP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from formers.assemblies.base import Assembly, BaseModel, bound, refuse_inputs, returned, taken_ask
from formers.assemblies.composite import Composite
from formers.core.outputs import BaseModelOutputWithPooling, ContrastOutput, ModelOutput
from formers.model.base import PreTrainedModel
from formers.nn.fresh import Constant
from formers.nn.leaves import linear
from formers.nn.linear_pair import Bridge
from formers.nn.losses import contrastive, pairwise
from formers.nn.steps import apply
from formers.nn.tree import has, leaf, place, place_tensor
from formers.stacks.stack import Ask, States

_SEEN = ("output_attentions", "output_hidden_states", "return_dict")


@dataclass(frozen=True)
class Shared:
    """The space that texts and images share.

    Attributes:
        width: P, of its vectors; None where they are the towers' own, without projections.
        scale: logarithm of the factor on their cosines, in a fresh model.
        text, image: paths of the projections into it; `scale_path` of the factor, `bias_path` of the bias;
            `other_scale_path` of another factor for what is seen or heard, where there is one.
        bias: projections have one.
        act: of projections of two layers, the activation between them.
        apart: the towers' records hold their vectors as they are before the projections.
        pairwise: every pair is judged by itself (Zhai et al. 2023, arXiv:2303.15343), by cosine and bias.
        std: deviation of fresh weights, `init` that of names with other endings.
    """

    width: int | None
    scale: float
    text: str = "text_projection"
    image: str = "visual_projection"
    scale_path: str = "logit_scale"
    other_scale_path: str = ""
    act: str = ""
    bias: bool = False
    bias_path: str = "logit_bias"
    apart: bool = False
    pairwise: bool = False
    std: float = 0.02
    init: Mapping[str, float] = field(default_factory=dict)


class DualTowers(Composite):
    """Two towers (Radford et al. 2021, arXiv:2103.00020).

    Args:
        model_of, text, image: see `Composite`.
        shared: config -> the space that the towers share.
        reads: what the text tower reads, and `sees` the image tower; the first of each must be given.
        needs: how many of what is seen stand before the rest of the inputs.
        parts: assemblies of heads that use the towers otherwise, by the name in `Head.over`.
        more: methods that models have beside.

    Attributes:
        compares: what the towers read, in the names of methods.
    """

    compares = "text", "image"

    def __init__(
        self,
        model_of: Callable[[Any], type[BaseModel]],
        text: tuple[str, str],
        image: tuple[str, str],
        shared: Callable[[Any], Shared],
        reads: tuple[str, ...] = ("input_ids", "attention_mask", "position_ids"),
        sees: tuple[str, ...] = ("pixel_values", "interpolate_pos_encoding"),
        needs: int = 1,
        parts: Mapping[str, Assembly] = MappingProxyType({}),
        more: Mapping[str, Callable[..., Any]] = MappingProxyType({}),
    ) -> None:
        super().__init__(model_of, text, image)
        self._others = parts
        self.shared = shared
        self.reads = {self.text: reads, self.image: sees}
        self.inputs = (reads[0], *sees[:needs], *reads[1:], "return_loss", *sees[needs:], *_SEEN)
        self.offers = {
            f"get_{self.compares[0]}_features": self._offer(self.text),
            f"get_{self.compares[1]}_features": self._offer(self.image),
            **more,
        }

    def alone(self, part: str, config_class: type[Any]) -> Assembly:
        """One of the `parts`, or one tower."""
        return self._others[part] if part in self._others else super().alone(part, config_class)

    def join(self, model: PreTrainedModel, config: Any, parts: Mapping[str, Any]) -> None:
        """Register the towers, their projections and the scale."""
        super().join(model, config, parts)
        s = self.shared(config)
        for role, path, name in (("text_out", s.text, self.text), ("image_out", s.image, self.image)):
            width = self.stack(config, name).last_width
            if s.width is not None:
                made = Bridge(width, s.width, s.act) if s.act else linear("linear", width, s.width, s.bias)
                place(model, role, path, made)
        for role, path in (("scale", s.scale_path), ("other_scale", s.other_scale_path)):
            if path:
                factor = torch.full((1,) if s.pairwise else (), float(s.scale))
                place_tensor(model, role, path, factor, Constant(s.scale), False)
        if s.pairwise:
            place_tensor(model, "bias", s.bias_path, torch.zeros(1), Constant(0.0), False)

    def deviations(self, model: Any) -> tuple[float, Mapping[str, float]]:
        """Of the projections; the towers draw their own."""
        s = self.shared(model.config)
        return s.std, s.init

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """The text's states, with the image's and whether the loss is wanted beside them.

        Raises:
            ValueError: without texts or images.
        """
        states: dict[str, States] = {}
        for name, names in self.reads.items():
            inputs = {key: given[key] for key in names if given.get(key) is not None}
            if names[0] not in inputs:
                raise ValueError(
                    f"what is read is compared, so {names[0]} must be given too; {' and '.join(self.offers)} "
                    f"read one of the two"
                )
            states[name] = self.states(model, name, inputs, ask)
        found = states[self.text]
        found.extras.update(image=states[self.image], return_loss=given.get("return_loss"))
        return found

    returns: Any = ContrastOutput

    def output(self, model: Any, states: States) -> ModelOutput:
        """Cosines of all texts and all images, scaled; the loss where it is wanted.

        Raises:
            ValueError: for a tower that makes no vector of what it reads.
        """
        text = self._projected(model, self.text, states)
        image = self._projected(model, self.image, states.extras["image"])
        for name, one in ((self.text, text), (self.image, image)):
            if one.pooler_output is None:
                raise ValueError(
                    f"the {name} makes no vector that could be compared: its config, {self.fields[name]}, "
                    f"leaves its head out"
                )
        texts, images = (of_length_one(one.pooler_output) for one in (text, image))
        logits = texts @ images.t() * leaf(model, "scale").exp()  # [texts, images]
        loss_of = contrastive
        if has(model, "bias"):
            logits, loss_of = logits + leaf(model, "bias"), pairwise
        loss = loss_of(logits) if states.extras["return_loss"] else None
        if self.shared(model.config).apart:
            text = replace(text, pooler_output=states.pooled)
            image = replace(image, pooler_output=states.extras["image"].pooled)
        return ContrastOutput(loss, logits.t(), logits, texts, images, text, image)

    def _projected(self, model: Any, name: str, states: States) -> Any:
        """The tower's record; the vector in it is projected, where the space is not the towers' own."""
        role = "text_out" if name == self.text else "image_out"
        found = self.record(model, name, states)
        if not has(model, role):
            return found
        vector = found.pooler_output
        if isinstance(leaf(model, role), Bridge):
            return replace(found, pooler_output=leaf(model, role)(vector))
        return replace(found, pooler_output=apply(model, role, vector, states.watched))

    def _offered(self, model: Any, name: str, states: States) -> Any:
        """The record that a caller of one tower's vectors gets."""
        return self._projected(model, name, states)

    def _offer(self, name: str) -> Callable[..., Any]:
        """The method of models that computes one tower's vectors."""
        names = (*self.reads[name], *_SEEN)

        def features(model: Any, *args: Any, **given: Any) -> tuple[Any, ...] | BaseModelOutputWithPooling:
            """One tower's record, whose `pooler_output` [B, P] is projected into the shared space."""
            given = bound(model, names, args, given)
            refuse_inputs(model, given, names)
            return_dict, ask = given.pop("return_dict", None), taken_ask(model, given)
            states = self.states(model, name, given, ask)
            found: tuple[Any, ...] | BaseModelOutputWithPooling = returned(
                self._offered(model, name, states), return_dict, model.config
            )
            return found

        return features


def of_length_one(vectors: Tensor) -> Tensor:
    """[B, P] -> [B, P], each by its length."""
    return torch.nn.functional.normalize(vectors, dim=-1, eps=0.0)
