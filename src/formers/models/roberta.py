"""RoBERTa (Liu et al. 2019, arXiv:1907.11692): BERT whose positions start after the padding id.

XLM-RoBERTa (arXiv:1911.02116), CamemBERT (arXiv:1911.03894) and data2vec's text model (arXiv:2202.03555)
are the same network over other vocabularies, or taught otherwise.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.models import bert
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.specs import Sequences, Words


class RobertaConfig(bert.BertConfig):
    """Configuration of RoBERTa."""

    model_type = "roberta"
    vocab_size: int = 50265
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 2


class XLMRobertaConfig(RobertaConfig):
    """Configuration of XLM-RoBERTa."""

    model_type = "xlm-roberta"
    vocab_size: int = 30522


class Data2VecTextConfig(RobertaConfig):
    """Configuration of data2vec's text model."""

    model_type = "data2vec-text"
    vocab_size: int = 30522


class CamembertConfig(RobertaConfig):
    """Configuration of CamemBERT."""

    model_type = "camembert"
    vocab_size: int = 30522


def stack(c: RobertaConfig, layer_class: str = "RobertaLayer") -> spec.Stack:
    """BERT's stack; positions count the tokens that are not padding, from pad_token_id + 1."""
    return behind_padding(bert.stack(c, layer_class), c)


def encoder(c: Any, layer_class: str, std: float) -> spec.Stack:
    """The same that looks both ways; `std` of fresh weights."""
    return behind_padding(bert.encoder(c, layer_class, std=std), c)


def behind_padding(made: spec.Stack, c: Any) -> spec.Stack:
    """A stack with such positions."""
    assert isinstance(made.stem, spec.Tokens)
    positions = spec.LearnedPositions(c.max_position_embeddings, padding_idx=c.pad_token_id)
    return replace(made, stem=replace(made.stem, positions=positions))


def words(c: RobertaConfig) -> Words:
    """A transformed state, and the token table."""
    return Words(
        "lm_head.decoder",
        dense="lm_head.dense",
        act="gelu",
        norm="lm_head.layer_norm",
        eps=c.layer_norm_eps,
        bias_path="lm_head.bias",
    )


def sequences(c: RobertaConfig) -> Sequences:
    """A label by the first token's state; the head chooses it itself."""
    return labels(bert.dropout(c))


def labels(dropout: float) -> Sequences:
    """The same, by the rate of its dropouts."""
    return Sequences(
        "classifier.out_proj",
        dense="classifier.dense",
        pool="first",
        node="classifier",
        act="tanh",
        dropout=dropout,
        dropout_path="classifier.dropout",
        drop_first=True,
    )


def choices(c: RobertaConfig) -> Sequences:
    """A score by the pooler's vector."""
    return Sequences("classifier", dropout=c.hidden_dropout_prob, dropout_path="dropout")


_TABLES_FIRST = (("word_embeddings", "token_type_embeddings", "LayerNorm", "position_embeddings"),)

ROBERTA = register(
    Family(
        model_type="roberta",
        name="Roberta",
        config=RobertaConfig,
        base="roberta",
        assembly=Single(stack),
        heads={
            "ForMaskedLM": Head("masked_lm", words),
            "ForCausalLM": Head("causal_lm", words),
            "ForSequenceClassification": Head("sequence_classification", sequences),
            "ForMultipleChoice": Head("multiple_choice", choices, pooler=True),
            "ForTokenClassification": bert.BERT.heads["ForTokenClassification"],
            "ForQuestionAnswering": bert.BERT.heads["ForQuestionAnswering"],
        },
        ignored=bert.BERT.ignored,
        order=_TABLES_FIRST,
    )
)
_LATER = replace(ROBERTA, order=(("lm_head", "classifier", "qa_outputs", "roberta"), *_TABLES_FIRST))
XLM_ROBERTA = register(
    replace(
        _LATER,
        model_type="xlm-roberta",
        name="XLMRoberta",
        config=XLMRobertaConfig,
        assembly=Single(partial(stack, layer_class="XLMRobertaLayer")),
    )
)
CAMEMBERT = register(
    replace(
        _LATER,
        model_type="camembert",
        name="Camembert",
        config=CamembertConfig,
        assembly=Single(partial(stack, layer_class="CamembertLayer")),
    )
)
DATA2VEC_TEXT = register(
    replace(
        ROBERTA,
        model_type="data2vec-text",
        name="Data2VecText",
        config=Data2VecTextConfig,
        base="data2vec_text",
        assembly=Single(partial(stack, layer_class="Data2VecTextLayer")),
    )
)
