"""The named classes of tokenizers beside the reference's of the same names."""

from __future__ import annotations

import inspect

import pytest
import transformers
from tokenizers import Tokenizer, models
from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

import formers
from formers.core.notices import Notice
from formers.models.table import FAMILIES
from formers.tokenization import CLASSES, load, named_class
from formers.tokenization.recipes import MODEL_TYPES, RECIPES
from formers.tokenization.special import NAMED
from parity.tokenization_samples import AWKWARD, SENTENCES, write_byte_bpe, write_json

# Names that the reference had in earlier versions.
WITHOUT = {"Electra", "LayoutLM", "Longformer", "MT5", "Realm", "RetriBert", "Qwen3", "Tapex"}


def theirs_of(base):
    """The reference's class, and the special tokens of its constructor."""
    kind = getattr(transformers, f"{base}Tokenizer")
    special = {}
    for parent in reversed(kind.__mro__):
        if "__init__" in vars(parent):
            for name, parameter in inspect.signature(parent.__init__).parameters.items():
                if name in NAMED and parameter.default not in (
                    None,
                    inspect.Parameter.empty,
                ):
                    special[name] = str(parameter.default)
    return kind, special


BASES = sorted({name.removesuffix("Fast").removesuffix("Tokenizer") for name in CLASSES} - WITHOUT)


@pytest.mark.parametrize("base", BASES)
def test_a_class_has_the_inputs_the_side_and_the_special_tokens_of_its_namesake(base):
    kind, special = theirs_of(base)
    row = RECIPES[CLASSES[f"{base}Tokenizer"]]
    assert list(row.inputs) == kind.model_input_names
    assert row.padding_side == kind.padding_side
    texts = {
        name: t["content"] if isinstance(t, dict) else t for name, t in row.special.items() if name in NAMED
    }
    assert texts == special


CLIP_LIKE = ["<|startoftext|>", "<|endoftext|>"]


def folder_of(kind, folder):
    """A folder that the reference wrote: a byte-level vocabulary in the form of a class."""
    vocab, merges = write_byte_bpe(folder / "raw", CLIP_LIKE)
    theirs = kind(vocab=str(vocab), merges=str(merges))
    theirs.save_pretrained(folder / "saved")
    return theirs, folder / "saved", (vocab, merges)


@pytest.mark.parametrize("name", ["Qwen2Tokenizer", "CLIPTokenizer", "GPTNeoXTokenizer", "WhisperTokenizer"])
def test_a_tokenizer_json_is_read_as_the_class_that_it_names(name, tmp_path, recwarn):
    theirs, folder, _ = folder_of(getattr(transformers, name), tmp_path)
    ours = load(folder)
    assert type(ours) is named_class(name)
    assert not [one for one in recwarn if one.category is Notice and "not known" in str(one.message)]
    for text in [*AWKWARD.values(), *SENTENCES]:
        found = ours(text)
        assert dict(found) == dict(theirs(text)), text
        assert ours.decode(found["input_ids"]) == theirs.decode(found["input_ids"]), text
    ours.save_pretrained(tmp_path / "again")
    again = transformers.AutoTokenizer.from_pretrained(tmp_path / "again")
    assert (again.padding_side, again.model_input_names) == (theirs.padding_side, theirs.model_input_names)


@pytest.mark.parametrize("name", ["Qwen2Tokenizer", "CLIPTokenizer"])
def test_older_files_are_read_as_the_namesake_reads_them(name, tmp_path):
    theirs, _, (vocab, merges) = folder_of(getattr(transformers, name), tmp_path)
    ours = named_class(name)(vocab_file=vocab, merges_file=merges)
    for text in [*AWKWARD.values(), *SENTENCES]:
        assert ours(text)["input_ids"] == theirs(text)["input_ids"], text


def test_a_class_that_nobody_knows_saves_no_guess_for_other_readers(tmp_path):
    theirs, folder, _ = folder_of(transformers.GPT2Tokenizer, tmp_path)
    write_json(
        folder / "tokenizer_config.json", {"tokenizer_class": "LeftTokenizer", "eos_token": CLIP_LIKE[1]}
    )
    with pytest.warns(Notice, match="'LeftTokenizer', which is not known here"):
        load(folder).save_pretrained(tmp_path / "again")

    class LeftTokenizer(transformers.PreTrainedTokenizerFast):
        padding_side = "left"

    again = LeftTokenizer.from_pretrained(tmp_path / "again")
    assert again.padding_side == "left"
    assert again("boat")["input_ids"] == theirs("boat")["input_ids"]


SOUNDS = {"whisper"}
# No tokenizer.json says how these cut texts, or all that they read.
OTHER_WAYS = {
    *("ctrl", "blenderbot-small", "gpt_neox_japanese", "marian"),
    *("mbart", "plbart", "m2m_100", "tapas", "encoder-decoder", "roformer"),
    *("biogpt", "flaubert", "fsmt", "layoutlmv2", "layoutlmv3", "speecht5", "vits", "xlm"),
}


def test_every_text_family_has_the_tokenizer_that_the_reference_gives_it():
    missing, other = set(), {}
    for kind in FAMILIES:
        name = TOKENIZER_MAPPING_NAMES.get(kind)
        if name in (None, "TokenizersBackend") or kind in SOUNDS:
            continue
        if name not in CLASSES or kind not in MODEL_TYPES:
            missing.add(kind)
            continue
        assert getattr(formers, name).recipe is RECIPES[CLASSES[name]]
        ours, theirs = RECIPES[MODEL_TYPES[kind]], RECIPES[CLASSES[name]]
        if (ours.kind, ours.files, ours.special) != (theirs.kind, theirs.files, theirs.special):
            other[kind] = (MODEL_TYPES[kind], name)
    assert not missing
    assert not other


@pytest.mark.parametrize(
    "kind", sorted({MODEL_TYPES.get(kind): kind for kind in FAMILIES if kind not in OTHER_WAYS}.values())
)
def test_an_auto_tokenizer_finds_the_class_of_a_model_type(kind, tmp_path):
    backend = Tokenizer(models.WordLevel({"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "boat": 3}, unk_token="[UNK]"))
    backend.save(str(tmp_path / "tokenizer.json"))
    write_json(tmp_path / "config.json", {"model_type": kind})
    found = formers.AutoTokenizer.from_pretrained(tmp_path)
    expected = MODEL_TYPES.get(kind)
    assert type(found).__name__ == (f"{expected}Tokenizer" if expected else "PreTrainedTokenizerFast")
    assert found("boat", add_special_tokens=False)["input_ids"] == [3]
