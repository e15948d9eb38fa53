"""Position tables are the reference's, for every rule, also past the trained length."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb
from transformers.models.t5.modeling_t5 import T5Attention

from formers.nn.positions import RULES, Buckets, Rotary, rotate

_LONG = [1.0 + i / 4 for i in range(8)]
PARAMETERS: dict[str, dict[str, Any]] = {
    "default": {"rope_type": "default", "rope_theta": 10000.0},
    "linear": {"rope_type": "linear", "rope_theta": 500.0, "factor": 3.0},
    "dynamic": {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0},
    "llama3": {
        "rope_type": "llama3",
        "rope_theta": 10000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
    },
    "yarn": {
        "rope_type": "yarn",
        "rope_theta": 10000.0,
        "factor": 8.0,
        "original_max_position_embeddings": 32,
    },
    "yarn with mscale": {
        "rope_type": "yarn",
        "rope_theta": 1000.0,
        "factor": 4.0,
        "original_max_position_embeddings": 32,
        "mscale": 1.2,
        "mscale_all_dim": 0.7,
        "beta_fast": 16,
        "beta_slow": 2,
    },
    "longrope": {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "short_factor": [1.0] * 8,
        "long_factor": _LONG,
        "original_max_position_embeddings": 32,
        "factor": 2.0,
    },
}


@pytest.mark.parametrize("length", [5, 64, 150], ids=["short", "trained", "beyond"])
@pytest.mark.parametrize("name", list(PARAMETERS))
def test_rotary_tables_are_the_references(name: str, length: int) -> None:
    config = transformers.LlamaConfig(
        hidden_size=32,
        num_attention_heads=2,
        max_position_embeddings=64,
        rope_parameters=dict(PARAMETERS[name]),
    )
    positions = torch.arange(length)
    x = torch.zeros(1, length, 16)
    cos, sin = LlamaRotaryEmbedding(config)(x, positions[None])
    rotary = Rotary.of(16, PARAMETERS[name], 64)
    mine = rotary.table(positions)
    torch.testing.assert_close(mine[0], cos[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(mine[1], sin[0], atol=1e-5, rtol=1e-5)


def test_every_rule_is_compared() -> None:
    assert {values["rope_type"] for values in PARAMETERS.values()} == set(RULES)
    assert set(ROPE_INIT_FUNCTIONS) <= set(RULES) | {"proportional"}


def test_turning_heads_is_the_references() -> None:
    torch.manual_seed(0)
    x = torch.randn(7, 3, 16)
    cos, sin = Rotary(16).table(torch.arange(7))
    expected, _ = apply_rotary_pos_emb(x[None].transpose(1, 2), x[None].transpose(1, 2), cos[None], sin[None])
    torch.testing.assert_close(rotate(x, cos, sin), expected[0].transpose(0, 1))


def test_features_past_the_rotated_width_pass_unchanged() -> None:
    x = torch.randn(5, 2, 12)
    turned = rotate(x, *Rotary(8).table(torch.arange(5)))
    assert torch.equal(turned[..., 8:], x[..., 8:])
    assert not torch.equal(turned[1:, :, :8], x[1:, :, :8])


@pytest.mark.parametrize("two_sided", [True, False])
@pytest.mark.parametrize(("count", "distance"), [(32, 128), (8, 20), (6, 9)])
def test_relative_buckets_are_the_references(count: int, distance: int, two_sided: bool) -> None:
    query, key = torch.arange(50), torch.arange(200)
    offsets = key[None, :] - query[:, None]
    expected = T5Attention._relative_position_bucket(offsets, two_sided, count, distance)
    assert torch.equal(Buckets(count, distance, two_sided).index(query, key), expected)


def test_an_unknown_rule_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'spiral'.*yarn"):
        Rotary.of(8, {"rope_type": "spiral"}, 10)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rope_type": "linear"}, "'linear' needs factor"),
        ({"rope_type": "llama3", "factor": 2.0}, "needs low_freq_factor and high_freq_factor"),
        ({"rope_type": "longrope", "short_factor": [1.0] * 4}, "needs long_factor"),
        (
            {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [1.0] * 3},
            "long_factor holds 3",
        ),
        ({"partial_rotary_factor": 0.0}, "a share of a head's features, not 0"),
        ({"partial_rotary_factor": 2.0}, "a share of a head's features, not 2"),
    ],
)
def test_numbers_that_are_missing_or_do_not_fit_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Rotary.of(8, given, 10)
