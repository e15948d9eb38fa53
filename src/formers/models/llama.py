"""LLaMA (Touvron et al. 2023, arXiv:2302.13971): pre-RMS decoder, rotary positions, grouped heads, SwiGLU."""

from __future__ import annotations

from typing import Any

from formers.configs import PretrainedConfig
from formers.models.registry import register
from formers.nn import spec
from formers.nn.heads import Head
from formers.nn.masks import Causal
from formers.nn.positions import Rotary
from formers.stacks.family import Family


class LlamaConfig(PretrainedConfig):
    """Configuration of LLaMA."""

    model_type = "llama"
    vocab_size: int = 32000
    hidden_size: int = 4096
    intermediate_size: int = 11008
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int | None = None
    hidden_act: str = "silu"
    max_position_embeddings: int = 2048
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-6
    use_cache: bool = True
    pad_token_id: int | None = None
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    pretraining_tp: int | None = 1
    tie_word_embeddings: bool = False
    rope_parameters: dict[str, Any] | None = None
    attention_bias: bool = False
    attention_dropout: float = 0.0
    mlp_bias: bool = False
    head_dim: int | None = None


NAMES = spec.Names(
    layers="layers",
    layer={
        "attention_norm": "input_layernorm",
        "q": "self_attn.q_proj",
        "k": "self_attn.k_proj",
        "v": "self_attn.v_proj",
        "o": "self_attn.o_proj",
        "feedforward_norm": "post_attention_layernorm",
        "gate": "mlp.gate_proj",
        "up": "mlp.up_proj",
        "down": "mlp.down_proj",
    },
    embeddings={"token": "embed_tokens"},
    stack={"final_norm": "norm"},
)


def heads(c: LlamaConfig) -> spec.Heads:
    """Key/value heads default to the query heads, their width to an even share."""
    width = c.head_dim or c.hidden_size // c.num_attention_heads
    return spec.Heads(c.num_attention_heads, c.num_key_value_heads or c.num_attention_heads, width)


def stack(c: LlamaConfig) -> spec.Stack:
    """The decoder."""
    norm = spec.Norm("rms", c.rms_norm_eps)
    layer = spec.Layer(
        spec.Attention(
            heads(c),
            mask=Causal(),
            dropout=c.attention_dropout,
            bias=c.attention_bias,
            out_bias=c.attention_bias,
            rotary=Rotary.of(heads(c).width, c.rope_parameters or {}, c.max_position_embeddings),
        ),
        spec.FeedForward(c.intermediate_size, c.hidden_act, gated=True, bias=c.mlp_bias),
        norm,
        order="pre",
    )
    return spec.Stack(
        embeddings=spec.Embeddings(c.vocab_size, c.hidden_size, padding_idx=c.pad_token_id),
        layers=(layer,) * c.num_hidden_layers,
        names=NAMES,
        width=c.hidden_size,
        final_norm=norm,
        initial_std=c.initializer_range,
    )


LLAMA = register(
    Family(
        model_type="llama",
        name="Llama",
        config=LlamaConfig,
        base="model",
        stack=stack,
        heads={
            "ForCausalLM": Head("causal_lm", {"out": "lm_head"}, tied=True, bias=False),
            "ForSequenceClassification": Head(
                "sequence_classification", {"out": "score"}, pool="last", bias=False
            ),
            "ForTokenClassification": Head(
                "token_classification",
                {"out": "score"},
                dropout=("classifier_dropout", "hidden_dropout"),
                default_dropout=0.1,
            ),
            "ForQuestionAnswering": Head("question_answering", {"out": "qa_outputs"}, base="transformer"),
        },
        ignored=(r".*rotary_emb\.inv_freq",),
        order=(
            ("self_attn", "mlp", "input_layernorm", "post_attention_layernorm"),
            ("gate_proj", "up_proj", "down_proj"),
        ),
    )
)
