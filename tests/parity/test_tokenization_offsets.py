"""Where the tokens of a raw SentencePiece file stand in a text, as in the reference."""

from __future__ import annotations

import pytest

import formers
from parity.tokenization_samples import AWKWARD, write_t5, write_unigram

transformers = pytest.importorskip("transformers")

CLASSES = {
    "XLMRobertaTokenizer": (write_unigram, "sentencepiece.bpe.model"),
    "CamembertTokenizer": (write_unigram, "sentencepiece.bpe.model"),
    "T5Tokenizer": (write_t5, "spiece.model"),
}
SPACED = [
    "Hello, how are you?",
    "a  b   c",
    "   three spaces lead",
    "three spaces end   ",
    " ",
    "    ",
    "",
    "a tab\tb and \t mixed\t\tones",
    "line\nline\n\n   line",
    "return\r\nand line",
    "no\u00a0break \u3000 ideographic",
    "line\u2028paragraph\u2029next\x85vertical\x0btab",
    "the <mask> boats,  the  <mask>  boats, the<mask>boats",
    "the boats </s> are</s>leaving",
    "<unk> known <pad>",
    "a <extra_id_0> b<extra_id_1>c  <extra_id_2>",
    "see harborline now, see  harborlineboats  now",
    "harborline",
    "ﬁne ① Ⅷ ｆｕｌｌ e\u0301 a\u0308\u0323",
    "▁a ▁ b▁▁c",
    "wait… ¨ ´x zero\u200bwidth \u200b x",
]


@pytest.fixture(scope="module", params=CLASSES)
def pair(request, tmp_path_factory):
    """The reference's tokenizer and ours over one raw file, each with an added token."""
    write, name = CLASSES[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    write(folder / name)
    both = [getattr(library, request.param).from_pretrained(folder) for library in (transformers, formers)]
    for tokenizer in both:
        tokenizer.add_tokens(["harborline"])
    return both


@pytest.mark.parametrize("text", [*SPACED, *AWKWARD.values()])
def test_tokens_of_a_raw_sentencepiece_file_stand_where_the_references_stand(pair, text):
    theirs, ours = (tokenizer(text, return_offsets_mapping=True) for tokenizer in pair)
    assert ours["input_ids"] == theirs["input_ids"]
    assert ours["offset_mapping"] == theirs["offset_mapping"]
    assert ours.word_ids() == theirs.word_ids()
    for place in range(len(text)):
        assert ours.char_to_token(place) == theirs.char_to_token(place)


def test_words_of_a_raw_sentencepiece_file_stand_where_the_references_stand(pair):
    words = [[text] for text in SPACED if text] + [text.split(" ") for text in SPACED]
    theirs, ours = (
        tokenizer(words, is_split_into_words=True, return_offsets_mapping=True) for tokenizer in pair
    )
    assert ours["input_ids"] == theirs["input_ids"]
    assert ours["offset_mapping"] == theirs["offset_mapping"]
    for row in range(len(words)):
        assert ours.word_ids(row) == theirs.word_ids(row)
