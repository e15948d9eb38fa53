"""The reference's token-classification pipeline and this one find the same entities on tiny checkpoints."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
import transformers

import formers
from span_zoo import KINDS, LABELS, LONG, TEXTS, write_checkpoint

STRATEGIES = ("none", "simple", "first", "average", "max")
pytestmark = pytest.mark.filterwarnings(
    "ignore:Tokenizer does not support real words", "ignore:this vocabulary does not mark the pieces"
)


@pytest.fixture(scope="module", params=list(KINDS))
def both(request: Any, tmp_path_factory: Any) -> tuple[Any, Any]:
    """Ours and the reference's, on one checkpoint."""
    names = dict(enumerate(LABELS))
    folder = write_checkpoint(
        request.param,
        "ForTokenClassification",
        tmp_path_factory.mktemp("labels"),
        id2label=names,
        label2id={label: index for index, label in names.items()},
    )
    kinds = (formers, transformers)
    ours, theirs = (kind.pipeline("ner", model=str(folder), device="cpu") for kind in kinds)
    return ours, theirs


def same(found: Any, expected: Any) -> None:
    """The same keys, kinds of values, spans, labels and order; scores within 1e-5."""
    assert isinstance(found, list)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        if isinstance(other, list):
            same(one, other)
            continue
        assert list(one) == list(other)
        assert [type(value) for value in one.values()] == [type(value) for value in other.values()]
        assert one == {**other, "score": pytest.approx(other["score"], abs=1e-5)}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_entities_are_those_of_the_reference(both: Any, strategy: str) -> None:
    ours, theirs = both
    every = {"aggregation_strategy": strategy, "ignore_labels": []}
    # the reference cuts what is longer than the model takes, as truncation=True does here
    same(ours(TEXTS, truncation=True, **every), theirs(TEXTS, **every))
    some = {"aggregation_strategy": strategy, "ignore_labels": ["O", "PER", "B-LOC"]}
    same(ours(TEXTS[:9], **some), theirs(TEXTS[:9], **some))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_entities_of_words_are_those_of_the_reference(both: Any, strategy: str) -> None:
    ours, theirs = both
    words = [text.split(" ") for text in TEXTS if len(text) < 300]
    call = {"is_split_into_words": True, "aggregation_strategy": strategy, "delimiter": "--"}
    same(ours(words, **call, ignore_labels=["MISC"]), theirs(words, **call, ignore_labels=["MISC"]))
    same(ours(words[0], is_split_into_words=True), theirs(words[0], is_split_into_words=True))


@pytest.mark.parametrize("strategy", STRATEGIES[1:])
@pytest.mark.parametrize("stride", [0, 16])
def test_entities_of_long_texts_are_those_of_the_reference_in_windows(
    both: Any, strategy: str, stride: int
) -> None:
    ours, theirs = both
    call = {"aggregation_strategy": strategy, "stride": stride, "ignore_labels": ["O"] if stride else []}
    same(ours(LONG, **call), theirs(LONG, **call))


def test_forms_of_calls_are_answered_alike(both: Any) -> None:
    ours, theirs = both
    texts = TEXTS[:3]
    same(ours(texts[0]), theirs(texts[0]))
    same(ours(texts[:1]), theirs(texts[:1]))
    same(list(ours(text for text in texts)), list(theirs(text for text in texts)))
    same(ours(texts, batch_size=2), theirs(texts))
    spans = [
        tuple(pair) for pair in theirs.tokenizer(texts[0], return_offsets_mapping=True)["offset_mapping"]
    ]
    moved = [(start + (end > start), end) for start, end in spans]
    same(ours(texts[0], offset_mapping=moved), theirs(texts[0], offset_mapping=moved))


def test_a_text_of_two_thousand_words_is_read_to_its_end(both: Any) -> None:
    ours, _ = both
    text = " ".join((LONG.split(" ") * 7)[:2000])
    for strategy in ("none", "simple"):
        found = ours(text, aggregation_strategy=strategy, ignore_labels=[])
        starts = [one["start"] for one in found]
        assert starts == sorted(starts)
        assert found[-1]["end"] == len(text)
        uncovered = numpy.ones(len(text), dtype=bool)
        for one in found:
            uncovered[one["start"] : one["end"]] = False
        assert not "".join(numpy.array(list(text))[uncovered]).strip()
    every = ours(text, ignore_labels=[])
    assert [one["index"] for one in every] == list(range(1, len(every) + 1))
