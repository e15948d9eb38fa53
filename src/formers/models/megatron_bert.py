"""Megatron-BERT (Shoeybi et al. 2019, arXiv:1909.08053, section 5.3): BERT with norms before."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.models import bert
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.specs import Labels, Sequences


class MegatronBertConfig(bert.BertConfig):
    """Configuration of Megatron-BERT."""

    model_type = "megatron-bert"
    _available = {**bert.BertConfig._available, "classifier_dropout": (None,)}  # its rate is that of states
    vocab_size: int = 29056
    hidden_size: int = 1024
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    intermediate_size: int = 4096


# with norms before, sums end the nodes that project
ADDING = {
    "attention_add": "attention.output",
    "cross_add": "crossattention.output",
    "feedforward_add": "output",
}
NAMES = bert.NAMES.with_(
    layer={
        **ADDING,
        "attention_norm": "attention.ln",
        "cross_norm": "crossattention.ln",
        "feedforward_norm": "ln",
    },
    embeddings={"embedding_norm": None},
    stack={"final_norm": "encoder.ln"},
)


def stack(c: MegatronBertConfig) -> spec.Stack:
    """BERT's stack, whose first norm is that of the first layer."""
    made = spec.norms_first(bert.stack(c, "MegatronBertLayer"))
    assert isinstance(made.stem, spec.Tokens)
    return replace(made, stem=replace(made.stem, norm=None), names=NAMES)


def sequences(c: MegatronBertConfig) -> Sequences:
    """A label by the pooler's vector."""
    return Sequences("classifier", dropout=c.hidden_dropout_prob, dropout_path="dropout")


_SAME = ("ForPreTraining", "ForMaskedLM", "ForNextSentencePrediction", "ForQuestionAnswering")

MEGATRON_BERT = register(
    Family(
        model_type="megatron-bert",
        name="MegatronBert",
        config=MegatronBertConfig,
        base="bert",
        assembly=Single(stack),
        heads={
            **{ending: bert.BERT.heads[ending] for ending in _SAME},
            "ForCausalLM": bert.BERT.heads["LMHeadModel"],
            "ForSequenceClassification": Head("sequence_classification", sequences, pooler=True),
            "ForMultipleChoice": Head("multiple_choice", sequences, pooler=True),
            "ForTokenClassification": Head(
                "token_classification", lambda c: Labels("classifier", c.hidden_dropout_prob)
            ),
        },
        ignored=bert.BERT.ignored,
    )
)
