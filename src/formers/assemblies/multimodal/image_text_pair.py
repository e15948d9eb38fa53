"""A network's map inside what the encoder of a pair reads, where a text has image tokens: Florence-2."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from formers.assemblies.base import (
    BaseModel,
    assembly_of,
    bound,
    owner_of,
    refuse_inputs,
    returned,
    taken_ask,
    ties_within,
)
from formers.assemblies.composite import Composite
from formers.assemblies.encoder_decoder import of_both
from formers.assemblies.multimodal.image_text import placed_at
from formers.core.outputs import BaseModelOutputWithPooling, ModelOutput, Seq2SeqModelOutput
from formers.model.base import PreTrainedModel
from formers.nn.fresh import Sinusoids
from formers.nn.leaves import linear
from formers.nn.nets.dual_attention import SidePlaces
from formers.nn.tree import Group, leaf, place, place_tensor
from formers.stacks.stack import Ask, States

_SEEN = ("output_attentions", "output_hidden_states", "return_dict")


@dataclass(frozen=True)
class MapConnector:
    """From a map to what a text model embeds.

    Attributes:
        home: path of its node.
        widths: of the map, and of the text model.
        token: id of the places that images take.
        room: how many rows and columns, and how many moments, have positions.
        paths: in that node of `project` and `norm`; of the places `sides`, in it `rows` and `columns`; of
            the moments `moments`, in it `table`.
    """

    home: str
    widths: tuple[int, int]
    token: int
    room: tuple[int, int]
    paths: Mapping[str, str]


class Moments(Group):
    """Sinusoids of moments, [room, C], which files hold. Called with what has moments."""

    def __init__(self, room: int, width: int, path: str) -> None:
        super().__init__()
        table = torch.empty(room, width)
        fresh = Sinusoids(closed=False, turns=True)
        fresh.fill_(table)
        place_tensor(self, "table", path, table, fresh, trained=False)

    def forward(self, seq_embeds: Tensor) -> Tensor:
        """[B, moments, C] -> [moments, C]."""
        found: Tensor = leaf(self, "table")[: seq_embeds.shape[1]]
        return found


class MapTokens(Group):
    """The mean of a map's places, and each of them: [B, C, H, W] -> [B, 1 + H * W, F]."""

    def __init__(self, s: MapConnector) -> None:
        super().__init__()
        paths, (width, made) = s.paths, s.widths
        place(self, "project", paths["project"], linear("linear", width, made, bias=False))
        place(self, "norm", paths["norm"], nn.LayerNorm(made))
        sides = SidePlaces(s.room[0], width, paths["rows"], paths["columns"])
        place(self, "sides", paths["sides"], sides)
        place(self, "moments", paths["moments"], Moments(s.room[1], width, paths["table"]))

    def forward(self, image_features: Tensor) -> Tensor:
        """As said; a picture is a film's first moment."""
        rows = (image_features + leaf(self, "sides")(image_features)).flatten(2).transpose(1, 2)
        rows = rows + leaf(self, "moments")(rows[:, :1])[:, None]
        rows = torch.cat((rows.mean(1, keepdim=True), rows), dim=1)
        found: Tensor = leaf(self, "norm")(leaf(self, "project")(rows))
        return found


class ImageTextPair(Composite):
    """An encoder and a decoder of texts, the first of which reads pictures (arXiv:2311.06242).

    Args:
        model_of, text, image: see `Composite`.
        connector: config -> what stands between them.
    """

    encoder_decoder = True
    once = ("pixel_values",)

    def __init__(
        self,
        model_of: Callable[[Any], type[BaseModel]],
        text: tuple[str, str],
        image: tuple[str, str],
        connector: Callable[[Any], MapConnector],
    ) -> None:
        super().__init__(model_of, text, image)
        self.connector, self.decodes = connector, "decoder"
        self.inputs = (
            *("input_ids", "pixel_values", "attention_mask", "decoder_input_ids", "decoder_attention_mask"),
            *("encoder_outputs", "past_key_values", "inputs_embeds", "decoder_inputs_embeds", "use_cache"),
            *(*_SEEN, "cache_position"),
        )
        names = ("pixel_values", *(name for name in _SEEN if name != "output_attentions"))

        def features(model: Any, *args: Any, **given: Any) -> Any:
            """The network's record, whose `pooler_output` is what stands for the images, [B, P, F]."""
            given = bound(model, names, args, given)
            refuse_inputs(model, given, names)
            return_dict, ask = given.pop("return_dict", None), taken_ask(model, given)
            states, found = self._read(owner_of(model), given["pixel_values"], ask)
            record = BaseModelOutputWithPooling(states.last, found, hidden_states=states.hidden)
            return returned(record, return_dict, model.config)

        self.offers = {"get_image_features": features}

    def _check(self, config: Any, name: str) -> None:
        kind, own = self.part(config, name)
        if name == self.text and not assembly_of(kind).encoder_decoder:
            raise ValueError(
                f"{self.fields[name]} describes a {own.model_type!r} model, which is one stack; the {name} "
                f"of {config.model_type!r} models is an encoder and a decoder"
            )

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register the network, what stands between, and the pair.

        Raises:
            ValueError: where what stands for a picture is not as wide as the texts' vectors.
        """
        c = self.connector(config)
        wide = self.spec(config).width
        if c.widths[1] != wide:
            raise ValueError(
                f"what stands for a picture is {c.widths[1]} wide (the vision config's projection_dim), and "
                f"texts are {wide}: make them equal"
            )
        super().place(model, config, pooler, masked)
        place(model, "between", c.home, MapTokens(c))

    def stacks(self, model: nn.Module) -> dict[str, nn.Module]:
        """The parts, and those of the pair."""
        found, pair = super().stacks(model), leaf(model, self.text)
        return {**found, **assembly_of(pair).stacks(pair)}

    def ties(self, model: Any) -> dict[str, str]:
        """Those of the pair, by the names that they have in this tree."""
        return ties_within({self.text: leaf(model, self.text)})

    def encoding(self, model: Any, given: dict[str, Any]) -> dict[str, Any]:
        """With the pictures put into the text's vectors."""
        pixels = given.get("pixel_values")
        if pixels is None:
            return given
        ids, vectors = given.get("input_ids"), given.get("inputs_embeds")
        if (ids is None) == (vectors is None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        found = self._read(model, pixels, Ask(backend=model.config._attn_implementation, rows=False))[1]
        token = self.connector(model.config).token
        placed = placed_at(leaf(model, self.text), token, ids, vectors, found.flatten(0, 1))[0]
        return {**given, "input_ids": None, "pixel_values": None, "inputs_embeds": placed}

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Put the pictures into the text, encode, and decode.

        Raises:
            ValueError: when texts have more or fewer image tokens than the images fill.
        """
        given = {name: value for name, value in given.items() if name in self.inputs}
        if given.get("encoder_outputs") is None:
            given = self.encoding(model, given)
        given.pop("pixel_values", None)
        if given.get("decoder_input_ids") is None and given.get("decoder_inputs_embeds") is None:
            read = given.get("input_ids")
            read = given.get("inputs_embeds") if read is None else read
            read = given["encoder_outputs"][0] if read is None else read
            start = model.config.get_text_config().decoder_start_token_id
            given["decoder_input_ids"] = torch.full((len(read), 1), start, device=read.device)
        return self.states(model, self.text, given, ask)

    def _read(self, model: Any, pixels: Any, ask: Ask) -> tuple[States, Tensor]:
        """The network's states, and what stands for the images."""
        main = assembly_of(leaf(model, self.image)).main
        states = self.states(model, self.image, {main: pixels}, replace(ask, attentions=False))
        found: Tensor = leaf(model, "between")(states.last)
        return states, found

    def passed_on(self, states: States) -> dict[str, Any]:
        """The decoder's states, and the encoder's beside them."""
        return of_both(states)

    def output(self, model: Any, states: States) -> ModelOutput:
        """The decoder's last states, and what was asked for."""
        return Seq2SeqModelOutput(states.last, **of_both(states))

    def layer_classes(self, config_class: type[Any]) -> list[str]:
        """Those of the pair."""
        config = config_class()
        kind, own = self.part(config, self.text)
        found: list[str] = assembly_of(kind).layer_classes(type(own))
        return found
