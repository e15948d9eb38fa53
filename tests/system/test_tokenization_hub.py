"""Tokenizers from and to a Hub."""

from __future__ import annotations

import os

from formers.tokenization import BertTokenizer, load

VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "boat"]


def test_a_tokenizer_goes_up_and_comes_down_and_is_then_read_without_the_network(hub, tmp_path, monkeypatch):
    made = BertTokenizer(vocab=VOCAB, chat_template={"default": "{{ 1 }}", "tool_use": "{{ 2 }}"})
    made.push_to_hub("somebody/boats", token="hf_reader", commit_message="Boats")
    first = load("somebody/boats")
    assert first("the boat")["input_ids"] == [2, 5, 6, 3]
    assert first.chat_template == made.chat_template
    assert first.name_or_path == "somebody/boats"
    hub.forget()
    assert load("somebody/boats")("the boat")["input_ids"] == [2, 5, 6, 3]
    assert hub.count() == 0
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert load("somebody/boats").chat_template == made.chat_template


def test_a_vocabulary_alone_comes_down_too(hub, tmp_path):
    made = BertTokenizer(vocab=VOCAB)
    made.save_pretrained(tmp_path / "old")
    os.remove(tmp_path / "old" / "tokenizer.json")
    files = {name: (tmp_path / "old" / name).read_bytes() for name in os.listdir(tmp_path / "old")}
    hub.add("someone/old", files)
    assert load("someone/old")("the boat")["input_ids"] == [2, 5, 6, 3]
