"""Chunks, norms after turning, and queries that grow warmer: against the definition, cached, padded."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import formers
from formers.nn import spec
from formers.nn.masks import CausalChunk
from formers.nn.mixers.attention import attention_steps
from formers.nn.positions import Rotary
from formers.nn.program import build
from formers.nn.tree import Block

WIDTH, HEADS, HEAD, SIZE, A, F = 12, 2, 4, 3, 0.7, 2.0
SPEC = spec.Attention(
    spec.Heads(HEADS, HEADS, HEAD),
    mask=CausalChunk(size=SIZE),
    bias=False,
    out_bias=False,
    rotary=Rotary.of(HEAD, {"rope_type": "yarn", "factor": 8.0}, 16),
    qk_norm=spec.Norm("rms", 1e-5, weight=False),
    qk_norm_last=True,
    warmth=(A, F),
)


def slowly(w: dict[str, Tensor], x: Tensor) -> Tensor:
    """One sequence [T, E], head by head and token by token."""
    assert SPEC.rotary is not None
    cos, sin = (t.double() for t in SPEC.rotary.table(torch.arange(len(x))))

    def ready(role: str, t: int, h: int) -> Tensor:
        one = (w[f"{role}.weight"] @ x[t]).view(HEADS, HEAD)[h]
        one = one * cos[t] + torch.cat((-one[HEAD // 2 :], one[: HEAD // 2])) * sin[t]
        return one / (one.square().mean() + 1e-5).sqrt()

    out = []
    for t in range(len(x)):
        mixed, seen = [], range(t // SIZE * SIZE, t + 1)
        for h in range(HEADS):
            q = ready("q", t, h) * (1 + A * math.log(1 + (t + 1) // F))
            weights = (torch.stack([q @ ready("k", j, h) for j in seen]) / math.sqrt(HEAD)).softmax(0)
            values = torch.stack([(w["v.weight"] @ x[j]).view(HEADS, HEAD)[h] for j in seen])
            mixed.append(weights @ values)
        out.append(w["o.weight"] @ torch.cat(mixed))
    return torch.stack(out)


def test_all_three_are_their_definition() -> None:
    torch.manual_seed(0)
    names = {role: f"attn.{role}" for role in ("q", "k", "v", "o")} | dict.fromkeys(
        ("q_norm", "k_norm"), "attn.qk_norm"
    )
    owner = Block()
    build(owner, attention_steps(SPEC, WIDTH), names)
    made: Any = owner.attn
    made.double()
    x = torch.randn(2, 8, WIDTH, dtype=torch.float64)
    with torch.no_grad():
        found = made(x)[0]
        expected = torch.stack([slowly(dict(made.named_parameters()), row) for row in x])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)  # norms and tables are float32


def small() -> Any:
    """A small Llama 4 of short chunks, whose third layer sees everything and has no positions."""
    torch.manual_seed(0)
    sizes = {"vocab_size": 50, "hidden_size": 32, "intermediate_size": 20, "num_hidden_layers": 3}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "num_local_experts": 4}
    kinds = {"attention_chunk_size": SIZE, "no_rope_layer_interval": 3, "floor_scale": 2, "attn_scale": A}
    config = formers.Llama4TextConfig(
        **sizes, **heads, **kinds, intermediate_size_mlp=20, initializer_range=0.3, pad_token_id=0
    )
    return formers.Llama4ForCausalLM(config).eval()


IDS = torch.randint(1, 50, (3, 9), generator=torch.Generator().manual_seed(1))
FILL = torch.zeros(3, 4, dtype=torch.long)
PADDED = {
    "left": torch.cat((FILL, IDS), 1),
    "right": torch.cat((IDS, FILL), 1),
    "between": torch.cat((IDS[:, :4], FILL, IDS[:, 4:]), 1),
}


@pytest.mark.parametrize("steps", [(1,) * 9, (4, 3, 2)], ids=["token by token", "by pieces"])
def test_a_cached_pass_gives_what_one_pass_gives(steps: tuple[int, ...]) -> None:
    model = small()
    with torch.no_grad():
        whole, past, found = model(IDS, use_cache=False).logits, None, []
        for piece in IDS.split(steps, 1):
            out = model(piece, past_key_values=past, use_cache=True)
            past = out.past_key_values
            found.append(out.logits)
    torch.testing.assert_close(torch.cat(found, 1), whole, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("side", PADDED)
@pytest.mark.parametrize("how", ["packed", "cached", "watched"])
def test_chunks_and_warmth_count_tokens_and_no_padding(side: str, how: str) -> None:
    model, ids = small(), PADDED[side]
    real = ids > 0
    with torch.no_grad():
        expected = model(IDS, use_cache=False).logits
        if how == "watched":
            model.model.layers[0].register_forward_hook(lambda *_: None)
        given = {"use_cache": how == "cached"}
        if side == "between":  # turns count columns, where nobody says otherwise
            given["position_ids"] = (real.long().cumsum(1) - 1).clamp(min=0)
        found = model(ids, attention_mask=real.long(), **given).logits
    torch.testing.assert_close(found[real].view_as(expected), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("field", [{"router_jitter_noise": 0.1}, {"attention_chunk_size": None}])
def test_what_no_llama_4_has_is_refused(field: dict[str, Any]) -> None:
    with pytest.raises(
        ValueError, match=next(iter(field)) if "router_jitter_noise" in field else "layer_types"
    ):
        formers.Llama4TextModel(formers.Llama4TextConfig(num_hidden_layers=2, hidden_size=16, **field))
