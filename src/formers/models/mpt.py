"""MPT (MosaicML 2023): a decoder without biases, whose heads see what is far by slopes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models import bloom
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal
from formers.nn.positions import Alibi


class MptAttentionConfig(PretrainedConfig):
    """Configuration of MPT's attention."""

    base_config_key = "attn_config"
    attn_type: str = "multihead_attention"
    attn_pdrop: float = 0.0
    attn_impl: str = "torch"
    clip_qkv: float | None = None
    softmax_scale: float | None = None
    prefix_lm: bool = False
    qk_ln: bool = False
    attn_uses_sequence_id: bool = False
    alibi: bool = True
    alibi_bias_max: int = 8


class MptConfig(PretrainedConfig):
    """Configuration of MPT. `learned_pos_emb`, `init_device` and `norm_type` are kept, and have no effect."""

    model_type = "mpt"
    sub_configs = {"attn_config": MptAttentionConfig}
    attribute_map = {
        "num_attention_heads": "n_heads",
        "hidden_size": "d_model",
        "num_hidden_layers": "n_layers",
    }
    d_model: int = 2048
    n_heads: int = 16
    n_layers: int = 24
    expansion_ratio: int = 4
    max_seq_len: int = 2048
    vocab_size: int = 50368
    resid_pdrop: float = 0.0
    layer_norm_epsilon: float = 1e-5
    emb_pdrop: float = 0.0
    learned_pos_emb: bool = True
    attn_config: MptAttentionConfig | None = None
    init_device: str = "cpu"
    logit_scale: float | str | None = None
    no_bias: bool = True
    embedding_fraction: float = 1.0
    norm_type: str = "low_precision_layernorm"
    use_cache: bool = False
    initializer_range: float = 0.02
    tie_word_embeddings: bool = True


# what the original code could, and no model of the ecosystem has
FIXED: dict[str, Any] = {
    "expansion_ratio": 4,
    "logit_scale": None,
    "no_bias": True,
    "embedding_fraction": 1.0,
    "resid_pdrop": 0.0,
    "emb_pdrop": 0.0,
}
FIXED_ATTENTION: dict[str, Any] = {
    "attn_type": "multihead_attention",
    "prefix_lm": False,
    "qk_ln": False,
    "attn_uses_sequence_id": False,
    "alibi": True,
}
NAMES = spec.Names(
    layers="blocks",
    layer={
        "attention_norm": "norm_1",
        "qkv": "attn.Wqkv",
        "o": "attn.out_proj",
        "attention_dropout": "resid_attn_dropout",
        "feedforward_norm": "norm_2",
        "up": "ffn.up_proj",
        "act": "ffn.act",
        "down": "ffn.down_proj",
        "feedforward_add": "ffn",
    },
    embeddings={"token": "wte"},
    stack={"final_norm": "norm_f"},
)


def stack(c: MptConfig) -> spec.Stack:
    """The decoder."""
    own: Any = c.attn_config or MptAttentionConfig()
    both = ((c, FIXED), (own, FIXED_ATTENTION))
    other = {name: value for of, fixed in both for name, value in fixed.items() if getattr(of, name) != value}
    if other:
        raise ValueError(f"of MPT only the kind with {other} is available")
    norm = spec.Norm("layer", c.layer_norm_epsilon, bias=False)
    mixer = spec.Attention(
        spec.Heads.split(c.d_model, c.n_heads),
        mask=Causal(),
        dropout=own.attn_pdrop,
        scale=own.softmax_scale,
        bias=False,
        out_bias=False,
        fused="blocks",
        clip=own.clip_qkv or None,
        score_bias=Alibi(own.alibi_bias_max, columns=True),
    )
    feedforward = spec.FeedForward(4 * c.d_model, "gelu", bias=False)
    return spec.Stack(
        stem=spec.Tokens(c.vocab_size, c.d_model),
        layers=(spec.layer(mixer, feedforward, norm, "pre", dropout=own.attn_pdrop),) * c.n_layers,
        names=NAMES,
        width=c.d_model,
        layer_class="MptBlock",
        decoder=True,
        final_norm=norm,
        initial_std=c.initializer_range,
    )


MPT = register(
    replace(
        bloom.BLOOM,
        model_type="mpt",
        name="Mpt",
        config=MptConfig,
        assembly=Single(stack),
        order=(("norm_1", "attn", "norm_2", "ffn", "resid_attn_dropout"),),
    )
)
