"""Prompts that the `peft` package learns around an attention, of this library and of transformers."""

from __future__ import annotations

from typing import Any

import peft
import pytest
import torch
import transformers

import formers

IDS = torch.tensor([[3, 4, 5, 6], [7, 0, 8, 9]])
MASK = torch.tensor([[1, 1, 1, 1], [1, 0, 1, 1]])
SIZES = {"vocab_size": 19, "hidden_size": 16, "num_attention_heads": 4, "num_hidden_layers": 2}
KINDS = {
    "llama": {**SIZES, "num_key_value_heads": 2, "intermediate_size": 12, "eos_token_id": None},
    "gpt2": {"vocab_size": 19, "n_embd": 16, "n_head": 4, "n_layer": 2, "eos_token_id": None},
}


def adapted(kind: str, config: peft.PeftConfig) -> list[Any]:
    """The real package around both libraries' models, which hold the same weights."""
    made: list[Any] = []
    plain: dict[str, torch.Tensor] = {}
    for library in (transformers, formers):
        torch.manual_seed(0)
        asked = library.AutoConfig.for_model(kind, **KINDS[kind])
        model = library.AutoModelForCausalLM.from_config(asked)
        plain = plain or {name: value.clone() for name, value in model.state_dict().items()}
        model.load_state_dict(plain)
        made.append(peft.get_peft_model(model, config).eval())
    ours = dict(made[1].named_parameters())
    with torch.no_grad():
        for name, weight in made[0].named_parameters():
            if weight.requires_grad:
                ours[name].copy_(weight.normal_())
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_what_wraps_an_attention_by_hand_finds_what_it_reads(kind: str) -> None:
    config = peft.AdaptionPromptConfig(adapter_len=3, adapter_layers=2, task_type="CAUSAL_LM")
    with torch.no_grad():
        theirs, ours = (model(input_ids=IDS, attention_mask=MASK).logits for model in adapted(kind, config))
    torch.testing.assert_close(ours, theirs)
