"""The few statistics that drift checks need, on counts, without scipy."""

from __future__ import annotations

import math

import numpy as np

from formers.evaluation.arrays import Floats


def population_stability(expected: Floats, found: Floats) -> float:
    """Population stability index of two histograms of counts over the same bins.

    Sum of (q - p) ln(q / p), where an empty bin counts as half an item so that the logarithm exists.
    """
    p, q = np.maximum(expected, 0.5), np.maximum(found, 0.5)
    p, q = p / p.sum(), q / q.sum()
    return float(((q - p) * np.log(q / p)).sum())


def stability_noise(bins: int, expected: float, found: float) -> float:
    """The index that two samples of one distribution have on average.

    Of sizes `expected` and `found`, over `bins` bins (Yurdakul 2018, section 3.2).
    """
    return (bins - 1) * (1 / expected + 1 / found)


def chi_square_homogeneity(expected: Floats, found: Floats) -> float:
    """p-value of Pearson's test that two histograms of counts come from one distribution."""
    # bins too rare for the approximation are joined (Cochran's rule asks for 5 on each side)
    rare = expected + found < 10
    expected = np.append(expected[~rare], expected[rare].sum())
    found = np.append(found[~rare], found[rare].sum())
    used = (expected + found) > 0
    expected, found = expected[used], found[used]
    if len(expected) < 2:
        return 1.0
    table = np.stack([expected, found])  # [2, bins]
    ideal = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    return chi_square_tail(float(((table - ideal) ** 2 / ideal).sum()), len(expected) - 1)


def chi_square_tail(value: float, freedom: int) -> float:
    """P(X >= value) for a chi-square variable: the regularised upper gamma Q(freedom/2, value/2)."""
    import torch  # the one package here that knows the function; a drift check has it loaded anyway

    a, x = (torch.tensor(number / 2, dtype=torch.float64) for number in (freedom, max(value, 0.0)))
    return float(torch.special.gammaincc(a, x))


def kolmogorov_smirnov(expected: Floats, found: Floats) -> tuple[float, float]:
    """Distance and asymptotic p-value of the two-sample test on counts over ordered bins.

    Ties within a bin make the test conservative: the true p-value is at most the one given.
    """
    n, m = float(expected.sum()), float(found.sum())
    distance = float(np.abs(np.cumsum(expected) / n - np.cumsum(found) / m).max())
    root = math.sqrt(n * m / (n + m))
    return distance, _kolmogorov_tail((root + 0.12 + 0.11 / root) * distance)  # Stephens 1970


def _kolmogorov_tail(value: float) -> float:
    if value < 0.2:
        return 1.0
    total = sum((1 if k % 2 else -1) * math.exp(-2 * (k * value) ** 2) for k in range(1, 101))
    return min(1.0, max(0.0, 2 * total))
