"""BERT (Devlin et al. 2018, arXiv:1810.04805): post-norm encoder, segment ids, tanh pooler."""

from __future__ import annotations

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal, Full
from formers.tasks.base import first_set
from formers.tasks.next_sentence import PreTrainingSpec
from formers.tasks.next_sentence import Spec as Follows
from formers.tasks.question_answering import Spec as Spans
from formers.tasks.sequence_classification import Spec as Sequences
from formers.tasks.token_classification import Spec as Labels


class BertConfig(PretrainedConfig):
    """Configuration of BERT."""

    model_type = "bert"
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

    def validate(self) -> None:
        """Refuse relative positions, which would be left out of the computation without a word."""
        super().validate()
        if self.position_embedding_type not in (None, "absolute"):
            raise ValueError(
                f"position_embedding_type={self.position_embedding_type!r} is not available for "
                f"{self.model_type!r} models: positions are 'absolute'"
            )


NAMES = spec.Names(
    layers="encoder.layer",
    layer={
        "q": "attention.self.query",
        "k": "attention.self.key",
        "v": "attention.self.value",
        "weights_dropout": "attention.self.dropout",
        "o": "attention.output.dense",
        "attention_dropout": "attention.output.dropout",
        "attention_norm": "attention.output.LayerNorm",
        "cross_q": "crossattention.self.query",
        "cross_k": "crossattention.self.key",
        "cross_v": "crossattention.self.value",
        "cross_weights_dropout": "crossattention.self.dropout",
        "cross_o": "crossattention.output.dense",
        "cross_dropout": "crossattention.output.dropout",
        "cross_norm": "crossattention.output.LayerNorm",
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
    norm = spec.Norm("layer", c.layer_norm_eps)
    attention = spec.Attention(
        heads=spec.Heads.split(c.hidden_size, c.num_attention_heads),
        mask=Causal() if c.is_decoder else Full(),
        dropout=c.attention_probs_dropout_prob,
    )
    cross = spec.Attention(attention.heads, dropout=attention.dropout, cross=True)
    layer = spec.layer(
        attention,
        spec.FeedForward(c.intermediate_size, c.hidden_act),
        norm,
        order="post",
        cross=cross if c.add_cross_attention else None,
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
        decoder=c.is_decoder,
        initial_std=c.initializer_range,
    )


def dropout(c: BertConfig) -> float:
    """Before a classifier."""
    return first_set(c.classifier_dropout, c.hidden_dropout_prob)


def words(c: BertConfig) -> PreTrainingSpec:
    """A transformed state, and the token table."""
    return PreTrainingSpec(
        "cls.predictions.decoder",
        dense="cls.predictions.transform.dense",
        act=c.hidden_act,
        act_path="cls.predictions.transform.transform_act_fn",
        norm="cls.predictions.transform.LayerNorm",
        eps=c.layer_norm_eps,
        bias_path="cls.predictions.bias",
        follows="cls.seq_relationship",
    )


def sequences(c: BertConfig) -> Sequences:
    """A label by the pooler's vector."""
    return Sequences("classifier", dropout=dropout(c), dropout_path="dropout")


def labels(c: BertConfig) -> Labels:
    """A label for every token."""
    return Labels("classifier", dropout(c))


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
            "ForNextSentencePrediction": Head(
                "next_sentence_prediction", lambda c: Follows("cls.seq_relationship"), pooler=True
            ),
            "ForSequenceClassification": Head("sequence_classification", sequences, pooler=True),
            "ForMultipleChoice": Head("multiple_choice", sequences, pooler=True),
            "ForTokenClassification": Head("token_classification", labels),
            "ForQuestionAnswering": Head("question_answering", lambda c: Spans()),
        },
        ignored=(r".*embeddings\.position_ids",),
    )
)
