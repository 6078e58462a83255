"""Models from elsewhere were trained nowhere here: where any is shown, rows are models, and it has its name in sentences."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from xray.report import figures, spots, tables
from xray.report.captions import agreement_grid, auc_grid, boxed_agreement
from xray.report.grids import auc_grid as aucs
from xray.report.grids import kappa_grid
from xray.report.models import OWN, Models, compared_with, models_of
from xray.report.parts import accuracy
from xray.report.text import auc_table, frame_table
from xray.report.words import performance_findings

SITES = ["beta", "alpha"]
VENDORS = ("vendor-a", "vendor-b")


def of(rows: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The rows with the models of both sites under other names; those that are no site are from elsewhere."""
    renamed = rows.replace({"trained_on": dict(zip(SITES, names, strict=True))})
    renamed = renamed[renamed["trained_on"] != "all"].reset_index(drop=True)
    return renamed.assign(foreign=~renamed["trained_on"].isin(SITES))


@pytest.mark.parametrize(
    ("names", "heading", "rows"),
    [
        (SITES, "trained on", "Rows: what the model was trained on."),
        (
            ["beta", "vendor-a"],
            "model",
            "Rows: the models, those trained here by what they were trained on, those from elsewhere by their names.",
        ),
        (VENDORS, "model", "Rows: the models."),
    ],
)
def test_figure_table_and_text_use_one_heading_for_models(performance, names, heading, rows):
    renamed_rows = of(performance, names)
    grid = aucs(renamed_rows)
    axis = figures.auc_grid(renamed_rows)
    assert heading in [text.get_text() for text in axis.texts]
    assert {table.corner for table in tables.performance(grid)} == {heading}
    assert auc_table(renamed_rows).startswith(f"AUC (95% interval); rows: {heading}, columns: tested on\n")
    assert rows in auc_grid(grid).text
    assert ("Boxed" in auc_grid(grid).text) == (names != VENDORS)


def test_a_sentence_calls_a_bought_model_by_its_name(performance):
    below = performance_findings(aucs(of(performance, SITES)))[-1]
    assert "Mass, trained on alpha, tested on beta" in below
    below = performance_findings(aucs(of(performance, ["beta", "vendor-b"])))[-1]
    assert "Mass, model vendor-b, tested on beta" in below
    figure = figures.auc_grid(of(performance, ["beta", "vendor-b"]))
    answers = {spot.lines[0] for spot in spots.of(figure)}
    assert "Mass: model vendor-b, tested on beta" in answers
    assert "Mass: trained on beta, tested on alpha" in answers


def test_the_other_rater_is_named_by_what_it_is(agreement):
    own = agreement.assign(foreign=False)
    assert "with the test dataset's own model" in agreement_grid(kappa_grid(own)).title
    assert boxed_agreement(kappa_grid(own)) == "the dataset's own model"
    bought = of(agreement, VENDORS).assign(reference="vendor-a")
    assert compared_with(bought, "the own one") == "vendor-a"
    assert compared_with(own, "the own one") == "the own one"
    assert compared_with(pd.concat([own, bought]), "the own one") == "the own one or vendor-a"
    grid = kappa_grid(bought)
    assert boxed_agreement(grid) == "the model compared with"
    assert "own model" not in agreement_grid(grid, "vendor-a").text
    keys = [text.get_text() for text in figures.agreement_grid(bought).texts]
    assert "the model compared with" in keys
    assert "the dataset's own model" not in keys


def test_a_study_without_models_from_elsewhere_has_no_such_column(performance):
    assert models_of(performance) == OWN
    assert models_of(pd.DataFrame()) == OWN
    mixed = models_of(of(performance, ["beta", "vendor-a"]))
    assert mixed == Models(True, frozenset({"vendor-a"}))
    assert not mixed.bought
    assert models_of(of(performance, VENDORS)).bought


def test_tables_under_either_heading_link_to_their_images():
    stored = pd.DataFrame({"trained_on": ["v"], "test_dataset": ["x"], "task": ["Mass"]})
    for heading in ("trained on", "model"):
        frame = pd.DataFrame({heading: ["v"], "tested on": ["x"], "task": ["Mass"], "AUC": [0.5]})
        assert tables.images_of(frame, stored) == (("v", "x", "Mass"),)


def test_stored_rows_have_the_same_headings():
    rows = pd.DataFrame({"trained_on": ["v"], "task": ["Mass"]})
    assert frame_table(rows).startswith("trained on  task\n")
    assert frame_table(rows.assign(foreign=True)).startswith("model  task")
    assert frame_table(rows, models_of(rows.assign(foreign=True))).startswith("model  task\n")


def test_the_mean_over_bought_models_includes_no_own_model(performance):
    rows = of(performance[performance["seed"].isna()], VENDORS).drop_duplicates(
        ["trained_on", "test_dataset"]
    )
    rows = rows.assign(
        auc=0.8, lower=0.7, upper=0.9, reference="vendor-a", tasks=[["Mass"]] * len(rows), difference=np.nan,
        difference_lower=np.nan, difference_upper=np.nan, p_holm=np.nan,
    )  # fmt: skip
    part = accuracy.mean_auc(rows)
    assert list(part.short_table)[:2] == ["tested on", "model"]
    assert "own" not in " ".join([part.about, part.caption.text, *part.short_table])
    (axis,) = (text.get_text() for text in part.draw().texts)
    assert axis == "mean AUC over tasks (filled: vendor-a)"
