"""StarCoder 2 (Lozhkov et al. 2024, arXiv:2402.19173): grouped rotary heads, layer norms, biases."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.single import Single
from formers.models import llama
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal


class Starcoder2Config(llama.DecoderConfig):
    """Configuration of StarCoder 2."""

    model_type = "starcoder2"
    keys_to_ignore_at_inference = ["past_key_values"]
    vocab_size: int = 49152
    hidden_size: int = 3072
    intermediate_size: int = 12288
    num_hidden_layers: int = 30
    num_attention_heads: int = 24
    num_key_value_heads: int = 2
    hidden_act: str = "gelu_pytorch_tanh"
    max_position_embeddings: int = 4096
    initializer_range: float = 0.018042
    norm_epsilon: float = 1e-5
    bos_token_id: int | None = 50256
    eos_token_id: int | list[int] | None = 50256
    sliding_window: int | None = None
    residual_dropout: float = 0.0
    embedding_dropout: float = 0.0
    use_bias: bool = True
    tie_word_embeddings: bool = True


NAMES = llama.NAMES.with_(layer={"up": "mlp.c_fc", "act": "mlp.act", "down": "mlp.c_proj", "gate": None})


def stack(c: Starcoder2Config) -> spec.Stack:
    """The decoder."""
    norm = spec.Norm("layer", c.norm_epsilon)
    attention = llama.attention(c, Causal(c.sliding_window), c.use_bias)
    feedforward = spec.FeedForward(c.intermediate_size, c.hidden_act, bias=c.use_bias)
    layer = spec.layer(attention, feedforward, norm, order="pre", dropout=c.residual_dropout)
    layers = (layer,) * c.num_hidden_layers
    dropped = {"dropout": c.embedding_dropout}
    return llama.decoder(c, layers, "Starcoder2DecoderLayer", norm, NAMES, **dropped)


STARCODER2 = register(
    replace(
        llama.LLAMA,
        model_type="starcoder2",
        name="Starcoder2",
        config=Starcoder2Config,
        assembly=Single(stack),
        heads=llama.heads_of("ForCausalLM", "ForSequenceClassification", "ForTokenClassification"),
        order=(llama.LLAMA.order[0],),
    )
)
