"""Latent attention against its definition in float64, and the cache of what keys and values are read from."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import formers
from formers.nn import spec
from formers.nn.cache import DynamicCache, Latent, StaticCache
from formers.nn.masks import Causal
from formers.nn.mixers.latent import latent_steps
from formers.nn.positions import Rotary
from formers.nn.program import build
from formers.nn.tree import Block

WIDTH, HEADS, PLAIN, TURNED, VALUE, RANK = 12, 3, 4, 6, 5, 7
SPEC = spec.Latent(
    spec.Heads(HEADS, HEADS, PLAIN + TURNED),
    mask=Causal(),
    rotary=Rotary(TURNED, adjacent=True),
    rank=RANK,
    value=VALUE,
    query_rank=8,
)
NAMES = {
    role: f"attn.{role}" for role in ("q", "q_down", "q_norm", "q_up", "kv_down", "kv_norm", "kv_up", "o")
}


def rms(x: Tensor, weight: Tensor) -> Tensor:
    """As the norm computes it."""
    return x * torch.rsqrt(x.square().mean() + 1e-6) * weight


def turn(x: Tensor, position: int, adjacent: bool) -> Tensor:
    """Pair by pair."""
    out, half = x.clone(), TURNED // 2
    for i in range(half):
        angle = position * 10000.0 ** (-2 * i / TURNED)
        a, b = (2 * i, 2 * i + 1) if adjacent else (i, half + i)
        out[a] = x[a] * math.cos(angle) - x[b] * math.sin(angle)
        out[b] = x[b] * math.cos(angle) + x[a] * math.sin(angle)
    return out


def slowly(s: spec.Latent, w: dict[str, Tensor], x: Tensor) -> Tensor:
    """One sequence [T, E], head by head and token by token."""
    assert s.rotary is not None
    adjacent, rows = s.rotary.adjacent, []
    for t, token in enumerate(x):
        both = w["kv_down"] @ token
        up = (w["kv_up"] @ rms(both[:RANK], w["kv_norm"])).view(HEADS, PLAIN + VALUE)
        q = w["q"] @ token if s.query_rank is None else w["q_up"] @ rms(w["q_down"] @ token, w["q_norm"])
        rows.append((q.view(HEADS, -1), up, turn(both[RANK:], t, adjacent)))
    out = []
    for t, (q, _, _) in enumerate(rows):
        mixed = []
        for h in range(HEADS):
            turned = turn(q[h, PLAIN:], t, adjacent)
            scores = [q[h, :PLAIN] @ up[h, :PLAIN] + turned @ key for _, up, key in rows[: t + 1]]
            weights = (torch.stack(scores) / math.sqrt(PLAIN + TURNED)).softmax(0)
            mixed.append(sum(a * up[h, PLAIN:] for a, (_, up, _) in zip(weights, rows, strict=False)))
        out.append(w["o"] @ torch.cat(mixed))  # type: ignore[arg-type]
    return torch.stack(out)


@pytest.mark.parametrize("adjacent", [True, False])
@pytest.mark.parametrize("query_rank", [8, None])
def test_latent_attention_is_its_definition(adjacent: bool, query_rank: int | None) -> None:
    torch.manual_seed(0)
    s = replace(
        SPEC, rotary=Rotary(TURNED, adjacent=adjacent), query_rank=query_rank, bias=False, out_bias=False
    )
    owner = Block()
    build(owner, latent_steps(s, WIDTH), NAMES)
    made: Any = owner.attn
    made.double()
    weights = {name.removesuffix(".weight"): value for name, value in made.named_parameters()}
    x = torch.randn(2, 6, WIDTH, dtype=torch.float64)
    with torch.no_grad():
        for value in weights.values():
            value.copy_(torch.randn(value.shape))
        expected, found = torch.stack([slowly(s, weights, row) for row in x]), made(x)[0]
    # cosines are float32, and the norm computes in it
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"rank": 0}, "needs a rank"),
        ({"rotary": None}, "a rotary rule"),
        ({"rotary": Rotary(16)}, "whose last 16 features are turned"),
        ({"heads": spec.Heads(4, 2, 10)}, "4 heads have as many keys"),
    ],
)
def test_what_does_not_fit_is_refused(values: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        replace(SPEC, **values)


# -- within a model -----------------------------------------------------------------------------------


def small(**values: Any) -> Any:
    """A small DeepSeek-V3 whose latents are narrower than its heads."""
    torch.manual_seed(0)
    sizes = {
        "vocab_size": 50,
        "hidden_size": 32,
        "intermediate_size": 40,
        "moe_intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "n_routed_experts": 8,
        "n_group": 4,
        "topk_group": 2,
        "num_experts_per_tok": 2,
        "first_k_dense_replace": 1,
        "q_lora_rank": 12,
        "kv_lora_rank": 6,
        "qk_rope_head_dim": 4,
        "qk_nope_head_dim": 8,
        "v_head_dim": 10,
        "initializer_range": 0.3,
        "pad_token_id": 0,
    }
    return formers.DeepseekV3ForCausalLM(formers.DeepseekV3Config(**{**sizes, **values})).eval()


IDS = torch.randint(3, 50, (3, 9), generator=torch.Generator().manual_seed(1))
MASK = torch.tensor([[1] * 9, [1] * 6 + [0] * 3, [0] * 4 + [1] * 5])


def chunked(model: Any, past: Any, mask: Tensor | None = None, handed_on: Any = lambda past: past) -> Tensor:
    """Logits of steps of several widths."""
    steps, at = [], 0
    for width in (4, 1, 3, 1):
        seen = None if mask is None else mask[:, : at + width]
        out = model(IDS[:, at : at + width], attention_mask=seen, past_key_values=past, use_cache=True)
        past, at = handed_on(out.past_key_values), at + width
        steps.append(out.logits)
    return torch.cat(steps, dim=1)


@pytest.mark.parametrize("kind", ["made by the model", "by config", "static", "older tuples"])
def test_decoding_by_chunks_gives_what_one_pass_gives_whatever_the_cache(kind: str) -> None:
    model = small()
    past = {
        "by config": lambda: DynamicCache(config=model.config),
        "static": lambda: StaticCache(config=model.config, max_cache_len=9),
    }.get(kind, lambda: None)()
    older = (lambda past: past.to_legacy_cache()) if kind == "older tuples" else (lambda past: past)
    with torch.no_grad():
        whole = model(IDS, attention_mask=MASK, use_cache=False).logits
        found = chunked(model, past, MASK, older)
    real = MASK.bool()
    torch.testing.assert_close(found[real], whole[real], atol=1e-5, rtol=1e-5)


def test_the_cache_holds_latents_and_turned_keys_and_nothing_by_head() -> None:
    past = small()(IDS, use_cache=True).past_key_values
    assert [type(slot) for slot in past.slots] == [Latent] * 2
    for latents, turned in past:
        assert (latents.shape, turned.shape) == ((3, 1, 9, 6), (3, 1, 9, 4))


def test_rows_of_the_cache_can_be_chosen_and_its_end_forgotten() -> None:
    model = small()
    with torch.no_grad():
        past = model(IDS, use_cache=True).past_key_values
        past.crop(7)
        past.reorder_cache(torch.tensor([2, 0]))
        rows = IDS[[2, 0]]
        found = model(rows[:, 7:], past_key_values=past, use_cache=True).logits
        torch.testing.assert_close(found, model(rows).logits[:, 7:], atol=1e-5, rtol=1e-5)


def test_a_cache_that_holds_latents_is_no_cache_of_keys() -> None:
    past = small()(IDS, use_cache=True).past_key_values
    llama = formers.LlamaForCausalLM(
        formers.LlamaConfig(
            vocab_size=50,
            hidden_size=32,
            intermediate_size=40,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
        )
    )
    with pytest.raises(ValueError, match="holds a Latent slot for layer 0"):
        llama(IDS, past_key_values=past)
    mamba = formers.MambaForCausalLM(formers.MambaConfig(vocab_size=50, hidden_size=16, num_hidden_layers=2))
    state = mamba(IDS, use_cache=True).cache_params
    with pytest.raises(ValueError, match="keeps a latent one"):
        small()(IDS, past_key_values=state)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("backend", ["eager", "sdpa", "flex_attention"])
def test_packed_and_watched_passes_agree_on_every_backend(backend: str) -> None:
    model, real = small(), MASK.bool()
    with torch.no_grad():
        expected = model(IDS, attention_mask=MASK, use_cache=False).logits
        model.set_attn_implementation(backend)
        packed = model(IDS, attention_mask=MASK, use_cache=False).logits
        seen: list[Any] = []
        model.model.layers[0].self_attn.kv_b_proj.register_forward_hook(
            lambda _m, args, _o: seen.append(args[0].shape)
        )
        watched = model(IDS, attention_mask=MASK, use_cache=False).logits
    assert seen == [(3, 1, 9, 6)]
    for found in (packed, watched):
        torch.testing.assert_close(found[real], expected[real], atol=1e-5, rtol=1e-5)


def test_fresh_routers_and_experts_are_drawn_as_all_matrices_are() -> None:
    sparse = small(initializer_range=0.7, hidden_size=96, moe_intermediate_size=64).model.layers[1].mlp
    for leaf in (sparse.gate, sparse.experts[3].up_proj, sparse.shared_experts.down_proj):
        assert abs(leaf.weight.std().item() - 0.7) < 0.1


def test_the_bias_of_the_choice_is_no_parameter_and_stays_in_float32(tmp_path: Path) -> None:
    model = small()
    bias = model.model.layers[1].mlp.gate.e_score_correction_bias
    assert not bias.any()
    assert "model.layers.1.mlp.gate.e_score_correction_bias" not in dict(model.named_parameters())
    model.save_pretrained(tmp_path)
    loaded = formers.DeepseekV3ForCausalLM.from_pretrained(tmp_path, dtype=torch.bfloat16)
    made = formers.AutoModelForCausalLM.from_config(model.config, dtype=torch.bfloat16)
    for half in (loaded, made):
        router = half.model.layers[1].mlp.gate
        assert (router.weight.dtype, router.e_score_correction_bias.dtype) == (torch.bfloat16, torch.float32)
        with torch.no_grad():
            assert half(IDS, attention_mask=MASK).logits.dtype == torch.bfloat16


def test_an_exported_model_reads_what_it_was_not_exported_with() -> None:
    model, whole = small(), torch.ones_like(IDS)
    program = torch.export.export(model, (IDS,), {"use_cache": False, "attention_mask": whole}).module()
    other, seen = IDS.flip(0).contiguous(), MASK.flip(0).contiguous()
    with torch.no_grad():
        found = program(other, use_cache=False, attention_mask=seen).logits
        expected = model(other, use_cache=False, attention_mask=seen).logits
    torch.testing.assert_close(found[seen.bool()], expected[seen.bool()], atol=1e-5, rtol=1e-5)
