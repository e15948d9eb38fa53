"""From texts that belong together to a model whose vectors say so: a sentence-transformers folder."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from formers.jobs.job import Job, Report, Row, Rows, heading, pages
from formers.jobs.plan import Plan, told

if TYPE_CHECKING:
    from formers.pipelines.text.embedding import Recipe

_FIRST = ("anchor", "sentence1", "text1", "query", "premise")
_SECOND = ("positive", "sentence2", "text2", "document", "hypothesis")
_THIRD, _SCORE = ("negative",), ("score", "similarity", "label")
_SHOWN, _NEIGHBOURS = 10, 3
_MOST = 5000  # texts that neighbours are looked for among


@dataclass(frozen=True)
class EmbeddingPlan(Plan):
    """What to train, from what, and how."""

    settings: ClassVar[tuple[str, ...]] = (*Plan.settings, "loss")

    learning_rate: float = told(5e-5, "Its highest value; 2e-5 to 5e-5 suit larger models.", at_least=0)
    epochs: float = told(2.0, "Passes over the training part.", at_least=0.01)
    loss: str | None = told(
        None,
        "ranking (pairs, triplets), cosine (pairs with a score) or triplet; by the columns, if left out.",
        choices=("ranking", "cosine", "triplet", None),
    )


class Embeddings(Job):
    """Pairs (anchor, positive), triplets (with a negative), or pairs with a score from -1 to 1."""

    task = "sentence-embeddings"
    auto = "AutoModel"
    plan_class = EmbeddingPlan
    noun = "groups of texts"
    recipe: Recipe
    loss: str

    def read(self) -> Rows:
        """Rows of "texts" (two or three) and "score" (None without one)."""
        from formers.training.data.tables import placed_rows

        path = Path(self.plan.data).expanduser()
        rows = placed_rows(path)
        columns = list(rows[0][1])
        if "texts" in columns:
            given = [(place, list(row["texts"]), row.get("score")) for place, row in rows]
        else:
            picked = [
                next((n for n in names if n in columns), None) for names in (_FIRST, _SECOND, _THIRD, _SCORE)
            ]
            if None in picked[:2]:
                raise ValueError(
                    f"{path} has the columns {columns}: name those of the texts anchor and positive, beside "
                    "them negative, or score"
                )
            texts = [name for name in picked[:3] if name is not None]
            score = None if len(texts) == 3 else picked[3]
            given = [
                (place, [row.get(name) for name in texts], row.get(score) if score else None)
                for place, row in rows
            ]
        scored = given[0][2] is not None
        found = [_checked(f"{path}, {place}", texts, score, scored) for place, texts, score in given]
        if odd := next(
            (at for at, row in enumerate(found) if len(row["texts"]) != len(found[0]["texts"])), 0
        ):
            raise ValueError(
                f"{path}, {given[odd][0]} has {len(found[odd]['texts'])} texts, the first row has not"
            )
        return found

    def _loss(self, row: Row) -> str:
        """The loss, by the plan or by a row.

        Raises:
            ValueError: for one that such rows do not have.
        """
        count, scored = len(row["texts"]), row["score"] is not None
        chosen: str = self.plan.loss or ("cosine" if scored else "ranking")
        needs = {"cosine": scored and count == 2, "triplet": count == 3, "ranking": not scored}
        if not needs[chosen]:
            found = f"{count} texts a row, {'with' if scored else 'without'} a score"
            raise ValueError(f"--loss {chosen} does not suit {self.plan.data}, which has {found}")
        return chosen

    def load(self, tokenizer: Any, labels: list[str]) -> Any:
        """The encoder, and what its folder says of its vectors."""
        from formers.hub import Source
        from formers.pipelines.text.embedding import Recipe

        model = super().load(tokenizer, labels)
        if model.config.is_encoder_decoder:
            raise ValueError(f"{self.plan.model} is an encoder-decoder: name an encoder, or a decoder")
        self.recipe = Recipe.of(Source.of(self.plan.model)) or Recipe(width=model.config.hidden_size)
        self.recipe.max_length = tokenizer.model_max_length
        return model

    def features(self, rows: Rows, tokenizer: Any, model: Any, *, training: bool) -> list[dict[str, Any]]:
        """Ids of the texts of each row, and its score."""
        self.loss = self._loss(rows[0])
        lower = self.recipe.lower
        columns = [
            tokenizer([text.lower() if lower else text for text in column], truncation=True)["input_ids"]
            for column in zip(*(row["texts"] for row in rows), strict=True)
        ]
        groups = zip(*columns, strict=True)
        return [
            {"texts": list(group), "labels": float(row["score"] or 0)}
            for group, row in zip(groups, rows, strict=True)
        ]

    def collator(self, tokenizer: Any, model: Any) -> Any:
        """First texts, then their partners, then texts that are none."""
        from formers.jobs.contrast import GroupCollator

        return GroupCollator(tokenizer)

    def trainer_class(self) -> Any:
        """One with a loss over vectors."""
        from formers.jobs.contrast import ContrastTrainer

        return partial(ContrastTrainer, recipe=self.recipe, loss=self.loss)

    def arguments(self) -> dict[str, Any]:
        """The loss alone is measured."""
        return {"remove_unused_columns": False, "prediction_loss_only": True}

    def saved(self, model: Any) -> None:
        """Write how states become vectors, as sentence-transformers has it."""
        self.recipe.save(self.plan.output)

    def report(self, name: str, rows: Rows, **options: Any) -> Report:
        """How well vectors find what belongs together, and the neighbours of some texts."""
        import numpy as np

        from formers import pipeline
        from formers.hub.card import table

        pipe = pipeline(self.task, model=name, **options)
        texts = list(dict.fromkeys(text for row in rows for text in row["texts"]))[:_MOST]
        place = {text: at for at, text in enumerate(texts)}
        rows = [row for row in rows if all(text in place for text in row["texts"])]
        vectors = pipe.encode(texts)
        unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        groups = np.array([[place[text] for text in row["texts"]] for row in rows])
        metrics = _measured(unit, groups, [row["score"] for row in rows])
        shown = []
        for at in dict.fromkeys(groups[:, 0].tolist()):
            alike = unit @ unit[at]
            alike[at] = -2  # itself
            near = np.argsort(-alike, kind="stable")[: min(_NEIGHBOURS, len(texts) - 1)]
            shown.append((texts[at], *(f"{alike[one]:.2f} {texts[one]}" for one in near)))
            if len(shown) == _SHOWN:
                break
        head = ("text", *(f"neighbour {number}" for number in range(1, len(shown[0]))))
        parts = [
            *heading(name, metrics, f"{len(rows):,} groups of {len(texts):,} texts"),
            "## Nearest neighbours",
            table(head, shown),
        ]
        return Report(metrics, pages(parts))


def _checked(place: str, texts: list[Any], score: Any, scored: bool) -> Row:
    if len(texts) not in (2, 3):
        raise ValueError(f"{place} has {len(texts)} texts, where two or three are expected")
    for text in texts:
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"{place}: {text!r} is no text")
    if not scored and score is None:
        return {"texts": texts, "score": None}
    try:
        value = float(score)
    except (TypeError, ValueError):
        raise ValueError(f"{place}: the score {score!r} is no number") from None
    if not -1 <= value <= 1:
        raise ValueError(f"{place}: the score {value:g} is no cosine: bring scores to -1 to 1, or 0 to 1")
    return {"texts": texts, "score": value}


def _measured(unit: Any, groups: Any, scores: list[float | None]) -> dict[str, float]:
    """Correlations with scores; or how often partners come first, and triplets are in order."""
    import numpy as np

    from formers.evaluation.metrics import load_metric

    pairs = (unit[groups[:, 0]] * unit[groups[:, 1]]).sum(1)
    if scores[0] is not None:
        found = load_metric("glue", "stsb").compute(predictions=pairs, references=scores)
        return {name: value for name, value in found.items() if value is not None}
    among = np.unique(groups[:, 1])
    # as many as are nearer than the partner, the text itself left out
    alike = unit[groups[:, 0]] @ unit[among].T
    alike[groups[:, :1] == among] = -2
    ranks = 1 + (alike > pairs[:, None] + 1e-6).sum(1)
    metrics = {"recall_at_1": float((ranks == 1).mean()), "mrr": float((1 / ranks).mean())}
    if groups.shape[1] == 3:
        others = (unit[groups[:, 0]] * unit[groups[:, 2]]).sum(1)
        metrics["triplets_in_order"] = float((pairs > others).mean())
    return metrics
