"""Which class reads a checkpoint, what its row says, and that nothing guessed is saved."""

from __future__ import annotations

import json
import warnings

import pytest

import formers
from formers import AutoTokenizer
from formers.core.notices import Notice
from formers.tokenization import BertTokenizer, PreTrainedTokenizerFast, load
from formers.tokenization.recipes import CLASSES, RECIPES
from parity.tokenization_samples import WORDPIECE_SPECIAL, write_json

VOCAB = {token: index for index, token in enumerate([*WORDPIECE_SPECIAL, "the", "boat", "sails"])}


@pytest.fixture
def folder(tmp_path):
    """A BERT-like tokenizer.json, without a word beside it."""
    BertTokenizer(vocab=VOCAB).save_pretrained(tmp_path)
    for name in ("tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        (tmp_path / name).unlink()
    return tmp_path


def saved_config(tokenizer, folder):
    tokenizer.save_pretrained(folder)
    return json.loads((folder / "tokenizer_config.json").read_text())


def test_every_named_class_is_importable_in_both_spellings():
    assert formers.Qwen2TokenizerFast is formers.Qwen2Tokenizer
    assert formers.ElectraTokenizer is formers.BertTokenizer
    for name, row in CLASSES.items():
        assert getattr(formers, name).recipe is RECIPES[row]


@pytest.mark.parametrize(
    ("name", "inputs", "side"),
    [
        ("Qwen2Tokenizer", ["input_ids", "attention_mask"], "right"),
        ("GemmaTokenizer", ["input_ids", "attention_mask"], "left"),
        ("LlamaTokenizerFast", ["input_ids", "attention_mask"], "left"),
        ("DebertaV2Tokenizer", ["input_ids", "token_type_ids", "attention_mask"], "right"),
    ],
)
def test_the_row_of_a_class_is_obeyed_and_not_the_look_of_its_frame(folder, name, inputs, side):
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": name})
    with warnings.catch_warnings():
        warnings.simplefilter("error", Notice)
        found = load(folder)
    assert list(found("the boat")) == inputs
    assert found.padding_side == side
    assert found("the boat", "sails", return_token_type_ids=False)["input_ids"] == [2, 5, 6, 3, 7, 3]


def test_a_model_type_names_the_class_of_a_tokenizer_json(folder):
    for kind, name in {"mixtral": "Llama", "gemma2": "Gemma", "qwen3": "Qwen2", "whisper": "Whisper"}.items():
        write_json(folder / "config.json", {"model_type": kind})
        assert type(load(folder)).__name__ == f"{name}Tokenizer"


def test_the_config_of_a_model_may_name_the_class_of_its_tokenizer(folder):
    write_json(folder / "config.json", {"model_type": "layoutlmv2", "tokenizer_class": "LlamaTokenizer"})
    assert type(load(folder)).__name__ == "LlamaTokenizer"


def test_a_class_without_a_row_is_noticed_and_its_guesses_are_not_saved(folder, tmp_path):
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "CrowTokenizer", "pad_token": "[PAD]"})
    with pytest.warns(Notice, match="'CrowTokenizer', which is not known here.*guessed, and not saved"):
        found = load(folder)
    config = saved_config(found, tmp_path / "again")
    assert config["tokenizer_class"] == "CrowTokenizer"
    assert not {"model_input_names", "padding_side", "mask_token"} & set(config)


def test_what_the_caller_says_of_an_unknown_class_is_saved(folder, tmp_path):
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "CrowTokenizer"})
    found = load(folder, padding_side="left", model_input_names=["input_ids"])
    config = saved_config(found, tmp_path / "again")
    assert (config["padding_side"], config["model_input_names"]) == ("left", ["input_ids"])
    with pytest.warns(Notice, match="CrowTokenizer"):
        found = load(folder)
    found.padding_side = "left"
    assert saved_config(found, tmp_path / "third")["padding_side"] == "left"


def test_an_unknown_class_whose_config_says_all_is_no_reason_for_a_notice(folder):
    said = {"model_input_names": ["input_ids"], "padding_side": "left"}
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "CrowTokenizer", **said})
    with warnings.catch_warnings():
        warnings.simplefilter("error", Notice)
        assert load(folder).padding_side == "left"


def test_special_tokens_that_were_found_by_their_spelling_are_not_saved(folder, tmp_path):
    found = load(folder)
    assert found.cls_token == "[CLS]"
    assert "cls_token" not in saved_config(found, tmp_path / "as it was")
    found.mask_token = "boat"
    assert saved_config(found, tmp_path / "changed")["cls_token"] == "[CLS]"


def test_a_row_without_its_file_says_which_file_it_needs(tmp_path):
    write_json(tmp_path / "vocab.json", {"a": 0})
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    write_json(tmp_path / "tokenizer_config.json", {"tokenizer_class": "HerbertTokenizer"})
    with pytest.raises(ValueError, match="read from a tokenizer.json alone"):
        load(tmp_path)
    with pytest.raises(TypeError, match="tokenizer_file"):
        formers.HerbertTokenizer(vocab_file=tmp_path / "vocab.json")


class Shouting(PreTrainedTokenizerFast):
    padding_side = "left"
    model_input_names = ["input_ids"]  # noqa: RUF012


def test_class_attributes_of_a_class_of_ones_own_are_obeyed_and_saved(folder, tmp_path):
    found = Shouting.from_pretrained(folder)
    assert list(found("the")) == ["input_ids"]
    config = saved_config(found, tmp_path / "again")
    assert (config["padding_side"], config["model_input_names"]) == ("left", ["input_ids"])


def test_a_registered_class_is_found_by_config_and_by_name(folder):
    class ShoutingConfig(formers.PretrainedConfig):
        model_type = "shouting"

    AutoTokenizer.register(ShoutingConfig, fast_tokenizer_class=Shouting)
    write_json(folder / "config.json", {"model_type": "shouting"})
    assert type(AutoTokenizer.from_pretrained(folder, pad_token="boat")) is Shouting
    (folder / "config.json").unlink()
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "Shouting"})
    assert type(AutoTokenizer.from_pretrained(folder)) is Shouting
    with pytest.raises(ValueError, match="exist_ok=True"):
        AutoTokenizer.register(ShoutingConfig, BertTokenizer)
    with pytest.raises(TypeError, match="takes a tokenizer class"):
        AutoTokenizer.register(ShoutingConfig, "BertTokenizer")


# the frame


PAIRS = {
    "RoBERTa's": ("RobertaProcessing", [2, 5, 3, 3, 6, 3]),
    "BERT's": ("BertProcessing", [2, 5, 3, 6, 3]),
}


@pytest.mark.parametrize(("kind", "ids"), PAIRS.values(), ids=PAIRS)
def test_start_and_end_keywords_leave_a_frame_of_cls_and_sep_alone(folder, kind, ids):
    state = json.loads((folder / "tokenizer.json").read_text())
    state["post_processor"] = {"type": kind, "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}
    if kind == "RobertaProcessing":
        state["post_processor"] |= {"trim_offsets": True, "add_prefix_space": False}
    write_json(folder / "tokenizer.json", state)
    named = {"cls_token": "[CLS]", "sep_token": "[SEP]", "bos_token": "[CLS]", "eos_token": "[SEP]"}
    for given in ({}, {"bos_token": "[MASK]"}, {"eos_token": "[MASK]"}, {"add_bos_token": True}):
        found = load(folder, **{**named, **given})
        assert found("the", "boat")["input_ids"] == ids, given
        found.update_post_processor()
        assert found("the", "boat")["input_ids"] == ids, given
    with pytest.raises(ValueError, match="add_special_tokens=False"):
        load(folder, **named, add_bos_token=False)


def test_a_start_token_still_goes_around_texts_that_have_no_other_frame(folder):
    state = json.loads((folder / "tokenizer.json").read_text())
    write_json(folder / "tokenizer.json", {**state, "post_processor": None})
    found = load(folder, bos_token="[CLS]", eos_token="[SEP]", add_bos_token=True)
    assert found("the", "boat")["input_ids"] == [2, 5, 2, 6]
    found.add_eos_token = True
    assert found("the", "boat")["input_ids"] == [2, 5, 3, 2, 6, 3]


def test_another_cls_token_is_put_where_the_class_has_its_usual_one(folder):
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer"})
    assert load(folder, cls_token="[MASK]")("the", "boat")["input_ids"] == [4, 5, 3, 6, 3]
