"""Marian's tokenizer, which cuts texts and targets by two files, beside the reference's."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import transformers

import formers
from formers.tokenization import load
from formers.tokenization.sentencepiece import read
from parity.tokenization_samples import AWKWARD, SENTENCES, write_json, write_sentencepiece

TEXTS = [*SENTENCES, *(text for name, text in AWKWARD.items() if "special" not in name)]
ONE, OTHER = SENTENCES[0], SENTENCES[14]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint: two files of pieces, their ids in one file for both and in one for each."""
    made = tmp_path_factory.mktemp("marian")
    common = {"model_type": "unigram", "character_coverage": 0.98}
    files = [
        write_sentencepiece(made / f"{side}.spm", vocab_size=size, **common)
        for side, size in (("source", 180), ("target", 240))
    ]
    pieces = [[piece.text for piece in read(file).pieces[3:]] for file in files]
    both = [text for text in dict.fromkeys(pieces[0] + pieces[1]) if text not in ("▁the", "é")]
    ids = ["</s>", "<unk>", *both, ">>fra<<", ">>deu<<", "Ω", "<pad>"]
    write_json(made / "vocab.json", {text: index for index, text in enumerate(ids)})
    ids = ["</s>", "<unk>", *pieces[1], "<pad>"]
    write_json(made / "target_vocab.json", {text: index for index, text in enumerate(ids)})
    write_json(made / "tokenizer_config.json", {"source_lang": "en", "target_lang": "fr"})
    write_json(made / "config.json", {"model_type": "marian", "max_position_embeddings": 512})
    return made


def both(folder: Path, **settings: Any) -> tuple[Any, Any]:
    """The reference's tokenizer and ours, of a folder."""
    return transformers.MarianTokenizer.from_pretrained(folder, **settings), load(folder, **settings)


def test_texts_and_targets_have_the_ids_of_the_reference(folder: Path) -> None:
    theirs, ours = both(folder)
    assert type(ours).__name__ == "MarianTokenizer"
    texts = [*TEXTS, *(f">>fra<< {text}" for text in SENTENCES), "Ω and ΩΩ", ">>deu<<", ""]
    for text in texts:
        assert ours(text)["input_ids"] == theirs(text)["input_ids"], text
        found = ours(text_target=text)["input_ids"]
        assert found == theirs(text_target=text)["input_ids"], text
        assert ours.decode(found, skip_special_tokens=True) == theirs.decode(found, skip_special_tokens=True)
    assert ours(ONE)["input_ids"] != ours(text_target=ONE)["input_ids"]
    assert ours.tokenize(">>fra<< " + ONE) == theirs.tokenize(">>fra<< " + ONE)


def test_batches_pairs_and_cuts_are_those_of_the_reference(folder: Path) -> None:
    theirs, ours = both(folder)
    for texts, options in (
        (([ONE, OTHER],), {"padding": True, "text_target": [OTHER, ONE]}),
        ((ONE, OTHER), {}),
        (([ONE, OTHER],), {"max_length": 9, "truncation": True}),
        ((ONE,), {"add_special_tokens": False}),
        ((ONE,), {"return_special_tokens_mask": True}),
    ):
        assert dict(ours(*texts, **options)) == dict(theirs(*texts, **options))
    assert ours.encode_ragged([ONE, OTHER]).input_ids == theirs([ONE, OTHER])["input_ids"]
    for name in ("model_max_length", "pad_token_id", "eos_token_id", "unk_token_id", "vocab_size"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert ours.get_vocab() == theirs.get_vocab()


def test_targets_may_have_ids_of_their_own(folder: Path) -> None:
    theirs, ours = both(folder, separate_vocabs=True)
    for text in SENTENCES:
        found = ours(text, text_target=text)
        assert dict(found) == dict(theirs(text, text_target=text))
        expected = theirs.decode(found["labels"], skip_special_tokens=True)
        assert ours.decode(found["labels"], skip_special_tokens=True) == expected
    plain = next(text for text in SENTENCES if ours.unk_token_id not in ours(text)["input_ids"])
    ids = ours(plain)["input_ids"]
    assert ours.decode(ids, skip_special_tokens=True, use_source_tokenizer=True) == plain
    assert ours.decode(ids, skip_special_tokens=True) == theirs.decode(ids, skip_special_tokens=True)


def test_what_was_saved_is_read_by_both(folder: Path, tmp_path: Path) -> None:
    theirs, ours = both(folder)
    ours.add_tokens(["zig"])
    theirs.add_tokens(["zig"])
    text = "a zig " + ONE
    assert ours(text)["input_ids"] == theirs(text)["input_ids"]
    ours.save_pretrained(tmp_path)
    assert not (tmp_path / "tokenizer.json").exists()
    for again in (*both(tmp_path), pickle.loads(pickle.dumps(ours))):
        assert dict(again(text, text_target=text)) == dict(ours(text, text_target=text))
    with pytest.raises(ValueError, match="how MarianTokenizer cuts texts"):
        ours.save_pretrained(tmp_path, legacy_format=False)


def test_files_are_given_by_position_as_the_reference_takes_them(folder: Path) -> None:
    given = [folder / name for name in ("source.spm", "target.spm", "vocab.json")]
    theirs, ours = transformers.MarianTokenizer(*map(str, given)), formers.MarianTokenizer(*given)
    assert dict(ours(ONE, text_target=OTHER)) == dict(theirs(ONE, text_target=OTHER))


def test_a_file_that_is_not_there_is_asked_for(folder: Path, tmp_path: Path) -> None:
    alone = formers.MarianTokenizer(vocab=folder / "vocab.json")
    with pytest.raises(ValueError, match="needs source_spm= and target_spm="):
        alone(ONE)
    with pytest.raises(ValueError, match="needs source_spm= and target_spm="):
        alone(text_target=ONE)
    with pytest.raises(TypeError, match=r"and vocab= \(vocab.json\)"):
        formers.MarianTokenizer(folder / "source.spm", folder / "target.spm")
    with pytest.raises(ValueError, match="pass target_vocab_file="):
        formers.MarianTokenizer(
            *(folder / name for name in ("source.spm", "target.spm", "vocab.json")), separate_vocabs=True
        )
    with pytest.raises(ValueError, match="cannot be trained anew"):
        load(folder).train_new_from_iterator([ONE], 100)
    write_json(tmp_path / "vocab.json", {"a": 0})
    with pytest.raises(ValueError, match="has no '<unk>'"):
        formers.MarianTokenizer(vocab=tmp_path / "vocab.json")
