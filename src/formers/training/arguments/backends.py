"""Switches of torch that belong to the process: set for a block, and put back after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from formers.training.arguments.table import ArgumentTable


@contextmanager
def tf32(args: ArgumentTable) -> Iterator[None]:
    """Let float32 products use TF32, or not, as `args.tf32` says; None leaves torch's own choice."""
    if args.tf32 is None:
        yield
        return
    import torch

    switches: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [switch.allow_tf32 for switch in switches]
    try:
        for switch in switches:
            switch.allow_tf32 = args.tf32
        yield
    finally:
        for switch, value in zip(switches, before, strict=True):
            switch.allow_tf32 = value
