import ast
import re
from pathlib import Path
from typing import Final

import pandas as pd
import pytest
from scipy.stats import norm

from xray.errors import AnalysisError
from xray.report import words
from xray.report.grids import auc_grid, kappa_grid
from xray.report.words import (
    agreement_findings,
    comparison_findings,
    detectable,
    interval,
    number,
    p_cell,
    p_value,
    performance_findings,
    short,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.8734, "0.873"),
        (-0.25, "−0.250"),
        (-0.0004, "0.000"),
        (1.0, "1.000"),
        (None, "–"),
        (0.9999, "1.000"),
    ],
)
def test_numbers_have_fixed_decimals_and_a_true_minus_sign(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.874, ".87"), (0.996, "1.00"), (-0.126, "−.13"), (0.0, ".00"), (-1.0, "−1.00")]
)
def test_numbers_below_one_lose_their_leading_zero(value: float, text: str) -> None:
    assert short(value) == text


def test_intervals_and_p_values_are_written_in_one_form() -> None:
    assert interval((-0.1, 0.25), 2) == "−0.10 to 0.25"
    assert interval(None) == ""
    values = (0.0004, 0.0123, 1.0, None, float("nan"))
    assert [p_value(p) for p in values] == ["p < 0.001", "p = 0.012", "p = 1.000", "", ""]
    assert [p_cell(p) for p in values] == ["< 0.001", "0.012", "1.000", "–", "–"]


def test_sentences_on_performance_give_counts_and_extremes(performance: pd.DataFrame) -> None:
    first, own, foreign, below = performance_findings(auc_grid(performance))
    assert first == "10 of 12 cells could be computed, 3 of them from fewer than 10 of a class."
    assert "(2 cells, from" in own  # Mass beta→beta, Atelectasis alpha→alpha; few positives do not count
    assert "(2 cells, from 0.200 to" in foreign
    assert below.endswith("Mass, trained on alpha, tested on beta, AUC 0.20 (0.10 to 0.30).")


def test_sentences_on_agreement_give_medians_and_counts(agreement: pd.DataFrame) -> None:
    medians, below = agreement_findings(kappa_grid(agreement))
    assert medians.endswith("Atelectasis 0.50, Mass −0.25.")
    assert below.count("Mass, trained on") == 4  # the models of the datasets themselves are not counted


def test_sentences_on_comparisons_give_differences_and_p_values(comparison: pd.DataFrame) -> None:
    sentence, untested = comparison_findings(comparison)
    assert sentence == (
        "Tested on beta, “own data only” against “all sites but this”: the first is higher in 1 of 3 tasks: "
        "Mass 0.800 (0.750 to 0.850, p < 0.001). The first is lower in 1 of 3 tasks: "
        "Hernia −0.200 (−0.300 to −0.100, p = 0.012). No difference was shown in 1 of 3 tasks, "
        "which does not show that there is none (smallest detectable difference at a power of 80%: 0.29). "
        "Not comparable: Edema (not trained)."
    )
    assert untested.endswith("against “all sites but this”: not comparable: Edema (not tested).")


def test_without_a_difference_the_sentence_gives_the_detectable_one() -> None:
    """2.80 × SE, which a two-sided test at 5% finds with a power of 80%."""
    se = 0.02
    size = detectable(-1.96 * se, 1.96 * se)
    assert size == pytest.approx(2.8 * se)
    power = norm.sf(norm.isf(0.025) - size / se) + norm.cdf(-norm.isf(0.025) - size / se)
    assert power == pytest.approx(0.8, abs=0.001)


def test_a_difference_of_the_wrong_sign_is_refused(comparison: pd.DataFrame) -> None:
    comparison.loc[0, "difference"] = -0.8
    with pytest.raises(AnalysisError, match=r"beta, Mass: difference -0.8 is not auc_a − auc_b"):
        comparison_findings(comparison)


def test_empty_frames_have_a_sentence_or_none() -> None:
    empty = pd.DataFrame()
    assert performance_findings(auc_grid(empty)) == ["There is no result yet."]
    assert agreement_findings(kappa_grid(empty)) == ["No agreement could be computed."]
    assert comparison_findings(empty) == []


P: Final = re.compile(r"p|q|p_(holm|adjusted|value)|.*_p")
"""Names of p values and of what is adjusted from them, as columns and variables have them."""


WRITERS: Final = ("number", "short", "round", "format", "str", "_share", "_number", "estimate")


def other_forms(source: str) -> list[str]:
    """Where a p value is written by something else than `p_cell` and `p_value`."""
    modules = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FormattedValue) and node.format_spec is not None:
            expressions: list[ast.expr] = [node.value]
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in WRITERS:
            expressions = list(node.args)
        else:
            continue
        names = [
            str(getattr(part, "value", None) or getattr(part, "id", None) or getattr(part, "attr", ""))
            for value in expressions
            for part in ast.walk(value)
            if isinstance(part, ast.Constant | ast.Name | ast.Attribute)
        ]
        if any(P.fullmatch(name) for name in names):
            modules.append(ast.unparse(node))
    return modules


def test_p_values_have_one_form_everywhere():
    """Pages, figures and the terminal: a p value is written by one function."""
    root = Path(words.__file__).resolve().parents[2]
    assert other_forms('_share(row["p_holm"])') == ["_share(row['p_holm'])"]
    assert other_forms('f"{p:.2f}"')
    modules = {
        str(path.relative_to(root)): forms
        for room in ("xray/report", "xray/explorer", "flows")
        for path in (root / room).rglob("*.py")
        if path != Path(words.__file__) and (forms := other_forms(path.read_text(encoding="utf-8")))
    }
    assert modules == {}
