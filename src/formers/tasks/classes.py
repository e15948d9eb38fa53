"""Classes derived from families: `BertForMaskedLM` is the masked-LM task over the BERT recipe."""

from __future__ import annotations

from functools import cache
from typing import Any

from formers.core.notices import did_you_mean
from formers.model.base import PreTrainedModel
from formers.models.registry import family_of
from formers.models.table import FAMILIES
from formers.nn.heads import Head
from formers.stacks.family import Family
from formers.tasks.base import StackModel
from formers.tasks.language_model import CausalLM, MaskedLM
from formers.tasks.multiple_choice import MultipleChoice
from formers.tasks.next_sentence import NextSentencePrediction, PreTraining
from formers.tasks.question_answering import QuestionAnswering
from formers.tasks.seq2seq import (
    ConditionalGeneration,
    EncoderDecoderModel,
    Seq2SeqQuestionAnswering,
    Seq2SeqSequenceClassification,
)
from formers.tasks.seq2seq_parts import DecoderLM, EncoderModel, EncoderTokenClassification
from formers.tasks.sequence_classification import SequenceClassification
from formers.tasks.token_classification import TokenClassification

TASKS: dict[str, type[PreTrainedModel]] = {
    "causal_lm": CausalLM,
    "masked_lm": MaskedLM,
    "multiple_choice": MultipleChoice,
    "next_sentence_prediction": NextSentencePrediction,
    "pretraining": PreTraining,
    "question_answering": QuestionAnswering,
    "sequence_classification": SequenceClassification,
    "token_classification": TokenClassification,
}

# the same tasks where a family has an encoder and a decoder
ENCODER_DECODER_TASKS: dict[str, type[PreTrainedModel]] = {
    "causal_lm": DecoderLM,
    "encoder": EncoderModel,
    "question_answering": Seq2SeqQuestionAnswering,
    "seq2seq_lm": ConditionalGeneration,
    "sequence_classification": Seq2SeqSequenceClassification,
    "token_classification": EncoderTokenClassification,
}

# where a class says it lives: `formers.auto` finds it again by name, so that models can be pickled
_HOME = "formers.auto"


@cache
def class_of(family_key: Any, ending: str) -> type[PreTrainedModel]:
    """The class of a family with that ending (`Model`, `ForMaskedLM`, `PreTrainedModel`, ...).

    Raises:
        AttributeError: when the family has no such class, naming those that it has.
    """
    family: Family = family_key
    shared: dict[str, Any] = {
        "_family": family,
        "config_class": family.config,
        "base_model_prefix": family.base,
        "__module__": _HOME,
    }
    if ending == "PreTrainedModel":
        return type(
            family.name + ending, (PreTrainedModel,), {**shared, "__doc__": f"Base of {family.name} models."}
        )
    if ending == "Model":
        return type(
            family.name + ending,
            (_base_task(family),),
            {**shared, "__doc__": f"{family.name} without a head."},
        )
    head = family.heads.get(ending)
    if head is None:
        known = [family.class_name(known) for known in ("Model", *family.heads)]
        wanted = family.class_name(ending)
        raise AttributeError(
            f"there is no {wanted}{did_you_mean(wanted, known)}; {family.name} has {', '.join(known)}"
        )
    task = (ENCODER_DECODER_TASKS if family.encoder_decoder else TASKS)[head.task]
    text = f"{family.name} with a head for {head.task.replace('_', ' ')}."
    own = {**shared, "head": head, "base_model_prefix": head.base or family.base, "__doc__": text}
    return type(family.class_name(ending), (task,), own)


def _base_task(family: Family) -> type[PreTrainedModel]:
    return EncoderDecoderModel if family.encoder_decoder else StackModel


def endings(family: Family) -> dict[str, Head | None]:
    """Class-name endings of a family, with their heads."""
    return {"Model": None, "PreTrainedModel": None, **family.heads}


def find(name: str) -> type[Any] | None:
    """The model or config class of that name, or None."""
    for model_type, (_, prefix) in FAMILIES.items():
        if name.startswith(prefix):
            family = family_of(model_type)
            if name == family.config.__name__:
                return family.config
            for ending in endings(family):
                if family.class_name(ending) == name:
                    return class_of(family, ending)
    return None
