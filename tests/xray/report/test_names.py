"""Names beside dots: as matplotlib draws them, they cover neither each other nor the panel's edge."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from xray.report.names import place_names
from xray.report.style import settings
from xray.tasks import TASKS


def draw(at, names):
    with settings():
        figure = Figure(figsize=(3.4, 3.4), dpi=150)
        canvas = FigureCanvasAgg(figure)
        axes = figure.add_axes((0.1, 0.1, 0.85, 0.85))
        axes.plot(*at.T, "o", markersize=3.4)
        axes.margins(0.12)
        place_names(axes, names, at, at, 5.5)
        canvas.draw()
        return axes, {text.get_text(): text.get_window_extent() for text in axes.texts}


@pytest.mark.parametrize("spread", [1.0, 0.2, 0.03])
def test_eighteen_names_are_readable_however_crowded_their_dots_are(spread):
    rng = np.random.default_rng(0)
    at = np.vstack([rng.normal(size=(16, 2)) * spread, [[-1, -1], [1, 1]]])
    axes, boxes = draw(at, list(TASKS))
    frame = axes.get_window_extent()
    assert boxes.keys() == set(TASKS)
    for box in boxes.values():
        assert frame.x0 <= box.x0
        assert box.x1 <= frame.x1
        assert frame.y0 <= box.y0
        assert box.y1 <= frame.y1
    for one, two in combinations(boxes.values(), 2):
        across = min(one.x1, two.x1) - max(one.x0, two.x0)
        down = min(one.y1, two.y1) - max(one.y0, two.y0)
        assert across <= 1 or down <= 1


def test_a_single_name_is_placed_beside_its_dot():
    at = np.array([[0.0, 0.0], [1.0, 1.0]])
    axes, boxes = draw(at, ["Mass", "Nodule"])
    box, dot = boxes["Mass"], axes.transData.transform(at[0])
    near = np.hypot(max(box.x0 - dot[0], 0, dot[0] - box.x1), max(box.y0 - dot[1], 0, dot[1] - box.y1))
    assert near < 10 * 150 / 72
    assert not axes.lines[1:], "no line is needed"
