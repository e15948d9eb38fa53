"""Phrases of a text, against the rule said token by token."""

from __future__ import annotations

import torch

from formers.nn.phrases import named, phrases

# [CLS] a cat . a remote control . [SEP]; and one whose end is padding
IDS = torch.tensor([[101, 5, 6, 1012, 5, 7, 8, 1012, 102], [101, 9, 1012, 102, 0, 0, 0, 0, 0]])
MARKS = torch.tensor([101, 102, 1012, 1029])


def test_phrases_see_themselves_and_the_mark_behind_them() -> None:
    seen, places = phrases(IDS, MARKS)
    runs = [[[0], [1, 2, 3], [4, 5, 6, 7], [8]], [[0], [1, 2], [3], *([i] for i in range(4, 9))]]
    for row, groups in enumerate(runs):
        right = torch.zeros(9, 9, dtype=torch.bool)
        for group in groups:
            right[torch.tensor(group)[:, None], torch.tensor(group)] = True
        assert torch.equal(seen[row], right)
    assert places.tolist() == [[0, 0, 1, 2, 0, 1, 2, 3, 0], [0, 0, 1, 0, 0, 0, 0, 0, 0]]


def test_a_phrase_without_a_mark_behind_it_is_no_phrase() -> None:
    seen, places = phrases(torch.tensor([[101, 5, 6], [5, 6, 1012]]), MARKS)
    assert torch.equal(seen, torch.eye(3, dtype=torch.bool).expand(2, -1, -1))
    assert not places.any()


def test_the_tokens_of_phrases_are_named_in_order() -> None:
    first, second = named(IDS, torch.cat((MARKS, torch.zeros(1, dtype=torch.long))), 12)
    assert [row.nonzero()[:, 0].tolist() for row in first] == [[1, 2], [4, 5, 6]]
    assert [row.nonzero()[:, 0].tolist() for row in second] == [[1]]
    assert first.shape == (2, 12)
