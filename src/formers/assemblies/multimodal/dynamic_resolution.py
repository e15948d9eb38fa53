"""A text model that reads pictures and films of any size, each of which fills as many tokens as it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from formers.assemblies.base import BaseModel, bound, owner_of, refuse_inputs, returned, taken_ask
from formers.assemblies.multimodal.encoder_outputs import SEEN, seen_before
from formers.assemblies.multimodal.image_text import Remembered, placed_at
from formers.core.outputs import BaseModelOutput, ModelOutput
from formers.nn.cache import Cache
from formers.nn.multimodal_positions import Shown, grid_positions
from formers.nn.recording import recording
from formers.nn.stems.grid_patches import grids_in
from formers.stacks.stack import Ask, States

_SEEN = ("output_attentions", "output_hidden_states", "return_dict")
_TEXT = ("attention_mask", "position_ids", "past_key_values", "use_cache", "cache_position")
Grids = list[tuple[int, int, int]]


@dataclass(frozen=True)
class Kind:
    """A kind of what is shown.

    Attributes:
        name: of it, as in `mm_encoder_outputs`.
        values, grid: names of the inputs that hold its patches, and how many there are.
        token: config -> id of the places that it takes.
        stands: config, grids, inputs -> how each stands in the text.
    """

    name: str
    values: str
    grid: str
    token: Callable[[Any], int]
    stands: Callable[[Any, Grids, Mapping[str, Any]], list[Shown]]


class DynamicResolution(Remembered):
    """A text model and a model of patches, whose pooled rows stand in the text (arXiv:2409.12191).

    Args:
        model_of, text, image: see `Composite`.
        kinds: what may be shown.
        merge: config -> edge of the block of patches that is one token.
        more: names of inputs that are told of each film.
    """

    once = ("pixel_values", "pixel_values_videos", "mm_encoder_outputs")
    sees = "hidden_states"

    def __init__(
        self,
        model_of: Callable[[Any], type[BaseModel]],
        text: tuple[str, str],
        image: tuple[str, str],
        kinds: Sequence[Kind],
        merge: Callable[[Any], int],
        more: tuple[str, ...] = (),
    ) -> None:
        super().__init__(model_of, text, image)
        self.kinds, self.merge, self.more = tuple(kinds), merge, more
        values, grids = ([getattr(kind, field) for kind in kinds] for field in ("values", "grid"))
        self.once = (*values, *grids, *more, "mm_token_type_ids", "mm_encoder_outputs")
        self.inputs = (
            *("input_ids", "attention_mask", "position_ids", "past_key_values", "inputs_embeds", "use_cache"),
            *(*values, *grids, "mm_token_type_ids", *more, "mm_encoder_outputs"),
            *_SEEN,
            "cache_position",
        )
        self.offers = {f"get_{kind.name}_features": _features_of(self, kind) for kind in kinds}
        self.offers["get_rope_index"] = _rope_index(self)

    # -- what is computed --------------------------------------------------------------------------

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Embed the text, put what stands for pictures into it, and run the text model.

        Raises:
            ValueError: when texts have more or fewer tokens than the pictures fill.
        """
        inputs = {key: given.get(key) for key in (*_TEXT, "input_ids", "inputs_embeds")}
        shown, deep = dict[Kind, Tensor](), dict[Kind, list[Tensor]]()
        for kind in self.kinds:
            found = self._rows(model, kind, given, ask)
            if found is not None:
                shown[kind], deep[kind] = torch.cat(found[0]), found[1]
        places = None
        if inputs["position_ids"] is None:
            inputs["position_ids"] = places = self.positions(model, given)
        if shown:
            ids, x = inputs.pop("input_ids"), inputs["inputs_embeds"]
            if (ids is None) == (x is None):
                raise ValueError("give exactly one of input_ids and inputs_embeds")
            where: dict[Kind, Tensor] = {}
            for kind, rows in shown.items():
                token = kind.token(model.config)
                x, where[kind] = placed_at(self.part_of(model), token, ids, x, rows, kind.name)
            inputs["inputs_embeds"] = x
            assert x is not None
            inputs.update(_deepened(x, where, deep))
        states = self.states(model, self.text, inputs, ask)
        if shown and places is not None and states.cache is not None:
            states.cache.ahead = _ahead(places, given.get("attention_mask"))
        return states

    def _rows(
        self, model: Any, kind: Kind, given: Mapping[str, Any], ask: Ask
    ) -> tuple[tuple[Tensor, ...], list[Tensor]] | None:
        """What stands for each picture, [tokens, E], and what was found before that; None without any."""
        before, values = seen_before(given, kind.name, kind.values), given.get(kind.values)
        if before is not None:
            deeper = getattr(before, "deepstack_features", None) or ()
            return tuple(before.pooler_output), [torch.cat(tuple(one)) for one in deeper]
        if values is None:
            return None
        inner = Ask(backend=ask.backend, rows=False, padded=ask.padded)
        states = self._seen(model, values, given.get(kind.grid), kind, inner)
        found = self.apart(model.config, states.pooled, given[kind.grid])
        return found, states.extras.get("deepstack_features") or []

    def _seen(self, model: Any, values: Any, grid: Any, kind: Kind, ask: Ask) -> States:
        grids_in(grid, kind.grid)
        return self.states(model, self.image, {"hidden_states": values, "grid_thw": grid}, ask)

    def apart(self, config: Any, rows: Any, grid: Tensor) -> tuple[Tensor, ...]:
        """The rows of each picture."""
        return torch.split(rows, (grid.prod(-1) // self.merge(config) ** 2).tolist())

    # -- where tokens stand ------------------------------------------------------------------------

    def positions(self, model: Any, given: Mapping[str, Any]) -> Tensor | None:
        """Positions of all tokens on each axis, [3, B, T]; None where they are those of plain texts."""
        ids, cache, c = given.get("input_ids"), given.get("past_key_values"), model.config
        past = cache.get_seq_length() if isinstance(cache, Cache) else 0
        grids = {i: given.get(kind.grid) for i, kind in enumerate(self.kinds, 1)}
        shown = {i: grid for i, grid in grids.items() if grid is not None}
        if not shown or ids is None or recording():
            ahead = getattr(cache, "ahead", None)
            return None if not past or ahead is None else self._behind(given, past, ahead)
        mask = given.get("attention_mask")
        kinds, told = torch.zeros_like(ids), given.get("mm_token_type_ids")
        for i, kind in enumerate(self.kinds, 1):
            here = (ids == kind.token(c)) if told is None else told == i
            kinds = kinds.masked_fill(here, i)
        stands = {
            i: self.kinds[i - 1].stands(c, grids_in(grid, self.kinds[i - 1].grid), given)
            for i, grid in shown.items()
        }
        real = mask if mask is not None and tuple(mask.shape) == tuple(ids.shape) else None
        return grid_positions(kinds, stands, real)

    @staticmethod
    def _behind(given: Mapping[str, Any], past: int, ahead: Tensor) -> Tensor:
        """Positions of words behind a prompt with pictures, whose positions are fewer than its tokens."""
        ids = given.get("input_ids")
        new: Tensor = given["inputs_embeds"] if ids is None else ids
        mask = given.get("attention_mask")
        if mask is None:
            columns = torch.arange(past, past + new.shape[1], device=new.device)[None]
        else:
            columns = (mask.long().cumsum(1) - 1)[:, -new.shape[1] :]
        return (columns + ahead)[None].expand(3, -1, -1)

    def shown_in(self, model: Any, ids: Tensor, given: dict[str, Any], rows: Tensor) -> dict[str, Any]:
        """What is shown in those rows."""
        found, kinds = super().shown_in(model, ids, given, rows), given.get("mm_token_type_ids")
        return found if kinds is None else {**found, "mm_token_type_ids": kinds.index_select(0, rows)}

    def _chosen(
        self, model: Any, ids: Tensor, given: dict[str, Any], which: Callable[..., list[int]]
    ) -> dict[str, Any]:
        """Inputs with what `which` names, by the tokens of all and how many each fills."""
        given = dict(given)
        for kind in self.kinds:
            grid, values = given.get(kind.grid), given.get(kind.values)
            if grid is None or (values is None and given.get(SEEN) is None):
                continue
            sizes = [t * h * w for t, h, w in grids_in(grid, kind.grid)]
            fills = [size // self.merge(model.config) ** 2 for size in sizes]
            kept = which(ids == kind.token(model.config), fills)
            if values is not None:
                parts = torch.split(values, sizes)
                given[kind.values] = torch.cat([parts[i] for i in kept]) if kept else None
            given[kind.grid] = grid[kept] if kept else None
            for name in self.more if kind.name == "video" else ():
                told = given.get(name)
                given[name] = None if told is None or not kept else torch.as_tensor(told)[kept]
        return {name: value for name, value in given.items() if value is not None}

    def tokens(self, config: Any) -> dict[str, int]:
        """Of every kind."""
        return {kind.name: kind.token(config) for kind in self.kinds}

    def output(self, model: Any, states: States) -> ModelOutput:
        """The text model's last states, and what was asked for."""
        return BaseModelOutput(states.last, **self.passed_on(states))


def in_rows(config: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """What is given of pictures [B, P, width], zeros behind each one's patches, for `DynamicResolution`.

    Their tokens stand one behind another, as words do. Faysse et al. 2024 (arXiv:2407.01449) train so.

    Raises:
        ValueError: for patches of more or fewer pictures than grids, or too few of one.
    """
    values, grid, found = given.get("pixel_values"), given.get("image_grid_thw"), dict(given)
    if values is None:
        return found
    sizes = [t * h * w for t, h, w in grids_in(grid, "image_grid_thw")]
    if values.dim() != 3 or len(values) != len(sizes) or max(sizes) > values.shape[1]:
        raise ValueError(
            f"pixel_values are {tuple(values.shape)}, but image_grid_thw tells of {len(sizes)} pictures with "
            f"{sizes} patches: give a row of patches for each, [{len(sizes)}, {max(sizes)}, width]"
        )
    real = (
        torch.arange(values.shape[1], device=values.device)
        < torch.tensor(sizes, device=values.device)[:, None]
    )
    found["pixel_values"] = values[real]
    if found.get("position_ids") is None:
        new, cache = given.get("input_ids"), given.get("past_key_values")
        past = cache.get_seq_length() if isinstance(cache, Cache) else 0
        rows, count = (given["inputs_embeds"] if new is None else new).shape[:2]
        found["position_ids"] = torch.arange(past, past + count, device=values.device).expand(rows, -1)
    return found


def _features_of(assembly: DynamicResolution, kind: Kind) -> Callable[..., Any]:
    names = (kind.values, kind.grid, *_SEEN)

    def features(model: Any, *args: Any, **given: Any) -> Any:
        """The image model's record, whose `pooler_output` holds what stands for each, [tokens, E]."""
        given = bound(model, names, args, given)
        refuse_inputs(model, given, names)
        return_dict, ask = given.pop("return_dict", None), taken_ask(model, given)
        owner = owner_of(model)
        states = assembly._seen(owner, given.get(kind.values), given.get(kind.grid), kind, ask)
        record = assembly.record(owner, assembly.image, states)
        grid, deep = given[kind.grid], states.extras.get("deepstack_features")
        found: dict[str, Any] = {"pooler_output": assembly.apart(owner.config, states.pooled, grid)}
        if deep:
            found["deepstack_features"] = [assembly.apart(owner.config, one, grid) for one in deep]
        record = replace(record, **found)
        return returned(record, return_dict, model.config)

    return features


def _deepened(
    x: Tensor, where: Mapping[Kind, Tensor], deep: Mapping[Kind, Sequence[Tensor]]
) -> dict[str, Any]:
    """What layers of the text model [B, T, E] add where something stands; nothing where nothing was found."""
    layers = min(len(each) for each in deep.values())
    if not layers:
        return {}
    here = torch.stack([*where.values()]).any(0)
    each = []
    for i in range(layers):
        rows = x.new_zeros(x.shape)
        for kind, mask in where.items():
            rows = rows.masked_scatter(mask[..., None], deep[kind][i].to(x))
        each.append(rows[here])
    return {"visual_pos_masks": here, "deepstack_visual_embeds": each}


def _ahead(places: Tensor, real: Tensor | None) -> Tensor:
    """How far what follows positions [3, B, T] stands ahead of the number of their tokens: [B, 1]."""
    counts = places.shape[2] if real is None else real.long().sum(1, keepdim=True)
    return places.amax((0, 2))[:, None] + 1 - counts


def _rope_index(assembly: DynamicResolution) -> Callable[..., Any]:
    def get_rope_index(model: Any, input_ids: Tensor, **given: Any) -> tuple[Tensor, Tensor]:
        """Positions of a prompt, [3, B, T], and how far what follows is ahead of its tokens, [B, 1]."""
        owner, mask = owner_of(model), given.get("attention_mask")
        found = assembly.positions(owner, {"input_ids": input_ids, **given})
        if found is None:
            raise ValueError("positions in grids are those of prompts with pictures: pass their grids")
        return found, _ahead(found, mask)

    return get_rope_index
