"""OPT (Zhang et al. 2022, arXiv:2205.01068): BART's decoder alone, at positions that count real tokens."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.encoder_decoder import DecoderHalf, EncoderDecoder
from formers.assemblies.family import Family, Head
from formers.configs import PretrainedConfig
from formers.models import biogpt, llama
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal
from formers.tasks.specs import Spans


class OPTConfig(PretrainedConfig):
    """Configuration of OPT. Tokens are looked up, and predicted, `word_embed_proj_dim` wide."""

    model_type = "opt"
    keys_to_ignore_at_inference = ["past_key_values"]
    vocab_size: int = 50272
    hidden_size: int = 768
    num_hidden_layers: int = 12
    ffn_dim: int = 3072
    max_position_embeddings: int = 2048
    do_layer_norm_before: bool = True
    _remove_final_layer_norm: bool = False
    word_embed_proj_dim: int | None = None
    dropout: float = 0.1
    attention_dropout: float = 0.0
    num_attention_heads: int = 12
    activation_function: str = "relu"
    layerdrop: float = 0.0
    init_std: float = 0.02
    use_cache: bool = True
    pad_token_id: int | None = 1
    bos_token_id: int | None = 2
    eos_token_id: int | list[int] | None = 2
    enable_bias: bool = True
    layer_norm_elementwise_affine: bool = True
    tie_word_embeddings: bool = True

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if self.word_embed_proj_dim is None:
            self.word_embed_proj_dim = self.hidden_size


NAMES = biogpt.NAMES.with_(
    embeddings={"embedding_projection": "project_in"},
    stack={"final_norm": "final_layer_norm", "final_projection": "project_out"},
)


def stack(c: OPTConfig) -> spec.Stack:
    """The decoder."""
    norm = spec.Norm("layer", 1e-5, weight=c.layer_norm_elementwise_affine)
    bias, first, wide = c.enable_bias, c.do_layer_norm_before, c.word_embed_proj_dim
    heads = spec.Heads.split(c.hidden_size, c.num_attention_heads)
    own, inner = spec.layer(
        spec.Attention(heads, Causal(), c.attention_dropout, bias=bias, out_bias=bias),
        spec.FeedForward(c.ffn_dim, c.activation_function, bias=bias),
        norm,
        "pre" if first else "post",
        dropout=c.dropout,
    ).parts
    layer = spec.Layer((own, replace(inner, flat=True)))
    projected = wide if wide != c.hidden_size else None
    return spec.Stack(
        stem=spec.Tokens(
            c.vocab_size,
            c.hidden_size,
            positions=spec.LearnedPositions(c.max_position_embeddings, offset=2, masked=True),
            padding_idx=c.pad_token_id,
            projects="tokens" if projected else "",
            projection_bias=False,
            table_width=projected,
        ),
        layers=(layer,) * c.num_hidden_layers,
        names=NAMES,
        width=c.hidden_size,
        layer_class="OPTDecoderLayer",
        decoder=True,
        final_norm=norm if first and not c._remove_final_layer_norm else None,
        projected=projected,
        layer_drop=c.layerdrop,
        initial_std=c.init_std,
    )


OPT = register(
    Family(
        model_type="opt",
        name="OPT",
        config=OPTConfig,
        base="model",
        assembly=DecoderHalf(EncoderDecoder(lambda c, decoder: stack(c))),
        heads={
            **llama.heads_of("ForCausalLM", "ForSequenceClassification"),
            "ForQuestionAnswering": Head("question_answering", lambda c: Spans()),
        },
        order=(
            ("embed_tokens", "embed_positions", "project_out", "project_in", "final_layer_norm", "layers"),
            ("self_attn", "activation_fn", "self_attn_layer_norm", "fc1", "fc2", "final_layer_norm"),
            ("k_proj", "v_proj", "q_proj", "out_proj"),
        ),
    )
)
