"""Tokenizers that people write themselves, by overriding what cuts a text: as on the reference."""

from __future__ import annotations

import pytest
import transformers

import formers

LETTERS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdehlo", "##!"]


def letters(library):
    """A class over either library: letters in small, and signs marked."""

    class Letters(library.PreTrainedTokenizer):
        vocab_files_names = {"vocab_file": "letters.txt"}  # noqa: RUF012
        model_input_names = ["input_ids", "token_type_ids", "attention_mask"]  # noqa: RUF012

        def __init__(self, vocab_file, shout=False, **kwargs):
            with open(vocab_file, encoding="utf-8") as file:
                self.vocab = {line.rstrip("\n"): i for i, line in enumerate(file)}
            self.names = {i: token for token, i in self.vocab.items()}
            self.shout = shout
            names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
            super().__init__(shout=shout, **{**names, **kwargs})

        @property
        def vocab_size(self):
            return len(self.vocab)

        def get_vocab(self):
            return (
                {**self.vocab, **self.added_tokens_encoder} if hasattr(self, "_special") else dict(self.vocab)
            )

        def _tokenize(self, text, **kwargs):
            return ["##!" if sign == "!" else sign for sign in text.lower() if sign != " "]

        def _convert_token_to_id(self, token):
            return self.vocab.get(token, 1)

        def _convert_id_to_token(self, index):
            return self.names[index]

        def convert_tokens_to_string(self, tokens):
            text = "".join(tokens).replace("##", "")
            return text.upper() if self.shout else text

        def build_inputs_with_special_tokens(self, token_ids_0, token_ids_1=None):
            return [2, *token_ids_0, 3] + ([] if token_ids_1 is None else [*token_ids_1, 3])

        def create_token_type_ids_from_sequences(self, token_ids_0, token_ids_1=None):
            return [0] * (len(token_ids_0) + 2) + (
                [] if token_ids_1 is None else [1] * (len(token_ids_1) + 1)
            )

        def save_vocabulary(self, save_directory, filename_prefix=None):
            path = f"{save_directory}/letters.txt"
            with open(path, "w", encoding="utf-8") as file:
                file.writelines(f"{token}\n" for token in self.vocab)
            return (path,)

    return Letters


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "letters.txt"
    path.write_text("".join(f"{one}\n" for one in LETTERS), encoding="utf-8")
    return path


def made(library, file, **how):
    tokenizer = letters(library)(file, **how)
    tokenizer.add_tokens(["<new>"])
    return tokenizer


@pytest.mark.parametrize(
    "call",
    [
        ("Hello!",),
        ("he <new> zo", "abc"),
        (["Hello", "a"], None, {"padding": True}),
        ("hello hello", None, {"truncation": True, "max_length": 6}),
        ("hello", None, {"add_special_tokens": False}),
    ],
)
def test_texts_become_the_same_ids(file, call):
    text, second, how = (*call, *(None, {})[len(call) - 1 :])[:3]
    ours, theirs = (dict(made(library, file)(text, second, **how)) for library in (formers, transformers))
    assert ours == theirs


def test_ids_and_tokens_become_the_same_texts(file):
    for how in ({}, {"shout": True}):
        ours, theirs = (made(library, file, **how) for library in (formers, transformers))
        ids = theirs("Hello! <new> ab")["input_ids"]
        for skip in (False, True):
            assert ours.decode(ids, skip_special_tokens=skip) == theirs.decode(ids, skip_special_tokens=skip)
        assert ours.convert_ids_to_tokens(ids) == theirs.convert_ids_to_tokens(ids)
        assert ours.tokenize("Hello!") == theirs.tokenize("Hello!")
        assert ours.convert_tokens_to_ids(["h", "q", "<new>"]) == theirs.convert_tokens_to_ids(
            ["h", "q", "<new>"]
        )
        assert (len(ours), ours.vocab_size, ours.pad_token_id) == (14, theirs.vocab_size, 0)


def test_it_is_saved_and_loaded_by_its_own_files(file, tmp_path):
    tokenizer = made(formers, file, shout=True)
    tokenizer.save_pretrained(tmp_path / "saved")
    again = type(tokenizer).from_pretrained(tmp_path / "saved")
    assert again.shout
    assert again("he <new>!")["input_ids"] == tokenizer("he <new>!")["input_ids"]
    assert again("abc", return_offsets_mapping=True, add_special_tokens=False)["offset_mapping"] == [
        (0, 1), (1, 2), (2, 3)
    ]  # fmt: skip


def test_a_vocabulary_that_is_not_there_yet_is_told():
    class Late(formers.PreTrainedTokenizer):
        def get_vocab(self):
            return self.ids

        def _tokenize(self, text):
            return text.split()

    with pytest.raises(TypeError, match="before super"):
        Late()
