"""ELECTRA (Clark et al. 2020, arXiv:2003.10555): narrow embeddings; it finds replaced words."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.models import bert
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.specs import Replaced, Sequences, Words


class ElectraConfig(bert.BertConfig):
    """Configuration of ELECTRA."""

    model_type = "electra"
    # what tells a choice: the others read padding
    _available = {**bert.BertConfig._available, "summary_type": ("first",), "summary_use_proj": (True,)}
    embedding_size: int = 128
    hidden_size: int = 256
    num_attention_heads: int = 4
    intermediate_size: int = 1024
    summary_type: str = "first"
    summary_use_proj: bool = True
    summary_activation: str | None = "gelu"
    summary_last_dropout: float = 0.1


def stack(c: ElectraConfig) -> spec.Stack:
    """BERT's stack without a pooler; where embeddings are narrower they are projected."""
    made = bert.stack(c, "ElectraLayer")
    assert isinstance(made.stem, spec.Tokens)
    names = {"projection": "embeddings_project"} if c.embedding_size != c.hidden_size else {}
    return replace(
        made,
        stem=replace(made.stem, width=c.embedding_size),
        names=replace(bert.NAMES, stack=names),
        pooler=None,
    )


def words(c: ElectraConfig) -> Words:
    """A state as narrow as embeddings, and the token table."""
    return Words(
        "generator_lm_head",
        dense="generator_predictions.dense",
        width=c.embedding_size,
        act="gelu",
        act_path="generator_predictions.activation",
        norm="generator_predictions.LayerNorm",
        eps=c.layer_norm_eps,
    )


def sequences(c: ElectraConfig) -> Sequences:
    """A label by the first token's state; the head chooses it itself."""
    return Sequences(
        "classifier.out_proj",
        dense="classifier.dense",
        pool="first",
        node="classifier",
        act="gelu",
        act_path="classifier.activation",
        dropout=bert.dropout(c),
        dropout_path="classifier.dropout",
        drop_first=True,
    )


def choices(c: ElectraConfig) -> Sequences:
    """A score by a summary of the first token's state."""
    return Sequences(
        "classifier",
        dense="sequence_summary.summary",
        pool="first",
        node="sequence_summary",
        act=c.summary_activation,
        act_path="sequence_summary.activation",
        dropout=c.summary_last_dropout,
        dropout_path="sequence_summary.last_dropout",
        idle_paths=("sequence_summary.first_dropout",),
    )


def replaced(c: ElectraConfig) -> Replaced:
    """A number for each token."""
    return Replaced(
        "discriminator_predictions.dense_prediction",
        dense="discriminator_predictions.dense",
        act=c.hidden_act,
        act_path="discriminator_predictions.activation",
    )


ELECTRA = register(
    Family(
        model_type="electra",
        name="Electra",
        config=ElectraConfig,
        base="electra",
        assembly=Single(stack),
        heads={
            "ForPreTraining": Head("replaced_tokens", replaced),
            "ForMaskedLM": Head("masked_lm", words),
            "ForCausalLM": Head("causal_lm", words),
            "ForSequenceClassification": Head("sequence_classification", sequences),
            "ForMultipleChoice": Head("multiple_choice", choices),
            "ForTokenClassification": bert.BERT.heads["ForTokenClassification"],
            "ForQuestionAnswering": bert.BERT.heads["ForQuestionAnswering"],
        },
        ignored=bert.BERT.ignored,
    )
)
