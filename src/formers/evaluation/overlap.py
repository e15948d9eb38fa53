"""How much texts share with those that were wanted: ROUGE and BLEU, by the packages that define them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from formers.core.extras import need

_ROUGE = ("rouge1", "rouge2", "rougeL")


class _Words:
    """What ROUGE counts: runs of letters and digits, of any script."""

    def tokenize(self, text: str) -> list[str]:
        """The words of a text, in lower case."""
        return re.findall(r"[^\W_]+", text.lower())


def rouge(texts: Sequence[str], wanted: Sequence[str]) -> list[dict[str, float]]:
    """F1 of words, pairs of words and the longest common row of words, in percent, for each text.

    Raises:
        MissingExtra: without the package `rouge_score`.
    """
    scorer: Any = need("rouge_score.rouge_scorer", "text-metrics", "ROUGE").RougeScorer(
        _ROUGE, tokenizer=_Words()
    )
    pairs = zip(wanted, texts, strict=True)
    return [{name: 100 * one.fmeasure for name, one in scorer.score(*pair).items()} for pair in pairs]


def bleu(texts: Sequence[str], wanted: Sequence[str]) -> float:
    """BLEU of all texts together, in percent, as sacreBLEU computes it.

    Raises:
        MissingExtra: without the package `sacrebleu`.
    """
    package = need("sacrebleu", "text-metrics", "BLEU")
    return float(package.corpus_bleu(list(texts), [list(wanted)]).score)
