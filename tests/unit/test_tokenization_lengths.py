"""Lengths and strides that cannot be, and special tokens that a vocabulary has not got yet."""

from __future__ import annotations

import numpy as np
import pytest

from formers import BertTokenizer
from parity.tokenization_samples import WORDPIECE_SPECIAL

VOCAB = {token: index for index, token in enumerate([*WORDPIECE_SPECIAL, *"abcdefgvwxyz"])}
SEVEN, FIVE = "a b c d e f g", "x y z w v"


@pytest.fixture
def bert():
    return BertTokenizer(vocab=VOCAB, model_max_length=12)


@pytest.mark.parametrize("name", ["max_length", "stride", "pad_to_multiple_of"])
@pytest.mark.parametrize("value", ["5", 5.0, True, [5]], ids=repr)
def test_a_length_that_is_not_a_whole_number_is_named(bert, name, value):
    with pytest.raises(
        TypeError, match=f"{name} must be a whole number of tokens, but is .*{type(value).__name__}"
    ):
        bert(SEVEN, truncation=True, **{name: value})


def test_integers_of_numpy_are_lengths_too(bert):
    want = bert(SEVEN, truncation=True, max_length=6, stride=1, return_overflowing_tokens=True)
    cut = {"max_length": np.int64(6), "stride": np.int32(1), "return_overflowing_tokens": True}
    assert bert(SEVEN, truncation=True, **cut)["input_ids"] == want["input_ids"]


def test_padding_encoded_rows_wants_a_whole_number_too(bert):
    with pytest.raises(TypeError, match="max_length must be a whole number of tokens, but is '8'"):
        bert.pad([{"input_ids": [1, 2]}], padding="max_length", max_length="8")


# The backend would panic on each of these, which no `except Exception` catches.
NO_ROOM = {
    "one text": ((SEVEN,), {"truncation": True, "max_length": 5, "stride": 3}),
    "one of a batch": ((["a", SEVEN],), {"truncation": True, "max_length": 5, "stride": 4}),
    "pairs": (([SEVEN], [FIVE]), {"truncation": True, "max_length": 6, "stride": 3}),
    "the second of a pair": ((SEVEN, FIVE), {"truncation": "only_second", "max_length": 11, "stride": 2}),
}


@pytest.mark.parametrize(("texts", "cut"), NO_ROOM.values(), ids=NO_ROOM)
def test_a_stride_without_room_is_refused_and_the_tokenizer_goes_on(bert, texts, cut):
    with pytest.raises(
        ValueError, match="the stride must be smaller than max_length less the special tokens"
    ):
        bert(*texts, return_overflowing_tokens=True, **cut)
    found = bert(SEVEN, truncation=True, max_length=5, stride=2, return_overflowing_tokens=True)
    assert [bert.decode(row, skip_special_tokens=True) for row in found["input_ids"]] == [
        "a b c",
        "b c d",
        "c d e",
        "d e f",
        "e f g",
    ]


def test_special_tokens_that_are_missing_are_added_on_request(bert):
    assert bert.sanitize_special_tokens() == 0
    bert._special.named["bos_token"] = "<b>"
    assert bert.bos_token_id == bert.unk_token_id
    assert bert.sanitize_special_tokens() == 1
    assert bert.bos_token_id == len(VOCAB) == len(bert) - 1
    assert bert("<b> a")["input_ids"][1] == bert.bos_token_id
    assert bert.sanitize_special_tokens() == 0
