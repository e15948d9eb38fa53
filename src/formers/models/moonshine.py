"""Moonshine (Jeffries et al. 2024, arXiv:2410.15608): an encoder-decoder over samples, with rotary places."""

from __future__ import annotations

from typing import Any

from formers.assemblies.encoder_decoder import EncoderDecoder
from formers.assemblies.family import Family, Head
from formers.configs import PretrainedConfig
from formers.models import llama
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal, Full
from formers.nn.positions import Rotary
from formers.tasks.specs import Words


class MoonshineConfig(PretrainedConfig):
    """Configuration. `pad_head_dim_to_multiple_of` changes no result, and nothing reads it."""

    model_type = "moonshine"
    keys_to_ignore_at_inference = ["past_key_values"]
    attribute_map = {
        "num_key_value_heads": "decoder_num_key_value_heads",
        "num_attention_heads": "decoder_num_attention_heads",
        "num_hidden_layers": "decoder_num_hidden_layers",
        "hidden_act": "decoder_hidden_act",
    }
    default_share = 0.9
    vocab_size: int = 32768
    hidden_size: int = 288
    intermediate_size: int = 1152
    encoder_num_hidden_layers: int = 6
    decoder_num_hidden_layers: int = 6
    encoder_num_attention_heads: int = 8
    decoder_num_attention_heads: int = 8
    encoder_num_key_value_heads: int | None = None
    decoder_num_key_value_heads: int | None = None
    pad_head_dim_to_multiple_of: int | None = None
    encoder_hidden_act: str = "gelu"
    decoder_hidden_act: str = "silu"
    max_position_embeddings: int = 512
    initializer_range: float = 0.02
    decoder_start_token_id: int | None = 1
    use_cache: bool = True
    rope_parameters: dict[str, Any] | None = None
    is_encoder_decoder: bool = True
    attention_bias: bool = False
    attention_dropout: float = 0.0
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    pad_token_id: int | None = None
    tie_word_embeddings: bool = True

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.encoder_num_key_value_heads = (
            self.encoder_num_key_value_heads or self.encoder_num_attention_heads
        )
        self.decoder_num_key_value_heads = (
            self.decoder_num_key_value_heads or self.decoder_num_attention_heads
        )


_LAYER = {
    **dict.fromkeys(("gate", "up")),
    **{"act": "mlp.activation_fn", "down": "mlp.fc2"},
}
ENCODER = llama.NAMES.with_(
    layer={**_LAYER, "up": "mlp.fc1"},
    embeddings={
        "token": None,
        **{f"conv_{i}": f"conv{i + 1}" for i in range(3)},
        "conv_norm": "groupnorm",
    },
    stack={"final_norm": "layer_norm"},
)
DECODER = llama.NAMES.with_(
    layer={
        **_LAYER,
        **{f"cross_{role}": f"encoder_attn.{role}_proj" for role in "qkvo"},
        **{"cross_norm": "post_attention_layernorm", "feedforward_norm": "final_layernorm"},
        "gate_up": "mlp.fc1",
    }
)
NORM = spec.Norm("layer", 1e-5, bias=False)


def half(c: Any, decoder: bool) -> spec.Stack:
    """The encoder or the decoder; each has its own depth, heads and activation."""
    kind = "decoder" if decoder else "encoder"
    of = {name: getattr(c, f"{kind}_{name}") for name in ("num_hidden_layers", "hidden_act")}
    query, shared = (getattr(c, f"{kind}_num_{name}_heads") for name in ("attention", "key_value"))
    heads = spec.Heads(query, shared, c.hidden_size // query)
    turned = Rotary.of(heads.width, c.rope_parameters or {}, c.max_position_embeddings, adjacent=True)
    shape: dict[str, Any] = {"dropout": c.attention_dropout, "bias": c.attention_bias, "out_bias": False}
    across = spec.Attention(heads, cross=True, **shape) if decoder else None
    layer = spec.layer(
        spec.Attention(heads, mask=Causal() if decoder else Full(), rotary=turned, **shape),
        spec.FeedForward(
            c.intermediate_size, of["hidden_act"], gated=decoder, fused=decoder, up_first=decoder
        ),
        NORM,
        "pre",
        cross=across,
    )
    tokens = spec.Tokens(c.vocab_size, c.hidden_size, padding_idx=c.pad_token_id)
    return spec.Stack(
        stem=tokens if decoder else spec.RawSamples(c.hidden_size),
        layers=(layer,) * of["num_hidden_layers"],
        names=DECODER if decoder else ENCODER,
        width=c.hidden_size,
        layer_class="MoonshineDecoderLayer" if decoder else "MoonshineEncoderLayer",
        final_norm=NORM,
        decoder=decoder,
        initial_std=c.initializer_range,
    )


MOONSHINE = register(
    Family(
        model_type="moonshine",
        name="Moonshine",
        config=MoonshineConfig,
        base="model",
        assembly=EncoderDecoder(half, stem=spec.RawSamples, places=True),
        heads={"ForConditionalGeneration": Head("speech_seq2seq", lambda c: Words("proj_out", bias=False))},
        order=(
            (
                *("self_attn", "encoder_attn", "mlp", "input_layernorm", "post_attention_layernorm"),
                "final_layernorm",
            ),
        ),
    )
)
