"""Processors that join a tokenizer and what prepares pictures or sounds, as data: a row for each family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_SIXTY_FOUR = {"padding": "max_length", "max_length": 64}


@dataclass(frozen=True)
class Pair:
    """One family's processor.

    Attributes:
        images: the family of `recipes` that prepares pictures, where files do not name one; empty for none.
        model_types: model types whose checkpoints may leave the class out.
        text: keywords of the tokenizer's call, `pictures` of the image processor's, that differ from theirs.
        unread: what the tokenizer gives and the models do not take.
        sounds: it prepares sounds in place of pictures.
    """

    images: str
    model_types: tuple[str, ...] = ()
    text: Mapping[str, Any] = field(default_factory=dict)
    pictures: Mapping[str, Any] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    sounds: bool = False


PAIRS: dict[str, Pair] = {
    "Align": Pair("EfficientNet", ("align",), _SIXTY_FOUR),
    "AltCLIP": Pair("CLIP", ("altclip",)),
    "Blip": Pair("Blip", ("blip",), {"return_token_type_ids": False}, unread=("token_type_ids",)),
    "ChineseCLIP": Pair("ChineseCLIP", ("chinese_clip",)),
    "CLIP": Pair("CLIP", ("clip", "groupvit", "metaclip_2")),
    "Git": Pair("CLIP", ("git",)),
    "Siglip": Pair("Siglip", ("siglip",)),
    "VisionTextDualEncoder": Pair("ViT", ("vision-text-dual-encoder",)),
    "Wav2Vec2": Pair("", ("hubert", "wav2vec2"), sounds=True),
    "Whisper": Pair("", ("whisper",), sounds=True),
}
MODEL_TYPES = {kind: name for name, pair in PAIRS.items() for kind in pair.model_types}
CLASSES = {f"{name}Processor": name for name in PAIRS}
