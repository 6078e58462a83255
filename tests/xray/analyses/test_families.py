"""p values that are adjusted together: which rows are a family, and rows without what is adjusted."""

import pytest
from statsmodels.stats.multitest import multipletests

from xray.analyses.families import Family
from xray.stats.multiplicity import benjamini_hochberg, holm

P = [0.01, 0.2, None, 0.03, 0.04]


def rows():
    return [{"p": p, "group": "ab"[k % 2], "p_holm": None, "q": None} for k, p in enumerate(P)]


def test_all_rows_with_a_p_are_one_family():
    adjusted = rows()
    Family({"p_holm": holm, "q": benjamini_hochberg}).fill(adjusted)
    of = [p for p in P if p is not None]
    for column, method in (("p_holm", "holm"), ("q", "fdr_bh")):
        expected = multipletests(of, method=method)[1]
        assert [row[column] for row in adjusted if row["p"] is not None] == pytest.approx(list(expected))
    assert (adjusted[2]["p_holm"], adjusted[2]["q"]) == (None, None)


def test_a_column_tells_families_apart():
    adjusted = rows()
    Family({"p_holm": holm}, by="group").fill(adjusted)
    assert [row["p_holm"] for row in adjusted] == pytest.approx([0.02, 0.2, None, 0.06, 0.04])


def test_a_row_without_what_is_adjusted_keeps_the_rest():
    row = {"p": 0.01, "p_holm": 0.02, "q": 0.03, "auc": 0.8}
    assert Family({"p_holm": holm, "q": benjamini_hochberg}).blank(row) == {
        "p": 0.01,
        "p_holm": None,
        "q": None,
        "auc": 0.8,
    }
    assert row["q"] == 0.03
