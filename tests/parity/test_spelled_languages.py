"""MMS beside the reference: adapters of languages, their letters, and what does not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import formers
from tests.parity.speech_shapes import MORE
from tests.parity.test_families import _close

(SHAPE,) = MORE["wav2vec2"].values()
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>", "|"]
LETTERS = {"eng": [*SPECIAL, *"abcd"], "fra": [*SPECIAL, *"bacdé"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("languages")
    torch.manual_seed(0)
    for language in ("fra", "eng"):  # the last is the checkpoint's own
        config = transformers.Wav2Vec2Config(**{**SHAPE, "vocab_size": len(LETTERS[language])})
        model = transformers.Wav2Vec2ForCTC(config)
        held = {name: value.clone().contiguous() for name, value in model._get_adapters().items()}
        save_file(held, made / f"adapter.{language}.safetensors", {"format": "pt"})
    model.save_pretrained(made)
    vocab = {language: {letter: i for i, letter in enumerate(own)} for language, own in LETTERS.items()}
    (made / "vocab.json").write_text(json.dumps(vocab))
    transformers.Wav2Vec2CTCTokenizer(str(made / "vocab.json"), target_lang="eng").save_pretrained(made)
    return made


def _logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.eval()(torch.linspace(-1, 1, 800).sin().view(2, 400)).logits
    return found


def test_languages_are_loaded_and_changed_as_the_reference_does(folder: Path) -> None:
    kits = (transformers, formers)
    theirs, ours = (kit.Wav2Vec2ForCTC.from_pretrained(folder, target_lang="fra") for kit in kits)
    assert ours.config.vocab_size == len(LETTERS["fra"])
    _close(_logits(theirs), _logits(ours))
    for model in (theirs, ours):
        model.load_adapter("eng")
    _close(_logits(theirs), _logits(ours))
    assert ours.target_lang == "eng"
    _close(_logits(formers.Wav2Vec2ForCTC.from_pretrained(folder)), _logits(ours))
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    ours.init_adapter_layers()
    changed = {name for name, value in ours.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all("adapter_layer" in name or name.startswith("lm_head") for name in changed)


def test_letters_are_those_of_the_language(folder: Path, tmp_path: Path) -> None:
    theirs, ours = (kit.AutoTokenizer.from_pretrained(folder) for kit in (transformers, formers))
    for language in ("fra", "eng", "fra"):
        for one in (theirs, ours):
            one.set_target_lang(language)
        assert ours.get_vocab() == theirs.get_vocab()
        assert ours("bad cab")["input_ids"] == theirs("bad cab")["input_ids"]
        ids = [5, 5, 0, 5, 4, 7, 8]
        assert ours.decode(ids) == theirs.decode(ids)
    ours.save_pretrained(tmp_path)
    again = formers.AutoTokenizer.from_pretrained(tmp_path)
    assert again.target_lang == "fra"
    again.set_target_lang("eng")
    assert again("dab")["input_ids"] == [8, 5, 6]
    with pytest.raises(ValueError, match="which has eng, fra"):
        ours.set_target_lang("deu")


def test_what_is_not_there_or_does_not_fit_is_said(folder: Path, tmp_path: Path) -> None:
    ours = formers.Wav2Vec2ForCTC.from_pretrained(folder)
    with pytest.raises(OSError, match=r"adapter\.deu\.safetensors"):
        ours.load_adapter("deu")
    held = load_file(folder / "adapter.fra.safetensors")
    del held["lm_head.bias"]
    save_file(held, folder / "adapter.xxx.safetensors")
    with pytest.raises(ValueError, match="1 tensors are missing"):
        ours.load_adapter("xxx")
    plain = formers.Wav2Vec2Config(**{**SHAPE, "adapter_attn_dim": None})
    formers.Wav2Vec2ForCTC(plain).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="has no adapter_attn_dim"):
        formers.Wav2Vec2ForCTC.from_pretrained(tmp_path, target_lang="fra")
