"""Whether today's texts and answers are still those that the model was judged on.

Everything is kept as counts over fixed bins, so a check needs the same memory for a hundred texts and for a
million, and a running service can count as it goes (`DriftMonitor`).
"""

from __future__ import annotations

import dataclasses
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from formers.evaluation.arrays import Floats, as_array
from formers.evaluation.records import Record, built, check_fields
from formers.evaluation.statistics import (
    chi_square_homogeneity,
    kolmogorov_smirnov,
    population_stability,
    stability_noise,
)

WATCH, DRIFT = 0.1, 0.25  # the population stability index that asks for a look, and for action
SIGNIFICANCE = 0.001  # a change that chance explains more often than this is none
MINIMUM = 100  # texts below which no verdict is given
LONGEST = 512  # lengths from here on share one bin
SCORE_BINS = 100
SHARE_BINS = 50
PROFILE_WORDS = 100
VOCABULARY = 50_000
_WORD = re.compile(r"\w+")

Lengths = Callable[[list[str]], list[int]]


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return _WORD.findall(text.lower())


def token_lengths(tokenizer: Any) -> Lengths:
    """A function that counts tokens (special ones included, nothing cut) with `tokenizer`."""

    def count(texts: list[str]) -> list[int]:
        return [len(ids) for ids in tokenizer(texts)["input_ids"]]

    return count


@dataclasses.dataclass
class Counts:
    """Histograms of what was seen; `add` is all that touches them.

    Attributes:
        items: number of texts.
        length: by number of tokens (or words): [LONGEST + 1].
        unknown_words: by share of words that the baseline does not know: [SHARE_BINS].
        words: occurrences of the baseline's most frequent words, and of all others last.
        labels: answers by label, and by labels that the baseline does not know last.
        score: by the score of the answer: [SCORE_BINS].
        score_by_label: the same for every label: [labels, SCORE_BINS].
    """

    items: int
    length: Floats
    unknown_words: Floats
    words: Floats
    labels: Floats
    score: Floats
    score_by_label: Floats

    @classmethod
    def empty(cls, words: int, labels: int) -> Counts:
        """Nothing seen, for that many profile words and labels."""
        return cls(
            0,
            np.zeros(LONGEST + 1),
            np.zeros(SHARE_BINS),
            np.zeros(words + 1),
            np.zeros(labels + 1),
            np.zeros(SCORE_BINS),
            np.zeros((labels, SCORE_BINS)),
        )

    def __add__(self, other: Counts) -> Counts:
        return Counts(**{name: value + getattr(other, name) for name, value in vars(self).items()})


def _bin(value: float, bins: int) -> int:
    return min(int(value * bins), bins - 1)


def _answers(results: Iterable[Any]) -> tuple[list[str], list[float]]:
    """Best label and score of each answer: a dict, or a list of dicts with the best anywhere."""
    labels, scores = [], []
    for result in results:
        rows = [result] if isinstance(result, dict) else list(result)
        try:
            best = max(rows, key=lambda row: float(row["score"]))
            label, score = str(best["label"]), float(best["score"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"an answer must be {{'label': ..., 'score': ...}}, got {result!r}") from error
        labels.append(label)
        scores.append(score)
    return labels, scores


@dataclasses.dataclass(frozen=True)
class DriftBaseline(Record):
    """What the texts and answers looked like when the model was judged.

    Attributes:
        label_names: the labels answered.
        profile: the most frequent words.
        vocabulary: words that are known.
        counts: histograms of the texts and answers.
        length_unit: "tokens" or "words".

    Its file holds the words of the texts (not the texts): where these are confidential, so is the file.
    """

    file_name = "drift-baseline.json"

    label_names: tuple[str, ...]
    profile: tuple[str, ...]
    vocabulary: frozenset[str]
    counts: Counts
    length_unit: str = "words"

    def __post_init__(self) -> None:
        if self.length_unit not in ("tokens", "words"):
            raise ValueError(f"length_unit must be 'tokens' or 'words', got {self.length_unit!r}")
        shapes = Counts.empty(len(self.profile), len(self.label_names))
        check_fields(self.counts)
        for field in dataclasses.fields(Counts)[1:]:
            counts = getattr(self.counts, field.name)
            wanted, found = getattr(shapes, field.name).shape, counts.shape
            if wanted != found:
                raise ValueError(f"the histogram {field.name!r} must have shape {wanted}, found {found}")
            # every text was counted once, except by its words
            of_texts = field.name not in ("words", "score_by_label")
            if not ((counts >= 0) & np.isfinite(counts)).all() or (
                of_texts and counts.sum() != self.counts.items
            ):
                raise ValueError(
                    f"the histogram {field.name!r} must hold counts of 0 or more that sum to 'items', "
                    f"{self.counts.items}; they sum to {counts.sum():g}"
                )

    @cached_property
    def _bins(self) -> tuple[dict[str, int], dict[str, int]]:
        """The bin of each profile word, and of each label."""
        words, labels = (
            {name: i for i, name in enumerate(names)} for names in (self.profile, self.label_names)
        )
        return words, labels

    def count(self, counts: Counts, text: str, label: str, score: float, length: int) -> None:
        """Count one text and its answer into `counts`."""
        profile, labels = self._bins
        words = words_of(text)
        for word in words:
            counts.words[profile.get(word, -1)] += 1
        strange = sum(word not in self.vocabulary for word in words) / len(words) if words else 0.0
        counts.unknown_words[_bin(strange, SHARE_BINS)] += 1
        counts.items += 1
        counts.length[min(max(length, 0), LONGEST)] += 1
        index = labels.get(label, -1)
        counts.labels[index] += 1
        counts.score[_bin(score, SCORE_BINS)] += 1
        if index >= 0:
            counts.score_by_label[index, _bin(score, SCORE_BINS)] += 1

    def to_dict(self) -> dict[str, Any]:
        """The record as plain values."""
        counts = {
            key: value.astype(int).tolist() if isinstance(value, np.ndarray) else value
            for key, value in vars(self.counts).items()
        }
        return {
            "length_unit": self.length_unit,
            "label_names": list(self.label_names),
            "profile": list(self.profile),
            "vocabulary": " ".join(sorted(self.vocabulary)),
            "counts": counts,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> DriftBaseline:
        """The record from plain values.

        Raises:
            ValueError: naming the entry that makes no sense.
        """
        made = dict(values)
        for name in {"label_names", "profile"} & made.keys():
            if not isinstance(made[name], list) or not all(isinstance(word, str) for word in made[name]):
                raise ValueError(f"{name!r} must be a list of strings, found {made[name]!r}"[:500])
            made[name] = tuple(made[name])
        words = made.get("vocabulary", "")
        if not isinstance(words, str):
            raise ValueError(f"'vocabulary' must be words in one string, found {words!r}"[:500])
        counts = made.get("counts")
        if isinstance(counts, dict):
            counts = {
                key: value if key == "items" else _histogram(key, value) for key, value in counts.items()
            }
        made["counts"] = built(Counts, counts, "'counts'")
        if not made["counts"].items:
            raise ValueError("'items' must be the number of texts, found 0")
        return super().from_dict({**made, "vocabulary": frozenset(words.split())} if words else made)


def _histogram(name: str, values: Any) -> Floats:
    try:
        return np.asarray(values, dtype=np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"the histogram {name!r} must hold numbers alone ({error})") from error


def _check_sides(
    texts: Sequence[str], labels: Sequence[str], scores: Sequence[float], lengths: Sequence[int]
) -> None:
    if not len(texts) == len(labels) == len(scores) == len(lengths):
        raise ValueError(
            f"there are {len(texts)} texts, {len(labels)} labels, {len(scores)} scores "
            f"and {len(lengths)} lengths"
        )
    for score in scores:
        if not 0 <= score <= 1 + 1e-6:
            raise ValueError(f"a score must lie in 0..1, got {score!r}: give probabilities, not logits")


def baseline(
    texts: Iterable[str],
    scores: Any = None,
    labels: Sequence[Any] | None = None,
    *,
    results: Iterable[Any] | None = None,
    label_names: Sequence[str] | None = None,
    tokenizer: Any = None,
    lengths: Sequence[int] | None = None,
) -> DriftBaseline:
    """Measure what is normal, on texts that the model was not trained on.

    Args:
        texts: at least 100, as the service receives them.
        scores: the scores of the answers [N] in 0..1, or all probabilities [N, K].
        labels: the answers, as names or indices into `label_names`; not needed beside [N, K].
        results: in place of scores and labels, what a pipeline answered.
        label_names: all labels that the model can answer.
        tokenizer: counts lengths in tokens; without it (and without `lengths`) they are in words.
        lengths: token counts, where the caller has them already.

    Raises:
        ValueError: for too few texts, sides of different length, or scores outside 0..1.
    """
    fixed = list(texts)
    if len(fixed) < MINIMUM:
        raise ValueError(f"a drift baseline needs at least {MINIMUM} texts, got {len(fixed)}")
    answered, sure = _answers(results) if results is not None else _given(scores, labels, label_names)
    names = list(label_names) if label_names is not None else sorted(set(answered))
    unit = "words" if tokenizer is None and lengths is None else "tokens"
    if lengths is None:
        lengths = _lengths(fixed, tokenizer)
    bags = [words_of(text) for text in fixed]
    frequency = Counter(word for bag in bags for word in bag)
    in_texts = Counter(word for bag in bags for word in dict.fromkeys(bag))
    profile = [word for word, _ in frequency.most_common(PROFILE_WORDS)]
    # A word that only one text has would be unknown if that text were new: leaving each text out in turn
    # gives the share of unknown words that fresh texts of the same kind have.
    seen_elsewhere = frozenset(word for word, count in in_texts.items() if count > 1)
    _check_sides(fixed, answered, sure, lengths)
    counts = Counts.empty(len(profile), len(names))
    alone = DriftBaseline(tuple(names), tuple(profile), seen_elsewhere, counts, unit)
    for text, label, score, length in zip(fixed, answered, sure, lengths, strict=True):
        alone.count(counts, text, label, score, length)
    vocabulary = frozenset(word for word, _ in in_texts.most_common(VOCABULARY))
    return dataclasses.replace(alone, vocabulary=vocabulary)


def _lengths(texts: list[str], tokenizer: Any) -> list[int]:
    return [len(words_of(text)) for text in texts] if tokenizer is None else token_lengths(tokenizer)(texts)


def _given(scores: Any, labels: Any, label_names: Sequence[str] | None) -> tuple[list[str], list[float]]:
    if scores is None:
        raise ValueError("give scores= and labels=, or results= (what a pipeline answered)")
    array = as_array(scores, "scores").astype(np.float64)
    if array.ndim == 2:
        if labels is None:
            labels = array.argmax(axis=1)
        array = array.max(axis=1)
    if labels is None:
        raise ValueError("labels= are needed beside one score per text")
    found = as_array(labels, "labels").tolist()
    if label_names is not None and not any(isinstance(label, str) for label in found):
        found = [label_names[int(label)] for label in found]
    return [str(label) for label in found], array.tolist()


@dataclasses.dataclass(frozen=True)
class Feature:
    """How one aspect compares with the baseline.

    Attributes:
        name: "length", "unknown_words", "words", "labels", "score" or "score:<label>".
        psi: population stability index, less what samples of these sizes have by chance (at least 0).
        test: "ks" or "chi-square".
        statistic: the distance of the Kolmogorov-Smirnov test; None for chi-square.
        p_value: how often chance alone gives such a difference.
        verdict: "stable", "watch" or "drift".
        was: the baseline in words or a number, for people.
        now: the same of the new texts.
    """

    name: str
    psi: float
    test: str
    statistic: float | None
    p_value: float
    verdict: str
    was: str
    now: str


@dataclasses.dataclass(frozen=True)
class DriftReport:
    """Comparison of texts and answers with a baseline.

    Attributes:
        verdict: the gravest of the features', "stable", "watch" or "drift"; "unknown" below 100 texts.
        items: number of texts compared.
        features: one record for each aspect.
    """

    verdict: str
    items: int
    features: tuple[Feature, ...]

    @property
    def exit_status(self) -> int:
        """0 when stable or only to be watched, 1 for drift, 2 when there are too few texts."""
        return {"stable": 0, "watch": 0, "drift": 1}.get(self.verdict, 2)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        if self.verdict == "unknown":
            return f"drift: unknown ({self.items} texts; at least {MINIMUM} are needed)"
        width = max(len(feature.name) for feature in self.features)
        lines = [f"drift: {self.verdict} ({self.items} texts)"]
        lines += [
            f"  {f.name:<{width}}  {f.verdict:<6}  PSI {f.psi:.3f}  p {f.p_value:.1e}  {f.was} -> {f.now}"
            for f in self.features
        ]
        return "\n".join(lines)


def _merged(was: Floats, now: Floats, bins: int) -> tuple[Floats, Floats]:
    """Ordered fine bins joined to about `bins` bins of equal mass in the baseline."""
    share = (np.cumsum(was) - was / 2) / was.sum()
    group = np.minimum((share * bins).astype(int), bins - 1)
    used, index = np.unique(group, return_inverse=True)
    joined = [np.bincount(index, weights=part, minlength=len(used)).astype(np.float64) for part in (was, now)]
    return joined[0], joined[1]


def _not_below(was: Floats, now: Floats) -> Floats:
    """`now` with whatever lies below the baseline put where the baseline has it: only growth is left."""
    share = np.minimum(np.cumsum(now) / now.sum(), np.cumsum(was) / was.sum())
    grown: Floats = np.maximum(np.diff(share, prepend=0.0), 0.0) * now.sum()
    return grown


def _unknown(was: Floats, now: Floats) -> Feature:
    """The share of unknown words, where only more of them is a change.

    The baseline counts each of its texts against the words of the others. Texts that were in the baseline,
    or that resemble its own more than its own resemble each other, have fewer.
    """
    found = _ordered("unknown_words", was, _not_below(was, now), _mean_unknown)
    return dataclasses.replace(found, now=_mean_unknown(now))


def _ordered(name: str, was: Floats, now: Floats, show: Callable[[Floats], str]) -> Feature:
    statistic, p_value = kolmogorov_smirnov(was, now)
    return _feature(name, *_merged(was, now, 10), p_value, show(was), show(now), statistic)


def _categories(name: str, was: Floats, now: Floats, names: Sequence[str]) -> Feature:
    before, after = 100 * was / was.sum(), 100 * now / now.sum()
    most = int(np.abs(after - before).argmax())
    label = names[most] if most < len(names) else "(others)"
    used, p_value = (was + now) > 0, chi_square_homogeneity(was, now)
    shown = f"{label} {before[most]:.1f} %", f"{after[most]:.1f} %"
    return _feature(name, was[used], now[used], p_value, *shown)


def _feature(
    name: str,
    was: Floats,
    now: Floats,
    p_value: float,
    shown_was: str,
    shown_now: str,
    statistic: float | None = None,
) -> Feature:
    noise = stability_noise(len(was), float(was.sum()), float(now.sum()))
    psi = max(0.0, population_stability(was, now) - noise)
    verdict = "stable"
    if p_value < SIGNIFICANCE and psi >= WATCH:
        verdict = "drift" if psi >= DRIFT else "watch"
    test = "chi-square" if statistic is None else "ks"
    return Feature(name, psi, test, statistic, p_value, verdict, shown_was, shown_now)


def _median(histogram: Floats) -> int:
    return int(np.searchsorted(np.cumsum(histogram), histogram.sum() / 2))


def _mean_share(histogram: Floats) -> float:
    centres = (np.arange(len(histogram)) + 0.5) / len(histogram)
    return float((centres * histogram).sum() / histogram.sum())


def compare(base: DriftBaseline, now: Counts) -> DriftReport:
    """The report on histograms that were counted over the baseline's bins."""
    if now.items < MINIMUM:
        return DriftReport("unknown", now.items, ())
    was = base.counts
    features = [
        _ordered("length", was.length, now.length, lambda h: f"median {_median(h)} {base.length_unit}"),
        _unknown(was.unknown_words, now.unknown_words),
        _ordered("score", was.score, now.score, lambda h: f"mean {_mean_share(h):.3f}"),
        _categories("labels", was.labels, now.labels, base.label_names),
    ]
    if now.words.sum() > 0 and was.words.sum() > 0:
        features.append(_categories("words", was.words, now.words, base.profile))
    for index, label in enumerate(base.label_names):
        before, after = was.score_by_label[index], now.score_by_label[index]
        if before.sum() >= MINIMUM and after.sum() >= MINIMUM:
            features.append(_ordered(f"score:{label}", before, after, lambda h: f"mean {_mean_share(h):.3f}"))
    order = ("stable", "watch", "drift")
    verdict = max((feature.verdict for feature in features), key=order.index)
    return DriftReport(verdict, now.items, tuple(features))


def _mean_unknown(histogram: Floats) -> str:
    shares = np.arange(len(histogram)) / len(histogram)
    return f"mean {100 * float((shares * histogram).sum() / histogram.sum()):.1f} %"


def check(
    base: DriftBaseline,
    texts: Iterable[str],
    results: Iterable[Any],
    *,
    tokenizer: Any = None,
    lengths: Sequence[int] | None = None,
) -> DriftReport:
    """Compare texts and what was answered to them with a baseline.

    Args:
        base: what is normal.
        texts: the new texts.
        results: the answers, as a pipeline gives them.
        tokenizer: needed when the baseline counts tokens (unless `lengths` are given).
        lengths: token counts, where the caller has them already.

    Raises:
        ValueError: when the baseline counts tokens and neither tokenizer nor lengths are given.
    """
    monitor = DriftMonitor(base, tokenizer=tokenizer, window=None)
    monitor.update(list(texts), list(results), lengths)
    return monitor.report()


class DriftMonitor:
    """Counts texts and answers as a service sees them, in fixed memory; safe to call from several threads.

    The report covers the last `window` to `2 * window` texts: two sets of histograms take turns.

    Args:
        base: what is normal.
        tokenizer: counts tokens where `update` is not given the lengths.
        window: after so many texts the older set is dropped; None keeps all.
    """

    def __init__(self, base: DriftBaseline, *, tokenizer: Any = None, window: int | None = 2000) -> None:
        if window is not None and window < MINIMUM:
            raise ValueError(f"window must be at least {MINIMUM} texts, got {window}")
        self.base = base
        self.window = window
        self._tokenizer = tokenizer
        self._lock = threading.Lock()
        self._older = self._empty()
        self._newer = self._empty()

    def _empty(self) -> Counts:
        return Counts.empty(len(self.base.profile), len(self.base.label_names))

    def update(
        self, texts: Sequence[str], results: Sequence[Any], lengths: Sequence[int] | None = None
    ) -> None:
        """Count texts and their answers.

        Args:
            texts: the texts.
            results: their answers, as a pipeline gives them.
            lengths: their token counts, where known.
        """
        labels, scores = _answers(results)
        if len(texts) == 0:
            return
        if lengths is None:
            lengths = self._measure(list(texts))
        _check_sides(texts, labels, scores, lengths)  # before anything is counted: all of a call or nothing
        with self._lock:
            for text, label, score, length in zip(texts, labels, scores, lengths, strict=True):
                self.base.count(self._newer, text, label, score, length)
            if self.window is not None and self._newer.items >= self.window:
                self._older, self._newer = self._newer, self._empty()

    def _measure(self, texts: list[str]) -> list[int]:
        if self.base.length_unit == "tokens" and self._tokenizer is None:
            raise ValueError("the baseline counts tokens: give the tokenizer, or the lengths of the texts")
        return _lengths(texts, self._tokenizer if self.base.length_unit == "tokens" else None)

    def report(self) -> DriftReport:
        """How what was seen compares with the baseline."""
        with self._lock:
            counts = self._older + self._newer
        return compare(self.base, counts)
