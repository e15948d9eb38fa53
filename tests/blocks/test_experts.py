"""Mixtures of experts against the definition written out token by token in float64, in both forms."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

import formers
from formers.nn import spec
from formers.nn.losses import balance
from formers.nn.mixers import experts
from formers.nn.mixers.experts import choose, experts_steps
from formers.nn.program import build
from formers.nn.tree import Block
from tests.parity.shapes import SHAPES, batch, write_checkpoint

WIDTH, COUNT = 6, 8
ONE = spec.FeedForward(5, "silu", gated=True, bias=False)
PLAIN = spec.Experts(COUNT, 3, ONE)
FORMS = {
    "softmax, normalised": PLAIN,
    "softmax as it is, scaled": replace(PLAIN, normalised=False, scale=2.5),
    "two of four groups by their best": replace(PLAIN, groups=4, kept_groups=2),
    "sigmoid, groups by their two best, corrected": replace(
        PLAIN, scores="sigmoid", groups=4, kept_groups=2, group_best=2, corrected=True, wide=True
    ),
    "one expert": replace(PLAIN, chosen=1),
    "all experts": replace(PLAIN, chosen=COUNT),
    "a shared one": replace(PLAIN, shared=replace(ONE, inner=7)),
    "a shared one with a weight": replace(PLAIN, shared=replace(ONE, inner=7), weighed=True, flat=True),
}
NAMES = {
    "mixture": "moe",
    "router": "moe.gate",
    "router_bias": "moe.gate.correction",
    "share": "moe.share",
    **{f"expert_{role}": f"moe.experts.{{i}}.{role}" for role in ("gate", "up", "down")},
    **{f"shared_{role}": f"moe.shared.{role}" for role in ("gate", "up", "down")},
}
each_form = pytest.mark.parametrize("s", FORMS.values(), ids=list(FORMS))


def mixture(s: spec.Experts) -> Any:
    """A mixture whose leaves have values, in float64."""
    torch.manual_seed(0)
    owner = Block()
    build(owner, experts_steps(s, WIDTH), NAMES)
    made: Any = owner.moe
    made.double()
    with torch.no_grad():
        for value in (*made.parameters(), *made.buffers()):
            value.copy_(torch.randn(value.shape))
    return made


def chosen_slowly(s: spec.Experts, logits: list[float], correction: list[float]) -> dict[int, float]:
    """Number -> weight of the experts of one token."""
    if s.scores == "softmax":
        total = sum(map(math.exp, logits))
        scores = [math.exp(x) / total for x in logits]
    else:
        scores = [1 / (1 + math.exp(-x)) for x in logits]
    merit = [a + b for a, b in zip(scores, correction, strict=True)]
    size = s.count // s.groups
    members = [range(g * size, (g + 1) * size) for g in range(s.groups)]
    judged = [sum(sorted((merit[i] for i in group), reverse=True)[: s.group_best]) for group in members]
    kept = sorted(range(s.groups), key=lambda g: -judged[g])[: s.kept_groups]
    best = sorted((i for g in kept for i in members[g]), key=lambda i: -merit[i])[: s.chosen]
    total = sum(scores[i] for i in best) if s.normalised else 1.0
    return {i: scores[i] / total * s.scale for i in best}


def read(expert: Any, x: Tensor) -> Tensor:
    """One gated feed-forward."""
    inner: Tensor = nn.functional.silu(expert.gate.weight @ x) * (expert.up.weight @ x)
    return expert.down.weight @ inner  # type: ignore[no-any-return]


def slowly(s: spec.Experts, made: Any, x: Tensor) -> Tensor:
    """Token by token."""
    out = torch.zeros_like(x)
    correction = made.gate.correction.tolist() if s.corrected else [0.0] * s.count
    for place in range(len(x)):
        weights = chosen_slowly(s, (made.gate.weight @ x[place]).tolist(), correction)
        for i, weight in weights.items():
            out[place] += weight * read(made.experts[i], x[place])
        if s.shared is not None:
            same = read(made.shared, x[place])
            out[place] += same * (made.share.weight @ x[place]).sigmoid() if s.weighed else same
    return out


@each_form
@pytest.mark.parametrize("recorded", [False, True], ids=["routed", "recorded"])
def test_a_mixture_is_its_definition(
    s: spec.Experts, recorded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experts, "recording", lambda: recorded)
    made = mixture(s)
    x = torch.randn(2, 7, WIDTH, dtype=torch.float64)
    with torch.no_grad():
        expected, found = slowly(s, made, x.flatten(0, 1)).view_as(x), made(x)
    close = 1e-5 if s.wide else 1e-12  # a wide router computes in float32
    torch.testing.assert_close(found, expected, atol=close, rtol=close)


def test_both_forms_have_the_same_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    s = FORMS["a shared one with a weight"]
    found = []
    for recorded in (False, True):
        monkeypatch.setattr(experts, "recording", lambda recorded=recorded: recorded)
        made, x = mixture(s), torch.linspace(-2, 2, 5 * WIDTH, dtype=torch.float64).view(1, 5, WIDTH)
        made(x.requires_grad_()).square().sum().backward()
        found.append({"x": x.grad, **{name: p.grad for name, p in made.named_parameters()}})
    for name, one in found[0].items():
        other = found[1][name]
        torch.testing.assert_close(torch.zeros_like(other) if one is None else one, other, msg=name)


def test_no_token_at_all_gives_nothing() -> None:
    assert mixture(PLAIN)(torch.zeros(1, 0, WIDTH, dtype=torch.float64)).shape == (1, 0, WIDTH)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"groups": 3}, "8 experts do not make 3 equal groups"),
        ({"groups": 4, "kept_groups": 5}, "of which 5 are kept"),
        ({"groups": 8, "kept_groups": 4, "group_best": 2}, "by their best 2"),
        ({"groups": 4, "kept_groups": 1}, "3 experts cannot be chosen from the 2"),
    ],
)
def test_a_choice_that_cannot_be_made_is_refused(values: dict[str, int], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        replace(PLAIN, **values)


def test_a_mixture_without_a_number_of_experts_for_each_token_is_refused() -> None:
    with pytest.raises(spec.SpecError, match="how many experts read a token"):
        experts_steps(replace(PLAIN, chosen=0), WIDTH)


def test_weights_are_float32_whatever_the_logits_are() -> None:
    weights, chosen = choose(PLAIN, torch.randn(4, COUNT, dtype=torch.bfloat16))
    assert (weights.dtype, chosen.dtype) == (torch.float32, torch.int64)


def test_evenly_used_experts_cost_one_and_padding_nothing() -> None:
    even = torch.eye(4) * 5
    assert math.isclose(balance([even], 1).item(), 1.0, abs_tol=1e-6)
    uneven = torch.cat((even, torch.tensor([[9.0, 0, 0, 0]] * 3)))
    assert balance([uneven], 1) > 1.1
    real = torch.tensor([1, 1, 1, 1, 0, 0, 0])
    torch.testing.assert_close(balance([uneven, uneven], 1, real), balance([even], 1))


# -- within a model -----------------------------------------------------------------------------------


def pair(folder: Path, **values: Any) -> tuple[Any, Any]:
    """The reference's Mixtral and ours, from one checkpoint."""
    theirs = write_checkpoint("mixtral", next(iter(SHAPES["mixtral"])), "MixtralForCausalLM", folder)
    ours = formers.MixtralForCausalLM.from_pretrained(folder, **values)
    return theirs, ours


def test_a_pass_that_somebody_watches_gives_what_a_packed_one_gives(tmp_path: Path) -> None:
    _, model = pair(tmp_path)
    inputs = batch("MixtralForCausalLM", 0)
    real, seen = inputs["attention_mask"].bool(), []
    with torch.no_grad():
        packed = model(**inputs, use_cache=False, output_router_logits=True)
        part = model.model.layers[0].block_sparse_moe.experts
        handles = [
            expert.register_forward_hook(lambda _m, args, _o: seen.append(len(args[0]))) for expert in part
        ]
        watched = model(**inputs, use_cache=False, output_router_logits=True)
        for handle in handles:
            handle.remove()
    assert sum(seen) == 2 * real.numel()  # every place, by the two experts that it chose
    torch.testing.assert_close(packed.logits[real], watched.logits[real], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(packed.aux_loss, watched.aux_loss)
    for one, other in zip(packed.router_logits, watched.router_logits, strict=True):
        assert one.shape == other.shape == (real.numel(), 4)
        torch.testing.assert_close(one[real.flatten()], other[real.flatten()], atol=1e-5, rtol=1e-5)


def test_an_expert_that_was_replaced_is_the_one_that_reads(tmp_path: Path) -> None:
    _, model = pair(tmp_path)
    inputs = batch("MixtralForCausalLM", 0)

    class Nothing(nn.Module):
        row_wise = True

        def forward(self, x: Tensor) -> Tensor:
            return torch.zeros_like(x)

    with torch.no_grad():
        before = model(**inputs).logits
        for layer in model.model.layers:
            held = layer.block_sparse_moe.experts
            for i in range(len(held)):
                held.add_module(str(i), Nothing())
        after = model(**inputs).logits
        for layer in model.model.layers:
            layer.block_sparse_moe.register_forward_hook(lambda _m, _a, out: torch.zeros_like(out))
        torch.testing.assert_close(after, model(**inputs).logits)
    assert (before - after).abs().max() > 1e-3


def test_jitter_in_training_is_the_references(tmp_path: Path) -> None:
    theirs, ours = pair(tmp_path, router_jitter_noise=0.4)
    for layer in theirs.model.layers:
        layer.mlp.jitter_noise = 0.4
    ids = batch("MixtralForCausalLM", 0)["input_ids"]
    found = []
    for model in (theirs.train(), ours.train()):
        torch.manual_seed(3)
        found.append(model(ids).logits)
    torch.testing.assert_close(found[1], found[0], atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        still = ours.eval()(ids).logits
        torch.testing.assert_close(still, theirs.eval()(ids).logits, atol=1e-5, rtol=1e-5)
    assert (found[1] - still).abs().max() > 1e-3


@pytest.mark.parametrize("sided", ["left", "right"])
def test_the_cost_of_routing_joins_the_loss_as_in_the_reference(sided: str, tmp_path: Path) -> None:
    theirs, ours = pair(tmp_path, router_aux_loss_coef=0.5)
    theirs.router_aux_loss_coef = 0.5
    inputs = batch("MixtralForCausalLM", 0, sided=sided)
    labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)
    for more in (inputs, {"input_ids": inputs["input_ids"]}):
        given = {**more, "labels": labels, "output_router_logits": True}
        expected, found = theirs(**given), ours(**given)
        assert list(found.keys())[:3] == list(expected.keys())[:3] == ["loss", "aux_loss", "logits"]
        torch.testing.assert_close(found.aux_loss, expected.aux_loss, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(found.loss, expected.loss, atol=1e-5, rtol=1e-5)
        for model, output in ((theirs, expected), (ours, found)):
            model.zero_grad()
            output.loss.backward()
        for one, other in zip(theirs.model.layers, ours.model.layers, strict=True):
            mine = other.block_sparse_moe.gate.weight.grad
            torch.testing.assert_close(mine, one.mlp.gate.weight.grad, atol=1e-5, rtol=1e-5)


def test_an_exported_mixture_routes_what_it_was_not_exported_with(tmp_path: Path) -> None:
    _, model = pair(tmp_path)
    one, other = (batch("MixtralForCausalLM", 0, seed=seed)["input_ids"] for seed in (1, 2))
    program = torch.export.export(model, (one,), {"use_cache": False}).module()
    with torch.no_grad():
        for ids in (one, other):
            expected = model(ids, use_cache=False).logits
            torch.testing.assert_close(program(ids, use_cache=False).logits, expected, atol=1e-5, rtol=1e-5)


def test_a_compiled_mixture_routes_what_it_was_not_compiled_with() -> None:
    made = mixture(PLAIN)
    compiled = torch.compile(made, backend="eager")
    with torch.no_grad():
        for x in torch.randn(2, 1, 6, WIDTH, dtype=torch.float64):
            torch.testing.assert_close(compiled(x), made(x))


def test_gradients_of_every_example_by_themselves_add_up(tmp_path: Path) -> None:
    _, model = pair(tmp_path)
    ids = batch("MixtralForCausalLM", 0)["input_ids"]
    params = {name: p.detach() for name, p in model.named_parameters()}

    def cost(p: Any, row: Tensor) -> Tensor:
        out = functional_call(model, p, (row,), {"use_cache": False})
        return out.logits.square().mean(dim=(1, 2)).sum()

    each = vmap(grad(cost), in_dims=(None, 0))(params, ids[:, None])
    model(ids, use_cache=False).logits.square().mean(dim=(1, 2)).sum().backward()
    for name, p in model.named_parameters():
        torch.testing.assert_close(each[name].sum(0), p.grad, atol=1e-5, rtol=1e-4, msg=name)
