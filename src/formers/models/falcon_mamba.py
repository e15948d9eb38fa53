"""Falcon Mamba (Zuo et al. 2024, arXiv:2410.05355): Mamba that norms what it selects."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.single import Single
from formers.models import mamba
from formers.models.registry import register
from formers.nn import spec


class FalconMambaConfig(mamba.MambaConfig):
    """Configuration of Falcon Mamba."""

    model_type = "falcon_mamba"
    mixer_rms_eps: float = 1e-6

    def __init__(self, use_falcon_mambapy: bool | None = None, **values: Any) -> None:
        if use_falcon_mambapy is not None:  # an older spelling
            values["use_mambapy"] = use_falcon_mambapy
        super().__init__(**values)


NAMES = mamba.NAMES.with_(
    layer={
        "step_norm": "mixer.dt_layernorm",
        "writes_norm": "mixer.b_layernorm",
        "reads_norm": "mixer.c_layernorm",
    }
)


def stack(c: FalconMambaConfig) -> spec.Stack:
    """The decoder, whose norms of what is selected have no weights."""
    mixer = mamba.scan(c, spec.Norm("rms", c.mixer_rms_eps, weight=False))
    return mamba.decoder(c, mixer, "FalconMambaBlock", NAMES)


FALCON_MAMBA = register(
    replace(
        mamba.MAMBA,
        model_type="falcon_mamba",
        name="FalconMamba",
        config=FalconMambaConfig,
        assembly=Single(stack, cache="cache_params"),
        renames=(),
    )
)
