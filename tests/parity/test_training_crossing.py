"""Checkpoints cross over: either trainer goes on from the other's, to the weights of an undisturbed run."""

import random

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file

import formers
from formers.training.checkpointer import Checkpointer
from formers.training.optim import parameter_order
from formers.training.seeds import restore_random_state

COMMON = {"vocab_size": 30, "num_labels": 3, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
SIZES = {
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 20,
}
STILL = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
FAMILIES = {
    "Bert": {**SIZES, **STILL},
    "XLMRoberta": {**SIZES, **STILL},
    "Llama": {**SIZES, "num_key_value_heads": 2},
    "GPT2": {
        "n_embd": 8,
        "n_layer": 2,
        "n_head": 2,
        "n_positions": 20,
        **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0),
    },
}
TASK = "ForSequenceClassification"


def rows():
    draw = np.random.default_rng(0)
    return [
        {"input_ids": draw.integers(3, 30, 6).tolist(), "label": int(draw.integers(3))} for _ in range(10)
    ]


def trainer_of(library, start, folder, family, **options):
    given = {
        "per_device_train_batch_size": 2,
        "num_train_epochs": 2,
        "learning_rate": 0.01,
        "weight_decay": 0.1,
        # a key's bias has no gradient but rounding, which a smaller one would blow up to whole steps
        "adam_epsilon": 1e-5,
        "save_steps": 3,
        "logging_steps": 2,
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        "seed": 5,
        **options,
    }
    model = getattr(library, family + TASK).from_pretrained(str(start))
    return library.Trainer(
        model,
        library.TrainingArguments(str(folder), **given),
        formers.default_data_collator,
        train_dataset=rows(),
    )


def weights(trainer, folder):
    """The trained weights as a folder that either library reads."""
    trainer.save_model(str(folder))
    return load_file(str(folder / "model.safetensors"))


@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize(("first", "second"), [(transformers, formers), (formers, transformers)])
def test_a_run_that_changes_trainers_half_way_ends_as_one_that_does_not(tmp_path, family, first, second):
    torch.manual_seed(0)
    config = getattr(transformers, family + "Config")(**COMMON, **FAMILIES[family])
    start = tmp_path / "start"
    getattr(transformers, family + TASK)(config).save_pretrained(start)
    whole = trainer_of(first, start, tmp_path / "whole", family)
    whole.train()
    changed = trainer_of(second, start, tmp_path / "changed", family)
    # in the midst of the first epoch, which has five steps
    result = changed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-3"))
    assert changed.state.global_step == 10
    expected = weights(whole, tmp_path / "one")
    found = weights(changed, tmp_path / "two")
    assert set(found) == set(expected)
    for name, tensor in expected.items():
        assert torch.allclose(found[name], tensor, atol=1e-5), name
    # and once more, across the seam
    again = trainer_of(first, start, tmp_path / "again", family)
    again.train(resume_from_checkpoint=str(tmp_path / "changed" / "checkpoint-6"))
    for name, tensor in weights(again, tmp_path / "three").items():
        assert torch.allclose(tensor, expected[name], atol=1e-5), name
    if second is formers:
        assert result.training_loss == pytest.approx(
            np.mean([entry["loss"] for entry in whole.state.log_history if "loss" in entry]), rel=0.2
        )


HEADS = ("Model", "ForCausalLM", "ForMaskedLM", "ForSequenceClassification", "ForTokenClassification")
HEADS += ("ForQuestionAnswering", "ForMultipleChoice", "ForConditionalGeneration", "LMHeadModel")
HEADS += ("ForAudioClassification",)
MORE = {
    "Roberta": FAMILIES["XLMRoberta"],
    "Camembert": FAMILIES["XLMRoberta"],
    "DistilBert": {"dim": 8, "n_layers": 2, "n_heads": 2, "hidden_dim": 12, "max_position_embeddings": 20},
    "T5": {"d_model": 8, "d_kv": 4, "d_ff": 12, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 0},
    "Bart": {
        "d_model": 8,
        **{f"{side}_layers": 2 for side in ("encoder", "decoder")},
        **{f"{side}_attention_heads": 2 for side in ("encoder", "decoder")},
        **{f"{side}_ffn_dim": 12 for side in ("encoder", "decoder")},
    },
}
MORE["MBart"] = MORE["Bart"]
MORE["Whisper"] = {**MORE["Bart"], "use_weighted_layer_sum": True}


@pytest.mark.parametrize("family", [*FAMILIES, *MORE])
def test_the_optimizer_s_file_counts_parameters_in_the_reference_s_order(family):
    """Two matrices of one shape that change places would train on, with each other's moments."""
    sizes = {**COMMON, **{**FAMILIES, **MORE}[family], "num_labels": 2}
    seen = 0
    for head in HEADS:
        kinds = [getattr(library, family + head, None) for library in (transformers, formers)]
        if None in kinds:
            continue
        theirs = kinds[0](getattr(transformers, family + "Config")(**sizes))
        ours = kinds[1](getattr(formers, family + "Config")(**sizes))
        optimizer = torch.optim.SGD(ours.parameters(), lr=0.1)
        names = parameter_order.to_file(optimizer, ours)["param_groups"][0]["param_names"]
        # a shared weight has the first of its names on either side: compare all of them
        shared = {}
        for name, parameter in ours.named_parameters(remove_duplicate=False):
            shared.setdefault(id(parameter), set()).add(name)
        groups = {name: group for group in shared.values() for name in group}
        assert [groups[name] for name in names] == [groups[name] for name, _ in theirs.named_parameters()], (
            head
        )
        seen += 1
    assert seen >= 4


def test_generators_of_the_reference_s_checkpoint_come_back(tmp_path):
    torch.manual_seed(0)
    config = transformers.BertConfig(**COMMON, **FAMILIES["Bert"])
    transformers.BertForSequenceClassification(config).save_pretrained(tmp_path / "start")
    trainer_of(transformers, tmp_path / "start", tmp_path / "run", "Bert", max_steps=3).train()
    ours = trainer_of(formers, tmp_path / "start", tmp_path / "ours", "Bert", max_steps=3)
    drawn = []
    for _ in range(2):
        restore_random_state(Checkpointer(ours).read_generators(tmp_path / "run" / "checkpoint-3")["now"])
        drawn.append((random.random(), np.random.rand(), torch.rand(1).item()))
    assert drawn[0] == drawn[1]
