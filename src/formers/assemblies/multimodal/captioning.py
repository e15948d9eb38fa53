"""An image model, and text models whose cross attention reads its states: BLIP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from formers.assemblies.base import BaseModel, ties_within
from formers.assemblies.composite import Composite
from formers.core.outputs import ModelOutput
from formers.model.base import PreTrainedModel
from formers.nn import spec
from formers.nn.tree import leaf, place, wiring
from formers.stacks.stack import Ask, States

_SEEN = ("output_attentions", "output_hidden_states", "return_dict")


class Captioning(Composite):
    """An image model, one that reads texts beside it, and one that writes (Li et al. 2022, arXiv:2201.12086).

    The states that a task gets are the image's.

    Args:
        model_of: a config -> the class without a head of its family.
        image: path of the image model, and the field of the config that describes it.
        reader: likewise of the text model that looks both ways; None where there is none.
        writer: likewise of the one that predicts next tokens; None where there is none.
        writer_of: a config -> that class of its family.
        reads: what is read beside pixels.
        first: the input that the others go with.
    """

    def __init__(
        self,
        model_of: Callable[[Any], type[BaseModel]],
        image: tuple[str, str],
        reader: tuple[str, str] | None = None,
        writer: tuple[str, str] | None = None,
        writer_of: Callable[[Any], type[PreTrainedModel]] | None = None,
        reads: tuple[str, ...] = ("pixel_values", "input_ids", "attention_mask"),
    ) -> None:
        text = reader or writer
        assert text is not None
        super().__init__(model_of, text, image)
        self.reader, self.writer = reader and reader[0], writer and writer[0]
        self.fields = dict(part for part in (image, reader, writer) if part is not None)
        self.writer_of = writer_of
        self.decodes = self.writer or self.text
        self.main = reads[0]
        self.inputs = (*reads, "interpolate_pos_encoding", *_SEEN)

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register the parts under their paths.

        Raises:
            ValueError: for a text model that no states can be handed to.
        """
        self._check(config, self.image)
        if self.reader and self.writer:
            given, read = (self.stack(config, name).width for name in (self.reader, self.image))
            if given != read:  # one config describes both, and says how wide an image's states are
                raise ValueError(
                    f"what writes answers reads the question's states, {given} wide, as it would an image's, "
                    f"{read} wide: both models have one hidden_size"
                )
        for name in self.fields:
            kind, own = self.part(config, name)
            if name == self.writer and self.writer_of is not None:
                place(model, name, name, self.writer_of(own)(own))
                continue
            part = kind(own, part=True) if name == self.image else kind(own, False, part=True)
            place(model, name, name, part)
        for reading in (self.reader, self.writer):
            text: Any = None if reading is None else leaf(model, reading)
            if text is not None and not wiring(getattr(text, "base_model", text)).facts["spec"].crosses:
                raise ValueError(
                    f"{self.fields[str(reading)]} describes a text model without cross attention, which "
                    f"cannot look at an image's states: set is_decoder=True there"
                )
        table = leaf(model, self.text)
        owner = getattr(table, "base_model", table)
        above = () if owner is table else (table.base_model_prefix,)
        wiring(model).roles["token"] = (self.text, *above, *wiring(owner).roles["token"])

    def ties(self, model: Any) -> dict[str, str]:
        """Those of the parts, by the names that they have in this tree."""
        return ties_within(self.stacks(model))

    def spec(self, config: Any) -> spec.Stack:
        """The image model's, whose states tasks get."""
        return self.stack(config, self.image)

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """The image's states.

        Raises:
            ValueError: without pixels.
        """
        if given.get("pixel_values") is None:
            raise ValueError(f"{type(model).__name__} looks at pictures: pass pixel_values")
        names = ("pixel_values", "interpolate_pos_encoding")
        return self.states(model, self.image, {name: given.get(name) for name in names}, ask)

    def read(self, model: Any, given: dict[str, Any], seen: Tensor | None) -> Tensor:
        """The states of texts, [B, T, E], that look at an image's states `seen` [B, P, E], or at nothing."""
        inputs = {name: given.get(name) for name in ("input_ids", "attention_mask")}
        if inputs["input_ids"] is None:
            raise ValueError(f"{type(model).__name__} reads texts beside pictures: pass input_ids")
        if seen is not None:
            inputs["encoder_hidden_states"] = seen
        found: Tensor = leaf(model, str(self.reader))(**inputs).last_hidden_state
        return found

    def output(self, model: Any, states: States) -> ModelOutput:
        """As the image model's own."""
        found: ModelOutput = self.record(model, self.image, states)
        return found


def look_together(text: str, image: str, projection: str) -> Callable[..., Tensor]:
    """The method of models that makes one vector of a text and an image that it looks at.

    Args:
        text: path of the text model.
        image: of the image model.
        projection: of what brings vectors into the shared space.
    """

    def get_multimodal_features(
        self: Any,
        input_ids: Tensor,
        pixel_values: Tensor,
        attention_mask: Tensor | None = None,
        interpolate_pos_encoding: bool = False,
    ) -> Tensor:
        """A vector for each text that looks at its image, [B, P]."""
        seen = leaf(self, image)(
            pixel_values=pixel_values, interpolate_pos_encoding=interpolate_pos_encoding
        ).last_hidden_state
        read = leaf(self, text)(
            input_ids=input_ids, attention_mask=attention_mask, encoder_hidden_states=seen
        )
        found: Tensor = self.get_submodule(projection)(read.pooler_output)
        return found

    return get_multimodal_features


def begun(ids: Any, first: int, batch: int, device: torch.device) -> Tensor:
    """Texts that an answer or a caption goes on with, [B, T]: they begin with `first`, and their end is cut.

    Raises:
        ValueError: for what are no tokens of each text.
    """
    if ids is None:
        return torch.full((batch, 1), first, dtype=torch.long, device=device)
    ids = torch.as_tensor(ids, device=device)
    if ids.dim() != 2 or ids.shape[1] < 2 or ids.shape[0] != batch:
        raise ValueError(
            f"what goes before a caption are the tokens of a text for each of {batch} pictures, from the "
            f"first special token to the last, [{batch}, T], not {list(ids.shape)}"
        )
    return torch.cat((torch.full_like(ids[:, :1], first), ids[:, 1:-1]), dim=1)
