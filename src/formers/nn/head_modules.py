"""Heads and activations as modules alone, for models that people build by hand around a model of the library.

Models of the library run heads as programs of steps; these are the same networks, with the names that the
ecosystem's files give their parts.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn.surgery import get_activation


class ClassificationHead(nn.Module):
    """Labels of a row from its first state: dropout, dense, activation, dropout, out_proj.

    Args:
        config: `hidden_size`, `num_labels`, and how much is dropped: `classifier_dropout`, or where that is
            None or missing `hidden_dropout_prob`.
    """

    _activation: ClassVar[str | None] = "tanh"  # None: that of the config

    def __init__(self, config: Any) -> None:
        super().__init__()
        said = getattr(config, "classifier_dropout", None)
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout_prob if said is None else said)
        self.activation = get_activation(self._activation or config.hidden_act)
        self.out_proj = nn.Linear(config.hidden_size, config.num_labels)

    def forward(self, features: Tensor, **_: Any) -> Tensor:
        """States [B, T, E] -> scores [B, C]."""
        x = self.activation(self.dense(self.dropout(features[:, 0])))
        found: Tensor = self.out_proj(self.dropout(x))
        return found


class ElectraClassificationHead(ClassificationHead):
    """`ClassificationHead` with a GELU."""

    _activation = "gelu"


class BigBirdClassificationHead(ClassificationHead):
    """`ClassificationHead` with the config's activation."""

    _activation = None


NystromformerClassificationHead = BigBirdClassificationHead
RobertaClassificationHead = LongformerClassificationHead = ClassificationHead


class RobertaLMHead(nn.Module):
    """Scores of every token of the vocabulary for each state: dense, GELU, norm, decoder.

    Args:
        config: `hidden_size`, `vocab_size`, `layer_norm_eps`.
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)
        self.bias = self.decoder.bias

    def forward(self, features: Tensor, **_: Any) -> Tensor:
        """States [B, T, E] -> scores [B, T, V]."""
        found: Tensor = self.decoder(self.layer_norm(F.gelu(self.dense(features))))
        return found


class BertPooler(nn.Module):
    """A vector for each row: the first state through dense and tanh.

    Args:
        config: `hidden_size`.
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = nn.Tanh()

    def forward(self, hidden_states: Tensor) -> Tensor:
        """States [B, T, E] -> vectors [B, E]."""
        found: Tensor = self.activation(self.dense(hidden_states[:, 0]))
        return found


class SequenceSummary(nn.Module):
    """A vector for each row, as `config.summary_type` says: "last", "first", "mean" or "cls_index".

    Args:
        config: also `summary_use_proj`, `summary_proj_to_labels`, `summary_activation`,
            `summary_first_dropout`, `summary_last_dropout`; what it lacks is left out.

    Raises:
        ValueError: for another type.
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.summary_type = getattr(config, "summary_type", "last")
        if self.summary_type not in ("last", "first", "mean", "cls_index"):
            raise ValueError(
                f"summary_type is 'last', 'first', 'mean' or 'cls_index', not {self.summary_type!r}"
            )
        width = config.hidden_size
        labelled = getattr(config, "summary_proj_to_labels", False) and config.num_labels > 0
        projects = getattr(config, "summary_use_proj", False)
        self.summary = (
            nn.Linear(width, config.num_labels if labelled else width) if projects else nn.Identity()
        )
        named = getattr(config, "summary_activation", None)
        self.activation = get_activation(named) if named else nn.Identity()
        self.first_dropout = nn.Dropout(getattr(config, "summary_first_dropout", 0.0))
        self.last_dropout = nn.Dropout(getattr(config, "summary_last_dropout", 0.0))

    def forward(self, hidden_states: Tensor, cls_index: Tensor | None = None) -> Tensor:
        """States [..., T, E] -> vectors [..., E].

        Args:
            hidden_states: [..., T, E].
            cls_index: [...], int64, which state is taken by "cls_index"; None for the last.
        """
        if self.summary_type == "mean":
            x = hidden_states.mean(dim=-2)
        elif self.summary_type == "cls_index" and cls_index is not None:
            at = cls_index[..., None, None].expand(*cls_index.shape, 1, hidden_states.shape[-1])
            x = hidden_states.gather(-2, at).squeeze(-2)
        else:
            x = hidden_states[..., 0 if self.summary_type == "first" else -1, :]
        found: Tensor = self.last_dropout(self.activation(self.summary(self.first_dropout(x))))
        return found


FlaubertSequenceSummary = XLMSequenceSummary = XLNetSequenceSummary = SequenceSummary


class XIELUActivation(nn.Module):
    """xIELU (Huang & Schlag 2024, arXiv:2411.13010): x > 0: a x^2 + b x; else c (e^x - 1 - x) + b x.

    a and c are learned, and stay positive: softplus of `alpha_p`, and b + softplus of `alpha_n`.

    Args:
        alpha_p_init: a at the beginning.
        alpha_n_init: c at the beginning.
        beta: b.
        eps: x is at most that in e^x.
        dtype: of what is learned.
    """

    def __init__(
        self,
        alpha_p_init: float = 0.8,
        alpha_n_init: float = 0.8,
        beta: float = 0.5,
        eps: float = -1e-6,
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        super().__init__()

        def softplus_of(value: float) -> nn.Parameter:
            return nn.Parameter(torch.tensor([math.log(math.expm1(value))], dtype=dtype))

        self.alpha_p, self.alpha_n = softplus_of(alpha_p_init), softplus_of(alpha_n_init - beta)
        self.register_buffer("beta", torch.tensor(beta, dtype=dtype))
        self.register_buffer("eps", torch.tensor(eps, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        """[...] -> [...]."""
        beta, eps = (self.get_buffer(name) for name in ("beta", "eps"))
        above = F.softplus(self.alpha_p) * x * x
        below = (torch.expm1(torch.minimum(x, eps)) - x) * (beta + F.softplus(self.alpha_n))
        return torch.where(x > 0, above, below) + beta * x


def rms_forward(hidden_states: Tensor, variance_epsilon: float = 1e-6) -> Tensor:
    """States [..., E] divided by the root of their mean square, in float32; of the same dtype."""
    wide = hidden_states.float()
    return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + variance_epsilon)).to(
        hidden_states.dtype
    )
