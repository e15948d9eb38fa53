"""What is done before a loop, beside it and in its place."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed

from formers import CompileConfig, GenerationConfig
from formers.core.notices import Notice
from generation.small_models import SIZE, both, prompt

NEW = 6


@functools.cache
def model_of(kind: str) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        return both(kind, Path(folder))[0]


# token healing


class Words:
    """A vocabulary in which 20 to 24 begin alike."""

    names = {i: f"<{i}>" for i in range(SIZE)} | {20: "un", 21: "until", 22: "unit", 23: "under", 24: "u"}
    all_special_ids = (0, 1, 5)

    def get_vocab(self):
        return {name: i for i, name in self.names.items()}

    def convert_ids_to_tokens(self, token):
        return self.names[token]


@torch.no_grad()
def likeliest(ids: torch.Tensor, choices: list[int]) -> int:
    scores = model_of("llama")(ids[:, :-1]).logits[0, -1]
    return max(choices, key=lambda i: float(scores[i]) + (i == int(ids[0, -1])))


@pytest.mark.parametrize(
    ("tail", "choices"), [(20, [20, 21, 22, 23]), (24, [20, 21, 22, 23, 24]), (30, [30]), (1, [1])]
)
def test_the_last_token_becomes_the_likeliest_that_begins_like_it(tail, choices):
    ids = prompt()
    ids[0, -1] = tail
    found = model_of("llama").generate(ids, max_new_tokens=NEW, token_healing=True, tokenizer=Words())
    expected = ids.clone()
    expected[0, -1] = likeliest(ids, choices)
    assert torch.equal(found, model_of("llama").generate(expected, max_new_tokens=NEW))
    assert torch.equal(model_of("llama").heal_tokens(ids, Words()), expected)


def test_padded_prompts_are_healed_as_they_are_alone():
    ids = prompt(2)
    ids[:, -1], ids[0, :3] = 24, 0
    found = model_of("llama").generate(ids, max_new_tokens=1, token_healing=True, tokenizer=Words())
    assert found[:, 8].tolist() == [likeliest(row, [20, 21, 22, 23, 24]) for row in (ids[:1, 3:], ids[1:])]


def test_healing_needs_a_tokenizer():
    with pytest.raises(ValueError, match="tokenizer="):
        model_of("llama").generate(prompt(), max_new_tokens=NEW, token_healing=True)


# a loop of one's own


def test_a_loop_of_ones_own_gets_what_was_settled_and_its_own_keywords():
    def loop(model, input_ids, logits_processor, stopping_criteria, generation_config, times, **inputs):
        assert generation_config.max_length == 9 + NEW
        while not bool(stopping_criteria(input_ids, None).all()):
            read = {"input_ids": input_ids, "attention_mask": inputs["attention_mask"], "use_cache": False}
            scores = logits_processor(input_ids, model(**read).logits[:, -1])
            input_ids = torch.cat((input_ids, scores.argmax(-1, keepdim=True)), dim=1)
            inputs = model._update_model_kwargs_for_generation({}, inputs)
        return input_ids * times

    ids = prompt(2)
    settings = {"max_new_tokens": NEW, "eos_token_id": None, "repetition_penalty": 1.2}
    found = model_of("llama").generate(ids, custom_generate=loop, times=2, **settings)
    assert torch.equal(found, 2 * model_of("llama").generate(ids, **settings))


def test_every_copy_of_a_prompt_reaches_a_loop_of_ones_own():
    def loop(model, input_ids, attention_mask, **_):
        return input_ids.shape, attention_mask.shape

    ids = prompt(2)
    ids[0, 0] = 0
    found = model_of("llama").generate(ids, custom_generate=loop, num_beams=3, max_new_tokens=NEW)
    assert found == ((6, 9), (6, 9))


def test_the_name_of_a_repository_is_refused():
    with pytest.raises(TypeError, match="never run"):
        model_of("llama").generate(prompt(), custom_generate="owner/loop", max_new_tokens=NEW)


# compilation


def test_steps_over_a_static_cache_are_compiled_to_graphs_that_serve_all_calls():
    model, graphs = model_of("llama"), []

    def backend(graph, example):
        graphs.append(graph)
        return graph.forward

    how = CompileConfig(backend=backend, mode=None, dynamic=True, fullgraph=True)
    for rows in (prompt(), prompt()[:, :-1]):
        plain = model.generate(rows, max_new_tokens=NEW)
        given = {"cache_implementation": "static", "max_new_tokens": NEW, "compile_config": how}
        assert torch.equal(model.generate(rows, **given), plain)
        assert torch.equal(model.generate(rows, **given, disable_compile=True), plain)
    assert len(graphs) == 1


def test_a_compile_config_is_written_and_needs_a_static_cache(tmp_path):
    with pytest.warns(Notice, match="over a static cache alone"):
        model_of("llama").generate(prompt(), max_new_tokens=NEW, compile_config=CompileConfig())
    GenerationConfig(compile_config=CompileConfig(mode="default")).save_pretrained(tmp_path)
    assert GenerationConfig.from_pretrained(tmp_path).compile_config["mode"] == "default"
    with pytest.raises(TypeError, match="CompileConfig"):
        model_of("llama").generate(prompt(), max_new_tokens=NEW, compile_config="fast")


# other processes


@pytest.mark.parametrize(("kind", "settings"), [("llama", {}), ("t5", {"num_beams": 2})])
def test_a_process_that_has_ended_calls_the_model_until_others_have(monkeypatch, kind, settings):
    told: list[int] = []

    def all_reduce(count):
        told.append(int(count))
        count += len(told) < 12  # another process calls 11 times

    calls: list[int] = []
    model = model_of(kind)
    for name, value in (
        ("is_initialized", lambda: True),
        ("get_world_size", lambda: 2),
        ("all_reduce", all_reduce),
    ):
        monkeypatch.setattr(distributed, name, value)
    plain = model.generate(prompt(), max_new_tokens=NEW, eos_token_id=None, **settings)
    hook = model.register_forward_hook(lambda *_: calls.append(1))
    try:
        found = model.generate(prompt(), max_new_tokens=NEW, eos_token_id=None, synced_gpus=True, **settings)
    finally:
        hook.remove()
    assert torch.equal(found, plain)
    assert len(calls) == 11
    assert told == [1] * NEW + [0] * 6


# rows that a hook sees


def test_a_hook_sees_a_row_for_every_beam_from_the_first_pass_on():
    model, rows = model_of("llama"), []
    leaf = model.model.layers[0].self_attn.q_proj
    plain = model.generate(prompt(), num_beams=3, max_new_tokens=NEW)
    handle = leaf.register_forward_pre_hook(lambda _, given: rows.append(given[0].shape[0]))
    try:
        hooked = model.generate(prompt(), num_beams=3, max_new_tokens=NEW)
    finally:
        handle.remove()
    assert set(rows) == {3 * len(prompt())}
    assert torch.equal(plain, hooked)


def test_a_model_of_one_stack_is_its_own_encoder():
    assert model_of("llama").get_encoder() is model_of("llama")
    assert model_of("t5").get_encoder() is model_of("t5").encoder


def test_packages_learn_which_names_are_tied():
    assert "lm_head.weight" in model_of("t5")._tied_weights_keys
    assert model_of("llama")._tied_weights_keys == {}
