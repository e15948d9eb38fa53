"""DeBERTa (He et al. 2020, arXiv:2006.03654): contents and relative positions attend apart."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.single import Single
from formers.models import deberta_v2
from formers.models.registry import register
from formers.nn import spec


class DebertaConfig(deberta_v2.DebertaConfig):
    """Configuration of DeBERTa."""

    model_type = "deberta"
    _available = {"legacy": (True,), "talking_head": (False,)}
    talking_head: bool = False


OWN = {
    "qkv": "attention.self.in_proj",
    "q_bias": "attention.self.q_bias",
    "v_bias": "attention.self.v_bias",
    "position_k": "attention.self.pos_proj",
    "position_q": "attention.self.pos_q_proj",
}
NAMES = deberta_v2.NAMES.with_(layer=OWN)


def stack(c: DebertaConfig) -> spec.Stack:
    """The encoder: one leaf makes q, k and v, and biases stand beside it."""
    own = {"fused": "groups", "bias": False, "position_bias": False, "narrow": True, "apart": True}
    return deberta_v2.encoder(c, deberta_v2.attention(c, **own), NAMES, "DebertaLayer")


DEBERTA = register(
    replace(
        deberta_v2.DEBERTA_V2,
        model_type="deberta",
        name="Deberta",
        config=DebertaConfig,
        assembly=Single(stack),
        heads={k: v for k, v in deberta_v2.DEBERTA_V2.heads.items() if k != "ForMultipleChoice"},
    )
)
