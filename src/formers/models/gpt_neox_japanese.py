"""GPT-NeoX Japanese (ABEJA 2022): GPT-NeoX in sequence, without biases but for the last attention's."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.single import Single
from formers.models import gpt_neox, llama
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal


class GPTNeoXJapaneseConfig(llama.DecoderConfig):
    """Configuration of GPT-NeoX Japanese. The feed-forward is `intermediate_multiple_size` times as wide."""

    model_type = "gpt_neox_japanese"
    attribute_map = gpt_neox.GPTNeoXConfig.attribute_map
    default_share = 1.0
    hidden_size: int = 2560
    intermediate_multiple_size: int = 4
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-5
    bos_token_id: int | None = 31996
    eos_token_id: int | list[int] | None = 31999
    attention_dropout: float | None = 0.1
    hidden_dropout: float = 0.0
    is_decoder: bool = False
    tie_word_embeddings: bool = True


NAMES = gpt_neox.NAMES.with_(
    layer={
        "weights_dropout": "attention.attention_dropout",
        "attention_shift": "attention.dense_bias",
        "attention_add": "",
        "attention_dropout": None,
        "feedforward_dropout": None,
    },
    embeddings={"embedding_dropout": None},
)


def stack(c: GPTNeoXJapaneseConfig) -> spec.Stack:
    """The decoder."""
    norm = spec.Norm("layer", c.layer_norm_eps)
    inner = int(c.hidden_size * c.intermediate_multiple_size)
    layer = spec.layer(
        llama.attention(c, Causal(), fused="groups"),
        spec.FeedForward(inner, c.hidden_act, bias=False),
        norm,
        "pre",
        dropout=c.hidden_dropout,
    )
    first, second = layer.parts
    last = spec.Layer((replace(first, shift=True), second))
    layers = (layer,) * (c.num_hidden_layers - 1) + (last,) * min(c.num_hidden_layers, 1)
    return llama.decoder(c, layers, "GPTNeoXJapaneseLayer", norm, NAMES, padding_idx=None)


GPT_NEOX_JAPANESE = register(
    replace(
        gpt_neox.GPT_NEOX,
        model_type="gpt_neox_japanese",
        name="GPTNeoXJapanese",
        config=GPTNeoXJapaneseConfig,
        base="gpt_neox_japanese",
        assembly=Single(stack),
        heads={"ForCausalLM": gpt_neox.GPT_NEOX.heads["ForCausalLM"]},
        order=(("input_layernorm", "post_attention_layernorm", "attention", "mlp"),),
    )
)
