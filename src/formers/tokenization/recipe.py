"""What a row of the table of tokenizers says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from formers.tokenization.file_rows import PLAIN_INPUTS
from formers.tokenization.languages import Languages


@dataclass(frozen=True)
class Recipe:
    """One row: a class of tokenizers.

    Attributes:
        kind: the builder in `builders.py` that makes the backend when there is no `tokenizer.json`; empty
            where only that file can be read.
        files: for each file argument, the names it goes by in a checkpoint, the usual one first; none where
            the vocabulary is the same in all checkpoints.
        special: the special tokens and their usual text; a dictionary states how it matches.
        inputs: what the models take.
        options: settings of the builder and their defaults.
        padding_side: where padding goes.
        additional: special tokens without a name.
        model_types: the families whose checkpoints have it, for those that name no class.
        aliases: families whose tokenizer class is this one under another name.
        positions: how its models number tokens, which says how many they take: "absolute", or "after_padding"
            (from `pad_token_id + 1`, so that many of the table are not for use), or "relative" (no limit).
        languages: how texts are marked with theirs, for translators.
        order: what is taken by position.
        sign: what its vocabulary file contains and that of another class with the same file names does not.
        attributes: what the class has besides, by name.
        markdown: its models write pages as Markdown, which is corrected.
        grouped: its models spell moment by moment: what repeats is one token, and padding a blank.
        reads_all: whether its files are read beside a tokenizer.json too, which does not say all.
    """

    kind: str
    files: Mapping[str, tuple[str, ...]]
    special: Mapping[str, Any]
    inputs: tuple[str, ...] = PLAIN_INPUTS
    options: Mapping[str, Any] = field(default_factory=dict)
    padding_side: str = "right"
    additional: tuple[str, ...] = ()
    languages: Languages | None = None
    order: tuple[str, ...] = ("vocab", "merges")
    # Two rows are equal when they read a vocabulary alike: the rest says whose they are.
    model_types: tuple[str, ...] = field(default=(), compare=False)
    aliases: tuple[str, ...] = field(default=(), compare=False)
    positions: str = field(default="absolute", compare=False)
    sign: str = field(default="", compare=False)
    attributes: Mapping[str, Any] = field(default_factory=dict, compare=False)
    reads_all: bool = field(default=False, compare=False)
    markdown: bool = field(default=False, compare=False)
    grouped: bool = field(default=False, compare=False)
