"""Splinter (Ram et al. 2021, arXiv:2101.00438): BERT that finds the spans for which question tokens stand."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.models import bert, layoutlm
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.specs import QuestionSpans


class SplinterConfig(bert.BertConfig):
    """Configuration of Splinter."""

    model_type = "splinter"
    _available = layoutlm.LayoutLMConfig._available
    question_token_id: int = 104


def stack(c: SplinterConfig) -> spec.Stack:
    """BERT's stack without a pooler."""
    return replace(bert.stack(c, "SplinterLayer"), names=replace(bert.NAMES, stack={}), pooler=None)


def spans(c: SplinterConfig) -> QuestionSpans:
    """Spans of questions."""
    return QuestionSpans(c.question_token_id, padding=c.pad_token_id or 0, node="splinter_qass")


SPLINTER = register(
    Family(
        model_type="splinter",
        name="Splinter",
        config=SplinterConfig,
        base="splinter",
        assembly=Single(stack),
        heads={
            "ForQuestionAnswering": Head("question_spans", spans),
            "ForPreTraining": Head("recurring_spans", spans),
        },
        ignored=bert.BERT.ignored,
    )
)
