"""`TrainingArguments`: a table of fields, the rules that tie them together, and the names of all releases."""

from __future__ import annotations

from formers.training.arguments.base import Seq2SeqTrainingArguments, TrainingArguments

__all__ = ["Seq2SeqTrainingArguments", "TrainingArguments"]
