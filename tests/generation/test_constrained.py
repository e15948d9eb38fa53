"""Constrained beam search finds texts that hold what they must."""

from __future__ import annotations

import functools
import itertools
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch

from formers.generation import (
    Constraint,
    ConstraintListState,
    DisjunctiveConstraint,
    PhrasalConstraint,
)
from generation.small_models import both, prompt

SEARCH: dict[str, Any] = {"num_beams": 4, "max_new_tokens": 10}


@functools.cache
def model_of(kind: str) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        return both(kind, Path(folder))[0]


def holds(text: list[int], phrase: list[int]) -> bool:
    return any(text[i : i + len(phrase)] == phrase for i in range(len(text)))


def new_of(kind: str, found: torch.Tensor) -> list[list[int]]:
    return found[:, 1 if kind == "t5" else 9 :].tolist()


@pytest.mark.parametrize("kind", ["llama", "t5"])
@pytest.mark.parametrize("words", [[[20]], [[20, 21, 22]], [[20, 21], [33]], [[[20, 21], [40, 41, 42]]]])
def test_the_best_text_of_each_prompt_holds_every_word(kind, words):
    found = model_of(kind).generate(prompt(2), force_words_ids=words, **SEARCH)
    assert len(found) == 2
    for text in new_of(kind, found):
        for word in words:
            choices = word if isinstance(word[0], list) else [word]
            assert any(holds(text, choice) for choice in choices)


@torch.no_grad()
def test_with_beams_enough_it_is_the_likeliest_text_of_all_that_hold_the_word():
    # a vocabulary so small that every text can be tried
    model, allowed, ids = model_of("llama"), [7, 8, 9], prompt()
    texts = [text for text in itertools.product(allowed, repeat=3) if holds(list(text), [8, 7])]
    scores = []
    for text in texts:
        whole = torch.cat((ids, torch.tensor([text])), dim=1)
        logits = model(whole[:, :-1]).logits[0, 8:].double()
        rest = [token for token in range(logits.shape[1]) if token not in allowed]
        steps = logits.index_fill(1, torch.tensor(rest), -torch.inf).log_softmax(-1)
        scores.append(float(steps.gather(1, torch.tensor(text)[:, None]).sum()) / 3)
    found = model.generate(
        ids,
        force_words_ids=[[8, 7]],
        num_beams=20,
        max_new_tokens=3,
        prefix_allowed_tokens_fn=lambda *_: allowed,
        renormalize_logits=True,
        return_dict_in_generate=True,
        output_scores=True,
    )
    assert tuple(found.sequences[0, -3:].tolist()) == texts[max(range(len(texts)), key=scores.__getitem__)]
    assert float(found.sequences_scores[0]) == pytest.approx(max(scores), abs=1e-4)


def test_what_comes_anyway_costs_nothing():
    model = model_of("llama")
    plain = model.generate(prompt(), **SEARCH)
    assert torch.equal(model.generate(prompt(), force_words_ids=[[int(plain[0, 9])]], **SEARCH), plain)


def test_a_text_with_too_little_room_gets_as_far_as_it_can():
    found = model_of("llama").generate(
        prompt(), force_words_ids=[[20, 21, 22]], num_beams=3, max_new_tokens=2
    )
    assert found[0, 9:].tolist() == [20, 21]


def test_texts_that_hold_the_words_stand_before_likelier_ones_that_do_not():
    found = model_of("llama").generate(
        prompt(),
        force_words_ids=[[20, 21, 22]],
        num_return_sequences=2,
        return_dict_in_generate=True,
        output_scores=True,
        **SEARCH,
    )
    assert [holds(text, [20, 21, 22]) for text in found.sequences.tolist()] == [True, False]
    assert found.sequences_scores[0] < found.sequences_scores[1]


def test_a_constraint_of_ones_own_is_obeyed():
    class Twice(PhrasalConstraint):
        """A token two times in a row."""

        def __init__(self, token):
            super().__init__([token, token])

    found = model_of("llama").generate(prompt(), constraints=[Twice(30)], **SEARCH)
    assert holds(found[0, 9:].tolist(), [30, 30])


def test_a_constraint_that_never_ends_is_refused_when_it_is_made():
    class Endless(PhrasalConstraint):
        def update(self, token_id):
            return False, False, True

    with pytest.raises(ValueError, match="resets"):
        Endless([3, 4])
    with pytest.raises(NotImplementedError, match="advance"):
        Constraint()


def test_a_state_tells_how_far_a_text_has_got():
    state = ConstraintListState(
        [PhrasalConstraint([1, 2, 3]), DisjunctiveConstraint([[7, 8], [7, 9, 10], [5]])]
    )
    assert sorted(state.advance()) == [1, 5, 7]
    banks = []
    for token in (4, 1, 2, 1, 2, 3, 7, 9, 10):  # broken off once, and begun again at once
        state.add(token)
        banks.append(state.get_bank())
    assert banks == [0, 1, 2, 1, 2, 3, 4, 5, 6]
    assert state.completed
    other = state.copy()
    other.reset([5])
    assert (other.get_bank(), state.get_bank()) == (3, 6)
    assert other.advance() == [1]


@pytest.mark.parametrize("words", [[], [[]], [7], [["a"]], [[-1]], [[[1], [1, 2]]], [[1000]]])
def test_words_that_are_none_are_refused(words):
    with pytest.raises((ValueError, TypeError)):
        model_of("llama").generate(prompt(), force_words_ids=words, **SEARCH)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"num_beams": 1}, "num_beams"),
        ({"do_sample": True}, "do_sample"),
        ({"num_beam_groups": 2, "diversity_penalty": 1.0}, "num_beam_groups"),
        ({"constraints": ["a"]}, "Constraints"),
    ],
)
def test_what_does_not_go_together_is_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        model_of("llama").generate(prompt(), **{**SEARCH, "force_words_ids": [[7]], **settings})
