"""The loop through a pipeline's hooks: prepare one by one, run side by side, answer one by one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from formers.outputs import ModelOutput

if TYPE_CHECKING:
    from formers.pipelines.frame import Call, Pipeline


def answers(pipe: Pipeline, items: list[Any], call: Call) -> list[Any]:
    """Answer `items` through the hooks of `pipe`, at most `batch_size` (1 unless given) in a batch."""
    size = call.batch_size or 1
    found: list[Any] = []
    for start in range(0, len(items), size):
        batch = items[start : start + size]
        if size == 1:
            found += [
                pipe.run_single(item, call.preprocess, call.forward, call.postprocess) for item in batch
            ]
        else:
            prepared = [pipe.preprocess(item, **call.preprocess) for item in batch]
            outputs = pipe.forward(side_by_side(prepared, pipe.tokenizer), **call.forward)
            found += [pipe.postprocess(one, **call.postprocess) for one in taken_apart(outputs, len(batch))]
        call.done(len(batch))
    return found


def side_by_side(prepared: list[Any], tokenizer: Any) -> Any:
    """Join what `preprocess` gave for several inputs.

    Tensors [1, ...] are joined along their first axis; where their second axes differ they are padded:
    `input_ids` with the padding token, masks and segment ids with 0. Other values become lists.

    Raises:
        ValueError: when the inputs have different keys, or there is no padding token for ids to be padded.
    """
    if not isinstance(prepared[0], Mapping):
        if all(isinstance(one, Tensor) for one in prepared):
            return torch.cat(prepared)
        raise ValueError(
            f"preprocess gave {type(prepared[0]).__name__}, which cannot be batched: return a mapping of "
            "tensors, or leave batch_size out"
        )
    keys = list(prepared[0])
    if any(set(one) != set(keys) for one in prepared):
        raise ValueError(f"preprocess gave different keys for the inputs of one batch (the first has {keys})")
    return {key: _joined(key, [one[key] for one in prepared], tokenizer) for key in keys}


def _joined(key: str, values: list[Any], tokenizer: Any) -> Any:
    if not all(isinstance(value, Tensor) for value in values):
        return values
    widths = {value.shape[1] for value in values if value.dim() > 1}
    if len(widths) < 2:
        return torch.cat(values)
    filler: Any = 1 if key in ("special_tokens_mask", "p_mask") else 0
    if key == "input_ids":
        filler = getattr(tokenizer, "pad_token_id", None)
        if filler is None:
            raise ValueError(
                "inputs of different length cannot be batched without a padding token: set "
                "pipe.tokenizer.pad_token = pipe.tokenizer.eos_token, or leave batch_size out"
            )
    width, left = max(widths), getattr(tokenizer, "padding_side", "right") == "left"
    joined = values[0].new_full((len(values), width, *values[0].shape[2:]), filler)
    for row, value in zip(joined, values, strict=True):
        kept = row[width - value.shape[1] :] if left else row[: value.shape[1]]
        kept.copy_(value[0])
    return joined


def taken_apart(outputs: Any, count: int) -> list[Any]:
    """Split the outputs of a batch into those of its inputs, each with a batch axis of length 1."""
    return [_row(outputs, index, count) for index in range(count)]


def _row(value: Any, index: int, count: int) -> Any:
    if isinstance(value, Tensor):
        return value[index : index + 1] if value.dim() and value.shape[0] == count else value
    if isinstance(value, ModelOutput):
        return type(value)(**{key: _row(item, index, count) for key, item in value.items()})
    if isinstance(value, Mapping):
        return {key: _row(item, index, count) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(_row(item, index, count) for item in value)
    if isinstance(value, list) and len(value) == count:
        return value[index]
    return value
