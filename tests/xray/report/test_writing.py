"""Texts drawn as glyphs look as matplotlib's own texts do, and stand where they should."""

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from xray.report.style import INK, settings
from xray.report.writing import Writing

DPI = 400


def pixels_of(figure: Figure) -> NDArray[np.float64]:
    """Share of ink in each dot, (height, width)."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return 1 - np.asarray(canvas.buffer_rgba())[..., 0] / 255


def middle(ink: NDArray[np.float64]) -> tuple[float, float]:
    """Middle of what is inked, in dots from the top left."""
    y, x = np.nonzero(ink > 0.3)
    return (x.min() + x.max()) / 2, (y.min() + y.max()) / 2


@pytest.mark.parametrize("text", [".85", "1.00", "−.25!", ".81–.88", "−.12, .07", "(.77)", "IPL"])
@pytest.mark.parametrize("weight", ["normal", "bold"])
def test_text_equals_that_of_matplotlib(text: str, weight: str) -> None:
    with settings(), matplotlib.rc_context({"text.hinting": "no_hinting"}):
        own, expected = (Figure(figsize=(1, 0.4), dpi=DPI) for _ in range(2))
        writing = Writing()
        writing.put(text, 0.5, 0.2, 8, INK, weight)
        writing.draw(own)
        expected.text(0.5, 0.5, text, size=8, color=INK, ha="center", va="center", weight=weight)
        first, second = pixels_of(own), pixels_of(expected)
    assert first.sum() == pytest.approx(second.sum(), rel=0.05)
    (x, y), (x_theirs, _) = middle(first), middle(second)
    assert x == pytest.approx(x_theirs, abs=2)
    shifted = [np.roll(second, (dy, dx), (0, 1)) for dy in range(-8, 9) for dx in (-2, -1, 0, 1, 2)]
    assert max(np.corrcoef(first.ravel(), other.ravel())[0, 1] for other in shifted) > 0.95
    if text[0] in ".1(":
        assert y == pytest.approx(0.2 * DPI, abs=4)  # digits and brackets stand in the middle


def test_text_is_placed_the_same_at_any_resolution() -> None:
    figure = Figure(figsize=(1, 0.4), dpi=100)
    writing = Writing()
    writing.put(".50", 0.25, 0.3, 8, "black")
    writing.put(".50", 0.25, 0.1, 8, "red")
    writing.draw(figure)
    for dpi in (100, 300):
        figure.set_dpi(dpi)
        x, y = middle(pixels_of(figure)[: int(0.2 * dpi)])
        assert x / dpi == pytest.approx(0.25, abs=0.012)
        assert y / dpi == pytest.approx(0.1, abs=0.012)


def test_a_thin_dash_never_vanishes() -> None:
    """A sign that is thinner than a dot, at every place between two dots: it keeps its ink."""
    for step in range(20):
        signs = []
        for sign in ("−", "–", "."):
            figure = Figure(figsize=(0.5, 0.5), dpi=100)
            writing = Writing()
            writing.put(sign, 0.25, 0.25 + step / 2000, 4.6, "black")
            writing.draw(figure)
            signs.append(pixels_of(figure).sum())
        assert signs == pytest.approx(
            [2.12, 1.15, 0.52], rel=0.1
        )  # DejaVu Sans: 0.63 × 0.08, 0.40 × 0.07, 0.10 × 0.12 em
