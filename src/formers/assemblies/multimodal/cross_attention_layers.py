"""A text model some of whose layers read pictures, which an encoder sees in tiles: Llama 3.2 Vision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from formers.assemblies.base import BaseModel, states_of
from formers.assemblies.composite import Composite
from formers.assemblies.encoder_decoder import stack_part
from formers.assemblies.single import Single
from formers.core.notices import notice
from formers.core.outputs import BaseModelOutput, ModelOutput
from formers.model.base import PreTrainedModel
from formers.nn import spec
from formers.nn.cache import Cache, Kept
from formers.nn.kernels import project
from formers.nn.leaves import linear
from formers.nn.masks import Explicit, Full, Mask, Written, taken_apart
from formers.nn.mixers.kept_cross_attention import CrossAttended
from formers.nn.recording import recording
from formers.nn.stems.tile_patches import FORMS, REAL, TileEmbedding
from formers.nn.tree import leaf, place, wiring
from formers.nn.watch import watched
from formers.stacks.stack import Ask, Inputs, States

_PIXELS, _STATES, _SEEN, _COUNTS = (
    "pixel_values",
    "cross_attention_states",
    "cross_attention_mask",
    "full_text_row_masked_out_mask",
)
_ENDS = ("past_key_values", "inputs_embeds", "use_cache")
_MEANS = {
    _STATES: "[B * n, P, E], what layers see beside the text: n parts of P places for each row.",
    _SEEN: "what each token sees of that: [B, T, pictures, tiles], 1 where it sees a tile; of the text model "
    "alone [B, 1, T, S], added to scores, or bool.",
    _COUNTS: "[B, 1, T, 1], 0 for tokens that see nothing.",
}


class TileEncoder(Single):
    """Two stacks over all tiles of a picture, the second behind a further embedding of tiles.

    Tiles and rows that hold nothing see what holds something; all else sees all, those too (Llama Team 2024,
    arXiv:2407.21783, section 7.2). What some layers of the first stack made stands behind the last states.

    Args:
        first: config -> the first stack, whose stem is `spec.TilePatches`.
        second: config -> the second, of `spec.Vectors`.
        kept: config -> numbers of those layers.
        paths: of that embedding, and of the second stack.
    """

    def __init__(
        self,
        first: Callable[[Any], spec.Stack],
        second: Callable[[Any], spec.Stack],
        kept: Callable[[Any], Sequence[int]],
        paths: tuple[str, str],
    ) -> None:
        super().__init__(first, spec.TilePatches, reads=(_PIXELS, FORMS, REAL))
        self.second, self.kept, self.paths = Single(second, spec.Vectors), kept, paths

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register both stacks, and the embedding between them."""
        super().place(model, config, pooler, masked)
        place(model, "tile_after", self.paths[0], TileEmbedding(self.spec(config).stem))  # type: ignore[arg-type]  # see above
        place(model, "second", self.paths[1], stack_part(config, self.second, spec.Vectors))

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """[B, pictures, tiles, P, E * (1 + kept)], without hidden states and weights."""
        first: spec.Stack = wiring(model).facts["spec"]
        tiles: Any = first.stem
        if ask.hidden or ask.attentions:
            notice(
                f"{type(model).__name__} returns its last states, in which some of its layers' stand; hidden "
                "states and weights of attention it does not show"
            )
        given = {name: given.get(name) for name in (_PIXELS, FORMS, REAL)}
        wiring(model).facts["stem"].shape(given)
        ask.padded = watched(model) if ask.padded is None else ask.padded
        own = replace(ask, hidden=True, attentions=False, rows=False)
        mask = _around_nothing(given[REAL].flatten(0, 1) > 0, tiles)
        states = self._compute(model, Inputs(given, mask), own)
        shape = (-1, tiles.tiles, tiles.padded, first.width)
        x = leaf(model, "tile_after")(states.last.reshape(shape), given[FORMS].reshape(-1, 1))
        reads = {"inputs_embeds": x.flatten(1, 2), "attention_mask": mask}
        last = states_of(leaf(model, "second"), reads, replace(own, hidden=False)).last
        hidden = states.hidden or ()
        between = torch.stack([hidden[i + 1 if i >= 0 else i] for i in self.kept(model.config)], dim=-1)
        x = torch.cat((last, between.flatten(-2)), dim=-1)
        x = x.reshape(*given[FORMS].shape, tiles.tiles, tiles.padded, x.shape[-1])
        rows = x[..., : tiles.count, :]
        return States(rows, replace(states.pass_, trace={}), spread_out=True)


def _around_nothing(real: Tensor, s: spec.TilePatches) -> Tensor:
    """Which rows of tiles, `real` [pictures, tiles], see which: [pictures, 1, S, S], bool.

    Where no tile is real all see all.
    """
    places = torch.arange(s.padded, device=real.device) < s.count
    held = (real[:, :, None] & places).flatten(1)  # [pictures, S]
    seen = held[:, :, None] | held[:, None] | ~held.any(1)[:, None, None]
    return seen[:, None]


class CrossAttentionText(Single):
    """A decoder some of whose layers are cross attention to states that it is given, or that its cache keeps.

    Args:
        stack: config -> the decoder.
        beside: the name under which those layers read.
    """

    once = (_STATES,)

    def __init__(self, stack: Callable[[Any], spec.Stack], beside: str) -> None:
        reads = ("input_ids", "attention_mask", "position_ids", _STATES, _SEEN, _COUNTS, *_ENDS)
        super().__init__(stack, reads=(*reads, "cache_position"))
        self.beside, self.means = beside, {**self.means, **_MEANS}

    def _beside(self, model: Any, given: dict[str, Any], past: Cache | None) -> dict[str, Any]:
        """What is seen, where there is anything.

        Raises:
            ValueError: for masks without anything to see, and for what does not fit the text.
        """
        states, seen, counts = (given.get(name) for name in (_STATES, _SEEN, _COUNTS))
        if states is None and (past is None or not holds(past)):
            if seen is None and counts is None:
                return {}
            raise ValueError(
                f"{_SEEN} says what is seen of pictures, but neither the call nor the cache has any: pass "
                f"them, or leave it out"
            )
        text = given.get("input_ids") if given.get("inputs_embeds") is None else given["inputs_embeds"]
        batch, length = text.shape[:2] if isinstance(text, Tensor) else (1, 1)
        if states is not None and (states.dim() != 3 or len(states) % batch):
            raise ValueError(
                f"{_STATES} must have shape [{batch} * n, P, E], n parts for each of {batch} texts, not "
                f"{list(states.shape)}"
            )
        for name, mask in ((_SEEN, seen), (_COUNTS, counts)):
            if mask is not None and (mask.dim() != 4 or mask.shape[:3] != (batch, 1, length)):
                raise ValueError(
                    f"{name} of the text model has a row for every token that is read, [{batch}, 1, {length},"
                    f" ..], not {list(mask.shape)}: the whole model makes it of [B, T, pictures, tiles]"
                )
        mask, bias = self._mask(seen)
        counts = None if counts is None else counts.view(batch, length)
        return {
            self.beside: CrossAttended(states, mask, bias, counts, None if seen is None else seen.shape[3])
        }

    @staticmethod
    def _mask(seen: Tensor | None) -> tuple[Mask, Tensor | None]:
        """As layers read it; tokens that see nothing see all, and what comes of it counts for nothing."""
        if seen is None:
            return Full(), None
        shown, bias = taken_apart(seen)
        return Written(Explicit(shown | ~shown.any(-1, keepdim=True))), bias


def holds(cache: Cache) -> bool:
    """Whether a cache keeps what stands beside a text."""
    return any(isinstance(slot, Kept) and slot.length for slot in cache.slots)


class CrossAttentionLayers(Composite):
    """A text model whose layers see pictures by cross attention (Alayrac et al. 2022, arXiv:2204.14198).

    Args:
        model_of, text, image: see `Composite`.
        token: config -> id of the token that a text shows a picture by.
        width: config -> that of the image model's states.
        projector: path of what makes them as wide as the text model.
    """

    once = (_PIXELS, REAL, FORMS, _STATES)

    def __init__(
        self,
        model_of: Callable[[Any], type[BaseModel]],
        text: tuple[str, str],
        image: tuple[str, str],
        token: Callable[[Any], int],
        width: Callable[[Any], int],
        projector: str,
    ) -> None:
        super().__init__(model_of, text, image)
        self.token, self.width, self.projector, self.means = token, width, projector, _MEANS
        seen = ("output_attentions", "output_hidden_states", "return_dict", "cache_position")
        first = ("input_ids", _PIXELS, REAL, FORMS, "attention_mask", _SEEN, _STATES, "position_ids")
        self.inputs = (*first, *_ENDS, *seen)

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register both models, and the projection between them."""
        super().place(model, config, pooler, masked)
        made = linear("linear", self.width(config), self.spec(config).width)
        place(model, "connect", self.projector, made)

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """See the pictures, where there are any, and read the text.

        Raises:
            ValueError: for pictures that are given twice, what says more of none, and masks that do not fit.
        """
        pictures = {name: given.pop(name, None) for name in (_PIXELS, FORMS, REAL)}
        ask.padded = watched(model) if ask.padded is None else ask.padded
        if pictures[_PIXELS] is not None:
            if given.get(_STATES) is not None:
                raise ValueError(f"give one of {_PIXELS} and {_STATES}")
            own = Ask(backend=ask.backend, rows=False, padded=ask.padded)
            x = self.states(model, self.image, pictures, own).last
            given[_STATES] = project(leaf(model, "connect"), x, None, bool(ask.padded)).flatten(0, 2)
        elif any(value is not None for value in pictures.values()):
            raise ValueError(
                f"{FORMS} and {REAL} say something of pictures: pass {_PIXELS} too, or leave them out"
            )
        if given.get(_SEEN) is not None:
            given |= self._seen(model.config, given)
        return self.states(model, self.text, given, ask)

    def _seen(self, config: Any, given: dict[str, Any]) -> dict[str, Any]:
        """The mask over tiles, [B, T or all tokens so far, pictures, tiles], as the text model reads it."""
        mask: Tensor = given[_SEEN]
        text = given.get("input_ids") if given.get("inputs_embeds") is None else given["inputs_embeds"]
        past = given.get("past_key_values")
        batch, length = text.shape[:2] if isinstance(text, Tensor) else mask.shape[:2]
        held = past.get_seq_length() if isinstance(past, Cache) and mask.shape[1] != length else 0
        read = mask[:, held : held + length]
        tiles: Any = self.stack(config, self.image).stem
        if mask.dim() != 4 or read.shape[:2] != (batch, length) or mask.shape[3] != tiles.tiles:
            raise ValueError(
                f"{_SEEN} must have shape [{batch}, {held + length}, pictures, {tiles.tiles}], which tiles "
                f"of which pictures each token sees, not {list(mask.shape)}: pass what the processor returns"
            )
        seen = (read == 1).flatten(2)  # [B, T, all tiles]
        counts = seen.any(-1)
        seen = seen.repeat_interleave(tiles.count, dim=-1) | ~counts[..., None]
        return {_SEEN: seen[:, None], _COUNTS: counts[:, None, :, None]}

    def unread(self, model: Any, ids: Tensor, held: int, given: dict[str, Any]) -> dict[str, Any]:
        """The inputs without the pictures of the first `held` columns of [B, T], which a cache holds.

        Raises:
            ValueError: where the texts of a batch show different numbers of pictures there.
        """
        pixels = given.get(_PIXELS)
        if pixels is None:
            return given
        here = ids == self.token(model.config)
        new, before = here[:, held:].sum(1), here[:, :held].sum(1)
        if not recording() and bool((before != before[0]).any()):
            raise ValueError(
                f"the cache holds {before.tolist()} pictures of the texts, and later ones stand behind as "
                "many of each: go on with texts of as many pictures, or with one at a time"
            )
        count, kept = pixels.shape[1], int(new.max())
        if not kept:
            return {name: value for name, value in given.items() if name not in self.once}
        parts = {name: given[name][:, count - kept :] for name in (_PIXELS, FORMS, REAL) if name in given}
        return {**given, **parts}

    def output(self, model: Any, states: States) -> ModelOutput:
        """The text model's last states, and what was asked for."""
        return BaseModelOutput(states.last, **self.passed_on(states))
