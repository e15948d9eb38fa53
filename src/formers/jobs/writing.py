"""From pairs of texts to a model that writes one from the other: summaries and translations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from formers.jobs.job import Job, Report, Row, Rows, heading, pages
from formers.jobs.plan import Plan, told

_SHOWN = 10  # texts of a report
_SOURCES = ("source", "text", "document", "article", "dialogue")
_TARGETS = ("target", "summary", "highlights", "abstract", "translation")


@dataclass(frozen=True)
class SummaryPlan(Plan):
    """What to train, from what, and how."""

    settings: ClassVar[tuple[str, ...]] = (*Plan.settings, "max_target_length", "num_beams", "prefix")

    epochs: float = told(3.0, "Passes over the training part.", at_least=0.01)
    learning_rate: float = told(1e-4, "Its highest value; 2e-5 to 5e-5 suit larger models.", at_least=0)
    batch_size: int = told(8, "Examples in a step.", at_least=1)
    max_length: int = told(512, "Longest text in tokens, in training and ever after.", at_least=8)
    text_column: str | None = told(None, "Column that holds the texts: source, text, document or article.")
    label_column: str | None = told(None, "Column that holds what is to be written: target or summary.")
    prefix: str | None = told(None, "What every text begins with; as the model's config says, if left out.")
    max_target_length: int = told(128, "Longest text that is written, in tokens.", at_least=2)
    num_beams: int = told(4, "Beams of the saved model; after each epoch it writes with one.", at_least=1)


@dataclass(frozen=True)
class TranslationPlan(SummaryPlan):
    """What to train, from what, and how."""

    source_language: str | None = told(None, "Key of the texts in a column of translations, such as en.")
    target_language: str | None = told(None, "Key of the translations there, such as de.")


class Summaries(Job):
    """A text and its summary; judged by ROUGE."""

    task = "summarization"
    auto = "AutoModelForSeq2SeqLM"
    plan_class = SummaryPlan
    best = "rougeL"

    def read(self) -> Rows:
        """Rows of "source" and "target"."""
        path = Path(self.plan.data).expanduser()
        rows = []
        for place, source, target in self._pairs(path):
            for name, value in (("text", source), ("text to write", target)):
                if not isinstance(value, str) or not value.strip():
                    raise ValueError(f"{path}, {place}: the {name} is {value!r}, where a text is expected")
            rows.append({"source": source, "target": target})
        return rows

    def _pairs(self, path: Path) -> Iterator[tuple[str, Any, Any]]:
        from formers.training.data.tables import placed_rows

        rows = placed_rows(path)
        columns = list(rows[0][1])
        source = self._column("--text-column", self.plan.text_column, _SOURCES, columns)
        target = self._column("--label-column", self.plan.label_column, _TARGETS, columns)
        return ((place, row.get(source), row.get(target)) for place, row in rows)

    def _column(self, option: str, given: str | None, usual: tuple[str, ...], columns: list[str]) -> str:
        found = given or next((name for name in usual if name in columns), None)
        if found not in columns:
            raise ValueError(f"{self.plan.data} has the columns {columns}: name the right one with {option}")
        return str(found)

    def load(self, tokenizer: Any, labels: list[str]) -> Any:
        """The model, whose settings are those of this task from now on."""
        self.scores([""], [""])  # a missing package is named before the work
        if getattr(tokenizer, "_build_translation_inputs", None) is not None:
            raise ValueError(
                f"{self.plan.model} marks texts with their languages, which --task {self.task} does not do: "
                "train it with Seq2SeqTrainer, or name a model of one pair of languages"
            )
        model = super().load(tokenizer, labels)
        config, own = model.config, model.generation_config
        known = (getattr(config, "task_specific_params", None) or {}).get(self._name()) or {}
        prefix = known.get("prefix", "") if self.plan.prefix is None else self.plan.prefix
        # lengths and penalties were those of another training's texts
        config.task_specific_params = {self.task: {"prefix": prefix}}
        own.update(
            max_new_tokens=self.plan.max_target_length,
            num_beams=self.plan.num_beams,
            **{"max_length": None, "min_length": 0, "length_penalty": 1.0, "no_repeat_ngram_size": 0},
        )
        return model

    def _name(self) -> str:
        """What the base model's config calls the task."""
        return self.task

    def features(self, rows: Rows, tokenizer: Any, model: Any, *, training: bool) -> list[dict[str, Any]]:
        """Texts behind their prefix, and what is to be written as labels."""
        prefix = model.config.task_specific_params[self.task]["prefix"]
        encoded = tokenizer([prefix + row["source"] for row in rows], truncation=True)
        targets = tokenizer(
            text_target=[row["target"] for row in rows],
            truncation=True,
            max_length=self.plan.max_target_length,
        )
        return [
            {**{name: encoded[name][index] for name in ("input_ids", "attention_mask")}, "labels": labels}
            for index, labels in enumerate(targets["input_ids"])
        ]

    def collator(self, tokenizer: Any, model: Any) -> Any:
        """Pads texts and labels to their own lengths."""
        from formers import DataCollatorForSeq2Seq

        return DataCollatorForSeq2Seq(tokenizer, model)

    def trainer_class(self) -> Any:
        """One that writes when it judges."""
        from formers import Seq2SeqTrainer

        return Seq2SeqTrainer

    def arguments(self) -> dict[str, Any]:
        """Judged by what is written, greedily: beams cost as many times more."""
        return {
            "predict_with_generate": True,
            "generation_max_length": self.plan.max_target_length,
            "generation_num_beams": 1,
            "per_device_eval_batch_size": 16,
        }

    def measure(self, tokenizer: Any, labels: list[str]) -> Callable[[Any], dict[str, float]]:
        """The scores of what is written."""
        pad = tokenizer.pad_token_id

        def compute(prediction: Any) -> dict[str, float]:
            ids = (prediction.predictions, prediction.label_ids)
            texts = (
                tokenizer.batch_decode(
                    [[pad if one < 0 else one for one in row] for row in part.tolist()],
                    skip_special_tokens=True,
                )
                for part in ids
            )
            return self.scores(*texts)

        return compute

    def scores(self, texts: list[str], wanted: list[str]) -> dict[str, float]:
        """Means over the texts, in percent."""
        from formers.evaluation.overlap import rouge

        found = rouge(texts, wanted)
        return {name: sum(one[name] for one in found) / len(found) for name in found[0]}

    def report(self, name: str, rows: Rows, **options: Any) -> Report:
        """Scores, and texts that are written beside those that were wanted."""
        from formers import pipeline
        from formers.evaluation.overlap import rouge
        from formers.hub.card import table

        pipe = pipeline(self.task, model=name, **options)
        answers = pipe([row["source"] for row in rows], truncation=True)
        texts = [answer[f"{pipe.return_name}_text"] for answer in answers]
        metrics = self.scores(texts, [row["target"] for row in rows])
        alike = [one["rougeL"] for one in rouge(texts, [row["target"] for row in rows])]
        order = sorted(range(len(rows)), key=lambda place: alike[place])
        step = max(1, len(order) // _SHOWN)
        shown = [
            (f"{alike[at]:.0f}", _short(rows[at]["source"]), rows[at]["target"], texts[at])
            for at in order[::step][:_SHOWN]
        ]
        return Report(
            metrics,
            pages(
                [
                    *heading(name, metrics, f"{len(rows):,} texts"),
                    "## Samples, from the least alike to the most",
                    table(("ROUGE-L", "text", "wanted", "written"), shown),
                ]
            ),
        )


class Translations(Summaries):
    """A text and its translation; judged by BLEU."""

    task = "translation"
    plan_class = TranslationPlan
    best = "bleu"

    def _pairs(self, path: Path) -> Iterator[tuple[str, Any, Any]]:
        from formers.training.data.tables import placed_rows

        rows = placed_rows(path)
        if not isinstance(rows[0][1].get("translation"), dict):
            yield from super()._pairs(path)
            return
        names = (self.plan.source_language, self.plan.target_language)
        for place, row in rows:
            both: Row = row["translation"] if isinstance(row["translation"], dict) else {}
            if not all(name in both for name in names):
                raise ValueError(
                    f"{path}, {place} has translations in {list(both)}: name two of them with "
                    "--source-language and --target-language"
                )
            yield place, both[names[0]], both[names[1]]

    def _name(self) -> str:
        return f"translation_{self.plan.source_language}_to_{self.plan.target_language}"

    def scores(self, texts: list[str], wanted: list[str]) -> dict[str, float]:
        """BLEU of all texts."""
        from formers.evaluation.overlap import bleu

        return {"bleu": bleu(texts, wanted)}


def _short(text: str) -> str:
    return f"{text[:200]}…" if len(text) > 200 else text
