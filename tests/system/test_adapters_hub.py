"""Adapters that are sent to the Hub, and come back."""

import pytest
import torch

import formers


def llama():
    torch.manual_seed(0)
    config = formers.LlamaConfig(
        vocab_size=30, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24
    )
    return formers.LlamaForCausalLM(config).eval()


@pytest.mark.parametrize("straight", [False, True])
def test_an_adapter_is_pushed_alone_and_loads_again(hub, straight):
    config, ids = formers.LoraConfig(r=2, init_lora_weights=False), torch.arange(3, 9)[None]
    model = llama()
    if straight:
        model.add_adapter(config)
    else:
        model = formers.get_peft_model(model, config).eval()
    model.push_to_hub("somebody/adapter", token="hf_reader")
    files = set(hub.repos["models", "somebody/adapter"].files()) - {".gitattributes"}
    assert files == {"README.md", "adapter_config.json", "adapter_model.safetensors"}
    again = formers.PeftModel.from_pretrained(llama(), "somebody/adapter", token="hf_reader")
    torch.testing.assert_close(again(ids).logits, model(ids).logits)
