"""Parts of the further analyses: what they say and draw is what the rows say."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D

from tests.xray.report.reading import answers, cell
from xray.analyses.shown import drawing_of, write_figure
from xray.errors import AnalysisError
from xray.report import decision_curves, figures, grids, published, scatter, spots
from xray.report.layout import empty
from xray.report.page import Drawing, render
from xray.report.parts import accuracy, agreement, operating
from xray.report.parts.part import largest, smallest
from xray.report.style import CATEGORIES, GREY
from xray.report.text import frame_table

SITES = ("beta", "alpha")


def cells(**values) -> pd.DataFrame:
    """A row for each (trained on, tested on) of Mass."""
    rows = [
        {
            "task": "Mass",
            "trained_on": a,
            "test_dataset": b,
            "n": 100,
            "n_pos": 40,
            "lower": 0.1,
            "upper": 0.9,
            "reason": None,
        }
        | {name: value(a, b) if callable(value) else value for name, value in values.items()}
        for a in SITES
        for b in SITES
    ]
    return pd.DataFrame(rows)


def boxes(figure) -> list[tuple[str, object]]:
    """The texts of a figure outside its axes, and where they stand."""
    figure.draw_without_rendering()
    return [(artist.get_text(), artist.get_window_extent()) for artist in figure.texts]


def test_few_negatives_are_grey_too():
    assert grids.Cell(value=0.9, n=100, n_pos=91).few
    assert grids.Cell(value=0.9, n=100, n_pos=9).few
    assert not grids.Cell(value=0.9, n=100, n_pos=90).few
    grid = grids.value_grid(cells(value=0.5, n_pos=95), "value", "a test")
    figure = figures.sensitivity_grid(grid)
    assert cell(figure, "Mass", "beta", "alpha").fills == [GREY]


def test_a_grid_names_the_columns_that_its_frame_lacks():
    with pytest.raises(AnalysisError, match="a test: the frame lacks the columns value"):
        grids.value_grid(cells(), "value", "a test")
    with pytest.raises(AnalysisError, match="two rows for Mass, trained on beta"):
        grids.value_grid(pd.concat([cells(value=1), cells(value=1)]), "value", "a test")


def test_transfer_names_the_mean_and_the_worst_away_from_home():
    change = {("beta", "alpha"): -0.3, ("alpha", "beta"): -0.1}
    rows = pd.concat(
        [
            cells(
                measure=measure, difference=lambda a, b: change.get((a, b), 0.0), at_target=0.9, at_home=0.8,
                lower=-0.4, upper=0.1,
            )
            for measure in ("accuracy", "sensitivity")
        ]
    )  # fmt: skip
    part = operating.threshold_transfer(rows)
    assert part.findings[0] == (
        "Accuracy: −0.200 on average over 2 cells away from home; worst −0.300 (−0.400 to 0.100) for Mass, trained on beta, "
        "tested on alpha."
    )
    assert "Change in accuracy" in part.text
    assert part.short_table["change"].tolist()[0] == "−0.300 (−0.400 to 0.100)"


def test_the_pairs_with_the_largest_contrast_are_shown():
    auc = [0.95, 0.9, 0.7, 0.6]
    kappa = [0.1, 0.5, 0.4, 0.8]
    rows = pd.DataFrame(
        {
            "task": "Mass", "test_dataset": "alpha", "reference": "alpha", "trained_on": list("abcd"), "n": 100,
            "n_pos": 40, "auc": auc, "auc_reference": 0.97, "kappa": kappa, "sd": 0.1, "bias": 0.0,
            "lower_limit": -0.2, "upper_limit": 0.2,
        }
    )  # fmt: skip
    pairs = agreement.contrasting_pairs(rows)
    assert [row["trained_on"] for row in pairs.values()] == ["a", "d"]
    assert agreement.contrasting_pairs(rows.assign(n_pos=95)) == {}
    assert "AUC 0.95" in agreement.bland_altman(rows).findings[0]


def test_bland_altman_plots_show_the_counts_and_fit_the_page():
    rng = np.random.default_rng(0)
    n = 6000
    first, second = rng.random(n), rng.random(n)
    labels = (rng.random(n) < 0.01).astype(float)
    limits = (0.0, -0.01, 0.01), (-0.8, -0.81, -0.79), (0.8, 0.79, 0.81)
    pair = scatter.Pair("Pair", "Mass", "alpha", ("a", "b"), (0.9, 0.8), 0.5, first, second, labels, *limits)
    figure = figures.bland_altman([pair, pair])
    dots = {
        line.get_gid(): len(line.get_xdata())
        for line in figure.axes[0].lines
        if str(line.get_gid()).startswith("Pair|")
    }
    assert sum(dots.values()) == scatter.MOST
    assert dots["Pair|positive"] == labels.sum()
    texts = boxes(figure)
    disagree = int(((first >= 0.5) != (second >= 0.5)).sum())
    assert f"they disagree ({disagree:,})" in [text for text, _ in texts]
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 * 1.001 for _, box in texts)


def test_labels_of_close_limits_of_agreement_do_not_overlap():
    scores, labels = np.linspace(0, 1, 50), np.repeat([0.0, 1.0], 25)
    limits = (0.0, -0.01, 0.01), (-0.002, -0.01, 0.01), (0.001, -0.01, 0.01)
    pair = scatter.Pair(
        "Pair", "Mass", "alpha", ("a", "b"), (0.9, 0.8), 0.5, scores, scores[::-1], labels, *limits
    )
    figure = figures.bland_altman([pair])
    figure.draw_without_rendering()
    low, middle, high = [
        text.get_window_extent() for text in figure.axes[0].texts if text.get_gid() == "limit"
    ]
    assert low.y1 <= middle.y0
    assert middle.y1 <= high.y0
    lines = spots.of(figure)[0].lines
    assert lines[0] == "Mass, tested on alpha: a minus b"
    assert lines[1:] == (
        "bias 0.000 (−0.010 to 0.010)", "lower limit −0.002 (−0.010 to 0.010)", "upper limit 0.001 (−0.010 to 0.010)",
        "50 images, 25 positive",
    )  # fmt: skip
    for axes in figure.axes:
        panel = axes.get_window_extent()
        labels = [text.get_window_extent() for text in axes.texts if text.get_gid() == "limit"]
        assert all(label.x0 > panel.x1 and label.x1 < figure.bbox.x1 for label in labels), (
            "beside the dots, not on them"
        )
        others = [other.get_window_extent() for other in figure.axes if other is not axes]
        assert not any(label.overlaps(other) for label in labels for other in others)


def test_an_empty_figure_writes_no_file(tmp_path):
    part = agreement.seed_agreement(cells(kappa=0.5, seed_a=0, seed_b=1))
    assert drawing_of(part, tmp_path / "some").svg
    nothing = replace(part, draw=empty)
    assert drawing_of(nothing, tmp_path / "none").svg is None
    assert write_figure(nothing, tmp_path / "none") == []
    assert not (tmp_path / "none").exists()


def test_reliability_has_a_coloured_curve_for_each_own_model():
    bins = {"bin_predicted": [[0.1, 0.5]] * 4, "bin_observed": [[0.2, 0.4]] * 4}
    rows = cells(ece=0.1).assign(**bins, bin_lower=[[0.1, 0.3]] * 4, bin_upper=[[0.3, 0.5]] * 4)
    figure = figures.reliability(rows)
    (axes,) = figure.axes
    colours = [to_hex(line.get_color()) for line in axes.lines if isinstance(line, Line2D)]
    assert GREY not in colours
    assert [line.get_gid() for line in axes.lines if str(line.get_gid()).startswith("other")] == [
        "other|beta|alpha",
        "other|alpha|beta",
    ]
    assert sorted(text.get_text() for text in axes.texts) == ["1", "2"]
    names = [text.get_text() for text in figure.texts]
    assert {"1 beta", "2 alpha"} <= set(names), "a number beside a curve is a name in the key"
    assert CATEGORIES[0].lower() in colours
    assert CATEGORIES[1].lower() in colours
    assert [text.get_text() for text in figures.reliability(rows.assign(n_pos=3)).texts] == ["no results"]


def decided() -> pd.DataFrame:
    """Net benefits of Mass at three thresholds, prevalence 0.4: own models worth it everywhere, the others not at first."""
    measured = {
        0.05: (0.38, 0.38, 0.368),
        0.2: (0.33, 0.24, 0.25),
        0.5: (0.25, 0.1, -0.2),
    }
    decisions_made = []
    for threshold, (own, other, everyone) in measured.items():
        value = lambda a, b, own=own, other=other: own if a == b else other  # noqa: E731
        rows = cells(threshold=threshold, net_benefit=value, treat_all=everyone)
        rows["difference"] = rows["net_benefit"] - everyone
        for name in ("net_benefit", "difference"):
            prefix = "" if name == "net_benefit" else "difference_"
            rows[f"{prefix}lower"], rows[f"{prefix}upper"] = rows[name] - 0.008, rows[name] + 0.008
        decisions_made.append(rows)
    return pd.concat(decisions_made, ignore_index=True)


def test_net_benefit_names_the_thresholds_at_which_calls_are_worth_it():
    part = operating.net_benefit(decided())
    assert part.findings == [
        "By the test dataset's own model, acting on the calls is worth more than treating all and treating none at some "
        "threshold in 2 of 2 cells (in the median of these from 0.05 to 0.5), and worse than doing without at some in 0.",
        "By other models, acting on the calls is worth more than treating all and treating none at some threshold in 2 of 2 "
        "cells (in the median of these from 0.05 to 0.5), and worse than doing without at some in 2.",
        "Worth it, by finding: Mass 2 of 2 own models (0.05 to 0.5), 2 of 2 other models (0.05 to 0.5).",
    ]
    worth = dict(zip(part.short_table["trained on"], part.short_table["worth it at"], strict=True))
    assert worth == {"beta": "0.05, 0.5", "alpha": "0.05, 0.5"}
    assert set(part.short_table["worse than doing without at"]) == {"0.2"}
    assert part.short_table["loss"].tolist() == pytest.approx([0.15, 0.15])
    assert set(part.short_table["at"]) == {0.5}
    assert "0.05 to 0.5" in part.text
    few = operating.net_benefit(decided().assign(n_pos=5))
    assert few.findings == ["No cell has 10 positives and 10 negatives."]
    below = decided()
    below.loc[below["trained_on"] == "beta", ["net_benefit", "lower", "upper"]] = (-0.3, -0.4, -0.2)
    findings = operating.net_benefit(below).findings
    assert "in 1 of 2 cells" in findings[0]
    assert "Mass 1 of 2 own models (0.05 to 0.5), 1 of 2 other models (0.05 to 0.5)" in findings[2]
    assert findings[-1] == (
        "Lowest net benefit: −0.300 per image for Mass, trained on beta, tested on beta, at 0.05, where treating none has 0."
    )


def test_a_cell_without_an_interval_is_neither_worth_it_nor_worse():
    rows = decided()
    rows = rows.assign(lower=None, upper=None, difference_lower=None, difference_upper=None)
    assert (
        "in 0 of 2 cells, and worse than doing without at some in 0."
        in operating.net_benefit(rows).findings[0]
    )


def test_decision_curves_name_the_model_that_loses_most():
    rows = decided()
    figure = figures.decisions(rows)
    assert [axes.get_label() for axes in figure.axes] == ["Mass|alpha", "Mass|beta"]
    lines = {line.get_gid(): line for axes in figure.axes for line in axes.lines if line.get_gid()}
    assert set(lines) == {f"Mass|{b}|{a}" for b in SITES for a in (*SITES, "all")}
    assert list(lines["Mass|alpha|alpha"].get_ydata()) == [0.38, 0.33, 0.25]
    assert to_hex(lines["Mass|alpha|alpha"].get_color()) == CATEGORIES[0]
    assert to_hex(lines["Mass|alpha|beta"].get_color()) == CATEGORIES[1]
    assert list(lines["Mass|alpha|all"].get_ydata()) == [0.368, 0.25, -0.2]
    assert [{text.get_text() for text in axes.texts} for axes in figure.axes] == [
        {"own model", "treat all", "treat none", loser} for loser in ("beta", "alpha")
    ]
    texts = boxes(figure)
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 for _, box in texts)
    long = rows.assign(task="Enlarged_Cardiomediastinum").replace("beta", "a-dataset-with-a-long-name")
    figure = figures.decisions(long)
    figure.draw_without_rendering()
    titles = [axes.title.get_window_extent() for axes in figure.axes]
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1 for box in titles)
    assert [text.get_text() for text in figures.decisions(rows.assign(n_pos=3)).texts] == ["no results"]
    bought = rows.replace({"trained_on": {"alpha": "theirs", "beta": "others"}})
    titles = [part.caption.title for part in map(operating.net_benefit, (rows, bought)) if part.caption]
    assert ["away from home" in title for title in titles] == [True, False]
    alone = figures.decisions(bought)
    assert [axes.get_label() for axes in alone.axes] == ["Mass|beta", "Mass|alpha"]


def test_every_line_of_a_decision_curve_has_its_name_at_its_end():
    """Lines that end together have their names below each other, in the order of their ends."""
    rows = decided()
    third = rows[rows["trained_on"] == "beta"].assign(
        trained_on="gamma", net_benefit=rows["net_benefit"] + 0.001
    )
    own = rows[rows["trained_on"] == rows["test_dataset"]].assign(trained_on="gamma", test_dataset="gamma")
    figure = figures.decisions(pd.concat([rows, third, own], ignore_index=True))
    first = figure.axes[0]
    assert first.get_label() == "Mass|alpha"
    names = {text.get_text(): text for text in first.texts}
    assert set(names) == {"own model", "beta", "gamma", "treat all", "treat none"}
    curves = {line.get_gid(): line for line in first.lines if line.get_gid()}
    assert len(curves) == 4, "the models' and that of treating all"
    assert names["gamma"].get_color() != names["beta"].get_color()
    figure.draw_without_rendering()
    boxes = sorted((text.get_window_extent() for text in first.texts), key=lambda box: box.y0)
    assert all(a.y1 <= b.y0 + 0.35 * (b.y1 - b.y0) for a, b in itertools.pairwise(boxes))
    ends = {
        text: float(curves[f"Mass|alpha|{model}"].get_ydata()[-1])
        for text, model in (("own model", "alpha"), ("beta", "beta"), ("gamma", "gamma"))
    }
    assert sorted(ends, key=ends.__getitem__) == sorted(ends, key=lambda text: names[text].get_position()[1])


def test_names_move_apart_only_as_far_as_needed():
    assert decision_curves.apart([0.1, 0.5, 0.9], 0.2, 1.0) == [0.1, 0.5, 0.9]
    assert decision_curves.apart([0.0, 0.0, 0.9], 0.2, 1.0) == [0.0, 0.2, 0.9]
    assert decision_curves.apart([0.9, 1.0, 1.0], 0.2, 1.0) == pytest.approx([0.6, 0.8, 1.0])


def test_forests_have_a_dot_for_each_row():
    rows = cells(auc=lambda a, b: 0.8 if a == b else 0.7, reference=lambda a, b: b)
    figure = figures.forest(rows)
    dots = [line for axes in figure.axes for line in axes.lines if line.get_gid()]
    assert len(dots) == 4
    assert sorted({float(line.get_xdata()[0]) for line in dots}) == [0.7, 0.8]
    groups = pd.concat([cells(auc=0.8, grouping="sex", subgroup=s) for s in "FM"])
    assert len([x for axes in figures.subgroup_forest(groups).axes for x in axes.lines if x.get_gid()]) == 4


def test_the_interval_of_a_forest_is_not_hidden_behind_its_dot():
    rows = cells(auc=0.9, lower=0.899, upper=0.901, reference=lambda a, b: b)
    (first, *_) = figures.forest(rows).axes
    bars = [line for line in first.lines if not line.get_gid() and list(line.get_xdata()) == [0.899, 0.901]]
    dots = [line for line in first.lines if line.get_gid()]
    assert len(bars) == len(dots) == 2
    assert min(bar.get_linewidth() for bar in bars) > 2 * max(dot.get_markersize() for dot in dots)
    assert first.get_xlim()[0] > 0.8, "the axis begins near the values"
    assert figures.forest(rows.assign(auc=0.52, lower=0.5, upper=0.54)).axes[0].get_xlim()[0] < 0.5


def test_subgroups_begin_with_the_widest_gap():
    rows = [
        cells(
            auc=lambda a, b, up=up: 0.7 + up * (0.2 if a == "alpha" else 0.1), grouping="sex", subgroup=group
        )
        for group, up in (("F", 0), ("M", 1))
    ]
    titles = [axes.get_title(loc="right") for axes in figures.subgroup_forest(pd.concat(rows)).axes]
    assert titles == ["Mass, alpha", "Mass, beta"]


def test_the_tau_of_a_pair_without_a_threshold_is_not_hatched():
    rows = pd.DataFrame(
        {
            "task": "Mass", "trained_on_a": "alpha", "trained_on_b": "beta", "rule": rule, "n": n, "n_pos": n_pos,
            "kappa": kappa, "lower": None, "upper": None, "tau": -0.53, "reason": "no threshold",
        }
        for rule, n, n_pos, kappa in (("target", 0, 0, None), ("own", 2449, 957, -0.49))
    )  # fmt: skip
    for frame, counts in ((rows, ["2,449 images, 957 positive"]), (rows.iloc[:1], [])):
        figure = agreement.pooled_agreement(frame).draw()
        mark = cell(figure, "Mass", "beta", "alpha")
        assert (mark.lines, mark.hatched) == (["−.53"], False)
        (lines,) = [spot.lines for spot in spots.of(figure) if "−0.530" in spot.lines[1]]
        assert [line for line in lines if "images" in line] == counts


def test_published_values_are_included_in_the_parts():
    values = published.read(published.FILE, published.TRANSFER)
    assert {"nih", "padchest", "chexpert"} <= set(values["trained_on"])
    assert values["value"].min() < -0.25  # "up to 30 %"
    pairs = published.read(published.FILE, published.POOLED_KAPPA)
    same = pairs[pairs["trained_on"] == pairs["test_dataset"]]["value"]
    assert (same > 0.99).all()
    both = pairs.merge(
        pairs, left_on=["task", "trained_on", "test_dataset"], right_on=["task", "test_dataset", "trained_on"]
    )
    assert (both["value_x"] - both["value_y"]).abs().max() < 0.02  # symmetric, within the reading's tolerance


def test_the_page_names_figures_that_are_too_large_for_it(study_page):
    part = agreement.seed_agreement(cells(kappa=0.5, seed_a=0, seed_b=1))
    small = render(**study_page, parts=[Drawing(part, b"<svg/>", 3.0)])
    assert "Do two trainings of one configuration agree?" in small
    assert "median κ of 0.50" in small
    assert small.count("data:image/svg+xml") == 1
    large = render(**study_page, parts=[Drawing(part, b" " * 1_000_000, 3.0)])
    assert "data:image" not in large
    assert "seed_agreement.svg" in large
    assert len(large) < 100_000


@pytest.fixture
def study_page():
    from xray.report.answer import answer
    from xray.report.page import Study

    first = answer(pd.DataFrame(), pd.DataFrame())
    about = Study("s", "Why?", "corrected", "n", ["a"], [0], pd.DataFrame(), {})
    return {"title": "T", "answer": first, "study": about, "notes": [], "commands": []}


def test_a_frame_is_printed_as_text():
    text = frame_table(pd.DataFrame({"a_b": ["x", "yy"], "c": [0.12345, np.nan], "n": [1, 20]}))
    assert text.splitlines() == ["a b      c   n", "---  -----  --", "x    0.123   1", "yy       -  20"]
    assert frame_table(pd.DataFrame()) == "no results"


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_parts_are_made_of_frames_without_defined_values(missing):
    """A column of nothing but NULLs comes as objects, by which pandas can't choose the smallest."""
    undefined = pd.Series([missing] * 4, dtype=object)
    subgroup = cells(
        auc=undefined[0], auc_rest=None, difference=undefined[0], grouping="sex", subgroup="F", is_worst=True
    )
    subgroup = subgroup.assign(p_holm=np.nan, q=np.nan, difference=undefined)
    assert len(accuracy.subgroups(subgroup).short_table) == 0
    transfer = cells(measure="accuracy", at_target=None, at_home=None).assign(difference=undefined)
    assert len(operating.threshold_transfer(transfer).short_table) == 0
    for choose in (smallest, largest):
        assert list(choose(subgroup, "difference").index) == []
        assert list(
            choose(
                subgroup.assign(difference=pd.Series([2, None, 1, 3], dtype=object)), "difference", 2
            ).index
        ) == ([2, 0] if choose is smallest else [3, 0])


def test_points_of_curves_and_bars_respond_where_they_are_drawn(left_out):
    bins = {"bin_predicted": [[0.1, 0.5]] * 4, "bin_observed": [[0.2, 0.4]] * 4}
    rows = cells(ece=0.1, method="by hand").assign(
        **bins, bin_lower=[[0.1, 0.3]] * 4, bin_upper=[[0.3, 0.5]] * 4
    )
    curves = figures.reliability(rows)
    (axes,) = curves.axes
    text = (
        "Mass: trained on alpha, tested on beta | predicted 0.500, observed 0.400 (0.300 to 0.500)"
        " | all bins: 100 images, 40 positive; expected calibration error 0.100 | by hand"
    )
    assert answers(curves)[text] == pytest.approx(axes.transData.transform((0.5, 0.4)))
    decisions = figures.decisions(decided())
    first = decisions.axes[0]
    dataset = first.get_label().partition("|")[2]
    points = [
        text for text in answers(decisions) if f"tested on {dataset} | at a threshold of 0.2: net benefit 0.24" in text
    ]  # fmt: skip
    assert answers(decisions)[points[0]] == pytest.approx(first.transData.transform((0.2, 0.24)))
    bars = figures.leave_one_site_out(left_out)
    (text,) = [
        text for text in answers(bars) if text.startswith("own data only, tested on beta_a | mean AUC over tasks 0.850")
    ]  # fmt: skip
    assert "seeds: 0.800, 0.900" in text
    assert len(answers(bars)) == 6


def test_lines_of_a_forest_respond_beside_their_dots():
    rows = cells(auc=lambda a, b: 0.8 if a == b else 0.7, lower=0.65, upper=0.85, reference=lambda a, b: b)
    figure = figures.forest(rows)
    (axes, *_) = figure.axes
    index = answers(figure)[
        "alpha tested on beta | mean AUC 0.700 (0.650 to 0.850) | 100 images, 40 positive"
    ]
    (dot,) = [line for line in axes.lines if line.get_gid() == "tested on beta|alpha"]
    assert index[1] == pytest.approx(axes.transData.transform((0.7, dot.get_ydata()[0]))[1])
