"""Another adapter in the place of one that is loaded: results as if loaded, nothing compiled anew."""

from __future__ import annotations

from contextlib import nullcontext

import peft
import pytest
import torch
from peft.utils import hotswap as theirs

import formers
from formers.adapters import hotswap as ours
from formers.core.notices import Notice

SHAPE = {"vocab_size": 20, "n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 16}
IDS = torch.tensor([[3, 4, 5, 6]])
FIRST = {"r": 2, "lora_alpha": 4, "target_modules": ["c_attn", "c_fc", "wte"]}
# what the second adapter has of its own
OTHERS = {
    "same rank": {"r": 2},
    "lower rank": {"r": 1, "lora_alpha": 3},
    "higher rank": {"r": 4},
    "fewer leaves": {"r": 2, "target_modules": ["c_attn"]},
    "patterns": {"rank_pattern": {"c_fc": 3}, "alpha_pattern": {"c_fc": 9}},
}


def base():
    torch.manual_seed(0)
    return formers.GPT2LMHeadModel(formers.GPT2Config(**SHAPE)).eval()


def saved(folder, seed=1, **how):
    """An adapter that changes results, in a folder."""
    config = formers.LoraConfig(**{**FIRST, **how}, task_type="CAUSAL_LM", init_lora_weights=False)
    model = base()
    torch.manual_seed(seed)
    formers.get_peft_model(model, config).save_pretrained(folder)
    return folder


def logits(model):
    with torch.no_grad():
        return model(IDS).logits


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("prepared", [False, True])
def test_a_swapped_adapter_computes_as_one_that_is_loaded(tmp_path, other, prepared):
    first, second = saved(tmp_path / "a"), saved(tmp_path / "b", 2, **OTHERS[other])
    expected = logits(formers.PeftModel.from_pretrained(base(), second))
    model = formers.PeftModel.from_pretrained(base(), first)
    before = logits(model)
    if prepared:
        ours.prepare_model_for_compiled_hotswap(model, target_rank=8)
        torch.testing.assert_close(logits(model), before, rtol=0, atol=1e-6)
    grows = not prepared and other in ("higher rank", "patterns")  # where a compiled model is compiled again
    with pytest.warns(Notice, match="above the one in the model") if grows else nullcontext():
        ours.hotswap_adapter(model, second, adapter_name="default")
    torch.testing.assert_close(logits(model), expected, rtol=0, atol=1e-6)
    assert not torch.allclose(expected, before)
    model.save_pretrained(tmp_path / "c")
    again = formers.PeftModel.from_pretrained(base(), tmp_path / "c")
    torch.testing.assert_close(logits(again), expected, rtol=0, atol=1e-6)


def test_nothing_is_compiled_again(tmp_path):
    model = formers.PeftModel.from_pretrained(base(), saved(tmp_path / "a"))
    ours.prepare_model_for_compiled_hotswap(model, target_rank=4)
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(model, backend=backend)
    logits(compiled)
    count = len(graphs)
    for seed, (rank, alpha) in enumerate([(4, 8), (1, 5)]):
        other = saved(tmp_path / str(seed), 3 + seed, r=rank, lora_alpha=alpha)
        ours.hotswap_adapter(compiled, other, adapter_name="default")
        expected = logits(formers.PeftModel.from_pretrained(base(), other))
        torch.testing.assert_close(logits(compiled), expected, rtol=0, atol=1e-6)
    assert (count > 0, len(graphs)) == (True, count)
    with pytest.raises(ValueError, match="before"):
        ours.prepare_model_for_compiled_hotswap(compiled, target_rank=4)


def test_swaps_by_names_of_weights_are_those_of_the_ecosystem(tmp_path):
    """The same weights by name, in both packages around one model."""
    made, sizes = {}, {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    shape = formers.LlamaConfig(vocab_size=20, intermediate_size=16, **sizes)
    for package, swap in ((formers, ours), (peft, theirs)):
        config = package.LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj"], task_type="CAUSAL_LM")
        torch.manual_seed(0)
        model = package.get_peft_model(formers.LlamaForCausalLM(shape), config).eval()
        swap.prepare_model_for_compiled_hotswap(model, target_rank=6)
        torch.manual_seed(4)
        start = "base_model.model.model.layers.0.self_attn.q_proj.lora_"
        state = {
            f"{start}A.default.weight": torch.randn(2, 8),
            f"{start}B.default.weight": torch.randn(8, 2),
        }
        new = package.LoraConfig(r=2, lora_alpha=6, target_modules=["q_proj"], task_type="CAUSAL_LM")
        swap.hotswap_adapter_from_state_dict(model, state, "default", new)
        made[package.__name__] = logits(model)
    torch.testing.assert_close(made["formers"], made["peft"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("change", [{"use_rslora": True}, {"lora_dropout": 0.5}, {"use_dora": True}])
def test_adapters_that_compute_otherwise_are_refused_by_both(change):
    for package, swap in ((formers, ours), (peft, theirs)):
        pair = package.LoraConfig(**FIRST), package.LoraConfig(**{**FIRST, **change})
        with pytest.raises(ValueError, match=f"for {next(iter(change))}"):
            swap.check_hotswap_configs_compatible(*pair)


def test_a_model_without_a_wrapper_swaps_adapters_under_one_name(tmp_path):
    model = base()
    model.enable_peft_hotswap(target_rank=4)
    for rank in (2, 4, 1):
        folder = saved(tmp_path / str(rank), rank, r=rank)
        model.load_adapter(folder, "style")
        expected = logits(formers.PeftModel.from_pretrained(base(), folder))
        torch.testing.assert_close(logits(model), expected, rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="existing adapter"):
        model.load_adapter(folder, "other", hotswap=True)
    with pytest.raises(ValueError, match="already exists"):
        model.load_adapter(folder, "style", hotswap=False)
    with pytest.raises(RuntimeError, match="before loading"):
        model.enable_peft_hotswap()


def test_what_does_not_fit_changes_nothing(tmp_path):
    model = formers.PeftModel.from_pretrained(base(), saved(tmp_path / "a"))
    before = logits(model)
    more = saved(tmp_path / "b", 2, target_modules=["c_attn", "c_fc", "wte", "mlp.c_proj"])
    with pytest.raises(RuntimeError, match="unexpected keys found.*mlp.c_proj"):
        ours.hotswap_adapter(model, more, adapter_name="default")
    with pytest.raises(ValueError, match="no adapter 'other'"):
        ours.hotswap_adapter(model, more, adapter_name="other")
    with pytest.raises(ValueError, match="original rank is larger"):
        ours.prepare_model_for_compiled_hotswap(model, target_rank=1)
    with pytest.raises(ValueError, match="No adapter layers"):
        ours.prepare_model_for_compiled_hotswap(base())
    assert torch.equal(logits(model), before)
    model.merge_adapter()
    with pytest.raises(ValueError, match="merged into the base weights"):
        ours.hotswap_adapter(model, tmp_path / "a", adapter_name="default")


def test_a_config_that_is_prepared_says_the_stored_rank_and_the_same_scaling(tmp_path):
    folder = saved(tmp_path / "a", rank_pattern={"c_fc": 1})
    model = formers.PeftModel.from_pretrained(base(), folder)
    before = logits(model)
    ours.prepare_model_for_compiled_hotswap(model, target_rank=4, config=model.peft_config)
    config = model.peft_config["default"]
    assert (config.r, config.rank_pattern) == (4, {"c_fc": 4})
    model.save_pretrained(tmp_path / "b")
    again = formers.PeftModel.from_pretrained(base(), tmp_path / "b")
    assert again.peft_config["default"].r == 4
    torch.testing.assert_close(logits(again), before, rtol=0, atol=1e-6)
