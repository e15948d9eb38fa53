"""From plain texts to a model that goes on with them, or fills their gaps; judged by perplexity."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

from formers.core.textfile import read_text
from formers.jobs.job import Job, Report, Rows, heading, pages
from formers.jobs.plan import Plan, told

_TABLES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet")
_SHOWN = 5  # texts that are gone on with, or filled
_AT_ONCE = 16  # blocks in a pass of a judgement


@dataclass(frozen=True)
class CausalPlan(Plan):
    """What to train, from what, and how."""

    learning_rate: float = told(5e-5, "Its highest value; 2e-5 to 5e-5 suit larger models.", at_least=0)
    batch_size: int = told(8, "Examples in a step.", at_least=1)
    text_column: str | None = told(None, "Column that holds the texts: text.")


@dataclass(frozen=True)
class MaskedPlan(CausalPlan):
    """What to train, from what, and how."""

    settings: ClassVar[tuple[str, ...]] = (*Plan.settings, "mask_share", "whole_words")

    mask_share: float = told(0.15, "Share of the tokens that are hidden.", above=0, at_most=1)
    whole_words: bool = told(False, "Hide whole words, not tokens.")


class Causal(Job):
    """The next token of texts, which are laid end to end in blocks of `max_length` tokens."""

    task = "text-generation"
    auto = "AutoModelForCausalLM"
    plan_class = CausalPlan

    def read(self) -> Rows:
        """Rows of "text" and "file"."""
        path = Path(self.plan.data).expanduser()
        files = [path]
        if path.is_dir():
            files = sorted(file for file in path.iterdir() if file.is_file() and file.name[0] != ".")
        rows = list(chain.from_iterable(map(self._texts, files)))
        if not rows:
            raise ValueError(f"{path} holds no text")
        return rows

    def _texts(self, file: Path) -> Rows:
        from formers.training.data.tables import load_table, placed_rows

        if any(suffix.lower() in _TABLES for suffix in file.suffixes[-2:]):
            column = self.plan.text_column
            held_out = column is None and "file" in placed_rows(file)[0][1]
            if held_out:
                return [
                    {name: str(row[name]) for name in ("text", "file")}
                    for _, row in placed_rows(file, ("text",))
                ]
            return [{"text": row["text"], "file": file.name} for row in load_table(file, column or "text")]
        if not file.is_file():
            raise FileNotFoundError(f"no such file: {file}")
        text = re.sub("\r\n|\r", "\n", read_text(file))
        # blank lines part texts of several lines; without any, each line is one
        texts = re.split(r"\n\s*\n", text) if re.search(r"\n\s*\n", text.strip()) else text.split("\n")
        return [{"text": one.strip("\n"), "file": file.name} for one in texts if one.strip()]

    def features(self, rows: Rows, tokenizer: Any, model: Any, *, training: bool) -> list[dict[str, Any]]:
        """Blocks of ids, of which the last may be shorter."""
        limit = block_length(tokenizer, model)
        ids = tokenizer([row["text"] for row in rows], add_special_tokens=False, truncation=False)[
            "input_ids"
        ]
        framed = tokenizer.build_inputs_with_special_tokens
        room = limit - len(framed([]))
        ends = [one for one in (tokenizer.eos_token_id, tokenizer.sep_token_id) if one is not None]
        between = ends[:1]  # behind every text
        stream = list(chain.from_iterable([*one, *between] for one in ids))
        blocks = [stream[start : start + room] for start in range(0, len(stream), room)]
        kept = [block for block in blocks if len(block) > 1]
        if not kept:
            raise ValueError(f"{self.plan.data}: the texts of one part have fewer than two tokens: give more")
        return [{"input_ids": framed(block), "attention_mask": [1] * len(framed(block))} for block in kept]

    def collator(self, tokenizer: Any, model: Any) -> Any:
        """Labels are the inputs."""
        from formers import DataCollatorForLanguageModeling

        if tokenizer.pad_token is None:  # the last block alone is padded, and its mask says where
            tokenizer.pad_token = tokenizer.eos_token
        return DataCollatorForLanguageModeling(tokenizer, mlm=False)

    def arguments(self) -> dict[str, Any]:
        """The loss alone is measured."""
        return {"prediction_loss_only": True, "per_device_eval_batch_size": _AT_ONCE}

    def report(self, name: str, rows: Rows, **options: Any) -> Report:
        """Perplexity of the whole and by file, and what the model writes."""
        from formers import pipeline
        from formers.hub.card import table

        pipe = pipeline(self.task, model=name, **options)
        files: dict[str, Rows] = {}
        for row in rows:
            files.setdefault(row["file"], []).append(row)
        parts = {file: self._judged(pipe, own) for file, own in files.items()}
        tokens = sum(count for _, count in parts.values())
        loss = sum(mean * count for mean, count in parts.values()) / max(tokens, 1)
        numbers = {"loss": loss, "perplexity": _perplexity(loss)}
        by_file = {
            file: {"perplexity": _perplexity(mean), "tokens": count} for file, (mean, count) in parts.items()
        }
        worst = sorted(by_file.items(), key=lambda entry: -entry[1]["perplexity"])
        head, samples = self._samples(pipe, [row["text"] for row in rows])
        text = [
            *heading(name, numbers, f"{len(rows):,} texts, {tokens:,} predicted tokens"),
            "## Files, the hardest first",
            table(("file", "perplexity", "tokens"), [(file, *part.values()) for file, part in worst]),
            "## Samples",
            table(head, samples) if samples else "The texts are too short for any.",
        ]
        return Report({**numbers, "by_file": by_file}, pages(text))

    def _judged(self, pipe: Any, rows: Rows) -> tuple[float, int]:
        """Mean loss, in nats, and the number of tokens it is the mean of."""
        import torch

        model, tokenizer = pipe.model, pipe.tokenizer
        features = self.features(rows, tokenizer, model, training=False)
        collate = self.collator(tokenizer, model)
        total, count = 0.0, 0
        for start in range(0, len(features), _AT_ONCE):
            batch = {
                key: value.to(pipe.device)
                for key, value in collate(features[start : start + _AT_ONCE]).items()
            }
            with torch.inference_mode():
                loss = float(model(**batch).loss)
            labels = batch["labels"][:, 1:] if self.task == Causal.task else batch["labels"]
            items = int((labels != -100).sum())
            total, count = total + loss * items if items else total, count + items
        return (total / count if count else 0.0), count

    def _samples(self, pipe: Any, texts: Sequence[str]) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        """How the model goes on with the first half of some texts."""
        chosen = [text.split() for text in texts if len(text.split()) > 5][:_SHOWN]
        found = []
        for words in chosen:
            half = min(len(words) // 2, 30)
            begin, rest = " ".join(words[:half]), " ".join(words[half : half + 20])
            answer = pipe(begin, max_new_tokens=20, do_sample=False, return_full_text=False)
            found.append((begin, rest, answer[0]["generated_text"]))
        return ("begins", "goes on", "as the model does"), found


class Masked(Causal):
    """Hidden tokens of texts, in blocks of `max_length` tokens."""

    task = "fill-mask"
    auto = "AutoModelForMaskedLM"
    plan_class = MaskedPlan

    def features(self, rows: Rows, tokenizer: Any, model: Any, *, training: bool) -> list[dict[str, Any]]:
        """Blocks of ids; those that are judged are hidden once and for all."""
        blocks = super().features(rows, tokenizer, model, training=training)
        if training:
            return blocks
        hidden: Callable[[list[Any]], dict[str, Any]] = self._hiding(tokenizer, self.plan.seed)
        found = []
        for block in blocks:
            batch = hidden([block])
            found.append(
                {name: batch[name][0].tolist() for name in ("input_ids", "attention_mask", "labels")}
            )
        return found

    def _hiding(self, tokenizer: Any, seed: int | None = None) -> Any:
        from formers import DataCollatorForLanguageModeling

        return DataCollatorForLanguageModeling(
            tokenizer, mlm_probability=self.plan.mask_share, whole_word_mask=self.plan.whole_words, seed=seed
        )

    def collator(self, tokenizer: Any, model: Any) -> Any:
        """Hides tokens of rows that have no labels."""
        from formers import DataCollatorForTokenClassification

        hide, pad = self._hiding(tokenizer), DataCollatorForTokenClassification(tokenizer)
        return lambda rows: pad(rows) if "labels" in rows[0] else hide(rows)

    def _samples(self, pipe: Any, texts: Sequence[str]) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        """What the model puts where the longest word of some texts was."""
        chosen = [text.split()[:40] for text in texts if len(text.split()) > 3][:_SHOWN]
        found = []
        for words in chosen:
            lengths = [len(word) for word in words]
            place = lengths.index(max(lengths))
            asked = " ".join([*words[:place], pipe.tokenizer.mask_token, *words[place + 1 :]])
            answers = pipe(asked, top_k=3)
            guesses = ", ".join(f"{one['token_str'].strip()} {one['score']:.2f}" for one in answers)
            found.append((asked, words[place], guesses))
        return ("text", "hidden", "the model's guesses"), found


def block_length(tokenizer: Any, model: Any) -> int:
    """Tokens of a block: as many as the tokenizer says, and the model takes."""
    most = getattr(model.config, "max_position_embeddings", None) or tokenizer.model_max_length
    return int(min(tokenizer.model_max_length, most))


def _perplexity(loss: float) -> float:
    return math.exp(min(loss, 700))  # beyond that it is no float
