"""Names and values of a checkpoint turned into a model's by registered rules."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import core_model_loading as reference

import formers
from formers.checkpoints import conversions

SHAPE = {"vocab_size": 20, "n_embd": 8, "n_layer": 2, "n_head": 2, "n_positions": 16}
NAMES = (
    "model.layers.3.block_sparse_moe.experts.11.w1.weight",
    "model.layers.3.block_sparse_moe.experts.2.w3.weight",
    "vision.encoder.layer.0.weight",
    "encoder.weight_scale",
    "decoder.weight",
)
RULES = (
    ("WeightRenaming", (r"block_sparse_moe", "mlp"), {}),
    ("WeightRenaming", (r"^vision\.", "tower."), {}),
    ("WeightRenaming", (r"(encoder|decoder)\.weight", r"half.\1.weight"), {}),
    (
        "WeightConverter",
        (["experts.*.w1.weight", "experts.*.w3.weight"], "experts.gate_up_proj"),
        {"operations": [("MergeModulelist", 0), ("Concatenate", 1)]},
    ),
)


@pytest.fixture(autouse=True)
def nothing_registered():
    before = dict(conversions._registered)
    yield
    conversions._registered.clear()
    conversions._registered.update(before)
    conversions.USER_REGISTERED_MAPPINGS.clear()


def _rules(module):
    made = []
    for kind, patterns, options in RULES:
        steps = [getattr(module, name)(dim) for name, dim in options.get("operations", ())]
        made.append(getattr(module, kind)(*patterns, **({"operations": steps} if steps else {})))
    converters = [one for one in made if hasattr(one, "operations")]
    return [one for one in made if one not in converters], converters


@pytest.mark.parametrize("name", NAMES)
def test_names_become_what_the_reference_makes_of_them(name):
    ours = formers.rename_source_key(name, *_rules(conversions))
    assert ours == reference.rename_source_key(name, *_rules(reference))


def test_names_are_sorted_as_the_reference_sorts_them():
    ours = sorted(NAMES, key=formers.dot_natural_key)
    assert ours == sorted(NAMES, key=reference.dot_natural_key)


def _experts() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return {f"mlp.experts.{i}.{w}.weight": torch.randn(3, 4) for i in range(11) for w in ("w1", "w3")}


def test_experts_become_one_tensor_as_the_reference_makes_it():
    made = []
    for module in (conversions, reference):
        rule = _rules(module)[1][0]
        for name in sorted(_experts(), key=reference.dot_natural_key):
            new, pattern = rule.rename_source_key(name)
            rule.add_tensor(new, name, pattern, _experts()[name])
        made.append(rule.convert(new, model=None, config=None))
    ours, theirs = ({name: torch.as_tensor(value) for name, value in one.items()} for one in made)
    assert ours.keys() == theirs.keys() == {"mlp.experts.gate_up_proj"}
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def _saved(folder) -> dict[str, Tensor]:
    torch.manual_seed(0)
    model = formers.GPT2LMHeadModel(formers.GPT2Config(**SHAPE))
    model.save_pretrained(folder)
    return dict(model.state_dict())


def test_a_key_mapping_renames_what_a_model_is_loaded_from(tmp_path):
    held = _saved(tmp_path)
    odd = {name.replace(".h.", ".blocks."): value for name, value in held.items()}
    loaded = formers.GPT2LMHeadModel.from_pretrained(
        None,
        config=formers.AutoConfig.from_pretrained(tmp_path),
        state_dict=odd,
        key_mapping={r"\.blocks\.": ".h."},
    )
    assert all(torch.equal(value, held[name]) for name, value in loaded.state_dict().items())


def test_registered_rules_count_whenever_a_model_is_loaded_and_can_be_undone(tmp_path):
    held = _saved(tmp_path)
    apart = {}
    for name, value in held.items():
        if name.endswith("c_attn.weight"):
            cut = value.chunk(3, dim=1)
            apart |= {name.replace("c_attn", part): one.clone() for part, one in zip("qkv", cut, strict=True)}
        else:
            apart[name] = value
    rule = formers.WeightConverter(
        [f"attn.{part}.weight" for part in "qkv"], "attn.c_attn.weight", operations=[formers.Concatenate(1)]
    )
    formers.register_checkpoint_conversion_mapping("gpt2", [rule])
    config = formers.AutoConfig.from_pretrained(tmp_path)
    loaded = formers.GPT2LMHeadModel.from_pretrained(None, config=config, state_dict=apart)
    assert all(torch.equal(value, held[name]) for name, value in loaded.state_dict().items())
    back = formers.revert_weight_conversion(loaded, dict(loaded.state_dict()))
    assert back.keys() == apart.keys()
    assert all(torch.equal(back[name], value) for name, value in apart.items())


def test_what_was_saved_here_is_read_again_under_registered_rules(tmp_path):
    held = _saved(tmp_path)
    formers.register_checkpoint_conversion_mapping(
        "gpt2", [formers.WeightRenaming("c_attn", "attention"), formers.WeightRenaming("old", "new")]
    )
    loaded = formers.GPT2LMHeadModel.from_pretrained(tmp_path)
    assert all(torch.equal(value, held[name]) for name, value in loaded.state_dict().items())


def test_rules_are_not_overwritten_unasked():
    formers.register_checkpoint_conversion_mapping("gpt2", [formers.WeightRenaming("a", "b")])
    with pytest.raises(ValueError, match="overwrite=True"):
        formers.register_checkpoint_conversion_mapping("gpt2", [])


def test_families_need_no_rules():
    assert formers.get_checkpoint_conversion_mapping("mixtral") is None


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (lambda: formers.WeightConverter("a", "b", operations=[]), "WeightRenaming renames alone"),
        (lambda: formers.WeightConverter(["a", "b"], ["c", "d"], [formers.Chunk()]), "is both"),
        (lambda: formers.Chunk().convert({"a": torch.ones(3)}, ["a"], ["b", "c"]), "does not divide"),
        (lambda: formers.Concatenate().convert({"a": torch.ones(3)}, ["a"], ["b", "c"]), "one tensor"),
    ],
)
def test_what_no_rule_can_do_is_refused(made, why):
    with pytest.raises(ValueError, match=why):
        made()
