"""Layers narrower than their stack, stems of three tokens, and the table beside an output table."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import formers

SIZES = {
    "vocab_size": 50,
    "hidden_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 20,
    "embedding_size": 10,
    "intra_bottleneck_size": 8,
    "num_feedforward_networks": 2,
}


def small(ending: str = "Model", **values: Any) -> Any:
    torch.manual_seed(0)
    made = getattr(formers, f"MobileBert{ending}")(formers.MobileBertConfig(**{**SIZES, **values}))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return made.double().eval()


def slowly(made: Any, x: torch.Tensor) -> torch.Tensor:
    """One row [T, E] through the first layer, by the weights under their names."""
    w = dict(made.encoder.layer[0].state_dict())

    def linear(name: str, y: torch.Tensor) -> torch.Tensor:
        return y @ w[f"{name}.weight"].t() + w[f"{name}.bias"]

    def norm(name: str, y: torch.Tensor) -> torch.Tensor:
        return y * w[f"{name}.weight"] + w[f"{name}.bias"]

    narrow = norm("bottleneck.input.LayerNorm", linear("bottleneck.input.dense", x))
    shared = norm("bottleneck.attention.LayerNorm", linear("bottleneck.attention.dense", x))
    q, k = linear("attention.self.query", shared), linear("attention.self.key", shared)
    v = linear("attention.self.value", x)
    heads = []
    for part in (slice(0, 4), slice(4, 8)):
        weights = (q[:, part] @ k[:, part].t() / 2).softmax(-1)
        heads.append(weights @ v[:, part])
    y = linear("attention.output.dense", torch.cat(heads, 1)) + narrow
    y = norm("attention.output.LayerNorm", y)
    for start in ("ffn.0.", ""):
        inner = linear(f"{start}intermediate.dense", y).relu()
        y = norm(f"{start}output.LayerNorm", linear(f"{start}output.dense", inner) + y)
    return norm("output.bottleneck.LayerNorm", linear("output.bottleneck.dense", y) + x)


def test_a_narrow_layer_is_its_definition() -> None:
    made, ids = small(), torch.randint(1, 50, (2, 5))
    states = made(ids, output_hidden_states=True).hidden_states
    for row in range(2):
        torch.testing.assert_close(states[1][row], slowly(made, states[0][row]))


def test_every_token_enters_between_its_neighbours() -> None:
    made, ids = small(), torch.randint(1, 50, (1, 4))
    table, mapped = made.embeddings.word_embeddings.weight, made.embeddings.embedding_transformation
    none = torch.zeros(10, dtype=torch.float64)
    rows = [none, *table[ids[0]], none]
    three = torch.stack([torch.cat((rows[i + 1], rows[i], rows[i - 1])) for i in range(1, 5)])
    x = mapped(three) + made.embeddings.position_embeddings.weight[:4]
    x = x + made.embeddings.token_type_embeddings.weight[0]
    torch.testing.assert_close(made.embeddings(ids)[0], made.embeddings.LayerNorm(x))


def test_the_table_beside_the_output_table_grows_along() -> None:
    made, ids = small("ForMaskedLM"), torch.randint(1, 50, (2, 5))
    before = made(ids).logits
    made.resize_token_embeddings(53)
    assert made.cls.predictions.dense.weight.shape == (14, 53)
    torch.testing.assert_close(made(ids).logits[..., :50], before)


def test_wide_queries_of_narrow_projections_are_refused() -> None:
    with pytest.raises(ValueError, match="use_bottleneck_attention"):
        small(key_query_shared_bottleneck=False)
