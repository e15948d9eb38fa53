"""The names that GGUF files have for a model's weights, and how such files hold them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from formers.checkpoints.gguf_file import GgufFile, Place
from formers.hub.gguf import Header
from formers.nn.leaves import Conv1D
from formers.nn.spec import Attention, Stack
from formers.nn.tree import wiring

_LAYER = {
    "attention_norm": "attn_norm",
    "q": "attn_q",
    "k": "attn_k",
    "v": "attn_v",
    "qkv": "attn_qkv",
    "o": "attn_output",
    "q_norm": "attn_q_norm",
    "k_norm": "attn_k_norm",
    "score_bias": "attn_rel_b",
    "attention_inner": "post_attention_norm",
    **{f"cross_{role}": f"cross_attn_{role}" for role in ("q", "k", "v", "norm")},
    "cross_o": "cross_attn_o",
    "feedforward_norm": "ffn_norm",
    "feedforward_inner": "post_ffw_norm",
    "gate_up": "ffn_up",
    "router": "ffn_gate_inp",
    "share": "ffn_gate_inp_shexp",
    **{role: f"ffn_{role}" for role in ("gate", "up", "down")},
    **{f"expert_{role}": f"ffn_{role}_exps" for role in ("gate", "up", "down")},
    **{f"shared_{role}": f"ffn_{role}_shexp" for role in ("gate", "up", "down")},
    "scan_norm": "attn_norm",
    "in": "ssm_in",
    "conv": "ssm_conv1d",
    "select": "ssm_x",
    "step": "ssm_dt",
    "decay": "ssm_a",
    "skip": "ssm_d",
    "out": "ssm_out",
}
_EMBEDDINGS = {"token": "token_embd", "position": "position_embd", "embedding_norm": "token_embd_norm"}
OUTPUT = "output"
_OF_CONFIG = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")


@dataclass(frozen=True)
class Turn:
    """How a weight goes from the file to the model, and back."""

    read: Callable[[Tensor], Tensor]
    write: Callable[[Tensor], Tensor]


def _halves(heads: int) -> Turn:
    """Rows of a head in pairs <-> those that are turned first, then those that they are turned with."""
    return Turn(
        lambda x: x.reshape(heads, -1, 2, *x.shape[1:]).transpose(1, 2).reshape(x.shape),
        lambda x: x.reshape(heads, 2, -1, *x.shape[1:]).transpose(1, 2).reshape(x.shape),
    )


def _by_heads(heads: int) -> Turn:
    """All queries, then keys, then values <-> query, key and value of each head."""
    return Turn(
        lambda x: x.reshape(3, heads, -1, *x.shape[1:]).transpose(0, 1).reshape(x.shape),
        lambda x: x.reshape(heads, 3, -1, *x.shape[1:]).transpose(0, 1).reshape(x.shape),
    )


def _moved(by: float) -> Turn:
    return Turn(lambda x: x - by, lambda x: x + by)


def _turn(s: Stack, role: str, name: str, leaf: nn.Module | None, stored: dict[str, str]) -> Turn | None:
    """How a weight is held by the file; None for as it is."""
    kind = stored.get(role)
    if kind is not None:
        mixer = s.attention
        assert isinstance(mixer, Attention)
        count = mixer.heads.key_value if role == "k" else mixer.heads.query
        return (_halves if kind == "pairs" else _by_heads)(count)
    if role == "decay":
        return Turn(lambda x: torch.log(-x), lambda x: -torch.exp(x))
    if not name.endswith(".weight"):
        return None
    offset = s.final_norm.offset if s.final_norm is not None else 0.0
    if role.endswith(("norm", "_inner")) and offset:
        return _moved(offset)
    if isinstance(leaf, Conv1D):
        return Turn(torch.Tensor.t, torch.Tensor.t)
    if role == "conv":
        return Turn(lambda x: x.unsqueeze(1), lambda x: x.squeeze(1))
    return Turn(lambda x: x.reshape(1, -1), lambda x: x.reshape(-1)) if role == "share" else None


def _leaves(model: Any) -> Iterator[tuple[str, str, str, Stack, int | None]]:
    """(path in the model, name in the file, role, its stack, its number in a mixture) of every leaf."""
    two = bool(model.config.is_encoder_decoder)
    for path, module in model.named_modules():
        s = wiring(module).facts.get("spec")
        if not isinstance(s, Stack):
            continue
        start, scope = f"{path}." if path else "", ("dec." if s.decoder else "enc.") if two else ""
        for role, name in _EMBEDDINGS.items():
            if s.names.embeddings.get(role):
                yield f"{start}{s.names.embeddings[role]}", name, role, s, None
        if s.names.stack.get("final_norm"):
            yield f"{start}{s.names.stack['final_norm']}", f"{scope}output_norm", "final_norm", s, None
        for i in range(len(s.layers)):
            inside = f"{start}{s.names.layers}.{i}."
            for role, name in _LAYER.items():
                at = s.names.layer.get(role)
                if at is None:
                    continue
                blk = f"{scope}blk.{i}.{'attn_o' if two and role == 'o' else name}"
                if "{" not in at:
                    yield inside + at, blk, role, s, None
                    continue
                count = len(model.get_submodule(inside + at.partition(".{")[0]))
                for e in range(count):
                    yield inside + at.format(i=e), blk, role, s, e
    table, head = model.get_input_embeddings(), model.get_output_embeddings()
    for path, module in model.named_modules():
        if module is table:
            yield path, _EMBEDDINGS["token"], "token", first_stack(model), None
        elif head is not None and module is head:
            yield path, OUTPUT, OUTPUT, first_stack(model), None


def first_stack(model: Any) -> Stack:
    """The spec of the first stack in the tree."""
    found: Stack = next(s for m in model.modules() if isinstance(s := wiring(m).facts.get("spec"), Stack))
    return found


def places(model: Any, architecture: str) -> dict[str, tuple[str, int | None, Turn | None]]:
    """Name in the model -> name in a file of that architecture, the number of a part, and its turn."""
    family = type(model)._family
    stored = dict(family.gguf.get(architecture, {})) if family is not None else {}
    names = dict(model.state_dict(keep_vars=True))
    modules = dict(model.named_modules())
    found = {}
    for path, name, role, s, part in _leaves(model):
        for ending in ("", ".weight", ".bias"):
            held = path + ending
            if held in names:
                turn = _turn(s, role, held, modules.get(path), stored)
                found[held] = (f"{name}{ending}", part, turn)
    return found


def opened(model: Any, header: Header) -> GgufFile:
    """The tensors of a GGUF file by the names of a model.

    Raises:
        CheckpointError: for a truncated file, or a type of numbers that is not known.
    """
    known: dict[str, list[Place]] = {}
    tied = model._tied_weights()
    for held, (name, part, turn) in places(model, header.architecture).items():
        if held not in tied or name not in known:
            known.setdefault(name, []).append(Place(held, None if turn is None else turn.read, part))
    if model.get_output_embeddings() is None:
        known[f"{OUTPUT}.weight"] = []
    known |= {name: [] for name in _OF_CONFIG if name in header.tensors}
    return GgufFile(header, known)
