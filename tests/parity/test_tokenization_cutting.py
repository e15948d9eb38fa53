"""Tokenizers whose texts Python cuts, beside the reference's, which are written in Python."""

from __future__ import annotations

import copy
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
import transformers

import formers
from formers.core.extras import MissingExtra
from formers.tokenization import load
from parity.tokenization_samples import AWKWARD, SENTENCES, WORDPIECE_SPECIAL, write_json

TEXTS = [*AWKWARD.values(), *SENTENCES, "", "ends\nin lines\n\nof (its) own.more"]
JAPANESE = [
    "吾輩は猫である🐯。実は慶応(慶應)大学出身",
    "値段は１２３円です\tタブ\r\n改行　空白 — −",
    "http://example.com/a?b=1 x@example.org 03-1234-5678 2024年5月17日 平成3年4月5日10時 1,234円 ┌──┐",
    "¡£ǃˑ ‖ → ◯ ㌔ €",
    "<|endoftext|>の後<SP>も<tag>",
]
CHINESE = [
    "今天天气非常好。",
    "我们明天去 Harbor 大学, 好吗?",
    "中文字符 and English words, déjà vu!",
    "吃葡萄不吐葡萄皮",
]


def write_marked(folder: Path, lower: bool) -> None:
    """Train BPE of words and write it with the marks inside words."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    backend = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(vocab_size=500, end_of_word_suffix="</w>", show_progress=False)
    texts = [text.lower() if lower else text for text in SENTENCES]
    backend.train_from_iterator(texts * 2, trainer)
    folder.mkdir(parents=True, exist_ok=True)
    backend.model.save(str(folder))
    special = ["__null__", "__start__", "__end__", "__unk__"] if lower else ["<unk>"]
    words = sorted(backend.get_vocab(), key=backend.get_vocab().__getitem__)
    # a piece at the end of a word has no mark; some pieces are left out, as CTRL's vocabulary does
    spelt = [word.removesuffix("</w>") if word.endswith("</w>") else f"{word}@@" for word in words]
    kept = dict.fromkeys([*special, *(token for index, token in enumerate(spelt) if index % 17)])
    write_json(folder / "vocab.json", {token: index for index, token in enumerate(kept)})


def write_japanese(folder: Path) -> None:
    """Write pieces, some of them with several spellings, emoji and bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        "<|startoftext|>",
        "<|endoftext|>",
        "<SP>",
        "<BR>",
        "<TAB>",
        "<BLOCK>",
        "<KIGOU>",
        "<U2000U2BFF>",
    ]
    lines += ["<URL>", "<EMAIL>", "<TEL>", "<DATE>", "<PRICE>", "<|emoji1|>", "<|emoji2|>", "<tag>"]
    lines += [f"<|byte{byte}|>" for byte in range(256)]
    lines += ["慶応,慶應", "大学", "吾輩", "である", "は", "猫", "実", "実は", "出身", "円,圓", "です", "ー"]
    lines += [chr(code) for code in range(0x21, 0x7F) if chr(code) != ","]
    (folder / "vocab.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    emoji = {"emoji": {"🐯": "<|emoji1|>", "👍": "<|emoji2|>"}, "emoji_inv": {"<|emoji1|>": "🐯"}}
    emoji["emoji_inv"]["<|emoji2|>"] = "👍"
    write_json(folder / "emoji.json", emoji)


def write_chinese(folder: Path) -> None:
    """Write words and characters of Chinese, and letters."""
    folder.mkdir(parents=True, exist_ok=True)
    words = ["今天", "非常", "天气", "大学", "葡萄", "明天", "我们"]
    signs = dict.fromkeys("".join(CHINESE).lower() + "abcdefghijklmnopqrstuvwxyz")
    letters = [sign for sign in signs if not sign.isspace()]
    parts = [f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
    lines = dict.fromkeys([*WORDPIECE_SPECIAL, *words, *letters, *parts])
    (folder / "vocab.txt").write_text("\n".join(lines), encoding="utf-8")


def write(name: str, folder: Path) -> None:
    """Write the files of a class."""
    if name == "GPTNeoXJapanese":
        write_japanese(folder)
    elif name == "RoFormer":
        write_chinese(folder)
    else:
        write_marked(folder, lower=name == "BlenderbotSmall")


def both(name: str, folder: Path, **settings: Any) -> tuple[Any, Any]:
    """The reference's tokenizer and ours, of the same files."""
    write(name, folder)
    kind = getattr(transformers, f"{name}Tokenizer")
    if name == "RoFormer":  # from a file, the reference looks words up in the file's name
        lines = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")
        theirs = kind(vocab={line: index for index, line in enumerate(lines)}, **settings)
    else:
        theirs = kind.from_pretrained(folder, **settings)
    return theirs, getattr(formers, f"{name}Tokenizer").from_pretrained(folder, **settings)


CASES = {
    "CTRL": (TEXTS, {}),
    "BlenderbotSmall": (TEXTS, {}),
    "GPTNeoXJapanese": ([*JAPANESE, *TEXTS], {}),
    "GPTNeoXJapanese with clean texts": ([*JAPANESE, *TEXTS], {"do_clean_text": True}),
    "RoFormer": ([*CHINESE, *TEXTS], {}),
    "RoFormer with capitals": ([*CHINESE, *TEXTS], {"do_lower_case": False}),
}


@pytest.mark.parametrize("case", CASES)
def test_texts_have_the_ids_of_the_reference(case: str, tmp_path: Path) -> None:
    texts, settings = CASES[case]
    name = case.split()[0]
    theirs, ours = both(name, tmp_path, **settings)
    for text in texts:
        ids = theirs(text)["input_ids"]
        assert ours(text)["input_ids"] == ids, text
        if not (name == "GPTNeoXJapanese" and "�" in theirs.decode(ids)):  # it reads bytes one by one
            assert ours.decode(ids) == theirs.decode(ids), text
    batch = {"padding": True, "truncation": True, "max_length": 12}
    if theirs.pad_token is not None:
        assert dict(ours(texts[:5], **batch)) == dict(theirs(texts[:5], **batch))
    assert (len(ours), ours.special_tokens_map) == (len(theirs), theirs.special_tokens_map)


@pytest.mark.parametrize("name", ["CTRL", "BlenderbotSmall", "GPTNeoXJapanese", "RoFormer"])
def test_tokens_stand_where_they_were_read(name: str, tmp_path: Path) -> None:
    _, ours = both(name, tmp_path)
    text = (CHINESE if name == "RoFormer" else JAPANESE if name == "GPTNeoXJapanese" else SENTENCES)[0]
    found = ours(text, return_offsets_mapping=True, add_special_tokens=False)
    spans = found["offset_mapping"]
    read = {at for start, end in spans for at in range(start, end)}
    assert read == {at for at, sign in enumerate(text) if not sign.isspace()}
    assert spans == sorted(spans)


@pytest.mark.parametrize("name", ["CTRL", "BlenderbotSmall", "GPTNeoXJapanese", "RoFormer"])
def test_what_was_saved_pickled_or_copied_cuts_alike(name: str, tmp_path: Path) -> None:
    _, ours = both(name, tmp_path / "source")
    texts = [*CHINESE[:2], JAPANESE[0], SENTENCES[0], "a <new> token"]
    ours.add_tokens(["<new>"])
    expected = [ours(text)["input_ids"] for text in texts]
    assert expected[-1].count(ours.convert_tokens_to_ids("<new>")) == 1
    written = {Path(path).name for path in ours.save_pretrained(tmp_path / "saved")}
    assert ("tokenizer.json" in written) == (name == "RoFormer")
    for other in (load(tmp_path / "saved"), pickle.loads(pickle.dumps(ours)), copy.deepcopy(ours)):
        assert type(other) is type(ours)
        assert [other(text)["input_ids"] for text in texts] == expected
    again = getattr(transformers, f"{name}Tokenizer").from_pretrained(tmp_path / "saved")
    assert [again(text)["input_ids"] for text in texts] == expected


def test_bytes_of_japanese_come_back_as_the_characters_that_they_were(tmp_path: Path) -> None:
    _, ours = both("GPTNeoXJapanese", tmp_path)
    text = "値段と価格ñ👩"
    assert ours.decode(ours(text)["input_ids"]) == text


def test_files_that_are_missing_are_asked_for(tmp_path: Path) -> None:
    write("GPTNeoXJapanese", tmp_path / "j")
    write("CTRL", tmp_path / "c")
    with pytest.raises(TypeError, match=r"emoji_file= \(emoji.json\)"):
        formers.GPTNeoXJapaneseTokenizer(tmp_path / "j" / "vocab.txt")
    with pytest.raises(TypeError, match="needs the merges too"):
        formers.CTRLTokenizer(tmp_path / "c" / "vocab.json")
    with pytest.raises(TypeError, match=r"missing: vocab_file= \(vocab.json\)"):
        formers.CTRLTokenizer(vocab={"<unk>": 0}, merges=[])
    with pytest.raises(ValueError, match="no tokenizer.json can say how CTRLTokenizer cuts"):
        formers.CTRLTokenizer.from_pretrained(tmp_path / "c").save_pretrained(tmp_path, legacy_format=False)


def test_the_extra_of_chinese_words_is_named_where_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("RoFormer", tmp_path)
    monkeypatch.setitem(sys.modules, "rjieba", None)
    with pytest.raises(MissingExtra, match=r"formers\[chinese\]"):
        formers.RoFormerTokenizer.from_pretrained(tmp_path)


def test_a_text_of_ctrl_begins_with_the_code_of_its_kind() -> None:
    assert formers.CTRLTokenizer.control_codes == transformers.CTRLTokenizer.control_codes
