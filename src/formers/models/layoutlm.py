"""LayoutLM (Xu et al. 2019, arXiv:1912.13318): BERT that is told where on the page its tokens stand."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.models import bert
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.specs import Labels, Sequences, Spans


class LayoutLMConfig(bert.BertConfig):
    """Configuration of LayoutLM."""

    model_type = "layoutlm"
    _available = {
        **bert.BertConfig._available,
        "classifier_dropout": (None,),
        "is_decoder": (False,),
        "add_cross_attention": (False,),
    }
    max_2d_position_embeddings: int = 1024


NAMES = bert.NAMES.with_(
    embeddings={
        "x": "embeddings.x_position_embeddings",
        "y": "embeddings.y_position_embeddings",
        "height": "embeddings.h_position_embeddings",
        "width": "embeddings.w_position_embeddings",
    }
)


def stack(c: LayoutLMConfig) -> spec.Stack:
    """BERT's stack over boxes."""
    made = bert.stack(c, "LayoutLMLayer")
    assert isinstance(made.stem, spec.Tokens)
    return replace(made, stem=replace(made.stem, boxes=c.max_2d_position_embeddings), names=NAMES)


def sequences(c: LayoutLMConfig) -> Sequences:
    """A label by the pooler's vector."""
    return Sequences("classifier", dropout=c.hidden_dropout_prob, dropout_path="dropout")


READS = ("input_ids", "bbox", "attention_mask", "token_type_ids", "position_ids", "inputs_embeds")
LAYOUTLM = register(
    Family(
        model_type="layoutlm",
        name="LayoutLM",
        config=LayoutLMConfig,
        base="layoutlm",
        assembly=Single(stack, reads=READS),
        heads={
            "ForMaskedLM": Head("masked_lm", bert.words, pooler=True),
            "ForSequenceClassification": Head("sequence_classification", sequences, pooler=True),
            "ForTokenClassification": Head(
                "token_classification", lambda c: Labels("classifier", c.hidden_dropout_prob), pooler=True
            ),
            "ForQuestionAnswering": Head("document_question_answering", lambda c: Spans(), pooler=True),
        },
        ignored=bert.BERT.ignored,
    )
)
