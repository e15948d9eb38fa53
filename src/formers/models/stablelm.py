"""StableLM (Bellagente et al. 2024, arXiv:2402.17834): LLaMA with layer norms, heads turned in part."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.single import Single
from formers.models import llama
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal


class StableLmConfig(llama.DecoderConfig):
    """Configuration of StableLM."""

    model_type = "stablelm"
    keys_to_ignore_at_inference = ["past_key_values"]
    default_share = 0.25
    vocab_size: int = 50304
    intermediate_size: int = 6912
    hidden_size: int = 2560
    num_key_value_heads: int | None = 32
    max_position_embeddings: int = 4096
    layer_norm_eps: float = 1e-5
    use_qkv_bias: bool = False
    qk_layernorm: bool = False
    use_parallel_residual: bool = False
    hidden_dropout: float = 0.0
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 0


NAMES = llama.NAMES.with_(
    layer={
        "q_norm": "self_attn.q_layernorm",
        "k_norm": "self_attn.k_layernorm",
        "feedforward_dropout": "dropout",
    }
)


def stack(c: StableLmConfig) -> spec.Stack:
    """The decoder. Results of the feed-forward alone are dropped."""
    norm = spec.Norm("layer", c.layer_norm_eps)
    attention = llama.attention(
        c,
        Causal(),
        c.use_qkv_bias,
        out_bias=False,
        qk_norm=norm if c.qk_layernorm else None,
        qk_norm_over="apart",
        heads_first=True,
    )
    first, second = spec.layer(
        attention,
        llama.feedforward(c, c.intermediate_size),
        norm,
        "pre",
        reads="normed" if c.use_parallel_residual else "sum",
    ).parts
    layer = spec.Layer((first, replace(second, dropout=c.hidden_dropout)))
    return llama.decoder(c, (layer,) * c.num_hidden_layers, "StableLmDecoderLayer", norm, NAMES)


STABLELM = register(
    replace(
        llama.LLAMA,
        model_type="stablelm",
        name="StableLm",
        config=StableLmConfig,
        assembly=Single(stack),
        heads=llama.heads_of("ForCausalLM", "ForSequenceClassification", "ForTokenClassification"),
        order=(*llama.LLAMA.order, ("q_proj", "k_proj", "v_proj", "o_proj", "q_layernorm", "k_layernorm")),
    )
)
