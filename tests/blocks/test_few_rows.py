"""Passes of single tokens look up once what they need; whoever changes a model afterwards is obeyed."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

import formers

SIZES = {"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
SIZES |= {"intermediate_size": 48, "num_key_value_heads": 2}


@pytest.fixture
def model() -> Any:
    """A tiny LLaMA."""
    torch.manual_seed(0)
    return formers.LlamaForCausalLM(formers.LlamaConfig(**SIZES)).eval()


def steps(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """Logits of every token, read one after the other through a cache."""
    cache, found = formers.DynamicCache(), []
    with torch.no_grad():
        for i in range(ids.shape[1]):
            found.append(model(ids[:, i : i + 1], past_key_values=cache, use_cache=True).logits)
    return torch.cat(found, dim=1)


def whole(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """Logits of every token, read at once."""
    with torch.no_grad():
        return model(ids, use_cache=False).logits  # type: ignore[no-any-return]


IDS = torch.randint(3, 50, (2, 7), generator=torch.Generator().manual_seed(1))


def assert_same(model: Any) -> None:
    """One by one or at once, the logits are those of the model as it is now."""
    assert torch.allclose(steps(model, IDS), whole(model, IDS), atol=1e-5)


def test_single_tokens_give_what_a_whole_pass_gives(model: Any) -> None:
    assert_same(model)


@pytest.mark.parametrize("path", ["self_attn.q_proj", "self_attn.v_proj", "mlp.gate_proj", "mlp.down_proj"])
def test_a_leaf_that_is_replaced_is_the_one_that_runs(model: Any, path: str) -> None:
    before = steps(model, IDS)
    parent, name = path.split(".")
    holder = getattr(model.model.layers[1], parent)
    old = getattr(holder, name)
    setattr(holder, name, torch.nn.Linear(old.in_features, old.out_features, bias=False))
    assert_same(model)
    assert not torch.allclose(steps(model, IDS), before, atol=1e-3)


@pytest.mark.parametrize("how", ["in place", "by data", "anew", "by state"])
def test_weights_that_change_are_the_ones_that_are_read(model: Any, how: str) -> None:
    before, leaf = steps(model, IDS), model.model.layers[0].self_attn.k_proj
    new = leaf.weight.detach() * 2 + 0.3
    with torch.no_grad():
        if how == "in place":
            leaf.weight.mul_(2).add_(0.3)
        elif how == "by data":
            leaf.weight.data = new
        elif how == "anew":
            leaf.weight = torch.nn.Parameter(new)
        else:
            state = {**model.state_dict(), "model.layers.0.self_attn.k_proj.weight": new}
            model.load_state_dict(state)
    assert_same(model)
    assert not torch.allclose(steps(model, IDS), before, atol=1e-3)


def test_training_goes_on_after_texts_were_written(model: Any) -> None:
    twin = copy.deepcopy(model)
    steps(model, IDS)  # its weights lie side by side from here on
    for one in (model, twin):
        optimizer = torch.optim.AdamW(one.parameters(), lr=0.01)
        for _ in range(2):
            one(IDS, labels=IDS).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    assert torch.allclose(whole(model, IDS), whole(twin, IDS), atol=1e-6)
    assert_same(model)


def test_what_is_saved_afterwards_is_what_it_was(model: Any, tmp_path: Any) -> None:
    model.save_pretrained(tmp_path / "before")
    steps(model, IDS)
    model.save_pretrained(tmp_path / "after")
    before, after = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("before", "after"))
    assert before == after
    again = copy.deepcopy(model)
    assert torch.equal(whole(again, IDS), whole(model, IDS))
    with torch.no_grad():
        again.model.layers[0].self_attn.q_proj.weight.zero_()
    assert not torch.equal(whole(again, IDS), whole(model, IDS))


def test_a_hook_sees_every_step_and_its_answer_counts(model: Any) -> None:
    plain, calls = steps(model, IDS), []

    def double(module: Any, args: Any, out: torch.Tensor) -> torch.Tensor:
        calls.append(tuple(out.shape))
        return out * 2

    handle = model.model.layers[0].mlp.register_forward_hook(double)
    assert_same(model)
    assert not torch.allclose(steps(model, IDS), plain, atol=1e-4)
    assert (2, 1, 32) in calls
    handle.remove()
    assert torch.equal(steps(model, IDS), plain)


def test_dropout_that_somebody_switches_on_drops() -> None:
    torch.manual_seed(0)
    sizes = {"vocab_size": 50, "n_layer": 2, "n_embd": 32, "n_head": 4, "resid_pdrop": 0.5}
    gpt2 = formers.GPT2LMHeadModel(formers.GPT2Config(**sizes)).eval()
    plain = steps(gpt2, IDS)
    assert torch.equal(steps(gpt2, IDS), plain)
    for module in gpt2.modules():
        if isinstance(module, torch.nn.Dropout):
            module.train()
    assert not torch.allclose(steps(gpt2, IDS), plain, atol=1e-4)


def test_half_precision_takes_the_same_way(model: Any) -> None:
    half = model.to(torch.bfloat16)
    assert torch.allclose(steps(half, IDS).float(), whole(half, IDS).float(), atol=0.05)
