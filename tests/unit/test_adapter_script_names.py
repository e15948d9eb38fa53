"""What scripts take from the ecosystem's adapters beside methods and models."""

from __future__ import annotations

import peft
import pytest
import torch
from peft.utils.other import get_pattern_key

import formers
from formers.adapters import kinds_by_name, script_names

SHAPE = {"vocab_size": 20, "n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 16}


def _adapted():
    torch.manual_seed(0)
    config = formers.LoraConfig(target_modules=["c_attn", "wte"], r=2, task_type="CAUSAL_LM")
    return formers.get_peft_model(formers.GPT2LMHeadModel(formers.GPT2Config(**SHAPE)), config)


def test_each_method_is_found_by_its_type():
    for kind in formers.PeftType:
        config = script_names.PEFT_TYPE_TO_CONFIG_MAPPING[kind]
        assert config.__name__ == peft.PEFT_TYPE_TO_CONFIG_MAPPING[peft.PeftType[kind.value]].__name__
        assert issubclass(script_names.PEFT_TYPE_TO_TUNER_MAPPING[kind], script_names.BaseTuner)


def test_b_learns_faster_than_a():
    model = _adapted()
    made = script_names.create_loraplus_optimizer(
        model, torch.optim.AdamW, lr=1e-3, loraplus_lr_ratio=16, eps=1e-6
    )
    rates = {id(p): group["lr"] for group in made.param_groups for p in group["params"]}
    learnt = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert len(rates) == len(learnt) == 4
    for name, parameter in learnt.items():
        usual = 1e-3 * (16 if "lora_B" in name else 1)
        assert rates[id(parameter)] == pytest.approx(1e-6 if "embedding" in name else usual)
    with pytest.raises(ValueError, match="1 or more"):
        script_names.create_loraplus_optimizer(model, torch.optim.AdamW, lr=1e-3, loraplus_lr_ratio=0.5)


def test_parts_of_a_tree_are_found_and_read():
    model = _adapted()
    path = "base_model.model.transformer.h.0.attn.c_attn"
    owner, leaf, name = script_names._get_submodules(model, path)
    assert isinstance(leaf, script_names.Linear)
    assert getattr(owner, name) is leaf
    assert torch.equal(script_names.dequantize_module_weight(leaf), leaf.get_base_layer().weight)
    assert script_names.check_target_module_exists(model.peft_config["default"], "h.0.attn.c_attn")
    assert not script_names.check_target_module_exists(model.peft_config["default"], "h.0.attn.c_proj")


def test_an_adapter_in_narrow_floats_is_made_wider():
    model = _adapted().to(torch.bfloat16)
    script_names.cast_adapter_dtype(model, "default", autocast_adapter_dtype=False)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    script_names.cast_adapter_dtype(model, "default")
    assert {p.dtype for name, p in model.named_parameters() if "lora_" in name} == {torch.float32}


@pytest.mark.parametrize("path", ["layers.1.q_proj", "layers.11.q_proj", "v_proj"])
def test_patterns_of_paths_are_those_of_the_ecosystem(path):
    patterns = [r"layers\.1\.q_proj", "v_.*"]
    assert script_names.get_pattern_key(patterns, path) == get_pattern_key(patterns, path)


def test_kinds_of_leaves_and_helpers_by_their_names():
    model = _adapted()
    leaf = model.get_submodule("base_model.model.transformer.h.0.attn.c_attn")
    assert isinstance(leaf, script_names.Linear)
    assert not isinstance(leaf, (kinds_by_name.Linear4bit, kinds_by_name.Linear8bitLt))
    with pytest.raises(TypeError, match="BitsAndBytesConfig"):
        kinds_by_name.Linear4bit(leaf.get_base_layer(), "default")
    assert kinds_by_name.factorization(128, factor=-1) == (8, 16)
    config = formers.LoraConfig(target_modules="all-linear")
    found = kinds_by_name._maybe_include_all_linear_layers(
        config, formers.GPT2LMHeadModel(formers.GPT2Config(**SHAPE))
    )
    assert "lm_head" not in found.target_modules
    leaf.lora_A.double()
    leaf.lora_B.double()
    x = torch.zeros(1, 1, 8)
    assert leaf(x).dtype == torch.float32
    helpers = kinds_by_name.onload_layer(leaf), kinds_by_name.disable_input_dtype_casting(model)
    with helpers[0], helpers[1], pytest.raises(RuntimeError, match="dtype"):
        leaf(x)
    assert leaf.cast_input_dtype_enabled
