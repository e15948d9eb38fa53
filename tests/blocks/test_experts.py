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
from formers.nn.attend import eager
from formers.nn.layout import Layout
from formers.nn.losses import balance, balance_by_row, steady
from formers.nn.mixers import experts, feedforward
from formers.nn.mixers.experts import choose, experts_steps
from formers.nn.passing import Geometry, Pass, Visibility
from formers.nn.program import Flow, alone, build, compute
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
    "softmax of the chosen, a biased router": replace(PLAIN, scores="softmax of chosen", router_bias=True),
    "euclidean weights": replace(PLAIN, order=2.0),
    "weighed inputs": replace(PLAIN, scores="sigmoid", normalised=False, weighs="inputs"),
    "in turn": replace(PLAIN, chosen=2, scores="in turn", tolerance=0.4),
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
    made.double().eval()
    with torch.no_grad():
        for value in (*made.parameters(), *made.buffers()):
            value.copy_(torch.randn(value.shape))
    return made


def turns_slowly(logits: list[float], tolerance: float) -> dict[int, float]:
    """The best, then the best of the others, each weighed among those that are about as good."""
    found: dict[int, float] = {}
    for _ in range(2):
        left = [i for i in range(len(logits)) if i not in found]
        best = max(left, key=lambda i: logits[i])
        top = logits[best]
        good = [i for i in left if (top - logits[i]) / max(abs(logits[i]), top) <= 2 * tolerance]
        found[best] = math.exp(top) / sum(math.exp(logits[i]) for i in good)
    return found


def chosen_slowly(s: spec.Experts, logits: list[float], correction: list[float]) -> dict[int, float]:
    """Number -> weight of the experts of one token."""
    if s.scores == "in turn":
        return turns_slowly(logits, s.tolerance)
    if s.scores == "softmax of chosen":
        best = sorted(range(s.count), key=lambda i: -logits[i])[: s.chosen]
        total = sum(math.exp(logits[i]) for i in best)
        return {i: math.exp(logits[i]) / total for i in best}
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
    total = sum(scores[i] ** s.order for i in best) ** (1 / s.order) if s.normalised else 1.0
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
        logits = made.gate.weight @ x[place] + (made.gate.bias if s.router_bias else 0.0)
        weights = chosen_slowly(s, logits.tolist(), correction)
        for i, weight in weights.items():
            if s.weighs == "inputs":
                out[place] += read(made.experts[i], weight * x[place])
            else:
                out[place] += weight * read(made.experts[i], x[place])
        if s.shared is not None:
            same = read(made.shared, x[place])
            out[place] += same * (made.share.weight @ x[place]).sigmoid() if s.weighed else same
    return out


def stacked(s: spec.Experts, made: Any) -> Any:
    """The same mixture, whose experts lie in tensors together."""
    names = {
        "mixture": "moe",
        "router": "moe.gate",
        **{f"expert_{role}": f"moe.all.{role}" for role in ROLES},
    }
    names |= {f"expert_{role}_bias": f"moe.all.{role}_bias" for role in ROLES}
    owner = Block()
    build(owner, experts_steps(s, WIDTH), names)
    other: Any = owner.moe
    other.double().eval()
    with torch.no_grad():
        other.gate.weight.copy_(made.gate.weight)
        for role in ("gate", "up", "down"):
            each = torch.stack([getattr(one, role).weight for one in made.experts])  # [experts, out, in]
            flat = each.flatten(0, 1) if role != "down" else each.transpose(1, 2).flatten(0, 1)
            value = {"columns": each.transpose(1, 2), "flat": flat}.get(s.stacked, each)
            if role == "down" or not s.each.fused:
                getattr(other.all, role).copy_(value)
                continue
            axis = -1 if s.stacked == "columns" else 1
            at = ["gate", "up"].index(role)
            both = other.all.gate_up.movedim(axis, 1)
            half = both[:, at::2] if s.each.alternating else both.chunk(2, 1)[at]
            half.copy_(value.movedim(axis, 1))
        for bias in (p for name, p in other.named_parameters() if name.endswith("bias")):
            bias.zero_()
    return other


ROLES = ("gate", "up", "down", "gate_up")
FUSED = replace(ONE, fused=True)
STACKED = {
    "rows": replace(PLAIN, stacked="rows"),
    "columns": replace(PLAIN, stacked="columns"),
    "flat": replace(PLAIN, stacked="flat"),
    "rows, gate beside up": replace(PLAIN, stacked="rows", each=FUSED),
    "columns, gate and up by turns, biases": replace(
        PLAIN, stacked="columns", each=replace(FUSED, alternating=True, bias=True)
    ),
}


@pytest.mark.parametrize("s", STACKED.values(), ids=list(STACKED))
@pytest.mark.parametrize("tracked", [False, True], ids=["no gradients", "gradients"])
@pytest.mark.parametrize("recorded", [False, True], ids=["routed", "recorded"])
def test_experts_that_lie_in_one_tensor_read_as_those_that_stand_by_themselves(
    s: spec.Experts, tracked: bool, recorded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experts, "recording", lambda: recorded)
    made = mixture(PLAIN)
    x = torch.randn(1, 9, WIDTH, dtype=torch.float64)
    expected = made(x).detach()
    with torch.set_grad_enabled(tracked):
        found = stacked(s, made)(x)
    torch.testing.assert_close(found.detach(), expected, atol=1e-12, rtol=1e-12)


def room_kept(logits: Tensor, real: Tensor, room: int) -> Tensor:
    """Which tokens [B, T] are among the first `room` of their row that choose their expert."""
    kept = torch.zeros_like(real)
    for b, row in enumerate(logits.argmax(-1).tolist()):
        held: dict[int, int] = {}
        for t, expert in enumerate(row):
            if real[b, t]:
                held[expert] = held.get(expert, 0) + 1
                kept[b, t] = held[expert] <= room
    return kept


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("how", ["packed", "watched", "gradients", "recorded"])
def test_a_full_expert_leaves_later_tokens_of_a_sequence_as_they_are(
    how: str, side: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experts, "recording", lambda: how == "recorded")
    s = replace(PLAIN, chosen=1, normalised=False, capacity=2, wide=True, router_bias=True)
    made = mixture(s).float()
    x, real = torch.randn(3, 9, WIDTH), torch.ones(3, 9, dtype=torch.bool)
    for row, width in enumerate((0, 2, 4)):
        real[row, slice(0, width) if side == "left" else slice(9 - width, 9)] = False
    logits = x @ made.gate.weight.T + made.gate.bias
    kept = room_kept(logits, real, 2)
    assert (real & ~kept).any()
    free = mixture(replace(s, capacity=None)).float()
    free.load_state_dict(made.state_dict())
    with torch.no_grad():
        expected = free(x) * kept[..., None]
    watched = how == "watched"
    layout = Layout.dense(3, 9) if watched else Layout.of(real)
    place = torch.arange(9)[None] if watched else layout.pack(torch.arange(9).expand(3, 9))
    pass_ = Pass(Geometry(layout, place), Visibility(real if watched else None), eager, watched=watched)
    flow = Flow(x if watched else layout.pack(x), pass_)
    with torch.set_grad_enabled(how == "gradients"):
        compute(made, flow)
    found = flow.x if watched else layout.unpack(flow.x)
    torch.testing.assert_close(found[real].detach(), expected[real], atol=1e-5, rtol=1e-5)


def test_costs_of_routers_are_their_definitions() -> None:
    logits = [torch.randn(2, 5, 4, dtype=torch.float64) for _ in range(2)]
    real = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    places = [(one, b, t) for one in logits for b in range(2) for t in range(5) if real[b, t]]
    squares = [math.log(sum(map(math.exp, one[b, t].tolist()))) ** 2 for one, b, t in places]
    assert float(steady(logits, real)) == pytest.approx(sum(squares) / len(squares), rel=1e-5)
    each = []
    for b in range(2):
        rows = torch.stack([one[b, t] for one in logits for t in range(5) if real[b, t]])
        used = [sum(int(row.argmax()) == e for row in rows) / len(rows) for e in range(4)]
        each.append(sum(u * float(p) for u, p in zip(used, rows.softmax(-1).mean(0), strict=True)) * 4)
    assert float(balance_by_row(logits, 1, real)) == pytest.approx(sum(each) / 2, rel=1e-5)


def test_a_clamped_gate_is_its_definition() -> None:
    s = replace(ONE, fused=True, alternating=True, clamp=(0.5, 1.3))
    both = torch.randn(4, 10, dtype=torch.float64)
    gate, up = feedforward.halves(s, both)
    found = feedforward.clamped(gate, up, 0.5, 1.3)
    for row in range(4):
        for i in range(5):
            g, u = min(both[row, 2 * i].item(), 0.5), max(-0.5, min(both[row, 2 * i + 1].item(), 0.5))
            assert math.isclose(found[row, i].item(), (u + 1) * g / (1 + math.exp(-1.3 * g)), rel_tol=1e-9)


@pytest.mark.parametrize("budget", [1, 40, 1 << 18], ids=["one by one", "some", "together"])
def test_experts_that_nobody_watches_read_in_runs(budget: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experts, "_BLOCK", budget)
    s = STACKED["columns, gate and up by turns, biases"]
    made, x = stacked(s, mixture(PLAIN)), torch.randn(11, WIDTH, dtype=torch.float64)
    flow = alone(x)
    flow.pass_.watched = False
    with torch.no_grad():
        expected = made(x[None])[0]
        compute(made, flow)
    torch.testing.assert_close(flow.x, expected, atol=1e-12, rtol=1e-12)


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


def test_experts_that_are_drawn_in_training_are_the_references_under_one_seed(tmp_path: Path) -> None:
    shape = next(iter(SHAPES["phimoe"]))
    theirs = write_checkpoint("phimoe", shape, "PhimoeForCausalLM", tmp_path)
    told = {"input_jitter_noise": 0.2, "router_jitter_noise": 0.5}
    ours = formers.PhimoeForCausalLM.from_pretrained(tmp_path, **told)
    for layer in theirs.model.layers:
        layer.mlp.input_jitter_noise = layer.mlp.router.input_jitter_noise = 0.2
        layer.mlp.router.router_jitter_noise = 0.5
    ids = batch("PhimoeForCausalLM", 0)["input_ids"]
    found = []
    for model in (theirs.train(), ours.train()):
        torch.manual_seed(3)
        found.append(model(ids).logits)
        found[-1].square().sum().backward()
    torch.testing.assert_close(found[1], found[0], atol=1e-5, rtol=1e-5)
    for one, other in zip(theirs.model.layers, ours.model.layers, strict=True):
        mine = other.block_sparse_moe.gate.weight.grad
        torch.testing.assert_close(mine, one.mlp.router.weight.grad, atol=1e-5, rtol=1e-4)
    with torch.no_grad():
        assert (found[1] - ours.eval()(ids).logits).abs().max() > 1e-3
