import numpy as np
import pandas as pd
import pytest

from xray.report import tables
from xray.report.grids import auc_grid, kappa_grid


def test_performance_holds_the_numbers_of_the_frame(performance: pd.DataFrame) -> None:
    by_key = {table.caption.split(":")[0]: table for table in tables.performance(auc_grid(performance))}
    assert list(by_key) == ["Atelectasis", "Mass"]
    for row in performance[performance["seed"].isna()].itertuples():
        table = by_key[row.task]
        column = [entry.text for entry in table.columns].index(row.test_dataset)
        entry = dict(table.rows)[row.trained_on][column]
        if np.isnan(row.auc):
            assert (entry.text, entry.detail, entry.kind) == ("–", ("not trained",), "undefined")
        else:
            assert entry.text == f"{row.auc:.3f}"
            assert entry.detail == (f"{row.lower:.3f} to {row.upper:.3f}",)
            assert ("few" in entry.kind.split()) == (row.n_pos < 10)
            assert ("own" in entry.kind.split()) == (row.trained_on == row.test_dataset)


def test_shared_counts_are_in_the_heading(performance: pd.DataFrame) -> None:
    _, mass = tables.performance(auc_grid(performance))
    assert [column.detail for column in mass.columns] == [
        ("n = 8,000, 1,100 positive",),
        ("n = 8,000, 9 positive (few)",),
    ]
    one = (performance["task"] == "Mass") & (performance["trained_on"] == "all")
    performance.loc[one & (performance["test_dataset"] == "beta"), "n"] = 7000
    _, mass = tables.performance(auc_grid(performance))
    assert mass.columns[0].detail == ()
    assert dict(mass.rows)["all"][0].detail[-1] == "n = 7,000, 1,100 positive"


def test_missing_rows_and_undefined_intervals_are_shown_with_their_reason(performance: pd.DataFrame) -> None:
    performance.loc[performance["trained_on"] == "all", ["lower", "upper"]] = np.nan
    performance.loc[performance["trained_on"] == "all", "reason"] = "fewer than two positives"
    performance = performance[(performance["trained_on"] != "alpha") | (performance["task"] != "Mass")]
    _, mass = tables.performance(auc_grid(performance))
    assert dict(mass.rows)["alpha"][0] == tables.Entry("–", ("not evaluated",), "undefined")
    entry = dict(mass.rows)["all"][0]
    assert float(entry.text) > 0.5
    assert entry.detail == ("fewer than two positives",)


def test_the_table_of_agreement_shows_pabak(agreement: pd.DataFrame) -> None:
    atelectasis, mass = tables.agreement(kappa_grid(agreement))
    assert dict(mass.rows)["all"][0] == tables.Entry(
        "−0.250", ("−0.350 to −0.150", "PABAK 0.625"), images=("all", "beta", "Mass")
    )
    assert dict(atelectasis.rows)["beta"][0].kind == "own"


def test_the_table_of_leave_one_site_out_has_a_row_per_arm(left_out: pd.DataFrame) -> None:
    table = tables.leave_one_site_out(left_out)
    assert [head for head, _ in table.rows] == ["beta_a", "alpha_a"]
    spread = np.std([0.8, 0.9], ddof=1)
    assert [entry.text for entry in table.rows[0][1][:3]] == ["beta", "8", f"0.850 ± {spread:.3f}"]
    one_seed = tables.leave_one_site_out(left_out[left_out["seed"] == 0])
    assert one_seed.rows[0][1][2] == tables.Entry("0.800", ("1 seed",))
    no_arm = tables.leave_one_site_out(left_out[left_out["arm"] != "own"])
    assert no_arm.rows[0][1][2].kind == "undefined"


def test_the_table_of_comparisons_has_differences_and_p_values(comparison: pd.DataFrame) -> None:
    (table,) = tables.comparison(comparison)
    assert [head for head, _ in table.rows] == ["Edema", "Edema", "Nodule", "Mass", "Hernia"]
    rows = dict(table.rows)
    assert [entry.text for entry in rows["Hernia"]][2:] == ["0.700", "0.900", "−0.200", "0.001", "0.012"]
    assert rows["Mass"][-1].text == "< 0.001"
    assert table.rows[0][1][4] == tables.Entry("–", ("not trained",), "undefined")


@pytest.mark.parametrize("none", [None, np.nan])
def test_the_table_of_cohorts_has_images_and_positives_per_part(none: float | None) -> None:
    rows = [
        ("beta", "train", none, 2000, none),
        ("beta", "train", "Mass", 1500, 30),
        ("beta", "train", "Edema", 2000, 3),
        ("alpha", "train", none, 900, none),
        ("alpha", "train", "Edema", 0, 0),
        ("beta", "test", "Mass", 10, 10),
    ]
    train, test = tables.cohorts(pd.DataFrame(rows, columns=list(tables.COHORTS)))
    texts = {head: [entry.text for entry in entries] for head, entries in train.rows}
    assert texts == {"images": ["2,000", "900"], "Edema": ["3 of 2,000", "–"], "Mass": ["30 of 1,500", "–"]}
    assert dict(train.rows)["Edema"][0].kind == "few"
    assert [head for head, _ in test.rows] == ["Mass"]


def test_a_plain_table_shows_the_rows_of_its_frame() -> None:
    table = tables.plain(
        "of_the_site", pd.DataFrame({"site_name": ["a", None], "x": [0.12345, np.nan], "n": [1, 2]})
    )
    assert (table.caption, table.corner) == ("of the site", "site name")
    assert [(head, [entry.text for entry in entries]) for head, entries in table.rows] == [
        ("a", ["0.123", "1"]),
        ("–", ["–", "2"]),
    ]
    assert tables.plain("none", pd.DataFrame()).rows == ()
