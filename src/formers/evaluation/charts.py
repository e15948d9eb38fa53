"""The report's charts as inline SVG: no script, no outside file, colours from the page's style sheet."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from html import escape
from typing import Any

from formers.evaluation.calibration import Bin

Point = tuple[float, float]


class Plot:
    """An area with two linear axes that is drawn into one shape at a time.

    Args:
        size: width and height in user units (the picture scales to the page).
        x_range: values at the left and right end.
        y_range: values at the bottom and top.
        margins: left, right, top, bottom.
    """

    def __init__(
        self,
        size: tuple[int, int],
        x_range: Point,
        y_range: Point,
        margins: tuple[int, int, int, int] = (52, 16, 14, 44),
    ) -> None:
        self.width, self.height = size
        self.left, right, self.top, bottom = margins
        self.right, self.bottom = self.width - right, self.height - bottom
        self._x, self._y = _spread(x_range), _spread(y_range)
        self._parts: list[str] = []

    def x(self, value: float) -> float:
        """Horizontal place of a value."""
        low, high = self._x
        return self.left + (value - low) / (high - low) * (self.right - self.left)

    def y(self, value: float) -> float:
        """Vertical place of a value."""
        low, high = self._y
        return self.bottom - (value - low) / (high - low) * (self.bottom - self.top)

    def axes(self, x_ticks: Sequence[float], y_ticks: Sequence[float], x_label: str, y_label: str) -> None:
        """Grid lines, tick labels and the names of the axes."""
        for tick in y_ticks:
            y = self.y(tick)
            self._line(self.left, y, self.right, y, "grid")
            self.text(self.left - 7, y + 4, _number(tick), "tick", "end")
        for tick in x_ticks:
            self.text(self.x(tick), self.bottom + 17, _number(tick), "tick", "middle")
        self._line(self.left, self.bottom, self.right, self.bottom, "axis")
        self.text((self.left + self.right) / 2, self.height - 6, x_label, "name", "middle")
        middle = (self.top + self.bottom) / 2
        turned = f'transform="rotate(-90 13 {middle:.1f})"'
        self._parts.append(
            f'<text class="name" x="13" y="{middle:.1f}" text-anchor="middle" {turned}>'
            f"{escape(y_label)}</text>"
        )

    def _line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        self._parts.append(f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>')

    def segment(self, start: Point, end: Point, kind: str) -> None:
        """A straight line between two points, in values."""
        self._line(self.x(start[0]), self.y(start[1]), self.x(end[0]), self.y(end[1]), kind)

    def line(self, points: Sequence[Point], kind: str) -> None:
        """A line through points, in values."""
        path = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points)
        self._parts.append(f'<polyline class="{kind}" points="{path}"/>')

    def bar(self, low: Point, high: Point, kind: str, title: str = "") -> None:
        """A filled box between two corners, in values."""
        x, y = self.x(low[0]), self.y(max(low[1], high[1]))
        width, height = self.x(high[0]) - x, abs(self.y(low[1]) - self.y(high[1]))
        self._parts.append(
            f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{height:.1f}">'
            f"<title>{escape(title)}</title></rect>"
        )

    def dot(self, point: Point, kind: str, title: str, radius: float = 4) -> None:
        """A mark at a point, in values; its title shows when the pointer rests on it."""
        self._parts.append(
            f'<circle class="{kind}" cx="{self.x(point[0]):.1f}" cy="{self.y(point[1]):.1f}" r="{radius}">'
            f"<title>{escape(title)}</title></circle>"
        )

    def text(self, x: float, y: float, words: str, kind: str, anchor: str = "start") -> None:
        """Words at a place in user units."""
        self._parts.append(
            f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
        )

    def label(self, point: Point, words: str, kind: str, anchor: str = "start", rise: float = 0) -> None:
        """Words at a point in values, `rise` user units above it."""
        self.text(self.x(point[0]), self.y(point[1]) - rise, words, kind, anchor)

    def svg(self, title: str) -> str:
        """The picture, with `title` for people who cannot see it."""
        return (
            f'<svg viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{escape(title)}" '
            f'xmlns="http://www.w3.org/2000/svg">{"".join(self._parts)}</svg>'
        )


def _spread(ends: Point) -> Point:
    low, high = ends
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _number(value: float) -> str:
    return f"{value:g}" if abs(value) < 1e5 else f"{value:.0e}"


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


def reliability_diagram(bins: Sequence[Bin], ece: float, name: str) -> str:
    """How often answers are right (bars) against how sure they were (line); below, how many."""
    plot = Plot((460, 400), (0, 1), (0, 1), (52, 16, 14, 104))
    plot.axes((), _SHARES, "", "right (share)")
    for b in bins:
        title = f"{b.count} texts with scores around {b.confidence:.3f}, {b.accuracy:.3f} of them right"
        low, high = sorted((b.accuracy, b.confidence))
        plot.bar((b.low + 0.006, 0), (b.high - 0.006, low), "fill-a", title)
        kind = "over" if b.confidence > b.accuracy else "under"
        plot.bar((b.low + 0.006, low), (b.high - 0.006, high), kind, title)
    plot.segment((0, 0), (1, 1), "ideal")
    plot.text(plot.left + 10, plot.top + 18, f"ECE {ece:.3f}", "figure")
    below = Plot((460, 400), (0, 1), (0, max(b.count for b in bins)), (52, 16, 312, 44))
    below.axes(_SHARES, (), "score of the answer", "")
    for b in bins:
        below.bar((b.low + 0.006, 0), (b.high - 0.006, b.count), "fill-c", f"{b.count} texts")
    below.text(below.left - 7, below.top + 22, "texts", "tick", "end")
    plot._parts += below._parts
    return plot.svg(f"Reliability diagram, {name}: expected calibration error {ece:.3f}")


def confusion(matrix: Sequence[Sequence[int]], names: Sequence[str]) -> str:
    """Counts by true label (rows) and answer (columns); the shade is the share of the row."""
    count = len(names)
    longest = max(len(name) for name in names)
    side = min(150, 26 + 7 * longest)
    cell = max(30, min(54, 640 // count))
    top = min(side, 24 + 5 * longest)  # names above the columns stand at 45 degrees
    width, height = side + cell * count + 46, top + cell * count + 4
    middle = side + cell * count / 2
    parts = [f'<text class="name" x="{middle}" y="14" text-anchor="middle">answered</text>']
    level = top + cell * count / 2
    turned = f'transform="rotate(-90 12 {level})"'
    parts.append(f'<text class="name" x="12" y="{level}" text-anchor="middle" {turned}>filed under</text>')
    for i, name in enumerate(names):
        centre = side + cell * (i + 0.5)
        shown = escape(name if len(name) <= 18 else name[:17] + "…")
        parts.append(
            f'<text class="tick" transform="translate({centre + 4:.0f} {top - 8}) rotate(-45)">'
            f"{shown}</text>"
            f'<text class="tick" x="{side - 8}" y="{top + cell * (i + 0.5) + 4:.0f}" text-anchor="end">'
            f"{shown}</text>"
        )
        total = sum(matrix[i])
        for j, value in enumerate(matrix[i]):
            share = value / total if total else 0.0
            title = f"{name} answered as {names[j]}: {value} of {total} ({100 * share:.1f} %)"
            kind = "right" if i == j else "wrong"
            ink = "on" if share > 0.5 else "value"
            x, y = side + cell * j, top + cell * i
            parts.append(
                f"<g><title>{escape(title)}</title>"
                f'<rect class="cell" x="{x}" y="{y}" width="{cell - 1}" height="{cell - 1}"/>'
                f'<rect class="{kind}" x="{x}" y="{y}" width="{cell - 1}" height="{cell - 1}" '
                f'fill-opacity="{share:.3f}"/>'
                + (
                    f'<text class="{ink}" x="{x + cell / 2}" y="{y + cell / 2 + 4}" text-anchor="middle">'
                    f"{value}</text>"
                    if value
                    else ""
                )
                + "</g>"
            )
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="Confusion matrix of {count} labels" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )


@dataclasses.dataclass(frozen=True)
class Mark:
    """A point of operation on the coverage curve."""

    coverage: float
    precision: float
    name: str
    short: str = ""
    main: bool = False


def coverage_precision(curve: Sequence[dict[str, float]], marks: Sequence[Mark]) -> str:
    """How often answers are right, against the share of texts answered without a human."""
    lowest = min([p["precision"] for p in curve] + [m.precision for m in marks])
    floor = max(0.0, int(lowest * 20) / 20 - 0.05)
    plot = Plot((620, 360), (0, 1), (floor, 1))
    plot.axes(_SHARES, ticks(floor, 1), "answered without a human (share)", "right (share)")
    plot.line([(p["coverage"], p["precision"]) for p in curve], "line-a")
    for mark in marks:
        kind, radius = ("dot-b", 6.5) if mark.main else ("dot-a", 4.5)
        title = (
            f"{mark.name}: {100 * mark.coverage:.1f} % answered, {100 * mark.precision:.1f} % of them right"
        )
        plot.dot((mark.coverage, mark.precision), kind, title, radius)
        if mark.main:
            side, anchor = (-12, "end") if mark.coverage > 0.7 else (12, "start")
            plot.text(plot.x(mark.coverage) + side, plot.y(mark.precision) - 9, mark.name, "figure-b", anchor)
        else:
            plot.text(plot.x(mark.coverage) - 5, plot.y(mark.precision) + 19, mark.short, "note", "end")
    return plot.svg("Share of right answers against the share of texts answered without a human")


def learning_curve(series: Sequence[tuple[str, str, Sequence[Point]]], y_label: str) -> str:
    """Lines over epochs: (name, style, points), each named at its end."""
    points = [point for _, _, line in series for point in line]
    last = max(x for x, _ in points)
    low, high = min(y for _, y in points), max(y for _, y in points)
    if low > 0 and low < 0.5 * high:
        low = 0.0
    room = 0.08 * (high - low)
    low, high = (low if low == 0 else low - room), high + room
    plot = Plot((460, 320), (0, last), (low, high), (52, 96, 14, 44))
    plot.axes(ticks(0, last), ticks(low, high), "epoch", y_label)
    for name, kind, line in series:
        plot.line(list(line), f"line-{kind}")
        if len(line) <= 40:
            for x, y in line:
                plot.dot((x, y), f"dot-{kind}", f"{name}, epoch {x:g}: {y:.4f}", 3)
    below = float("-inf")
    for name, kind, line in sorted(series, key=lambda entry: -entry[2][-1][1]):
        x, y = line[-1]
        below = max(plot.y(y) + 4, below + 15)  # names of lines that end together stand below each other
        plot.text(plot.x(x) + 8, below, name, f"figure-{kind}")
    names = " and ".join(name for name, _, _ in series)
    return plot.svg(f"{names} over the epochs of training")


def comparison(rows: Sequence[tuple[str, float, bool]], label: str) -> str:
    """Horizontal bars with their value: (name, value in 0..1, whether it is the model at hand)."""
    height = 40 * len(rows) + 8
    parts = []
    for i, (name, value, mine) in enumerate(rows):
        y = 4 + 40 * i
        kind = "fill-a" if mine else "fill-c"
        parts.append(
            f'<text class="bar-name" x="0" y="{y + 13}">{escape(name)}</text>'
            f'<rect class="track" x="0" y="{y + 18}" width="400" height="12" rx="2"/>'
            f'<rect class="{kind}" x="0" y="{y + 18}" width="{400 * value:.1f}" height="12" rx="2"/>'
            f'<text class="figure" x="410" y="{y + 29}">{value:.3f}</text>'
        )
    said = ", ".join(f"{name} {value:.3f}" for name, value, _ in rows)
    return (
        f'<svg viewBox="0 0 460 {height}" role="img" aria-label="{escape(f"{label}: {said}")}" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )


def series_of(history: Sequence[dict[str, Any]], key: str) -> list[Point]:
    """Points (epoch, value) of the entries of a trainer's log that hold `key`."""
    return [
        (float(entry["epoch"]), float(entry[key]))
        for entry in history
        if isinstance(entry.get(key), (int, float)) and isinstance(entry.get("epoch"), (int, float))
    ]
