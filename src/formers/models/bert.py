"""BERT (Devlin et al. 2018, arXiv:1810.04805): post-norm encoder, segment ids, tanh pooler."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal, Full, Mask
from formers.tasks.base import first_set
from formers.tasks.specs import Follows, Labels, PreTrainingSpec, Sequences, Spans


class BertConfig(PretrainedConfig):
    """Configuration of BERT."""

    model_type = "bert"
    _available = {"position_embedding_type": ("absolute",)}  # others would be left out without a word
    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = 0
    position_embedding_type: str = "absolute"
    use_cache: bool = True
    classifier_dropout: float | None = None
    is_decoder: bool = False
    add_cross_attention: bool = False
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    tie_word_embeddings: bool = True


ATTENTION = {
    "q": "self.query",
    "k": "self.key",
    "v": "self.value",
    "weights_dropout": "self.dropout",
    "o": "output.dense",
    "attention_dropout": "output.dropout",
    "attention_norm": "output.LayerNorm",
}
NAMES = spec.Names(
    layers="encoder.layer",
    layer={
        **{role: f"attention.{path}" for role, path in ATTENTION.items()},
        **spec.crossed({role: f"crossattention.{path}" for role, path in ATTENTION.items()}),
        "up": "intermediate.dense",
        "act": "intermediate.intermediate_act_fn",
        "down": "output.dense",
        "feedforward_dropout": "output.dropout",
        "feedforward_norm": "output.LayerNorm",
    },
    embeddings={
        "token": "embeddings.word_embeddings",
        "position": "embeddings.position_embeddings",
        "type": "embeddings.token_type_embeddings",
        "embedding_norm": "embeddings.LayerNorm",
        "embedding_dropout": "embeddings.dropout",
    },
    stack={"pooler": "pooler.dense", "pooler_act": "pooler.activation"},
)


def stack(c: BertConfig, layer_class: str = "BertLayer") -> spec.Stack:
    """The encoder, or the decoder when the config says so."""
    made = encoder(c, layer_class, Causal() if c.is_decoder else Full(), c.add_cross_attention)
    return replace(made, decoder=c.is_decoder)


def encoder(
    c: Any, layer_class: str, mask: Mask | None = None, crosses: bool = False, std: float | None = None
) -> spec.Stack:
    """The layers, and what stands before and after them; `std` of fresh weights where the config has none."""
    norm = spec.Norm("layer", c.layer_norm_eps)
    heads = spec.Heads.split(c.hidden_size, c.num_attention_heads)
    attention = spec.Attention(heads, mask or Full(), c.attention_probs_dropout_prob)
    cross = spec.Attention(heads, dropout=attention.dropout, cross=True)
    layer = spec.layer(
        attention,
        spec.FeedForward(c.intermediate_size, c.hidden_act),
        norm,
        cross=cross if crosses else None,
        dropout=c.hidden_dropout_prob,
    )
    return spec.Stack(
        stem=spec.Tokens(
            c.vocab_size,
            c.hidden_size,
            positions=spec.LearnedPositions(c.max_position_embeddings),
            types=c.type_vocab_size,
            norm=norm,
            dropout=c.hidden_dropout_prob,
            padding_idx=c.pad_token_id,
        ),
        layers=(layer,) * c.num_hidden_layers,
        names=NAMES,
        width=c.hidden_size,
        layer_class=layer_class,
        pooler=c.hidden_size,
        initial_std=c.initializer_range if std is None else std,
    )


def dropout(c: Any) -> float:
    """Before a classifier."""
    return first_set(c.classifier_dropout, c.hidden_dropout_prob)


def words(c: Any) -> PreTrainingSpec:
    """A transformed state, and the token table."""
    return PreTrainingSpec(
        "cls.predictions.decoder",
        dense="cls.predictions.transform.dense",
        act=c.hidden_act,
        act_path="cls.predictions.transform.transform_act_fn",
        norm="cls.predictions.transform.LayerNorm",
        eps=c.layer_norm_eps,
        bias_path="cls.predictions.bias",
    )


def sequences(c: BertConfig) -> Sequences:
    """A label by the pooler's vector."""
    return Sequences("classifier", dropout=dropout(c), dropout_path="dropout")


BERT = register(
    Family(
        model_type="bert",
        name="Bert",
        config=BertConfig,
        base="bert",
        assembly=Single(stack),
        heads={
            "ForPreTraining": Head("pretraining", words, pooler=True),
            "ForMaskedLM": Head("masked_lm", words),
            "LMHeadModel": Head("causal_lm", words),
            "ForNextSentencePrediction": Head("next_sentence_prediction", lambda c: Follows(), pooler=True),
            "ForSequenceClassification": Head("sequence_classification", sequences, pooler=True),
            "ForMultipleChoice": Head("multiple_choice", sequences, pooler=True),
            "ForTokenClassification": Head(
                "token_classification", lambda c: Labels("classifier", dropout(c))
            ),
            "ForQuestionAnswering": Head("question_answering", lambda c: Spans()),
        },
        ignored=(r".*embeddings\.position_ids",),
    )
)
