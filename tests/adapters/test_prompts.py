"""Learned prompts beside peft's: what models read, what is generated behind them, files."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch

import formers
import tiny
from adapters.adapted_families import inputs, ours, reference

peft = pytest.importorskip("peft")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")

TASKS = {"llama": "CAUSAL_LM", "bert": "SEQ_CLS", "t5": "SEQ_2_SEQ_LM", "gpt2": "CAUSAL_LM"}
# config class, what it is given, families
METHODS = {
    "prompt tuning": ("PromptTuningConfig", {}, ("llama", "bert", "t5")),
    "p-tuning by an MLP": ("PromptEncoderConfig", {"encoder_hidden_size": 12}, ("gpt2", "t5")),
    "p-tuning by an LSTM": (
        "PromptEncoderConfig",
        {"encoder_hidden_size": 12, "encoder_reparameterization_type": "LSTM"},
        ("bert",),
    ),
    "prefix tuning": ("PrefixTuningConfig", {}, ("llama", "t5")),
    "prefix tuning by a network": (
        "PrefixTuningConfig",
        {"prefix_projection": True, "encoder_hidden_size": 12},
        ("gpt2",),
    ),
}
CASES = [(method, family) for method, (_, _, families) in METHODS.items() for family in families]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Family -> the ecosystem's model and ours, with the same weights."""
    found = {}
    for family in TASKS:
        folder = tmp_path_factory.mktemp(family)
        found[family] = reference(family, folder), ours(family, folder)
    return found


def config(library, method, family):
    kind, values, _ = METHODS[method]
    return getattr(library, kind)(task_type=TASKS[family], num_virtual_tokens=3, **values)


def adapted(library, model, method, family):
    torch.manual_seed(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return library.get_peft_model(copy.deepcopy(model), config(library, method, family)).eval()


def logits(model, family, **more):
    with torch.no_grad():
        found = model(**inputs(family), **more).logits
    return found if family in ("bert", "t5") else torch.cat([found[0, :-2], found[1]])


def close(a, b):
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("method", "family"), CASES)
def test_prompts_are_read_as_peft_s_and_each_reads_the_other_s_files(models, tmp_path, method, family):
    theirs, own = models[family]
    adapted_there = adapted(peft, theirs, method, family)
    adapted_there.save_pretrained(tmp_path / "theirs")
    fresh = formers.PeftModel.from_pretrained(copy.deepcopy(own), tmp_path / "theirs")
    close(logits(fresh, family), logits(adapted_there, family))
    mine = adapted(formers, own, method, family)
    assert mine.get_nb_trainable_parameters()[0] == adapted_there.get_nb_trainable_parameters()[0]
    mine.save_pretrained(tmp_path / "own")
    back = peft.PeftModel.from_pretrained(copy.deepcopy(theirs), tmp_path / "own").eval()
    close(logits(back, family), logits(mine, family))
    with mine.disable_adapter():
        close(logits(mine, family), logits(own, family))


@pytest.mark.parametrize(("method", "family"), CASES)
def test_prompts_alone_are_trained(models, method, family):
    model = adapted(formers, models[family][1], method, family)
    given = inputs(family)
    labels = torch.tensor([0, 1]) if family == "bert" else given["input_ids"]
    if family == "t5":
        del given["decoder_input_ids"]
    model(**given, labels=labels).loss.backward()
    trained = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert any("prompt_encoder.default." in name for name in trained)
    assert all("prompt_encoder." in name or "modules_to_save" in name for name in trained)


@pytest.mark.parametrize(("method", "family"), [case for case in CASES if case[1] != "bert"])
def test_texts_are_generated_behind_prompts_as_peft_generates_them(models, tmp_path, method, family):
    theirs, own = models[family]
    adapted_there = adapted(peft, theirs, method, family)
    adapted_there.save_pretrained(tmp_path)
    fresh = formers.PeftModel.from_pretrained(copy.deepcopy(own), tmp_path)
    ids = inputs(family)["input_ids"]
    for beams in (1, 2):
        how = {"max_new_tokens": 5, "do_sample": False, "num_beams": beams, "eos_token_id": None}
        found = [
            model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **how)
            for model in (adapted_there, fresh)
        ]
        assert found[0].tolist() == found[1].tolist()


def test_tokens_begin_as_those_of_a_text_or_of_the_vocabulary(tmp_path):
    folder = tiny.save_classifier(tmp_path)
    how = {"prompt_tuning_init": "TEXT", "prompt_tuning_init_text": "my parcel", "num_virtual_tokens": 6}
    for more in (how | {"tokenizer_name_or_path": str(folder)}, {"prompt_tuning_init": "SAMPLE_VOCAB"}):
        model = formers.AutoModelForSequenceClassification.from_pretrained(folder)
        made = formers.PromptTuningConfig(task_type="SEQ_CLS", **{"num_virtual_tokens": 6, **more})
        adapted = formers.get_peft_model(model, made)
        table = model.get_input_embeddings().weight
        prompts = adapted.base_model.prompt_encoder["default"]()
        assert all(bool((table == row).all(1).any()) for row in prompts)


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_prompts_of_several_tasks_are_read_by_task_as_peft_s(models, tmp_path, family):
    theirs, own = models[family]
    given = {"task_type": TASKS[family], "num_virtual_tokens": 3, "num_tasks": 2, "num_ranks": 2}
    rows, ids = {"task_ids": torch.tensor([1, 0])}, inputs(family)["input_ids"]
    torch.manual_seed(1)
    there = peft.get_peft_model(copy.deepcopy(theirs), peft.MultitaskPromptTuningConfig(**given)).eval()
    there.save_pretrained(tmp_path / "theirs")
    here = formers.PeftModel.from_pretrained(copy.deepcopy(own), tmp_path / "theirs")

    def logits(model, family, task_ids=None):  # the decoder's prompts are read in training alone
        with torch.no_grad():
            found = model(input_ids=ids, labels=ids, task_ids=task_ids)
        return torch.cat([found.loss.flatten(), found.logits.flatten()])

    close(logits(here, family, **rows), logits(there, family, **rows))
    how = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "max_new_tokens": 4, **rows}
    assert here.generate(**how).tolist() == there.generate(**how).tolist()
    here.save_pretrained(tmp_path / "own")
    back = peft.PeftModel.from_pretrained(copy.deepcopy(theirs), tmp_path / "own").eval()
    close(logits(back, family, **rows), logits(there, family, **rows))
    with pytest.raises(ValueError, match="task_ids cannot be None"):
        logits(here, family)
    for start in ("AVERAGE_SOURCE_TASKS", "EXACT_SOURCE_TASK"):
        values = {
            **given,
            "num_tasks": 1,
            "prompt_tuning_init": start,
            "prompt_tuning_init_task": 1,
            "prompt_tuning_init_state_dict_path": str(tmp_path / "theirs" / "adapter_model.safetensors"),
        }
        found = [
            library.get_peft_model(copy.deepcopy(model), library.MultitaskPromptTuningConfig(**values)).eval()
            for library, model in ((peft, theirs), (formers, own))
        ]
        first = {"task_ids": torch.tensor([0, 0])}
        close(logits(found[1], family, **first), logits(found[0], family, **first))


@pytest.mark.parametrize(
    ("kind", "values", "said"),
    [
        ("PromptTuningConfig", {}, "num_virtual_tokens"),
        ("PromptTuningConfig", {"num_virtual_tokens": 2}, "needs a task_type"),
        (
            "PrefixTuningConfig",
            {"num_virtual_tokens": 2, "task_type": "SEQ_CLS"},
            "PREFIX_TUNING is there for",
        ),
    ],
)
def test_prompts_that_cannot_be_are_refused_in_one_sentence(models, kind, values, said):
    with pytest.raises(ValueError, match=said):
        formers.get_peft_model(copy.deepcopy(models["bert"][1]), getattr(formers, kind)(**values))
