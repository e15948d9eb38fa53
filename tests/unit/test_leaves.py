"""Nodes of the module tree that hold weights and do not compute."""

from __future__ import annotations

import pytest
import torch

from formers import BertConfig, BertModel
from formers.nn.leaves import Block

SIZES = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


@pytest.mark.parametrize("name", ["embeddings", "pooler", "encoder", "encoder.layer.0.attention"])
def test_calling_a_node_that_only_holds_weights_says_what_to_call(name):
    node = BertModel(BertConfig(vocab_size=20, **SIZES)).get_submodule(name)
    inputs = torch.ones(1, 3, dtype=torch.long)
    for call in (lambda: node(inputs), lambda: node(input_ids=inputs)):
        with pytest.raises(NotImplementedError, match=r"only holds weights.*output_hidden_states=True"):
            call()


def test_a_block_without_a_computation_of_its_own_refuses_too():
    with pytest.raises(NotImplementedError, match="this Block cannot be called: it only holds weights"):
        Block()(torch.ones(1))
