"""An assistant with another vocabulary changes how fast tokens come and not which."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch

from generation import small_models
from generation.small_tokenizers import TEXTS, pair

NEW = 20


@functools.cache
def parts(kind: str, family: str = "llama") -> tuple[Any, Any]:
    """A model that knows the words of a tokenizer, and the tokenizer."""
    tokenizer = pair(kind)[0]
    with tempfile.TemporaryDirectory() as folder:
        model = small_models.both(family, Path(folder))[0]
    config = type(model.config)(
        **{**model.config.to_dict(), "vocab_size": len(tokenizer), "eos_token_id": None}
    )
    torch.manual_seed(3)
    model = type(model)(config).eval()
    with torch.no_grad():
        for value in model.parameters():
            value.mul_(5)
    return model, tokenizer


def ids_of(tokenizer: Any) -> torch.Tensor:
    return torch.tensor([tokenizer(TEXTS[1], add_special_tokens=False)["input_ids"]])


@pytest.mark.parametrize(
    ("kind", "other"),
    [("byte-level", "wordpiece"), ("metaspace", "byte-level"), ("byte-level", "byte-fallback")],
)
@pytest.mark.parametrize("family", ["llama", "t5"])
def test_greedy_search_gives_what_it_gives_without(kind, other, family):
    (model, tokenizer), (assistant, others) = parts(kind, family), parts(other, family)
    settings = {"assistant_model": assistant, "tokenizer": tokenizer, "assistant_tokenizer": others}
    ids = ids_of(tokenizer)
    found = model.generate(ids, max_new_tokens=NEW, num_assistant_tokens=4, **settings)
    assert torch.equal(found, model.generate(ids, max_new_tokens=NEW))


def test_sampling_draws_what_it_draws_without():
    (model, tokenizer), (assistant, others) = parts("byte-level"), parts("wordpiece")
    settings = {"do_sample": True, "max_new_tokens": NEW}
    torch.manual_seed(2)
    plain = model.generate(ids_of(tokenizer), **settings)
    torch.manual_seed(2)
    found = model.generate(
        ids_of(tokenizer),
        assistant_model=assistant,
        tokenizer=tokenizer,
        assistant_tokenizer=others,
        **settings,
    )
    assert torch.equal(found, plain)


@pytest.mark.parametrize("windows", [{}, {"target_lookbehind": 2, "assistant_lookbehind": 3}])
def test_what_the_assistant_says_in_its_own_words_is_taken(windows):
    # the assistant is the model itself, so that all that arrives is taken: fewer calls than tokens
    model, tokenizer = parts("byte-level")
    calls: list[int] = []
    main = type(model)(model.config).eval()
    main.load_state_dict(model.state_dict())
    main.register_forward_pre_hook(lambda *_: calls.append(1))
    found = main.generate(
        ids_of(tokenizer),
        max_new_tokens=NEW,
        assistant_model=model,
        num_assistant_tokens=4,
        assistant_confidence_threshold=0.0,
        tokenizer=tokenizer,
        assistant_tokenizer=tokenizer,
        **windows,
    )
    assert torch.equal(found, model.generate(ids_of(tokenizer), max_new_tokens=NEW))
    assert len(calls) < NEW


def test_one_tokenizer_is_not_enough():
    (model, tokenizer), (assistant, others) = parts("byte-level"), parts("wordpiece")
    for given, said in (
        ({"tokenizer": tokenizer}, "assistant_tokenizer"),
        ({"assistant_tokenizer": others}, "own tokenizer"),
    ):
        with pytest.raises(ValueError, match=said):
            model.generate(ids_of(tokenizer), max_new_tokens=NEW, assistant_model=assistant, **given)
