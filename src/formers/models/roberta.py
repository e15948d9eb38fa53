"""RoBERTa (Liu et al. 2019, arXiv:1907.11692): BERT whose positions start after the padding id.

XLM-RoBERTa (arXiv:1911.02116) and CamemBERT (arXiv:1911.03894) are the same network over other
vocabularies; they differ in the name of the base model alone.
"""

from __future__ import annotations

from dataclasses import replace

from formers.models import bert
from formers.models.registry import register
from formers.nn import spec
from formers.nn.heads import Head
from formers.stacks.family import Family


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


class CamembertConfig(RobertaConfig):
    """Configuration of CamemBERT."""

    model_type = "camembert"
    vocab_size: int = 30522


def stack(c: RobertaConfig) -> spec.Stack:
    """BERT's stack; positions count the tokens that are not padding, from pad_token_id + 1."""
    made = bert.stack(c)
    positions = spec.LearnedPositions(c.max_position_embeddings, padding_idx=c.pad_token_id)
    return replace(made, embeddings=replace(made.embeddings, positions=positions))


_DROPOUT = ("classifier_dropout", "hidden_dropout_prob")
_WORDS = Head(
    "masked_lm",
    {
        "dense": "lm_head.dense",
        "norm": "lm_head.layer_norm",
        "out": "lm_head.decoder",
        "bias": "lm_head.bias",
    },
    activation="gelu",
    tied=True,
)
_HEADS = {
    "ForMaskedLM": _WORDS,
    "ForCausalLM": replace(_WORDS, task="causal_lm"),
    "ForSequenceClassification": Head(
        "sequence_classification",
        {"dense": "classifier.dense", "out": "classifier.out_proj"},
        pool="first",
        activation="tanh",
        dropout=_DROPOUT,
        drop_first=True,
    ),
    "ForMultipleChoice": Head("multiple_choice", {"out": "classifier"}, dropout=_DROPOUT[1:], pooler=True),
    "ForTokenClassification": Head("token_classification", {"out": "classifier"}, dropout=_DROPOUT),
    "ForQuestionAnswering": Head("question_answering", {"out": "qa_outputs"}),
}
_TABLES_FIRST = (("word_embeddings", "token_type_embeddings", "LayerNorm", "position_embeddings"),)

ROBERTA = register(
    Family(
        model_type="roberta",
        name="Roberta",
        config=RobertaConfig,
        base="roberta",
        stack=stack,
        heads=_HEADS,
        ignored=bert.BERT.ignored,
        order=_TABLES_FIRST,
    )
)
_LATER = replace(ROBERTA, order=(("lm_head", "classifier", "qa_outputs", "roberta"), *_TABLES_FIRST))
XLM_ROBERTA = register(replace(_LATER, model_type="xlm-roberta", name="XLMRoberta", config=XLMRobertaConfig))
CAMEMBERT = register(replace(_LATER, model_type="camembert", name="Camembert", config=CamembertConfig))
