"""Many requests over one model: what each gets is what it would get alone, whoever comes and goes."""

from __future__ import annotations

import random
import threading
from typing import Any

import pytest
import torch

import formers
from formers.generation.engine import Engine, Request
from formers.generation.engine.scheduler import Full

_PLAIN = {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
_PLAIN |= {"intermediate_size": 64, "max_position_embeddings": 256}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "rotary, grouped heads": ("Llama", {**_PLAIN, "num_key_value_heads": 2}),
    "learned positions": (
        "GPT2",
        {"vocab_size": 99, "n_layer": 2, "n_embd": 32, "n_head": 4, "n_positions": 256},
    ),
    "windows and caps": (
        "Gemma2",
        {**_PLAIN, "num_key_value_heads": 2, "head_dim": 8, "sliding_window": 6, "num_hidden_layers": 4},
    ),
    "slopes": ("Bloom", {"vocab_size": 99, "hidden_size": 32, "n_layer": 2, "n_head": 4}),
    "states": ("Mamba", {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}),
    "experts": ("Mixtral", {**_PLAIN, "num_key_value_heads": 2, "num_local_experts": 4}),
}


def model_of(kind: str) -> Any:
    """A tiny random model whose logits lie far apart."""
    torch.manual_seed(0)
    name, sizes = KINDS[kind]
    head = "LMHeadModel" if name == "GPT2" else "ForCausalLM"
    model = getattr(formers, f"{name}{head}")(getattr(formers, f"{name}Config")(**sizes)).eval()
    with torch.no_grad():
        for value in model.parameters():
            value.mul_(3)
    return model


def requests_of(count: int, shared: int = 0) -> list[Request]:
    """Prompts of different lengths, every third of which begins alike."""
    drawn = random.Random(0)
    begun = [drawn.randrange(6, 99) for _ in range(shared)]
    found = []
    for i in range(count):
        prompt = (begun if i % 3 == 0 else []) + [
            drawn.randrange(6, 99) for _ in range(drawn.randrange(1, 14))
        ]
        settings = formers.GenerationConfig(max_new_tokens=drawn.randrange(1, 16), eos_token_id=5)
        found.append(Request(prompt, settings))
    return found


def alone(model: Any, request: Request) -> list[int]:
    """What `generate` gives the same prompt."""
    ids = torch.tensor([request.prompt])
    found = model.generate(ids, generation_config=request.config, pad_token_id=0)
    return found[0, len(request.prompt) :].tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", KINDS)
def test_requests_that_come_and_go_get_what_each_gets_alone(kind: str) -> None:
    model = model_of(kind)
    engine = Engine(model, rows=4, chunk=7)
    engine.blocks.size = 4
    requests = requests_of(11, shared=9)
    for request in requests[:6]:
        engine.submit(request)
    for _ in range(5):
        engine.step()
    requests[3].cancel()
    for request in requests[6:]:
        engine.submit(request)
    engine.run()
    for request in requests:
        if request is not requests[3]:
            assert request.tokens == alone(model, request), request.number
            assert request.reason == ("stop" if request.tokens[-1] == 5 else "length")
    assert requests[3].reason == "cancelled"
    assert engine.runner.lengths == []


def test_prompts_that_begin_alike_are_read_once() -> None:
    model, read = model_of("rotary, grouped heads"), []
    engine = Engine(model)
    engine.blocks.size = 4
    whole = engine.runner.read

    def counted(cache: Any, ids: Any) -> Any:
        read.append(len(ids))
        return whole(cache, ids)

    engine.runner.read = counted  # type: ignore[method-assign]
    for tail in (7, 8):
        request = Request([*range(10, 30), tail], formers.GenerationConfig(max_new_tokens=3))
        engine.submit(request)
        engine.run()
        assert request.tokens == alone(model, request)
    assert read == [21, 1]


def test_what_prompts_are_found_by_grows_with_them_and_no_faster() -> None:
    engine = Engine(model_of("rotary, grouped heads"))
    engine.blocks.size = 4
    sizes = []
    for count in (40, 80):
        cache, _ = engine.runner.begin(prompt := [*range(10, 10 + count)])
        engine.runner.read(cache, prompt)
        before = held_numbers(engine)
        engine.blocks.keep(prompt[::-1], cache)  # nothing of it is known
        sizes.append(held_numbers(engine) - before)
    assert sizes[1] == 2 * sizes[0]


def held_numbers(engine: Engine) -> int:
    """How many tokens stand in what blocks are found by."""
    return sum(len(tokens) for _, tokens in engine.blocks.known())


def test_what_is_kept_of_prompts_stays_within_its_bytes() -> None:
    engine = Engine(model_of("rotary, grouped heads"), prefix_bytes=5000)
    engine.blocks.size = 4
    for request in requests_of(12, shared=9):
        engine.submit(request)
    engine.run()
    assert 0 < engine.blocks.bytes <= 5000


def test_the_shared_cache_does_not_grow_with_the_number_of_requests() -> None:
    engine = Engine(model_of("rotary, grouped heads"), rows=4, prefix_bytes=0)
    sizes = []
    for _ in range(3):
        for request in requests_of(40):
            engine.submit(request)
        engine.run()
        sizes.append(engine.runner.bytes)
    assert len(set(sizes)) == 1
    assert (
        sizes[0] == 2 * 2 * 4 * 2 * 512 * 8 * 4
    )  # layers, keys and values, rows, groups, columns, width, bytes


def test_an_error_ends_whom_it_concerns_and_nobody_else() -> None:
    model = model_of("rotary, grouped heads")
    engine = Engine(model)

    def broken(request: Request, token: int, log_prob: float | None) -> None:
        raise OSError("the reader is gone")

    good, bad, wrong = requests_of(3)
    bad.on_token = broken
    wrong.prompt = [1000]  # no such token
    for request in (good, bad, wrong):
        engine.submit(request)
    engine.run()
    assert good.tokens == alone(model, good)
    assert (bad.reason, type(bad.error)) == ("failed", OSError)
    assert (wrong.reason, type(wrong.error)) == ("failed", IndexError)


def test_clients_take_turns_and_nobody_starves() -> None:
    engine = Engine(model_of("states"), rows=1)
    order: list[str] = []
    for client in ("a", "a", "a", "b", "c"):
        config = formers.GenerationConfig(max_new_tokens=2)
        engine.submit(
            Request([7, 8], config, client=client, on_end=lambda request: order.append(request.client))
        )
    engine.run()
    assert order == ["a", "b", "c", "a", "a"]


def test_too_many_or_too_long_requests_are_refused() -> None:
    engine = Engine(model_of("states"), tokens=20, waiting=1)
    engine.submit(Request([7], formers.GenerationConfig(max_new_tokens=2)))
    with pytest.raises(Full):
        engine.submit(Request([7], formers.GenerationConfig(max_new_tokens=2)))
    with pytest.raises(ValueError, match="at most 20 fit"):
        engine.submit(Request([7], formers.GenerationConfig(max_new_tokens=20)))
    with pytest.raises(ValueError, match="at least one token"):
        Request([], formers.GenerationConfig())


def test_a_seed_draws_the_same_whoever_shares_the_batch() -> None:
    model = model_of("learned positions")
    settings = {"max_new_tokens": 8, "do_sample": True, "seed": 4}
    found = []
    for company in (0, 5):
        engine = Engine(model)
        mine = Request([9, 10, 11], formers.GenerationConfig(**settings))
        for request in [*requests_of(company), mine]:
            engine.submit(request)
        engine.run()
        found.append(mine.tokens)
    assert found[0] == found[1]


def test_processors_read_a_row_that_is_written_once() -> None:
    model, places, sizes = model_of("learned positions"), set(), []
    request = requests_of(1)[0]
    request.config = formers.GenerationConfig(max_new_tokens=30)

    def noted(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        assert ids[0].tolist() == request.prompt + request.tokens
        places.add(ids.untyped_storage().data_ptr())
        sizes.append(ids.shape[1])
        return scores

    request.processors = formers.LogitsProcessorList([noted])
    engine = Engine(model)
    engine.submit(request)
    engine.run()
    assert sizes == [len(request.prompt) + i for i in range(30)]
    assert len(places) == 1


def test_a_thread_answers_drains_and_then_takes_no_more() -> None:
    model = model_of("rotary, grouped heads")
    engine, done = Engine(model).start(), threading.Event()
    requests = requests_of(6)
    requests[-1].on_end = lambda request: done.set()
    for request in requests:
        engine.submit(request)
    assert done.wait(60)
    engine.close()
    assert [request.tokens for request in requests] == [alone(model, request) for request in requests]
    with pytest.raises(RuntimeError, match="closed"):
        engine.submit(requests_of(1)[0])


def test_an_encoder_decoder_is_sent_to_generate() -> None:
    sizes = {"d_model": 16, "d_ff": 32, "d_kv": 4, "num_layers": 1, "num_heads": 4, "vocab_size": 99}
    with pytest.raises(ValueError, match=r"generate\(\)"):
        Engine(formers.T5ForConditionalGeneration(formers.T5Config(**sizes)))
