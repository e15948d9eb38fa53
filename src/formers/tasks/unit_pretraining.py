"""What is learned of sounds whose states codes replace, or which clusters label.

Wang et al. 2021, arXiv:2101.07597, section 3; Chen et al. 2021, arXiv:2110.05752, section 3. The ecosystem's
classes have no loss: they hold the weights of these heads, and return states, codes and features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from formers.core.outputs import ModelOutput
from formers.core.sound_outputs import ClusteredOutput, ContrastedOutput
from formers.nn.dropout import Dropout
from formers.nn.fresh import Constant
from formers.nn.tree import leaf, place, place_tensor
from formers.stacks.stack import Ask, States
from formers.tasks import contrastive_pretraining
from formers.tasks.contrastive_pretraining import Codes, ContrastivePretraining


@dataclass(frozen=True)
class Replaced(contrastive_pretraining.Spec):
    """A head for `classes` letters; a dropout before them."""

    classes: int = 80
    last_dropout: float = 0.0


@dataclass(frozen=True)
class Clustered(contrastive_pretraining.Spec):
    """A head for `clusters`, which have a vector each; `eps` of a norm; and a dropout."""

    clusters: int = 504
    eps: float = 1e-5
    last_dropout: float = 0.0


class UnitPretraining(ContrastivePretraining):
    """States, and codes that may replace them: as wide as they are."""

    _targets = ()
    _says = "Turn sounds into states, and into codes as wide. Letters of both are left to the caller."

    def _place_head(self, spec: Any, config: Any) -> None:
        place(self, "dropout", "dropout_features", Dropout(spec.dropout))
        place(self, "codes", "quantizer", Codes(spec))
        place(self, "chosen", "project_q", nn.Linear(spec.width, spec.space))
        place(self, "states", "project_hid", nn.Linear(spec.space, self._width()))
        place(self, "out", "ctc_proj", nn.Linear(self._width(), spec.classes))
        place(self, "last_dropout", "dropout", Dropout(spec.last_dropout))

    def _prepare(self, given: dict[str, Any], targets: dict[str, Any], ask: Ask) -> None:
        ask.keep_padding = True

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        codes, used = leaf(self, "codes")(leaf(self, "dropout")(states.extras["extract_features"]))
        codes = leaf(self, "states")(leaf(self, "chosen")(codes.to(leaf(self, "chosen").weight.dtype)))
        return ContrastedOutput(None, states.last, codes, used, *self._assembly.passed_on(states).values())


class ClusterPretraining(ContrastivePretraining):
    """States, and the features that they were made of."""

    _targets = ()
    _says = "Turn sounds into states, and into the features that these were made of."

    def _place_head(self, spec: Any, config: Any) -> None:
        super()._place_head(spec, config)
        place(self, "last_dropout", "dropout", Dropout(spec.last_dropout))
        place(self, "speakers", "speaker_proj", nn.Linear(self._width(), spec.width))
        labels = torch.zeros(spec.clusters, spec.width)
        place_tensor(self, "clusters", "label_embeddings_concat", labels, Constant(0.0))
        place(self, "norm", "layer_norm_for_extract", nn.LayerNorm(self._width(), eps=spec.eps))

    def _prepare(self, given: dict[str, Any], targets: dict[str, Any], ask: Ask) -> None:
        ask.keep_padding = True

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        features = leaf(self, "dropout")(states.extras["extract_features"])
        return ClusteredOutput(None, features, states.last, *self._assembly.passed_on(states).values())
