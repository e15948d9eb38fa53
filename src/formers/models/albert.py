"""ALBERT (Lan et al. 2019, arXiv:1909.11942): narrow embeddings, and a few layers that run many times."""

from __future__ import annotations

from dataclasses import fields

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models import bert
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.base import first_set
from formers.tasks.specs import Labels, OrderSpec, Sequences, Words


class AlbertConfig(PretrainedConfig):
    """Configuration of ALBERT."""

    model_type = "albert"
    vocab_size: int = 30000
    embedding_size: int = 128
    hidden_size: int = 4096
    num_hidden_layers: int = 12
    num_hidden_groups: int = 1
    num_attention_heads: int = 64
    intermediate_size: int = 16384
    inner_group_num: int = 1
    hidden_act: str = "gelu_new"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    classifier_dropout_prob: float | None = 0.1
    pad_token_id: int | None = 0
    bos_token_id: int | None = 2
    eos_token_id: int | list[int] | None = 3
    tie_word_embeddings: bool = True


NAMES = spec.Names(
    layers="encoder.albert_layer_groups",
    layer={
        "q": "attention.query",
        "k": "attention.key",
        "v": "attention.value",
        "weights_dropout": "attention.attention_dropout",
        "o": "attention.dense",
        "attention_dropout": "attention.output_dropout",
        "attention_norm": "attention.LayerNorm",
        "up": "ffn",
        "act": "activation",
        "down": "ffn_output",
        "feedforward_norm": "full_layer_layer_norm",
    },
    embeddings=bert.NAMES.embeddings,
    stack={
        "projection": "encoder.embedding_hidden_mapping_in",
        "pooler": "pooler",
        "pooler_act": "pooler_activation",
    },
)


def stack(c: AlbertConfig) -> spec.Stack:
    """The encoder: as many steps as `num_hidden_layers`, shared out evenly among the groups."""
    norm = spec.Norm("layer", c.layer_norm_eps)
    heads = spec.Heads.split(c.hidden_size, c.num_attention_heads)
    layer = spec.Layer(
        (
            spec.Part(
                spec.Attention(heads, dropout=c.attention_probs_dropout_prob),
                "attention",
                after=norm,
                dropout=c.hidden_dropout_prob,
            ),
            spec.Part(spec.FeedForward(c.intermediate_size, c.hidden_act), "feedforward", after=norm),
        )
    )
    groups, steps = c.num_hidden_groups, c.num_hidden_layers
    return spec.Stack(
        stem=spec.Tokens(
            c.vocab_size,
            c.embedding_size,
            positions=spec.LearnedPositions(c.max_position_embeddings),
            types=c.type_vocab_size,
            norm=norm,
            dropout=c.hidden_dropout_prob,
            padding_idx=c.pad_token_id,
        ),
        layers=(layer,) * (groups * c.inner_group_num),
        sharing=spec.LayerSharing(
            "albert_layers", c.inner_group_num, tuple(int(i / (steps / groups)) for i in range(steps))
        ),
        names=NAMES,
        width=c.hidden_size,
        layer_class="AlbertLayer",
        pooler=c.hidden_size,
        initial_std=c.initializer_range,
    )


def dropout(c: AlbertConfig) -> float:
    """Before a classifier."""
    return first_set(c.classifier_dropout_prob, c.hidden_dropout_prob)


def words(c: AlbertConfig) -> Words:
    """A state as narrow as embeddings, and the token table."""
    return Words(
        "predictions.decoder",
        dense="predictions.dense",
        width=c.embedding_size,
        act=c.hidden_act,
        act_path="predictions.activation",
        norm="predictions.LayerNorm",
        eps=c.layer_norm_eps,
        bias_path="predictions.bias",
    )


def order(c: AlbertConfig) -> OrderSpec:
    """Words, and whether two sentences are in order."""
    known = {field.name: getattr(words(c), field.name) for field in fields(Words)}
    return OrderSpec(
        **known, order="sop_classifier.classifier", dropout=dropout(c), dropout_path="sop_classifier.dropout"
    )


def sequences(c: AlbertConfig) -> Sequences:
    """A label by the pooler's vector."""
    return Sequences("classifier", dropout=dropout(c), dropout_path="dropout")


ALBERT = register(
    Family(
        model_type="albert",
        name="Albert",
        config=AlbertConfig,
        base="albert",
        assembly=Single(stack),
        heads={
            "ForPreTraining": Head("sentence_order", order, pooler=True),
            "ForMaskedLM": Head("masked_lm", words),
            "ForSequenceClassification": Head("sequence_classification", sequences, pooler=True),
            "ForMultipleChoice": Head("multiple_choice", sequences, pooler=True),
            "ForTokenClassification": Head(
                "token_classification", lambda c: Labels("classifier", dropout(c))
            ),
            "ForQuestionAnswering": bert.BERT.heads["ForQuestionAnswering"],
        },
        ignored=bert.BERT.ignored,
    )
)
