"""ModernBERT (Warner et al. 2024, arXiv:2412.13663): pre-norm, rotary, windows in two layers of three."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models.registry import register
from formers.nn import spec
from formers.nn.fresh import Cut
from formers.nn.masks import Full, Window
from formers.nn.positions import Rotary
from formers.tasks.specs import Labels, Sequences, Spans, Transform, Words

FULL, SLIDING = "full_attention", "sliding_attention"


class ModernBertConfig(PretrainedConfig):
    """Configuration of ModernBERT. Every third layer sees everything, where `layer_types` is None."""

    model_type = "modernbert"
    _available = {"classifier_pooling": ("cls", "mean")}
    keys_to_ignore_at_inference = ["past_key_values"]
    vocab_size: int = 50368
    hidden_size: int = 768
    intermediate_size: int = 1152
    num_hidden_layers: int = 22
    num_attention_heads: int = 12
    hidden_activation: str = "gelu"
    max_position_embeddings: int = 8192
    initializer_range: float = 0.02
    initializer_cutoff_factor: float | None = 2.0
    norm_eps: float = 1e-5
    norm_bias: bool = False
    pad_token_id: int | None = 50283
    eos_token_id: int | list[int] | None = 50282
    bos_token_id: int | None = 50281
    cls_token_id: int | None = 50281
    sep_token_id: int | None = 50282
    attention_bias: bool = False
    attention_dropout: float = 0.0
    layer_types: list[str] | None = None
    rope_parameters: dict[str, Any] | None = None
    local_attention: int = 128
    embedding_dropout: float = 0.0
    mlp_bias: bool = False
    mlp_dropout: float = 0.0
    decoder_bias: bool = True
    classifier_pooling: str = "cls"
    classifier_dropout: float = 0.0
    classifier_bias: bool = False
    classifier_activation: str = "gelu"
    deterministic_flash_attn: bool = False
    sparse_prediction: bool = False
    sparse_pred_ignore_index: int = -100
    tie_word_embeddings: bool = True

    def __init__(self, **values: Any) -> None:
        thetas = {FULL: values.pop("global_rope_theta", 160_000.0)}
        thetas[SLIDING] = values.pop("local_rope_theta", 10_000.0)
        scaling, given = values.pop("rope_scaling", None) or {}, values.pop("rope_parameters", None) or {}
        rope = {k: {"rope_theta": theta, **scaling, **(given.get(k) or {})} for k, theta in thetas.items()}
        every = values.get("global_attn_every_n_layers", 3)  # as older files say it
        super().__init__(rope_parameters=rope, **values)
        if self.layer_types is None:
            self.layer_types = [SLIDING if i % every else FULL for i in range(self.num_hidden_layers)]


NAMES = spec.Names(
    layers="layers",
    layer={
        "attention_norm": "attn_norm",
        "qkv": "attn.Wqkv",
        "o": "attn.Wo",
        "attention_dropout": "attn.out_drop",
        "feedforward_norm": "mlp_norm",
        "gate_up": "mlp.Wi",
        "act": "mlp.act",
        "inner_dropout": "mlp.drop",
        "down": "mlp.Wo",
    },
    embeddings={
        "token": "embeddings.tok_embeddings",
        "embedding_norm": "embeddings.norm",
        "embedding_dropout": "embeddings.drop",
    },
    stack={"final_norm": "final_norm", "rotary": "rotary_emb"},
)


def norm(c: ModernBertConfig) -> spec.Norm:
    """The norm that stands everywhere."""
    return spec.Norm("layer", c.norm_eps, bias=c.norm_bias)


def layer(c: ModernBertConfig, kind: str, first: bool) -> spec.Layer:
    """One layer; the first one reads the embeddings, which are normalised already."""
    masks = {FULL: Full(), SLIDING: Window(c.local_attention // 2)}
    if kind not in masks:
        raise ValueError(f"layer_types are {' and '.join(masks)}, not {kind}")
    heads, biased = spec.Heads.split(c.hidden_size, c.num_attention_heads), c.attention_bias
    rope = Rotary.of(heads.width, (c.rope_parameters or {})[kind], c.max_position_embeddings)
    attention = spec.Attention(heads, masks[kind], c.attention_dropout, bias=biased, out_bias=biased)
    attention = replace(attention, fused="blocks", rotary=rope)
    inner, act, drop = c.intermediate_size, c.hidden_activation, c.mlp_dropout
    feedforward = spec.FeedForward(inner, act, gated=True, fused=True, bias=c.mlp_bias, dropout=drop)
    before = spec.Norm("none") if first else norm(c)
    attending = spec.Part(attention, "attention", before, dropout=c.attention_dropout)
    return spec.Layer((attending, spec.Part(feedforward, "feedforward", norm(c))))


def stack(c: ModernBertConfig) -> spec.Stack:
    """The encoder."""
    at = 3.0 if c.initializer_cutoff_factor is None else c.initializer_cutoff_factor
    outward = Cut(c.initializer_range / (2.0 * c.num_hidden_layers) ** 0.5, at)
    ends = ("Wo.weight", "head.dense.weight", "decoder.weight")
    stem = spec.Tokens(c.vocab_size, c.hidden_size, norm=norm(c), padding_idx=c.pad_token_id)
    return spec.Stack(
        stem=replace(stem, dropout=c.embedding_dropout),
        layers=tuple(layer(c, kind, i == 0) for i, kind in enumerate(c.layer_types or ())),
        names=NAMES,
        width=c.hidden_size,
        layer_class="ModernBertEncoderLayer",
        final_norm=norm(c),
        initial_std=Cut(c.initializer_range, at),
        init={**dict.fromkeys(ends, outward), "classifier.weight": Cut(c.hidden_size**-0.5, at)},
    )


def before(c: ModernBertConfig) -> Transform:
    """What stands before the output layer of every head."""
    act, bias = c.classifier_activation, c.classifier_bias
    return Transform("head.dense", act, "head.act", "head.norm", norm(c), bias)


def words(c: ModernBertConfig) -> Words:
    """The token table."""
    sparse = c.sparse_pred_ignore_index if c.sparse_prediction else None
    return Words("decoder", bias=c.decoder_bias, before=before(c), sparse=sparse)


def labels(c: ModernBertConfig) -> Labels:
    """Labels of tokens."""
    return Labels("classifier", c.classifier_dropout, "drop", before(c))


def spans(c: ModernBertConfig) -> Spans:
    """Where an answer begins and ends."""
    return Spans("classifier", c.classifier_dropout, "drop", before=before(c))


def sequences(c: ModernBertConfig) -> Sequences:
    """A label by the first token's state, or the mean of all."""
    found = Sequences("classifier", dropout=c.classifier_dropout, dropout_path="drop", before=before(c))
    return replace(found, pool="first" if c.classifier_pooling == "cls" else "mean")


MODERNBERT = register(
    Family(
        model_type="modernbert",
        name="ModernBert",
        config=ModernBertConfig,
        base="model",
        assembly=Single(stack, types=False),
        heads={
            "ForMaskedLM": Head("masked_lm", words),
            "ForSequenceClassification": Head("sequence_classification", sequences),
            "ForTokenClassification": Head("token_classification", labels),
            "ForQuestionAnswering": Head("question_answering", spans),
            "ForMultipleChoice": Head("multiple_choice", sequences),
        },
    )
)
