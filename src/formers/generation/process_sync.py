"""Processes that write side by side with one model in parts: all must call it equally often."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import distributed


class Peers:
    """Says before every call that this process goes on, and goes on calling until no process does."""

    def __init__(self) -> None:
        self._last: dict[str, Any] = {}

    def go_on(self, given: Mapping[str, Any]) -> None:
        """The model is about to be called with `given`."""
        kept = ("input_ids", "decoder_input_ids", "inputs_embeds", "encoder_outputs")
        self._last = {name: given[name] for name in kept if given.get(name) is not None}
        self._going(1)

    def wait(self, model: Any) -> None:
        """This process has ended: call the model for nothing as long as others need it."""
        keeps = {model._assembly.keeps: False}
        while self._going(0):
            model(**self._last, **keeps)

    def _going(self, own: int) -> int:
        """How many processes go on."""
        device = next((v.device for v in self._last.values() if isinstance(v, torch.Tensor)), "cpu")
        count = torch.tensor(own, device=device)
        distributed.all_reduce(count)
        return int(count)


def peers_of(synced_gpus: bool | None) -> Peers | None:
    """Those that `synced_gpus` asks for; None where this process is alone."""
    there = synced_gpus and distributed.is_available() and distributed.is_initialized()
    return Peers() if there and distributed.get_world_size() > 1 else None
