"""What packages call on models beside computing: masks, halves, losses, checkpointing."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import formers

SIZES = {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 16}


def bert():
    return formers.BertModel(formers.BertConfig(vocab_size=12, **SIZES)).eval()


def test_masks_are_added_to_scores():
    """0 where a key counts and else the least number, as up to release 4 of the ecosystem."""
    model, mask = bert(), torch.tensor([[1, 1, 0], [1, 0, 0]])
    least = torch.finfo(torch.float32).min
    expected = torch.tensor([[0.0, 0.0, least], [0.0, least, least]])[:, None, None]  # [B, 1, 1, S]
    assert torch.equal(model.get_extended_attention_mask(mask, (2, 3)), expected)
    assert torch.equal(model.invert_attention_mask(mask), expected)
    whole = model.get_extended_attention_mask(mask[:, None].expand(2, 3, 3), (2, 3))
    assert torch.equal(whole, expected.expand(2, 1, 3, 3))
    assert model.invert_attention_mask(mask, torch.float16).dtype == torch.float16
    model.config.is_decoder = True
    causal = model.get_extended_attention_mask(mask, (2, 3)) == 0
    assert causal[0, 0].tolist() == [[True, False, False], [True, True, False], [True, True, False]]
    with pytest.raises(ValueError, match=r"\[B, S\]"):
        model.get_extended_attention_mask(mask[0], (3,))


@pytest.mark.parametrize("shape", [(2,), (2, 2)])
def test_masks_of_heads_have_an_axis_for_everything_else(shape):
    ours = bert()
    found = ours.get_head_mask(torch.ones(shape), 2)
    assert found.shape == (2, 1, 2, 1, 1)
    assert ours.get_head_mask(torch.ones(shape), 2, is_attention_chunked=True).dim() == 6
    assert ours.get_head_mask(None, 2) == [None, None]


def test_halves_of_a_pair_are_exchanged():
    config = {"vocab_size": 12, "d_model": 8, "d_kv": 4, "d_ff": 16, "num_layers": 1, "num_heads": 2}
    one, other = (formers.T5ForConditionalGeneration(formers.T5Config(**config)).eval() for _ in range(2))
    given = {"input_ids": torch.tensor([[3, 4]]), "decoder_input_ids": torch.tensor([[0, 5]])}
    for name in ("encoder", "decoder"):
        getattr(one, f"set_{name}")(getattr(other, f"get_{name}")())
    one.shared = other.shared
    one.lm_head = other.lm_head
    torch.testing.assert_close(one(**given).logits, other(**given).logits)
    model = bert()
    with pytest.raises(TypeError, match="one stack"):
        model.set_decoder(nn.Identity())
    assert (model.vocab_size, model.is_parallelizable, model.dummy_inputs["input_ids"].shape) == (
        12,
        False,
        (3, 5),
    )
    with pytest.raises(NotImplementedError, match="max_position_embeddings"):
        model.resize_position_embeddings(4)


def test_values_that_a_subclass_sets_are_its_own():
    class Scored(formers.BertPreTrainedModel):
        def __init__(self, config):
            super().__init__(config)
            self.vocab_size = 7
            self.dummy_inputs = None
            self.loss_function = nn.CrossEntropyLoss()
            self.post_init()

    model = Scored(formers.BertConfig(vocab_size=12, **SIZES))
    assert (model.vocab_size, model.dummy_inputs, model.config.vocab_size) == (7, None, 12)
    assert isinstance(model.loss_function, nn.CrossEntropyLoss)


LABELS = {
    "ForMaskedLM": torch.tensor([[1, 2, -100]]),
    "ForSequenceClassification": torch.tensor([1]),
    "ForTokenClassification": torch.tensor([[1, 0, 1]]),
}


@pytest.mark.parametrize("ending", LABELS)
def test_the_loss_is_the_named_one_or_the_callers(ending):
    model = getattr(formers, f"Bert{ending}")(formers.BertConfig(vocab_size=12, **SIZES)).eval()
    assert model.loss_function is formers.LOSS_MAPPING[ending]
    given = {"input_ids": torch.tensor([[3, 4, 5]]), "labels": LABELS[ending]}
    expected, called = model(**given).loss, []

    def own(*args, **keywords):
        called.append(keywords)
        return 2 * formers.LOSS_MAPPING[ending](*args, **keywords)

    model.loss_function = own
    torch.testing.assert_close(model(**given).loss, 2 * expected)
    assert called
    assert model(given["input_ids"]).loss is None


def test_models_written_by_hand_choose_how_layers_are_recomputed():
    class Layer(nn.Module):
        gradient_checkpointing = False

        def __init__(self):
            super().__init__()
            self.dense = nn.Linear(8, 8)

    class Own(formers.PreTrainedModel):
        config_class = formers.BertConfig

        def __init__(self, config):
            super().__init__(config)
            self.layer = Layer()

    class Older(Own):
        def _set_gradient_checkpointing(self, module, value=False):
            if isinstance(module, Layer):
                module.older = value

    model, older = (kind(formers.BertConfig(vocab_size=12, **SIZES)) for kind in (Own, Older))
    for one in (model, older):
        one.gradient_checkpointing_enable()
    assert model.layer.gradient_checkpointing
    x = torch.ones(1, 8, requires_grad=True)
    assert model.layer._gradient_checkpointing_func(model.layer.dense, x).grad_fn is not None
    assert older.layer.older
    older.gradient_checkpointing_disable()
    assert not older.layer.older
