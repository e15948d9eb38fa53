"""Whole words are hidden whole, whatever marks the pieces of a vocabulary have."""

from __future__ import annotations

import pytest
import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from formers import DataCollatorForLanguageModeling, DataCollatorForWholeWordMask, PreTrainedTokenizerFast

TEXT = "unbelievable mischarging internationally disconnected, say\nreimbursements"
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def byte_level():
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return backend, trainers.BpeTrainer(initial_alphabet=pre_tokenizers.ByteLevel.alphabet())


def split_byte_level():
    backend, trainer = byte_level()
    split = pre_tokenizers.Split(Regex(r" ?\w+|[^\w\s]+|\s+"), "isolated")
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.pre_tokenizer = pre_tokenizers.Sequence([split, plain])
    return backend, trainer


def metaspace():
    backend = Tokenizer(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    return backend, trainers.UnigramTrainer(unk_token="<unk>")


def replaced_spaces():
    backend = Tokenizer(models.BPE(unk_token="<unk>"))
    backend.normalizer = normalizers.Replace(" ", "▁")
    backend.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    return backend, trainers.BpeTrainer()


def wordpiece():
    backend = Tokenizer(models.WordPiece(unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return backend, trainers.WordPieceTrainer()


def ends_of_words():
    backend = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    return backend, trainers.BpeTrainer(end_of_word_suffix="</w>")


def without_marks():
    backend = Tokenizer(models.BPE(unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    return backend, trainers.BpeTrainer()


MARKED = {
    make.__name__: make for make in list(locals().values()) if getattr(make, "__module__", 0) == __name__
}
UNMARKED = MARKED.pop("without_marks")


def tokenizer_of(make, **settings):
    backend, trainer = make()
    texts = ["unite miss charge inter nation dis connect believe able say burse"] * 3 + [TEXT.upper()]
    kind = type(trainer)
    options = {"special_tokens": SPECIAL, "show_progress": False, "vocab_size": 300}
    if kind is trainers.BpeTrainer:
        options |= {"initial_alphabet": [*pre_tokenizers.ByteLevel.alphabet(), *TEXT, "▁"]}
        if backend.model.end_of_word_suffix:
            options["end_of_word_suffix"] = "</w>"
    if kind is trainers.UnigramTrainer:
        options["unk_token"] = "<unk>"
    backend.train_from_iterator([*texts, *TEXT], kind(**options))
    names = {"pad_token": "<pad>", "mask_token": "<mask>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **names, **settings)


def halves(tokenizer, columns, count=60):
    """How many words were hidden in part, and how many whole, by the words of the tokenizer itself."""
    made = tokenizer([TEXT] * count + ["say " + TEXT], return_offsets_mapping=True)
    rows = [{name: made[name][i] for name in ("input_ids", *columns)} for i in range(count + 1)]
    batch = DataCollatorForWholeWordMask(tokenizer, mlm_probability=0.3, seed=0)(rows)
    part = whole = 0
    for place, labels in enumerate(batch["labels"]):
        words = made.word_ids(place)
        hidden = (labels != -100).tolist()
        hidden = hidden[-len(words) :] if tokenizer.padding_side == "left" else hidden[: len(words)]
        for word in set(words) - {None}:
            hit = [h for h, w in zip(hidden, words, strict=True) if w == word]
            part += any(hit) and not all(hit)
            whole += len(hit) > 1 and all(hit)
    return part, whole


@pytest.mark.parametrize("columns", [(), ("offset_mapping",)], ids=["ids alone", "with offsets"])
@pytest.mark.parametrize("make", MARKED.values(), ids=MARKED)
def test_no_word_is_hidden_in_part(make, columns):
    part, whole = halves(tokenizer_of(make), columns)
    assert part == 0
    assert whole > 30


def test_rows_that_are_padded_on_the_left_keep_their_words():
    part, whole = halves(tokenizer_of(byte_level, padding_side="left"), ())
    assert part == 0
    assert whole > 30


def test_a_vocabulary_without_marks_needs_a_column_and_the_error_names_it():
    tokenizer = tokenizer_of(UNMARKED)
    assert halves(tokenizer, ("offset_mapping",))[0] == 0
    with pytest.raises(ValueError, match="offset_mapping.*word_ids.*remove_unused_columns=False"):
        halves(tokenizer, ())


def test_a_column_of_another_length_is_refused():
    tokenizer = tokenizer_of(byte_level)
    with pytest.raises(ValueError, match="3 tokens, but word_ids of 2"):
        DataCollatorForWholeWordMask(tokenizer)([{"input_ids": [5, 6, 7], "word_ids": [0, 0]}])


def test_the_share_of_hidden_words_is_the_one_asked_for():
    tokenizer = tokenizer_of(byte_level)
    rows = [{"input_ids": tokenizer("say " * 40)["input_ids"]} for _ in range(200)]
    batch = DataCollatorForWholeWordMask(tokenizer, mlm_probability=0.3, seed=0)(rows)
    assert abs((batch["labels"] != -100).float().mean() - 0.3) < 0.02
    assert batch["input_ids"].dtype == torch.int64


def test_hiding_words_without_hiding_is_refused():
    with pytest.raises(ValueError, match="pass mlm=True"):
        DataCollatorForLanguageModeling(tokenizer_of(byte_level), mlm=False, whole_word_mask=True)
