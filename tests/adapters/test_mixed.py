"""Adapters of several methods on one model, and how adapters stand, beside peft's."""

from __future__ import annotations

import copy
import dataclasses
import warnings

import pytest
import torch

import formers
from adapters.adapted_families import inputs, ours, reference

peft = pytest.importorskip("peft")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
OTHERS = {
    "loha": ("LoHaConfig", {"r": 3, "init_weights": False}),
    "lokr": ("LoKrConfig", {"r": 2, "init_weights": False}),
    "oft": ("OFTConfig", {"oft_block_size": 8, "init_weights": False}),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The ecosystem's LLaMA and ours, with the same weights."""
    folder = tmp_path_factory.mktemp("llama")
    return reference("llama", folder), ours("llama", folder)


def lora(library, **more):
    values = {"r": 4, "init_lora_weights": False, "target_modules": ["q_proj", "v_proj"], **more}
    return library.LoraConfig(**values)


def logits(model):
    with torch.no_grad():
        found = model(**inputs("llama")).logits
    return torch.cat([found[0, :4], found[1]])


def close(a, b):
    torch.testing.assert_close(a, b, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", OTHERS)
def test_adapters_of_two_methods_compute_together_as_in_peft_and_merge(models, kind, tmp_path):
    name, values = OTHERS[kind]
    found = []
    folders = tmp_path / "one", tmp_path / "two"
    for which, config in enumerate((lora(peft), getattr(peft, name)(target_modules=["v_proj"], **values))):
        torch.manual_seed(which)
        peft.get_peft_model(copy.deepcopy(models[0]), config).save_pretrained(folders[which])
    for library, model in zip((peft, formers), models, strict=True):
        made = library.PeftMixedModel.from_pretrained(copy.deepcopy(model), folders[0], "one")
        made.load_adapter(folders[1], "two")
        alone = logits(made.eval())
        made.set_adapter(["one", "two"])
        found.append((alone, logits(made)))
    close(found[1][0], found[0][0])
    close(found[1][1], found[0][1])
    assert not torch.allclose(*found[1], atol=1e-4)
    made.merge_adapter()
    close(logits(made), found[1][1])
    made.unmerge_adapter()
    close(logits(made), found[1][1])
    with made.disable_adapter():
        close(logits(made), logits(models[1]))
    plain = made.merge_and_unload()
    close(logits(plain), found[1][1])
    assert plain.state_dict().keys() == models[1].state_dict().keys()


def test_what_cannot_be_mixed_or_saved_is_refused(models):
    made = formers.get_peft_model(copy.deepcopy(models[1]), lora(formers), mixed=True)
    assert type(made) is formers.PeftMixedModel
    with pytest.raises(ValueError, match="IA3 is not compatible with the `PeftMixedModel`"):
        made.add_adapter("two", formers.IA3Config())
    with pytest.raises(NotImplementedError, match="Saving is not supported"):
        made.save_pretrained("nowhere")
    plain = formers.get_peft_model(copy.deepcopy(models[1]), lora(formers))
    with pytest.raises(ValueError, match="mixed=True"):
        plain.add_adapter("two", formers.LoHaConfig(target_modules=["q_proj"]))


def test_how_adapters_stand_is_told_as_peft_tells_it(models):
    found = []
    for library, model in zip((peft, formers), models, strict=True):
        more = {"task_type": "CAUSAL_LM", "modules_to_save": ["lm_head"]}
        made = library.get_peft_model(copy.deepcopy(model), lora(library, **more))
        made.add_adapter("two", lora(library, target_modules=["v_proj"]))
        told = []
        for change in (
            lambda made: None,
            lambda made: made.base_model.disable_adapter_layers(),
            lambda made: made.base_model.enable_adapter_layers(),
            lambda made: made.set_adapter("two"),
            lambda made: made.merge_adapter(),
        ):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                change(made)
            layers = [dataclasses.asdict(one) for one in made.get_layer_status()]
            told.append(
                (dataclasses.asdict(made.get_model_status()), sorted(layers, key=lambda x: x["name"]))
            )
        found.append(told)
    assert found[1] == found[0]
    bare = formers.inject_adapter_in_model(lora(formers), copy.deepcopy(models[1]))
    assert formers.get_model_status(bare).base_model_type == "LlamaForCausalLM"
    assert len(formers.get_layer_status(bare)) == 2
    with pytest.raises(ValueError, match="No adapter layers found"):
        formers.get_layer_status(models[1])
