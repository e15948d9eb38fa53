"""Growing and shrinking the token tables of a model."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from formers.model.initialise import mark_filled
from formers.nn.leaves import token_table

_NOISE = 1e-2  # of the old rows' deviation: new tokens start apart, so that they can learn apart


def resize(model: Any, count: int | None, multiple: int | None, mean: bool) -> nn.Module:
    """The body of `PreTrainedModel.resize_token_embeddings`; see there."""
    table = model.get_input_embeddings()
    assert isinstance(table, nn.Embedding)
    count = table.num_embeddings if count is None else count
    if count <= 0:
        raise ValueError(f"the number of tokens must be positive, but is {count}")
    if multiple:
        count = -(-count // multiple) * multiple
    if count == table.num_embeddings:
        return table
    output = model.get_output_embeddings()
    tied = output is not None and output.weight is table.weight
    model.set_input_embeddings(resized_table(table, count, mean))
    if output is not None:
        _resize_output(model, output, count, mean, tied)
    for beside in model._tables_beside():
        beside.weight = nn.Parameter(_rows(beside.weight.t(), count, mean).t().contiguous())
        beside.in_features = count
        mark_filled(beside)
    model.config.get_text_config().vocab_size = count
    model.tie_weights()
    resized: nn.Module = model.get_input_embeddings()
    return resized


def resized_table(old: nn.Embedding, count: int, mean: bool) -> nn.Embedding:
    """A table of `count` rows that begins with those of `old`; the others as `resize` makes them."""
    weight = _rows(old.weight, count, mean)
    padding = old.padding_idx if old.padding_idx is not None and old.padding_idx < count else None
    scale, rounded = getattr(old, "scale", 1.0), getattr(old, "rounded", False)
    new = token_table(count, old.embedding_dim, padding, scale, weight, rounded)
    new.weight.requires_grad_(old.weight.requires_grad)
    mark_filled(new)
    return new.train(old.training)


def _resize_output(model: Any, old: nn.Module, count: int, mean: bool, tied: bool) -> None:
    assert isinstance(old, nn.Linear)
    new = nn.Linear(old.in_features, count, bias=old.bias is not None, device="meta")
    source = model.get_input_embeddings().weight if tied else _rows(old.weight, count, mean)
    assert isinstance(source, Tensor)
    new.weight = source if isinstance(source, nn.Parameter) else nn.Parameter(source)
    if old.bias is not None:
        new.bias = nn.Parameter(_entries(old.bias, count))
    mark_filled(new)
    model.set_output_embeddings(new)


@torch.no_grad()
def _rows(old: Tensor, count: int, mean: bool) -> Tensor:
    """[V, E] -> [count, E]."""
    new = old.new_empty(count, old.shape[1])
    kept = min(count, old.shape[0])
    new[:kept] = old[:kept]
    if count > kept:
        wide = old.float()
        centre = wide.mean(0) if mean else torch.zeros_like(wide[0])
        spread = wide.std(0) * (_NOISE if mean else 1.0)
        fresh = centre + torch.randn(count - kept, old.shape[1], device=old.device) * spread
        new[kept:] = fresh.to(old.dtype)
    return new


@torch.no_grad()
def _entries(old: Tensor, count: int) -> Tensor:
    """[V] -> [count], zeros for what is new."""
    new = old.new_zeros(count)
    kept = min(count, old.shape[0])
    new[:kept] = old[:kept]
    return new
