"""From sentences with a label for each word to a model that finds entities, and how good it is."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from formers.core.textfile import read_text
from formers.jobs.job import Job, Report, Row, Rows, heading, pages
from formers.jobs.plan import HeadPlan, told

_TABLES = (".json", ".jsonl", ".ndjson", ".parquet")
_WORDS, _LABELS = ("tokens", "words"), ("tags", "labels", "ner_tags")
_WORST = 10  # sentences that a report shows


@dataclass(frozen=True)
class Plan(HeadPlan):
    """What to train, from what, and how."""

    text_column: str | None = told(None, "Column that holds the lists of words: tokens or words.")
    label_column: str | None = told(None, "Column that holds the lists of labels: tags or labels.")


class Tokens(Job):
    """Every word has a label: entities as IOB or BIOES tags, or any other, such as parts of speech."""

    task = "token-classification"
    auto = "AutoModelForTokenClassification"
    plan_class = Plan
    noun = "sentences"
    best = "f1"

    def read(self) -> Rows:
        """Rows of "tokens" and "tags"."""
        path = Path(self.plan.data).expanduser()
        if any(suffix.lower() in _TABLES for suffix in path.suffixes[-2:]):
            return [_checked(words, tags, place) for words, tags, place in self._entries(path)]
        return read_conll(path)

    def _entries(self, path: Path) -> list[tuple[Any, Any, str]]:
        from formers.training.data.tables import placed_rows

        rows = placed_rows(path)
        columns = list(rows[0][1])
        names = []
        for option, given, usual in (
            ("--text-column", self.plan.text_column, _WORDS),
            ("--label-column", self.plan.label_column, _LABELS),
        ):
            found = given or next((name for name in usual if name in columns), None)
            if found not in columns:
                raise ValueError(f"{path} has the columns {columns}: name the right one with {option}")
            names.append(found)
        return [(row.get(names[0]), row.get(names[1]), f"{path}, {place}") for place, row in rows]

    def labels(self, rows: Rows) -> list[str]:
        """The tags that occur, "O" first."""
        found = {tag for row in rows for tag in row["tags"]}
        return sorted(found, key=lambda tag: (tag != "O", tag.partition("-")[::-1]))

    def features(self, rows: Rows, tokenizer: Any, model: Any, *, training: bool) -> list[dict[str, Any]]:
        """Windows of ids; a word's label is at its first token, -100 elsewhere."""
        numbers = model.config.label2id
        encoded = tokenizer(
            [row["tokens"] for row in rows],
            is_split_into_words=True,
            truncation=True,
            return_overflowing_tokens=True,
        )
        owners, examples, seen = encoded.pop("overflow_to_sample_mapping"), [], set()
        for index, owner in enumerate(owners):
            labels = []
            for word in encoded.word_ids(index):
                new = word is not None and (owner, word) not in seen
                labels.append(numbers[rows[owner]["tags"][word]] if new else -100)
                seen.add((owner, word))
            examples.append({name: column[index] for name, column in encoded.items()} | {"labels": labels})
        return examples

    def collator(self, tokenizer: Any, model: Any) -> Any:
        """Pads labels, too."""
        from formers import DataCollatorForTokenClassification

        return DataCollatorForTokenClassification(tokenizer)

    def measure(self, tokenizer: Any, labels: list[str]) -> Callable[[Any], dict[str, float]]:
        """F1 of the entities."""
        from formers.evaluation.metrics import token_classification

        tags = as_entities(labels, labels)

        def compute(prediction: Any) -> dict[str, float]:
            found = token_classification(prediction.label_ids, prediction.predictions, tags)
            return {name: value for name, value in found.items() if isinstance(value, float)}

        return compute

    def report(self, name: str, rows: Rows, **options: Any) -> Report:
        """Scores of the entities by their type, and the sentences with most mistakes."""
        from formers import pipeline
        from formers.evaluation.metrics import entity_scores
        from formers.hub.card import table

        pipe = pipeline(self.task, model=name, **options)
        known = list(pipe.model.config.id2label.values())
        for tag in sorted({tag for row in rows for tag in row["tags"]} - set(known)):
            raise ValueError(f"{self.plan.data} has the tag {tag!r}, the model knows {known}")
        found = _predicted(pipe, rows)
        true = [row["tags"] for row in rows]
        scores = entity_scores(
            [as_entities(tags, known) for tags in true], [as_entities(tags, known) for tags in found]
        )
        pairs = [pair for both in zip(true, found, strict=True) for pair in zip(*both, strict=True)]
        scores["accuracy"] = sum(one == other for one, other in pairs) / len(pairs)
        kinds = [
            (kind, *(f"{row[key]:.3f}" for key in ("precision", "recall", "f1")), row["support"])
            for kind, row in scores["per_type"].items()
        ]
        wrong = [
            sum(one != other for one, other in zip(*both, strict=True))
            for both in zip(true, found, strict=True)
        ]
        worst = sorted((place for place, count in enumerate(wrong) if count), key=lambda place: -wrong[place])
        shown = [
            (wrong[i], *(_marked(rows[i]["tokens"], tags[i]) for tags in (true, found)))
            for i in worst[:_WORST]
        ]
        report = Report(scores, "")
        parts = [
            *heading(name, report.numbers, f"{len(rows):,} sentences"),
            "## Entities",
            table(("type", "precision", "recall", "F1", "entities"), kinds),
            "## Sentences with most mistakes",
            table(("words", "true", "found"), shown) if shown else "None has any.",
        ]
        return Report(scores, pages(parts))


def read_conll(path: Path) -> Rows:
    """Sentences of a CoNLL file: a word a line, its label in the last column; a blank line ends a sentence.

    Columns are parted by tabs, or else by blanks. Lines that begin with -DOCSTART- or "# " are left out.

    Raises:
        FileNotFoundError: where there is no such file.
        ValueError: for a file without sentences, or a line without a label.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    rows: Rows = []
    words: list[str] = []
    tags: list[str] = []
    for number, line in enumerate([*re.split("\r\n|\n|\r", read_text(path)), ""], start=1):
        if not line.strip() or line.startswith("-DOCSTART-"):
            if words:
                rows.append({"tokens": words, "tags": tags})
            words, tags = [], []
        elif not line.startswith("# "):
            fields = [field.strip() for field in line.split("\t")] if "\t" in line else line.split()
            if len(fields) < 2 or not (fields[0] and fields[-1]):
                raise ValueError(
                    f"{path}, line {number}: expected a word and its label, found {line.strip()!r}; a blank "
                    "line ends a sentence"
                )
            words.append(fields[0])
            tags.append(fields[-1])
    if not rows:
        raise ValueError(f"{path} holds no sentence")
    return rows


def _checked(words: Any, tags: Any, place: str) -> Row:
    for what, values in (("words", words), ("labels", tags)):
        if not isinstance(values, list) or not values:
            raise ValueError(f"{place}: expected a list of {what}, found {repr(values)[:60]}")
    if len(words) != len(tags):
        raise ValueError(f"{place} has {len(words)} words and {len(tags)} labels: give each word one")
    for word, tag in zip(words, tags, strict=True):
        if not isinstance(word, str) or not word.strip() or isinstance(tag, bool | float | None):
            raise ValueError(f"{place}: {word!r} with the label {tag!r} is no word with its label")
    return {"tokens": words, "tags": [str(tag) for tag in tags]}


def as_entities(tags: Sequence[str], known: Sequence[str]) -> list[str]:
    """Tags as IOB2: those of BIOES and BILOU are rewritten; of other labels each word is one entity."""
    if all(tag == "O" or re.match("[BIOESLU]-.", tag) for tag in known):
        return [re.sub("^[SU]-", "B-", re.sub("^[EL]-", "I-", tag)) for tag in tags]
    return [tag if tag == "O" else f"B-{tag}" for tag in tags]


def _predicted(pipe: Any, rows: Rows) -> list[list[str]]:
    """The label of each word: that of its first token."""
    texts = [row["tokens"] for row in rows]
    answers = pipe(texts, is_split_into_words=True, ignore_labels=[], aggregation_strategy="none")
    found = []
    for words, tokens in zip(texts, answers, strict=True):
        starts = list(accumulate((len(word) + 1 for word in words), initial=0))
        tags = ["O"] * len(words)  # of a word without a token, such as a sign of no width
        for token in reversed(tokens):
            tags[bisect_right(starts, token["start"]) - 1] = token["entity"]
        found.append(tags)
    return found


def _marked(words: Sequence[str], tags: Sequence[str]) -> str:
    """A sentence with the labels behind its words, but for "O"."""
    return " ".join(word if tag == "O" else f"{word} `{tag}`" for word, tag in zip(words, tags, strict=True))
