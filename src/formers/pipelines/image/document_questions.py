"""Questions about documents: `pipeline("document-question-answering")`."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from formers.core.arrays import softmax
from formers.generation.decoder import taken_by
from formers.pipelines.datasets import is_stream
from formers.pipelines.frame import Call, Pipeline, whole_number
from formers.pipelines.text.inputs import place_of
from formers.processing.documents import pages_of
from formers.processing.ocr import Box, NoWords, words_in

_NEVER, _WRITTEN = -10_000.0, 256
_ASKED = "<s_docvqa><s_question>{}</s_question><s_answer>"


@dataclasses.dataclass(frozen=True)
class Window:
    """A part of a document beside its question.

    Attributes:
        inputs: the model's keywords.
        open: [T], which tokens may be of an answer.
        words: number of each token's word; None for tokens of none.
        texts: the page's words.
        page: its number in a document of several pages, from 1; None for a page by itself.
    """

    inputs: dict[str, Any]
    open: Any
    words: Sequence[int | None]
    texts: Sequence[str]
    page: int | None = None


class DocumentQuestionAnsweringPipeline(Pipeline):
    """Answers questions about a page: `pipeline("document-question-answering")`.

        pipe(image="invoice.png", question="What is the total?")
            [{"score": 0.9, "answer": "12.50", "start": 16, "end": 16}]
        pipe(image=..., question=..., word_boxes=[("total", [10, 20, 90, 40]), ...])
        pipe([{"image": ..., "question": ...}, ...])    a list of such lists

    A PDF, a TIFF of several pages or a list of pictures is read page by page; answers name theirs as `page`,
    from 1. A model that writes answers gives one for every page.

    A model that reads words and boxes gets those that are given, or those that Tesseract reads; `start` and
    `end` number them on their page. One that reads the page's picture too, such as LayoutLMv2 and LayoutLMv3,
    gets that where there is an image processor. A model that reads the picture alone, such as Donut, writes
    the answer.

    Args:
        model: a model with a head for questions about documents, or one that writes about pages.
        tokenizer: its tokenizer.
        **kwargs: those of `Pipeline`, and as defaults for every call:

            top_k: how many answers, the best first; 1 unless given.
            max_answer_len: tokens of an answer; 15 unless given.
            handle_impossible_answer: whether "" may be the answer.
            max_seq_len: tokens of question and document together in a window; as many as the model reads.
            doc_stride: tokens that windows share; half a window, or 256.
            max_question_len: tokens of a question, of which the rest is cut; None leaves it whole.
            padding: padding changes no answer.
            pages: numbers of the pages to read, from 1; all unless given.
            dpi: pixels an inch of a PDF's pages; 200 unless given.
            lang: the language, by Tesseract's name; `tesseract_config` are further flags of it.
            timeout: seconds for an address to answer.
    """

    default_task: ClassVar[str] = "document-question-answering"
    default_input_names: ClassVar[Any] = "image,question"
    _load_tokenizer: ClassVar[bool | None] = True
    _load_image_processor: ClassVar[bool | None] = None
    _load_feature_extractor: ClassVar[bool | None] = False

    def __init__(self, model: Any, tokenizer: Any = None, **kwargs: Any) -> None:
        super().__init__(model, tokenizer, **kwargs)
        self._boxes = "bbox" in taken_by(model)
        seen = next((name for name in ("pixel_values", "image") if name in taken_by(model)), None)
        self._looks = seen if self._boxes and self.image_processor is not None else None
        if not self._boxes and self.image_processor is None:
            raise ValueError(
                f"{type(model).__name__} reads the picture itself: pass "
                "image_processor=AutoImageProcessor.from_pretrained(...)"
            )
        if self._boxes and getattr(tokenizer, "padding_side", "right") != "right":
            raise ValueError("documents are padded on the right: set tokenizer.padding_side = 'right'")

    def _sanitize_parameters(  # type: ignore[override]  # by name, so that others are refused
        self,
        padding: Any = None,
        doc_stride: int | None = None,
        max_question_len: int | None = None,
        lang: str | None = None,
        tesseract_config: str | None = None,
        max_answer_len: int | None = None,
        max_seq_len: int | None = None,
        top_k: int | None = None,
        handle_impossible_answer: bool | None = None,
        timeout: float | None = None,
        pages: Sequence[int] | None = None,
        dpi: float | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        reading = {
            "padding": padding,
            "doc_stride": doc_stride,
            "max_question_len": whole_number("max_question_len", max_question_len, "tokens, at least 1"),
            "max_seq_len": whole_number("max_seq_len", max_seq_len, "tokens, at least 1"),
            "lang": lang,
            "tesseract_config": tesseract_config,
            "timeout": timeout,
            "pages": pages,
            "dpi": dpi,
        }
        answering = {
            "top_k": whole_number("top_k", top_k, "answers, at least 1"),
            "max_answer_len": whole_number("max_answer_len", max_answer_len, "tokens, at least 1"),
            "handle_impossible_answer": handle_impossible_answer,
        }
        given = [
            {name: value for name, value in one.items() if value is not None} for one in (reading, answering)
        ]
        return given[0], {}, given[1]

    def __call__(
        self,
        inputs: Any = None,
        question: str | None = None,
        word_boxes: Any = None,
        *,
        image: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Answer one question about one document, or many.

        Args:
            inputs: a picture, a PDF or a TIFF; or `{"image": ..., "question": ..., "word_boxes": ...}`, a
                list of such, or a generator or dataset. With `word_boxes` the picture may be left out.
            question: about the picture.
            word_boxes: pairs of a word and its box: left, top, right, bottom, from 0 to 1000.
            image: the same as `inputs`.
            **kwargs: see the class, and `Pipeline.__call__`.

        Returns:
            For each question a list of records with `score`, `answer`, `start` and `end`; with the answer
            alone where the model writes it; and with the `page` of a document of several pages.
        """
        image = inputs if image is None else image
        if question is None:
            if word_boxes is not None:
                raise ValueError("word_boxes need a question")
            return super().__call__(image, **kwargs)
        if is_stream(image) or isinstance(image, list):
            raise ValueError(
                "one question goes with one document: for several pass [{'image': ..., 'question': ...}]"
            )
        return super().__call__({"image": image, "question": question, "word_boxes": word_boxes}, **kwargs)

    def _item(self, item: Any, index: int | None) -> Any:
        where = place_of(index)
        if not isinstance(item, Mapping) or not isinstance(item.get("question"), str):
            raise ValueError(f"{where} is {type(item).__name__}: pass {{'image': ..., 'question': a text}}")
        if not item["question"].strip():
            raise ValueError(f"the question of {where} is empty")
        if item.get("image") is None and (not self._boxes or not item.get("word_boxes")):
            raise ValueError(f"{where} has no document: pass its image{', or word_boxes' * self._boxes}")
        return item

    # -- the steps ---------------------------------------------------------------------------------

    def preprocess(
        self,
        inputs: Any,
        timeout: float | None = None,
        pages: Sequence[int] | None = None,
        dpi: float = 200,
        lang: str | None = None,
        tesseract_config: str = "",
        **fitting: Any,
    ) -> list[Window]:
        """The windows of one document; its pages as they are for a model that reads pictures alone."""
        question, given = inputs["question"], inputs.get("word_boxes")
        document = inputs.get("image")
        found = [(None, None)] if document is None else pages_of(document, pages, dpi, timeout)
        if not self._boxes:
            return [self._whole(image, question, page) for page, image in found]
        if given is not None and len(found) > 1:
            raise ValueError(
                f"word_boxes are those of one page, but this document has {len(found)}: choose one by pages="
            )
        windows: list[Window] = []
        for page, image in found:
            try:
                read = words_in(image, lang, tesseract_config) if given is None else _taken_apart(given)
            except NoWords:
                if len(found) == 1:
                    raise
                continue  # an empty page among others
            windows += self._windows(question, *read, image, page, **fitting)
        if not windows:
            raise NoWords(f"Tesseract finds no words on any of {len(found)} pages: pass clearer pictures")
        return windows

    def _whole(self, image: Any, question: str, page: int | None) -> Window:
        """A page for a model that reads the picture alone, and the question as it is asked."""
        asked = self.tokenizer(
            _ASKED.format(question), add_special_tokens=False, return_tensors="pt"
        ).input_ids
        return Window({"pixel_values": self._pixels(image), "decoder_input_ids": asked}, None, (), (), page)

    def _pixels(self, image: Any, **options: Any) -> torch.Tensor:
        found: torch.Tensor = self.image_processor(image, return_tensors="pt", **options).pixel_values
        return found if self.dtype is None else found.to(self.dtype)

    def _windows(
        self,
        question: str,
        words: list[str],
        boxes: list[Box],
        image: Any,
        page: int | None,
        padding: Any = "do_not_pad",
        doc_stride: int | None = None,
        max_question_len: int | None = None,
        max_seq_len: int | None = None,
    ) -> Iterator[Window]:
        """A question beside all words of a page, in windows that the model reads."""
        asked = self._question(question, max_question_len)
        room = min(self.tokenizer.model_max_length, self.model.config.max_position_embeddings)
        longest = room if max_seq_len is None else max_seq_len
        fitting = {
            "padding": padding,
            "max_length": longest,
            "stride": min(longest // 2, 256) if doc_stride is None else doc_stride,
            "return_token_type_ids": True,
            "truncation": "only_second",
            "return_overflowing_tokens": True,
        }
        placed = hasattr(self.tokenizer, "sep_token_box")  # it puts words into boxes itself
        if placed:
            encoding = self.tokenizer([" ".join(asked)], [words], boxes=[boxes], **fitting)
        else:
            encoding = self.tokenizer(asked, words, is_split_into_words=True, **fitting)
        pixels: dict[str, torch.Tensor] = {}
        if self._looks and image is not None:
            options = {"apply_ocr": False} if hasattr(self.image_processor, "apply_ocr") else {}
            pixels[self._looks] = self._pixels(image, **options)
        names = [name for name in encoding if name != "overflow_to_sample_mapping"]
        first = self.tokenizer.cls_token_id
        for i, ids in enumerate(encoding["input_ids"]):
            numbers, sides = encoding.word_ids(i), encoding.sequence_ids(i)
            inputs = {name: torch.tensor([encoding[name][i]]) for name in names}
            if not placed:
                inputs["bbox"] = torch.tensor([self._places(ids, numbers, sides, boxes)])
            # the first token stands for there being no answer
            free = [side == 1 or token == first for token, side in zip(ids, sides, strict=True)]
            mask = np.array(encoding["attention_mask"][i], dtype=bool)
            yield Window({**inputs, **pixels}, np.array(free) & mask, numbers, words, page)

    def _places(self, ids: Any, numbers: Any, sides: Any, boxes: list[Box]) -> list[Box]:
        """A box for every token, where the tokenizer knows none."""
        separator = self.tokenizer.sep_token_id
        return [
            boxes[number] if side == 1 else [1000 if token == separator else 0] * 4
            for token, number, side in zip(ids, numbers, sides, strict=True)
        ]

    def _question(self, question: str, most: int | None) -> list[str]:
        """Its words, as many as fit into so many tokens."""
        words = question.split()
        if most is None:
            return words
        cut = self.tokenizer(
            words, is_split_into_words=True, add_special_tokens=False, truncation=True, max_length=most
        )
        last = max((number for number in cut.word_ids(0) if number is not None), default=0)
        return words[: last + 1]

    def _forward(self, model_inputs: Any, **params: Any) -> Any:
        """Logits of a window, or what is written about a picture."""
        if self._boxes:
            return self.model(**model_inputs, **params)
        return {"sequences": self.model.generate(**model_inputs, **{"max_new_tokens": _WRITTEN, **params})}

    def _run(self, prepared: Sequence[Any], call: Call) -> list[Any]:
        """Answer every document by its windows."""
        found = []
        for windows in prepared:
            outputs = [(window, self.forward(window.inputs, **call.forward)) for window in windows]
            found.append(self.postprocess(outputs, **call.postprocess))
        return found

    def postprocess(
        self,
        model_outputs: Any,
        top_k: int = 1,
        max_answer_len: int = 15,
        handle_impossible_answer: bool = False,
        **params: Any,
    ) -> list[dict[str, Any]]:
        """The best answers of one document."""
        if not self._boxes:
            return [
                {"answer": self._written(one["sequences"][0]), **_at(window)} for window, one in model_outputs
            ]
        answers: list[dict[str, Any]] = []
        none = 1.0
        for window, output in model_outputs:
            first, last = (
                softmax(np.where(window.open, output[name][0][: len(window.open)].float().numpy(), _NEVER))
                for name in ("start_logits", "end_logits")
            )
            none = min(none, float(first[0] * last[0]))
            answers += _spans(window, first, last, top_k, max_answer_len)
        if handle_impossible_answer:
            answers.append({"score": none, "answer": "", "start": 0, "end": 0})
        return sorted(answers, key=lambda one: -one["score"])[:top_k]

    def _written(self, ids: torch.Tensor) -> str | None:
        """What stands in a text as its answer; None where there is none."""
        text = self.tokenizer.decode(ids)
        for token in (self.tokenizer.eos_token, self.tokenizer.pad_token):
            text = text.replace(token, "") if token else text
        found = re.search(r"<s_answer>(.*)</s_answer>", text)
        return None if found is None else found[1].strip()


def _at(window: Window) -> dict[str, int]:
    """Where an answer stands in a document of several pages."""
    return {} if window.page is None else {"page": window.page}


def _taken_apart(given: Any) -> tuple[list[str], list[Box]]:
    """Words and boxes of pairs.

    Raises:
        ValueError: for what is no pair, and boxes outside of the page.
    """
    words, boxes = [], []
    for place, pair in enumerate(given if isinstance(given, (list, tuple)) else [given]):
        word, sides = pair if isinstance(pair, (list, tuple)) and len(pair) == 2 else (None, [])
        sides = sides.tolist() if hasattr(sides, "tolist") else sides
        four = isinstance(sides, (list, tuple)) and len(sides) == 4
        if not isinstance(word, str) or not four or any(isinstance(side, str) for side in sides):
            raise ValueError(
                f"word_boxes holds {pair!r} at {place}: a pair is (word, [left, top, right, bottom])"
            )
        if not (0 <= sides[0] <= sides[2] <= 1000 and 0 <= sides[1] <= sides[3] <= 1000):
            raise ValueError(
                f"the box of {word!r} at {place} is {[*sides]}: boxes are in thousandths of the page, 0 to "
                "1000, left before right and top before bottom"
            )
        box = [int(side) for side in sides]
        words.append(word)
        boxes.append(box)
    if not words:
        raise ValueError("word_boxes are empty: there is nothing to answer from")
    return words, boxes


def _spans(window: Window, first: Any, last: Any, top_k: int, longest: int) -> list[dict[str, Any]]:
    """The likeliest answers of a window, first and last tokens [T] given as probabilities."""
    first, last = first.copy(), last.copy()
    first[0] = last[0] = 0.0
    scores = np.tril(np.triu(first[:, None] * last[None]), longest - 1)
    best = np.argsort(-scores, axis=None, kind="stable")[:top_k]
    found = []
    for start, end in zip(*np.unravel_index(best, scores.shape), strict=True):
        words = window.words[start], window.words[end]
        if window.open[start] and window.open[end] and words[0] is not None and words[1] is not None:
            answer = " ".join(window.texts[words[0] : words[1] + 1])
            score = float(scores[start, end])
            place = {"start": words[0], "end": words[1]}
            found.append({"score": score, "answer": answer, **place, **_at(window)})
    return found
