"""Nougat: its processor and tokenizer, and pages corrected as the reference corrects them."""

from __future__ import annotations

import importlib
import json
import random
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import transformers
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers

import formers
from formers.tokenization.markdown import likeness
from parity.pictures import colours
from parity.tokenization_samples import write_json

_LONG = "a title that goes on and on " * 6
PAGES = [
    "# 1.2 Results\n\nWe see that _x_ is 3.\n\nIt is known.",
    f"# 3 {_LONG}\n\ntext\n",
    "text before\n\n## 4.\n\n# IV",
    "Formula\n(1.2a) \\[a+b\\]\n\\[c\\] (3)\n\\[d\\] (4) \\[e\\]\n\\bm{x} and \\mbox{\\boldmath$y$}. See "
    "http://a.example/page?x=1 now\\. ``` code here ```",
    "* first of all - 1 one two - 1.2 three four - ii five six\nother line\n* a b - c d",
    "\\begin{table} \\begin{tabular}{l l} a & b \\\\ \\end{tabular} \\end{table} Table 1: what\nand "
    "\\begin{tabular}{l l}  & \\\\ \\end{tabular}\nx \\begin{tabular}{}\n\n\\end{tabular}",
    "word\n\n.\n\n\n\n#\n\n[FOOTNOTE:a]b[ENDFOOTNOTE]\nFootnote 1: footnotetext: said\n\nFigure 3",
    "* [12][]ABC and more\n* [3] A. B. C. D. E. F. G. H. I. J. K.\n\nZ",
    "The proof is the same as before. " + "and so we have that the sum is bounded by one, " * 12,
    "Intro. A sentence here.\n" + "The end of the page repeats itself again. " * 9,
    "short",
    "A",
    "",
    "& " * 500 + "\nrest}",
    "## References\n\n"
    + "\n".join(f"* [{i}] Author, A title of a work, Journal {i}, 199{i % 9}." for i in range(30)),
    "Before it.\n\n## Related\n\nSome text.\n\n"
    + "\n".join(f"* [{i}] A. Author. Deep nets of all kinds. In Proc. {i}" for i in range(25))
    + "\n\nAnd the text goes on here.",
    "\n".join(["The same line of words."] * 5 + [""] * 2 + ["The same line of wards."] * 20 + ["An end."]),
]


@cache
def common(one: str, two: str) -> int:
    """Letters of the longest common subsequence."""
    row = [0] * (len(two) + 1)
    for letter in one:
        before = row
        row = [0]
        for i, other in enumerate(two):
            row.append(before[i] + 1 if letter == other else max(row[i], before[i + 1]))
    return row[-1]


def ratio(one: str, two: str) -> float:
    """What the package Levenshtein calls by that name."""
    return 2 * common(one, two) / (len(one) + len(two)) if one or two else 1.0


def test_likeness_is_the_share_of_what_both_lines_have() -> None:
    draw = random.Random(0)
    for _ in range(200):
        one, two = ("".join(draw.choices("abc d", k=draw.randrange(12))) for _ in range(2))
        assert likeness(one, two) == pytest.approx(ratio(one, two))


def tokenizer(folder: Path) -> Any:
    """A small tokenizer of the reference's, saved."""
    vocabulary = {word: i for i, word in enumerate(["<s>", "<pad>", "</s>", "<unk>", "page", "of", "words"])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    named = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    made = transformers.PreTrainedTokenizerFast(tokenizer_object=backend, **named)
    made.save_pretrained(folder)
    return made


def test_pages_are_corrected_as_the_reference_corrects_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = importlib.import_module("transformers.models.nougat.tokenization_nougat")
    monkeypatch.setattr(theirs, "ratio", ratio, raising=False)
    reference = theirs.NougatTokenizer()
    tokenizer(tmp_path)
    ours = formers.NougatTokenizer.from_pretrained(tmp_path)
    for markdown in (True, False):
        for page in PAGES:
            expected = reference.post_process_single(page, fix_markdown=markdown)
            assert ours.post_process_generation(page, fix_markdown=markdown) == expected, page
    assert ours.post_process_generation(PAGES[:2]) == [ours.post_process_single(page) for page in PAGES[:2]]


def test_a_processor_prepares_pages_and_corrects_what_is_written(tmp_path: Path) -> None:
    kind = importlib.import_module("transformers.models.nougat.image_processing_pil_nougat")
    words = tokenizer(tmp_path)
    images = kind.NougatImageProcessorPil(size={"height": 40, "width": 30})
    theirs = transformers.NougatProcessor(images, words)
    theirs.save_pretrained(tmp_path)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    write_json(tmp_path / "tokenizer_config.json", {**settings, "tokenizer_class": "NougatTokenizerFast"})
    ours = formers.AutoProcessor.from_pretrained(tmp_path)
    assert type(ours) is formers.NougatProcessor
    page = Image.fromarray(colours(80, 60))
    for given in ({"images": page}, {"images": page, "text": "page of words"}, {"text": "page of words"}):
        expected, found = (set(one(**given)) - {"token_type_ids"} for one in (theirs, ours))
        assert found == expected
    assert ours(images=page, text="page of words")["labels"] == [4, 5, 6]
    assert ours.post_process_generation("# 1. Title", fix_markdown=False) == (
        ours.tokenizer.post_process_single("# 1. Title", fix_markdown=False)
    )
