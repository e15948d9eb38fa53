"""Nests of tensors: mapped, joined and split; and the mode of a model put back as it was."""

from __future__ import annotations

from collections import namedtuple

import torch
from torch import nn

from formers.core.modes import evaluating
from formers.core.nested import mapped, padded_cat, row_count, split
from formers.core.outputs import TaskOutput

Pair = namedtuple("Pair", ["a", "b"])


def test_every_tensor_of_a_nest_is_mapped_and_the_rest_stays():
    one = torch.ones(2)
    nest = {
        "record": TaskOutput(logits=one, hidden_states=(one, one)),
        "list": [one, "text", None],
        "named": Pair(one, 3),
    }
    found = mapped(lambda tensor: tensor + 1, nest)
    assert isinstance(found["record"], TaskOutput)
    assert found["record"].logits.tolist() == found["record"].hidden_states[1].tolist() == [2, 2]
    assert found["record"].loss is None
    assert found["list"][0].tolist() == [2, 2]
    assert found["list"][1:] == ["text", None]
    assert found["named"] == Pair(found["named"].a, 3)


def test_rows_of_unequal_width_are_padded_on_either_side():
    rows = [torch.tensor([[1, 2, 3]]), torch.tensor([[4], [5]])]
    assert padded_cat(rows, 9).tolist() == [[1, 2, 3], [4, 9, 9], [5, 9, 9]]
    assert padded_cat(rows, 9, left=True).tolist() == [[1, 2, 3], [9, 9, 4], [9, 9, 5]]
    assert padded_cat([torch.zeros(1, 2, 3), torch.ones(1, 1, 3)]).shape == (2, 2, 3)
    assert padded_cat([torch.zeros(2), torch.zeros(1)]).shape == (3,)


def test_rows_go_back_to_their_items():
    batch = {"logits": torch.arange(6).view(3, 2), "scalar": torch.tensor(7), "names": ["a", "b"], "pi": 3.14}
    first, second = split(batch, [1, 2])
    assert first["logits"].tolist() == [[0, 1]]
    assert second["logits"].tolist() == [[2, 3], [4, 5]]
    assert (first["names"], second["names"]) == ("a", "b")
    assert second["scalar"] == 7
    assert second["pi"] == 3.14
    states = split((torch.zeros(3, 4), torch.ones(3, 4)), [1, 2])[1]
    assert [state.shape[0] for state in states] == [2, 2]


def test_rows_are_counted_by_the_first_tensor():
    assert row_count({"a": "text", "b": torch.zeros(3, 2)}) == 3
    assert row_count(torch.zeros(2)) == 2
    assert row_count({"a": torch.tensor(1)}) == row_count("text") == 1


def test_evaluation_leaves_what_was_frozen_and_what_was_chosen():
    model = nn.Sequential(nn.Dropout(), nn.Dropout())
    model[1].eval()
    with evaluating(model):
        assert not model.training
        assert not model[0].training
    assert model.training
    assert model[0].training
    assert not model[1].training
    model.eval()
    model[0].train()  # dropout at inference, on purpose
    with evaluating(model):
        assert model[0].training
    with evaluating(object()):
        pass
