"""Models under torch.compile: one graph serves all lengths, and says what the model says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from formers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM

_SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}


class Counter:
    """A backend that counts graphs, and runs them as they were recorded."""

    def __init__(self) -> None:
        self.graphs = 0

    def __call__(self, graph: torch.fx.GraphModule, example: list[Any]) -> Callable[..., Any]:
        self.graphs += 1
        return graph.forward


def _padded(length: int) -> dict[str, torch.Tensor]:
    ids = torch.arange(2 * length).view(2, length) % 50 + 3
    real = torch.ones_like(ids)
    real[1, length // 2 :] = 0
    return {"input_ids": ids, "attention_mask": real}


def _two_in_a_row(length: int) -> dict[str, torch.Tensor]:
    first = length // 2
    positions = torch.cat((torch.arange(first), torch.arange(length - first)))[None]
    return {"input_ids": torch.arange(length)[None] % 50 + 3, "position_ids": positions}


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        (lambda: BertModel(BertConfig(vocab_size=60, **_SIZES)), _padded),
        (lambda: LlamaForCausalLM(LlamaConfig(vocab_size=60, **_SIZES)), _two_in_a_row),
    ],
    ids=["an encoder with padding", "a decoder with two examples in a row"],
)
def test_one_graph_serves_all_lengths(model, inputs):
    torch.manual_seed(0)
    made, counter = model().eval(), Counter()
    compiled = torch.compile(made, backend=counter, dynamic=True, fullgraph=True)
    with torch.no_grad():
        for length in (7, 8, 11, 64, 65):
            given = inputs(length)
            seen = given.get("attention_mask", torch.ones_like(given["input_ids"])).bool()
            found, expected = compiled(**given)[0], made(**given)[0]
            torch.testing.assert_close(found[seen], expected[seen], atol=1e-5, rtol=1e-5)
    assert counter.graphs == 1
