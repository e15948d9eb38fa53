"""Tokenizers of pages: words that stand in boxes, and labels of those words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from formers.core.notices import refuse_unknown
from formers.tokenization.encoding import BatchEncoding
from formers.tokenization.options import CALL_KEYWORDS, tensor_type
from formers.tokenization.padding import Filling

Box = list[int]
_EDGE = 1000  # of a page
_BOXES = ("cls_token_box", "sep_token_box", "pad_token_box")


class PageMethods:
    """What the tokenizers of LayoutLMv2, LayoutLMv3 and LayoutXLM have (arXiv:2012.14740).

    Attributes:
        cls_token_box: where the first token stands; likewise `sep_token_box` and `pad_token_box`, which is
            the box of a question's tokens too.
        pad_token_label: the label of tokens that have none.
        only_label_first_subword: a word's first token alone has its label.
    """

    init_kwargs: dict[str, Any]
    recipe: Any
    cls_token_id: int
    sep_token_id: int
    pad_token_id: int
    cls_token_box: Box
    sep_token_box: Box
    pad_token_box: Box
    pad_token_label: int
    only_label_first_subword: bool

    def _begin(self) -> None:
        said = {name: value for name, value in self.init_kwargs.items() if value is not None}
        options: dict[str, Any] = {**self.recipe.options, **said}
        for name in _BOXES:
            box = options[name]
            if not isinstance(box, (list, tuple)) or not _is_box(box):
                raise ValueError(f"{name} is left, top, right, bottom from 0 to {_EDGE}, not {box!r}")
            setattr(self, name, list(box))
        self.pad_token_label = int(options["pad_token_label"])
        self.only_label_first_subword = bool(options["only_label_first_subword"])

    def __call__(
        self,
        text: Any = None,
        text_pair: Any = None,
        boxes: Any = None,
        word_labels: Any = None,
        **call: Any,
    ) -> BatchEncoding:
        """Turn the words of pages, and questions about them, into the inputs of a model.

        Args:
            text: the words of a page, or a list of such; with `text_pair` a question, or a list of those.
            text_pair: the words of the page, or a list of such.
            boxes: for every word its left, top, right and bottom, from 0 to 1000.
            word_labels: a number for every word.
            **call: the other keywords of a call of any tokenizer.

        Returns:
            The usual columns, `bbox` [B, T, 4], and `labels` [B, T] where words have labels.

        Raises:
            TypeError: for words that are no texts, or an unknown keyword.
            ValueError: without boxes, for as many as do not fit the words, and for boxes outside of the page.
        """
        known = [name for name in CALL_KEYWORDS if name != "is_split_into_words" and "target" not in name]
        refuse_unknown(call, (*known, "boxes", "word_labels"), f"{type(self).__name__}()")
        words = text if text_pair is None else text_pair
        batched = isinstance(text, (list, tuple)) and (
            text_pair is not None or bool(text and not isinstance(text[0], str))
        )
        pages, placed = ([*words], boxes) if batched else ([words], [boxes])
        _check(pages, placed, boxes)
        labels = None if word_labels is None else [*word_labels] if batched else [word_labels]
        if labels is not None and [len(row) for row in labels] != [len(page) for page in pages]:
            raise ValueError("word_labels must hold one number for each word")
        asked = None if text_pair is None else [_split(one) for one in (text if batched else [text])]
        found = self._encoded(pages, asked, call)
        sources = found.get("overflow_to_sample_mapping", range(len(pages)))
        rows = list(enumerate(int(source) for source in sources))
        at = None if asked is None else 1
        found["bbox"] = [self._boxes(found, i, placed[source], at) for i, source in rows]
        if labels is not None:
            found["labels"] = [self._labels(found, i, labels[source], at) for i, source in rows]
        kind = tensor_type(call.get("return_tensors"))
        if kind is None and not batched and "overflow_to_sample_mapping" not in found:
            flat = {name: value if name == "length" else value[0] for name, value in found.items()}
            return BatchEncoding(flat, found.encodings)
        return found.convert_to_tensors(kind)

    def tokenize(
        self, text: str, pair: str | None = None, add_special_tokens: bool = False, **call: Any
    ) -> list[str]:
        """Split a text into tokens, as strings; it stands in no boxes."""
        made = super().__call__(text, pair, add_special_tokens=add_special_tokens, **call)  # type: ignore[misc]  # of the class beside this
        found: list[str] = made.tokens() if made.encodings else []
        return found

    def _encoded(self, pages: list[Any], asked: list[Any] | None, call: Mapping[str, Any]) -> BatchEncoding:
        """The words of pages, behind what is asked, as lists."""
        call = {**call, "return_tensors": None, "is_split_into_words": True}
        first, second = (pages, None) if asked is None else (asked, pages)
        made: BatchEncoding = super().__call__(first, second, **call)  # type: ignore[misc]  # of the class beside this
        return made

    def _boxes(self, found: BatchEncoding, row: int, boxes: Sequence[Box], page: int | None) -> list[Box]:
        """A box for every token of a row; `page` is the number of the sequence that stands in boxes."""
        ids, special = found["input_ids"][row], {self.cls_token_id: self.cls_token_box}
        special[self.pad_token_id] = self.pad_token_box
        made: list[Box] = []
        for token, word, side in zip(ids, found.word_ids(row), found.sequence_ids(row), strict=True):
            if word is None:
                made.append(list(special.get(token, self.sep_token_box)))
            elif page is not None and side != page:
                made.append(list(self.pad_token_box))
            else:
                made.append([int(edge) for edge in boxes[word]])
        return made

    def _labels(self, found: BatchEncoding, row: int, labels: Sequence[int], page: int | None) -> list[int]:
        """A label for every token of a row."""
        made, before = [], None
        for word, side in zip(found.word_ids(row), found.sequence_ids(row), strict=True):
            place = None if word is None or (page is not None and side != page) else word
            told = place is not None and not (self.only_label_first_subword and place == before)
            made.append(int(labels[place]) if told and place is not None else self.pad_token_label)
            before = place
        return made

    def _filling(self) -> Filling:
        """Boxes and labels are padded too."""
        usual: Filling = super()._filling()  # type: ignore[misc]  # likewise
        more = {"bbox": list(self.pad_token_box), "labels": self.pad_token_label}
        return Filling(usual.token, usual.pad_id, usual.type_id, usual.main, more)


def _split(question: Any) -> list[str]:
    """The words of a question."""
    if isinstance(question, str):
        return question.split()
    if not isinstance(question, (list, tuple)) or not all(isinstance(word, str) for word in question):
        raise TypeError(f"beside the words of a page stands a question, a text, not {question!r}")
    return [*question]


def _is_box(box: Any) -> bool:
    return len(box) == 4 and all(0 <= edge <= _EDGE for edge in box)


def _check(pages: list[Any], placed: Any, boxes: Any) -> None:
    """Refuse words without boxes, and boxes outside of the page."""
    for words in pages:
        if not isinstance(words, (list, tuple)) or not all(isinstance(word, str) for word in words):
            raise TypeError(
                "the words of a page are a list of texts (a question stands in text=, the words in "
                f"text_pair=), not {type(words).__name__}"
            )
    if boxes is None:
        raise ValueError("words of a page stand in boxes: pass boxes=, one for each word")
    placed = placed if isinstance(placed, list) else [*placed]
    counts = [len(page) for page in pages], [len(one) for one in placed]
    if counts[0] != counts[1]:
        raise ValueError(
            f"there are {counts[0]} words on the pages, and {counts[1]} boxes: pass one for each word"
        )
    for page, one in zip(pages, placed, strict=True):
        for word, box in zip(page, one, strict=True):
            if not hasattr(box, "__len__") or not _is_box(box):
                raise ValueError(
                    f"the box of {word!r} is {box!r}: boxes are left, top, right, bottom in thousandths of "
                    f"the page, 0 to {_EDGE}"
                )
