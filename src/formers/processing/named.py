"""Processors of two parts by the names of their classes."""

from __future__ import annotations

import functools

from formers.processing.joined import ProcessorMixin
from formers.processing.pairs import CLASSES, PAIRS
from formers.processing.speech import SpeechProcessor


@functools.cache
def _class_of(family: str) -> type[ProcessorMixin]:
    name, pair = f"{family}Processor", PAIRS[family]
    base = SpeechProcessor if pair.sounds else ProcessorMixin
    what = "Sounds and transcripts" if pair.sounds else "Texts and pictures"
    says = f"{what} for the models of the family {family}; see `{base.__name__}`."
    return type(name, (base,), {"pair": pair, "__doc__": says})


def named_pair(name: str) -> type[ProcessorMixin]:
    """The class behind `CLIPProcessor`, `WhisperProcessor`, ..."""
    return _class_of(CLASSES[name])
