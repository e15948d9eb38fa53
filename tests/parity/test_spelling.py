"""Tokenizers of models that spell speech beside the reference: letters, runs of moments, words and times."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers

import formers

VOCABULARY = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ'"]
TEXTS = ["HELLO WORLD", "hello there", "  A  B ", "É A", "<pad> A </s>B", "", "IT'S"]


@pytest.fixture(params=[False, True], ids=["large", "small"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Any, Any]:
    """The reference's tokenizer and ours, from one vocabulary."""
    file = tmp_path / "vocab.json"
    file.write_text(json.dumps({token: index for index, token in enumerate(VOCABULARY)}))
    found = (
        library.Wav2Vec2CTCTokenizer(str(file), do_lower_case=request.param)
        for library in (transformers, formers)
    )
    theirs, ours = found
    return theirs, ours


def test_texts_become_the_same_letters(pair: tuple[Any, Any]) -> None:
    theirs, ours = pair
    for text in TEXTS:
        assert ours(text)["input_ids"] == theirs(text)["input_ids"], text
    assert ours.word_delimiter_token_id == theirs.word_delimiter_token_id == 4


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"group_tokens": False},
        {"skip_special_tokens": True},
        {"output_char_offsets": True, "output_word_offsets": True},
        {"output_word_offsets": True},
        {"spaces_between_special_tokens": True},
    ],
)
def test_moments_become_the_same_texts_and_times(pair: tuple[Any, Any], how: dict[str, Any]) -> None:
    theirs, ours = pair
    draw = random.Random(0)
    rows = [[draw.choice([0, 0, 0, 4, 4, 5, 6, 6, 7, 3, 1]) for _ in range(20)] for _ in range(40)]
    for row in [*rows, [0], [4, 4]]:
        expected, found = theirs.decode(row, **how), ours.decode(row, **how)
        if isinstance(expected, str):
            assert found == expected
        else:
            for name in ("text", "char_offsets", "word_offsets"):
                assert getattr(found, name) == getattr(expected, name)
    expected, found = theirs.batch_decode(rows, **how), ours.batch_decode(rows, **how)
    assert (found if isinstance(expected, list) else found.text) == (
        expected if isinstance(expected, list) else expected.text
    )


def test_files_travel_both_ways_and_languages_are_chosen(pair: tuple[Any, Any], tmp_path: Path) -> None:
    theirs, ours = pair
    ours.save_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    back = transformers.AutoTokenizer.from_pretrained(tmp_path / "ours")
    here = formers.AutoTokenizer.from_pretrained(tmp_path / "theirs")
    assert type(here) is formers.Wav2Vec2CTCTokenizer
    for one in (back, here):
        assert one("HI YOU")["input_ids"] == theirs("HI YOU")["input_ids"]
        assert one.decode([5, 5, 0, 6, 4, 7]) == theirs.decode([5, 5, 0, 6, 4, 7])
    small = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4}
    (tmp_path / "vocab.json").write_text(json.dumps({"xx": {**small, "A": 5}, "yy": {**small, "B": 5}}))
    chosen = formers.Wav2Vec2CTCTokenizer(str(tmp_path / "vocab.json"), target_lang="yy")
    assert chosen.decode([5]) == "B"
    with pytest.raises(ValueError, match="one of the languages xx, yy"):
        formers.Wav2Vec2CTCTokenizer(str(tmp_path / "vocab.json"))


def test_sounds_and_transcripts_are_prepared_together(pair: tuple[Any, Any], tmp_path: Path) -> None:
    theirs, ours = (
        library.Wav2Vec2Processor(feature_extractor=library.Wav2Vec2FeatureExtractor(), tokenizer=tokenizer)
        for library, tokenizer in zip((transformers, formers), pair, strict=True)
    )
    sound = np.sin(np.arange(800) / 7).astype(np.float32)
    theirs.save_pretrained(tmp_path)
    for one in (ours, formers.AutoProcessor.from_pretrained(tmp_path)):
        found = one(sound, sampling_rate=16000, text="HI YOU")
        expected = theirs(sound, sampling_rate=16000, text="HI YOU")
        np.testing.assert_allclose(found["input_values"], expected["input_values"], atol=1e-5)
        assert found["labels"] == expected["labels"]
        assert one.batch_decode([[12, 12, 0, 13]]) == theirs.batch_decode([[12, 12, 0, 13]])
