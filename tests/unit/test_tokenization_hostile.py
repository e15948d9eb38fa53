"""Files and calls that no tokenizer can make sense of end in a sentence, never in a crash of the process."""

from __future__ import annotations

import base64
import json

import pytest
from tokenizers import Tokenizer, models

from formers import AutoTokenizer, BertTokenizer, PreTrainedTokenizerFast
from formers.tokenization import load, sentencepiece
from formers.tokenization.checks import MOST_CHARACTERS, check_charsmap
from parity.tokenization_samples import WORDPIECE_SPECIAL, write_json, write_unigram

VOCAB = {token: index for index, token in enumerate([*WORDPIECE_SPECIAL, "the", "boat"])}


def state(model, **parts):
    return {**json.loads(Tokenizer(model).to_str()), **parts}


def broken(charsmap):
    table = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap).decode()}
    return state(models.WordLevel(VOCAB, "[UNK]"), normalizer=table)


def unigram_with(piece):
    made = state(models.Unigram([("<unk>", 0.0), ("a", -1.0)], 0))
    made["model"]["vocab"].append([piece, -2.0])
    return made


FRAME = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "[GONE]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
    "special_tokens": {},
}
MERGES = state(models.BPE({"a": 0, "b": 1}, []))
MERGES["model"] |= {"merges": [["a", "b"]], "continuing_subword_prefix": "##"}
FILES = {
    "a piece that would end the process": (unigram_with("b" * 200_000), "a piece of more than"),
    "a piece with escapes": (unigram_with('"' * (MOST_CHARACTERS + 1)), "a piece of more than"),
    "a frame of a token that is not there": (
        state(models.WordLevel(VOCAB, "[UNK]"), post_processor=FRAME),
        r"names '\[GONE\]', which is not among its special_tokens",
    ),
    "a table without a tree": (broken(b""), "cannot read"),
    "a table that leads out of itself": (broken(b"\4\0\0\0\1\2\3\4x"), "precompiled charsmap.*is broken"),
    "a table of leaves": (broken(b"\0\1\0\0" + b"\xff" * 256 + b"x"), "precompiled charsmap.*is broken"),
    "merges of what is not there": (MERGES, "cannot read"),
    "a list": ([], "cannot read"),
}


@pytest.mark.parametrize(("content", "said"), FILES.values(), ids=FILES)
def test_a_broken_tokenizer_json_is_refused_before_it_is_used(content, said, tmp_path):
    write_json(tmp_path / "tokenizer.json", content)
    with pytest.raises(ValueError, match=said):
        load(tmp_path)


def test_a_vocabulary_that_fails_at_a_text_says_so(tmp_path):
    made = state(models.BPE({"a": 0}, []))
    made["model"]["unk_token"] = "<gone>"
    write_json(tmp_path / "tokenizer.json", made)
    with pytest.raises(ValueError, match="cannot encode a text of this batch: Unk token `<gone>` not found"):
        load(tmp_path)("b")


def test_a_sentencepiece_file_is_held_to_the_same_bounds(tmp_path):
    path = write_unigram(tmp_path / "spiece.model")
    charsmap = sentencepiece.read(path).charsmap
    check_charsmap(charsmap, "a good file")
    for place in (4, 9, 4096):
        wrong = charsmap[:place] + b"\xff\xff\xff\x7f" + charsmap[place + 4 :]
        with pytest.raises(ValueError, match="is broken"):
            check_charsmap(wrong, "a broken one")
        assert wrong != charsmap
    with pytest.raises(ValueError, match="is broken"):
        check_charsmap(charsmap[:-2000], "a short one") or check_charsmap(charsmap[:100], "a short one")
    long = b"\x0a" + bytes([0x80 | (5000 & 0x7F), 5000 >> 7]) + b"p" * 5000
    path.write_bytes(path.read_bytes() + b"\x0a" + bytes([0x80 | (len(long) & 0x7F), len(long) >> 7]) + long)
    with pytest.raises(ValueError, match="a piece of 5000 characters"):
        sentencepiece.read(path)


SETTINGS = {
    "model_max_length": ("long", float("inf"), -1, True, [5]),
    "padding_side": (1, ["left"]),
    "pad_token_type_id": ("0", -1, 1.5),
    "model_input_names": ("input_ids", [1], {}),
    "additional_special_tokens": ("<x>", 5),
    "extra_special_tokens": (5, "x"),
    "added_tokens_decoder": ([], {"x": "y"}, {"-1": "y"}),
    "tokenizer_class": (5, ["BertTokenizer"]),
    "chat_template": (5, [{"name": "x"}]),
    "do_lower_case": ("yes", []),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_of_another_type_are_named(name, tmp_path):
    BertTokenizer(vocab=VOCAB).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    for value in SETTINGS[name]:
        write_json(tmp_path / "tokenizer_config.json", {**config, name: value})
        with pytest.raises(ValueError, match=f"{name}|no id of an added token"):
            load(tmp_path)


def test_files_that_are_nested_too_deep_are_refused(tmp_path):
    BertTokenizer(vocab=VOCAB).save_pretrained(tmp_path)
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        kept = (tmp_path / name).read_text()
        (tmp_path / name).write_text('{"a":' * 100_000 + "1" + "}" * 100_000)
        with pytest.raises(ValueError, match="deep"):
            load(tmp_path)
        (tmp_path / name).write_text(kept)
    assert load(tmp_path)("the")["input_ids"] == [2, 5, 3]


@pytest.fixture
def bert():
    return BertTokenizer(vocab=VOCAB, model_max_length=12)


@pytest.mark.parametrize("wrong", [-1, 2**32, 2**70, -(2**70)])
def test_ids_that_no_vocabulary_has_are_refused_alike(bert, wrong):
    for call in (bert.decode, bert.convert_ids_to_tokens):
        for ids in (wrong, [5, wrong]):
            with pytest.raises(ValueError, match=f"cannot decode id {wrong}: ids are"):
                call(ids)
    with pytest.raises(ValueError, match="no token has the id"):
        bert.pad_token_id = wrong


@pytest.mark.parametrize("wrong", [[1.5], [None], ["the"], [True], [[5, None]]])
def test_what_is_no_id_is_refused(bert, wrong):
    with pytest.raises(TypeError):
        bert.decode(wrong)


CALLS = {
    "a width beyond memory": (
        lambda t: t("the", padding=True, pad_to_multiple_of=2**40),
        ValueError,
        "padded to",
    ),
    "a length beyond memory": (
        lambda t: t("the", padding="max_length", max_length=2**50),
        ValueError,
        "padded to",
    ),
    "tokens by no name": (lambda t: t.add_special_tokens(["<x>"]), TypeError, "given by name"),
    "a number for tokens": (lambda t: t.add_tokens(5), TypeError, "not a int"),
    "a number for a token": (lambda t: t.convert_tokens_to_ids(5), TypeError, "list of tokens"),
    "an empty encoding": (lambda t: t.decode({}), ValueError, "with 'input_ids'"),
    "a number for a vocabulary": (lambda t: BertTokenizer(vocab=[1, 2]), TypeError, "vocab must map"),
    "text for a backend": (
        lambda t: PreTrainedTokenizerFast(tokenizer_object="x"),
        TypeError,
        "tokenizers.Tokenizer",
    ),
    "a number for a config": (
        lambda t: AutoTokenizer.register(5, BertTokenizer),
        TypeError,
        "config class first",
    ),
}


@pytest.mark.parametrize(("call", "kind", "said"), CALLS.values(), ids=CALLS)
def test_calls_of_the_wrong_kind_end_in_a_sentence(bert, call, kind, said):
    with pytest.raises(kind, match=said):
        call(bert)


def test_nothing_gives_no_tokens(bert):
    assert bert.tokenize([]) == []
    assert bert.decode([]) == ""


def test_the_oldest_word_for_padding_still_pads_and_cuts(bert):
    found = bert(["the"], pad_to_max_length=True, max_length=4)
    assert found["input_ids"] == [[2, 5, 3, 0]]
    assert bert("the boat the", pad_to_max_length=True, max_length=4)["input_ids"] == [2, 5, 6, 3]


def test_the_older_calls_know_the_oldest_word_for_padding_too(bert):
    older = {"pad_to_max_length": True, "max_length": 4}
    for call in (bert.encode_plus, bert.prepare_for_model):
        assert call([5], **older)["input_ids"] == [2, 5, 3, 0]
        assert call([5, 6, 5], **older)["input_ids"] == [2, 5, 6, 3]
    assert bert.encode("the", **older) == [2, 5, 3, 0]
    found = bert.batch_encode_plus(["the", "the boat the"], **older)
    assert found["input_ids"] == [[2, 5, 3, 0], [2, 5, 6, 3]]
    assert found["attention_mask"] == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert bert.encode_plus("the", pad_to_max_length=False, max_length=4)["input_ids"] == [2, 5, 3]
