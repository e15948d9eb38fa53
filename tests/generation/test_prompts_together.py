"""Many prompts to one pipeline: each is answered as it is alone, whoever shares its steps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

import formers
from formers.generation.batch_engine import Together
from formers.pipelines.text.generation import TextGenerationPipeline
from tests.generation.small_tokenizers import pair

PROMPTS = [
    *("The stop", "a", "def f(x):\n    return 'a stop'  # don't", "Human:", "topple the pot! " * 4, "the"),
    *("naïve café", "is near", "stopping; the last"),
]


@pytest.fixture(scope="module")
def pipe() -> TextGenerationPipeline:
    """A tiny model with texts of about 300 tokens at most."""
    tokenizer = pair("byte-level")[0]
    torch.manual_seed(0)
    sizes = {"vocab_size": len(tokenizer), "n_layer": 1, "n_embd": 32, "n_head": 4, "n_positions": 300}
    model = formers.GPT2LMHeadModel(formers.GPT2Config(**sizes, bos_token_id=0, eos_token_id=7)).eval()
    with torch.no_grad():
        for value in model.parameters():
            value.mul_(3)  # far apart, so that rounding decides nothing
    return TextGenerationPipeline(model, tokenizer, do_sample=False, max_new_tokens=8, device="cpu")


def widths(pipe: Any) -> tuple[list[int], Any]:
    """A list that is told how many rows each call of the model has, and what ends that."""
    seen: list[int] = []

    def noted(module: Any, args: Any, given: Any) -> None:
        seen.append(len(given["input_ids"]))

    return seen, pipe.model.register_forward_pre_hook(noted, with_kwargs=True)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {
            "repetition_penalty": 1.5,
            "no_repeat_ngram_size": 2,
            "min_new_tokens": 3,
            "return_full_text": False,
        },
        {"stop_sequence": ["e", "o"], "max_new_tokens": 30},
        {"do_sample": True, "seed": 5, "num_return_sequences": 2, "top_k": 9, "return_tensors": True},
    ],
    ids=["greedy", "processors", "stop strings", "seeds"],
)
def test_prompts_of_all_lengths_get_what_each_gets_alone(pipe: Any, settings: dict[str, Any]) -> None:
    seen, hook = widths(pipe)
    together = pipe(PROMPTS, **settings)
    hook.remove()
    assert max(seen) > len(PROMPTS) // 2
    assert together == [pipe(prompt, **settings) for prompt in PROMPTS]


def test_the_size_of_a_batch_is_how_many_go_on_at_most(pipe: Any) -> None:
    seen, hook = widths(pipe)
    limited = pipe(PROMPTS, batch_size=3)
    hook.remove()
    assert max(seen) == 3
    assert limited == [pipe(prompt) for prompt in PROMPTS]


class Odd(formers.LogitsProcessor):
    """Favours some tokens, and tells nobody whether rows may be left out."""

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """The scores, some higher."""
        return scores + torch.arange(scores.shape[1]) % 2


@pytest.mark.parametrize(
    "settings",
    [
        {"num_beams": 2},
        {"logits_processor": [Odd()]},
        {"stopping_criteria": [lambda ids, scores, **_: ids.shape[1] > 30]},
        {"prompt_lookup_num_tokens": 2},
        {"use_cache": False},
    ],
    ids=["beams", "processors", "criteria", "drafts", "no cache"],
)
def test_what_concerns_a_call_as_a_whole_goes_to_generate(pipe: Any, settings: dict[str, Any]) -> None:
    assert Together.offered(pipe.model, settings, 2) is None
    assert pipe(PROMPTS[:3], **settings) == [pipe(prompt, **settings) for prompt in PROMPTS[:3]]


def test_a_prompt_that_is_empty_or_has_no_room_is_answered_beside_the_others(
    pipe: Any, monkeypatch: Any
) -> None:
    alone = [pipe(prompt) for prompt in ("a", "", "the stop")]
    monkeypatch.setattr("formers.generation.batch_engine.TOKENS", 14)
    assert pipe(["a", "", "the stop"]) == alone


def test_a_stream_is_read_no_further_than_a_chunk_ahead(pipe: Any) -> None:
    read = 0

    def prompts() -> Iterator[str]:
        nonlocal read
        for i in range(60):
            read += 1
            yield PROMPTS[i % len(PROMPTS)]

    answers = pipe(prompts(), max_new_tokens=1)
    found = [next(answers)]
    assert read == 16
    found += [next(answers) for _ in range(59)]
    assert found[:9] * 7 == [*found, *found[6:9]]


def test_prompts_of_a_stream_that_does_not_know_its_columns_are_gone_on_with(pipe: Any) -> None:
    datasets = pytest.importorskip("datasets")
    rows = [{"text": text, "id": 1} for text in PROMPTS[:2]]
    stream = datasets.IterableDataset.from_generator(lambda: iter(rows))
    settings = {"max_new_tokens": 2, "do_sample": False}
    assert list(pipe(stream, **settings)) == pipe(PROMPTS[:2], **settings)


def test_an_error_reaches_the_caller_and_the_next_call_works(pipe: Any) -> None:
    def fails(module: Any, args: Any, given: Any) -> None:
        if len(given["input_ids"]) > 2:
            raise OSError("no more memory")

    with (
        pipe.model.register_forward_pre_hook(fails, with_kwargs=True),
        pytest.raises(OSError, match="memory"),
    ):
        pipe(PROMPTS)
    assert pipe(PROMPTS[:2]) == [pipe(prompt) for prompt in PROMPTS[:2]]
