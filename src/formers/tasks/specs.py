"""The specs of all text tasks under their own names, for the files of families."""

from __future__ import annotations

from formers.tasks.double_heads import Spec as DoubleHeads
from formers.tasks.entities import Spec as EntityLabels
from formers.tasks.entities import WordsSpec as EntityWords
from formers.tasks.language_model import Spec as Words
from formers.tasks.next_sentence import OrderSpec, PreTrainingSpec
from formers.tasks.next_sentence import Spec as Follows
from formers.tasks.question_answering import AfterSpec as AfterQuestion
from formers.tasks.question_answering import Spec as Spans
from formers.tasks.replaced_tokens import Spec as Replaced
from formers.tasks.sequence_classification import Spec as Sequences
from formers.tasks.span_selection import Spec as QuestionSpans
from formers.tasks.table_question_answering import Spec as Tables
from formers.tasks.token_classification import Spec as Labels
from formers.tasks.transform import Transform

__all__ = [
    "AfterQuestion",
    "DoubleHeads",
    "EntityLabels",
    "EntityWords",
    "Follows",
    "Labels",
    "OrderSpec",
    "PreTrainingSpec",
    "QuestionSpans",
    "Replaced",
    "Sequences",
    "Spans",
    "Tables",
    "Transform",
    "Words",
]
