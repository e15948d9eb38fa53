"""LFM2 (Liquid AI 2025, arXiv:2511.23404): short convolutions between gates, and attention in some layers."""

from __future__ import annotations

from typing import Any

from formers.assemblies.family import Family
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models import llama
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal
from formers.nn.positions import Rotary


class Lfm2Config(PretrainedConfig):
    """Configuration of LFM2."""

    model_type = "lfm2"
    keys_to_ignore_at_inference = ["past_key_values"]
    default_theta = 1000000.0
    vocab_size: int = 65536
    hidden_size: int = 2560
    intermediate_size: int = 12288
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int = 8
    max_position_embeddings: int = 128000
    initializer_range: float = 0.02
    norm_eps: float = 1e-5
    use_cache: bool = True
    pad_token_id: int | None = 0
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    tie_word_embeddings: bool = True
    rope_parameters: dict[str, Any] | None = None
    conv_bias: bool = False
    conv_L_cache: int = 3  # noqa: N815  # as files spell it
    block_multiple_of: int = 256
    block_ffn_dim_multiplier: float | None = 1.0
    block_auto_adjust_ff_dim: bool = True
    full_attn_idxs: list[int] | None = None
    layer_types: list[str] | None = None

    def __init__(self, **values: Any) -> None:
        # as the first files spell them
        older = {"tie_embedding": "tie_word_embeddings", "block_ff_dim": "intermediate_size"}
        given = {older[name]: value for name, value in values.items() if name in older}
        super().__init__(**{name: value for name, value in values.items() if name not in older} | given)
        if self.layer_types is None:
            count = self.num_hidden_layers
            self.full_attn_idxs = list(range(count)) if self.full_attn_idxs is None else self.full_attn_idxs
            self.layer_types = [
                "full_attention" if i in self.full_attn_idxs else "conv" for i in range(count)
            ]

    @property
    def inner(self) -> int:
        """Width of the feed-forward: two thirds of what is stated, rounded up, where that is adjusted."""
        if not self.block_auto_adjust_ff_dim:
            return self.intermediate_size
        inner, whole = int(2 * self.intermediate_size / 3), self.block_multiple_of
        if self.block_ffn_dim_multiplier is None:
            return inner
        return -(-int(self.block_ffn_dim_multiplier * inner) // whole) * whole


NAMES = llama.NAMES.with_(
    layer={
        "attention_norm": "operator_norm",
        "o": "self_attn.out_proj",
        "q_norm": "self_attn.q_layernorm",
        "k_norm": "self_attn.k_layernorm",
        "in": "conv.in_proj",
        "conv": "conv.conv",
        "out": "conv.out_proj",
        "feedforward_norm": "ffn_norm",
        "gate": "feed_forward.w1",
        "up": "feed_forward.w3",
        "down": "feed_forward.w2",
        "act": None,
    },
    stack={"final_norm": "embedding_norm"},
)


def stack(c: Lfm2Config) -> spec.Stack:
    """The decoder."""
    norm, heads = spec.Norm("rms", c.norm_eps), llama.heads(c)
    rotary = Rotary.of(heads.width, c.rope_parameters or {}, c.max_position_embeddings)
    attention = spec.Attention(heads, Causal(), bias=False, out_bias=False, qk_norm=norm, rotary=rotary)
    mixers: dict[str, spec.Mixer] = {
        "full_attention": attention,
        "conv": spec.ShortConvolution(c.conv_L_cache, c.conv_bias),
    }
    inner = spec.FeedForward(c.inner, "silu", gated=True, bias=False)
    kinds = {kind: spec.layer(mixer, inner, norm, order="pre") for kind, mixer in mixers.items()}
    return llama.decoder(c, llama.by_kind(c, kinds), "Lfm2DecoderLayer", norm, NAMES)


LFM2 = register(
    Family(
        model_type="lfm2",
        name="Lfm2",
        config=Lfm2Config,
        base="model",
        assembly=Single(stack),
        heads=llama.heads_of("ForCausalLM"),
        ignored=llama.LLAMA.ignored,
        order=(
            ("self_attn", "conv", "feed_forward", "operator_norm", "ffn_norm"),
            ("conv", "in_proj", "out_proj"),
            ("q_proj", "k_proj", "v_proj", "out_proj", "q_layernorm", "k_layernorm"),
        ),
    )
)
