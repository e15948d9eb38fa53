"""Mamba (Gu and Dao 2023, arXiv:2312.00752): selective state spaces and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.checkpoints import Rename
from formers.configs import PretrainedConfig
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.specs import Words


class MambaConfig(PretrainedConfig):
    """Configuration of Mamba."""

    model_type = "mamba"
    vocab_size: int = 50280
    hidden_size: int = 768
    state_size: int = 16
    num_hidden_layers: int = 32
    layer_norm_epsilon: float = 1e-5
    pad_token_id: int | None = 0
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 0
    expand: int = 2
    conv_kernel: int = 4
    use_bias: bool = False
    use_conv_bias: bool = True
    hidden_act: str = "silu"
    initializer_range: float = 0.1
    residual_in_fp32: bool = True
    time_step_rank: int | str = "auto"
    time_step_scale: float = 1.0
    time_step_min: float = 0.001
    time_step_max: float = 0.1
    time_step_init_scheme: str = "random"
    time_step_floor: float = 1e-4
    rescale_prenorm_residual: bool = False
    use_cache: bool = True
    use_mambapy: bool = False
    use_associative_scan: bool = True
    tie_word_embeddings: bool = True

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.intermediate_size = int(self.expand * self.hidden_size)
        if self.time_step_rank == "auto":
            self.time_step_rank = -(-self.hidden_size // 16)


NAMES = spec.Names(
    layers="layers",
    layer={
        "scan_norm": "norm",
        "in": "mixer.in_proj",
        "conv": "mixer.conv1d",
        "act": "mixer.act",
        "select": "mixer.x_proj",
        "step": "mixer.dt_proj",
        "decay": "mixer.A_log",
        "skip": "mixer.D",
        "out": "mixer.out_proj",
    },
    embeddings={"token": "embeddings"},
    stack={"final_norm": "norm_f"},
)


def stack(c: MambaConfig) -> spec.Stack:
    """The decoder."""
    norm = spec.Norm("rms", c.layer_norm_epsilon)
    sizes = (c.intermediate_size, c.state_size, c.conv_kernel, int(c.time_step_rank))
    steps = (c.time_step_min, c.time_step_max, c.time_step_floor)
    scan = spec.Scan(*sizes, c.hidden_act, c.use_bias, c.use_conv_bias, steps, c.time_step_scale)
    depth = c.num_hidden_layers if c.rescale_prenorm_residual else 1
    scan = replace(scan, depth=depth, step_constant=c.time_step_init_scheme == "constant")
    layer = spec.Layer((spec.Part(scan, "scan", before=norm, wide=c.residual_in_fp32),))
    return spec.Stack(
        stem=spec.Tokens(c.vocab_size, c.hidden_size),
        layers=(layer,) * c.num_hidden_layers,
        names=NAMES,
        width=c.hidden_size,
        layer_class="MambaBlock",
        final_norm=norm,
        decoder=True,
        reports="outputs",
        initial_std=c.initializer_range,
    )


MAMBA = register(
    Family(
        model_type="mamba",
        name="Mamba",
        config=MambaConfig,
        base="backbone",
        assembly=Single(stack, cache="cache_params"),
        heads={"ForCausalLM": Head("causal_lm", lambda c: Words("lm_head", bias=False))},
        renames=(Rename("{path}.embedding.weight", "{path}.embeddings.weight"),),
    )
)
