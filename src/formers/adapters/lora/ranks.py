"""A and B with more room than their rank: zeros behind, which change no product."""

from __future__ import annotations

import torch
from torch import Tensor

AXES = {"lora_A": 0, "lora_embedding_A": 0, "lora_B": 1, "lora_embedding_B": 1}  # table -> axis of the rank


def fitted(value: Tensor, axis: int, size: int, groups: int = 1) -> Tensor:
    """A matrix with another size along the axis of its rank: zeros behind, or what lies behind left out.

    Args:
        value: A, [r, ...], or B, [E, r / groups, ...].
        axis: 0 of A, 1 of B.
        size: the new size of that axis.
        groups: of a convolution; each has rows of A of its own.
    """
    if value.shape[axis] == size:
        return value
    if axis:
        groups = 1
    blocks = value.transpose(0, axis)
    blocks = blocks.reshape(groups, -1, *blocks.shape[1:])
    held, wanted = blocks.shape[1], size // groups
    if held < wanted:
        blocks = torch.cat((blocks, blocks.new_zeros(groups, wanted - held, *blocks.shape[2:])), 1)
    return blocks[:, :wanted].reshape(size, *blocks.shape[2:]).transpose(0, axis).contiguous()
