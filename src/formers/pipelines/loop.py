"""The loop through a pipeline's hooks: prepare one by one, run side by side, answer one by one."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from formers.core.outputs import ModelOutput

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
            parts = taken_apart(outputs, [_rows(one) for one in prepared])
            found += [pipe.postprocess(one, **call.postprocess) for one in parts]
        call.done(len(batch))
    return found


def side_by_side(prepared: list[Any], tokenizer: Any) -> Any:
    """Join what `preprocess` gave for several inputs.

    Tensors are joined along their first axis; where their second axes differ they are padded: `input_ids`
    with the padding token, masks and segment ids with 0. Other values become lists.

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
    joined = values[0].new_full((sum(map(len, values)), width, *values[0].shape[2:]), filler)
    start = 0
    for value in values:
        rows = joined[start : start + len(value)]
        column = width - value.shape[1] if left else 0
        rows[:, column : column + value.shape[1]] = value
        start += len(value)
    return joined


def taken_apart(outputs: Any, rows: list[int]) -> list[Any]:
    """Split the outputs of a batch into those of its inputs.

    Args:
        outputs: tensors, tuples, mappings and lists; what does not have one row for each row of the batch is
            given to every input as it is.
        rows: rows of the batch that each input has.
    """
    total, stops = sum(rows), list(accumulate(rows))
    return [
        _rows_of(outputs, slice(stop - count, stop), total) for count, stop in zip(rows, stops, strict=True)
    ]


def _rows(prepared: Any) -> int:
    """Rows that one input brings to a batch: one, unless it was taken apart into windows."""
    values = prepared.values() if isinstance(prepared, Mapping) else [prepared]
    return next((int(value.shape[0]) for value in values if isinstance(value, Tensor) and value.dim()), 1)


def _rows_of(value: Any, part: slice, total: int) -> Any:
    if isinstance(value, Tensor):
        return value[part] if value.dim() and value.shape[0] == total else value
    if isinstance(value, ModelOutput):
        return type(value)(**{key: _rows_of(item, part, total) for key, item in value.items()})
    if isinstance(value, Mapping):
        return {key: _rows_of(item, part, total) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(_rows_of(item, part, total) for item in value)
    if isinstance(value, list) and len(value) == total:
        return value[part.start]
    return value
