"""Processors of two parts by the names of their classes."""

from __future__ import annotations

import functools
from collections.abc import Collection
from typing import Any

from formers.processing.audio_text import AudioTextProcessor
from formers.processing.cross_attention_text import CrossShowingProcessor
from formers.processing.document_pages import PageProcessor
from formers.processing.document_retrieval import PromptRetrievalProcessor, RetrievalProcessor
from formers.processing.fenced_text import FencedShowingProcessor
from formers.processing.field_marks import fields_in
from formers.processing.grounded_text import GroundedTextProcessor
from formers.processing.header_questions import HeadedProcessor
from formers.processing.image_text import ProcessorMixin
from formers.processing.image_token_text import EndedShowingProcessor
from formers.processing.language_model_decoding import LanguageModelProcessor
from formers.processing.nested import NestedPrompts
from formers.processing.page_reading import PageReadingProcessor
from formers.processing.pairs import CLASSES, NAMES, PAIRS
from formers.processing.phrases import PhraseProcessor
from formers.processing.placeholder_text import ShowingProcessor
from formers.processing.prefix_suffix_text import PromptShowingProcessor
from formers.processing.promptable_inputs import Prompted
from formers.processing.query_text import InstructionProcessor, QueryTextProcessor
from formers.processing.speaker_presets import VoiceProcessor
from formers.processing.speech import (
    EitherProcessor,
    SpeechProcessor,
    TargetProcessor,
    UnpaddedSpeechProcessor,
)
from formers.processing.task_prompts import TaskPromptProcessor
from formers.processing.task_texts import TaskedProcessor
from formers.processing.transducer_text import TranscriptProcessor
from formers.processing.video_mask_inputs import FollowingPrompts
from formers.processing.vision_speech_text import ShowingAndHearingProcessor


@functools.cache
def _class_of(family: str) -> type[ProcessorMixin]:
    name, pair = NAMES[family], PAIRS[family]
    base = SpeechProcessor if pair.sounds else ProcessorMixin
    base = TargetProcessor if pair.targets else VoiceProcessor if pair.voices else base
    base = TranscriptProcessor if pair.spells else base
    base = LanguageModelProcessor if pair.searches else base
    base = UnpaddedSpeechProcessor if pair.unpads else base
    base = EitherProcessor if pair.either else base
    if pair.shows is not None:
        prompted = TaskPromptProcessor if pair.shows.tasks else PromptShowingProcessor
        base = prompted if pair.shows.prompts or pair.shows.tasks else ShowingProcessor
        base = EndedShowingProcessor if pair.shows.ends else base
        base = FencedShowingProcessor if pair.shows.fenced else base
        base = CrossShowingProcessor if pair.shows.crosses else base
        base = PageReadingProcessor if pair.shows.reads_out else base
        base = ShowingAndHearingProcessor if "audio_token" in pair.shows.marks else base
        found = PromptRetrievalProcessor if pair.shows.prompts else RetrievalProcessor
        base = found if pair.shows.retrieves else base
    base = PageProcessor if pair.pages else QueryTextProcessor if pair.asks else base
    base = InstructionProcessor if pair.instructs else base
    base = HeadedProcessor if pair.headed else base
    base = GroundedTextProcessor if pair.grounds else base
    base = TaskedProcessor if pair.tasked else base
    base = PhraseProcessor if pair.phrases else base
    base = AudioTextProcessor if pair.hears is not None else base
    what = "Sounds and transcripts" if pair.sounds else "Texts" if pair.voices else "Texts and pictures"
    what = what if pair.hears is None else "Texts and sounds"
    says = f"{what} for the models of the family {family}; see `{base.__name__}`."
    own: dict[str, Any] = {"token2json": _fields} if pair.fields else {}
    own |= {"post_process_generation": _corrected} if pair.markdown else {}
    if pair.shows is not None and pair.shows.films:
        parts = ("image_processor", "tokenizer")
        own["attributes"] = (
            ("video_processor", *parts) if pair.shows.films_first else (*parts, "video_processor")
        )
    prompts = FollowingPrompts if pair.followed else NestedPrompts if pair.nested else Prompted
    bases = (prompts, base) if pair.pointed else (base,)
    return type(name, bases, {"pair": pair, "__doc__": says, **own})


def _fields(
    self: Any, tokens: str, is_inner_value: bool = False, added_vocab: Collection[str] | None = None
) -> Any:
    """The fields between marks in a text; see `fields_in`."""
    known = self.tokenizer.get_added_vocab() if added_vocab is None else added_vocab
    return fields_in(tokens, known, is_inner_value)


def _corrected(self: Any, *args: Any, **options: Any) -> Any:
    """Pages as they are to be read; see the tokenizer's method of that name."""
    return self.tokenizer.post_process_generation(*args, **options)


def named_pair(name: str) -> type[ProcessorMixin]:
    """The class behind `CLIPProcessor`, `WhisperProcessor`, ..."""
    return _class_of(CLASSES[name])
