"""VaultGemma (Sinha et al. 2025, arXiv:2510.15001): Gemma 2 with a norm before each part alone."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.single import Single
from formers.models import gemma2, llama
from formers.models.registry import register


class VaultGemmaConfig(gemma2.Gemma2Config):
    """Configuration of VaultGemma."""

    model_type = "vaultgemma"


OWN = {"feedforward_norm": "pre_feedforward_layernorm"}
NAMES = llama.NAMES.with_(layer=OWN)
VAULTGEMMA = register(
    replace(
        gemma2.GEMMA2,
        model_type="vaultgemma",
        name="VaultGemma",
        config=VaultGemmaConfig,
        assembly=Single(lambda c: gemma2.decoder(c, "VaultGemmaDecoderLayer", NAMES, outer=False)),
        heads={"ForCausalLM": gemma2.WORDS},
        order=(("self_attn", "mlp", "input_layernorm", *OWN.values()), llama.LLAMA.order[1]),
    )
)
