"""Attribution methods of a library that knows PyTorch modules alone: captum on embeddings and on a layer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from captum.attr import LayerConductance, LayerIntegratedGradients
from torch import Tensor

from tests.unit.test_inside import IDS, MASK, model

BASELINE = torch.where((IDS > 3) & (MASK == 1), 1, IDS)  # every word of a text by one that says nothing


PARTS = [
    ("bert", "bert.embeddings"),
    ("bert", "bert.encoder.layer.1"),
    ("bert", "bert.encoder.layer.1.attention.output"),
    ("roberta", "roberta.embeddings"),
    ("llama", "model.layers.0"),
]
TABLES = [("bert", "bert.embeddings.word_embeddings"), ("gpt2", "transformer.wte")]


@pytest.mark.parametrize(
    ("method", "kind", "path"),
    [(LayerIntegratedGradients, *part) for part in (*PARTS, *TABLES)]
    + [(LayerConductance, *part) for part in PARTS],
)
def test_attributions_add_up_to_the_difference_of_the_outputs(method: Any, kind: str, path: str) -> None:
    made = model(kind=kind, pad_token_id=0, initializer_range=0.1)
    name, inputs, baselines = "input_ids", IDS, BASELINE
    if method is LayerConductance:  # its path runs through vectors, not through ids
        table = made.get_input_embeddings()
        name, inputs, baselines = "inputs_embeds", table(IDS).detach(), table(BASELINE).detach()

    def scores(given: Tensor, mask: Tensor) -> Tensor:
        found: Tensor = made(**{name: given}, attention_mask=mask).logits[:, 1]
        return found

    found, delta = method(scores, made.get_submodule(path)).attribute(
        inputs,
        baselines=baselines,
        additional_forward_args=(MASK,),
        n_steps=100,
        return_convergence_delta=True,
    )
    found = found[0] if isinstance(found, tuple) else found
    assert found.shape == (2, 5, 32)
    with torch.no_grad():
        difference = scores(inputs, MASK) - scores(baselines, MASK)
    assert difference.abs().max() > 0.01
    torch.testing.assert_close(found.sum((1, 2)), difference, atol=0.02, rtol=0.05)
    torch.testing.assert_close(delta, torch.zeros_like(delta), atol=0.05, rtol=0)
