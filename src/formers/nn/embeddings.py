"""What enters the first layer: token, position and segment vectors, summed on real tokens only."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from formers.nn import spec
from formers.nn.dropout import drop
from formers.nn.layout import Layout
from formers.nn.leaves import Block, norm, token_table


def place_embeddings(block: Block, s: spec.Embeddings, paths: Mapping[str, str]) -> None:
    """Register the tables under the roles `token`, `position`, `type` and `embedding_norm`."""
    block.place("token", paths["token"], token_table(s.vocabulary, s.width, s.padding_idx, s.table_scale))
    if s.positions is not None:
        count = s.positions.count + s.positions.offset
        table = nn.Embedding(count, s.width, padding_idx=s.positions.padding_idx)
        block.place("position", paths["position"], table)
    if s.types:
        block.place("type", paths["type"], nn.Embedding(s.types, s.width))
    if s.norm is not None:
        block.place("embedding_norm", paths["embedding_norm"], norm(s.norm, s.width))


def column_positions(
    s: spec.Embeddings, layout: Layout, input_ids: Tensor | None, past: int, device: torch.device
) -> Tensor:
    """Positions of every place where the caller gave none: [1 or B, T], int64."""
    learned = s.positions
    if learned is None or learned.padding_idx is None:
        return torch.arange(past, past + layout.length, device=device)[None]
    if input_ids is None:
        first = learned.padding_idx + 1 + past
        return torch.arange(first, first + layout.length, device=device)[None]
    counted = input_ids.ne(learned.padding_idx).long()
    return (counted.cumsum(1) + past) * counted + learned.padding_idx  # [B, T]


def check_positions(s: spec.Embeddings, layout: Layout, past: int) -> None:
    """Refuse a sequence longer than the position table.

    Raises:
        ValueError: with the length found and the length allowed.
    """
    if s.positions is None:
        return
    room = s.positions.count
    if s.positions.padding_idx is not None:
        room -= s.positions.padding_idx + 1
    if past + layout.length > room:
        raise ValueError(
            f"the sequence has {past + layout.length} tokens, but the model has {room} positions; "
            f"cut it (truncation=True, max_length={room}) or split it into windows"
        )


_ADVICE = {
    "token": "use the tokenizer of this model, or model.resize_token_embeddings(len(tokenizer)) after adding "
    "tokens",
    "type": "the tokenizer of this model gives the kinds that it knows",
    "position": "shorter texts fit, as truncation=True makes them",
}


def _look_up(block: Block, role: str, ids: Tensor | None, name: str, offset: int = 0) -> Tensor:
    """[N] -> [N, E]; an id outside the table is named (on a CPU: elsewhere the device reports it)."""
    table = block.leaf(role)
    try:
        found: Tensor = table(ids if not offset or ids is None else ids + offset)
    except IndexError as error:
        count = getattr(table, "num_embeddings", 0) - offset
        if ids is None or count <= 0 or bool(((ids >= -offset) & (ids < count)).all()):
            raise
        wrong = int(ids[(ids < -offset) | (ids >= count)][0])
        raise IndexError(
            f"{name} hold {wrong}, but the {role} table has {count} rows (ids 0 to {count - 1}); "
            f"{_ADVICE[role]}"
        ) from error
    return found


def embed(
    block: Block,
    s: spec.Embeddings,
    ids: Tensor | None,
    vectors: Tensor | None,
    positions: Tensor,
    types: Tensor | None,
) -> Tensor:
    """Embed rows.

    Args:
        block: owner of the tables.
        s: how they are combined.
        ids: [N], int64, or None when `vectors` are given.
        vectors: [N, E], in place of the token table.
        positions: [N], int64.
        types: [N], int64; zeros when None.

    Returns:
        [N, E].
    """
    x = _look_up(block, "token", ids, "input_ids") if vectors is None else vectors
    if s.scale != 1.0:
        x = x * s.scale
    if s.types:
        types = types if types is not None else positions.new_zeros(1)  # one row serves all
        x = x + _look_up(block, "type", types, "token_type_ids")
    if s.share_types and types is not None:
        x = x + block.leaf("token")(types)
    if s.positions is not None:
        x = x + _look_up(block, "position", positions, "position_ids", s.positions.offset)
    if s.norm is not None:
        x = block.leaf("embedding_norm")(x)
    return drop(x, s.dropout) if s.dropout and block.training else x
