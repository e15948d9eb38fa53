"""Configs of the `peft` package itself, given to models of this library."""

from __future__ import annotations

import peft
import pytest
import torch

import formers

SHAPE = {"vocab_size": 19, "hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1}


def model():
    torch.manual_seed(0)
    return formers.LlamaForCausalLM(formers.LlamaConfig(**SHAPE, intermediate_size=12))


@pytest.mark.parametrize(
    "config",
    [
        peft.LoraConfig(r=2, lora_alpha=6, use_rslora=True, target_modules=["q_proj", "v_proj"]),
        peft.IA3Config(target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"]),
    ],
    ids=["lora", "ia3"],
)
def test_an_adapter_of_a_real_config_computes_what_the_real_package_does(config):
    torch.manual_seed(1)
    real = peft.get_peft_model(model(), config)
    with torch.no_grad():
        for name, weight in real.named_parameters():
            if "lora_" in name or "ia3_" in name:
                weight.normal_()
    weights = peft.get_peft_model_state_dict(real)
    ours = model()
    ours.add_adapter(config)
    found = formers.set_peft_model_state_dict(ours, weights)
    assert not found.unexpected_keys
    ids = torch.arange(6)[None]
    torch.testing.assert_close(ours.eval()(ids).logits, real.eval()(ids).logits)
    again = model()
    again.load_adapter(peft_config=config, adapter_state_dict=weights)
    torch.testing.assert_close(again.eval()(ids).logits, real(ids).logits)


def test_what_a_real_config_asks_for_and_is_not_here_is_refused():
    asks = peft.LoraConfig(target_modules=["q_proj"], use_qalora=True)
    with pytest.raises(ValueError, match="use_qalora"):
        model().add_adapter(asks)
    with pytest.raises(TypeError, match="instance of PeftConfig"):
        model().add_adapter("lora")
