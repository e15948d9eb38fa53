"""Examples laid end to end in one row are computed apart, and cost what they cost alone."""

import pytest
import torch

import formers
from formers.nn.layout import Layout
from formers.training import DataCollatorWithFlattening, DataCollatorWithPadding
from tests.unit.training_toys import PadOnly

SIZES = {
    "vocab_size": 30,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}
KINDS = {
    "gpt2": (
        formers.GPT2LMHeadModel,
        formers.GPT2Config,
        {"attn_pdrop": 0, "resid_pdrop": 0, "embd_pdrop": 0},
    ),
    "llama": (formers.LlamaForCausalLM, formers.LlamaConfig, {}),
    "mistral": (
        formers.MistralForCausalLM,
        formers.MistralConfig,
        {"sliding_window": 3, "num_key_value_heads": 1},
    ),
}


def made(kind):
    model, config, options = KINDS[kind]
    torch.manual_seed(0)
    return model(config(**SIZES, **options, use_cache=False)).train()


def texts():
    torch.manual_seed(1)
    return [{"input_ids": torch.randint(1, 30, (length,)).tolist()} for length in (5, 9, 3, 9, 1)]


@pytest.mark.parametrize("told", [{}, {"return_flash_attn_kwargs": True, "return_seq_idx": True}])
@pytest.mark.parametrize("kind", KINDS)
def test_a_flattened_batch_has_the_loss_and_the_gradients_of_the_padded_one(kind, told):
    losses, gradients = [], []
    padded = DataCollatorWithPadding(PadOnly())(texts())
    padded["labels"] = padded["input_ids"].masked_fill(padded["attention_mask"] == 0, -100)
    for batch in (padded, DataCollatorWithFlattening(**told)(texts())):
        model = made(kind)
        loss = model(**batch).loss
        loss.backward()
        losses.append(loss.detach())
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-5)


def test_no_example_sees_another_and_no_mask_over_the_row_is_made(monkeypatch):
    monkeypatch.setattr("formers.nn.masks.Segments.allowed", None)  # it would cost the square of the row
    model, batch = made("llama"), DataCollatorWithFlattening()(texts())
    together = model(**batch).logits[0]
    alone = [model(input_ids=torch.tensor([row["input_ids"]])).logits[0] for row in texts()]
    torch.testing.assert_close(together, torch.cat(alone))


def test_rows_that_hold_several_sequences_are_laid_out_by_their_lengths():
    starts = torch.tensor([[1, 0, 0, 1, 0], [1, 1, 0, 0, 0]]).bool()
    layout = Layout.of_starts(starts)
    assert [(span.count, span.length) for span in layout.spans] == [(1, 1), (1, 2), (1, 3), (1, 4)]
    assert layout.index.tolist() == [5, 3, 4, 0, 1, 2, 6, 7, 8, 9]
    assert layout.order.tolist() == [1, 0, 0, 1]
    kept = torch.arange(10).view(2, 5)
    assert torch.equal(layout.unpack(layout.pack(kept)), kept)


def test_borders_that_nothing_would_read_are_refused():
    borders = DataCollatorWithFlattening(return_flash_attn_kwargs=True)(texts())
    labels = borders.pop("labels")
    with pytest.raises(TypeError, match="one example in a row"):
        formers.BertForMaskedLM(formers.BertConfig(**SIZES))(**borders, labels=labels)
    del borders["position_ids"]
    with pytest.raises(TypeError, match="return_position_ids=True"):
        made("llama")(**borders)
