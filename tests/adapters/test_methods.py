"""Every method that goes on leaves, beside peft's: the same answers, files that each side reads."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from torch import nn

import formers
from adapters.adapted_families import inputs, ours, reference
from formers.quantization.four_bits import Linear4bit

peft = pytest.importorskip("peft")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")

_LINEAR = ["q_proj", "v_proj", "down_proj"]
# config class, what it is given, for which family
METHODS = {
    "dora": ("LoraConfig", {"r": 4, "use_dora": True, "init_lora_weights": False, "target_modules": _LINEAR}),
    "dora on tables": (
        "LoraConfig",
        {"r": 4, "use_dora": True, "init_lora_weights": False, "target_modules": ["embed_tokens"]},
    ),
    "dora of gpt2": (
        "LoraConfig",
        {"r": 4, "use_dora": True, "init_lora_weights": False, "target_modules": ["c_attn", "mlp.c_proj"]},
    ),
    "ranks by pattern": (
        "LoraConfig",
        {
            "r": 4,
            "use_rslora": True,
            "rank_pattern": {"v_proj": 2},
            "alpha_pattern": {"q_proj": 3},
            "init_lora_weights": False,
            "target_modules": _LINEAR,
        },
    ),
    "ia3": ("IA3Config", {"init_ia3_weights": False}),
    "ia3 of gpt2": ("IA3Config", {"init_ia3_weights": False}),
    "norms": ("LNTuningConfig", {}),
    "norms of gpt2": ("LNTuningConfig", {}),
    "loha": ("LoHaConfig", {"r": 3, "alpha": 6, "init_weights": False, "target_modules": _LINEAR}),
    "lokr": ("LoKrConfig", {"r": 2, "alpha": 6, "init_weights": False, "target_modules": _LINEAR}),
    "lokr in four": (
        "LoKrConfig",
        {"r": 1, "init_weights": False, "decompose_both": True, "target_modules": _LINEAR},
    ),
    "oft": ("OFTConfig", {"oft_block_size": 8, "init_weights": False, "target_modules": _LINEAR}),
    "oft of shared blocks": (
        "OFTConfig",
        {
            "r": 4,
            "oft_block_size": 0,
            "block_share": True,
            "use_cayley_neumann": False,
            "coft": True,
            "eps": 0.5,
            "init_weights": False,
            "target_modules": _LINEAR,
        },
    ),
    "vera": ("VeraConfig", {"r": 8, "init_weights": False, "target_modules": _LINEAR}),
    "vera of gpt2": ("VeraConfig", {"r": 8, "init_weights": False, "target_modules": ["c_attn", "c_proj"]}),
    "adalora": (
        "AdaLoraConfig",
        {"init_r": 4, "target_r": 2, "total_step": 4, "init_lora_weights": False, "target_modules": _LINEAR},
    ),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Family -> the ecosystem's model and ours, with the same weights."""
    found = {}
    for family in ("llama", "gpt2"):
        folder = tmp_path_factory.mktemp(family)
        found[family] = reference(family, folder), ours(family, folder)
    return found


@pytest.fixture(params=METHODS)
def case(request, models):
    """A family, both models, and a function that makes a library's config."""
    kind, values = METHODS[request.param]
    family = "gpt2" if request.param.endswith("gpt2") else "llama"

    def config(library):
        return getattr(library, kind)(task_type="CAUSAL_LM", **copy.deepcopy(values))

    return family, *models[family], config


def logits(model, family):
    with torch.no_grad():
        found = model(**inputs(family)).logits
    return torch.cat([found[0, :4], found[1]])


def adapted(library, model, config):
    """A model with an adapter that does something."""
    torch.manual_seed(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = library.get_peft_model(copy.deepcopy(model), config(library)).eval()
    with torch.no_grad():
        for name, p in sorted(made.named_parameters()):
            if "ln_tuning_layers" in name or "magnitude" in name:
                p.mul_(torch.linspace(0.5, 1.5, p.numel()).view(p.shape))
    return made


def test_a_method_computes_as_peft_s_and_each_reads_the_other_s_files(case, tmp_path):
    family, theirs, own, config = case
    theirs_adapted, own_adapted = adapted(peft, theirs, config), adapted(formers, own, config)
    theirs_adapted.save_pretrained(tmp_path / "theirs")
    fresh = formers.PeftModel.from_pretrained(copy.deepcopy(own), tmp_path / "theirs")
    found = logits(theirs_adapted, family)
    assert not torch.allclose(found, logits(own, family), atol=1e-4)
    torch.testing.assert_close(logits(fresh, family), found, atol=1e-5, rtol=1e-4)
    own_adapted.save_pretrained(tmp_path / "own")
    back = peft.PeftModel.from_pretrained(copy.deepcopy(theirs), tmp_path / "own").eval()
    torch.testing.assert_close(logits(back, family), logits(own_adapted, family), atol=1e-5, rtol=1e-4)
    counts = own_adapted.get_nb_trainable_parameters()
    assert counts[0] == theirs_adapted.get_nb_trainable_parameters()[0]


def test_a_method_trains_its_own_merges_and_comes_off_again(case):
    family, _, own, config = case
    model = adapted(formers, own, config)
    beside, plain = logits(model, family), logits(own, family)
    model(**inputs(family), labels=inputs(family)["input_ids"]).loss.backward()
    trained = {name for name, p in model.named_parameters() if p.grad is not None}
    assert trained == {name for name, p in model.named_parameters() if p.requires_grad}
    close = {"atol": 2e-5, "rtol": 1e-4}
    with model.disable_adapter():
        torch.testing.assert_close(logits(model, family), plain, **close)
    model.merge_adapter()
    torch.testing.assert_close(logits(model, family), beside, **close)
    model.unmerge_adapter()
    torch.testing.assert_close(logits(model, family), beside, **close)
    merged = model.merge_and_unload()
    torch.testing.assert_close(logits(merged, family), beside, **close)
    assert merged.state_dict().keys() == own.state_dict().keys()


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("LoraConfig", {"r": 2, "use_dora": True, "init_lora_weights": False}),
        ("IA3Config", {"init_ia3_weights": False, "feedforward_modules": ["2"]}),
        ("LoHaConfig", {"r": 2, "init_weights": False, "use_effective_conv2d": True}),
        ("LoKrConfig", {"r": 1, "init_weights": False, "use_effective_conv2d": True}),
    ],
)
def test_convolutions_are_adapted_and_merged_as_peft_s(kind, values, tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.Flatten())
    x = torch.randn(2, 4, 6, 6)
    config = getattr(peft, kind)(target_modules=["0", "2"], **values)
    theirs = peft.get_peft_model(copy.deepcopy(model), config).eval()
    theirs.save_pretrained(tmp_path)
    own = formers.PeftModel.from_pretrained(copy.deepcopy(model), tmp_path)
    torch.testing.assert_close(own(x), theirs(x), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(own.merge_and_unload()(x), theirs(x), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("linear", {}),
        ("cat", {}),
        ("svd", {"svd_rank": 3}),
        ("ties", {"density": 0.5}),
        ("dare_linear", {"density": 0.6}),
        ("dare_ties", {"density": 0.6, "majority_sign_method": "frequency"}),
        ("magnitude_prune", {"density": 0.5}),
        ("ties_svd", {"density": 0.5}),
    ],
)
def test_adapters_are_put_together_as_peft_puts_them(models, kind, more, monkeypatch):
    monkeypatch.setattr(torch, "bernoulli", lambda share: (share.cumsum(-1) % 1 < share).to(share))
    theirs, own = models["llama"]
    found = []
    for library, model in ((peft, theirs), (formers, own)):
        torch.manual_seed(1)
        values = {"lora_alpha": 6, "target_modules": ["v_proj", "embed_tokens"], "init_lora_weights": False}
        made = library.get_peft_model(copy.deepcopy(model), library.LoraConfig(r=2, **values)).eval()
        made.add_adapter("other", library.LoraConfig(r=2, **values))
        made.base_model.add_weighted_adapter(
            ["default", "other"], [0.7, -0.4], "both", combination_type=kind, **more
        )
        made.set_adapter("both")
        found.append(logits(made, "llama"))
    assert not torch.allclose(found[1], logits(own, "llama"), atol=1e-5)
    torch.testing.assert_close(found[1], found[0], atol=1e-5, rtol=1e-4)


def test_adapters_that_do_not_fit_are_not_put_together(models):
    model = formers.get_peft_model(copy.deepcopy(models["llama"][1]), formers.LoraConfig(r=2))
    model.add_adapter("wide", formers.LoraConfig(r=3))
    for names, how, said in (
        (["default", "none"], {}, "none does not exist"),
        (["default", "wide"], {"combination_type": "linear"}, "adapters of one rank"),
        (["default", "wide"], {"combination_type": "ties_svd"}, "needs a density"),
        (["default", "wide"], {"combination_type": "mean"}, "combination_type is one of"),
    ):
        with pytest.raises(ValueError, match=said):
            model.base_model.add_weighted_adapter(names, [1.0, 1.0], "both", **how)
    assert list(model.peft_config) == ["default", "wide"]


def test_ranks_are_allocated_step_by_step_as_peft_allocates_them(models, tmp_path):
    theirs, own = models["llama"]
    values = dict(METHODS["adalora"][1], total_step=6, tinit=1, tfinal=1, orth_reg_weight=0.1)
    found = []
    for library, model in ((peft, theirs), (formers, own)):
        torch.manual_seed(1)
        made = library.get_peft_model(
            copy.deepcopy(model), library.AdaLoraConfig(task_type="CAUSAL_LM", **values)
        )
        if library is peft:
            drawn = {key: value.clone() for key, value in peft.get_peft_model_state_dict(made).items()}
        formers.set_peft_model_state_dict(made, drawn) if library is formers else None
        optimizer = torch.optim.SGD([p for p in made.parameters() if p.requires_grad], lr=0.1)
        for step in range(7):
            made(**inputs("llama"), labels=inputs("llama")["input_ids"]).loss.backward()
            optimizer.step()
            made.base_model.update_and_allocate(step)
            optimizer.zero_grad()
        found.append(made.eval())
    patterns = [
        {key.replace(".default", ""): mask for key, mask in made.peft_config["default"].rank_pattern.items()}
        for made in found
    ]
    assert patterns[0] == patterns[1]
    assert sum(map(sum, patterns[1].values())) == 3 * 2
    torch.testing.assert_close(logits(found[1], "llama"), logits(found[0], "llama"), atol=1e-5, rtol=1e-4)
    found[1].save_pretrained(tmp_path)
    narrow = formers.PeftModel.from_pretrained(copy.deepcopy(own), tmp_path)
    torch.testing.assert_close(logits(narrow, "llama"), logits(found[0], "llama"), atol=1e-5, rtol=1e-4)


def test_loftq_begins_nearer_to_the_weight_than_four_bits_alone(models):
    own = copy.deepcopy(models["llama"][1])
    weight = own.model.layers[0].mlp.down_proj.weight.clone()
    errors = {}
    for r, rounds in ((4, 1), (4, 4)):
        how = formers.LoftQConfig(loftq_iter=rounds)
        config = formers.LoraConfig(
            r=r, lora_alpha=r, target_modules=["down_proj"], init_lora_weights="loftq", loftq_config=how
        )
        layer = formers.get_peft_model(copy.deepcopy(own), config).model.model.layers[0].mlp.down_proj
        packed = Linear4bit(24, 16, False, kind="nf4")
        packed.take(layer.weight)
        torch.testing.assert_close(packed.dequantized(), layer.weight.data)  # four bits hold it exactly
        errors[rounds] = (layer.weight + layer.get_delta_weight("default") - weight).norm()
    packed.take(weight)
    assert errors[4] < errors[1] < (packed.dequantized() - weight).norm()


@pytest.mark.parametrize(
    ("kind", "values", "said"),
    [
        ("IA3Config", {"target_modules": ["q_proj"]}, "feedforward_modules"),
        ("OFTConfig", {"r": 4}, "give one of r and oft_block_size"),
        ("AdaLoraConfig", {}, "total_step"),
        ("LoHaConfig", {"r": 2, "target_modules": ["embed_tokens"]}, "which LOHA cannot be put on"),
        ("VeraConfig", {"r": 0}, "positive integer"),
        ("LoraConfig", {"init_lora_weights": "loftq", "loftq_config": {"loftq_bits": 3}}, "loftq_bits=4"),
    ],
)
def test_what_a_method_cannot_do_is_refused_in_one_sentence(models, kind, values, said):
    with pytest.raises(ValueError, match=said):
        formers.get_peft_model(copy.deepcopy(models["llama"][1]), getattr(formers, kind)(**values))
