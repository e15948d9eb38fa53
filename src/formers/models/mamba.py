"""Mamba (Gu and Dao 2023, arXiv:2312.00752): selective state spaces and nothing else."""

from __future__ import annotations

from typing import Any

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.checkpoints import Rename
from formers.configs import PretrainedConfig
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.specs import Words


class StateSpaceConfig(PretrainedConfig):
    """What the configurations of models of state spaces alone have in common."""

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
    time_step_min: float = 0.001
    time_step_max: float = 0.1
    time_step_floor: float = 1e-4
    rescale_prenorm_residual: bool = False
    use_cache: bool = True
    tie_word_embeddings: bool = True

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if self.time_step_rank == "auto":
            self.time_step_rank = -(-self.hidden_size // 16)


class MambaConfig(StateSpaceConfig):
    """Configuration of Mamba."""

    model_type = "mamba"
    time_step_scale: float = 1.0
    time_step_init_scheme: str = "random"
    use_mambapy: bool = False
    use_associative_scan: bool = True

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.intermediate_size = int(self.expand * self.hidden_size)


NAMES = spec.Names(
    layers="layers",
    layer={
        "scan_norm": "norm",
        "in": "mixer.in_proj",
        "conv": "mixer.conv1d",
        "conv_act": "mixer.act",
        "select": "mixer.x_proj",
        "step": "mixer.dt_proj",
        "decay": "mixer.A_log",
        "skip": "mixer.D",
        "out": "mixer.out_proj",
    },
    embeddings={"token": "embeddings"},
    stack={"final_norm": "norm_f"},
)


def fresh(c: StateSpaceConfig) -> dict[str, Any]:
    """How a scan begins."""
    return {
        "steps": (c.time_step_min, c.time_step_max, c.time_step_floor),
        "depth": c.num_hidden_layers if c.rescale_prenorm_residual else 1,
    }


def scan(c: MambaConfig, norm: spec.Norm | None = None) -> spec.Scan:
    """What a layer does, with a norm of what it selects where there is one."""
    return spec.Scan(
        c.intermediate_size,
        c.state_size,
        c.conv_kernel,
        int(c.time_step_rank),
        activation=c.hidden_act,
        bias=c.use_bias,
        conv_bias=c.use_conv_bias,
        step_scale=c.time_step_scale,
        step_constant=c.time_step_init_scheme == "constant",
        norm=norm,
        **fresh(c),
    )


def decoder(
    c: StateSpaceConfig, mixer: spec.Mixer, layer_class: str, names: spec.Names = NAMES
) -> spec.Stack:
    """Layers of that mixer alone, and a norm."""
    norm = spec.Norm("rms", c.layer_norm_epsilon)
    layer = spec.Layer((spec.Part(mixer, "scan", before=norm, wide=c.residual_in_fp32),))
    return spec.Stack(
        stem=spec.Tokens(c.vocab_size, c.hidden_size),
        layers=(layer,) * c.num_hidden_layers,
        names=names,
        width=c.hidden_size,
        layer_class=layer_class,
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
        assembly=Single(lambda c: decoder(c, scan(c), "MambaBlock"), cache="cache_params"),
        heads={"ForCausalLM": Head("causal_lm", lambda c: Words("lm_head", bias=False))},
        renames=(Rename("{path}.embedding.weight", "{path}.embeddings.weight"),),
    )
)
