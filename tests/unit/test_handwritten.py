"""What models written by hand are made with: losses, masks that are added, states found while they run."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from transformers import modeling_attn_mask_utils as masks
from transformers.loss import loss_utils

import formers
from formers.nn import additive, named_losses

LEAST = torch.finfo(torch.float32).min


def test_losses_are_those_of_the_reference():
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 5, 7), torch.randint(0, 7, (2, 5))
    labels[0, :2] = -100
    config = SimpleNamespace(num_labels=7, problem_type=None)
    calls = {
        "ForCausalLM": ((logits, labels, 7), {"num_items_in_batch": 4}),
        "ForMaskedLM": ((logits, labels, 7), {}),
        "ForQuestionAnswering": ((logits[:, :, 0], logits[:, :, 1], labels[:, 3], labels[:, 4]), {}),
        "ForSequenceClassification": ((labels[:, 4], logits[:, 0], config), {}),
        "ForTokenClassification": ((logits, labels, config), {}),
    }
    for name, (args, options) in calls.items():
        ours = named_losses.LOSS_MAPPING[name](*args, **options)
        theirs = loss_utils.LOSS_MAPPING[name](*args, **options)
        torch.testing.assert_close(ours, theirs)


def test_a_loss_without_labels_is_refused():
    with pytest.raises(ValueError, match="needs labels"):
        formers.LOSS_MAPPING["ForCausalLM"](torch.zeros(1, 2, 3), None, 3)


@pytest.mark.parametrize("window", [None, 2])
@pytest.mark.parametrize("past", [0, 3])
def test_masks_that_are_added_are_those_of_the_reference(window, past):
    given = torch.ones(2, 4 + past, dtype=torch.long)
    given[0, :2] = 0
    states = torch.zeros(2, 4, 8)
    for mask in (None, given):
        ours = additive._prepare_4d_causal_attention_mask(mask, (2, 4), states, past, window)
        theirs = masks._prepare_4d_causal_attention_mask(mask, (2, 4), states, past, window)
        torch.testing.assert_close(ours, theirs)
    plain = additive._prepare_4d_attention_mask(given, torch.float32, 3)
    torch.testing.assert_close(plain, masks._prepare_4d_attention_mask(given, torch.float32, 3))


def test_a_single_query_without_a_window_needs_no_mask():
    converter = formers.AttentionMaskConverter(is_causal=True)
    assert converter.to_causal_4d(2, 1, 5, torch.float32) is None
    with pytest.raises(ValueError, match="needs key_value_length"):
        converter.to_4d(torch.ones(1, 2), 2, torch.float32)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        return self.linear(x), x.softmax(-1)


class Own(nn.Module):
    _can_record_outputs = {"hidden_states": Block, "attentions": formers.OutputRecorder(Block, index=1)}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(output_attentions=False)
        self.blocks = nn.ModuleList(Block() for _ in range(2))

    @formers.capture_outputs
    def forward(self, x, **options):
        for block in self.blocks:
            x, _ = block(x)
        return formers.modeling_outputs.BaseModelOutput(last_hidden_state=x.tanh())


def test_a_model_of_ones_own_shows_what_its_modules_return():
    model, x = Own(), torch.randn(1, 3, 4)
    assert set(model(x)) == {"last_hidden_state"}
    found = model(x, output_hidden_states=True, output_attentions=True)
    first = model.blocks[0](x)[0]
    torch.testing.assert_close(found.hidden_states, (x, first, found.last_hidden_state))
    assert len(found.attentions) == 2
    assert not any(block._forward_hooks for block in model.blocks)
    assert isinstance(model(x, return_dict=False), tuple)
