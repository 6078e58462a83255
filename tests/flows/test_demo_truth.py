"""What was drawn is found again, beyond chance: at phantom-d the labels differ, at phantom-b only the images.

Margins are those of several drawings of the sites, not of this one.
"""

import math

import pandas as pd
import pytest

REDEFINED, INVERTED = "Infiltration", "Mass"
CHANGED = [REDEFINED, INVERTED]
FALL, GAP, LEAST, SMALL = 0.25, 0.15, 0.6, 0.15

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def auc(demo) -> pd.DataFrame:
    """Ensemble AUCs with intervals by (trained on, test dataset, task)."""
    rows = demo.ask("select * from auc_results where study = 'phantom' and seed is null and auc is not null")
    return rows.set_index(["trained_on", "test_dataset", "task"]).sort_index()


@pytest.fixture(scope="module")
def left_out(demo) -> pd.DataFrame:
    """Paired differences own − all but the site, by (test dataset, task)."""
    rows = demo.ask(
        "select * from auc_difference_results where study = 'phantom' and arm_a = 'own' and arm_b = 'all-but-site'"
    )
    return rows.set_index(["test_dataset", "task"]).sort_index()


@pytest.fixture(scope="module")
def kappa(demo) -> pd.DataFrame:
    """Kappas at the models' own thresholds by (trained on, test dataset, task)."""
    rows = demo.ask("select * from agreement_results where study = 'phantom' and rule = 'own'")
    return rows.set_index(["trained_on", "test_dataset", "task"]).sort_index()


# phantom-d: the labels


@pytest.mark.parametrize("task", CHANGED)
def test_a_changed_label_breaks_the_transfer_beyond_both_intervals(auc, task):
    elsewhere = auc.loc["phantom-a", "phantom-d", task]
    for home in (auc.loc["phantom-a", "phantom-a", task], auc.loc["phantom-d", "phantom-d", task]):
        assert home.auc - elsewhere.auc > FALL
        assert home.lower - elsewhere.upper > GAP


@pytest.mark.parametrize("task", CHANGED)
def test_changed_labels_and_not_pictures_explain_the_loss(auc, task):
    """phantom-d's own model reads its own labels from the same kind of pictures."""
    assert auc.loc["phantom-d", "phantom-d", task].lower > LEAST


def test_an_inverted_label_is_worse_than_chance(auc):
    assert auc.loc["phantom-a", "phantom-d", INVERTED].upper < 0.5


@pytest.mark.parametrize("task", CHANGED)
def test_training_on_all_other_sites_does_not_make_up_for_another_label(left_out, task):
    row = left_out.loc["phantom-d", task]
    assert row.difference > FALL
    assert row.lower > GAP
    assert row.p_holm < 0.001


def test_findings_of_the_same_meaning_transfer_to_phantom_d(auc, left_out):
    same = set(left_out.loc["phantom-d"].index) - set(CHANGED)
    assert len(same) == 5
    for task in same:
        own, foreign = auc.loc["phantom-d", "phantom-d", task], auc.loc["phantom-a", "phantom-d", task]
        assert own.auc - foreign.auc < SMALL, task
        assert foreign.lower > LEAST, task


def test_models_disagree_where_the_label_is_inverted(kappa):
    row = kappa.loc["phantom-a", "phantom-d", INVERTED]
    if math.isnan(row.kappa):
        assert row.reason
    else:
        assert row.kappa < -0.1
        assert row.upper < 0


# phantom-b: only the images


def tasks_of(auc: pd.DataFrame, site: str) -> list[str]:
    return sorted(auc.loc[site, site].index)


def test_other_images_alone_cost_little(auc):
    tasks = tasks_of(auc, "phantom-b")
    assert len(tasks) == 8
    for task in tasks:
        own, foreign = auc.loc["phantom-b", "phantom-b", task], auc.loc["phantom-a", "phantom-b", task]
        assert own.auc - foreign.auc < SMALL, task
        assert foreign.auc > LEAST, task
        assert foreign.lower > 0.5, task


def test_training_on_other_sites_makes_up_for_other_images(left_out):
    """The other sites agree with phantom-b on all labels but the two that phantom-d changed."""
    for task, row in left_out.loc["phantom-b"].iterrows():
        if task not in CHANGED:
            assert row.difference < SMALL, task


def test_models_agree_where_only_the_images_differ(kappa):
    values = kappa.loc["phantom-a", "phantom-b"]["kappa"]
    assert len(values) == 8
    assert (values > 0).sum() >= 7
    assert values.median() > 0.2


def test_the_changed_labels_stand_out_from_the_changed_images(auc):
    """The largest fall of AUC at the site with other images is below the smallest at the site with other labels."""

    def fall(site: str, task: str) -> float:
        return float(auc.loc[site, site, task].auc - auc.loc["phantom-a", site, task].auc)

    by_images = max(fall("phantom-b", task) for task in tasks_of(auc, "phantom-b"))
    by_labels = min(fall("phantom-d", task) for task in CHANGED)
    assert by_labels > by_images + 0.1
