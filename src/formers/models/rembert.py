"""RemBERT (Chung et al. 2020, arXiv:2010.12821): BERT with narrow embeddings, a wide output table."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.models import bert
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.specs import Labels, Sequences, Words


class RemBertConfig(bert.BertConfig):
    """Configuration of RemBERT."""

    model_type = "rembert"
    _available = {**bert.BertConfig._available, "classifier_dropout": (None,)}  # here it ends in _prob
    vocab_size: int = 250300
    hidden_size: int = 1152
    num_hidden_layers: int = 32
    num_attention_heads: int = 18
    input_embedding_size: int = 256
    output_embedding_size: int = 1664
    intermediate_size: int = 4608
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    classifier_dropout_prob: float = 0.1
    bos_token_id: int | None = 312
    eos_token_id: int | list[int] | None = 313
    tie_word_embeddings: bool = False


NAMES = bert.NAMES.with_(stack={"projection": "encoder.embedding_hidden_mapping_in"})


def stack(c: RemBertConfig) -> spec.Stack:
    """BERT's stack behind a projection."""
    made = bert.stack(c, "RemBertLayer")
    assert isinstance(made.stem, spec.Tokens)
    return replace(made, stem=replace(made.stem, width=c.input_embedding_size), names=NAMES)


def words(c: RemBertConfig) -> Words:
    """A wide state, and a table of its own."""
    return Words(
        "cls.predictions.decoder",
        dense="cls.predictions.dense",
        width=c.output_embedding_size,
        act=c.hidden_act,
        act_path="cls.predictions.activation",
        norm="cls.predictions.LayerNorm",
        eps=c.layer_norm_eps,
        tied=False,
    )


def sequences(c: RemBertConfig) -> Sequences:
    """A label by the pooler's vector."""
    return Sequences("classifier", dropout=c.classifier_dropout_prob, dropout_path="dropout")


REMBERT = register(
    Family(
        model_type="rembert",
        name="RemBert",
        config=RemBertConfig,
        base="rembert",
        assembly=Single(stack),
        heads={
            "ForMaskedLM": Head("masked_lm", words),
            "ForCausalLM": Head("causal_lm", words),
            "ForSequenceClassification": Head("sequence_classification", sequences, pooler=True),
            "ForMultipleChoice": Head("multiple_choice", sequences, pooler=True),
            "ForTokenClassification": Head(
                "token_classification", lambda c: Labels("classifier", c.classifier_dropout_prob)
            ),
            "ForQuestionAnswering": bert.BERT.heads["ForQuestionAnswering"],
        },
        ignored=bert.BERT.ignored,
    )
)
