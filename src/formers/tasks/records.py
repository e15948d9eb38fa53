"""The tasks: one record each, from which classes, Auto classes, names, tags and losses are derived.

Plain data, so that names cost no import.
"""

from __future__ import annotations

from formers.tasks.audio_records import HEARD
from formers.tasks.record import Task
from formers.tasks.vision_records import SENSED

__all__ = ["TASKS", "Task"]

_TEXTS: tuple[Task, ...] = (
    Task(
        "answers_after_question",
        ("question_answering", "AfterQuestion"),
        "",
        "Find the span behind a question that answers it.",
        "question-answering",
    ),
    Task(
        "causal_lm",
        ("language_model", "CausalLM"),
        "AutoModelForCausalLM",
        "Predict the next word.",
        "text-generation",
        shifts=True,
    ),
    Task(
        "contrastive_pretraining",
        ("contrastive_pretraining", "ContrastivePretraining"),
        "",
        "Tell hidden rows from others.",
    ),
    Task(
        "double_heads",
        ("double_heads", "DoubleHeads"),
        "",
        "Predict the next word, and choose among continuations.",
        shifts=True,
    ),
    Task(
        "document_question_answering",
        ("question_answering", "QuestionAnswering"),
        "AutoModelForDocumentQuestionAnswering",
        "Find the span of a page that answers a question.",
        "document-question-answering",
    ),
    Task("encoder", ("language_model", "Encoder"), "AutoModelForTextEncoding", "Turn a text into states."),
    Task("entity_classification", ("entities", "EntityClassification"), "", "Label entities.", None, True),
    Task("entity_spans", ("entities", "SpanClassification"), "", "Label every span.", None, True),
    Task(
        "hidden_entities",
        ("entities", "HiddenEntities"),
        "",
        "Predict hidden words and entities.",
        "fill-mask",
    ),
    Task(
        "joined_generation",
        ("composed_pair", "ComposedGeneration"),
        "",
        "Turn one text into another, by two models.",
    ),
    Task(
        "masked_lm",
        ("language_model", "MaskedLM"),
        "AutoModelForMaskedLM",
        "Predict hidden words.",
        "fill-mask",
    ),
    Task(
        "multiple_choice",
        ("multiple_choice", "MultipleChoice"),
        "AutoModelForMultipleChoice",
        "Choose among continuations.",
        "multiple-choice",
    ),
    Task(
        "next_sentence_prediction",
        ("next_sentence", "NextSentencePrediction"),
        "AutoModelForNextSentencePrediction",
        "Judge whether a sentence follows another.",
    ),
    Task("passages", ("dense_passages", "PassageModel"), "", "Read passages."),
    Task(
        "pretraining",
        ("next_sentence", "PreTraining"),
        "AutoModelForPreTraining",
        "The model as it was pre-trained.",
    ),
    Task(
        "any_lm",
        ("language_model", "MaskedLM"),
        "",
        "Predict what stands at each place: hidden words, or what comes next.",
        "fill-mask",
    ),
    Task(
        "permuted_lm",
        ("permuted_lm", "PermutedLM"),
        "",
        "Predict words in any order.",
        "text-generation",
    ),
    Task(
        "question_answering",
        ("question_answering", "QuestionAnswering"),
        "AutoModelForQuestionAnswering",
        "Find the span that answers a question.",
        "question-answering",
    ),
    Task(
        "question_spans",
        ("span_selection", "QuestionSpans"),
        "",
        "Find the span that answers a question token.",
        "question-answering",
    ),
    Task(
        "recurring_spans",
        ("span_selection", "RecurringSpans"),
        "",
        "Find the spans that question tokens stand for.",
    ),
    Task("stack", ("language_model", "Bare"), "", "One stack of a pair, without a head."),
    Task("replaced_tokens", ("replaced_tokens", "ReplacedTokens"), "", "Find replaced tokens."),
    Task(
        "seq2seq_lm",
        ("seq2seq", "ConditionalGeneration"),
        "AutoModelForSeq2SeqLM",
        "Turn one text into another.",
    ),
    Task(
        "sentence_order",
        ("next_sentence", "SentenceOrder"),
        "",
        "Predict hidden words and the order of sentences.",
    ),
    Task(
        "sequence_classification",
        ("sequence_classification", "SequenceClassification"),
        "AutoModelForSequenceClassification",
        "Label a whole sequence.",
        "text-classification",
        labelled=True,
    ),
    Task(
        "span_beams",
        ("span_beams", "SpanBeams"),
        "",
        "Find the likeliest spans that answer a question.",
        "question-answering",
    ),
    Task(
        "table_question_answering",
        ("table_question_answering", "TableQuestionAnswering"),
        "AutoModelForTableQuestionAnswering",
        "Find the cells of a table that answer a question.",
        "table-question-answering",
    ),
    Task(
        "token_classification",
        ("token_classification", "TokenClassification"),
        "AutoModelForTokenClassification",
        "Label every token.",
        "token-classification",
        labelled=True,
    ),
)

TASKS: dict[str, Task] = {task.key: task for task in (*_TEXTS, *SENSED, *HEARD)}
