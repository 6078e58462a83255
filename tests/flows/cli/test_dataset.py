"""`xray dataset`: list and counts, on drawn sites."""

import json

import pandas as pd
import pytest

pytestmark = pytest.mark.timeout(900)


def test_list_as_json_and_as_a_table(tiny, call):
    rows = [json.loads(line) for line in call("dataset", "list", "--json")[1].splitlines()]
    by_name = {row["dataset"]: row for row in rows}
    assert sorted(by_name) == ["tiny-a", "tiny-d"]
    for name, row in by_name.items():
        manifest = pd.read_csv(tiny.home.path / "phantom" / f"{name}-0" / "labels.csv")
        assert row["site"] == name
        assert row["source"] == "phantom"
        assert row["images"] == len(manifest)
        assert row["patients"] == 120 == manifest["patient_id"].nunique()
        assert row["tasks"] == manifest.shape[1] - 6
    head, _, *lines = tiny.home.run("dataset", "list").stdout.splitlines()
    assert head.split() == ["dataset", "site", "source", "images", "patients", "tasks", "registered_at"]
    assert sorted(line.split()[0] for line in lines) == sorted(by_name)


def test_counts_are_those_of_the_manifest(tiny, call):
    counted = json.loads(call("dataset", "counts", "tiny-d", "--json")[1])
    manifest = pd.read_csv(tiny.home.path / "phantom" / "tiny-d-0" / "labels.csv")
    tasks = list(manifest.columns[6:])
    assert "Emphysema" not in tasks
    assert counted["images"] == len(manifest)
    assert counted["patients"] == 120
    assert list(counted["tasks"]) == tasks
    for task in tasks:
        states = counted["tasks"][task]
        assert states == {
            "positive": int((manifest[task] == 1).sum()),
            "negative": int((manifest[task] == 0).sum()),
            "uncertain": 0,
            "not mentioned": 0,
        }
    lines = tiny.home.run("dataset", "counts", "tiny-d").stdout.splitlines()
    assert lines[0] == f"tiny-d: {len(manifest)} images of 120 patients"
    assert len(lines) == 3 + len(tasks)


def test_counts_of_a_part_are_those_of_the_predictions(tiny, call):
    arguments = ("dataset", "counts", "tiny-a", "--protocol", "corrected", "--part", "test", "--json")
    counted = json.loads(call(*arguments)[1])
    rows = tiny.ask(
        "select task, label, image from predictions where trained_on = 'tiny-a' and test_dataset = 'tiny-a'"
    )
    assert counted["images"] == rows["image"].nunique() == counted["patients"]
    for task, mine in rows.groupby("task"):
        assert counted["tasks"][task]["positive"] == (mine["label"] == 1).sum()
        assert counted["tasks"][task]["negative"] == (mine["label"] == 0).sum()


def test_counts_of_what_is_not_there(call):
    told = "error: there is no dataset 'nih'; known: tiny-a, tiny-d\n"
    assert call("dataset", "counts", "nih") == (1, "", told)
