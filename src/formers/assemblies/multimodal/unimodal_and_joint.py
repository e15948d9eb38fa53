"""A text model, an image model, and a model over what both made: FLAVA."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from formers.assemblies.base import Assembly, BaseModel
from formers.assemblies.multimodal.contrastive import DualTowers, Shared
from formers.core.outputs import ModelOutput
from formers.core.unimodal_and_joint_outputs import UnimodalAndJointOutput
from formers.model.base import PreTrainedModel
from formers.nn.kernels import project
from formers.nn.leaves import linear
from formers.nn.tree import leaf, place
from formers.nn.watch import watched
from formers.stacks.stack import Ask, States

_SEEN = ("output_attentions", "output_hidden_states", "return_dict")
_IMAGE = {"pixel_values": "pixel_values", "bool_masked_pos": "bool_masked_pos"} | {
    "image_attention_mask": "attention_mask"
}


class UnimodalAndJoint(DualTowers):
    """Two towers and a third model, which reads the states of both (Singh et al. 2022, arXiv:2112.04482).

    Texts or images alone are read too, each by its tower. Hidden states of the towers are always returned:
    the third model reads the last of them, before their norm.

    Args:
        model_of, text, image: see `Composite`.
        both: path of the third model, and the field of the config that describes it.
        shared: config -> the space of texts and images.
        bridges: paths of the layers from the towers' widths to the third model's, of texts and of images.
        reads: what the text tower reads.
    """

    means = {
        "pixel_values": "[B, channels, height, width], floating.",
        "image_attention_mask": "[B, 1 + P], 1 at the image's rows that count.",
        "skip_multimodal_encoder": "read texts and images by themselves alone.",
    }

    def __init__(
        self,
        model_of: Callable[[Any], type[BaseModel]],
        text: tuple[str, str],
        image: tuple[str, str],
        both: tuple[str, str],
        shared: Callable[[Any], Shared],
        bridges: tuple[str, str],
        reads: tuple[str, ...],
    ) -> None:
        sees = ("pixel_values", "bool_masked_pos", "interpolate_pos_encoding", "attention_mask")
        super().__init__(model_of, text, image, shared, reads, sees)
        self.both, self._bridges = both[0], bridges
        self.fields = {**self.fields, both[0]: both[1]}
        self.inputs = (
            *("input_ids", "pixel_values", "attention_mask", "token_type_ids", "bool_masked_pos"),
            *("position_ids", "image_attention_mask", "skip_multimodal_encoder", *_SEEN),
        )

    def join(self, model: PreTrainedModel, config: Any, parts: Any) -> None:
        """Register the three models, the projections and the scale."""
        super().join(model, config, parts)
        width = self.stack(config, self.both).width
        for name, role, path in self._ways():
            place(model, role, path, linear("linear", self.stack(config, name).width, width))

    def _ways(self) -> tuple[tuple[str, str, str], ...]:
        """The towers, and roles and paths of the layers behind them."""
        return (
            (self.text, "text_way", self._bridges[0]),
            (self.image, "image_way", self._bridges[1]),
        )

    def _check(self, config: Any, name: str) -> None:
        if name != self.both:
            super()._check(config, name)

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Read texts, images, and both.

        Raises:
            ValueError: without texts and images, or for as many of one as there are not of the other.
        """
        ask.padded = watched(model) if ask.padded is None else ask.padded
        ask.hidden = True
        mask, found = given.get("attention_mask"), dict[str, States]()
        if given.get("pixel_values") is not None:
            seen = {inner: given.get(name) for name, inner in _IMAGE.items()}
            found[self.image] = self.states(model, self.image, seen, replace(ask))
        if given.get("input_ids") is not None:
            read = {name: given.get(name) for name in self.reads[self.text]}
            found[self.text] = self.states(model, self.text, read, replace(ask))
        if not found:
            raise ValueError(f"{type(model).__name__} reads texts or images: pass input_ids or pixel_values")
        together = len(found) == 2 and not given.get("skip_multimodal_encoder")
        rows = dict[str, Tensor]()
        for name, role, _ in self._ways() if together or ask.padded else ():
            hidden = found[name].hidden if name in found else None
            if hidden is not None:
                rows[name] = project(leaf(model, role), hidden[-1], None, bool(ask.padded))
        if together:
            found[self.both] = self._together(model, rows, mask, ask)
        states = found.get(self.text) or found[self.image]
        states.extras["parts"] = found
        return states

    def _together(self, model: Any, rows: dict[str, Tensor], mask: Any, ask: Ask) -> States:
        """What the third model makes of both, images first."""
        texts, images = rows[self.text], rows[self.image]
        if texts.shape[0] != images.shape[0]:
            raise ValueError(
                f"texts and images are read in pairs, but there are {len(texts)} texts and {len(images)} "
                "images: pass as many, or skip_multimodal_encoder=True"
            )
        led = getattr(self.stack(model.config, self.both).stem, "led", False)
        if isinstance(mask, Tensor):
            size = (images.shape[0], images.shape[1] + int(led))
            real = torch.ones(size, dtype=mask.dtype, device=mask.device)
            mask = torch.cat((real, mask), dim=1)
        both = {"hidden_states": torch.cat((images, texts), dim=1), "attention_mask": mask}
        return self.states(model, self.both, both, Ask(backend=ask.backend, rows=False, padded=ask.padded))

    def output(self, model: Any, states: States) -> ModelOutput:
        """The three records, and the last states of each."""
        records = {name: self.record(model, name, one) for name, one in states.extras.pop("parts").items()}
        last = {name: one.last_hidden_state for name, one in records.items()}
        made = UnimodalAndJointOutput()
        for name, kind in ((self.image, "image"), (self.text, "text"), (self.both, "multimodal")):
            setattr(made, f"{kind}_embeddings", last.get(name))
            setattr(made, f"{kind}_output", records.get(name))
        return made

    def _offered(self, model: Any, name: str, states: States) -> Any:
        """One tower's record; all its last states are projected, [B, T, P]."""
        found = self.record(model, name, states)
        role = "text_out" if name == self.text else "image_out"
        seen = project(leaf(model, role), found.last_hidden_state, None, states.watched)
        return replace(found, pooler_output=seen)

    def alone(self, part: str, config_class: type[Any]) -> Assembly:
        """There is no head over a part."""
        return Assembly.alone(self, part, config_class)
