"""From questions whose answers stand in a text to a model that finds them, and how good it is."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from formers.core.notices import notice
from formers.jobs.job import Job, Report, Row, Rows, heading, pages
from formers.jobs.plan import HeadPlan, told

_WRONG = 20  # answers that a report shows
_LONGEST = 30  # tokens of an answer, as the scripts of SQuAD have it


@dataclass(frozen=True)
class Plan(HeadPlan):
    """What to train, from what, and how."""

    settings: ClassVar[tuple[str, ...]] = (*HeadPlan.settings, "stride")

    max_length: int = told(384, "Longest text in tokens, in training and ever after.", at_least=8)
    stride: int = told(128, "Tokens that windows of a long text share.", at_least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stride >= self.max_length:
            raise ValueError(f"--stride {self.stride} must be smaller than --max-length {self.max_length}")


class Questions(Job):
    """A question and a text in which its answer stands, or in which there is none (SQuAD 1 and 2)."""

    task = "question-answering"
    auto = "AutoModelForQuestionAnswering"
    plan_class = Plan
    noun = "questions"

    def read(self) -> Rows:
        """Rows of "question", "context" and "answers" (texts, and where they start)."""
        from formers.training.data.tables import placed_rows

        path = Path(self.plan.data).expanduser()
        rows: Rows = []
        for place, row in placed_rows(path):
            given = _of_article(row, place) if "paragraphs" in row else [(place, row)]
            rows += [_checked(entry, f"{path}, {where}") for where, entry in given]
        if not rows:
            raise ValueError(f"{path} holds no question")
        return rows

    def group(self, row: Row) -> Hashable:
        """Questions about one text stay together: they tell of each other."""
        return str(row["context"])

    def features(self, rows: Rows, tokenizer: Any, model: Any, *, training: bool) -> list[dict[str, Any]]:
        """Windows of question and text; the answer's first and last token, or where "none" points."""
        second = tokenizer.padding_side != "left"  # a model that is padded on the left reads the text first
        pair = [[row[name] for row in rows] for name in ("question", "context")]
        limit = tokenizer.model_max_length
        encoded = tokenizer(
            *(pair if second else pair[::-1]),
            truncation="only_second" if second else "only_first",
            stride=min(self.plan.stride, limit // 2),
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        owners, offsets = (encoded.pop(name) for name in ("overflow_to_sample_mapping", "offset_mapping"))
        examples, lost = [], 0
        for index, owner in enumerate(owners):
            example = {name: column[index] for name, column in encoded.items()}
            ids = list(example["input_ids"])
            none = ids.index(tokenizer.cls_token_id) if tokenizer.cls_token_id in ids else 0
            places = [at for at, text in enumerate(encoded.sequence_ids(index)) if text == int(second)]
            start, end = _tokens_of(rows[owner]["answers"], places, offsets[index]) or (none, none)
            lost += training and bool(rows[owner]["answers"]["text"]) and start == none
            examples.append({**example, "start_positions": start, "end_positions": end})
        if training and lost == len(examples):
            notice(
                f"no window of {limit} tokens holds an answer: a larger --max-length shows more of the text"
            )
        return examples

    def report(self, name: str, rows: Rows, **options: Any) -> Report:
        """Exact match and F1, and the answers that are wrong."""
        from formers import pipeline
        from formers.evaluation.spans import exact, f1, squad
        from formers.hub.card import table

        pipe = pipeline(self.task, model=name, **options)
        asked = [{"question": row["question"], "context": row["context"]} for row in rows]
        true = [row["answers"]["text"] for row in rows]
        found = pipe(
            asked,
            handle_impossible_answer=not all(true),
            max_answer_len=_LONGEST,
            doc_stride=self._stride(pipe),
        )
        found = [found] if isinstance(found, dict) else found
        metrics = squad([one["answer"] for one in found], true)
        wrong = [place for place, one in enumerate(found) if not exact(one["answer"], true[place])]
        wrong.sort(key=lambda place: (f1(found[place]["answer"], true[place]), -found[place]["score"]))
        shown = [
            (
                rows[place]["question"],
                " / ".join(dict.fromkeys(true[place])) or "(none)",
                found[place]["answer"] or "(none)",
                round(found[place]["score"], 3),
                _around(rows[place]),
            )
            for place in wrong[:_WRONG]
        ]
        parts = [
            *heading(name, metrics, f"{len(rows):,} questions"),
            f"## Wrong answers: {len(wrong):,}, the worst first",
            table(("question", "true", "answer", "score", "text"), shown) if shown else "There are none.",
        ]
        return Report(metrics, pages(parts))

    def _stride(self, pipe: Any) -> int:
        return int(min(self.plan.stride, (pipe.max_length or self.plan.max_length) // 2))


def _of_article(article: Row, place: str) -> Iterator[tuple[str, Row]]:
    """The questions of an article as SQuAD's files have it."""
    for number, paragraph in enumerate(article["paragraphs"], start=1):
        for index, question in enumerate(paragraph.get("qas") or (), start=1):
            answers = question.get("answers") or ()
            if question.get("is_impossible"):
                answers = ()
            columns = {name: [one.get(name) for one in answers] for name in ("text", "answer_start")}
            known = {"question": question.get("question"), "context": paragraph.get("context")}
            yield f"{place}, paragraph {number}, question {index}", {**known, "answers": columns}


def _checked(row: Row, place: str) -> Row:
    """A row with what is needed of it.

    Raises:
        ValueError: for a missing text, and an answer that does not stand where it should.
    """
    for name in ("question", "context"):
        if not isinstance(row.get(name), str) or not row[name].strip():
            raise ValueError(f"{place}: the {name} is {row.get(name)!r}, where a text is expected")
    answers = row.get("answers")
    texts, starts = (
        (list(answers.get(name) or ()) for name in ("text", "answer_start"))
        if isinstance(answers, dict)
        else (None, None)
    )
    if texts is None or starts is None or len(texts) != len(starts):
        raise ValueError(
            f'{place}: answers must be {{"text": [...], "answer_start": [...]}} of one length, found '
            f"{repr(answers)[:60]}"
        )
    context = row["context"]
    for text, start in zip(texts, starts, strict=True):
        if not isinstance(text, str) or not text or not isinstance(start, int):
            raise ValueError(f"{place}: the answer {text!r} at {start!r} is no text with its first character")
        if context[start : start + len(text)] != text or start < 0:
            at = context.find(text)
            where = f"it stands at {at}" if at >= 0 else "it is not in the context"
            raise ValueError(f"{place}: the answer {text!r} does not stand at character {start}: {where}")
    return {
        **{name: row[name] for name in ("question", "context")},
        "answers": {"text": texts, "answer_start": starts},
    }


def _tokens_of(answers: Any, places: list[int], offsets: Any) -> tuple[int, int] | None:
    """First and last token of the first answer that a window holds whole."""
    for text, start in zip(answers["text"], answers["answer_start"], strict=True):
        end = start + len(text)
        if places and offsets[places[0]][0] <= start and end <= offsets[places[-1]][1]:
            inside = [at for at in places if offsets[at][0] < end and offsets[at][1] > start]
            if inside:
                return inside[0], inside[-1]
    return None


def _around(row: Row) -> str:
    """The text around the answer, in brackets."""
    text, answers = row["context"], row["answers"]
    if not answers["text"]:
        return f"{text[:120]}…" if len(text) > 120 else text
    start = answers["answer_start"][0]
    end = start + len(answers["text"][0])
    before, after = max(0, start - 60), min(len(text), end + 60)
    inner = f"{text[before:start]}[{text[start:end]}]{text[end:after]}"
    return f"{'…' * (before > 0)}{inner}{'…' * (after < len(text))}"
