"""Bamba (IBM 2024): Mamba-2, and attention with half-turned heads in a few layers."""

from __future__ import annotations

from typing import Any

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.models import jamba, llama, mamba2
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal
from formers.tasks.specs import Words


class HeadedConfig(jamba.HybridConfig):
    """What the configurations of models with Mamba-2 and attention have in common."""

    attribute_map = {"layer_types": "layers_block_type"}
    num_logits_to_keep: int | None = 1
    mamba_n_heads: int = 128
    mamba_d_head: int | str = "auto"
    mamba_n_groups: int = 1
    mamba_d_state: int = 256
    mamba_chunk_size: int = 256
    time_step_limit: list[float] | tuple[float, ...] | None = (0.0, float("inf"))
    rope_parameters: dict[str, Any] | None = None
    attention_bias: bool = False
    mlp_bias: bool = False

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if self.mamba_d_head == "auto":
            self.mamba_d_head = self.inner // self.mamba_n_heads

    @property
    def inner(self) -> int:
        """Features that are scanned."""
        return self.mamba_expand * self.hidden_size


class BambaConfig(HeadedConfig):
    """Configuration of Bamba."""

    model_type = "bamba"
    default_share = 0.5
    attn_layer_indices: list[int] | None = None
    z_loss_coefficient: float | None = 0.0

    @property
    def layers_block_type(self) -> list[str]:
        """What each layer is."""
        chosen = self.attn_layer_indices or ()
        return [f"{'full' if i in chosen else 'linear'}_attention" for i in range(self.num_hidden_layers)]


NAMES = jamba.NAMES.with_(
    layer={role: path.replace(mamba2.HERE, jamba.SCAN) for role, path in mamba2.SCAN.items()}
)


def scan(c: Any, out_bias: bool | None = None, **other: Any) -> spec.HeadScan:
    """The scan; `other` fields as the mixer has them.

    Raises:
        ValueError: for heads that do not make the inner width.
    """
    if c.mamba_n_heads * c.mamba_d_head != c.inner:
        raise ValueError(
            f"mamba_n_heads * mamba_d_head ({c.mamba_n_heads * c.mamba_d_head}) must be the inner width of "
            f"the scan, {c.inner}"
        )
    low, high = c.time_step_limit or (0.0, float("inf"))
    fields: dict[str, Any] = {"norm": spec.Norm("rms", c.rms_norm_eps), **other}
    return spec.HeadScan(
        c.mamba_n_heads,
        c.mamba_d_head,
        c.mamba_d_state,
        c.mamba_n_groups,
        c.mamba_d_conv,
        activation=c.hidden_act,
        bias=c.mamba_proj_bias,
        out_bias=c.mamba_proj_bias if out_bias is None else out_bias,
        conv_bias=c.mamba_conv_bias,
        limits=(low, high),
        steps=None,
        **fields,
    )


def stack(c: BambaConfig) -> spec.Stack:
    """The decoder."""
    inner = llama.feedforward(c, c.intermediate_size, c.mlp_bias)
    attention = llama.attention(c, Causal(), c.attention_bias)
    kinds = {"linear_attention": llama.block(c, scan(c), inner)}
    kinds["full_attention"] = llama.block(c, attention, inner)
    return llama.decoder(c, llama.by_kind(c, kinds, "layers_block_type"), "BambaDecoderLayer", names=NAMES)


def words(c: BambaConfig) -> Words:
    """Logits, kept small where the config weighs that."""
    return Words("lm_head", bias=False, z_loss=c.z_loss_coefficient or 0.0)


BAMBA = register(
    Family(
        model_type="bamba",
        name="Bamba",
        config=BambaConfig,
        base="model",
        assembly=Single(stack),
        heads={"ForCausalLM": Head("causal_lm", words)},
        ignored=(r".*rotary_emb\.inv_freq",),
        order=(
            ("feed_forward", "input_layernorm", "pre_ff_layernorm", "mamba", "self_attn"),
            ("gate_proj", "up_proj", "down_proj"),
        ),
    )
)
