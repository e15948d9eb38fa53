"""FlauBERT (Le et al. 2019, arXiv:1912.05372): XLM's encoder for French, which may drop layers."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.family import Head
from formers.assemblies.single import Single
from formers.models import xlm
from formers.models.registry import register
from formers.nn import spec


class FlaubertConfig(xlm.XLMConfig):
    """Configuration of FlauBERT."""

    model_type = "flaubert"
    pre_norm: bool = False
    layerdrop: float = 0.0


def stack(c: FlaubertConfig) -> spec.Stack:
    """The encoder; with `pre_norm` its norms stand before the parts, and none closes it."""
    return xlm.stack(c, c.pre_norm, c.layerdrop)


FLAUBERT = register(
    replace(
        xlm.XLM,
        model_type="flaubert",
        name="Flaubert",
        config=FlaubertConfig,
        assembly=Single(stack, reads=xlm.READS),
        heads={**xlm.XLM.heads, "WithLMHeadModel": Head("masked_lm", xlm.words)},
    )
)
