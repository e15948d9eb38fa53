"""Mixing along time and channels against its definition written out in float64, and what it is made of."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

import formers
from formers.nn.mixers.time_mixing import weighed
from tests.blocks.recurrences import hold_to_padding, hold_to_padding_and_cache, seen_inside, stirred

SMALL = {"vocab_size": 40, "hidden_size": 12, "num_hidden_layers": 3, "rescale_every": 2}


def small(kind: str = "Model", **values: Any) -> Any:
    torch.manual_seed(0)
    return stirred(getattr(formers, f"Rwkv{kind}")(formers.RwkvConfig(**{**SMALL, **values})))


def before(x: Tensor) -> Tensor:
    """[t, E]: zeros, then all but the last."""
    return torch.cat((torch.zeros_like(x[:1]), x[:-1]))


def weights_of(part: Any) -> dict[str, Tensor]:
    return {name: value.detach().double().squeeze() for name, value in part.state_dict().items()}


def mean(w: dict[str, Tensor], k: Tensor, v: Tensor, t: int) -> Tensor:
    """Of the values up to t, by keys and age: [A]."""
    logs = [k[s] - (t - 1 - s) * w["time_decay"].exp() for s in range(t)] + [w["time_first"] + k[t]]
    return (torch.stack(logs).softmax(0) * v[: t + 1]).sum(0)


def slowly(mixer: Any, x: Tensor) -> Tensor:
    """One token at a time, [t, E] -> [t, E]."""
    w, x = weights_of(mixer), x.double()
    mixed = {
        name: x * w[f"time_mix_{name}"] + before(x) * (1 - w[f"time_mix_{name}"])
        for name in ("key", "value", "receptance")
    }
    k, v, r = (mixed[name] @ w[f"{name}.weight"].T for name in ("key", "value", "receptance"))
    out = torch.stack([mean(w, k, v, t) for t in range(len(x))])
    return (r.sigmoid() * out) @ w["output.weight"].T


def slowly_channels(mixer: Any, x: Tensor) -> Tensor:
    """[t, E] -> [t, E]."""
    w, x = weights_of(mixer), x.double()
    k, r = (
        x * w[f"time_mix_{name}"] + before(x) * (1 - w[f"time_mix_{name}"]) for name in ("key", "receptance")
    )
    return (r @ w["receptance.weight"].T).sigmoid() * (
        (k @ w["key.weight"].T).relu() ** 2 @ w["value.weight"].T
    )


@pytest.mark.parametrize("wide", [12, 18])
@pytest.mark.parametrize("length", [1, 2, 9, 23])
def test_both_are_their_definitions(length: int, wide: int) -> None:
    block = small(attention_hidden_size=wide).blocks[0]
    x = torch.randn(length, 12)
    with torch.no_grad():
        pairs = (
            (block.attention(x[None])[0], slowly(block.attention, x)),
            (block.feed_forward(x[None])[0], slowly_channels(block.feed_forward, x)),
        )
    for found, expected in pairs:
        torch.testing.assert_close(found.double(), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("spread", [1.0, 300.0])
def test_keys_of_any_size_are_weighed_in_float32(spread: float) -> None:
    torch.manual_seed(0)
    k, v = torch.randn(1, 40, 5) * spread, torch.randn(1, 40, 5)
    w = {"time_decay": torch.tensor([-9.0, -3.0, 0.0, 1.0, 3.0]), "time_first": torch.randn(5)}
    found, _ = weighed(k, v, w["time_decay"], w["time_first"], None, None)
    w = {name: value.double() for name, value in w.items()}
    expected = torch.stack([mean(w, k[0].double(), v[0].double(), t) for t in range(40)])
    torch.testing.assert_close(found[0].double(), expected, atol=1e-5 * spread**0.5, rtol=1e-5)


def test_gradients_of_a_long_row_are_those_of_the_definition() -> None:
    torch.manual_seed(0)
    made = [torch.randn(1, 20, 3), torch.randn(1, 20, 3), torch.randn(3), torch.randn(3)]
    ours = [t.clone().requires_grad_() for t in made]
    theirs = [t.double().requires_grad_() for t in made]
    found, _ = weighed(*ours, None, None)
    k, v, decay, bonus = theirs
    w = {"time_decay": decay, "time_first": bonus}
    expected = torch.stack([mean(w, k[0], v[0], t) for t in range(20)])
    weights = torch.randn(20, 3)
    gradients = torch.autograd.grad((found[0] * weights).sum(), ours)
    wanted = torch.autograd.grad((expected * weights).sum(), theirs)
    for one, other in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(one.double(), other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("sided", ["left", "right"])
def test_padding_enters_nothing_and_a_state_changes_nothing(sided: str) -> None:
    hold_to_padding_and_cache(small(), sided, 12, 5, (2, 6, 4))


def test_a_row_is_what_it_is_alone_wherever_its_padding_stands() -> None:
    hold_to_padding(small("ForCausalLM"))


def test_padding_between_tokens_is_as_if_it_were_not_there() -> None:
    model = small()
    ids, mask = torch.randint(3, 40, (2, 12)), torch.ones(2, 12, dtype=torch.long)
    mask[0, 3:7] = mask[0, 9] = 0
    real = mask[0].bool()
    with torch.no_grad():
        alone = model(ids[:1, real]).last_hidden_state[0]
        for use_cache in (False, True):
            found = model(ids, attention_mask=mask, use_cache=use_cache).last_hidden_state[0, real]
            torch.testing.assert_close(found, alone, atol=1e-5, rtol=1e-5)


def test_a_state_is_the_references_and_goes_on_from_there() -> None:
    ours = small("ForCausalLM")
    theirs = transformers.RwkvForCausalLM(transformers.RwkvConfig(**SMALL)).eval()
    theirs.load_state_dict(ours.state_dict())
    ids = torch.randint(3, 40, (2, 9))
    with torch.no_grad():
        expected, found = (model(ids[:, :6], use_cache=True) for model in (theirs, ours))
        assert len(found.state) == 5
        for one, other in zip(expected.state, found.state, strict=True):
            torch.testing.assert_close(other, one, atol=1e-5, rtol=1e-5)
        last = theirs(ids).logits[:, 6:]
        for state in (list(found.state), [t.clone() for t in expected.state], found.state):
            rest = ours(ids[:, 6:], state=state, use_cache=False)
            torch.testing.assert_close(rest.logits, last, atol=1e-5, rtol=1e-5)
            assert rest.state is not None  # what goes on has a state, asked for or not
        assert ours(ids, use_cache=False).get("state") is None


@pytest.mark.parametrize("given", [[torch.zeros(2, 12, 3)] * 4, torch.zeros(5, 2, 12, 3)])
def test_what_is_no_state_is_refused(given: Any) -> None:
    with pytest.raises(TypeError, match="or 5 tensors"):
        small()(torch.randint(3, 40, (2, 3)), state=given)


def test_in_evaluation_sums_are_halved_and_weights_stay() -> None:
    model, plain = small(), small(rescale_every=0)
    ids = torch.randint(3, 40, (2, 7))
    with torch.no_grad():
        found, whole = (one(ids, output_hidden_states=True).hidden_states for one in (model, plain))
        for state, other, factor in zip(found, whole, (1, 2, 2, 1), strict=True):
            torch.testing.assert_close(state * factor, other, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(model.train()(ids)[0], plain.train()(ids)[0], atol=1e-6, rtol=1e-6)


def test_asked_for_attentions_a_layer_shows_what_its_time_mixing_returned() -> None:
    ours = small()
    theirs = transformers.RwkvModel(transformers.RwkvConfig(**SMALL)).eval()
    theirs.load_state_dict(ours.state_dict())
    ids = torch.randint(3, 40, (2, 7))
    with torch.no_grad():
        expected, found = (model(ids, output_attentions=True).attentions for model in (theirs, ours))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_whoever_looks_inside_sees_every_module_and_changes_nothing() -> None:
    model = small()
    names = {name for name, _ in model.blocks[0].named_modules()}
    assert {"pre_ln", "attention.time_shift", "feed_forward.time_shift"} <= names
    assert seen_inside(model, model.blocks[0]) == names


def test_a_fresh_model_begins_as_its_paper_says() -> None:
    torch.manual_seed(0)
    model = formers.RwkvModel(formers.RwkvConfig(**{**SMALL, "num_hidden_layers": 4}))
    part, i, share = model.blocks[1].attention, torch.arange(12), 1 / 3
    torch.testing.assert_close(part.time_decay, -5 + 8 * (i / 11) ** (0.7 + 1.3 * share))
    torch.testing.assert_close(part.time_first, 0.5 * ((i + 1) % 3 - 1) + math.log(0.3))
    torch.testing.assert_close(part.time_mix_key[0, 0], (i / 12) ** 0.75)
    torch.testing.assert_close(part.time_mix_value[0, 0], (i / 12) ** 0.75 + 0.3 * share)
    torch.testing.assert_close(part.time_mix_receptance[0, 0], (i / 12) ** 0.375)
    channels = model.blocks[1].feed_forward
    assert torch.equal(channels.time_mix_key, part.time_mix_key)
    assert torch.equal(channels.time_mix_receptance, part.time_mix_key)
    assert isinstance(part.time_shift, nn.ZeroPad2d)
    assert model.embeddings.weight.std() < 2e-4
