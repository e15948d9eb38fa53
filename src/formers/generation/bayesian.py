"""A judge of tournaments that learns: how likely it is that they wrote a text (Dathathri et al. 2024).

doi:10.1038/s41586-024-08025-4, "BayesianScore" in its supplement.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.configs import PretrainedConfig
from formers.core.outputs import ModelOutput
from formers.generation.watermarks import BaseWatermarkingConfig
from formers.model.base import PreTrainedModel
from formers.nn.fresh import Constant, Normal

_LEAST = 1e-5  # of a probability, that its logarithm may be taken
_UNMARKED = 0.5  # the chance of a coin in a text that nobody marked


class BayesianDetectorConfig(PretrainedConfig):
    """How many rounds the tournaments had, how many texts are marked beforehand, and what wrote them."""

    watermarking_depth: int | None = None
    base_rate: float = 0.5
    model_name: str | None = None
    watermarking_config: dict[str, Any] | None = None

    def set_detector_information(self, model_name: str, watermarking_config: Any) -> None:
        """Keep the name of the model that writes, and the settings that it marks with."""
        self.model_name = model_name
        told = watermarking_config
        self.watermarking_config = told.to_dict() if isinstance(told, BaseWatermarkingConfig) else told


@dataclass
class BayesianWatermarkDetectorModelOutput(ModelOutput):
    """Probabilities that texts are marked, [B], and the loss where there are labels."""

    loss: Tensor | None = None
    posterior_probabilities: Tensor | None = None


class BayesianDetectorWatermarkedLikelihood(nn.Module):
    """How likely the coins of a marked text are.

    In a round of which both tokens are one, a coin is as in any text; whether they are two follows from the
    coins of the rounds before by a logistic regression, `beta` [1, 1, depth], `delta` [1, 1, depth, depth].
    """

    def __init__(self, watermarking_depth: int) -> None:
        super().__init__()
        self.watermarking_depth = depth = watermarking_depth
        self.beta = nn.Parameter(-2.5 + 0.001 * torch.randn(1, 1, depth))
        self.delta = nn.Parameter(0.001 * torch.randn(1, 1, depth, depth))
        self._fresh = {"beta": Constant(-2.5), "delta": Normal(0.001)}  # where a file lacks them

    def forward(self, g_values: Tensor) -> Tensor:
        """Coins [B, n, depth] -> [B, n, depth]."""
        coins = g_values.to(self.delta.dtype)
        two = torch.sigmoid(F.linear(coins, self.delta[0, 0].tril(-1), self.beta[0, 0]))
        return 0.5 * ((coins + 0.5) * two + (1 - two))


class BayesianDetectorModel(PreTrainedModel):
    """Tells by Bayes' rule whether the coins of texts are those of marked ones.

    It learns from coins, masks and labels as any model does. For tournaments of two, with even coins.
    """

    config_class = BayesianDetectorConfig
    base_model_prefix = "model"
    main_input_name = "g_values"

    def __init__(self, config: BayesianDetectorConfig) -> None:
        super().__init__(config)
        if not config.watermarking_depth or config.watermarking_depth < 1:
            raise ValueError(
                f"watermarking_depth={config.watermarking_depth}: say how many rounds the tournaments have, "
                "as many as SynthIDTextWatermarkingConfig has keys"
            )
        self.watermarking_depth, self.base_rate = config.watermarking_depth, config.base_rate
        self.likelihood_model_watermarked = BayesianDetectorWatermarkedLikelihood(self.watermarking_depth)
        self.prior = nn.Parameter(torch.tensor([self.base_rate]))
        self._fresh = {"prior": Constant(self.base_rate)}
        self.post_init()

    def forward(
        self,
        g_values: Tensor,
        mask: Tensor,
        labels: Tensor | None = None,
        loss_batch_weight: float = 1,
        return_dict: bool = False,
    ) -> BayesianWatermarkDetectorModelOutput | tuple[Tensor, ...]:
        """How likely it is that texts are marked.

        Args:
            g_values: coins, 0 or 1, [B, n, depth].
            mask: which of them count, [B, n].
            labels: 1 for a marked text and 0 for another, [B], floating.
            loss_batch_weight: of the squares of `delta` beside the cross-entropy.
            return_dict: give a record; else (probabilities,), or (probabilities, loss).
        """
        likelihood = self.likelihood_model_watermarked(g_values)
        odds = likelihood.clamp(min=1e-30).log() - torch.tensor(_UNMARKED).log()
        prior = self.prior.clamp(_LEAST, 1 - _LEAST)
        found = torch.sigmoid(prior.logit() + (odds * mask[..., None]).sum((1, 2)))
        loss = None
        if labels is not None:
            squares = self.likelihood_model_watermarked.delta.square().sum()
            likely = found.clamp(_LEAST, 1 - _LEAST)
            loss = F.binary_cross_entropy(likely, labels.to(likely.dtype)) + squares * loss_batch_weight
        if return_dict:
            return BayesianWatermarkDetectorModelOutput(loss, found)
        return (found,) if loss is None else (found, loss)
