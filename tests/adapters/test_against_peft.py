"""Adapters beside those of peft: the same weights and seed, the same answers, files that each side reads."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch

import formers
from adapters.adapted_families import FAMILIES, inputs, ours, reference
from formers import LoraConfig, PeftModel, get_peft_model

peft = pytest.importorskip("peft")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module", params=list(FAMILIES))
def pair(request, tmp_path_factory):
    """A family, the ecosystem's model and ours, with the same weights."""
    folder = tmp_path_factory.mktemp(request.param)
    return request.param, reference(request.param, folder), ours(request.param, folder)


def config(kind, family, **more):
    _, _, _, targets, task = FAMILIES[family]
    return kind(r=4, lora_alpha=8, target_modules=targets, task_type=task, init_lora_weights=False, **more)


def adapted(pair, **more):
    """Both models with an adapter that does something, on copies."""
    family, theirs, own = pair
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(1)
        theirs = peft.get_peft_model(copy.deepcopy(theirs), config(peft.LoraConfig, family, **more))
        torch.manual_seed(1)
        own = get_peft_model(copy.deepcopy(own), config(LoraConfig, family, **more))
    return theirs, own


def logits(model, family):
    with torch.no_grad():
        return model(**inputs(family)).logits


def real(family, found):
    """Without what is computed for padding, which differs between layouts."""
    if family in ("gpt2", "llama", "mixtral"):
        return torch.cat([found[0, :4], found[1]])
    return found


def close(a, b, family):
    torch.testing.assert_close(real(family, a), real(family, b), atol=1e-5, rtol=1e-4)


def test_adapters_of_both_have_the_same_names_shapes_and_files(pair, tmp_path):
    family = pair[0]
    theirs, own = adapted(pair)
    assert own.get_nb_trainable_parameters() == theirs.get_nb_trainable_parameters()
    if family != "whisper":  # there the reference draws for values before queries
        close(logits(own, family), logits(theirs.eval(), family), family)
    theirs.save_pretrained(tmp_path / "theirs")
    own.save_pretrained(tmp_path / "own")
    fresh = PeftModel.from_pretrained(copy.deepcopy(pair[2]), tmp_path / "theirs")
    close(logits(fresh, family), logits(theirs.eval(), family), family)
    back = peft.PeftModel.from_pretrained(copy.deepcopy(pair[1]), tmp_path / "own")
    close(logits(back, family), logits(own.eval(), family), family)
    assert not torch.equal(logits(own, family), logits(pair[2], family))


def test_what_is_merged_computes_as_what_stands_beside_and_what_is_off_as_the_model(pair):
    family = pair[0]
    _, own = adapted(pair)
    own.eval()
    beside = logits(own, family)
    with own.disable_adapter():
        close(logits(own, family), logits(pair[2], family), family)
    own.merge_adapter()
    close(logits(own, family), beside, family)
    own.unmerge_adapter()
    close(logits(own, family), beside, family)
    plain = own.merge_and_unload(safe_merge=True)
    close(logits(plain, family), beside, family)
    assert plain.state_dict().keys() == pair[2].state_dict().keys()


@pytest.mark.parametrize("targets", [["0"], ["2"], ["0", "2", "4"]])
def test_tables_and_convolutions_of_any_module_are_adapted_alike(targets, tmp_path):
    torch.manual_seed(0)
    convolution = torch.nn.Conv1d(4, 5, 3, 2, 1)
    parts = (
        torch.nn.Embedding(9, 6),
        torch.nn.ReLU(),
        convolution,
        torch.nn.Flatten(),
        torch.nn.Linear(15, 3),
    )
    model = torch.nn.Sequential(*parts)
    ids, found = torch.arange(8).view(2, 4), []
    for library in (peft, formers):
        torch.manual_seed(1)
        made = library.LoraConfig(r=2, target_modules=targets, init_lora_weights=False, use_rslora=True)
        adapted = library.get_peft_model(copy.deepcopy(model), made)
        found.append(adapted(ids))
        adapted.save_pretrained(tmp_path / library.__name__)
    torch.testing.assert_close(*found, atol=1e-5, rtol=1e-4)
    for folder in ("peft", "formers"):
        fresh = PeftModel.from_pretrained(copy.deepcopy(model), tmp_path / folder)
        torch.testing.assert_close(fresh(ids), found[0], atol=1e-5, rtol=1e-4)
