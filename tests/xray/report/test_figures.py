import re
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from tests.xray.report.reading import boxes, cell, glyphs
from xray.durable import write_whole
from xray.errors import AnalysisError
from xray.report import figures, grids, layout, panels
from xray.report.files import svg
from xray.report.style import ARM_COLOURS, GREY, INK, PAGE_WIDTH, WHITE, contrast_ink, text_width, wrap
from xray.tasks import TASKS


def patch(figure: Figure, gid: str) -> Rectangle:
    (rectangle,) = figure.findobj(lambda artist: isinstance(artist, Rectangle) and artist.get_gid() == gid)
    return rectangle


def texts(figure: Figure, gid: str) -> list[str]:
    return [
        artist.get_text()
        for artist in figure.findobj(lambda artist: isinstance(artist, Text) and artist.get_gid() == gid)
    ]


def luminance(colour: tuple[float, ...]) -> float:
    return float(np.dot(colour[:3], (0.2126, 0.7152, 0.0722)))


def test_cells_show_the_values_of_the_frame(performance: pd.DataFrame) -> None:
    figure = figures.auc_grid(performance)
    for row in performance[performance["seed"].isna()].itertuples():
        mark = cell(figure, row.task, row.trained_on, row.test_dataset)
        if np.isnan(row.auc):
            assert (mark.fills, mark.lines) == ([WHITE], [])
            continue
        bounds = f"{row.lower:.2f}–{row.upper:.2f}".replace("0.", ".")
        assert mark.lines == [f"{row.auc:.2f}".removeprefix("0"), bounds]
        assert mark.hatched == (row.n_pos < 10)
        assert (mark.fills == [GREY]) == mark.hatched
        assert WHITE not in mark.fills


def test_ink_is_dark_on_light_cells_and_light_on_dark_ones(performance: pd.DataFrame) -> None:
    figure = figures.auc_grid(performance.assign(auc=0.99))
    assert cell(figure, "Mass", "beta", "beta").inks == {WHITE}
    figure = figures.auc_grid(performance.assign(auc=0.55))
    assert cell(figure, "Mass", "beta", "beta").inks == {INK}


def test_below_chance_is_brown_and_above_is_blue(performance: pd.DataFrame, agreement: pd.DataFrame) -> None:
    def blueness(figure: Figure, task: str, row: str) -> float:
        (fill,) = cell(figure, task, row, "beta").fills
        red, _, blue = to_rgb(fill)
        return blue - red

    auc, kappa = figures.auc_grid(performance), figures.agreement_grid(agreement)
    assert blueness(auc, "Mass", "alpha") < -0.3
    assert blueness(auc, "Mass", "all") > 0
    assert blueness(kappa, "Mass", "all") < -0.3
    assert blueness(kappa, "Atelectasis", "all") > 0
    assert cell(kappa, "Mass", "all", "beta").lines[0] == "−.25"


def test_colours_grow_darker_away_from_chance_and_are_never_white_or_grey() -> None:
    scale = figures.AUC
    fills = [
        panels.cell_colours(panels.Cell(value=value), scale)[0]
        for value in np.linspace(scale.low, scale.high, 41)
    ]
    light = [luminance(fill) for fill in fills]  # type: ignore[arg-type]
    assert light == sorted(light[:21]) + sorted(light[21:], reverse=True)
    assert not {to_hex(fill) for fill in fills} & {WHITE, GREY}
    assert contrast_ink((1, 1, 1, 1)) != contrast_ink((0.05, 0.1, 0.3, 1)) == WHITE


def test_the_own_dataset_is_boxed(performance: pd.DataFrame) -> None:
    figure = figures.auc_grid(performance)
    boxed = {
        (row, column)
        for row in ("beta", "alpha", "all")
        for column in ("beta", "alpha")
        if cell(figure, "Mass", row, column).boxed
    }
    assert boxed == {("beta", "beta"), ("alpha", "alpha")}


def test_panels_are_ordered_by_value_and_axes_are_labelled(performance: pd.DataFrame) -> None:
    figure = figures.auc_grid(performance)
    assert [axes.get_title() for axes in figure.axes[:2]] == ["Mass", "Atelectasis"], "the lowest first"
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["beta", "alpha"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["beta", "alpha", "all"]


def test_published_values_are_on_the_second_line(performance: pd.DataFrame) -> None:
    published = pd.DataFrame([{"trained_on": "all", "test_dataset": "beta", "task": "Mass", "value": 0.77}])
    figure = figures.auc_grid(performance, published)
    assert cell(figure, "Mass", "all", "beta").lines[1] == "(.77)"
    assert "–" in cell(figure, "Mass", "beta", "beta").lines[1]


@pytest.mark.parametrize("tasks", [1, 7, 18])
@pytest.mark.parametrize("rows", [2, 5, 10])
@pytest.mark.parametrize("name", ["nih", "university_hospital_of_the_north_campus"])
def test_the_panels_fit_the_page_and_stay_legible(tasks: int, rows: int, name: str) -> None:
    names = tuple(f"{name}_{index}" for index in range(rows))
    arrangement = layout.arrange(TASKS[:tasks], names, names)
    assert arrangement.size[0] <= PAGE_WIDTH + 1e-6
    assert arrangement.cell_width >= layout.SMALLEST[0]
    assert arrangement.cell_height >= layout.SMALLEST[1]
    assert arrangement.across * arrangement.down >= tasks > arrangement.across * (arrangement.down - 1)
    assert len(set(arrangement.row_labels)) == len(set(arrangement.column_labels)) == rows
    if not arrangement.upright:
        for label in arrangement.column_labels:
            assert max(text_width(line, layout.LABEL) for line in label.split("\n")) <= arrangement.cell_width
    for label in arrangement.row_labels:
        assert (label.count("\n") + 1) * layout.LABEL / 72 <= arrangement.cell_height


@pytest.mark.parametrize("name", ["nih", "university_hospital_north"])
def test_no_text_overlaps_another(performance: pd.DataFrame, name: str) -> None:
    names = {old: f"{name}_{old}" for old in ("alpha", "beta")}
    figure = figures.auc_grid(performance.replace(names))
    figure.draw_without_rendering()
    texts_found = figure.findobj(lambda artist: isinstance(artist, Text) and artist.get_text() != "")
    texts = [
        (artist.get_text(), artist.get_window_extent()) for artist in texts_found if artist.get_visible()
    ]
    page = figure.bbox.expanded(1.001, 1.001)
    for index, (text, box) in enumerate(texts):
        assert page.x0 <= box.x0 <= box.x1 <= page.x1, text
        assert page.y0 <= box.y0 <= box.y1 <= page.y1, text
        for other, second in texts[:index]:
            assert not box.padded(-1.5).overlaps(second.padded(-1.5)), (text, other)
    letters = [(letter, bounds) for letter, _, bounds, _ in glyphs(figure)]
    assert len(letters) > 50
    cells = boxes(figure)
    for index, (letter, bounds) in enumerate(letters):
        around = [
            box
            for box in cells
            if box.xmin < bounds.x0 < bounds.x1 < box.xmax and box.ymin < bounds.y0 < bounds.y1 < box.ymax
        ]
        assert len(around) == 1, letter
        for other, second in letters[:index]:
            assert not bounds.overlaps(second), (letter, other)


def test_wrapped_names_stay_distinct() -> None:
    assert wrap("nih", 1.0, 7) == "nih"
    assert wrap("north_campus", 0.5, 7) == "north_\ncampus"
    first, second = (wrap(f"hospital_{'x' * 80}_{end}", 0.6, 7, most=2) for end in ("north", "south"))
    assert first != second
    assert first.count("\n") == 1
    assert "…" in first
    assert wrap("abc", 0.001, 7, most=1) == "abc"


def test_empty_and_undefined_frames_are_drawn(performance: pd.DataFrame) -> None:
    empty = figures.auc_grid(pd.DataFrame())
    assert [text.get_text() for text in empty.texts] == ["no results"]
    undefined = figures.auc_grid(performance.assign(auc=np.nan, lower=np.nan, upper=np.nan, n_pos=None))
    assert cell(undefined, "Mass", "all", "beta").fills == [WHITE]
    one = figures.auc_grid(performance[:1].assign(lower=None, trained_on="$a_{$ <i>"))
    assert len(cell(one, "Mass", "$a_{$ <i>", "beta").lines) == 1
    assert svg(one).startswith(b"<?xml")  # a "$" is no formula


def test_bars_have_the_mean_auc_of_their_arm(left_out: pd.DataFrame) -> None:
    figure = figures.leave_one_site_out(left_out)
    for row in left_out.groupby(["test_dataset", "arm"])["auc"].mean().reset_index().itertuples():
        bar = patch(figure, f"{row.test_dataset}|{row.arm}")
        assert bar.get_y() == 0.5
        assert bar.get_y() + bar.get_height() == pytest.approx(row.auc)
        assert to_hex(bar.get_facecolor()) == ARM_COLOURS[row.arm]
        (dots,) = figure.findobj(
            lambda artist, gid=f"{row.test_dataset}|{row.arm}|seeds": artist.get_gid() == gid
        )
        assert sorted(dots.get_ydata()) == sorted(
            left_out.query("test_dataset == @row.test_dataset and arm == @row.arm")["auc"]
        )
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert labels == ["beta_a\nsite beta\n8 tasks", "alpha_a\nsite alpha\n8 tasks"]
    whiskers = [
        np.ptp([y for segment in container.lines[2][0].get_segments() for _, y in segment])
        for container in figure.axes[0].containers
        if hasattr(container, "has_yerr")
    ]
    assert whiskers[0] == pytest.approx(2 * np.std([0.8, 0.9], ddof=1))
    low, high = figure.axes[0].get_ylim()
    assert low < 0.4
    assert high > 1


def test_bars_of_empty_and_undefined_frames_are_drawn(left_out: pd.DataFrame) -> None:
    assert [text.get_text() for text in figures.leave_one_site_out(pd.DataFrame()).texts] == ["no results"]
    ensembles = pd.concat([left_out, left_out[:1].assign(seed=None, auc=0.1)])
    assert patch(figures.leave_one_site_out(ensembles), "beta_a|own").get_height() == pytest.approx(0.35)
    undefined = figures.leave_one_site_out(left_out.assign(auc=np.nan))
    assert texts(undefined, "beta_a|own|none") == ["–"]
    with pytest.raises(AnalysisError, match="arm 'most'; expected one of own"):
        figures.leave_one_site_out(left_out.assign(arm="most"))
    with pytest.raises(AnalysisError, match="two rows of one seed for arm 'own' on beta_a"):
        figures.leave_one_site_out(pd.concat([left_out, left_out[:1]]))


def test_save_writes_the_same_bytes_each_time(performance: pd.DataFrame, tmp_path: Path) -> None:
    figure = figures.auc_grid(performance)
    first = figures.save(figure, tmp_path / "a", "auc", performance)
    again = figures.save(figure, tmp_path / "b", "auc", performance)
    with matplotlib.rc_context({"font.size": 20, "svg.hashsalt": None, "axes.facecolor": "red"}):
        other = figures.save(figures.auc_grid(performance.copy()), tmp_path / "c", "auc", performance)
    assert [path.name for path in first] == ["auc.png", "auc.svg", "auc.csv"]
    for paths in zip(first, again, other, strict=True):
        assert len({path.read_bytes() for path in paths}) == 1
    content = first[1].read_text()
    assert "<text" not in content
    assert not re.search(
        r"DOCTYPE|<metadata|matplotlib\.org|(href|src)=\"(?!#|data:image/png)|url\((?!#)", content
    )
    assert first[0].read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    data = pd.read_csv(first[2], keep_default_na=False, na_values={"auc": "", "lower": "", "upper": ""})
    assert list(data) == list(performance)
    numbers = ["n", "n_pos", "auc", "lower", "upper"]
    pd.testing.assert_frame_equal(data[numbers], performance[numbers], check_exact=True)
    assert list(data["reason"]) == list(performance["reason"].fillna(""))
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["auc.csv", "auc.png", "auc.svg"]


@pytest.mark.parametrize("name", ["", "../auc", "a/b", ".hidden", "a b"])
def test_save_refuses_names_that_are_no_file_names(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="figure name"):
        figures.save(figures.auc_grid(pd.DataFrame()), tmp_path, name, pd.DataFrame())


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_whole(tmp_path / "auc.csv", b"old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_users_matplotlib_settings_are_unchanged(performance: pd.DataFrame) -> None:
    with matplotlib.rc_context({"font.size": 21}):
        svg(figures.auc_grid(performance))
        assert matplotlib.rcParams["font.size"] == 21


def test_importing_the_report_loads_no_matplotlib() -> None:
    program = (
        "import sys; import xray.report, xray.report.page, xray.report.text, xray.report.captions; "
        "print(sorted({'matplotlib', 'torch', 'jinja2', 'db.connect'} & set(sys.modules)))"
    )
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "[]"
    figures_program = "import sys; import xray.report.figures; print('matplotlib.pyplot' in sys.modules)"
    process = subprocess.run(
        [sys.executable, "-c", figures_program], capture_output=True, text=True, check=True
    )
    assert process.stdout.strip() == "False"


def test_a_range_of_one_pair_of_seeds_is_shown_once():
    scale = panels.Scale("κ", -1.0, 1.0, "–", "")
    assert panels.detail_text(grids.Cell(value=0.5, lower=0.5, upper=0.5), scale) == ""
    assert panels.detail_text(grids.Cell(value=0.5, lower=0.4, upper=0.6), scale) == ".40–.60"
