"""The order of a figure's panels, and which become one."""

from dataclasses import replace

import pytest

from xray.report import ranking, tables
from xray.report.grids import Cell, Grid
from xray.report.text import grid_table

HERE = ("a", "b")


def grid(**values: float) -> Grid:
    """A finding for each argument: 0.95 at home, the value from a to b, 0.9 back."""
    cells = {}
    for task, value in values.items():
        for row in HERE:
            for column in HERE:
                v = 0.95 if row == column else value if row == "a" else 0.9
                cells[task, row, column] = Cell(
                    v, v - 0.04, min(1.0, v + 0.04), n=500, n_pos=100, own=row == column
                )
    return Grid(tuple(values), HERE, HERE, cells)


def test_failing_findings_come_first_and_the_rest_share_a_panel():
    ranked = ranking.ranked(grid(One=0.93, Two=0.91, Low=0.55, Lost=0.8), ranking.AUC)
    assert ranked.tasks == ("Low", "Lost", "lowest of 2 others")
    assert ranked.cell("lowest of 2 others", "a", "b").value == 0.91
    assert ranked.cell("Low", "a", "b").value == 0.55
    text = ranking.note(grid(One=0.93, Two=0.91, Low=0.55, Lost=0.8), ranking.AUC)
    assert "2 others (One, Two)" in text
    assert "below 0.70 or by 0.10 below home" in text


@pytest.mark.parametrize("values", [{"One": 0.93, "Low": 0.5}, {"One": 0.93, "Two": 0.92}, {"Low": 0.5}, {}])
def test_panels_are_not_merged_if_that_hides_nothing(values):
    ranked = ranking.ranked(grid(**values), ranking.AUC)
    assert set(ranked.tasks) == set(values)
    assert ranked.cells == grid(**values).cells


def test_a_finding_without_any_value_has_no_panel():
    """A bought model knows few of what a hospital labels: thirteen empty panels hid the one that matters."""
    some = grid(Low=0.5, Unknown=0.9)
    cells = {
        key: Cell(reason="not trained") if key[0] == "Unknown" else cell for key, cell in some.cells.items()
    }
    changed_grid = replace(some, cells=cells)
    assert ranking.ranked(changed_grid, ranking.AUC).tasks == ("Low",)
    assert "1 task without a value anywhere has no panel" in ranking.note(changed_grid, ranking.AUC)
    text = grid_table(changed_grid, "AUC")
    assert "Low" in text
    assert "Unknown" not in text
    assert "not trained" not in text
    assert [table.caption for table in tables.performance(changed_grid)] == ["Low: AUC, 95% interval"]
    none = {key: Cell(reason="not trained") for key in cells}
    assert ranking.ranked(replace(some, cells=none), ranking.AUC).tasks == ("Low", "Unknown")


def test_a_loss_against_home_or_a_wide_interval_keeps_its_panel():
    assert "Lost" in ranking.ranked(grid(Lost=0.84, One=0.9, Two=0.9), ranking.AUC).tasks
    wide = grid(Wide=0.9, One=0.9, Two=0.9)
    cells = dict(wide.cells)
    cells["Wide", "a", "b"] = replace(cells["Wide", "a", "b"], lower=0.6)
    assert "Wide" in ranking.ranked(replace(wide, cells=cells), ranking.AUC).tasks


def test_few_positives_alone_do_not_change_the_order():
    some = grid(Few=0.1, One=0.9, Two=0.9, Low=0.5)
    cells = {key: replace(cell, n_pos=3) if key[0] == "Few" else cell for key, cell in some.cells.items()}
    assert ranking.ranked(replace(some, cells=cells), ranking.AUC).tasks == (
        "Low", "Few", "lowest of 2 others",
    )  # fmt: skip


def test_with_published_values_every_panel_is_shown():
    some = grid(One=0.9, Two=0.9, Low=0.5)
    cells = {key: replace(cell, published=0.9) for key, cell in some.cells.items()}
    assert set(ranking.ranked(replace(some, cells=cells), ranking.AUC).tasks) == {"One", "Two", "Low"}
