"""Batches by tokens: nothing lost, nothing over budget, everything back in order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formers.core.batching import plan, restore

LENGTHS = st.lists(st.integers(0, 60), max_size=80)


@given(LENGTHS, st.integers(1, 100), st.none() | st.integers(1, 9))
def test_every_item_is_planned_once_within_the_budget(lengths, max_tokens, max_items):
    batches = plan(lengths, max_tokens=max_tokens, max_items=max_items)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or sum(lengths[index] for index in batch) <= max_tokens
        assert max_items is None or len(batch) <= max_items


def test_longest_come_first_and_equals_keep_their_order():
    assert plan([3, 9, 3, 5], max_tokens=9) == [[1], [3, 0], [2]]


@given(LENGTHS, st.integers(1, 100))
def test_results_return_to_their_places(lengths, max_tokens):
    batches = plan(lengths, max_tokens=max_tokens)
    results = [f"item {index}" for batch in batches for index in batch]
    expected = [f"item {index}" for index in range(len(lengths))]
    assert restore(batches, results) == expected
    assert restore([index for batch in batches for index in batch], results) == expected


def test_a_missing_result_is_refused():
    with pytest.raises(ValueError, match="1 results for 2 places"):
        restore([[1, 0]], ["only one"])
    with pytest.raises(ValueError, match="exactly once"):
        restore([1, 1], ["a", "b"])


@pytest.mark.parametrize("limits", [{"max_tokens": 0}, {"max_tokens": 4, "max_items": 0}])
def test_a_budget_of_nothing_is_refused(limits):
    with pytest.raises(ValueError, match="at least 1"):
        plan([1], **limits)
