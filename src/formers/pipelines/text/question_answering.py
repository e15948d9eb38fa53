"""Answers to questions: the spans of a text that are likeliest to be them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from formers.core.arrays import softmax
from formers.core.notices import refuse_unknown
from formers.pipelines.datasets import is_stream, is_wordlist, refuse_tables
from formers.pipelines.frame import whole_number
from formers.pipelines.text.inputs import Fitting, one_of, place_of
from formers.pipelines.text.token_classification import Located, SpanPipeline
from formers.tokenization.placed import Placed, place

Scores = npt.NDArray[np.float32]

_LONGEST, _STRIDE = 384, 128  # the ecosystem's window and overlap
_NEVER = np.float32(-10_000.0)
_PADDING = ("longest", "max_length", "do_not_pad")


@dataclasses.dataclass
class SquadExample:
    """A question and the text with its answer, in the fields of the SQuAD data set."""

    qas_id: Any
    question_text: str
    context_text: str
    answer_text: str | None = None
    start_position_character: int | None = None
    title: str | None = None
    answers: Sequence[Any] = ()
    is_impossible: bool = False


class QuestionAnsweringArgumentHandler:
    """Reads what a call is given: a list of `SquadExample`, or a generator or dataset as it is."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Read `question=` and `context=`, two strings, examples, or a dataset of those.

        Raises:
            KeyError: for a mapping without a question or a context.
            TypeError: for what is no example.
            ValueError: for an empty question or context, or lists that differ in length.
        """
        named = {name: kwargs[name] for name in ("data", "X") if kwargs.get(name) is not None}
        both = {name: kwargs[name] for name in ("question", "context") if name in kwargs}
        if bool(args) + bool(named) + bool(both) != 1 or len(both) == 1 or len(named) == 2:
            said = [*both, *named, *(f"{len(args)} inputs by position" for _ in args[:1])]
            got = " and ".join(said) or "neither"
            raise ValueError(f"a question needs its text: pass question=... and context=..., got {got}")
        if both or (len(args) == 2 and all(isinstance(one, str) for one in args)):
            given: Any = list(_paired(*(args or (both["question"], both["context"]))))
        else:
            given = next(iter(named.values())) if named else args[0] if len(args) == 1 else list(args)
        if is_stream(given):
            return given
        refuse_tables(given)
        examples = list(given) if is_wordlist(given) else [given]
        single = len(examples) == 1
        return [self.normalize(one, None if single else index) for index, one in enumerate(examples)]

    def normalize(self, item: Any, index: int | None = None) -> Any:
        """One `SquadExample`, or another library's of the same fields; `index` is its place among several."""
        if isinstance(item, Mapping):
            lost = [name for name in ("question", "context") if name not in item]
            if lost:
                raise KeyError(
                    f"{place_of(index)} has no {lost[0]!r}; its keys are {list(item)}: pass "
                    "{'question': ..., 'context': ...}"
                )
            item = SquadExample(None, item["question"], item["context"])
        elif not (hasattr(item, "question_text") and hasattr(item, "context_text")):
            raise TypeError(
                f"{place_of(index)} is of type {type(item).__name__}; expected {{'question': ..., "
                "'context': ...} or a SquadExample"
            )
        for name, text in (("question", item.question_text), ("context", item.context_text)):
            if not isinstance(text, str) or not text:
                found = "is empty" if text == "" else f"is {type(text).__name__}, not a string"
                kind = ValueError if text in ("", None) else TypeError
                raise kind(f"the {name} of {place_of(index)} {found}")
        return item


def _paired(question: Any, context: Any) -> Iterator[dict[str, Any]]:
    """One question and one text, several of both, or several of one about or in the other."""
    given = {"question": question, "context": context}
    many = {name: list(value) for name, value in given.items() if not isinstance(value, str | None)}
    counts = {name: len(value) for name, value in many.items()}
    if len(set(counts.values())) > 1:
        raise ValueError(
            f"{counts['question']} questions and {counts['context']} contexts do not go together"
        )
    for index in range(max(counts.values(), default=1)):
        yield {name: many[name][index] if name in many else value for name, value in given.items()}


class QuestionAnsweringPipeline(SpanPipeline):
    """Answers questions from a text: `pipeline("question-answering")`.

        pipe(question="Where does Anna live?", context="Anna lives in Bern")
            {"score": 0.98, "start": 14, "end": 18, "answer": "Bern"}
        pipe(question=[...], context="...")     a list of answers; so are lists of both
        pipe({"question": ..., "context": ...})

    A text that does not fit beside its question is read in overlapping windows. Scores are the product of
    the probabilities that an answer begins and ends where it does, within its window; those of answers that
    read alike, whatever their case, are added up. What stands beside the text is never an answer.

    Args:
        model: a model with a question-answering head.
        tokenizer: its tokenizer.
        **kwargs: those of `Pipeline`, and as defaults for every call:

            top_k: how many answers, the best first; 1 unless given. `topk` is the older name.
            max_seq_len: tokens of question and text together in a window; 384 unless given, or fewer where
                the model takes no more.
            doc_stride: tokens that windows share; 128 unless given, or half a window.
            max_question_len: tokens of a question, of which the rest is cut; None leaves it whole.
            max_answer_len: tokens of an answer; 15 unless given.
            handle_impossible_answer: whether "" may be the answer.
            align_to_words: whether answers begin and end with whole words; True unless given.
            padding: accepted; padding changes no answer.

    Raises:
        ValueError: for a model with another kind of head.
    """

    default_task: ClassVar[str] = "question-answering"
    default_input_names: ClassVar[Any] = "question,context"
    run_keywords: ClassVar[tuple[str, ...]] = (
        *("align_to_words", "handle_impossible_answer", "max_answer_len", "top_k"),
    )

    def _sanitize_parameters(  # type: ignore[override]  # keywords of its own, by name
        self,
        padding: Any = None,
        topk: int | None = None,
        top_k: int | None = None,
        doc_stride: int | None = None,
        max_answer_len: int | None = None,
        max_seq_len: int | None = None,
        max_question_len: int | None = None,
        handle_impossible_answer: bool | None = None,
        align_to_words: bool | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        one_of("padding", padding, _PADDING, switch=True)
        preprocess = {
            "doc_stride": whole_number("doc_stride", doc_stride, "tokens, at least 0", 0),
            "max_seq_len": whole_number("max_seq_len", max_seq_len, "tokens, at least 1"),
            "max_question_len": whole_number("max_question_len", max_question_len, "tokens, at least 1"),
        }
        if topk is not None and top_k not in (None, topk):
            raise ValueError(f"topk={topk} and top_k={top_k} contradict each other: leave topk out")
        top_k = topk if top_k is None else top_k
        postprocess = {
            "top_k": whole_number("top_k", top_k, "answers, at least 1"),
            "max_answer_len": whole_number("max_answer_len", max_answer_len, "tokens, at least 1"),
            "handle_impossible_answer": handle_impossible_answer,
            "align_to_words": align_to_words,
        }
        given = ({k: v for k, v in part.items() if v is not None} for part in (preprocess, postprocess))
        return next(given), {}, next(given)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Answer one question or many.

        Args:
            *args: an example (`{"question": ..., "context": ...}` or a `SquadExample`), a list of those, a
                generator or a dataset with these columns; or a question and a text.
            **kwargs: `question` and `context`, a string or a list each; see the class, and
                `Pipeline.__call__` for `batch_size` and `progress`.

        Returns:
            For one question, in a list or not, `{"score", "start", "end", "answer"}`, or a list of those, the
            best first, where `top_k` asks for several; for several questions a list with one such answer
            each.
        """
        names = ("question", "context", "data", "X")
        given = {name: kwargs.pop(name) for name in names if name in kwargs}
        examples = QuestionAnsweringArgumentHandler()(*args, **given)
        one = isinstance(examples, list) and len(examples) == 1
        return super().__call__(examples[0] if one else examples, **kwargs)

    @staticmethod
    def create_sample(question: Any, context: Any) -> Any:
        """The `SquadExample` of a question and a text, or a list for lists of both."""
        if isinstance(question, list):
            return [SquadExample(None, *both) for both in zip(question, context, strict=True)]
        return SquadExample(None, question, context)

    # -- the steps ---------------------------------------------------------------------------------

    def _is_many(self, inputs: Any) -> bool:
        return isinstance(inputs, list)

    def _rows_of(self, table: Any) -> Any:
        columns = table.column_names
        if columns is not None and not {"question", "context"} <= set(columns):
            raise ValueError(f"the dataset needs columns 'question' and 'context'; its columns are {columns}")
        return table

    def _item(self, item: Any, index: int | None) -> Any:
        return QuestionAnsweringArgumentHandler().normalize(item, index)

    def _fitting(self, params: Mapping[str, Any]) -> Fitting:
        most = self.max_length
        limit = params.get("max_seq_len") or min(_LONGEST, most or _LONGEST)
        stride = params.get("doc_stride")
        if stride is not None and stride >= limit:
            raise ValueError(f"doc_stride={stride} must be smaller than max_seq_len={limit}")
        options = {"long_text": "window", "truncation": "only_second", "max_length": limit, "stride": stride}
        return Fitting.of(options, most)

    @property
    def _context(self) -> int:
        """Which text of a pair the answer is in: a model that is padded on the left reads it first."""
        return 0 if getattr(self.tokenizer, "padding_side", "right") == "left" else 1

    def preprocess_batch(
        self,
        inputs: Sequence[Any],
        first: int | None = None,
        max_question_len: int | None = None,
        **params: Any,
    ) -> list[Any]:
        """Tokenise questions with their texts, in windows where they are long; a `Located` for each."""
        items = [self._item(item, None if first is None else first + i) for i, item in enumerate(inputs)]
        questions = [item.question_text for item in items]
        if max_question_len is not None:
            asked = place(self.tokenizer, questions, add_special_tokens=False)
            for index, tokens in enumerate(asked):
                if len(tokens.ids) > max_question_len:
                    questions[index] = questions[index][: tokens.spans[max_question_len - 1, 1]]
        contexts = [item.context_text for item in items]
        pair = (questions, contexts) if self._context else (contexts, questions)
        fitting = self._fitting(params)
        located = self._located(*pair, fitting, first, self._context)
        for one, context in zip(located, contexts, strict=True):
            one.text = context
        return list(located)

    def _stride(self, limit: int, room: int) -> int:
        return min(limit // 2, _STRIDE, room - 1)

    def postprocess(self, model_outputs: Any, **params: Any) -> Any:
        """The answers to one question, from `start_logits` and `end_logits` [windows, T] and `located`."""
        return self.postprocess_batch(model_outputs, [model_outputs], **params)[0]

    def postprocess_batch(self, outputs: Any, prepared: Sequence[Any], **params: Any) -> list[Any]:
        """The answers to each question."""
        refuse_unknown(params, self.run_keywords, f"{type(self).__name__}.postprocess")
        if "start_logits" not in outputs:
            raise ValueError(
                f"{type(self.model).__name__} gives {list(outputs)}, no start_logits and end_logits: load a "
                "model with AutoModelForQuestionAnswering.from_pretrained(...)"
            )
        begins, ends = (outputs[f"{name}_logits"].float().numpy() for name in ("start", "end"))
        answers, row = [], 0
        for one in self._known(prepared):
            stop = row + len(one.parts)
            answers.append(self._answered(begins[row:stop], ends[row:stop], one, **params))
            row = stop
        return answers

    def _answered(
        self,
        begins: Scores,
        ends: Scores,
        one: Located,
        top_k: int = 1,
        handle_impossible_answer: bool = False,
        max_answer_len: int = 15,
        align_to_words: bool = True,
    ) -> Any:
        """The answers to one question, from the logits of its windows, [windows, T] each."""
        nothing = 1_000_000.0
        found: dict[str, dict[str, Any]] = {}
        candidates = top_k * 2 + 10 if align_to_words else top_k  # some read alike once they are aligned
        for part, begin, end in zip(one.parts, begins, ends, strict=True):
            inside = part.sequences == self._context
            none = part.ids == self.tokenizer.cls_token_id  # where models point that find no answer
            start, stop = (
                softmax(np.where(inside | none, row[: len(inside)], _NEVER)) for row in (begin, end)
            )
            nothing = min(nothing, float((start * stop)[np.flatnonzero(none & ~inside)[:1]].sum()))
            for first, last, score in _best(start, stop, np.flatnonzero(inside), candidates, max_answer_len):
                span = _characters(part, first, last, align_to_words)
                answer = one.text[slice(*span)]
                known = found.setdefault(
                    answer.lower(), {"score": 0.0, "start": span[0], "end": span[1], "answer": answer}
                )
                known["score"] += score
        answers = list(found.values())
        if handle_impossible_answer or not answers:
            score = nothing if handle_impossible_answer else 0.0
            answers.append({"score": score, "start": 0, "end": 0, "answer": ""})
        answers = sorted(answers, key=lambda answer: -float(answer["score"]))[:top_k]
        return answers[0] if len(answers) == 1 else answers


def _best(
    start: Scores, end: Scores, inside: npt.NDArray[np.int64], count: int, longest: int
) -> Iterator[tuple[int, int, float]]:
    """The likeliest spans of a window: (first token, last token, probability), the best first.

    Args:
        start: that an answer begins there, [T].
        end: that it ends there, [T].
        inside: the places of the text, which lie side by side.
        count: of spans at most.
        longest: tokens of a span at most.
    """
    if not len(inside):
        return
    longest = min(longest, len(inside))
    ends = np.append(end[inside], np.full(longest - 1, -1, np.float32))  # no span ends behind the text
    pairs = start[inside][:, None] * np.lib.stride_tricks.sliding_window_view(ends, longest)
    scores = pairs.ravel()
    if count < len(scores):
        chosen = np.argpartition(-scores, count)[:count]
        chosen = chosen[np.argsort(-scores[chosen], kind="stable")]
    else:
        chosen = np.argsort(-scores, kind="stable")
    for index in chosen.tolist():
        first, more = divmod(index, longest)
        if first + more < len(inside):
            yield int(inside[first]), int(inside[first + more]), float(scores[index])


def _characters(part: Placed, first: int, last: int, align_to_words: bool) -> tuple[int, int]:
    """The characters of a span of tokens, or of all words that it touches."""
    if align_to_words and part.words[first] >= 0 and part.words[last] >= 0:
        return part.word(first)[0], part.word(last)[1]
    return int(part.spans[first, 0]), int(part.spans[last, 1])
