"""One stack that predicts tokens in any order, and reads states of earlier calls: XLNet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from formers.assemblies.single import Single
from formers.core.outputs import ModelOutput
from formers.nn import spec
from formers.nn.mixers.relative import Streams
from formers.nn.recording import recording
from formers.nn.tree import wiring
from formers.stacks.stack import Ask, Inputs, States, run

_READS = (
    *("input_ids", "attention_mask", "mems", "perm_mask", "target_mapping", "token_type_ids", "input_mask"),
    *("inputs_embeds", "use_mems"),
)


class Permutation(Single):
    """One stack of `spec.Relative` layers."""

    keeps = "use_mems"

    def __init__(self, stack: Callable[[Any], spec.Stack]) -> None:
        super().__init__(stack, cache="mems", reads=_READS)
        self.means = {
            **self.means,
            "mems": "states of earlier calls, [M, B, E] for each layer, which tokens see before their own.",
            "perm_mask": "[B, T, T], 1 where the first of two tokens does not see the second.",
            "target_mapping": "[B, P, T], 1 at the token that each of P predictions is made for.",
            "input_mask": "[B, T], 1 at padding: in place of `attention_mask`.",
            "use_mems": "return `mems` for later calls; config.use_mems_eval or use_mems_train otherwise.",
        }

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Read the inputs and compute.

        Raises:
            ValueError: for two masks of padding, or memories, orders or targets that do not fit.
        """
        config = model.config
        padding, mask = given.get("input_mask"), given.get("attention_mask")
        if padding is not None and mask is not None:
            raise ValueError("give one of attention_mask (1 at tokens) and input_mask (1 at padding)")
        mask = mask if padding is None else padding == 0
        keep = given.get("use_mems")
        if keep is None:
            keep = config.use_mems_train if model.training else config.use_mems_eval
        named = {name: given.get(name) for name in ("input_ids", "token_type_ids", "inputs_embeds")}
        streams = _streams(config, given, named, keep)
        asked = (streams.hidden, streams.targets, streams.memories, streams.kept, padding)
        s: spec.Relative = wiring(model).facts["spec"].attention
        ask.keep_padding |= s.halves or any(one is not None for one in asked)
        states = run(model, Inputs(named, mask, streams=streams), ask, model.gradient_checkpointing)
        states.extras["mems"] = None if streams.kept is None else tuple(streams.kept)
        states.extras["two"] = streams.targets is not None
        return states

    def output(self, model: Any, states: States) -> ModelOutput:
        """Last states, memories, and what was asked for."""
        found = super().output(model, states)
        for name, value in self._own(states).items():
            found[name] = value
        return found

    def passed_on(self, states: States) -> dict[str, Any]:
        """Memories too."""
        return {**super().passed_on(states), **self._own(states)}

    def _own(self, states: States) -> dict[str, Any]:
        """Memories; and weights, those of both streams for each layer where there are two."""
        weights: Any = states.attentions
        if weights is not None and states.extras.get("two"):
            weights = tuple(zip(weights[::2], weights[1::2], strict=True))
        return {"mems": states.extras.get("mems"), "attentions": weights}


def _streams(config: Any, given: dict[str, Any], named: dict[str, Any], keep: bool) -> Streams:
    """What the layers share, checked against the inputs."""
    ids = named["input_ids"] if named["input_ids"] is not None else named["inputs_embeds"]
    order, targets, held = (given.get(name) for name in ("perm_mask", "target_mapping", "mems"))
    past = tuple(held) if held is not None and any(one is not None for one in held) else None
    if isinstance(ids, Tensor) and ids.dim() > 1 and not recording():
        batch, length = ids.shape[:2]
        _check("perm_mask", order, (batch, length, length))
        _check("target_mapping", targets, (batch, None, length))
        count = 0 if past is None else len(past)
        if past is not None and count != config.num_hidden_layers:
            raise ValueError(
                f"mems hold one tensor for each of {config.num_hidden_layers} layers, not {count}"
            )
        for one in past or ():
            _check("each of mems", one, (past[0].shape[0] if past else None, batch, config.hidden_size))
    hidden = None if order is None else order > 0
    return Streams(hidden, targets, past, [] if keep else None, torch.empty(0))


def _check(name: str, value: Any, shape: tuple[int | None, ...]) -> None:
    """Refuse what has another shape; None stands for any number."""
    if value is None:
        return
    found = tuple(value.shape) if isinstance(value, Tensor) else ()
    fits = len(found) == len(shape) and all(a in (None, b) for a, b in zip(shape, found, strict=True))
    if not fits:
        wanted = ", ".join("P" if size is None else str(size) for size in shape)
        said = list(found) if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"{name} has shape [{wanted}], but is {said}")
