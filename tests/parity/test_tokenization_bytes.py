"""The tokenizer that reads bytes, and the sentinels that it has in common with T5's."""

from __future__ import annotations

from pathlib import Path

import transformers

import formers
from formers.tokenization import load
from parity.tokenization_samples import AWKWARD, SENTENCES, write_t5

TEXTS = [*AWKWARD.values(), *SENTENCES]


def test_bytes_have_the_ids_and_the_texts_that_the_reference_gives_them() -> None:
    ours, theirs = formers.ByT5Tokenizer(), transformers.ByT5Tokenizer()
    assert (len(ours), ours.all_special_tokens) == (len(theirs), theirs.all_special_tokens)
    for text in TEXTS:
        ids = theirs(text)["input_ids"]
        assert ours(text)["input_ids"] == ids, text
        assert ours.convert_ids_to_tokens(ids) == theirs.convert_ids_to_tokens(ids), text
        for skipped in (False, True):
            options = {"skip_special_tokens": skipped}
            assert ours.decode(ids, **options) == theirs.decode(ids, **options), text
    assert dict(ours("one", "other")) == dict(theirs("one", "other"))


def test_all_bytes_that_text_can_hold_come_back() -> None:
    ours = formers.ByT5Tokenizer()
    text = "".join(map(chr, range(1, 0x800)))
    ids = ours(text, add_special_tokens=False)["input_ids"]
    assert ids == [byte + 3 for byte in text.encode()]
    assert ours.decode(ids) == text


def test_a_checkpoint_needs_no_vocabulary_file(tmp_path: Path) -> None:
    theirs = transformers.ByT5Tokenizer(extra_ids=7)
    theirs.save_pretrained(tmp_path / "theirs")
    ours = load(tmp_path / "theirs")
    assert type(ours) is formers.ByT5Tokenizer
    text = "fill <extra_id_3> in"
    assert ours(text)["input_ids"] == theirs(text)["input_ids"]
    ours.save_pretrained(tmp_path / "ours")
    assert load(tmp_path / "ours")(text)["input_ids"] == theirs(text)["input_ids"]
    again = transformers.ByT5Tokenizer.from_pretrained(tmp_path / "ours")
    assert again(text)["input_ids"] == theirs(text)["input_ids"]


def test_sentinels_are_listed_with_their_ids(tmp_path: Path) -> None:
    t5 = formers.T5Tokenizer(vocab_file=write_t5(tmp_path / "spiece.model"))
    assert t5.get_sentinel_tokens() == [f"<extra_id_{index}>" for index in range(100)]
    assert t5.get_sentinel_token_ids() == [len(t5) - 1 - index for index in range(100)]
    assert formers.ByT5Tokenizer(extra_ids=2).get_sentinel_token_ids() == [259, 260]
