"""One batch through several adapters, beside peft's."""

from __future__ import annotations

import pytest
import torch

import formers
from adapters.adapted_families import FAMILIES, inputs, ours, reference
from formers.nn.watch import watched

peft = pytest.importorskip("peft")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
NAMES = ["two", "__base__", "default", "two"]


@pytest.fixture(scope="module", params=["bert", "t5", "llama"])
def pair(request, tmp_path_factory):
    """A family, the ecosystem's model and ours, both with the same two adapters."""
    family, folder = request.param, tmp_path_factory.mktemp(request.param)
    _, _, _, targets, task = FAMILIES[family]
    torch.manual_seed(1)
    values = {"r": 4, "task_type": task, "init_lora_weights": False, "target_modules": targets or ["q", "v"]}
    theirs = peft.get_peft_model(reference(family, folder), peft.LoraConfig(**values))
    theirs.add_adapter("two", peft.LoraConfig(**values))
    theirs.eval().save_pretrained(folder / "adapter")
    own = formers.PeftModel.from_pretrained(ours(family, folder), folder / "adapter")
    own.load_adapter(folder / "adapter" / "two", "two")
    return family, theirs, own.eval()


def four(family):
    return {name: torch.cat([value, value.flip(0)]) for name, value in inputs(family).items()}


def test_every_row_goes_through_its_own_adapter_as_in_peft(pair):
    family, theirs, own = pair
    given = four(family)
    with torch.no_grad():
        found = [model(**given, adapter_names=NAMES).logits for model in (theirs, own)]
        alone = own(**given).logits
    real = given["attention_mask"].bool() if family == "llama" else slice(None)
    torch.testing.assert_close(found[1][real], found[0][real], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(found[1][0], alone[0], atol=1e-5)
    torch.testing.assert_close(found[1][2], alone[2], atol=1e-5, rtol=1e-4)
    assert not watched(own.get_base_model())


@pytest.mark.parametrize("beams", [1, 2])
def test_each_text_is_generated_through_its_own_adapter_while_rows_end_and_change_places(pair, beams):
    family, theirs, own = pair
    if family == "bert":  # it writes no texts
        return
    ids = four(family)["input_ids"]
    how = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "max_new_tokens": 6, "num_beams": beams}
    found = [model.generate(**how, do_sample=False, adapter_names=NAMES).tolist() for model in (theirs, own)]
    assert found[0] == found[1]


def test_what_cannot_be_told_apart_is_refused(pair):
    own, given = pair[2], four(pair[0])
    with pytest.raises(ValueError, match="non-existing adapter.*three"):
        own(**given, adapter_names=["three"] * 4)
    with pytest.raises(ValueError, match="has 3 rows, but an adapted leaf reads 4"):
        own(**given, adapter_names=NAMES[:3])
    with pytest.raises(TypeError, match="a list with a name for each row"):
        own(**given, adapter_names="two")
    own.merge_adapter()
    with pytest.raises(ValueError, match="unmerge_adapter"):
        own(**given, adapter_names=NAMES)
    own.unmerge_adapter()
    with pytest.raises(ValueError, match="training mode"):
        own.train()(**given, adapter_names=NAMES)
    own.eval()
