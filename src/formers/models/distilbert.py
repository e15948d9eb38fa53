"""DistilBERT (Sanh et al. 2019, arXiv:1910.01108): half of BERT's layers, no segment ids, no pooler."""

from __future__ import annotations

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.specs import Labels, Sequences, Spans, Words


class DistilBertConfig(PretrainedConfig):
    """Configuration of DistilBERT."""

    model_type = "distilbert"
    attribute_map = {
        "hidden_size": "dim",
        "num_attention_heads": "n_heads",
        "num_hidden_layers": "n_layers",
        "intermediate_size": "hidden_dim",
        "hidden_act": "activation",
        "hidden_dropout_prob": "dropout",
        "attention_probs_dropout_prob": "attention_dropout",
    }
    vocab_size: int = 30522
    max_position_embeddings: int = 512
    sinusoidal_pos_embds: bool = False
    n_layers: int = 6
    n_heads: int = 12
    dim: int = 768
    hidden_dim: int = 3072
    dropout: float = 0.1
    attention_dropout: float = 0.1
    activation: str = "gelu"
    initializer_range: float = 0.02
    qa_dropout: float = 0.1
    seq_classif_dropout: float = 0.2
    pad_token_id: int | None = 0
    eos_token_id: int | list[int] | None = None
    bos_token_id: int | None = None
    tie_word_embeddings: bool = True


NAMES = spec.Names(
    layers="transformer.layer",
    layer={
        "q": "attention.q_lin",
        "k": "attention.k_lin",
        "v": "attention.v_lin",
        "weights_dropout": "attention.dropout",
        "o": "attention.out_lin",
        "attention_norm": "sa_layer_norm",
        "up": "ffn.lin1",
        "act": "ffn.activation",
        "down": "ffn.lin2",
        "feedforward_dropout": "ffn.dropout",
        "feedforward_norm": "output_layer_norm",
    },
    embeddings={
        "token": "embeddings.word_embeddings",
        "position": "embeddings.position_embeddings",
        "embedding_norm": "embeddings.LayerNorm",
        "embedding_dropout": "embeddings.dropout",
    },
)


def stack(c: DistilBertConfig) -> spec.Stack:
    """The encoder."""
    norm = spec.Norm("layer", 1e-12)
    attention = spec.Attention(spec.Heads.split(c.dim, c.n_heads), dropout=c.attention_dropout)
    feedforward = spec.FeedForward(c.hidden_dim, c.activation)
    layer = spec.Layer(
        (
            # the feed-forward's output is dropped before the sum, the attention's is not
            spec.Part(attention, "attention", after=norm),
            spec.Part(feedforward, "feedforward", after=norm, dropout=c.dropout),
        )
    )
    return spec.Stack(
        stem=spec.Tokens(
            c.vocab_size,
            c.dim,
            positions=spec.LearnedPositions(c.max_position_embeddings),
            norm=norm,
            dropout=c.dropout,
            padding_idx=c.pad_token_id,
        ),
        layers=(layer,) * c.n_layers,
        names=NAMES,
        width=c.dim,
        layer_class="TransformerBlock",
        initial_std=c.initializer_range,
    )


def words(c: DistilBertConfig) -> Words:
    """A transformed state, and the token table."""
    return Words(
        "vocab_projector",
        dense="vocab_transform",
        act=c.activation,
        act_path="activation",
        norm="vocab_layer_norm",
    )


def sequences(c: DistilBertConfig) -> Sequences:
    """A label by the first token's state."""
    return Sequences(
        "classifier",
        dense="pre_classifier",
        pool="first",
        act="relu",
        dropout=c.seq_classif_dropout,
        dropout_path="dropout",
    )


DISTILBERT = register(
    Family(
        model_type="distilbert",
        name="DistilBert",
        config=DistilBertConfig,
        base="distilbert",
        assembly=Single(stack, types=False),
        heads={
            "ForMaskedLM": Head("masked_lm", words),
            "ForSequenceClassification": Head("sequence_classification", sequences),
            "ForMultipleChoice": Head("multiple_choice", sequences),
            "ForTokenClassification": Head("token_classification", lambda c: Labels("classifier", c.dropout)),
            "ForQuestionAnswering": Head(
                "question_answering", lambda c: Spans(dropout=c.qa_dropout, dropout_path="dropout")
            ),
        },
        ignored=(r".*embeddings\.position_ids",),
    )
)
