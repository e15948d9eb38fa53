"""The tokenizer whose tokens are characters, and whose ids are code points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import transformers

import formers
from formers.tokenization import load
from parity.tokenization_samples import AWKWARD, SENTENCES

MARKED = f"{chr(0xE000)}one {chr(0xE003)} two{chr(0xE001)}"
TEXTS = [*AWKWARD.values(), *SENTENCES, MARKED, "\0", "\U0010ffff", "[CLS] [MASK]"]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """The reference's, which saves no vocabulary, and ours from its folder; once: there are many ids."""
    folder: Path = tmp_path_factory.mktemp("characters")
    theirs = transformers.CanineTokenizer()
    theirs.save_pretrained(folder)
    return theirs, load(folder)


def test_characters_have_the_ids_and_the_texts_that_the_reference_gives_them(pair: tuple[Any, Any]) -> None:
    theirs, ours = pair
    assert type(ours) is formers.CanineTokenizer
    assert ours.all_special_tokens == theirs.all_special_tokens
    for text in TEXTS:
        found = dict(ours(text))
        assert found == dict(theirs(text)), text
        ids = found["input_ids"]
        assert ours.convert_ids_to_tokens(ids) == theirs.convert_ids_to_tokens(ids), text
        for skipped in (False, True):
            options = {"skip_special_tokens": skipped}
            assert ours.decode(ids, **options) == theirs.decode(ids, **options), text


def test_pairs_and_padded_and_cut_batches_are_the_references(pair: tuple[Any, Any]) -> None:
    theirs, ours = pair
    assert dict(ours("one", "other")) == dict(theirs("one", "other"))
    options = {"padding": True, "truncation": True, "max_length": 6}
    assert dict(ours(["one", "longer", ""], **options)) == dict(theirs(["one", "longer", ""], **options))


def test_the_reference_reads_what_was_saved(pair: tuple[Any, Any], tmp_path: Path) -> None:
    theirs, ours = pair
    ours.save_pretrained(tmp_path)
    again = transformers.CanineTokenizer.from_pretrained(tmp_path)
    assert again(MARKED)["input_ids"] == theirs(MARKED)["input_ids"]
