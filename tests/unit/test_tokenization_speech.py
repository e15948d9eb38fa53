"""Tokenizers of transcripts beside the reference: beginnings, times, segments, words, normalizers."""

from __future__ import annotations

import json
import random
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers.pre_tokenizers import ByteLevel
from transformers.models.whisper.english_normalizer import BasicTextNormalizer, EnglishTextNormalizer
from transformers.models.whisper.tokenization_whisper import LANGUAGES, _decode_asr

import formers
from formers.tokenization import normalizers
from formers.tokenization.spoken import spoken

END, BEFORE = "<|endoftext|>", "<|startofprev|>"
SPECIAL = [
    *("<|startoftranscript|>", *(f"<|{code}|>" for code in list(LANGUAGES)[:99]), "<|translate|>"),
    *("<|transcribe|>", "<|startoflm|>", BEFORE, "<|nospeech|>", "<|notimestamps|>"),
]
MERGES = ["t h", "Ġ th", "Ġth e", "Ġ c", "a t", "Ġc at", "Ġ d", "o g"]
SAID = """
twenty one two oh zero five hundred thousand million first twelfth fifties double triple point minus plus
dollars cents per cent percent and cat 3.5 22 $5 -7 mr can't it's i'ma (um) [noise] colour naïve straße 1,000
4th c4 ¢7 U.S.
"""
TEXT = ' The cat, "the" dog (cat) sat: well-known. 日本 naïve'


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    folder: Path = tmp_path_factory.mktemp("spoken")
    words = [*sorted(ByteLevel.alphabet()), *(merge.replace(" ", "") for merge in MERGES), END]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(MERGES))
    (folder / "normalizer.json").write_text(json.dumps({"colour": "color"}))
    theirs = transformers.WhisperTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), str(folder / "normalizer.json")
    )
    theirs.add_special_tokens({"additional_special_tokens": SPECIAL})
    theirs.add_tokens([f"<|{i * 0.02:.2f}|>" for i in range(1501)])
    theirs.set_prefix_tokens()
    theirs.save_pretrained(folder)
    return theirs, formers.AutoTokenizer.from_pretrained(folder)


def _row(pair: tuple[Any, Any], draw: random.Random) -> list[int]:
    """A transcript: a prompt perhaps, and segments of several windows."""
    theirs, ours = pair
    start, first = theirs.convert_tokens_to_ids("<|startoftranscript|>"), ours.time_begin
    words = theirs(TEXT, add_special_tokens=False)["input_ids"]
    row, time = [start, start + 1 + draw.randrange(2), start + 101], 0
    if draw.random() < 0.3:
        row = [theirs.convert_tokens_to_ids(BEFORE), *words[:4], *row]
    for _ in range(draw.randint(1, 5)):
        begin = draw.randint(time, min(1500, time + 300))
        end = draw.randint(begin, min(1500, begin + 200))
        time = end if draw.random() < 0.7 else draw.randint(0, 300)
        at = draw.randrange(len(words))
        row += [first + begin, *words[at : at + draw.randint(0, 8)]]
        row += [first + end] if draw.random() < 0.9 else []
    return [*row, theirs.eos_token_id]


def test_the_class_is_found_and_texts_are_framed_as_the_reference_does(pair: tuple[Any, Any]) -> None:
    theirs, ours = pair
    assert type(ours) is formers.WhisperTokenizer
    for given in ({}, {"language": "German", "task": "translate"}, {"predict_timestamps": True}):
        for tokenizer in pair:
            tokenizer.set_prefix_tokens(**given)
        assert ours.prefix_tokens == theirs.prefix_tokens
        assert ours(TEXT)["input_ids"] == theirs(TEXT)["input_ids"]
    asked = {"task": "transcribe", "language": "en"}
    assert ours.get_decoder_prompt_ids(**asked) == theirs.get_decoder_prompt_ids(**asked)
    assert ours.get_prompt_ids("the dog").tolist() == theirs.get_prompt_ids("the dog").tolist()
    assert ours.timestamp_ids() == theirs.timestamp_ids()
    with pytest.raises(ValueError, match=r"no language.*klingon|klingon.*no language"):
        ours.set_prefix_tokens(language="klingon")
    ours.language = None
    with pytest.raises(ValueError, match="special|plain text"):
        ours.get_prompt_ids("the <|en|> dog")


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"skip_special_tokens": True},
        {"decode_with_timestamps": True},
        {"output_offsets": True},
        {"normalize": True, "skip_special_tokens": True},
        {"basic_normalize": True, "remove_diacritics": True},
    ],
    ids=str,
)
def test_rows_are_read_as_the_reference_reads_them(pair: tuple[Any, Any], asked: dict[str, Any]) -> None:
    theirs, ours = pair
    draw = random.Random(0)
    rows = [_row(pair, draw) for _ in range(25)]
    found = [theirs.decode(row, **asked) for row in rows]
    assert [ours.decode(row, **asked) for row in rows] == found
    assert ours.batch_decode(rows, **asked) == found


@pytest.mark.parametrize("times", [None, True, "word"])
@pytest.mark.parametrize("overlap", [0.0, 5.0])
def test_pieces_of_a_sound_are_joined_as_the_reference_joins_them(
    pair: tuple[Any, Any], times: Any, overlap: float
) -> None:
    theirs, ours = pair
    draw = random.Random(1)
    for language in (True, None):
        for _ in range(8):
            count, pieces = draw.randint(1, 3), []
            for i in range(count):
                row = _row(pair, draw)
                said = torch.tensor([sorted(draw.uniform(0, 29) for _ in row)])
                pieces.append({"tokens": torch.tensor([row]), "token_timestamps": said})
                if overlap:
                    edges = (overlap * (i > 0), overlap * (i < count - 1))
                    pieces[-1]["stride"] = (30.0, *edges)
            asked = {"return_timestamps": times, "return_language": language, "time_precision": 0.02}
            expected = _decode_asr(theirs, pieces, **asked)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of segments without an end
                assert spoken(ours, pieces, times, bool(language)) == expected


def test_texts_are_normalized_as_the_reference_does() -> None:
    words = SAID.split()
    ours = normalizers.EnglishTextNormalizer({"colour": "color"})
    theirs = EnglishTextNormalizer({"colour": "color"})
    draw = random.Random(2)
    texts = [" ".join(draw.choices([*words, "and a half"], k=draw.randint(1, 6))) for _ in range(1500)]
    assert [ours(text) for text in texts] == [theirs(text) for text in texts]
    for settings in ({}, {"remove_diacritics": True}, {"split_letters": True}):
        own, reference = normalizers.BasicTextNormalizer(**settings), BasicTextNormalizer(**settings)
        assert [own(text) for text in texts[:200]] == [reference(text) for text in texts[:200]]


def test_a_saved_tokenizer_keeps_its_language_and_spellings(pair: tuple[Any, Any], tmp_path: Path) -> None:
    folder = tmp_path / "own"
    pair[0].save_pretrained(folder)
    (folder / "normalizer.json").write_text(json.dumps({"colour": "color"}))
    ours = formers.WhisperTokenizer.from_pretrained(folder, language="french", task="transcribe")
    ours.save_pretrained(tmp_path / "saved")
    again = formers.AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert (again.language, again.task) == ("french", "transcribe")
    assert again(TEXT)["input_ids"] == ours(TEXT)["input_ids"]
    assert again.english_spelling_normalizer == {"colour": "color"}
