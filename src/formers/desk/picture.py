"""The report as one picture, for a slide or a pull request: the marks of the page's charts, by matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from formers.core.atomic import write_atomically
from formers.core.extras import need
from formers.desk import charts
from formers.desk.findings import SHOWN_LABELS, Findings

BLUE, ORANGE, GREY, PALE, INK, SOFT, RULE = (
    "#0072b2", "#d55e00", "#8c96a0", "#eef1f4", "#1b1f24", "#57606a", "#dfe4e9",
)  # fmt: skip
# what the page's style sheet says of a style: colour, and size in user units for words
COLOR = {
    "grid": RULE, "axis": SOFT, "ideal": INK, "fill-a": BLUE, "fill-c": GREY, "over": ORANGE, "under": BLUE,
    "line-a": BLUE, "line-b": ORANGE, "line-c": GREY, "dot-a": BLUE, "dot-b": ORANGE, "dot-c": GREY,
    "cell": PALE, "right": BLUE, "wrong": ORANGE, "tick": SOFT, "name": SOFT, "note": SOFT, "value": INK,
    "on": "white", "figure": INK, "figure-a": BLUE, "figure-b": ORANGE, "figure-c": SOFT,
}  # fmt: skip
BOLD = ("on", "figure", "figure-a", "figure-b", "figure-c")
ROWS = ((0.55, 0.87), (0.05, 0.43))  # lower and upper end of a row of panels, as shares of the height
WIDTH, HEIGHT = 15, 10.2  # inches


def write_picture(found: Findings, path: str | Path) -> Path:
    """Draw the overview into `path` (PNG, atomic); the figure touches no global state of matplotlib.

    Raises:
        MissingExtra: when matplotlib is not installed.
    """
    need("matplotlib", "plots", "the report's picture")
    figure = need("matplotlib.figure", "plots").Figure(figsize=(WIDTH, HEIGHT), dpi=120, facecolor="white")
    need("matplotlib.backends.backend_agg", "plots").FigureCanvasAgg(figure)
    figure.text(0.035, 0.962, found.title, fontsize=18, fontweight="bold", color=INK)
    figure.text(0.035, 0.932, _summary(found), fontsize=11, color=SOFT)
    for panels, (low, high) in zip(_panels(found), ROWS, strict=True):
        width = 0.95 / len(panels)
        for place, (title, chart) in enumerate(panels):
            left = 0.035 + place * width
            figure.text(left, high + 0.01, title, fontsize=11, fontweight="bold", color=INK)
            _draw(figure.add_axes((left, low, width - 0.02, high - low)), chart, width - 0.02, high - low)
    target = Path(path)
    with write_atomically(target) as part:
        figure.savefig(part, format="png", metadata={"Software": None})
    return target


def _panels(found: Findings) -> list[list[tuple[str, charts.Chart]]]:
    """Two rows of charts with their titles; a row without a third chart gives its place to the others."""
    rows = found.rows[:SHOWN_LABELS]
    other = next(iter(found.baselines), None) if any(row["other_f1"] is not None for row in rows) else None
    names, counts = found.shown_matrix
    many = len(names) < len(found.names)
    which = f"\nthe {len(names)} most frequent of {len(found.names)} labels" if many else ""
    losses = [("Loss, by epoch", charts.learning_curve(found.losses, "loss"))] if found.losses else []
    scores = [("Training, by epoch", charts.learning_curve(found.scores, "score"))] if found.scores else []
    before, after = found.reliability_charts
    top = [(f"F1 by label (texts){which}", charts.f1_by_label(rows, other)), ("Scores as they are", before)]
    below = [
        (f"Filed under (rows), answered (columns){which}", charts.confusion(counts, names, (22, 30))),
        ("Answered alone, and right", charts.coverage_precision(found.curve, found.operations)),
    ]
    if found.calibrated:
        return [[*top, ("After calibration", after)], [*below, *(scores or losses)]]
    return [[*top, *losses], [*below, *scores]]


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


def _draw(axes: Any, chart: charts.Chart, width: float, height: float) -> None:
    """Draw the marks of a chart into axes of this share of the figure, as large as they fit."""
    patches = need("matplotlib.patches", "plots")
    inch = max(chart.width / (width * WIDTH), chart.height / (height * HEIGHT))  # user units
    axes.set(xlim=(0, inch * width * WIDTH), ylim=(inch * height * HEIGHT, 0))
    axes.axis("off")
    for order, mark in enumerate(chart.marks):
        style = {"color": COLOR[mark.style], "zorder": order}
        if mark.shape == "line":
            line, thick = ("--" if mark.style in ("ideal", "line-b") else "-"), mark.style.startswith("line")
            axes.plot(*zip(*mark.points, strict=True), line, linewidth=2 if thick else 1, **style)
        elif mark.shape == "box":
            shade = 0.4 if mark.style in ("over", "under") else mark.opacity
            axes.add_patch(patches.Rectangle(mark.points[0], *mark.size, alpha=shade, linewidth=0, **style))
        elif mark.shape == "dot":
            axes.add_patch(patches.Circle(mark.points[0], mark.size[0], **style))
        else:
            side = {"start": "left", "middle": "center", "end": "right"}[mark.anchor]
            style |= {"fontweight": "bold"} if mark.style in BOLD else {}
            style |= {"ha": side, "va": "baseline", "rotation": -mark.turn, "rotation_mode": "anchor"}
            axes.text(*mark.points[0], mark.words, fontsize=12 * 72 / inch, **style)
