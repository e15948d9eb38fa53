"""BERT (Devlin et al. 2018, arXiv:1810.04805): post-norm encoder, segment ids, tanh pooler."""

from __future__ import annotations

from formers.configs import PretrainedConfig
from formers.models.registry import register
from formers.nn import spec
from formers.nn.heads import Head
from formers.nn.masks import Causal, Full
from formers.stacks.family import Family


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
        "o": "attention.output.dense",
        "attention_norm": "attention.output.LayerNorm",
        "cross_q": "crossattention.self.query",
        "cross_k": "crossattention.self.key",
        "cross_v": "crossattention.self.value",
        "cross_o": "crossattention.output.dense",
        "cross_norm": "crossattention.output.LayerNorm",
        "up": "intermediate.dense",
        "down": "output.dense",
        "feedforward_norm": "output.LayerNorm",
    },
    embeddings={
        "token": "embeddings.word_embeddings",
        "position": "embeddings.position_embeddings",
        "type": "embeddings.token_type_embeddings",
        "embedding_norm": "embeddings.LayerNorm",
    },
    stack={"pooler": "pooler.dense"},
)


def stack(c: BertConfig) -> spec.Stack:
    """The encoder, or the decoder when the config says so."""
    norm = spec.Norm("layer", c.layer_norm_eps)
    attention = spec.Attention(
        heads=spec.Heads.split(c.hidden_size, c.num_attention_heads),
        mask=Causal() if c.is_decoder else Full(),
        dropout=c.attention_probs_dropout_prob,
    )
    layer = spec.Layer(
        attention,
        spec.FeedForward(c.intermediate_size, c.hidden_act),
        norm,
        order="post",
        cross=spec.Attention(attention.heads, dropout=attention.dropout) if c.add_cross_attention else None,
        dropout=c.hidden_dropout_prob,
    )
    return spec.Stack(
        embeddings=spec.Embeddings(
            c.vocab_size,
            c.hidden_size,
            positions=positions(c),
            types=c.type_vocab_size,
            norm=norm,
            dropout=c.hidden_dropout_prob,
            padding_idx=c.pad_token_id,
        ),
        layers=(layer,) * c.num_hidden_layers,
        names=NAMES,
        width=c.hidden_size,
        pooler=True,
        initial_std=c.initializer_range,
    )


def positions(c: BertConfig) -> spec.LearnedPositions:
    """Positions count from zero."""
    return spec.LearnedPositions(c.max_position_embeddings)


_CLASSIFIER_DROPOUT = ("classifier_dropout", "hidden_dropout_prob")
_WORDS = {
    "dense": "cls.predictions.transform.dense",
    "norm": "cls.predictions.transform.LayerNorm",
    "out": "cls.predictions.decoder",
    "bias": "cls.predictions.bias",
}
_FOLLOWS = {"follows": "cls.seq_relationship"}

BERT = register(
    Family(
        model_type="bert",
        name="Bert",
        config=BertConfig,
        base="bert",
        stack=stack,
        heads={
            "ForPreTraining": Head(
                "pretraining", {**_WORDS, **_FOLLOWS}, activation="config", pooler=True, tied=True
            ),
            "ForMaskedLM": Head("masked_lm", _WORDS, activation="config", tied=True),
            "LMHeadModel": Head("causal_lm", _WORDS, activation="config", tied=True),
            "ForNextSentencePrediction": Head("next_sentence_prediction", _FOLLOWS, pooler=True),
            "ForSequenceClassification": Head(
                "sequence_classification", {"out": "classifier"}, dropout=_CLASSIFIER_DROPOUT, pooler=True
            ),
            "ForMultipleChoice": Head(
                "multiple_choice", {"out": "classifier"}, dropout=_CLASSIFIER_DROPOUT, pooler=True
            ),
            "ForTokenClassification": Head(
                "token_classification", {"out": "classifier"}, dropout=_CLASSIFIER_DROPOUT
            ),
            "ForQuestionAnswering": Head("question_answering", {"out": "qa_outputs"}),
        },
        ignored=(r".*embeddings\.position_ids",),
    )
)
