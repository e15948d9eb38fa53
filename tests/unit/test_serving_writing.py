"""The parts of the server that writes: stop strings in pieces, and what waits for the engine."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from formers.configs import GenerationConfig
from formers.generation.engine import Full, Request
from formers.generation.engine.scheduler import Scheduler
from formers.generation.processors.repetition import OccurrencePenaltyLogitsProcessor
from formers.serving.writing.texts import Stops, Text
from generation.small_tokenizers import KINDS, TEXTS, pair


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
@pytest.mark.parametrize(
    ("stops", "wanted"),
    [
        (["abac"], "xabab"),
        (["zz"], "xabababacq"),
        (["acq", "bac"], "xababa"),
        (["q!"], "xabababacq"),
        (["x"], ""),
        ([], "xabababacq"),
    ],
)
def test_text_goes_out_up_to_the_first_stop_string_however_it_is_cut(
    stops: list[str], wanted: str, size: int
) -> None:
    text = "xabababacq"
    reader = Stops(stops)
    found = ""
    for start in range(0, len(text), size):
        new, stopped = reader.add(text[start : start + size])
        found += new
        if stopped:
            break
    else:
        found += reader.end()
    assert found == wanted


def test_only_what_may_begin_a_stop_string_is_held_back() -> None:
    reader = Stops(["stop"])
    assert reader.add("do not st") == ("do not ", False)
    assert reader.add("and") == ("stand", False)


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_are_whole_characters_and_together_the_decoded_text(kind: str) -> None:
    tokenizer: Any = pair(kind)[0]
    pieces: list[Any] = []
    for text in TEXTS:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        request = Request([0], GenerationConfig(max_new_tokens=len(ids)), wants_log_probs=True)
        pieces.clear()
        writer = Text(0, tokenizer, (), ("never said",), pieces.append)
        for token in ids:
            request.tokens.append(token)
            assert not writer.on_token(request, token, -1.0)
        writer.on_end(request)
        plain = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        assert "".join(one.text for one in pieces) == plain
        assert [told.token for one in pieces for told in one.told] == ids
        assert all("\ufffd" not in one.text for one in pieces) or "\ufffd" in plain


def test_a_text_joins_its_prompt_as_the_tokenizer_joins_them() -> None:
    tokenizer: Any = pair("metaspace")[0]
    ids = tokenizer("The last stop is near", add_special_tokens=False)["input_ids"]
    pieces: list[Any] = []
    request = Request(ids[:2], GenerationConfig(max_new_tokens=20))
    writer = Text(0, tokenizer, ids[:2], (), pieces.append)
    for token in ids[2:]:
        writer.on_token(request, token, None)
    writer.on_end(request)
    text = "".join(one.text for one in pieces)
    assert tokenizer.decode(ids[:2]) + text == tokenizer.decode(ids)


def test_penalties_count_new_tokens_alone() -> None:
    shaped = OccurrencePenaltyLogitsProcessor(0.5, 0.25, prompt_length=2)(
        torch.tensor([[0, 0, 1, 1, 3]]), torch.zeros(1, 4)
    )
    assert shaped.tolist() == [[0.0, -1.0, 0.0, -0.75]]


def test_what_is_withdrawn_leaves_its_place_to_others() -> None:
    scheduler = Scheduler(rows=1, tokens=100, waiting=2)
    first, second, third = (Request([1], GenerationConfig(max_new_tokens=2), client=c) for c in "aab")
    scheduler.add(first)
    scheduler.add(second)
    with pytest.raises(Full):
        scheduler.add(third)
    assert scheduler.withdraw(first)
    assert not scheduler.withdraw(first)
    scheduler.add(third)
    assert scheduler.next() is second
