"""Every form in which a checkpoint may lie on the disk loads, and the ecosystem reads what is saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import formers
from formers.checkpoints import LoadError
from formers.core.notices import Notice
from tests.parity.shapes import batch, write_checkpoint

HEADED = [
    ("bert", "plain", "BertForSequenceClassification"),
    ("distilbert", "plain", "DistilBertForSequenceClassification"),
    ("roberta", "plain", "RobertaForMaskedLM"),
    ("gpt2", "plain", "GPT2LMHeadModel"),
    ("llama", "grouped heads", "LlamaForCausalLM"),
]
each_family = pytest.mark.parametrize(("model_type", "shape", "name"), HEADED, ids=[h[2] for h in HEADED])


def run(model: Any, name: str) -> torch.Tensor:
    inputs = batch(name, model.config.pad_token_id or 0)
    with torch.no_grad():
        output = model(**inputs)[0]
    return output[inputs["attention_mask"].bool()] if output.dim() == 3 else output


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert sorted(one) == sorted(other)
    for name, value in one.items():
        assert value.dtype == other[name].dtype, name
        assert torch.equal(value, other[name]), name


def load_quietly(name: str, folder: Path, **options: Any) -> Any:
    """Load where new heads are expected, without the notice becoming an error."""
    with pytest.warns(Notice, match="initialised afresh"):
        return getattr(formers, name).from_pretrained(folder, **options)


@each_family
def test_shards_come_and_go(model_type: str, shape: str, name: str, tmp_path: Path) -> None:
    theirs = write_checkpoint(model_type, shape, name, tmp_path / "one")
    theirs.save_pretrained(tmp_path / "theirs", max_shard_size="30KB")
    assert len(list((tmp_path / "theirs").glob("*.safetensors"))) > 1

    ours = getattr(formers, name).from_pretrained(tmp_path / "theirs")
    torch.testing.assert_close(run(ours, name), run(theirs, name), atol=1e-5, rtol=1e-5)

    ours.save_pretrained(tmp_path / "ours", max_shard_size="20KB")
    names = sorted(path.name for path in (tmp_path / "ours").glob("*.safetensors"))
    index = json.loads((tmp_path / "ours" / "model.safetensors.index.json").read_text())
    assert len(names) > 1
    assert sorted(set(index["weight_map"].values())) == names
    again = type(theirs).from_pretrained(tmp_path / "ours")
    same(again.state_dict(), theirs.state_dict())


def test_shards_of_the_same_size_are_the_references_files(tmp_path: Path) -> None:
    theirs = write_checkpoint("bert", "plain", "BertForMaskedLM", tmp_path / "one")
    theirs.save_pretrained(tmp_path / "theirs", max_shard_size="30KB")
    ours = formers.BertForMaskedLM.from_pretrained(tmp_path / "theirs")
    ours.save_pretrained(tmp_path / "ours", max_shard_size="30KB")
    for path in sorted((tmp_path / "theirs").glob("*.safetensors*")):
        written = tmp_path / "ours" / path.name
        if path.suffix == ".json":
            expected, found = json.loads(path.read_text()), json.loads(written.read_text())
            assert found["weight_map"] == expected["weight_map"]
        else:
            assert written.read_bytes() == path.read_bytes(), path.name


@each_family
def test_bin_files_come_and_go(model_type: str, shape: str, name: str, tmp_path: Path) -> None:
    theirs = write_checkpoint(model_type, shape, name, tmp_path / "one")
    folder = tmp_path / "old"
    folder.mkdir()
    theirs.config.save_pretrained(folder)
    torch.save(theirs.state_dict(), folder / "pytorch_model.bin")

    ours = getattr(formers, name).from_pretrained(folder)
    torch.testing.assert_close(run(ours, name), run(theirs, name), atol=1e-5, rtol=1e-5)

    ours.save_pretrained(tmp_path / "ours", safe_serialization=False)
    assert not list((tmp_path / "ours").glob("*.safetensors"))
    written = torch.load(tmp_path / "ours" / "pytorch_model.bin", weights_only=True)
    table = theirs.state_dict()
    assert all(torch.equal(value, table[key]) for key, value in written.items())
    assert getattr(formers, name).from_pretrained(tmp_path / "ours").load_report.loaded == len(written)


def test_a_variant_has_files_of_its_own(tmp_path: Path) -> None:
    write_checkpoint("bert", "plain", "BertModel", tmp_path / "one")
    half = formers.BertModel.from_pretrained(tmp_path / "one").half()
    half.save_pretrained(tmp_path / "one", variant="fp16")
    assert formers.BertModel.from_pretrained(tmp_path / "one").dtype == torch.float32
    assert formers.BertModel.from_pretrained(tmp_path / "one", variant="fp16").dtype == torch.float16
    read = transformers.BertModel.from_pretrained(tmp_path / "one", variant="fp16")
    assert all(torch.equal(value, half.state_dict()[key]) for key, value in read.state_dict().items())


def test_names_of_the_first_years_load_and_are_saved_in_today_s_spelling(tmp_path: Path) -> None:
    theirs = write_checkpoint("bert", "plain", "BertForMaskedLM", tmp_path / "new")
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in load_file(tmp_path / "new" / "model.safetensors").items()
    }
    assert sum(name.endswith("gamma") for name in old) == 8
    old["bert.embeddings.position_ids"] = torch.arange(40)[None]
    (tmp_path / "old").mkdir()
    theirs.config.save_pretrained(tmp_path / "old")
    torch.save(old, tmp_path / "old" / "pytorch_model.bin")

    ours = formers.BertForMaskedLM.from_pretrained(tmp_path / "old")
    assert ours.load_report.renamed["bert.embeddings.LayerNorm.weight"] == "bert.embeddings.LayerNorm.gamma"
    assert not ours.load_report.new
    ours.save_pretrained(tmp_path / "ours")
    written = (tmp_path / "ours" / "model.safetensors").read_bytes()
    assert written == (tmp_path / "new" / "model.safetensors").read_bytes()


@pytest.mark.parametrize("model_type", ["bert", "distilbert", "roberta", "gpt2", "llama"])
def test_a_base_model_s_file_fills_a_model_with_a_head_and_only_the_head_is_new(
    model_type: str, tmp_path: Path
) -> None:
    prefix = {
        "bert": "Bert",
        "distilbert": "DistilBert",
        "roberta": "Roberta",
        "gpt2": "GPT2",
        "llama": "Llama",
    }[model_type]
    shape = "grouped heads" if model_type == "llama" else "plain"
    theirs = write_checkpoint(model_type, shape, f"{prefix}Model", tmp_path)
    name = f"{prefix}ForSequenceClassification"
    torch.manual_seed(0)
    ours = load_quietly(name, tmp_path, num_labels=3)

    base = ours.base_model.state_dict()
    assert all(torch.equal(value, base[key]) for key, value in theirs.state_dict().items() if key in base)
    start = f"{ours.base_model_prefix}."
    assert ours.load_report.new
    assert not any(name.startswith(start) for name in ours.load_report.new)
    assert all(torch.isfinite(p).all() for p in ours.parameters())
    assert ours.state_dict()[ours.load_report.new[0]].shape[0] in (3, theirs.config.hidden_size)


def test_the_new_head_is_said_once(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    write_checkpoint("bert", "plain", "BertModel", tmp_path)
    for _ in range(2):
        load_quietly_or_not(tmp_path)
    said = [str(w.message) for w in recwarn if issubclass(w.category, Notice)]
    assert len(said) == 1
    assert "classifier.weight, classifier.bias" in said[0]
    assert "Train" in said[0]


def load_quietly_or_not(folder: Path) -> Any:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        return formers.BertForSequenceClassification.from_pretrained(folder)


@each_family
def test_a_file_with_a_head_fills_a_base_model(
    model_type: str, shape: str, name: str, tmp_path: Path
) -> None:
    theirs = write_checkpoint(model_type, shape, name, tmp_path)
    if model_type == "roberta":  # its masked-LM checkpoints hold no pooler
        ours = load_quietly("AutoModel", tmp_path)
        assert ours.load_report.new == ["pooler.dense.weight", "pooler.dense.bias"]
    else:
        ours = formers.AutoModel.from_pretrained(tmp_path)
        assert not ours.load_report.new
    assert not ours.load_report.missing
    base = theirs.base_model.state_dict()
    found = ours.state_dict()
    assert all(torch.equal(value, found[key]) for key, value in base.items())


def test_a_head_for_another_task_is_left_in_the_file_without_a_word(tmp_path: Path) -> None:
    write_checkpoint("bert", "plain", "BertForMaskedLM", tmp_path)
    ours = load_quietly("BertForTokenClassification", tmp_path, num_labels=4)
    assert ours.load_report.new == ["classifier.weight", "classifier.bias"]
    assert not ours.load_report.unexpected
    assert all(name.startswith("cls.") for name in ours.load_report.other_heads)


def test_another_number_of_labels_has_to_be_meant(tmp_path: Path) -> None:
    theirs = write_checkpoint("bert", "plain", "BertForSequenceClassification", tmp_path)  # five labels
    with pytest.raises(LoadError, match=r"classifier\.weight is \[5, 32\].*\[3, 32\]") as caught:
        formers.BertForSequenceClassification.from_pretrained(tmp_path, num_labels=3)
    assert "ignore_mismatched_sizes=True" in str(caught.value)

    ours = load_quietly("BertForSequenceClassification", tmp_path, num_labels=3, ignore_mismatched_sizes=True)
    assert [name for name, _, _ in ours.load_report.mismatched] == ["classifier.weight", "classifier.bias"]
    assert ours.classifier.weight.shape == (3, 32)
    assert ours.config.num_labels == 3
    assert not ours.classifier.bias.any()
    base = theirs.bert.state_dict()
    same(ours.bert.state_dict(), base)


def test_a_missing_weight_of_the_trunk_is_an_error_that_lists_all(tmp_path: Path) -> None:
    write_checkpoint("bert", "plain", "BertForSequenceClassification", tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    lost = [name for name in tensors if ".layer.1.attention.self." in name]
    for name in lost:
        del tensors[name]
    tensors["bert.embeddings.word_embeddings.weight"] = torch.zeros(7, 32)
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(LoadError) as caught:
        formers.AutoModelForSequenceClassification.from_pretrained(tmp_path)
    text = str(caught.value)
    assert all(name in text for name in lost)
    assert "bert.embeddings.word_embeddings.weight is [7, 32] in the file and [101, 32] in the model" in text
    assert "model.safetensors" in text


@pytest.mark.parametrize("stored", [torch.bfloat16, torch.float16])
def test_a_half_precision_file_stays_what_it_is_unless_another_dtype_is_wanted(
    stored: torch.dtype, tmp_path: Path
) -> None:
    theirs = write_checkpoint("bert", "plain", "BertForSequenceClassification", tmp_path / "full").to(stored)
    theirs.save_pretrained(tmp_path / "half")

    def dtypes(**options: Any) -> set[torch.dtype]:
        model = formers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "half", **options)
        same(
            {k: v.to(stored) for k, v in model.state_dict().items()},
            theirs.state_dict(),
        )
        assert getattr(torch, model.config.dtype) == model.dtype
        return {p.dtype for p in model.parameters()}

    assert dtypes() == dtypes(dtype="auto") == dtypes(torch_dtype="auto") == {stored}
    assert (
        dtypes(dtype=torch.float32)
        == dtypes(torch_dtype="float32")
        == dtypes(dtype="fp32")
        == {torch.float32}
    )

    model = formers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "half")
    model.save_pretrained(tmp_path / "ours")
    half = tmp_path / "half" / "model.safetensors"
    assert (tmp_path / "ours" / "model.safetensors").read_bytes() == half.read_bytes()
    assert json.loads((tmp_path / "ours" / "config.json").read_text())["dtype"] == str(stored)[6:]


@pytest.mark.parametrize("device_map", ["cpu", "auto", {"": "cpu"}, torch.device("cpu")])
def test_a_device_map_gives_the_same_model(device_map: Any, tmp_path: Path) -> None:
    theirs = write_checkpoint("llama", "grouped heads", "LlamaForCausalLM", tmp_path)
    ours = formers.AutoModelForCausalLM.from_pretrained(tmp_path, device_map=device_map)
    same(ours.state_dict(), theirs.state_dict())
    torch.testing.assert_close(
        run(ours, "LlamaForCausalLM"), run(theirs, "LlamaForCausalLM"), atol=1e-5, rtol=1e-5
    )
    assert set(map(str, ours.hf_device_map.values())) == {"cpu"}


def test_layers_on_disk_answer_as_layers_in_memory(tmp_path: Path) -> None:
    theirs = write_checkpoint("bert", "plain", "BertForSequenceClassification", tmp_path / "made")
    places = {"bert.embeddings": "cpu", "bert.encoder.layer.0": "cpu", "bert.encoder.layer.1": "disk",
              "bert.encoder.layer.2": "disk", "bert.pooler": "cpu", "classifier": "cpu"}  # fmt: skip
    ours = formers.BertForSequenceClassification.from_pretrained(
        tmp_path / "made", device_map=places, offload_folder=tmp_path / "disk"
    )
    assert ours.bert.encoder.layer[1].output.dense.weight.is_meta
    name = "BertForSequenceClassification"
    torch.testing.assert_close(run(ours, name), run(theirs, name), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("model_type", "shape", "name"),
    [
        ("bert", "plain", "BertForMaskedLM"),
        ("roberta", "plain", "RobertaForMaskedLM"),
        ("gpt2", "plain", "GPT2LMHeadModel"),
    ],
)
def test_tied_weights_are_one_tensor_in_memory_and_in_the_file(
    model_type: str, shape: str, name: str, tmp_path: Path
) -> None:
    write_checkpoint(model_type, shape, name, tmp_path / "theirs")
    ours = getattr(formers, name).from_pretrained(tmp_path / "theirs")
    assert ours.get_output_embeddings().weight is ours.get_input_embeddings().weight
    ours.save_pretrained(tmp_path / "ours")
    stored, held = load_file(tmp_path / "ours" / "model.safetensors"), ours.state_dict()
    assert set(held) - set(stored) == set(ours.all_tied_weights_keys)
    assert len({value.data_ptr() for value in held.values()}) == len(stored)


def test_a_file_that_holds_a_tied_table_twice_loads_as_one(tmp_path: Path) -> None:
    theirs = write_checkpoint("gpt2", "plain", "GPT2LMHeadModel", tmp_path)
    table = {name: value.clone() for name, value in theirs.state_dict().items()}
    (tmp_path / "model.safetensors").unlink()
    torch.save(table, tmp_path / "pytorch_model.bin")
    ours = formers.GPT2LMHeadModel.from_pretrained(tmp_path)
    assert ours.lm_head.weight is ours.transformer.wte.weight


def test_an_untied_output_table_stays_apart(tmp_path: Path) -> None:
    theirs = write_checkpoint("bert", "untied, relu, two heads", "BertForMaskedLM", tmp_path / "theirs")
    ours = formers.BertForMaskedLM.from_pretrained(tmp_path / "theirs")
    assert ours.get_output_embeddings().weight is not ours.get_input_embeddings().weight
    ours.save_pretrained(tmp_path / "ours")
    again = type(theirs).from_pretrained(tmp_path / "ours")
    same(again.state_dict(), theirs.state_dict())


def test_a_model_that_was_trained_in_place_does_not_change_the_file_it_came_from(tmp_path: Path) -> None:
    write_checkpoint("bert", "plain", "BertForSequenceClassification", tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()
    ours = formers.BertForSequenceClassification.from_pretrained(tmp_path).train()
    optimizer = torch.optim.SGD(ours.parameters(), lr=0.1)
    inputs = batch("BertForSequenceClassification", 0)
    ours(**inputs, labels=torch.tensor([0, 1, 2, 3])).loss.backward()
    optimizer.step()
    assert (tmp_path / "model.safetensors").read_bytes() == before

    ours.save_pretrained(tmp_path)  # over the very file whose pages the weights are
    again = formers.BertForSequenceClassification.from_pretrained(tmp_path)
    same(again.state_dict(), ours.state_dict())


def test_weights_from_a_state_dict(tmp_path: Path) -> None:
    theirs = write_checkpoint("bert", "plain", "BertForSequenceClassification", tmp_path)
    config = formers.BertConfig.from_pretrained(tmp_path)
    ours = formers.BertForSequenceClassification.from_pretrained(
        None, config=config, state_dict=theirs.state_dict()
    )
    same(ours.state_dict(), theirs.state_dict())


def test_a_saved_state_dict_may_be_another_than_the_model_s(tmp_path: Path) -> None:
    write_checkpoint("bert", "plain", "BertModel", tmp_path / "made")
    ours = formers.BertModel.from_pretrained(tmp_path / "made")
    averaged = {name: value + 1 for name, value in ours.state_dict().items()}
    ours.save_pretrained(tmp_path / "ours", state_dict=averaged)
    same(load_file(tmp_path / "ours" / "model.safetensors"), averaged)


def test_loading_info_has_the_ecosystem_s_keys(tmp_path: Path) -> None:
    write_checkpoint("bert", "plain", "BertForMaskedLM", tmp_path)
    with pytest.warns(Notice, match="initialised afresh"):
        model, info = formers.BertForSequenceClassification.from_pretrained(
            tmp_path, output_loading_info=True
        )
    assert isinstance(model, formers.BertForSequenceClassification)
    assert set(info["missing_keys"]) >= {"classifier.weight", "classifier.bias"}
    assert all(name.startswith("cls.") for name in info["unexpected_keys"])
    assert not info["mismatched_keys"]
    assert not info["error_msgs"]
