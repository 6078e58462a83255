"""Charts as coordinates for SVG: the templates draw them, and the style sheet gives them colours, light and dark."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from markupsafe import Markup, escape

from xray.explorer.cell import Curve, Histogram

WIDTH: Final = 340
HEIGHT: Final = 260
LEFT: Final = 44
BOTTOM: Final = 40
TOP: Final = 12
RIGHT: Final = 12


@dataclass(frozen=True)
class Tick:
    """A mark at an axis: where, and what stands there."""

    at: float
    text: str


@dataclass(frozen=True)
class Axis:
    """A linear axis over [low, high] of a chart, in pixels from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Where a value is."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + min(1.0, max(0.0, share)) * (self.end - self.start), 1)


def unit_x() -> Axis:
    """0 to 1, from left to right."""
    return Axis(0, 1, LEFT, WIDTH - RIGHT)


def unit_y() -> Axis:
    """0 to 1, upwards."""
    return Axis(0, 1, HEIGHT - BOTTOM, TOP)


def ticks(axis: Axis) -> list[Tick]:
    """About five round values of an axis."""
    span = axis.high - axis.low
    step = 10 ** math.floor(math.log10(span / 4))
    step = next(step * factor for factor in (1, 2, 2.5, 5, 10) if span / (step * factor) <= 6)
    first = math.ceil(axis.low / step)
    values = [(first + n) * step for n in range(int((axis.high - first * step) / step + 1e-9) + 1)]
    return [Tick(axis(value), f"{value:.6g}".replace("-", "−")) for value in values]


def roc(curve: Curve) -> str:
    """Points of the ROC curve, as SVG's polyline has them; empty where a class is absent."""
    if not curve.n_pos or not curve.n_neg:
        return ""
    x, y = unit_x(), unit_y()
    pairs = [(0.0, 0.0), *zip(curve.fp / curve.n_neg, curve.tp / curve.n_pos, strict=True), (1.0, 1.0)]
    return " ".join(f"{x(fpr)},{y(tpr)}" for fpr, tpr in pairs)


def steps(histogram: Histogram) -> dict[str, Any]:
    """Outlines of both histograms over the logit, their axis, and its ticks."""
    x = Axis(float(histogram.edges[0]), float(histogram.edges[-1]), LEFT, WIDTH - RIGHT)
    highest = max(float(histogram.positives.max()), float(histogram.negatives.max()), 1e-9)
    y = Axis(0, highest, HEIGHT - BOTTOM, TOP)
    return {
        "positives": _outline(histogram.edges, histogram.positives, x, y),
        "negatives": _outline(histogram.edges, histogram.negatives, x, y),
        "x": x,
        "ticks": ticks(x),
    }


def _outline(edges: Any, shares: Any, x: Axis, y: Axis) -> str:
    points = [f"{x(edges[0])},{y(0)}"]
    for left, right, share in zip(edges[:-1], edges[1:], shares, strict=True):
        points += [f"{x(left)},{y(share)}", f"{x(right)},{y(share)}"]
    return " ".join([*points, f"{x(edges[-1])},{y(0)}"])


@dataclass(frozen=True)
class Dot:
    """One model's probability of a finding."""

    x: float
    model: str
    text: str
    marked: bool


@dataclass(frozen=True)
class DotRow:
    """One finding of the dot plot: its name, height, and the models' dots."""

    name: str
    y: float
    dots: tuple[Dot, ...]


def dot_plot(rows: Sequence[Any], marked: Sequence[str]) -> tuple[list[DotRow], float]:
    """All models' probabilities of an image by finding, and the height of the chart. marked: models to be told apart."""
    names = list(dict.fromkeys(row.task for row in rows))
    x = Axis(0, 1, 150, 560)
    lines = []
    for number, name in enumerate(names):
        own = [row for row in rows if row.task == name and row.probability is not None]
        dots = [
            Dot(x(row.probability), row.model, f"{row.probability:.3f}", row.model in marked) for row in own
        ]
        lines.append(
            DotRow(name.replace("_", " "), 26 + 24 * number, tuple(sorted(dots, key=lambda dot: dot.marked)))
        )
    return lines, 26 + 24 * len(names) + 20


@lru_cache(maxsize=10_000)
def _finding(name: str) -> str:
    return str(escape(name.replace("_", " ")))


@lru_cache(maxsize=10_000)
def _model(name: str) -> str:
    return str(escape(name))


def circles(row: DotRow) -> Markup:
    """The dots of a row as SVG. Made here and not in the template, as a page has a thousand of them."""
    return Markup(
        "".join(
            f'<circle class="dot{" marked" if dot.marked else ""}" cx="{dot.x}" cy="{row.y}" '
            f'r="{6 if dot.marked else 4.5}"><title>{_model(dot.model)}: {dot.text}</title></circle>'
            for dot in row.dots
        )
    )


def score_rows(scores: Sequence[Any]) -> Markup:
    """The rows of the table of every model's scores; see `circles`."""
    return Markup(
        "".join(
            f'<tr><th scope="row">{_finding(score.task)}</th><td>{_model(score.model)}</td>'
            f"<td>{share(score.logit)}</td><td>{share(score.probability)}</td></tr>"
            for score in scores
        )
    )


def share(value: float | None, digits: int = 3) -> str:
    """A number with fixed decimals; "–" where it is missing."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.{digits}f}".replace("-", "−")
