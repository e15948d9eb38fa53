"""The graphs that a model becomes: one; of an encoder-decoder its encoder, the first step, the others."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from formers.core.outputs import BaseModelOutput
from formers.export.caches import PAST, PRESENT, axes_of, cache_of, keeps_keys, names_of
from formers.export.errors import ExportError
from formers.export.graph import Graph, tensors_of
from formers.export.samples import Axes, sample, taken

MODEL, ENCODER, DECODER = "model.onnx", "encoder_model.onnx", "decoder_model.onnx"
DECODER_WITH_PAST = "decoder_with_past_model.onnx"
FILES = (MODEL, ENCODER, DECODER, DECODER_WITH_PAST)
_READ = 5  # tokens that a cache of an example holds
_MASKS = ("encoder_attention_mask",)
_BESIDE = frozenset({"encoder_last_hidden_state"})


def graphs(
    model: Any, inputs: Mapping[str, Tensor] | None = None, with_past: bool | None = None
) -> list[Graph]:
    """The graphs of a model.

    Args:
        model: in evaluation mode.
        inputs: example inputs in place of those that are made up; of the whole model.
        with_past: a model that writes takes and returns its cache; by default where its cache is keys and
            values.

    Raises:
        ExportError: for inputs that cannot be made up, or a cache that no graph can take.
    """
    writes = bool(model.can_generate()) and _reads_text_alone(model)
    keeps = writes and keeps_keys(model)
    if with_past and not (writes and keeps):
        raise ExportError(
            f"{type(model).__name__} keeps no keys and values between calls, so that there is no graph with "
            f"a past: export it without"
        )
    past = keeps and writes if with_past is None else with_past
    if writes and model.config.is_encoder_decoder:
        return _pair(model, inputs, past)
    if writes and past:
        return [_decoder(model)]
    return [_whole(model, inputs)]


def _reads_text_alone(model: Any) -> bool:
    """Whether what a model writes follows from one prompt: texts, or what an encoder reads."""
    named = inspect.signature(model.forward).parameters
    shown = () if model.config.is_encoder_decoder else model._assembly.once
    return "past_key_values" in named and "use_cache" in named and not shown


def _whole(model: Any, inputs: Mapping[str, Tensor] | None) -> Graph:
    """The model as it is called, without a cache."""
    named = inspect.signature(model.forward).parameters
    fixed = {"use_cache": False} if "use_cache" in named else {}

    def run(given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return tensors_of(model(**given, **fixed, return_dict=True))

    return Graph(MODEL, run, model, sample(model) if inputs is None else inputs, {})


def _decoder(model: Any) -> Graph:
    """A decoder that goes on behind a cache, which may be empty."""
    named = inspect.signature(model.forward).parameters
    ids = sample(model, ("input_ids",))["input_ids"]
    with torch.no_grad():
        held = model(ids[:, :_READ], use_cache=True, return_dict=True).past_key_values
    inputs = {"input_ids": ids[:, _READ:], "attention_mask": torch.ones_like(ids)}
    inputs["attention_mask"][1:, :2] = 0  # some rows are padded, on the left
    axes: dict[str, Axes] = {"attention_mask": ("batch_size", "total_sequence_length")}
    if "position_ids" in named:
        inputs["position_ids"] = (inputs["attention_mask"].cumsum(1) - 1).clamp(min=0)[:, _READ:]
    caches = {name: _longer(value) for name, value in names_of(held, PAST, whole=False)}
    axes |= {name: axes_of(name) for name in caches}

    def run(given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        read = {name: value for name, value in given.items() if not name.startswith(PAST)}
        out = model(**read, past_key_values=cache_of(given), use_cache=True, return_dict=True)
        return {**tensors_of(out), **dict(names_of(out.past_key_values, PRESENT, whole=False))}

    return Graph(MODEL, run, model, {**inputs, **caches}, axes)


def _longer(held: Tensor) -> Tensor:
    """Keys or values of as many tokens as an example has, whatever a window kept of them."""
    return held if held.shape[2] == _READ else held[:, :, -1:].repeat(1, 1, _READ, 1)


def _pair(model: Any, inputs: Mapping[str, Tensor] | None, past: bool) -> list[Graph]:
    """An encoder, and its decoder before and behind a cache."""
    encoder = model.get_encoder()
    names = tuple(n for n in taken(model) if not n.startswith("decoder_"))
    named = inspect.signature(encoder.forward).parameters
    given = (
        sample(model, names) if inputs is None else {n: v for n, v in inputs.items() if "decoder" not in n}
    )
    given = {name: value for name, value in given.items() if name in named}

    def encode(given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return tensors_of(encoder(**given, return_dict=True))

    rows = next(iter(given.values())).shape[0]
    ids = sample(model, ("decoder_input_ids",), {"batch_size": rows})["decoder_input_ids"]
    with torch.no_grad():
        states = encode(given)["last_hidden_state"]
    read = {"input_ids": ids}
    if "attention_mask" in given and "attention_mask" in inspect.signature(model.forward).parameters:
        read["encoder_attention_mask"] = given["attention_mask"]

    def decode(given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        out = model(**_as_called(given, given["encoder_hidden_states"]), use_cache=past, return_dict=True)
        present = names_of(out.past_key_values, PRESENT, whole=True) if past else []
        return {**tensors_of(out, _BESIDE), **dict(present)}

    first = {**read, "encoder_hidden_states": states}
    # rows of ids have the decoder's length here, whatever the encoder's have
    axes = {"input_ids": ("batch_size", "decoder_sequence_length")}
    found = [Graph(ENCODER, encode, model, given, {}), Graph(DECODER, decode, model, first, axes)]
    return [*found, _later(model, first, read, axes)] if past else found


def _later(model: Any, first: Mapping[str, Tensor], read: dict[str, Tensor], axes: dict[str, Any]) -> Graph:
    """The decoder behind a cache, which holds what it needs of the encoder."""
    with torch.no_grad():
        out = model(
            **_as_called(
                {**first, "input_ids": read["input_ids"][:, :_READ]}, first["encoder_hidden_states"]
            ),
            use_cache=True,
            return_dict=True,
        )
    caches = dict(names_of(out.past_key_values, PAST, whole=True))
    width = first["encoder_hidden_states"].shape[-1]
    encoded = next((name for name in caches if name.endswith("encoder.key")), None)
    if encoded is None:
        raise ExportError(f"{type(model).__name__} keeps nothing of its encoder: export it without a past")

    def run(given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        keys = given[encoded]
        # its states are read nowhere, but tell how many there are
        states = keys.new_zeros(keys.shape[0], keys.shape[2], width)
        called = _as_called(given, states)
        out = model(**called, past_key_values=cache_of(given), use_cache=True, return_dict=True)
        return {**tensors_of(out, _BESIDE), **dict(names_of(out.past_key_values, PRESENT, whole=False))}

    inputs = {**read, "input_ids": read["input_ids"][:, _READ:], **caches}
    return Graph(DECODER_WITH_PAST, run, model, inputs, {**axes, **{name: axes_of(name) for name in caches}})


def _as_called(given: Mapping[str, Tensor], states: Tensor) -> dict[str, Any]:
    """What the whole model is called with, by what its decoder's graph reads."""
    called: dict[str, Any] = {"decoder_input_ids": given["input_ids"]}
    called["encoder_outputs"] = BaseModelOutput(last_hidden_state=states)
    if "encoder_attention_mask" in given:
        called["attention_mask"] = given["encoder_attention_mask"]
    return called
