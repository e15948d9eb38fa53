"""What a stack owns beside its layers, and layers that share weights, against plain loops."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import formers
from formers.nn.losses import binary

IDS = torch.tensor([[5, 6, 7, 8, 9], [5, 6, 7, 0, 0]])
MASK = (IDS != 0).long()
SIZES = {"vocab_size": 20, "hidden_size": 24, "num_attention_heads": 3, "intermediate_size": 20}


def close(one: Tensor, two: Tensor) -> None:
    torch.testing.assert_close(one, two, atol=1e-6, rtol=1e-5)


def test_groups_of_layers_run_in_their_order_behind_the_projection() -> None:
    shared = {"num_hidden_layers": 5, "num_hidden_groups": 2, "inner_group_num": 2, "embedding_size": 8}
    model = formers.AlbertModel(formers.AlbertConfig(**SIZES, **shared)).eval()
    assert len(model.encoder.albert_layer_groups) == 2
    with torch.no_grad():
        found = model(IDS, MASK, output_hidden_states=True)
        x = model.encoder.embedding_hidden_mapping_in(model.embeddings(IDS))
        close(found.hidden_states[0][MASK.bool()], x[MASK.bool()])
        for group in (0, 0, 0, 1, 1):
            for layer in model.encoder.albert_layer_groups[group].albert_layers:
                x = layer(x, MASK)
        close(found.last_hidden_state[MASK.bool()], x[MASK.bool()])
        by_hand = model.encoder(model.embeddings(IDS), attention_mask=MASK).last_hidden_state
    close(by_hand, x)
    assert len(found.hidden_states) == 11


def test_one_table_of_distances_moves_the_scores_of_every_layer() -> None:
    model = formers.MPNetModel(formers.MPNetConfig(**{**SIZES, "vocab_size": 40}, num_hidden_layers=2)).eval()
    table = model.encoder.relative_attention_bias
    with torch.no_grad():
        table.weight.zero_()
        table.weight[16 + 1] = 50.0  # the bucket of the next token
        weights = model(IDS[:1], output_attentions=True).attentions
    for each in weights:
        close(each[0, :, :-1].diagonal(offset=1, dim1=-2, dim2=-1), torch.ones(3, 4))


@pytest.mark.parametrize("padded", [False, True])
def test_gradients_of_that_table_do_not_depend_on_recomputing_layers(padded: bool) -> None:
    model = formers.MPNetModel(formers.MPNetConfig(**SIZES, num_hidden_layers=2, hidden_dropout_prob=0.0))
    model.encoder.relative_attention_bias.weight.data.normal_()
    model.train()
    for part in model.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    found = []
    for recomputed in (False, True):
        if recomputed:
            model.gradient_checkpointing_enable()
        model.zero_grad()
        model(IDS, MASK if padded else None).last_hidden_state.square().sum().backward()
        found.append(model.encoder.relative_attention_bias.weight.grad.clone())
    assert found[0].any()
    close(found[0], found[1])


def test_kinds_of_tasks_are_added_to_embeddings_or_refused() -> None:
    config = formers.ErnieConfig(**SIZES, num_hidden_layers=1, use_task_id=True)
    model = formers.ErnieModel(config).eval()
    tasks = torch.full_like(IDS, 2)
    with torch.no_grad():
        table = model.embeddings.task_type_embeddings.weight
        assert not torch.equal(model(IDS, MASK)[0], model(IDS, MASK, task_type_ids=tasks)[0])
        table[2] = table[0]
        close(model(IDS, MASK)[0], model(IDS, MASK, task_type_ids=tasks)[0])
    config.use_task_id = False
    with pytest.raises(TypeError, match="leave task_type_ids out"):
        formers.ErnieModel(config)(IDS, MASK, task_type_ids=tasks)


def test_binary_losses_leave_out_padding_and_places_without_a_label() -> None:
    logits, labels = torch.randn(2, 5), torch.tensor([[1, 0, 1, -100, 0], [0, 1, 1, 0, 1]])
    counts = MASK.bool() & (labels != -100)
    expected = F.binary_cross_entropy_with_logits(logits[counts], labels[counts].float())
    close(binary(logits, labels, MASK), expected)
    close(binary(logits, labels, MASK, items=14), expected * counts.sum() / 14)
