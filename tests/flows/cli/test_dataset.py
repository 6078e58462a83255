"""`xray dataset`: list and counts, on synthetic sites."""

import json

import pandas as pd
import pytest

from tests.xray.data.sources.test_dicom_folder import picture, sheet

pytestmark = pytest.mark.timeout(900)


def test_datasets_are_listed_as_json_and_as_a_table(tiny, call):
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
    counts = json.loads(call("dataset", "counts", "tiny-d", "--json")[1])
    manifest = pd.read_csv(tiny.home.path / "phantom" / "tiny-d-0" / "labels.csv")
    tasks = list(manifest.columns[6:])
    assert "Emphysema" not in tasks
    assert counts["images"] == len(manifest)
    assert counts["patients"] == 120
    assert list(counts["tasks"]) == tasks
    for task in tasks:
        states = counts["tasks"][task]
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
    counts = json.loads(call(*arguments)[1])
    rows = tiny.ask(
        "select task, label, image from predictions where trained_on = 'tiny-a' and test_dataset = 'tiny-a'"
    )
    assert counts["images"] == rows["image"].nunique() == counts["patients"]
    for task, own in rows.groupby("task"):
        assert counts["tasks"][task]["positive"] == (own["label"] == 1).sum()
        assert counts["tasks"][task]["negative"] == (own["label"] == 0).sum()


def test_counts_of_an_unknown_dataset_or_protocol_are_refused(call):
    message = "error: there is no dataset 'nih'; known: tiny-a, tiny-d\n"
    assert call("dataset", "counts", "nih") == (1, "", message)


def test_a_dataset_with_dependent_results_is_kept_and_they_are_named(tiny, call):
    before = call("dataset", "list", "--json")[1]
    code, output, _ = call("dataset", "remove", "tiny-a", "--dry-run")
    assert code == 0
    assert "studies that name it: tiny" in output
    assert "models that were trained on it, with all their scores: " in output
    code, _, error = call("dataset", "remove", "tiny-a")
    assert code == 1
    assert "tiny-a: results depend on it; --with-results removes them too" in error
    assert call("dataset", "list", "--json")[1] == before


def test_a_dicom_tree_is_added_moved_and_removed(tiny, call, tmp_path):
    before = call("dataset", "list", "--json")[1]
    for number in range(6):
        picture(tmp_path / "tree", number)
    path = sheet(tmp_path / "tree", "accession,Mass", "A000,1", "A001,0", "A002,1", "A777,1")
    options = (
        "--site",
        "archive",
        "--source",
        "dicom",
        "--images",
        str(tmp_path / "tree"),
        "--labels",
        str(path),
    )
    code, output, error = call("dataset", "add", "archive", *options, "--window")
    assert code == 1  # these have no window
    assert "has no DICOM window" in error
    code, output, error = call("dataset", "add", "archive", *options)
    assert code == 0
    assert "archive: read as headers of DICOM files; labels: CSV with commas" in output
    assert "archive: registered 6 images of 3 patients" in output.splitlines()
    assert "labels joined by accession number: 6 of 6 pictures have a row in sheet.csv" in error
    assert "no picture of accession number A777" in error
    (tmp_path / "tree").rename(tmp_path / "moved")
    assert (
        "6 picture(s) are read from"
        in call("dataset", "relocate", "archive", "--images", str(tmp_path / "moved"))[1]
    )
    assert call("dataset", "remove", "archive")[1].splitlines() == ["archive: removed"]
    assert call("dataset", "list", "--json")[1] == before
