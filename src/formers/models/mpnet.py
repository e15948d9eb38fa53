"""MPNet (Song et al. 2020, arXiv:2004.09297): RoBERTa without segments, with one table of distances."""

from __future__ import annotations

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models import roberta
from formers.models.registry import register
from formers.nn import spec
from formers.nn.positions import Buckets
from formers.tasks.specs import Labels, Sequences

_PADDING = 1  # fixed, whatever pad_token_id says


class MPNetConfig(PretrainedConfig):
    """Configuration of MPNet."""

    model_type = "mpnet"
    _available = {"relative_attention_num_buckets": (32,)}  # all that is ever looked up
    vocab_size: int = 30527
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    relative_attention_num_buckets: int = 32
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 2
    tie_word_embeddings: bool = True


NAMES = spec.Names(
    layers="encoder.layer",
    layer={
        **{role: f"attention.attn.{role}" for role in "qkvo"},
        "weights_dropout": "attention.attn.dropout",
        "attention_dropout": "attention.dropout",
        "attention_norm": "attention.LayerNorm",
        "up": "intermediate.dense",
        "act": "intermediate.intermediate_act_fn",
        "down": "output.dense",
        "feedforward_dropout": "output.dropout",
        "feedforward_norm": "output.LayerNorm",
    },
    embeddings={
        "token": "embeddings.word_embeddings",
        "position": "embeddings.position_embeddings",
        "embedding_norm": "embeddings.LayerNorm",
        "embedding_dropout": "embeddings.dropout",
    },
    stack={
        "score_bias": "encoder.relative_attention_bias",
        "pooler": "pooler.dense",
        "pooler_act": "pooler.activation",
    },
)


def stack(c: MPNetConfig) -> spec.Stack:
    """The encoder."""
    norm = spec.Norm("layer", c.layer_norm_eps)
    attention = spec.Attention(
        spec.Heads.split(c.hidden_size, c.num_attention_heads),
        dropout=c.attention_probs_dropout_prob,
        score_bias=Buckets(c.relative_attention_num_buckets),
    )
    feedforward = spec.FeedForward(c.intermediate_size, c.hidden_act)
    layer = spec.layer(attention, feedforward, norm, dropout=c.hidden_dropout_prob)
    return spec.Stack(
        stem=spec.Tokens(
            c.vocab_size,
            c.hidden_size,
            positions=spec.LearnedPositions(c.max_position_embeddings, padding_idx=_PADDING),
            norm=norm,
            dropout=c.hidden_dropout_prob,
            padding_idx=_PADDING,
        ),
        layers=(layer,) * c.num_hidden_layers,
        names=NAMES,
        width=c.hidden_size,
        layer_class="MPNetLayer",
        pooler=c.hidden_size,
        initial_std=c.initializer_range,
    )


def sequences(c: MPNetConfig) -> Sequences:
    """A label by the first token's state; the head chooses it itself."""
    return roberta.labels(c.hidden_dropout_prob)


MPNET = register(
    Family(
        model_type="mpnet",
        name="MPNet",
        config=MPNetConfig,
        base="mpnet",
        assembly=Single(stack, types=False),
        heads={
            "ForMaskedLM": roberta.ROBERTA.heads["ForMaskedLM"],
            "ForSequenceClassification": Head("sequence_classification", sequences),
            "ForMultipleChoice": roberta.ROBERTA.heads["ForMultipleChoice"],
            "ForTokenClassification": Head(
                "token_classification", lambda c: Labels("classifier", c.hidden_dropout_prob)
            ),
            "ForQuestionAnswering": roberta.ROBERTA.heads["ForQuestionAnswering"],
        },
        ignored=roberta.ROBERTA.ignored,
    )
)
