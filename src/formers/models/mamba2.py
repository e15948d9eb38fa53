"""Mamba-2 (Dao and Gu 2024, arXiv:2405.21060): state spaces of heads, read in chunks of matrix products."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.single import Single
from formers.models import mamba
from formers.models.registry import register
from formers.nn import spec


class Mamba2Config(mamba.StateSpaceConfig):
    """Configuration of Mamba-2."""

    model_type = "mamba2"
    num_heads: int = 128
    head_dim: int = 64
    vocab_size: int = 32768
    hidden_size: int = 4096
    state_size: int = 128
    num_hidden_layers: int = 64
    pad_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    n_groups: int = 8
    time_step_limit: list[float] | tuple[float, ...] = (0.0, float("inf"))
    chunk_size: int = 256
    tie_word_embeddings: bool = False


HERE = "mixer"
SCAN = {
    "in": f"{HERE}.in_proj",
    "conv": f"{HERE}.conv1d",
    "conv_act": f"{HERE}.act",
    "step_bias": f"{HERE}.dt_bias",
    "decay": f"{HERE}.A_log",
    "skip": f"{HERE}.D",
    "gated_norm": f"{HERE}.norm",
    "out": f"{HERE}.out_proj",
}
NAMES = replace(mamba.NAMES, layer={"scan_norm": "norm", **SCAN})


def stack(c: Mamba2Config) -> spec.Stack:
    """The decoder.

    Raises:
        ValueError: for heads that do not make the inner width.
    """
    if c.hidden_size * c.expand != c.num_heads * c.head_dim:
        raise ValueError(
            f"hidden_size * expand ({c.hidden_size * c.expand}) must be num_heads * head_dim "
            f"({c.num_heads * c.head_dim})"
        )
    low, high = c.time_step_limit
    scan = spec.HeadScan(
        c.num_heads,
        c.head_dim,
        c.state_size,
        c.n_groups,
        c.conv_kernel,
        activation=c.hidden_act,
        bias=c.use_bias,
        out_bias=c.use_bias,
        conv_bias=c.use_conv_bias,
        limits=(low, high),
        norm=spec.Norm("rms", c.layer_norm_epsilon),
        **mamba.fresh(c),
    )
    return mamba.decoder(c, scan, "Mamba2Block", NAMES)


MAMBA2 = register(
    replace(
        mamba.MAMBA,
        model_type="mamba2",
        name="Mamba2",
        config=Mamba2Config,
        assembly=Single(stack, cache="cache_params"),
    )
)
