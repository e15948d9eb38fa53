"""LoRA on models and on any module: attached, switched, saved, refused."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from torch import nn

import formers
from formers import LoraConfig, PeftConfig, PeftModel, TaskType, get_peft_model
from formers.checkpoints import CheckpointError, LoadError
from formers.nn.watch import watched

IDS = torch.tensor([[3, 4, 5, 6, 7], [8, 9, 10, 0, 0]])
MASK = (IDS > 0).long()


def llama(**more):
    torch.manual_seed(0)
    values = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, **more}
    return formers.LlamaForCausalLM(
        formers.LlamaConfig(intermediate_size=24, pad_token_id=0, **values)
    ).eval()


def roberta():
    torch.manual_seed(0)
    config = formers.RobertaConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24
    )
    return formers.RobertaForSequenceClassification(config).eval()


def logits(model, **more):
    with torch.no_grad():
        return model(input_ids=IDS, attention_mask=MASK, **more).logits


def test_the_trainable_share_of_seven_billion_is_what_tutorials_print(capsys):
    with torch.device("meta"):
        model = formers.AutoModelForCausalLM.from_config(formers.LlamaConfig())
    config = LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=8,
        lora_alpha=32,
        lora_dropout=0.1,
        target_modules=["q_proj", "v_proj"],
    )
    model = get_peft_model(model, config)
    model.print_trainable_parameters()
    said = "trainable params: 4,194,304 || all params: 6,742,609,920 || trainable%: 0.0622\n"
    assert capsys.readouterr().out == said


def test_an_adapted_model_still_leaves_padding_out():
    model = llama()
    get_peft_model(model, LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False))
    assert not watched(model)
    classifier = roberta()
    adapted = get_peft_model(classifier, LoraConfig(r=2, task_type="SEQ_CLS", init_lora_weights=False))
    assert not watched(classifier)
    alone = logits(adapted)
    handle = classifier.roberta.encoder.layer[0].register_forward_hook(lambda *_: None)
    assert watched(classifier)
    torch.testing.assert_close(alone, logits(adapted))
    handle.remove()


def test_a_head_that_is_a_node_follows_the_adapter_that_is_active():
    model = get_peft_model(roberta(), LoraConfig(r=2, task_type="SEQ_CLS"))
    plain = logits(model)
    with torch.no_grad():
        model.classifier.modules_to_save["default"].out_proj.bias.add_(1.0)
    torch.testing.assert_close(logits(model), plain + 1.0)
    with model.disable_adapter():
        torch.testing.assert_close(logits(model), plain)
    model.add_adapter("second", LoraConfig(r=2, task_type="SEQ_CLS"))
    model.set_adapter("second")
    torch.testing.assert_close(logits(model), plain)


def test_only_adapters_get_gradients_and_the_frozen_weights_none():
    model = get_peft_model(llama(), LoraConfig(r=2, lora_dropout=0.1, task_type="CAUSAL_LM")).train()
    model(input_ids=IDS, attention_mask=MASK, labels=IDS).loss.backward()
    with_gradient = {name for name, p in model.named_parameters() if p.grad is not None}
    assert with_gradient == {name for name, _ in model.named_parameters() if ".lora_" in name}


def test_recomputed_layers_give_adapters_the_same_gradients():
    found = []
    for recompute in (False, True):
        model = llama()
        if recompute:
            model.gradient_checkpointing_enable()
        torch.manual_seed(1)
        model = get_peft_model(model, LoraConfig(r=2, init_lora_weights=False)).train()
        model(input_ids=IDS, attention_mask=MASK, labels=IDS).loss.backward()
        found.append([p.grad for p in model.parameters() if p.requires_grad])
    torch.testing.assert_close(*found)


def test_texts_are_generated_through_the_adapter():
    model = llama()
    before = model.generate(IDS[:1], max_new_tokens=6, do_sample=False)
    adapted = get_peft_model(
        model, LoraConfig(r=8, lora_alpha=64, target_modules="all-linear", init_lora_weights=False)
    )
    beside = adapted.generate(input_ids=IDS[:1], max_new_tokens=6, do_sample=False)
    assert not torch.equal(before, beside)
    with adapted.disable_adapter():
        assert torch.equal(adapted.generate(input_ids=IDS[:1], max_new_tokens=6, do_sample=False), before)
    plain = adapted.merge_and_unload()
    assert torch.equal(plain.generate(IDS[:1], max_new_tokens=6, do_sample=False), beside)


def test_several_adapters_are_switched_saved_apart_and_deleted(tmp_path):
    model = get_peft_model(llama(), LoraConfig(r=2, init_lora_weights=False))
    model.add_adapter("other", LoraConfig(r=4, init_lora_weights=False, inference_mode=True))
    assert model.active_adapters == ["default"]
    first = logits(model)
    model.set_adapter("other")
    second = logits(model)
    assert not torch.allclose(first, second)
    assert all(".other." in name for name, p in model.named_parameters() if p.requires_grad)
    model.base_model.set_adapter(["default", "other"])
    assert not torch.allclose(logits(model), second)
    model.save_pretrained(tmp_path)
    fresh = PeftModel.from_pretrained(llama(), tmp_path)
    torch.testing.assert_close(logits(fresh), first)
    fresh.load_adapter(tmp_path / "other", "other")
    fresh.set_adapter("other")
    torch.testing.assert_close(logits(fresh), second)
    fresh.delete_adapter("other")
    assert fresh.active_adapters == ["default"]
    torch.testing.assert_close(logits(fresh), first)


def test_a_saved_adapter_is_a_folder_of_its_own_with_a_card(tmp_path):
    get_peft_model(llama(), LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    assert PeftConfig.from_pretrained(tmp_path).target_modules == {"q_proj"}
    assert PeftConfig.from_pretrained(tmp_path).inference_mode
    assert 'library_name: "peft"' in (tmp_path / "README.md").read_text()


def test_a_loaded_adapter_is_frozen_unless_it_is_to_be_trained(tmp_path):
    get_peft_model(llama(), LoraConfig(r=2, init_lora_weights=False)).save_pretrained(tmp_path)
    assert not any(p.requires_grad for p in PeftModel.from_pretrained(llama(), tmp_path).parameters())
    trained = PeftModel.from_pretrained(llama(), tmp_path, is_trainable=True)
    assert {name for name, p in trained.named_parameters() if p.requires_grad} == {
        name for name, _ in trained.named_parameters() if ".lora_" in name
    }


def test_adapters_go_straight_into_models_and_are_what_these_save(tmp_path):
    model = llama()
    model.add_adapter(LoraConfig(r=2, init_lora_weights=False))
    found = logits(model)
    assert model.active_adapters() == ["default"]
    model.disable_adapters()
    torch.testing.assert_close(logits(model), logits(llama()))
    model.enable_adapters()
    model.save_pretrained(tmp_path)
    assert not (tmp_path / "config.json").exists()
    fresh = llama()
    fresh.load_adapter(tmp_path, "mine")
    torch.testing.assert_close(logits(fresh), found)
    torch.testing.assert_close(logits(PeftModel.from_pretrained(llama(), tmp_path)), found)
    fresh.delete_adapter("mine")
    with pytest.raises(ValueError, match="No adapter loaded"):
        fresh.set_adapter("mine")


@pytest.fixture
def on_a_saved_model(tmp_path):
    """A folder with an adapter alone, on a saved model, and what the two answer."""
    llama().save_pretrained(tmp_path / "base")
    model = formers.LlamaForCausalLM.from_pretrained(tmp_path / "base")
    adapted = get_peft_model(model, LoraConfig(r=2, init_lora_weights=False, task_type="CAUSAL_LM"))
    adapted.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter", logits(adapted)


def test_a_folder_with_an_adapter_alone_loads_as_the_model_that_it_goes_on(on_a_saved_model):
    folder, found = on_a_saved_model
    torch.testing.assert_close(logits(formers.AutoModelForCausalLM.from_pretrained(folder)), found)
    torch.testing.assert_close(logits(formers.AutoPeftModelForCausalLM.from_pretrained(folder)), found)
    with pytest.raises(ValueError, match="AutoPeftModelForCausalLM loads it"):
        formers.AutoPeftModelForSeq2SeqLM.from_pretrained(folder)


def test_any_module_can_be_adapted_and_a_convolution_is_merged():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv1d(3, 5, 3, padding=1, dilation=1), nn.ReLU(), nn.Conv1d(5, 4, 1), nn.Flatten()
    )
    x = torch.randn(2, 3, 6)
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=["0", "2"], init_lora_weights=False))
    beside = adapted(x)
    torch.testing.assert_close(adapted.merge_and_unload()(x), beside)


@pytest.mark.parametrize("start", ["gaussian", "orthogonal", "olora", "pissa", "pissa_niter_4"])
def test_every_start_leaves_the_answers_as_they_were(start):
    model = llama()
    plain = logits(model)
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules=["down_proj"], init_lora_weights=start))
    torch.testing.assert_close(logits(adapted), plain, atol=1e-4, rtol=1e-3)


def test_patterns_choose_layers_ranks_and_scalings():
    config = LoraConfig(
        r=2,
        target_modules=["q_proj", "v_proj"],
        layers_to_transform=[1],
        rank_pattern={"v_proj": 4},
        alpha_pattern={"layers.1.self_attn.v_proj": 32},
        use_rslora=True,
    )
    model = get_peft_model(llama(), config)
    first, second = model.get_base_model().model.layers
    assert isinstance(first.self_attn.q_proj, nn.Linear)
    v = second.self_attn.v_proj
    assert (v.r["default"], v.scaling["default"]) == (4, 16.0)
    assert second.self_attn.q_proj.r["default"] == 2


def test_biases_are_trained_and_saved_where_asked_for(tmp_path):
    model = get_peft_model(roberta(), LoraConfig(r=2, bias="lora_only", init_lora_weights=False))
    biases = [p for name, p in model.named_parameters() if name.endswith("bias") and p.requires_grad]
    assert len(biases) == 4
    with torch.no_grad():
        biases[0].add_(1.0)
    model.save_pretrained(tmp_path)
    torch.testing.assert_close(logits(PeftModel.from_pretrained(roberta(), tmp_path)), logits(model))


def test_a_resized_table_goes_along_with_the_adapter(tmp_path):
    llama().save_pretrained(tmp_path / "base")
    model = formers.LlamaForCausalLM.from_pretrained(tmp_path / "base")
    model.resize_token_embeddings(48)
    get_peft_model(model, LoraConfig(r=2, init_lora_weights=False)).save_pretrained(tmp_path / "adapter")
    fresh = formers.LlamaForCausalLM.from_pretrained(tmp_path / "base")
    fresh.resize_token_embeddings(48)
    torch.testing.assert_close(logits(PeftModel.from_pretrained(fresh, tmp_path / "adapter")), logits(model))


def test_a_copy_of_an_adapted_model_is_its_own():
    model = get_peft_model(roberta(), LoraConfig(r=2, task_type="SEQ_CLS", init_lora_weights=False))
    twin = copy.deepcopy(model)
    torch.testing.assert_close(logits(twin), logits(model))
    with torch.no_grad():
        twin.classifier.modules_to_save["default"].out_proj.bias.add_(1.0)
    torch.testing.assert_close(logits(twin), logits(model) + 1.0)


def test_a_broken_adapter_is_not_merged():
    model = get_peft_model(llama(), LoraConfig(r=2, init_lora_weights=False))
    layer = model.get_base_model().model.layers[0].self_attn.q_proj
    before = layer.weight.clone()
    with torch.no_grad():
        layer.lora_B["default"].weight[0, 0] = float("nan")
    with pytest.raises(ValueError, match="NaNs detected"):
        model.merge_and_unload(safe_merge=True)
    torch.testing.assert_close(layer.weight, before)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"r": 0}, "positive integer"),
        ({"r": 64, "target_modules": ["q_proj"]}, "above the widths"),
        ({"target_modules": ["query"]}, "not found in the base model.*q_proj"),
        ({"target_modules": ["act_fn"]}, "which LORA cannot be put on"),
        ({"target_modules": ["q_proj"], "exclude_modules": ["q_proj"]}, "All modules were excluded"),
        ({"init_lora_weights": "xavier"}, "Unknown initialization"),
        ({"task_type": "CHAT"}, "Invalid task type"),
        ({"bias": "some"}, "bias must be"),
        ({"layer_replication": [[0, 2]]}, "asks for what this version has not"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(values, said):
    with pytest.raises(ValueError, match=said):
        get_peft_model(llama(), LoraConfig(**values))


def test_an_unknown_setting_is_refused_with_the_nearest():
    with pytest.raises(TypeError, match="lora_aplha.*did you mean 'lora_alpha'"):
        LoraConfig(lora_aplha=3)


def test_an_adapter_of_another_model_is_refused(tmp_path):
    get_peft_model(llama(), LoraConfig(r=2)).save_pretrained(tmp_path)
    with pytest.raises(LoadError, match="not for this LlamaForCausalLM.*have no place"):
        PeftModel.from_pretrained(llama(num_hidden_layers=1), tmp_path)
    with pytest.raises(LoadError, match="does not fit the model"):
        PeftModel.from_pretrained(llama(hidden_size=32), tmp_path)
    with pytest.raises(OSError, match="holds no adapter"):
        PeftModel.from_pretrained(llama(), tmp_path / "..")


def test_a_file_that_asks_for_more_is_refused_and_one_that_names_it_idly_is_not(tmp_path):
    get_peft_model(llama(), LoraConfig(r=2)).save_pretrained(tmp_path)
    path = tmp_path / "adapter_config.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "from_tomorrow": None, "megatron_core": "megatron.core"}))
    assert PeftConfig.from_pretrained(tmp_path).r == 2
    path.write_text(json.dumps({**values, "from_tomorrow": True}))
    with pytest.raises(ValueError, match="sets from_tomorrow, which this version has not"):
        PeftConfig.from_pretrained(tmp_path)


# what the ecosystem's table names beside attention, or in place of it
_BESIDE = {"blip-2": {"q", "v"}, "phi": {"fc1", "fc2"}, "rwkv": {"key", "receptance", "output"}}


def test_the_usual_targets_follow_from_roles_as_the_ecosystem_lists_them():
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as LISTED

    from formers.adapters.targets import attention_leaves
    from formers.models.classes import class_of
    from formers.models.registry import family_of
    from formers.models.table import FAMILIES

    found = {}
    for kind in sorted(LISTED.keys() & FAMILIES.keys()):
        family = family_of(kind)
        fewer = {} if kind == "gpt_neo" else {"num_hidden_layers": 1}  # which lists its layers
        with torch.device("meta"):
            found[kind] = attention_leaves(class_of(family, "Model")(family.config(**fewer)))
    assert found == {kind: set(LISTED[kind]) - _BESIDE.get(kind, set()) for kind in found}


@pytest.mark.parametrize(
    "how", [{"load_in_8bit": True}, {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}]
)
def test_adapters_train_on_packed_leaves_and_merge_into_them(tmp_path, how):
    torch.manual_seed(0)
    config = formers.LlamaConfig(
        vocab_size=40, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=48
    )
    formers.LlamaForCausalLM(config).save_pretrained(tmp_path)
    packing = formers.BitsAndBytesConfig(**how)
    model = formers.LlamaForCausalLM.from_pretrained(tmp_path, quantization_config=packing)
    assert model.num_parameters() == formers.LlamaForCausalLM(config).num_parameters()
    model = formers.prepare_model_for_kbit_training(model)
    assert model.is_gradient_checkpointing
    model.gradient_checkpointing_disable()
    lora = formers.LoraConfig(r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    adapted = formers.get_peft_model(model, lora)
    ids = torch.arange(3, 15)[None]
    adapted(input_ids=ids, labels=ids).loss.backward()
    trained = {name for name, p in adapted.named_parameters() if p.grad is not None}
    assert trained
    assert all(".lora_" in name for name in trained)
    with torch.no_grad():
        before = adapted(input_ids=ids).logits
        merged = adapted.merge_and_unload()
        after = merged(input_ids=ids).logits
    assert (
        type(merged.model.layers[0].self_attn.q_proj).__name__
        == f"Linear{8 if 'load_in_8bit' in how else 4}bit"
    )
    # what is merged is packed anew
    assert float((after - before).norm() / before.norm()) < (0.05 if "load_in_8bit" in how else 0.3)


def test_adapters_on_tables_that_are_read_by_their_weight_are_heard_or_refused():
    torch.manual_seed(0)
    shape = {"vocab_size": 30, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    deberta = formers.DebertaV2Model(
        formers.DebertaV2Config(
            **shape, intermediate_size=16, relative_attention=True, pos_att_type=["c2p", "p2c"]
        )
    )
    ids = torch.arange(3, 9)[None]
    before = deberta.eval()(ids)[0]
    config = LoraConfig(r=2, target_modules=["rel_embeddings"], init_lora_weights=False)
    assert not torch.allclose(get_peft_model(deberta, config).eval()(ids)[0], before, atol=1e-5)
    mobile = formers.MobileBertForMaskedLM(
        formers.MobileBertConfig(**shape, embedding_size=8, intermediate_size=16, intra_bottleneck_size=16)
    )
    config = LoraConfig(r=2, target_modules=["predictions.dense"])
    with pytest.raises(TypeError, match="exclude_modules"):
        get_peft_model(mobile.eval(), config)(ids)


def test_a_folder_that_is_half_there_is_refused(tmp_path):
    get_peft_model(llama(), LoraConfig(r=2)).save_pretrained(tmp_path)
    weights, config = tmp_path / "adapter_model.safetensors", tmp_path / "adapter_config.json"
    whole, said = weights.read_bytes(), config.read_text()
    weights.unlink()
    with pytest.raises(OSError, match="has no weights of an adapter"):
        PeftModel.from_pretrained(llama(), tmp_path)
    weights.write_bytes(whole[:200])
    with pytest.raises(CheckpointError, match="adapter_model.safetensors is truncated"):
        PeftModel.from_pretrained(llama(), tmp_path)
    weights.write_bytes(whole)
    config.write_text(said[:40])
    with pytest.raises(ValueError, match="adapter_config.json"):
        PeftModel.from_pretrained(llama(), tmp_path)
    config.write_text("{}")
    with pytest.raises(ValueError, match="does not say of what type"):
        PeftModel.from_pretrained(llama(), tmp_path)
    config.unlink()
    with pytest.raises(OSError, match="holds no adapter"):
        PeftModel.from_pretrained(llama(), tmp_path)
