"""Exact match and F1 of answers from a text, as the script of SQuAD 2.0 has them (Rajpurkar et al. 2018)."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

_PUNCTUATION = str.maketrans("", "", string.punctuation)


def words_of(answer: str) -> list[str]:
    """What of an answer is compared: its words in lower case, without punctuation and articles."""
    return re.sub(r"\b(a|an|the)\b", " ", answer.lower().translate(_PUNCTUATION)).split()


def exact(answer: str, true: Sequence[str]) -> float:
    """1 where the answer is one of the true ones, else 0; without any, the answer should be empty."""
    return float(words_of(answer) in (_kept(true)))


def f1(answer: str, true: Sequence[str]) -> float:
    """F1 of the words that the answer shares with the true one that it is nearest to."""
    found = words_of(answer)
    return max(_overlap(found, wanted) for wanted in _kept(true))


def squad(answers: Sequence[str], true: Sequence[Sequence[str]]) -> dict[str, float]:
    """Means in percent over questions: exact and f1; those with and without an answer apart, where both are.

    Args:
        answers: one for each question, "" for none.
        true: the right ones of each question; empty where the text has none.
    """
    pairs = list(zip(answers, true, strict=True))
    groups = {"": pairs}
    if len({bool(wanted) for _, wanted in pairs}) > 1:
        groups["HasAns_"] = [pair for pair in pairs if pair[1]]
        groups["NoAns_"] = [pair for pair in pairs if not pair[1]]
    return {
        f"{group}{name}": 100 * sum(measure(*pair) for pair in members) / len(members)
        for group, members in groups.items()
        for name, measure in (("exact", exact), ("f1", f1))
    }


def normalize_answer(s: str) -> str:
    """What of an answer is compared, as a text."""
    return " ".join(words_of(s))


def compute_exact(a_gold: str, a_pred: str) -> int:
    """1 where two answers are compared as the same, else 0."""
    return int(words_of(a_gold) == words_of(a_pred))


def compute_f1(a_gold: str, a_pred: str) -> float:
    """F1 of the words that two answers share."""
    return _overlap(words_of(a_pred), words_of(a_gold))


def _kept(true: Sequence[str]) -> list[list[str]]:
    return [words for words in map(words_of, true) if words] or [[]]


def _overlap(found: list[str], wanted: list[str]) -> float:
    if not (found and wanted):
        return float(found == wanted)
    same = sum((Counter(found) & Counter(wanted)).values())
    return 2 * same / (len(found) + len(wanted))
