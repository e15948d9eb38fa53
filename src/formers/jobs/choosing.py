"""From questions with several answers to choose from to a model that chooses, and how often it is right."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from formers.jobs.job import Job, Report, Row, Rows, heading, pages
from formers.jobs.plan import HeadPlan

_WRONG = 20  # questions that a report shows
_AT_ONCE = 16
_FIRST, _QUESTION = ("context", "sent1", "article", "text"), ("question", "sent2")
_CHOICES, _LABEL = ("choices", "options", "endings"), ("label", "answer")


class Choosing(Job):
    """A context or a question, or both, and several choices, of which one is right."""

    task = "multiple-choice"
    auto = "AutoModelForMultipleChoice"
    plan_class = HeadPlan
    noun = "questions"
    best = "accuracy"

    def read(self) -> Rows:
        """Rows of "first", "choices" (as many in all rows) and "label"."""
        from formers.training.data.tables import placed_rows

        path = Path(self.plan.data).expanduser()
        found: Rows = []
        for place, row in placed_rows(path):
            found.append(_checked(row, f"{path}, {place}"))
            count, wanted = len(found[-1]["choices"]), len(found[0]["choices"])
            if count != wanted:
                raise ValueError(
                    f"{path}, {place} has {count} choices, the first row has {wanted}: give all as many"
                )
        return found

    def features(self, rows: Rows, tokenizer: Any, model: Any, *, training: bool) -> list[dict[str, Any]]:
        """Ids of the first text with each choice, and the number of the right one."""
        count = len(rows[0]["choices"])
        encoded = tokenizer(
            [row["first"] for row in rows for _ in row["choices"]],
            [choice for row in rows for choice in row["choices"]],
            truncation=True,
        )
        return [
            {name: column[at * count : (at + 1) * count] for name, column in encoded.items()}
            | {"labels": row["label"]}
            for at, row in enumerate(rows)
        ]

    def collator(self, tokenizer: Any, model: Any) -> Any:
        """Pads all choices to one width."""
        from formers import DataCollatorForMultipleChoice

        return DataCollatorForMultipleChoice(tokenizer)

    def measure(self, tokenizer: Any, labels: list[str]) -> Callable[[Any], dict[str, float]]:
        """How often the right one is chosen."""
        return lambda found: {"accuracy": float((found.predictions.argmax(-1) == found.label_ids).mean())}

    def report(self, name: str, rows: Rows, **options: Any) -> Report:
        """Accuracy, and the questions that are answered wrongly, the surest first."""
        from formers.hub.card import table

        scores = [row["answer"]["scores"] for row in Chooser(name, **options)(rows)]
        chosen = [max(range(len(row)), key=row.__getitem__) for row in scores]
        right = sum(one == row["label"] for one, row in zip(chosen, rows, strict=True))
        wrong = [at for at, row in enumerate(rows) if chosen[at] != row["label"]]
        wrong.sort(key=lambda at: -scores[at][chosen[at]])
        shown = [
            (
                rows[at]["first"],
                rows[at]["choices"][rows[at]["label"]],
                rows[at]["choices"][chosen[at]],
                f"{scores[at][chosen[at]]:.2f}",
            )
            for at in wrong[:_WRONG]
        ]
        metrics = {"accuracy": right / len(rows), "by_chance": 1 / len(rows[0]["choices"])}
        parts = [
            *heading(name, metrics, f"{len(rows):,} questions"),
            f"## Wrong answers: {len(wrong):,}, the surest first",
            table(("question", "right", "chosen", "score"), shown) if shown else "There are none.",
        ]
        return Report(metrics, pages(parts))


class Chooser:
    """A saved model that chooses; `options` are `device`, `dtype` and `max_length` of a pipeline."""

    def __init__(self, name: str, **options: Any) -> None:
        from formers import AutoModelForMultipleChoice, AutoTokenizer
        from formers.core.devices import resolve_working

        self.device = resolve_working(options.get("device"))
        self.tokenizer = AutoTokenizer.from_pretrained(name)
        if options.get("max_length"):
            self.tokenizer.model_max_length = options["max_length"]
        dtype = options.get("dtype")
        self.model = AutoModelForMultipleChoice.from_pretrained(name, dtype=dtype).to(self.device)

    def __call__(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Each row of "first" and "choices" with its "answer": the choice, its number, and all scores."""
        waiting = iter(rows)
        while batch := list(islice(waiting, _AT_ONCE)):
            for row, scores in zip(batch, self._scores(batch), strict=True):
                best = max(range(len(scores)), key=scores.__getitem__)
                answer = {"choice": row["choices"][best], "index": best, "scores": scores}
                yield {**row, "answer": answer}

    def _scores(self, rows: Rows) -> list[list[float]]:
        import torch

        firsts = [row["first"] for row in rows for _ in row["choices"]]
        choices = [choice for row in rows for choice in row["choices"]]
        batch = self.tokenizer(firsts, choices, truncation=True, padding=True, return_tensors="pt")
        batch = batch.to(self.device)
        count = len(rows[0]["choices"])
        stacked = {name: value.view(len(rows), count, -1) for name, value in batch.items()}
        with torch.inference_mode():
            found: list[list[float]] = self.model(**stacked).logits.float().softmax(-1).tolist()
        return found


def _checked(row: Row, place: str) -> Row:
    """A row with what is needed of it.

    Raises:
        ValueError: for what is missing, and a label that is no choice.
    """
    found = asked(row, place)
    choices = found["choices"]
    label = next((row[name] for name in _LABEL if name in row), None)
    if isinstance(label, str):
        label = (
            choices.index(label) if label in choices else int(label) if label.strip().isdecimal() else label
        )
    if not isinstance(label, int) or not 0 <= label < len(choices):
        raise ValueError(
            f"{place}: the label {label!r} is none of the {len(choices)} choices: give its number, from 0, "
            "or its text"
        )
    return {**found, "label": label}


def asked(row: Row, place: str) -> Row:
    """What a row asks: the text before the choices, "first", and the "choices".

    Raises:
        ValueError: for what is missing.
    """
    if "first" in row:
        first = row["first"]
    else:
        texts = [next((row[name] for name in names if row.get(name)), "") for names in (_FIRST, _QUESTION)]
        first = " ".join(str(text) for text in texts if text)
    listed = next((row[name] for name in _CHOICES if name in row), None)
    numbered = sorted((name for name in row if name[:-1] in ("ending", "choice", "option")), key=str)
    choices = [row[name] for name in numbered] if listed is None else listed
    if not isinstance(first, str) or not first.strip():
        raise ValueError(
            f"{place}: there is no text before the choices; its columns are {list(row)}: name it context "
            "or question"
        )
    if (
        not isinstance(choices, list)
        or len(choices) < 2
        or not all(isinstance(c, str) and c.strip() for c in choices)
    ):
        raise ValueError(
            f"{place}: expected two choices or more, found {repr(choices)[:60]}: name them choices, or "
            "ending0, ending1, ..."
        )
    return {"first": first, "choices": choices}
