"""A network of windows over spectra of sounds: CLAP's audio tower (HTS-AT)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from formers.assemblies.vision.shifted_windows import ShiftedWindows
from formers.core.outputs import BaseModelOutputWithPooling, ModelOutput
from formers.model.base import PreTrainedModel
from formers.nn.attend import eager
from formers.nn.layout import Layout
from formers.nn.nets.shifted_windows import Way
from formers.nn.nets.spectrogram_windows import place_spectra
from formers.nn.passing import Geometry, Pass, Visibility
from formers.nn.spec.shifted_windows import Spectra, Windows
from formers.nn.tree import leaf, wiring
from formers.nn.watch import watched
from formers.stacks.stack import Ask, States


class SpectrogramWindows(ShiftedWindows):
    """One network of windows over spectra.

    Args:
        net: config -> its spec, whose stem are `Spectra`.
    """

    inputs = ("input_features", "is_longer", "output_attentions", "output_hidden_states", "return_dict")
    main = "input_features"
    means: Mapping[str, str] = MappingProxyType(
        {
            "input_features": "[B, spectra, time, bins], floating.",
            "is_longer": "[B, 1], bool: sounds whose spectra are the whole and three crops of it.",
        }
    )

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register the network on the model itself."""
        made = wiring(model).facts["spec"] = self.spec(config)
        place_spectra(model, made)

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Read spectra and compute.

        Raises:
            TypeError: for what is no tensor.
            ValueError: for tensors of another shape.
        """
        made: Windows = wiring(model).facts["spec"]
        assert isinstance(made.stem, Spectra)
        x, longer = _read(made.stem, given)
        looked = watched(model) or bool(ask.padded)
        way = Way(
            made.stem.grid,
            watched=looked,
            eager=ask.attentions or ask.backend == "eager",
            recompute=model.gradient_checkpointing and model.training and torch.is_grad_enabled(),
            maps=[] if ask.hidden else None,
            weights=[] if ask.attentions else None,
        )
        found = leaf(model, "encoder")(x.to(next(model.parameters()).dtype), longer, way)
        at = torch.arange(1, device=x.device)[None]
        pass_ = Pass(Geometry(Layout.dense(x.shape[0], 1), at), Visibility(), eager, watched=looked)
        states = States(found.last_hidden_state, pass_, spread_out=True)
        states.pooled = found.pooler_output
        if way.maps is not None:
            pass_.trace["hidden_states"] = list(way.maps)
        if way.weights is not None:
            pass_.trace["attentions"] = list(way.weights)
        return states

    def output(self, model: Any, states: States) -> ModelOutput:
        """The last map, its mean, and what was asked for."""
        return BaseModelOutputWithPooling(states.last, states.pooled, **self.passed_on(states))

    def passed_on(self, states: States) -> dict[str, Any]:
        """Hidden states as maps, and weights."""
        return {"hidden_states": states.hidden, "attentions": states.attentions}


def _read(s: Spectra, given: Mapping[str, Any]) -> tuple[Tensor, Tensor | None]:
    """The spectra, and which were cut where that matters."""
    x, longer = given.get("input_features"), given.get("is_longer")
    if not isinstance(x, Tensor):
        raise TypeError(f"input_features must be a tensor of spectra, not {type(x).__name__}")
    if x.dim() != 4 or (x.shape[1], x.shape[3]) != (s.given, s.bins) or not x.shape[2]:
        raise ValueError(
            f"input_features must have shape [B, {s.given}, time, {s.bins}], not {list(x.shape)}"
            + (": the whole of a sound and three crops, which truncation='fusion' makes" if s.fused else "")
        )
    if x.shape[2] > s.side * s.folds:
        raise ValueError(
            f"input_features have {x.shape[2]} steps in time; the model reads {s.side * s.folds} at most"
        )
    if not s.fused:
        return x, None
    if not isinstance(longer, Tensor) or longer.numel() != len(x):
        raise ValueError(
            "this model weighs long sounds against crops of them, so is_longer [B, 1] must say which are "
            "long; the feature extractor returns it"
        )
    return x, longer
