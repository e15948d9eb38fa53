"""What ends a text."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
import torch
import transformers.generation.stopping_criteria as theirs

import formers.generation.stopping as ours
from formers.core.notices import Notice
from generation.small_tokenizers import KINDS, pair

IDS = torch.tensor([[4, 5, 6], [6, 5, 4], [9, 6, 1]])


@pytest.mark.parametrize("kind", KINDS)
def test_stop_strings_are_found_where_the_reference_finds_them(kind: str) -> None:
    mine, other = pair(kind)
    draw = random.Random(kind)
    text = "the last stop, stopper; 中文字符 don't topple naïve pot 😀 stop\n\nHuman: stop"
    ids = mine(text, add_special_tokens=False)["input_ids"]
    found = 0
    for stops in (["stop"], "top", ["字", "pp"], ["\n\nHuman:", "a l", ", s"], ["e"], [" stop"], ["<end>"]):
        criteria = ours.StopStringCriteria(mine, stops), theirs.StopStringCriteria(other, stops)
        rows = [ids[:length] for length in range(1, len(ids) + 1)]
        rows += [draw.choices(range(len(mine)), k=8) for _ in range(30)]
        # runs of the text one behind another: tokens of the stop strings in other company
        rows += [sum((ids[n : n + 2] for n in draw.choices(range(len(ids)), k=6)), []) for _ in range(60)]
        for row in rows:
            done = [one(torch.tensor([row]), None).tolist() for one in criteria]
            assert done[0] == done[1], (stops, mine.convert_ids_to_tokens(row))
            found += done[0][0]
    assert found > 20


def test_a_stop_string_ends_within_the_last_token_and_may_begin_before_it() -> None:
    class Words:
        """A tokenizer whose tokens are their own text."""

        words = (
            "x",
            "st",
            "op",
            "stop",
            "opera",
            "sto",
            "pper",
            "las",
            "topper",
            "s",
            "to",
            "pped",
            "at",
            "",
        )

        def get_vocab(self) -> dict[str, int]:
            return {word: n for n, word in enumerate(self.words)}

        def convert_ids_to_tokens(self, token: int) -> str | None:
            return self.words[token] if token < len(self.words) else None

        def decode(self, ids: list[int], **options: Any) -> str:
            return "".join(self.words[token] for token in ids)

    criterion = ours.StopStringCriteria(Words(), "stop")
    for words in ("st op", "stop", "st opera", "sto pper", "las topper", "s to pped"):
        assert criterion.ends([Words.words.index(word) for word in words.split()]), words
    for words in ("stop at", "st op at", "st opera to", "x op", "s to at"):
        assert not criterion.ends([Words.words.index(word) for word in words.split()]), words
    assert criterion.ends([1, 13, 2])  # a token without text in between
    assert not criterion.ends([1, 99, 2])  # one that there is not
    rows = torch.tensor([[0, 3, 12], [3, 0, 12]])
    assert criterion(rows, None, new_token_length=2).tolist() == [True, False]


@pytest.mark.parametrize("stops", ["", [], [""], [3]])
def test_stop_strings_without_text_are_refused(stops: Any) -> None:
    with pytest.raises(ValueError, match="stop_strings has to hold texts"):
        ours.StopStringCriteria(pair("byte-level")[0], stops)


@pytest.mark.parametrize("length", [2, 3, 4])
def test_rows_end_with_the_length_the_token_or_the_confidence_that_the_reference_ends_them_with(
    length: int,
) -> None:
    scores = (torch.zeros(3, 10), 3 * torch.randn(3, 10, generator=torch.Generator().manual_seed(0)))
    for name, value in (
        ("MaxLengthCriteria", length),
        ("EosTokenCriteria", 6),
        ("EosTokenCriteria", [1, 4]),
        ("EosTokenCriteria", torch.tensor([length])),
    ):
        mine, other = (getattr(room, name)(value) for room in (ours, theirs))
        assert torch.equal(mine(IDS, scores), other(IDS, scores))
    both = [room.EosTokenCriteria(5)(IDS, None, new_token_length=2).tolist() for room in (ours, theirs)]
    assert both[0] == both[1] == [True, True, False]
    confident = [room.ConfidenceCriteria(0.1 * length) for room in (ours, theirs)]
    for row in range(3):
        one = IDS[row : row + 1]
        given = tuple(step[row : row + 1] for step in scores)
        assert confident[0](one, given).tolist() == [bool(confident[1](one, given))]


def test_new_tokens_are_counted_behind_the_prompt() -> None:
    assert ours.MaxNewTokensCriteria(2, 1)(IDS, None).tolist() == [True] * 3
    assert ours.MaxNewTokensCriteria(2, 2)(IDS, None).tolist() == [False] * 3


def test_time_runs_from_the_moment_that_is_given() -> None:
    assert ours.MaxTimeCriteria(60, time.time() - 61)(IDS, None).all()
    assert not ours.MaxTimeCriteria(60)(IDS, None).any()


def test_one_of_several_criteria_is_enough() -> None:
    def own(input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> bool:
        return False

    criteria = ours.StoppingCriteriaList([ours.EosTokenCriteria(1), own, ours.EosTokenCriteria(4)])
    assert criteria(IDS, None).tolist() == [False, True, True]
    assert criteria.max_length is None
    assert ours.StoppingCriteriaList()(IDS, None).tolist() == [False] * 3
    assert not criteria.row_wise
    assert ours.StoppingCriteriaList([ours.EosTokenCriteria(1), ours.MaxLengthCriteria(2)]).row_wise


def test_a_length_is_added_to_criteria_that_have_none() -> None:
    criteria = ours.StoppingCriteriaList()
    assert ours.validate_stopping_criteria(criteria, 5).max_length == 5
    assert not criteria
    criteria.append(ours.MaxLengthCriteria(4))
    with pytest.warns(Notice, match="end at 4 tokens and max_length is 5"):
        assert ours.validate_stopping_criteria(criteria, 5).max_length == 4


def test_text_beyond_the_positions_of_the_model_is_told_of() -> None:
    with pytest.warns(Notice, match="longer than the 2 positions"):
        assert not ours.MaxLengthCriteria(9, max_position_embeddings=2)(IDS, None).any()


def test_confidence_without_scores_says_what_to_do() -> None:
    with pytest.raises(ValueError, match="output_scores=True"):
        ours.ConfidenceCriteria(0.4)(IDS, None)
