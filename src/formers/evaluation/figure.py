"""The report as one picture, for a slide or a pull request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from formers.core.atomic import write_atomically
from formers.core.extras import need
from formers.evaluation.calibration import Bin

if TYPE_CHECKING:
    from formers.evaluation.report import Findings

BLUE, ORANGE, GREY, PALE, INK, SOFT = "#0072b2", "#d55e00", "#8c96a0", "#eef1f4", "#1b1f24", "#57606a"
LONGEST_NAME = 18
STYLE = {
    "font.size": 9,
    "axes.edgecolor": "#b6bec6",
    "axes.labelcolor": SOFT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "text.color": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
}


def write_figure(found: Findings, path: str | Path) -> Path:
    """Draw the overview into `path` (PNG, atomic); the figure touches no global state of matplotlib.

    Raises:
        MissingExtra: when matplotlib is not installed.
    """
    matplotlib = need("matplotlib", "plots", "the report's picture")
    figures = need("matplotlib.figure", "plots")
    canvas = need("matplotlib.backends.backend_agg", "plots")
    with matplotlib.rc_context(STYLE):
        figure = figures.Figure(figsize=(15, 10.2), dpi=120, facecolor="white")
        canvas.FigureCanvasAgg(figure)
        figure.text(0.035, 0.962, found.title, fontsize=18, fontweight="bold")
        figure.text(0.035, 0.932, _summary(found), fontsize=11, color=SOFT)
        _draw(figure, found)
        target = Path(path)
        with write_atomically(target) as part:
            figure.savefig(part, format="png", metadata={"Software": None})
    return target


def _draw(figure: Any, found: Findings) -> None:
    """Two rows of panels; a row without a third panel gives its place to the others."""
    losses, scores = found.losses(), found.scores()
    top: list[Callable[[Any], None]] = [
        lambda axes: _per_class(axes, found),
        lambda axes: _reliability(axes, found.bins_before, found.before["ece"], "Scores as they are"),
    ]
    if found.calibrated:
        top.append(lambda axes: _reliability(axes, found.bins_after, found.after["ece"], "After calibration"))
    elif losses:
        top.append(lambda axes: _training(axes, losses, "Loss, by epoch"))
    below: list[Callable[[Any], None]] = [
        lambda axes: _confusion(axes, found),
        lambda axes: _coverage(axes, found),
    ]
    training = scores or (losses if found.calibrated else [])
    if training:
        below.append(lambda axes: _training(axes, training, "Training, by epoch"))
    for panels, low, high in ((top, 0.55, 0.875), (below, 0.11, 0.435)):
        row = figure.add_gridspec(1, len(panels), left=0.125, right=0.975, bottom=low, top=high, wspace=0.28)
        for place, draw in enumerate(panels):
            draw(figure.add_subplot(row[0, place]))


def _shown(name: str) -> str:
    """A label's name as far as there is room beside the axes: its start and its end, where names differ."""
    half = LONGEST_NAME // 2
    return name if len(name) <= LONGEST_NAME else f"{name[:half]}…{name[1 - half :]}"


def _which(found: Findings, shown: int) -> str:
    """What to add to a title that stands over some of the labels."""
    return "" if shown == len(found.names) else f"\nthe {shown} most frequent of {len(found.names)} labels"


def _summary(found: Findings) -> str:
    words = [
        f"{found.after['n']:,} {found.texts_are}, {len(found.names)} labels",
        f"macro-F1 {found.after['macro_f1']:.3f}",
        f"accuracy {100 * found.after['accuracy']:.1f} %",
        f"calibration error {found.before['ece']:.3f}"
        + (f" → {found.after['ece']:.3f}" if found.calibrated else ", not calibrated"),
        f"{100 * found.operation['coverage']:.0f} % answered without a human",
    ]
    if found.operation["precision"] is not None:
        words[-1] += f", {100 * found.operation['precision']:.0f} % of them right"
    return "   ·   ".join(words)


def _per_class(axes: Any, found: Findings) -> None:
    from formers.evaluation.report import SHOWN_LABELS

    values = found.after["per_class"]
    names = sorted(values, key=lambda name: values[name]["support"])[-SHOWN_LABELS:]
    places = np.arange(len(names))
    axes.barh(places, [values[name]["f1"] for name in names], color=BLUE, height=0.62, label="this model")
    for name, metrics in list(found.baselines.items())[:1]:
        others = metrics.get("per_class", {})
        known = [
            (place, others[label]["f1"])
            for place, label in zip(places, names, strict=True)
            if label in others
        ]
        if known:
            axes.scatter(
                [f1 for _, f1 in known],
                [place for place, _ in known],
                color=ORANGE,
                marker="D",
                s=26,
                zorder=3,
                label=name,
            )
    axes.set_yticks(places, [f"{_shown(name)} ({values[name]['support']:,})" for name in names])
    axes.set(title=f"F1 by label (texts){_which(found, len(names))}", xlim=(0, 1))
    axes.legend(loc="upper center", bbox_to_anchor=(0.4, -0.05), ncols=2, frameon=False, fontsize=8.5)


def _reliability(axes: Any, bins: list[Bin], ece: float, title: str) -> None:
    for b in bins:
        left, width = b.low + 0.005, max(b.high - b.low - 0.01, 0.005)
        low, high = sorted((b.accuracy, b.confidence))
        color = ORANGE if b.confidence > b.accuracy else BLUE
        axes.bar(left, low, width, align="edge", color=BLUE)
        axes.bar(left, high - low, width, low, align="edge", color=color, alpha=0.35, edgecolor=color)
    axes.plot([0, 1], [0, 1], "--", color=INK, linewidth=1.2)
    axes.text(0.03, 0.93, f"ECE {ece:.3f}", fontsize=12, fontweight="bold", transform=axes.transAxes)
    axes.set(title=title, xlim=(0, 1), ylim=(0, 1), xlabel="score of the answer", ylabel="right (share)")


def _confusion(axes: Any, found: Findings) -> None:
    colors = need("matplotlib.colors", "plots")
    from formers.evaluation.report import shown_matrix

    names, counts = shown_matrix(found)
    matrix = np.asarray(counts, dtype=np.float64)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap=colors.LinearSegmentedColormap.from_list("blue", [PALE, BLUE]), vmin=0, vmax=1)
    size = 8 if len(names) <= 12 else 5.5
    for i, row in enumerate(counts):
        for j, count in enumerate(row):
            if count:
                ink = "white" if shares[i, j] > 0.5 else INK
                axes.text(j, i, str(count), ha="center", va="center", fontsize=size, color=ink)
    ticks = [_shown(name) for name in names]
    axes.set_xticks(range(len(names)), ticks, rotation=45, ha="right", rotation_mode="anchor", fontsize=size)
    axes.set_yticks(range(len(names)), ticks, fontsize=size)
    axes.tick_params(length=0)
    axes.set(title=f"Filed under (rows), answered (columns){_which(found, len(names))}")
    for side in axes.spines.values():
        side.set_visible(False)


def _coverage(axes: Any, found: Findings) -> None:
    axes.plot(
        [p["coverage"] for p in found.curve], [p["precision"] for p in found.curve], color=BLUE, linewidth=2
    )
    for mark in found.marks:
        color, size = (ORANGE, 80) if mark.main else (BLUE, 32)
        axes.scatter([mark.coverage], [mark.precision], color=color, s=size, zorder=3)
        axes.annotate(
            mark.name if mark.main else mark.short,
            (mark.coverage, mark.precision),
            xytext=(9 if mark.main and mark.coverage < 0.7 else -6, 6 if mark.main else -13),
            textcoords="offset points",
            ha="left" if mark.main and mark.coverage < 0.7 else "right",
            color=ORANGE if mark.main else SOFT,
            fontweight="bold" if mark.main else "normal",
        )
    axes.set(
        title="Answered alone, and right", xlabel="answered without a human (share)", ylabel="right (share)"
    )
    axes.set_xlim(0, 1.02)
    axes.grid(axis="y", color="#e4e8ec")


def _training(axes: Any, lines: Sequence[tuple[str, str, Sequence[tuple[float, float]]]], title: str) -> None:
    axes.set(title=title, xlabel="epoch")
    styles = {"a": (BLUE, "-"), "b": (ORANGE, "--"), "c": (GREY, "-")}
    for name, kind, points in lines:
        color, line = styles[kind]
        axes.plot(
            *zip(*points, strict=True), line, color=color, linewidth=2, marker="o", markersize=4, label=name
        )
    axes.grid(axis="y", color="#e4e8ec")
    axes.legend(frameon=False)
