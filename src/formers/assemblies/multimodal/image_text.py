"""An image model's states inside a text model's embeddings, where the text has image tokens: LLaVA."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from formers.assemblies.base import BaseModel, bound, owner_of, refuse_inputs, returned, taken_ask
from formers.assemblies.composite import Composite
from formers.assemblies.multimodal.encoder_outputs import SEEN, picked, rows_seen, seen_before
from formers.core.outputs import BaseModelOutput, ModelOutput
from formers.model.base import PreTrainedModel
from formers.nn.cache import Cache
from formers.nn.connectors import Between
from formers.nn.masks import Blocks, Loosened
from formers.nn.passing import Pass
from formers.nn.program import Flow, build, compute
from formers.nn.recording import recording
from formers.nn.spec import Paths
from formers.nn.stems.tokens import check_ids, look_up
from formers.stacks.stack import Ask, States

_CHOICE = ("vision_feature_layer", "vision_feature_select_strategy")
_TYPES = "token_type_ids"
_SEEN = ("output_attentions", "output_hidden_states", "return_dict")
_TEXT = ("attention_mask", "position_ids", "past_key_values", "use_cache", "cache_position")


@dataclass(frozen=True)
class Connector:
    """From an image model's states to what a text model embeds.

    Attributes:
        steps: widths of both -> what is computed, see `nn.connectors`.
        paths: of its roles.
        token: id of the places that images take.
        layer: which of the image model's hidden states are read; several are laid side by side; None for
            its last states.
        flat: it reads rows of all pictures, [N, E], of an image model that has them in one row.
        normed: the last of them is what the image model makes of it, with its norm.
        keeps: which of their places: "full" for all, "default" for all but the class token.
    """

    steps: Between
    paths: Paths
    token: int
    layer: int | list[int] | None = None
    keeps: str = "full"
    normed: bool = False
    flat: bool = False


@dataclass(frozen=True)
class Shown:
    """What texts show of one kind.

    Attributes:
        kind: of it.
        token: id of the places that it takes.
        rows: vectors that stand there, [.., E].
        told: what callers see of it.
    """

    kind: str
    token: int
    rows: Tensor
    told: Any


class InPlace:
    """What is asked of texts in which pictures stand, of which a cache may hold some, and a row its own."""

    in_place = True

    def unread(self, model: Any, ids: Tensor, held: int, given: dict[str, Any]) -> dict[str, Any]:
        """The inputs without the pictures of the first `held` columns of [B, T], which a cache holds."""
        return self._kept(model, ids, given, lambda here, fills: still_shown(here, held, fills))

    def shown_before(self, model: Any, ids: Tensor, stop: int, given: dict[str, Any]) -> dict[str, Any]:
        """The inputs without the pictures that begin from column `stop` of [B, T] on."""
        return self._kept(model, ids, given, lambda here, fills: begun(here, stop, fills))

    def edge(self, model: Any, ids: Tensor, stop: int, given: dict[str, Any]) -> int:
        """The first column from `stop` on where no picture of a row [B, T] goes on."""
        found = [stop]

        def go_on(here: Tensor, fills: Sequence[int]) -> list[int]:
            found.append(behind_picture(here, found[-1], fills))
            return []

        before = -1
        while before != found[-1]:  # a kind of picture may go on where another ends
            before = found[-1]
            self._kept(model, ids, given, go_on)
        return found[-1]

    def shown_in(self, model: Any, ids: Tensor, given: dict[str, Any], rows: Tensor) -> dict[str, Any]:
        """The pictures of those rows."""

        def chosen(here: Tensor, fills: Sequence[int]) -> list[int]:
            each = shown_by(here, fills)
            return [one for row in rows.tolist() for one in each[row]]

        return self._kept(model, ids, given, chosen)

    def _kept(
        self, model: Any, ids: Tensor, given: dict[str, Any], which: Callable[..., list[int]]
    ) -> dict[str, Any]:
        """See `_chosen`; what was seen before is chosen likewise."""
        found, seen = self._chosen(model, ids, given, which), given.get(SEEN)
        if seen is None:
            return found
        kept = picked(seen, self.tokens(model.config), ids, which)
        found = {name: value for name, value in found.items() if name != SEEN}
        return found if kept is None else {**found, SEEN: kept}

    def tokens(self, config: Any) -> dict[str, int]:
        """Ids of the places that things take which may have been seen before, by kind."""
        return {}

    def _chosen(
        self, model: Any, ids: Tensor, given: dict[str, Any], which: Callable[..., list[int]]
    ) -> dict[str, Any]:
        """Inputs with what `which` names, by the tokens of all and how many each fills."""
        raise NotImplementedError(f"{type(self).__name__} shows nothing")


class Remembered(InPlace, Composite):
    """A text model and an image model, where texts show pictures."""


class ImageText(Remembered):
    """A text model that reads images (Liu et al. 2023, arXiv:2304.08485).

    Args:
        model_of, text, image: see `Composite`.
        connector: config -> what stands between them.
        blocks: token types [B, T] -> whose tokens see each other, where texts come with types. Callers
            choose no states of the image model there.
        whole: what stands for images is one tensor, [images, .., E], and not a list of them.
        inputs: names of what is read, where that is not the usual.

    Attributes:
        beside: names of inputs that say more of pictures.
        records: callers see the image model's record in place of what stands for images.
    """

    chosen: ClassVar[tuple[str, ...]] = ("default", "full")
    beside: tuple[str, ...] = ()
    records = False

    def __init__(
        self,
        model_of: Callable[[Any], type[BaseModel]],
        text: tuple[str, str],
        image: tuple[str, str],
        connector: Callable[[Any], Connector],
        blocks: Callable[[Tensor], Blocks] | None = None,
        whole: bool = False,
        inputs: tuple[str, ...] = (),
    ) -> None:
        super().__init__(model_of, text, image)
        self.connector, self.blocks, self.whole = connector, blocks, whole
        choice = _CHOICE if blocks is None else ()
        types = () if blocks is None else (_TYPES,)
        usual = (
            *("input_ids", "pixel_values", *self.beside, "attention_mask", "position_ids"),
            *("past_key_values", *types, "inputs_embeds", *choice, "mm_encoder_outputs", "use_cache"),
        )
        self.inputs = (*(inputs or usual), *_SEEN, "cache_position")
        chosen = tuple(name for name in choice if name in self.inputs)
        self.once = ("pixel_values", *self.beside, *types, "mm_encoder_outputs")
        names = ("pixel_values", *self.beside, *chosen, "interpolate_pos_encoding")
        self.offers = {"get_image_features": features_of(self, names, self._read)}

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register both models and the connector."""
        super().place(model, config, pooler, masked)
        c, width = self.connector(config), self.spec(config).width
        several = len(c.layer) if isinstance(c.layer, list | tuple) else 1
        build(model, c.steps(self.stack(config, self.image).width * several, width), c.paths)

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Embed the text, put the images' features into it, and run the text model.

        Raises:
            ValueError: when texts have more or fewer image tokens than the images fill.
        """
        shown = self.shown(model, given, ask)
        inputs = {key: given.get(key) for key in (*_TEXT, "input_ids", "inputs_embeds")}
        if shown:
            ids, x = inputs.pop("input_ids"), inputs["inputs_embeds"]
            if (ids is None) == (x is None):
                raise ValueError("give exactly one of input_ids and inputs_embeds")
            for one in shown:
                rows = one.rows.flatten(0, -2)
                x = placed_at(self.part_of(model), one.token, ids, x, rows, one.kind)[0]
            inputs["inputs_embeds"] = x
        if self.blocks is not None and given.get(_TYPES) is not None:
            inputs["attention_mask"] = self._loosened(self.blocks(given[_TYPES]), inputs)
        states = self.states(model, self.text, inputs, ask)
        states.extras["image_hidden_states"] = None
        states.extras |= {f"{one.kind}_hidden_states": one.told for one in shown}
        return states

    def tokens(self, config: Any) -> dict[str, int]:
        """Of pictures."""
        return {"image": self.connector(config).token}

    def shown(self, model: Any, given: dict[str, Any], ask: Ask) -> list[Shown]:
        """What is shown."""
        found = self._features(model, given, ask)
        return [] if found is None else [Shown("image", self.connector(model.config).token, *found)]

    @staticmethod
    def _loosened(blocks: Blocks, inputs: dict[str, Any]) -> Loosened:
        """The mask of a call, where tokens of those blocks see each other; a cache holds none of them.

        Raises:
            ValueError: for types of other tokens than those that are read, and those before them.
        """
        past, ids = inputs.get("past_key_values"), inputs.get("input_ids")
        held = past.get_seq_length() if isinstance(past, Cache) else 0
        batch, length = (inputs["inputs_embeds"] if ids is None else ids).shape[:2]
        if tuple(blocks.ids.shape) == (batch, length):
            blocks = replace(blocks, ids=nn.functional.pad(blocks.ids, (held, 0), value=-1))
        if tuple(blocks.ids.shape) != (batch, held + length):
            raise ValueError(
                f"{_TYPES} must have shape {[batch, length]}, one for every token, but have "
                f"{list(blocks.ids.shape)}: pass what the processor returns"
            )
        return Loosened(inputs.get("attention_mask"), blocks)

    def _features(self, model: Any, given: dict[str, Any], ask: Ask) -> tuple[Tensor, Any] | None:
        """What stands for the images, one after the other: [N, E], or [images, .., E]; and what callers see.

        None without any.

        Raises:
            ValueError: where they are given twice.
        """
        before = seen_before(given)
        if before is not None:
            rows = before.pooler_output if self.whole else rows_seen(before)
            return rows, before if self.records else rows
        if given.get("pixel_values") is None:
            return None
        reads = {name: given.get(name) for name in ("pixel_values", *self.beside, *_CHOICE)}
        own = Ask(backend=ask.backend, rows=False, padded=ask.padded)
        states, found = self._read(model, reads, own)
        rows = cast(Tensor, found) if self.whole else torch.cat(tuple(found))
        if not self.records:
            return rows, rows
        record = replace(self.record(model, self.image, states), pooler_output=found)
        return rows, record if ask.hidden else replace(record, hidden_states=None)

    def opened(self, model: Any, given: dict[str, Any]) -> dict[str, Any]:
        """What the image model reads, by the pictures of a call and what is said of them."""
        return given

    def stands(self, model: Any, x: Tensor, given: Mapping[str, Any]) -> Sequence[Tensor] | Tensor:
        """What stands for each picture of a call, [tokens, E], by what the connector made, [.., P, E]."""
        return x if self.whole else list(x)

    def _read(self, model: Any, given: dict[str, Any], ask: Ask) -> tuple[States, Sequence[Tensor] | Tensor]:
        """The image model's states, and what stands for the pictures."""
        choice = {name: given.pop(name, None) for name in _CHOICE}
        states, x = self.connected(model, self.opened(model, given), choice, ask)
        return states, self.stands(model, x, given)

    def connected(
        self,
        model: Any,
        pictures: dict[str, Any],
        choice: Mapping[str, Any],
        ask: Ask,
        before: Callable[[Tensor], Tensor] | None = None,
    ) -> tuple[States, Tensor]:
        """The image model's states, and what the connector makes of them, [.., P, E].

        Args:
            model: the whole.
            pictures: what the image model reads.
            choice: of its states.
            ask: what is asked for.
            before: what is made of them before the connector reads them.
        """
        c = self.connector(model.config)
        layers, keeps = (choice.get(name) for name in _CHOICE)
        layers, keeps = c.layer if layers is None else layers, keeps or c.keeps
        layers = None if c.normed and layers == -1 else layers
        if keeps not in self.chosen:
            raise ValueError(f"vision_feature_select_strategy is {' or '.join(self.chosen)}, not {keeps!r}")
        wanted = replace(ask, hidden=ask.hidden or layers is not None)
        states = self.states(model, self.image, pictures, wanted)
        hidden, x = states.hidden or (), states.last
        if layers is not None:
            x = torch.cat([hidden[i] for i in ([layers] if isinstance(layers, int) else layers)], dim=-1)
        x = x[:, 1:] if keeps == "default" else x
        x = x if before is None else before(x)
        flow = Flow(x.flatten(0, 1) if c.flat else x, states.pass_)
        self.noted(model, states.pass_, pictures)
        compute(model, flow)
        return states, flow.x.flatten(1, -2) if flow.x.dim() > 3 else flow.x

    def noted(self, model: Any, pass_: Pass, pictures: Mapping[str, Any]) -> None:
        """Put what the connector has to know of pictures into a pass."""

    def edge(self, model: Any, ids: Tensor, stop: int, given: dict[str, Any]) -> int:
        """Likewise, and where no tokens that see each other stand on both sides."""
        stop, types = super().edge(model, ids, stop, given), given.get(_TYPES)
        if self.blocks is None or types is None:
            return stop
        own = self.blocks(types).ids
        while stop < own.shape[1] and bool(((own[:, stop - 1] == own[:, stop]) & (own[:, stop] >= 0)).any()):
            stop += 1
        return stop

    def shown_in(self, model: Any, ids: Tensor, given: dict[str, Any], rows: Tensor) -> dict[str, Any]:
        """The pictures of those rows, and the types of their tokens."""
        found, types = super().shown_in(model, ids, given, rows), given.get(_TYPES)
        return found if types is None else {**found, _TYPES: types.index_select(0, rows.to(types.device))}

    def _chosen(
        self, model: Any, ids: Tensor, given: dict[str, Any], which: Callable[..., list[int]]
    ) -> dict[str, Any]:
        """Inputs with the pictures that `which` names, by the tokens of all and how many each fills."""
        pixels, here = given.get("pixel_values"), ids == self.connector(model.config).token
        if pixels is None:
            return given
        kept = which(here, [int(here.sum()) // len(pixels)] * len(pixels))
        rest = {name: value for name, value in given.items() if name != "pixel_values"}
        return {**rest, "pixel_values": pixels[kept]} if kept else rest

    def passed_on(self, states: States) -> dict[str, Any]:
        """The text model's, and what stands for the images."""
        return {**super().passed_on(states), **states.extras}

    def output(self, model: Any, states: States) -> ModelOutput:
        """The text model's last states, and what was asked for."""
        return BaseModelOutput(states.last, **self.passed_on(states))


def features_of(
    assembly: ImageText,
    names: tuple[str, ...],
    read: Callable[[Any, dict[str, Any], Ask], tuple[States, Sequence[Tensor] | Tensor]],
) -> Callable[..., Any]:
    """A method of models that gives what stands for pictures, of which it takes those inputs.

    Args:
        assembly: of the models.
        names: of the inputs, by place.
        read: model, inputs, what is asked for -> the image model's states, and what stands for each picture.
    """
    names = (*names, *_SEEN)

    def features(model: Any, *args: Any, **given: Any) -> Any:
        """The image model's record, whose `pooler_output` holds what stands for each, [tokens, E]."""
        given = bound(model, names, args, given)
        refuse_inputs(model, given, names)
        return_dict, ask = given.pop("return_dict", None), taken_ask(model, given)
        owner = owner_of(model)
        states, found = read(owner, given, ask)
        record = replace(assembly.record(owner, assembly.image, states), pooler_output=found)
        record = record if ask.hidden else replace(record, hidden_states=None)
        return returned(record, return_dict, model.config)

    return features


def placed_at(
    text: Any, token: int, ids: Tensor | None, vectors: Tensor | None, rows: Tensor, what: str = "image"
) -> tuple[Tensor, Tensor]:
    """Embeddings [B, T, E], in which rows [n, E] stand at the tokens of that id, in order; and where, [B, T].

    Args:
        text: the text model, whose table embeds.
        token: the id.
        ids: [B, T], int64; None where the text comes as vectors alone.
        vectors: [B, T, E], what it is so far; None for what the table says.
        rows: what is put there.
        what: it is, for messages.

    Raises:
        ValueError: for more or fewer tokens.
    """
    if ids is not None:
        check_ids(ids)
        here = ids == token  # an id for which the table need have no row
        x = look_up(text, "token", ids.masked_fill(here, 0), "input_ids") if vectors is None else vectors
    else:
        x = cast(Tensor, vectors)
        one = look_up(text, "token", torch.tensor(token, device=x.device), "input_ids")
        here = (x == one).all(-1)
    if not recording() and int(here.sum()) != len(rows):
        raise ValueError(
            f"the texts have {int(here.sum())} {what} tokens (id {token}), but the {what}s fill "
            f"{len(rows)}: write as many into the text as each fills, as the processor does"
        )
    return x.masked_scatter(here[..., None], rows.to(x)), here


def shown_by(here: Tensor, fills: Sequence[int]) -> list[list[int]]:
    """Which pictures each text shows: `here` [B, T] marks the tokens of all, `fills` says how many each has.

    Raises:
        ValueError: where a text ends within a picture.
    """
    found, at = list[list[int]](), 0
    for count in here.sum(1).tolist():
        each = list[int]()
        while count > 0:
            if at == len(fills) or fills[at] > count:
                raise ValueError(
                    f"the texts have {int(here.sum())} tokens for pictures, which fill {sum(fills)}: write "
                    "as many into each text as its own pictures fill, as the processor does"
                )
            count -= fills[at]
            each.append(at)
            at += 1
        found.append(each)
    return found


def still_shown(here: Tensor, held: int, fills: Sequence[int]) -> list[int]:
    """Which pictures the columns behind the first `held` of [B, T] show; see `shown_by`.

    Raises:
        ValueError: where a picture begins among those columns and goes on behind them.
    """
    kept = []
    for before, each in zip(here[:, :held].sum(1).tolist(), shown_by(here, fills), strict=True):
        for one in each:
            if 0 < before < fills[one]:
                raise ValueError(
                    f"the cache holds {before} of the {fills[one]} tokens of a picture: crop it before that"
                )
            kept += [one] if before <= 0 else []
            before -= fills[one]
    return kept


def begun(here: Tensor, stop: int, fills: Sequence[int]) -> list[int]:
    """Which pictures begin in the first `stop` columns of [B, T]; see `shown_by`."""
    kept = []
    for before, each in zip(here[:, :stop].sum(1).tolist(), shown_by(here, fills), strict=True):
        for one in each:
            kept += [one] if before > 0 else []
            before -= fills[one]
    return kept


def behind_picture(here: Tensor, stop: int, fills: Sequence[int]) -> int:
    """The first column from `stop` on where every picture that began before it has ended; see `shown_by`."""
    found = stop
    for row, each in zip(here, shown_by(here, fills), strict=True):
        before, end = int(row[:stop].sum()), 0
        for one in each:
            end += fills[one]
            if end - fills[one] < before < end:
                found = max(found, int(row.nonzero()[end - 1]) + 1)
    return found
