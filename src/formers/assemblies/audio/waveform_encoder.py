"""One stack that hears waves: wav2vec 2.0 and its kin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from formers.assemblies.single import Single
from formers.core.outputs import BaseModelOutput, ModelOutput
from formers.core.sound_outputs import HeardOutput
from formers.core.transducer_outputs import MaskedOutput
from formers.model.base import PreTrainedModel
from formers.nn import spec
from formers.nn.tree import has, leaf, wiring
from formers.stacks.post_encoder import place_behind, run_behind
from formers.stacks.stack import Ask, States

_TELLS = "output_attention_mask"


def rows_of(model: Any, samples: Any, add_adapter: bool | None = None) -> Any:
    """How many rows samples make, by the encoder alone if not `add_adapter`; of a number or a tensor."""
    s = _owner(model).spec
    stem: Any = s.stem
    rows = stem.rows(samples)
    return rows if s.behind is None or add_adapter is False else s.behind.rows(rows)


def real_rows(model: Any, mask: Tensor | None, sounds: Tensor) -> Tensor:
    """How many rows of each sound [B, samples] are real: [B], int64."""
    if mask is None:
        return sounds.new_full((len(sounds),), rows_of(model, sounds.shape[1])).long()
    found: Tensor = rows_of(model, mask.long().sum(1))
    return found


class _Facts:
    """The base model of a head, or the model itself, and its spec."""

    def __init__(self, model: Any) -> None:
        held = wiring(model).facts.get("spec")
        inside = leaf(model, "part") if has(model, "part") else model.base_model
        self.block: Any = model if held is not None else inside
        self.spec: spec.Stack = wiring(self.block).facts["spec"]


def _owner(model: Any) -> _Facts:
    return _Facts(model)


def freeze_feature_encoder(self: Any) -> None:
    """Train without the convolutions that read samples: they get no gradients."""
    leaf(_owner(self).block, "features").requires_grad_(False)


class WaveformEncoder(Single):
    """One stack over waves; its record holds what the convolutions made beside the last states.

    Layers behind it may make its rows fewer (`Stack.behind`).
    """

    def __init__(self, stack: Any, stem: type[spec.Waves | spec.StridedSpectra] = spec.Waves) -> None:
        super().__init__(stack, stem)
        self.offers = {"_get_feat_extract_output_lengths": rows_of}
        if stem is spec.Waves:
            freezing = ("freeze_feature_encoder", "freeze_feature_extractor")
            self.offers |= dict.fromkeys(freezing, freeze_feature_encoder)

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register the stack, and what stands behind it."""
        super().place(model, config, pooler, masked)
        behind = self.spec(config).behind
        if behind is not None:
            place_behind(model, behind)

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Compute, and keep what the states were made of. Layers behind the encoder read padding too."""
        behind = wiring(model).facts["spec"].behind
        states = super().run(model, given, ask if behind is None else replace(ask, keep_padding=True))
        if getattr(self.spec(model.config).stem, "tells", False):
            states.extras["extract_features"] = states.pass_.memo.get("features")
        return states if behind is None else run_behind(model, states, model.gradient_checkpointing)

    def mask_of(self, model: Any, given: Mapping[str, Any]) -> Tensor | None:
        """By the samples that are real."""
        found: Tensor | None = wiring(model).facts["stem"].rows_mask(given.get("attention_mask"), given)
        return found

    def passed_on(self, states: States) -> dict[str, Any]:
        """Hidden states and weights; there is no cache."""
        return {"hidden_states": states.hidden, "attentions": states.attentions}

    def output(self, model: Any, states: States) -> ModelOutput:
        """Last states, what they were made of, and what was asked for."""
        if "extract_features" not in states.extras:
            return BaseModelOutput(states.last, **self.passed_on(states))
        return HeardOutput(states.last, states.extras["extract_features"], states.hidden, states.attentions)


class SpectraEncoder(WaveformEncoder):
    """One stack over spectra in steps; its record holds which of its rows are real."""

    def __init__(self, stack: Any) -> None:
        super().__init__(stack, spec.StridedSpectra)
        self.inputs = (*self.inputs, _TELLS)

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Compute, and keep which rows are real where the caller wants to know."""
        tells = given.pop(_TELLS, None)
        real = self.mask_of(model, given)
        states = super().run(model, given, ask)
        states.extras["attention_mask"] = None if real is None or tells is False else real.int()
        return states

    def output(self, model: Any, states: States) -> ModelOutput:
        """Last states, which of them are real, and what was asked for."""
        return MaskedOutput(states.last, **self.passed_on(states), **states.extras)
