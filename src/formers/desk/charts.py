"""The report's charts: lists of marks, written as inline SVG for the page; `picture.py` draws the same.

The SVG holds no script and no outside file, and takes its colours by style names from the page's style sheet.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from formers.evaluation.calibration import Bin

Point = tuple[float, float]
Series = tuple[str, str, Sequence[Point]]  # name, style, points

LONGEST_NAME = 18


@dataclasses.dataclass(frozen=True)
class Mark:
    """A shape in user units.

    Attributes:
        shape: "line", "box", "dot" or "text".
        style: name of its style.
        points: those of a line; else one: upper left corner, centre, or where the words stand.
        size: width and height of a box, radius of a dot.
        words: of a text; of a box or dot what shows when the pointer rests on it.
        anchor: what of the words stands there: start, middle or end.
        turn: degrees by which the words are turned.
        opacity: of the filling.
    """

    shape: str
    style: str
    points: Sequence[Point]
    size: Point = (0, 0)
    words: str = ""
    anchor: str = "start"
    turn: float = 0
    opacity: float = 1

    def svg(self) -> str:
        """The mark as an element."""
        if self.shape == "line":
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in self.points)
            return f'<polyline class="{self.style}" points="{path}"/>'
        (x, y), (width, height) = self.points[0], self.size
        if self.shape == "text":
            turned = f' transform="rotate({self.turn:g} {x:.1f} {y:.1f})"' if self.turn else ""
            place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{self.anchor}"{turned}'
            return f'<text class="{self.style}" {place}>{escape(self.words)}</text>'
        title = f"<title>{escape(self.words)}</title>" if self.words else ""
        if self.shape == "dot":
            return f'<circle class="{self.style}" cx="{x:.1f}" cy="{y:.1f}" r="{width:g}">{title}</circle>'
        place = f'x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{height:.1f}"'
        shade = "" if self.opacity == 1 else f' fill-opacity="{self.opacity:.3f}"'
        return f'<rect class="{self.style}" {place}{shade}>{title}</rect>'


class Chart:
    """Marks on an area of `width` by `height` user units, from the upper left corner; it scales to the page.

    `title` is for people who cannot see it.
    """

    def __init__(self, width: float, height: float, title: str = "") -> None:
        self.width, self.height, self.title = width, height, title
        self.marks: list[Mark] = []

    def add(self, shape: str, style: str, *points: Point, **more: Any) -> None:
        """Add a mark."""
        self.marks.append(Mark(shape, style, points, **more))

    def text(
        self, x: float, y: float, words: str, style: str, anchor: str = "start", turn: float = 0
    ) -> None:
        """Add words."""
        self.add("text", style, (x, y), words=words, anchor=anchor, turn=turn)

    def svg(self) -> str:
        """The picture as an element of a page."""
        return (
            f'<svg viewBox="0 0 {self.width:g} {self.height:g}" role="img" '
            f'aria-label="{escape(self.title)}" xmlns="http://www.w3.org/2000/svg">'
            f"{''.join(mark.svg() for mark in self.marks)}</svg>"
        )


class Plot(Chart):
    """A chart with two linear axes.

    Args:
        size: width and height in user units.
        x_range: values at the left and right end.
        y_range: values at the bottom and top.
        margins: left, right, top, bottom.
        title: for people who cannot see it.
    """

    def __init__(
        self,
        size: tuple[int, int],
        x_range: Point,
        y_range: Point,
        margins: tuple[int, int, int, int] = (52, 16, 14, 44),
        title: str = "",
    ) -> None:
        super().__init__(*size, title)
        self.left, right, self.top, bottom = margins
        self.right, self.bottom = self.width - right, self.height - bottom
        self._x, self._y = _spread(x_range), _spread(y_range)

    def at(self, point: Point) -> Point:
        """The place of a point of values."""
        (x0, x1), (y0, y1) = self._x, self._y
        return (
            self.left + (point[0] - x0) / (x1 - x0) * (self.right - self.left),
            self.bottom - (point[1] - y0) / (y1 - y0) * (self.bottom - self.top),
        )

    def axes(self, x_ticks: Sequence[float], y_ticks: Sequence[float], x_label: str, y_label: str) -> None:
        """Grid lines, tick labels and the names of the axes."""
        x_start, y_start = self._x[0], self._y[0]
        for tick in y_ticks:
            _, y = self.at((x_start, tick))
            self.add("line", "grid", (self.left, y), (self.right, y))
            self.text(self.left - 7, y + 4, _number(tick), "tick", "end")
        for tick in x_ticks:
            self.text(self.at((tick, y_start))[0], self.bottom + 17, _number(tick), "tick", "middle")
        self.add("line", "axis", (self.left, self.bottom), (self.right, self.bottom))
        self.text((self.left + self.right) / 2, self.height - 6, x_label, "name", "middle")
        self.text(13, (self.top + self.bottom) / 2, y_label, "name", "middle", -90)

    def line(self, points: Sequence[Point], style: str) -> None:
        """A line through points, in values."""
        self.add("line", style, *map(self.at, points))

    def bar(self, low: Point, high: Point, style: str, title: str = "") -> None:
        """A filled box between two corners, in values."""
        (x0, y0), (x1, y1) = self.at(low), self.at(high)
        self.add("box", style, (x0, min(y0, y1)), size=(x1 - x0, abs(y0 - y1)), words=title)

    def dot(self, point: Point, style: str, title: str, radius: float = 4) -> None:
        """A mark at a point, in values."""
        self.add("dot", style, self.at(point), size=(radius, radius), words=title)


def _spread(ends: Point) -> Point:
    low, high = ends
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _number(value: float) -> str:
    return f"{value:g}" if abs(value) < 1e5 else f"{value:.0e}"


def shown_name(name: str) -> str:
    """A label's name as far as there is room beside a chart: its start and its end, where names differ."""
    half = LONGEST_NAME // 2
    return name if len(name) <= LONGEST_NAME else f"{name[:half]}…{name[1 - half :]}"


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from `low` to `high`, about so many."""
    if high <= low:
        return [low]
    raw = (high - low) / about
    size = 10.0 ** int(f"{raw:e}".split("e")[1])
    step = next((size * factor for factor in (1, 2, 2.5, 5) if size * factor >= 0.85 * raw), size * 10)
    first = int(low / step) + (1 if low > 0 and low % step > 1e-9 * step else 0)
    last = int(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


_SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def reliability_diagram(bins: Sequence[Bin], ece: float, name: str) -> Chart:
    """How often answers are right (bars) against how sure they were (line); below, how many."""
    title = f"Reliability diagram, {name}: expected calibration error {ece:.3f}"
    plot = Plot((460, 400), (0, 1), (0, 1), (52, 16, 14, 104), title)
    plot.axes((), _SHARES, "", "right (share)")
    below = Plot((460, 400), (0, 1), (0, max(b.count for b in bins)), (52, 16, 312, 44))
    below.axes(_SHARES, (), "score of the answer", "")
    for b in bins:
        left, right = b.low + 0.006, max(b.high - 0.006, b.low + 0.011)
        title = f"{b.count} texts with scores around {b.confidence:.3f}, {b.accuracy:.3f} of them right"
        low, high = sorted((b.accuracy, b.confidence))
        plot.bar((left, 0), (right, low), "fill-a", title)
        plot.bar((left, low), (right, high), "over" if b.confidence > b.accuracy else "under", title)
        below.bar((left, 0), (right, b.count), "fill-c", f"{b.count} texts")
    plot.line([(0, 0), (1, 1)], "ideal")
    plot.text(plot.left + 10, plot.top + 18, f"ECE {ece:.3f}", "figure")
    below.text(below.left - 7, below.top + 22, "texts", "tick", "end")
    plot.marks += below.marks
    return plot


def confusion(matrix: Sequence[Sequence[int]], names: Sequence[str], cells: Point = (30, 54)) -> Chart:
    """Counts by true label (rows) and answer (columns); the shade is the share of the row.

    `cells` are the smallest and the largest side of a cell, in user units.
    """
    count = len(names)
    longest = max(len(name) for name in names)
    side = min(150, 26 + 7 * longest)
    cell = max(cells[0], min(cells[1], 640 // count))
    top = min(side, 24 + 5 * longest)  # names above the columns stand at 45 degrees
    chart = Chart(side + cell * count + 46, top + cell * count + 4, f"Confusion matrix of {count} labels")
    chart.text(side + cell * count / 2, 14, "answered", "name", "middle")
    chart.text(12, top + cell * count / 2, "filed under", "name", "middle", -90)
    for i, name in enumerate(names):
        chart.text(side + cell * (i + 0.5) + 4, top - 8, shown_name(name), "tick", turn=-45)
        chart.text(side - 8, top + cell * (i + 0.5) + 4, shown_name(name), "tick", "end")
        total = sum(matrix[i])
        for j, value in enumerate(matrix[i]):
            share = value / total if total else 0.0
            title = f"{name} answered as {names[j]}: {value} of {total} ({100 * share:.1f} %)"
            corner = (side + cell * j, top + cell * i)
            square, kind = (cell - 1, cell - 1), "right" if i == j else "wrong"
            chart.add("box", "cell", corner, size=square)
            chart.add("box", kind, corner, size=square, words=title, opacity=round(share, 3))
            if value:
                x, y = corner[0] + cell / 2, corner[1] + cell / 2 + 4
                chart.text(x, y, str(value), "on" if share > 0.5 else "value", "middle")
    return chart


@dataclasses.dataclass(frozen=True)
class Operation:
    """A point of operation on the coverage curve."""

    coverage: float
    precision: float
    name: str
    short: str = ""
    main: bool = False


def coverage_precision(curve: Sequence[Mapping[str, float]], points: Sequence[Operation]) -> Chart:
    """How often answers are right, against the share of texts answered without a human."""
    lowest = min([p["precision"] for p in curve] + [p.precision for p in points])
    floor = max(0.0, int(lowest * 20) / 20 - 0.05)
    title = "Share of right answers against the share of texts answered without a human"
    plot = Plot((620, 360), (0, 1), (floor, 1), title=title)
    plot.axes(_SHARES, ticks(floor, 1), "answered without a human (share)", "right (share)")
    plot.line([(p["coverage"], p["precision"]) for p in curve], "line-a")
    for one in points:
        style, radius = ("dot-b", 6.5) if one.main else ("dot-a", 4.5)
        said = f"{one.name}: {100 * one.coverage:.1f} % answered, {100 * one.precision:.1f} % of them right"
        plot.dot((one.coverage, one.precision), style, said, radius)
        x, y = plot.at((one.coverage, one.precision))
        if one.main:
            side, anchor = (-12, "end") if one.coverage > 0.7 else (12, "start")
            plot.text(x + side, y - 9, one.name, "figure-b", anchor)
        else:
            plot.text(x - 5, y + 19, one.short, "note", "end")
    return plot


def learning_curve(series: Sequence[Series], y_label: str) -> Chart:
    """Lines over epochs, each named at its end."""
    points = [point for _, _, line in series for point in line]
    last = max(x for x, _ in points)
    low, high = min(y for _, y in points), max(y for _, y in points)
    if low > 0 and low < 0.5 * high:
        low = 0.0
    room = 0.08 * (high - low)
    low, high = (low if low == 0 else low - room), high + room
    names = " and ".join(name for name, _, _ in series)
    title = f"{names} over the epochs of training"
    plot = Plot((460, 320), (0, last), (low, high), (52, 96, 14, 44), title)
    plot.axes(ticks(0, last), ticks(low, high), "epoch", y_label)
    for name, style, line in series:
        plot.line(line, f"line-{style}")
        if len(line) <= 40:
            for x, y in line:
                plot.dot((x, y), f"dot-{style}", f"{name}, epoch {x:g}: {y:.4f}", 3)
    below = float("-inf")
    for name, style, line in sorted(series, key=lambda entry: -entry[2][-1][1]):
        x, y = plot.at(line[-1])
        below = max(y + 4, below + 15)  # names of lines that end together stand below each other
        plot.text(x + 8, below, name, f"figure-{style}")
    return plot


def comparison(rows: Sequence[tuple[str, float, bool]], label: str) -> Chart:
    """Horizontal bars with their value: (name, value in 0..1, whether it is the model at hand)."""
    said = ", ".join(f"{name} {value:.3f}" for name, value, _ in rows)
    chart = Chart(460, 40 * len(rows) + 8, f"{label}: {said}")
    for i, (name, value, mine) in enumerate(rows):
        y = 4 + 40 * i
        chart.text(0, y + 13, name, "bar-name")
        chart.add("box", "track", (0, y + 18), size=(400, 12))
        chart.add("box", "fill-a" if mine else "fill-c", (0, y + 18), size=(400 * value, 12))
        chart.text(410, y + 29, f"{value:.3f}", "figure")
    return chart


def f1_by_label(rows: Sequence[Mapping[str, Any]], other: str | None) -> Chart:
    """A bar for the F1 of each row of the per-class table, and a dot for that of another model."""
    plot = Plot((460, 400), (0, 1), (-len(rows), 0), (150, 16, 14, 44), "F1 by label")
    plot.axes(_SHARES, (), "", "")
    for i, row in enumerate(rows):
        plot.bar((0, -i - 0.19), (row["f1"], -i - 0.81), "fill-a")
        if row["other_f1"] is not None:
            plot.dot((row["other_f1"], -i - 0.5), "dot-b", other or "")
        name = f"{shown_name(row['label'])} ({row['support']:,})"
        plot.text(plot.left - 7, plot.at((0, -i - 0.5))[1] + 4, name, "tick", "end")
    plot.text(plot.left, plot.height - 6, "this model", "figure-a")
    if other is not None:
        plot.text(plot.left + 90, plot.height - 6, other, "figure-b")
    return plot


def series_of(history: Sequence[Mapping[str, Any]], key: str) -> list[Point]:
    """Points (epoch, value) of the entries of a trainer's log that hold `key`."""
    return [
        (float(entry["epoch"]), float(entry[key]))
        for entry in history
        if isinstance(entry.get(key), (int, float)) and isinstance(entry.get("epoch"), (int, float))
    ]
