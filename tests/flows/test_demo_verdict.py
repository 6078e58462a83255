"""Images or labels? The verdicts of the demo against what was drawn: phantom-b other images, phantom-d other labels."""

import pandas as pd
import pytest

from benchmarks.phantom_verdict import outcome, planted
from xray.data.phantom.sites import load_sites

CHANGED = ["Infiltration", "Mass"]
SITES = {"phantom-a": "alpha", "phantom-b": "bravo", "phantom-c": "charlie", "phantom-d": "delta"}

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def verdicts(demo) -> pd.DataFrame:
    """Rows by (train dataset, test dataset, task)."""
    rows = demo.ask("select * from shift_results where study = 'phantom'")
    return rows.set_index(["train_dataset", "test_dataset", "task"]).sort_index()


@pytest.mark.parametrize("task", CHANGED)
@pytest.mark.parametrize("pair", [("phantom-a", "phantom-d"), ("phantom-d", "phantom-a")])
def test_changed_labels_are_called_labels(verdicts, pair, task):
    row = verdicts.loc[(*pair, task)]
    assert row.verdict == "label"
    assert row.p_adjusted < 0.001
    assert row.transfer_lower > 0.1
    assert row.assumption


def test_labels_of_one_meaning_are_not_blamed_at_phantom_d(verdicts):
    for task, row in verdicts.loc["phantom-a", "phantom-d"].iterrows():
        if task not in CHANGED:
            assert row.verdict in ("none", "cannot tell"), (task, row)


def test_other_images_alone_are_never_called_labels(verdicts):
    for pair in (("phantom-a", "phantom-b"), ("phantom-b", "phantom-a")):
        said = verdicts.loc[pair]
        assert len(said) == 8
        assert set(said["verdict"]) <= {"none", "image", "cannot tell"}, said["verdict"]
        assert (said["p_images_all"] < 0.001).all()


def test_next_to_no_verdict_names_a_cause_that_was_not_drawn(verdicts):
    sites = load_sites()
    false = [
        (a, b, task, row.verdict)
        for (a, b, task), row in verdicts.iterrows()
        if outcome(planted(sites[SITES[a]], sites[SITES[b]], task), row.verdict) == "false"
    ]
    assert len(verdicts) == 84
    assert len(false) <= 4, false


def test_the_drop_is_the_sum_of_its_parts(verdicts):
    assert (verdicts["auc_drop"] - verdicts["intrinsic"] - verdicts["transfer"]).abs().max() < 1e-9
    assert (verdicts["drop_lower"] <= verdicts["auc_drop"]).all()
    assert (verdicts["auc_drop"] <= verdicts["drop_upper"]).all()
