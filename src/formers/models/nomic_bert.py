"""Nomic BERT (Nussbaum et al. 2024, arXiv:2402.01613): BERT with rotary positions and gated feed-forwards."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.checkpoints import Rename
from formers.configs import PretrainedConfig
from formers.models import bert, llama
from formers.models.registry import register
from formers.nn import spec
from formers.nn.positions import Rotary
from formers.tasks.specs import Labels, Words


class NomicBertConfig(PretrainedConfig):
    """Configuration of Nomic BERT."""

    model_type = "nomic_bert"
    default_theta = 1000.0
    vocab_size: int = 30528
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "silu"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    max_position_embeddings: int = 2048
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = 0
    classifier_dropout: float | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    tie_word_embeddings: bool = True
    rope_parameters: dict[str, Any] | None = None
    head_dim: int | None = None


NAMES = spec.Names(
    layers="encoder.layers",
    layer={
        "qkv": "attn.Wqkv",
        "o": "attn.out_proj",
        "attention_dropout": "post_attention_dropout",
        "attention_norm": "norm1",
        "up": "mlp.fc11",
        "gate": "mlp.fc12",
        "act": "mlp.act_fn",
        "down": "mlp.fc2",
        "feedforward_dropout": "post_mlp_dropout",
        "feedforward_norm": "norm2",
    },
    embeddings={role: path for role, path in bert.NAMES.embeddings.items() if role != "position"},
    stack={**bert.NAMES.stack, "rotary": "rotary_emb"},
)


def encoder(
    c: Any, names: spec.Names, layer_class: str, feedforward: spec.FeedForward, bias: bool
) -> spec.Stack:
    """An encoder with norms on its sums, whose queries and keys are turned by their positions."""
    norm, heads = spec.Norm("layer", c.layer_norm_eps), llama.heads(c)
    rotary = Rotary.of(heads.width, c.rope_parameters or {}, c.max_position_embeddings)
    attention = spec.Attention(heads, dropout=c.attention_probs_dropout_prob, bias=bias, out_bias=bias)
    attention = replace(attention, fused="blocks", rotary=rotary)
    layer = spec.layer(attention, feedforward, norm, dropout=c.hidden_dropout_prob)
    return spec.Stack(
        stem=spec.Tokens(
            c.vocab_size,
            c.hidden_size,
            types=c.type_vocab_size,
            norm=norm,
            dropout=c.hidden_dropout_prob,
            padding_idx=c.pad_token_id,
        ),
        layers=(layer,) * c.num_hidden_layers,
        names=names,
        width=c.hidden_size,
        layer_class=layer_class,
        initial_std=c.initializer_range,
    )


def stack(c: NomicBertConfig) -> spec.Stack:
    """The encoder."""
    return encoder(c, NAMES, "NomicBertLayer", llama.feedforward(c, c.intermediate_size), bias=False)


def words(c: NomicBertConfig) -> Words:
    """A transformed state, and the token table."""
    return replace(bert.words(c), norm="cls.predictions.transform.layer_norm")


ALIASES = {
    "layers": "encoder.layers",
    "layers.{i}.post_attention_layernorm": "encoder.layers.{i}.norm1",
    "layers.{i}.post_mlp_layernorm": "encoder.layers.{i}.norm2",
}
NOMIC_BERT = register(
    Family(
        model_type="nomic_bert",
        name="NomicBert",
        config=NomicBertConfig,
        base="nomic_bert",
        assembly=Single(stack),
        heads={
            "ForMaskedLM": Head("masked_lm", words),
            "ForSequenceClassification": bert.BERT.heads["ForSequenceClassification"],
            "ForTokenClassification": Head(
                "token_classification", lambda c: Labels("classifier", bert.dropout(c))
            ),
        },
        renames=(Rename("emb_ln.{what}", "embeddings.LayerNorm.{what}", written=True),),
        ignored=(*bert.BERT.ignored, r".*rotary_emb\.inv_freq"),
        aliases={
            **ALIASES,
            "layers.{i}.self_attn": "encoder.layers.{i}.attn",
            "layers.{i}.self_attn.o_proj": "encoder.layers.{i}.attn.out_proj",
            "layers.{i}.mlp.up_proj": "encoder.layers.{i}.mlp.fc11",
            "layers.{i}.mlp.gate_proj": "encoder.layers.{i}.mlp.fc12",
            "layers.{i}.mlp.down_proj": "encoder.layers.{i}.mlp.fc2",
        },
    )
)
