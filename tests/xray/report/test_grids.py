import numpy as np
import pandas as pd
import pytest

from xray.errors import AnalysisError
from xray.report.grids import Cell, auc_grid, kappa_grid


def test_tasks_datasets_and_training_sets_have_their_order(performance: pd.DataFrame) -> None:
    grid = auc_grid(performance)
    assert grid.tasks == ("Atelectasis", "Mass")  # of xray.tasks, not of the frame
    assert grid.columns == ("beta", "alpha")  # as seen
    assert grid.rows == ("beta", "alpha", "all")  # datasets first, in the columns' order


def test_few_positives_are_fewer_than_ten() -> None:
    assert [Cell(value=0.5, n_pos=n_pos).few for n_pos in (None, 0, 9, 10)] == [False, True, True, False]


def test_unknown_tasks_come_last(performance: pd.DataFrame) -> None:
    performance["task"] = performance["task"].replace("Atelectasis", "Bones")
    assert auc_grid(performance).tasks == ("Mass", "Bones")


def test_a_cell_shows_its_ensemble_row(performance: pd.DataFrame) -> None:
    rows = performance[performance["seed"].isna()]
    cells = auc_grid(performance).cells
    assert len(cells) == len(rows) == 12
    for row in rows.itertuples():
        cell = cells[(row.task, row.trained_on, row.test_dataset)]
        assert (cell.value is None) == np.isnan(row.auc)
        if cell.value is not None:
            assert (cell.value, cell.lower, cell.upper) == (row.auc, row.lower, row.upper)
        assert (cell.n, cell.n_pos, cell.reason) == (row.n, row.n_pos, row.reason or None)
        assert cell.few == (row.n_pos < 10)
        assert cell.own == (row.trained_on == row.test_dataset)


def test_several_seeds_without_an_ensemble_have_no_value(performance: pd.DataFrame) -> None:
    alone = auc_grid(performance[performance["seed"] == 1]).cell("Mass", "all", "beta")
    picked = performance.query(
        "task == 'Mass' and trained_on == 'all' and test_dataset == 'beta' and seed == 1"
    )
    assert alone.value == picked["auc"].item()
    several = auc_grid(performance[performance["seed"].notna()]).cell("Mass", "all", "beta")
    assert several.value is None
    assert several.reason == "2 seeds, no ensemble"


def test_doubled_rows_and_missing_columns_are_refused(
    performance: pd.DataFrame, agreement: pd.DataFrame
) -> None:
    with pytest.raises(AnalysisError, match="two rows for Mass, trained on all, tested on beta"):
        auc_grid(pd.concat([performance, performance.iloc[:1]]))
    with pytest.raises(AnalysisError, match="two rows for Mass"):
        kappa_grid(pd.concat([agreement, agreement.iloc[:1]]))
    with pytest.raises(AnalysisError, match="lacks the columns lower, upper"):
        auc_grid(performance.drop(columns=["upper", "lower"]))


@pytest.mark.parametrize("columns", [[], ["task", "auc"]])
def test_an_empty_frame_makes_no_cells(columns: list[str]) -> None:
    assert auc_grid(pd.DataFrame(columns=columns)).cells == {}
    assert kappa_grid(pd.DataFrame(columns=columns)).cells == {}


def test_agreement_names_a_reference_that_is_not_the_dataset(agreement: pd.DataFrame) -> None:
    agreement.loc[agreement["test_dataset"] == "alpha", "reference"] = "beta"
    grid = kappa_grid(agreement)
    assert grid.columns == ("beta", "alpha (vs beta)")
    assert grid.cell("Mass", "beta", "alpha (vs beta)").own
    assert not grid.cell("Mass", "alpha", "alpha (vs beta)").own


def test_published_values_are_shown_beside_computed_ones(performance: pd.DataFrame) -> None:
    published = pd.DataFrame([{"trained_on": "all", "test_dataset": "beta", "task": "Mass", "value": 0.77}])
    grid = auc_grid(performance, published)
    assert grid.cell("Mass", "all", "beta").published == 0.77
    assert grid.cell("Mass", "all", "alpha").published is None
