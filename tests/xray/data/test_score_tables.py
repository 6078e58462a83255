"""A table with a row per finding becomes one with a row per image."""

import numpy as np
import pandas as pd
import pytest

from xray.data.score_tables import widened


def long_table(seed: int) -> pd.DataFrame:
    """Rows in any order, some of them twice, some cells without a row, some scores empty."""
    random = np.random.default_rng(seed)
    cells = [(f"i{image}", finding) for image in range(30) for finding in ("Mass", "Effusion", "Edema")]
    usable = random.permutation(len(cells))[:70]
    rows = pd.DataFrame([cells[k] for k in usable], columns=["image", "finding"])
    rows["score"] = pd.Series(
        np.where(random.random(70) < 0.1, "", random.random(70).astype(str)), dtype="str"
    )
    return pd.concat([rows, rows.iloc[random.permutation(70)[:10]]], ignore_index=True)


@pytest.mark.parametrize("seed", range(5))
def test_every_score_is_in_its_cell(seed):
    rows = long_table(seed)
    lines = np.arange(2, len(rows) + 2)
    wide, first_lines, wrong = widened(rows, lines, "image", "finding", "score")
    pivoted = rows.drop_duplicates().pivot(index="image", columns="finding", values="score")
    assert not wrong
    assert list(wide["image"]) == list(dict.fromkeys(rows["image"]))
    assert list(wide.columns) == ["image", *pivoted.columns]
    pd.testing.assert_frame_equal(
        wide.set_index("image"), pivoted.loc[wide["image"]], check_names=False, check_dtype=False
    )
    assert [rows["image"][line - 2] for line in first_lines] == list(wide["image"])
    assert all((rows["image"][: line - 2] != rows["image"][line - 2]).all() for line in first_lines)


@pytest.mark.parametrize("scores", [["0.1", "0.2", "0.3"], ["0.1", "", "0.1"], [0.1, np.nan, 0.1]])
def test_several_scores_of_a_cell_are_counted_once(scores):
    rows = pd.DataFrame(
        {"image": ["a", "b", "a", "a"], "finding": ["Mass"] * 4, "score": [scores[0], "0.5", *scores[1:]]}
    )
    _, _, wrong = widened(rows, np.arange(2, 6), "image", "finding", "score")
    assert wrong == ["1 finding(s) of an image stand with several scores: Mass of 'a'"]


def test_a_score_missing_twice_counts_once():
    rows = pd.DataFrame({"image": ["a", "a"], "finding": ["Mass", "Mass"], "score": [np.nan, np.nan]})
    wide, _, wrong = widened(rows, np.array([2, 3]), "image", "finding", "score")
    assert not wrong
    assert wide["Mass"].isna().tolist() == [True]
