"""The stem of text: token, position and segment vectors, summed on the rows that are computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from formers.nn.dropout import Dropout, drop
from formers.nn.fresh import Constant, Fill, Range, Sinusoids, begins
from formers.nn.kernels import project
from formers.nn.layout import Layout
from formers.nn.leaves import ComputedSinusoids, linear, norm, token_table
from formers.nn.passing import Pass
from formers.nn.recording import recording, size
from formers.nn.spec import ComputedPositions, LearnedPositions, Paths, Tokens
from formers.nn.stems.base import Stem, want
from formers.nn.tree import Block, has, leaf, place, place_tensor

_ADVICE = {
    "token": "use the tokenizer of this model, or model.resize_token_embeddings(len(tokenizer)) after adding "
    "tokens",
    "type": "the tokenizer of this model gives the kinds that it knows",
    "task": "the config's task_type_vocab_size says how many kinds of tasks there are",
    "kind": "the config's modality_type_vocab_size says how many kinds of inputs are told apart",
    "language": "the config's n_langs says how many languages there are",
    **dict.fromkeys(
        ("x", "y", "height", "width"), "boxes are left, top, right, bottom, scaled to what the tables hold"
    ),
    **dict.fromkeys(
        ("position", "rotary_table", "entity_position"), "shorter texts fit, as truncation=True makes them"
    ),
}


_BOX = ("x", "y", "height", "width")
_LARGEST = 1023  # of heights and widths that are told apart, where they stand side by side


class TokenStem(Stem):
    """See `spec.Tokens`."""

    inputs: ClassVar = {
        "input_ids": "[B, T], int64.",
        "token_type_ids": "[B, T], int64.",
        "position_ids": "[B, T], int64.",
        "inputs_embeds": "[B, T, E], in place of `input_ids`.",
        "task_type_ids": "[B, T], int64.",
        "langs": "[B, T], int64, the language of every token.",
        "lengths": "[B], int64, how many tokens of each row are read, in place of a mask.",
        "bbox": "[B, T, 4], int64: left, top, right, bottom.",
        "global_attention_mask": "[B, T], 1 at tokens that see all and are seen by all.",
        "lang_ids": "[B] or [B, T], int64, numbers of languages in the order of the config's.",
    }
    by_row = tuple(name for name in inputs if name not in ("lang_ids", "lengths"))

    def place(self, owner: Block, names: Paths) -> None:
        """Register the tables, norm and dropout."""
        s = self.spec
        wanted = {"position": s.positions, "type": s.types, "task": s.tasks, "language": s.languages}
        wanted |= dict.fromkeys(_BOX, s.boxes)
        wanted |= {f"type_{i}": True for i in range(len(s.kinds))}
        want(names, *(role for role, used in wanted.items() if used))
        width = s.table_width or s.width
        self._place_tokens(owner, names, width)
        if s.positions is not None:
            blank = 0 if s.blank else s.positions.padding_idx
            where = positions_of(replace(s.positions, padding_idx=blank), s.width)
            place(owner, "position", str(names["position"]), where)
        if s.languages:
            place(owner, "language", str(names["language"]), nn.Embedding(s.languages, s.width))
        for role in _BOX if s.boxes else ():
            wide = s.width if s.box_widths is None else s.box_widths[role in ("height", "width")]
            place(owner, role, str(names[role]), nn.Embedding(s.boxes, wide))
        if getattr(s.positions, "numbers", False):
            assert isinstance(s.positions, LearnedPositions)
            rows = int(s.room or 0) if s.positions.padding_idx is None else s.positions.count
            self._place_numbers(owner, names, "position_numbers", rows, Range(s.positions.first))
            if s.type_numbers:
                self._place_numbers(owner, names, "type_numbers", rows, Constant(0))
        if s.types:
            place(owner, "type", str(names["type"]), token_table(s.types, s.width, 0 if s.blank else None))
        for i, count in enumerate(s.kinds):
            place(owner, f"type_{i}", str(names[f"type_{i}"]), nn.Embedding(count, s.width))
        if s.norm is not None:
            want(names, "embedding_norm")
            place(owner, "embedding_norm", str(names["embedding_norm"]), norm(s.norm, s.width))
        if s.projects:
            want(names, "embedding_projection")
            read = linear("linear", 3 * width if s.trigrams else width, s.width, s.projection_bias)
            place(owner, "embedding_projection", str(names["embedding_projection"]), read)
        if s.tasks:
            place(owner, "task", str(names["task"]), nn.Embedding(s.tasks, s.width))
        if names.get("embedding_dropout"):
            place(owner, "embedding_dropout", str(names["embedding_dropout"]), Dropout(s.dropout))

    def _place_numbers(self, owner: Block, names: Paths, role: str, rows: int, fresh: Fill) -> None:
        """What files keep and nothing reads, [1, rows]."""
        want(names, role)
        held = torch.empty(1, rows, dtype=torch.int64)
        fresh.fill_(held)
        place_tensor(owner, role, str(names[role]), held, fresh, trained=False)

    def _place_tokens(self, owner: Block, names: Paths, width: int) -> None:
        """Register the table of tokens."""
        s = self.spec
        want(names, "token")
        table = token_table(s.vocabulary, width, s.padding_idx, s.table_scale, rounded=s.table_scale_rounded)
        place(owner, "token", str(names["token"]), table)

    def _vectors(self, node: Any, ids: Tensor | None) -> Tensor:
        """[..] -> [.., E]."""
        return look_up(node, "token", ids, "input_ids")

    def shape(self, given: Mapping[str, Any]) -> tuple[int, int]:
        """B and T of the ids or vectors."""
        ids, vectors = given.get("input_ids"), given.get("inputs_embeds")
        if (ids is None) == (vectors is None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        if ids is not None:
            check_ids(ids)
        found = ids if ids is not None else vectors
        assert found is not None
        if found.dim() < 2:
            raise ValueError(f"inputs have a batch axis, [B, T], but have shape {list(found.shape)}")
        if not found.shape[1]:
            raise ValueError(
                f"the inputs hold no tokens: their shape is {list(found.shape)}. An empty text needs one, "
                "such as the special tokens that a tokenizer adds"
            )
        return size(found.shape[0]), size(found.shape[1])

    def rows_mask(self, mask: Any, given: Mapping[str, Any] | None = None) -> Any:
        """The caller's mask, or what follows from lengths, or from the ids where the spec says so."""
        if mask is not None or given is None or not self.spec.tells_padding:
            return mask
        ids, lengths = given.get("input_ids"), given.get("lengths")
        if lengths is None:
            return None if ids is None or self.spec.padding_idx is None else ids.ne(self.spec.padding_idx)
        batch, length = self.shape(given)
        if lengths.shape != (batch,) or (not recording() and int(lengths.max()) > length):
            raise ValueError(
                f"lengths say how many of {length} tokens each of {batch} rows has, not {lengths}"
            )
        return torch.arange(length, device=lengths.device) < lengths[:, None]

    def positions(
        self, given: Mapping[str, Any], layout: Layout, past: int, real: Tensor | None = None
    ) -> Tensor:
        """Columns, or the count of the tokens that are not padding: [1 or B, T]."""
        learned, ids = self.spec.positions, given.get("input_ids")
        device = (ids if ids is not None else given["inputs_embeds"]).device
        room = self.room
        if room is not None and past + layout.length > room:
            raise ValueError(
                f"the sequence has {past + layout.length} tokens, but the model has {room} positions; "
                f"cut it (truncation=True, max_length={room}) or split it into windows"
            )
        if getattr(learned, "masked", False) and real is not None:
            counts = real.long().cumsum(1) * real - 1  # [B, past + T]
            return counts[:, past:]
        if self.spec.restarts:
            types = given.get("token_type_ids")
            if types is None:  # all in one cell
                types = torch.zeros(1, layout.length, len(self.spec.kinds), dtype=torch.long, device=device)
            return _by_cell(types, self.spec.kinds, learned.count - 1)
        if learned is None or learned.padding_idx is None:
            past += getattr(learned, "first", 0)
            return torch.arange(past, past + layout.length, device=device)[None]
        if ids is None:
            first = learned.padding_idx + 1 + past
            return torch.arange(first, first + layout.length, device=device)[None]
        counted = ids.ne(learned.padding_idx).long()
        found: Tensor = (counted.cumsum(1) + past) * counted + learned.padding_idx  # [B, T]
        return found

    def run(self, node: Any, given: Mapping[str, Any], pass_: Pass) -> Tensor:
        """Ids, types and positions [N] (or [B, T]) -> [N, E] (or [B, T, E])."""
        return self._finished(node, self._summed(node, given, pass_), pass_)

    def _summed(self, node: Any, given: Mapping[str, Any], pass_: Pass) -> Tensor:
        """The vectors of all tables, added."""
        s, vectors = self.spec, given.get("inputs_embeds")
        ids, types, positions = given.get("input_ids"), given.get("token_type_ids"), pass_.geometry.positions
        tasks = given.get("task_type_ids")
        if tasks is not None and not s.tasks:
            raise TypeError("this model has no kinds of tasks (use_task_id is off); leave task_type_ids out")
        languages = given.get("langs")
        if languages is not None and not s.languages:
            raise TypeError("this model has no table of languages; leave langs out")
        x = self._vectors(node, ids) if vectors is None else vectors
        if s.erased is not None and ids is not None:
            x = _erased(x, ids == s.erased[0], s.erased[1], pass_)
        if s.scale != 1.0 and (s.scale_given or vectors is None):
            held = torch.bfloat16 if s.scale_rounded == "bfloat16" else x.dtype
            x = x * (torch.tensor(s.scale, dtype=held).to(x.dtype) if s.scale_rounded else s.scale)
        first = positions.new_zeros(x.shape[:-1] if pass_.watched else 1)  # one row serves all
        if s.projects == "tokens":
            x = project(leaf(node, "embedding_projection"), self._between(x, pass_), None, pass_.watched)
        if s.norm is not None and s.norm_of == "tokens":
            x = leaf(node, "embedding_norm")(x)
        if s.types:
            x = x + look_up(node, "type", first if types is None else types, "token_type_ids")
        if s.share_types and types is not None:
            x = x + leaf(node, "token")(types) * s.scale
        if s.positions is not None:
            offset = getattr(s.positions, "offset", 0)
            x = x + look_up(node, "position", positions, "position_ids", offset).to(x.dtype)
        if languages is not None:
            x = x + look_up(node, "language", languages, "langs")
        if s.tasks:
            x = x + look_up(node, "task", first if tasks is None else tasks, "task_type_ids")
        for i in range(len(s.kinds)):
            x = x + look_up(node, f"type_{i}", first if types is None else types[..., i], "token_type_ids")
        if s.boxes:
            x = x + of_boxes(s, node, given.get("bbox"), first)
        return x

    def _finished(self, node: Any, x: Tensor, pass_: Pass) -> Tensor:
        """The sum, normalised, projected and dropped."""
        s = self.spec
        if s.drops_first:
            x = self._dropped(node, x)
        if s.norm is not None and s.norm_of == "sum":
            x = leaf(node, "embedding_norm")(x)
        if s.projects == "sum":
            x = project(leaf(node, "embedding_projection"), x, None, pass_.watched)
        if s.hides_padding and pass_.visibility.real is not None:
            x = x * pass_.visibility.real.reshape(*x.shape[:-1], 1)
        return x if s.drops_first else self._dropped(node, x)

    def _dropped(self, node: Any, x: Tensor) -> Tensor:
        """The shape stays."""
        if has(node, "embedding_dropout"):
            dropped: Tensor = leaf(node, "embedding_dropout")(x)
            return dropped
        return drop(x, self.spec.dropout) if self.spec.dropout and node.training else x

    def _between(self, x: Tensor, pass_: Pass) -> Tensor:
        """Every token between the one behind it and the one before it: [.., W] -> [.., 3 W]."""
        if not self.spec.trigrams:
            return x
        whole = x if x.dim() == 3 else x.view(pass_.layout.batch, pass_.layout.length, -1)
        behind, before = (nn.functional.pad(whole, (0, 0, *ends)) for ends in ((-1, 1), (1, -1)))
        return torch.cat((behind, whole, before), dim=-1).view(*x.shape[:-1], -1)


def _by_cell(types: Tensor, kinds: tuple[int, ...], last: int) -> Tensor:
    """Types [B, T, kinds] -> places in every token's own cell, counted from its first token, [B, T]."""
    cells = kinds[1] * kinds[2]
    cell = (types[..., 1] * kinds[2] + types[..., 2]).clamp(
        0, cells - 1
    )  # others are refused with their table
    at = torch.arange(cell.shape[1], device=cell.device).expand(cell.shape)
    first = at.new_zeros(len(cell), cells).scatter_reduce(1, cell, at, "amin", include_self=False)
    return (at - first.gather(1, cell)).clamp(max=last)


def of_boxes(s: Tokens, node: Any, boxes: Tensor | None, first: Tensor) -> Tensor:
    """[.., 4] -> [.., E], a sum or what stands side by side; boxes that nobody gave have no size."""
    sides = (first,) * 4 if boxes is None else boxes.unbind(-1)
    left, top, right, bottom = sides
    heights, widths = bottom - top, right - left
    beside = s.box_widths is not None
    if beside and s.box_limited:
        heights, widths = heights.clamp(0, _LARGEST), widths.clamp(0, _LARGEST)
    found = (("x", left), ("y", top), ("x", right), ("y", bottom), ("height", heights), ("width", widths))
    made = [look_up(node, role, at, "bbox") for role, at in found]
    return torch.cat(made, dim=-1) if beside else torch.stack(made).sum(0)


def _erased(x: Tensor, hidden: Tensor, usual: float, pass_: Pass) -> Tensor:
    """[.., E] with zeros where tokens are `hidden` [..], the rest of each row in their place."""
    share, layout = pass_.mean(hidden[..., None].float()), pass_.layout  # [B, 1]
    factor = (1 - usual) / (1 - share).clamp(min=1e-6)  # a row of hidden tokens alone stays zero
    factor = factor.expand(-1, layout.length)
    factor = factor if hidden.dim() == 2 else layout.pack(factor)
    return (x.masked_fill(hidden[..., None], 0.0) * factor[..., None]).to(x.dtype)


def positions_of(s: LearnedPositions | ComputedPositions, width: int) -> nn.Module:
    """The leaf from which positions are read."""
    if isinstance(s, ComputedPositions):
        return ComputedSinusoids(width, s.closed, s.padding_idx, s.cosines)
    table = token_table(s.count + s.offset, width, s.padding_idx)
    if s.fixed:
        begins(table, weight=Sinusoids(s.closed, blank=s.padding_idx)).requires_grad_(False)
    elif s.waves:
        begins(table, weight=Sinusoids(closed=False, turns=True))
    return table


def look_up(node: Any, role: str, ids: Tensor | None, name: str, offset: int = 0) -> Tensor:
    """[..] -> [.., E]; an id outside the table is named (on a CPU: elsewhere the device reports it)."""
    table = leaf(node, role)
    try:
        found: Tensor = table(ids if not offset or ids is None else ids + offset)
    except IndexError as error:
        count = getattr(table, "num_embeddings", 0) - offset
        if ids is None or count <= 0 or bool(((ids >= -offset) & (ids < count)).all()):
            raise
        wrong = int(ids[(ids < -offset) | (ids >= count)][0])
        raise IndexError(
            f"{name} hold {wrong}, but the {role} table has {count} rows (ids 0 to {count - 1}); "
            f"{_ADVICE.get(role, _ADVICE['type'])}"
        ) from error
    return found


def check_ids(ids: Any) -> None:
    """Refuse what is no tensor of token ids.

    Raises:
        TypeError: says what was passed, and what to type.
    """
    if not isinstance(ids, Tensor) or ids.is_floating_point():
        raise TypeError(f"a model reads token ids as an integer tensor, [B, T], not {_described(ids)}")


def _described(given: Any) -> str:
    """What somebody passed for token ids, and what to type instead."""
    kind = type(given).__name__
    if isinstance(given, Tensor):
        return f"a tensor of {given.dtype}: convert it with .long(), or pass vectors as inputs_embeds="
    if isinstance(given, str):
        return "text: tokenize it, model(**tokenizer(text, return_tensors='pt'))"
    if hasattr(given, "keys"):
        return f"a {kind}: unpack it, model(**inputs)"
    return f"{kind}: ask the tokenizer for tensors, tokenizer(text, return_tensors='pt')"
