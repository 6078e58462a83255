"""What changes between protocols, and why an image has its labels, from the database."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine

from xray.data.compare import changed_rules, compare, image_changes
from xray.data.explained import explain_image
from xray.data.prepare import read_source
from xray.data.protocol import load_protocol
from xray.data.register import register
from xray.data.registered import RegisteredDataset, read_named
from xray.errors import DataError

PAPER, CORRECTED = load_protocol("paper"), load_protocol("corrected")


@pytest.fixture
def nih(engine: Engine, tmp_path: Path, write_nih: Callable[..., Path]) -> RegisteredDataset:
    """30 patients with two PA images each; patient 31 has an AP image first, patient 32 nothing else."""
    extra = ["a.png,Mass,0,31,058Y,M,AP", "b.png,Hernia,1,31,058Y,M,PA", "c.png,Mass,0,32,058Y,M,AP"]
    labels = write_nih(tmp_path, 30, *extra)
    with engine.begin() as connection:
        register(connection, "nih", "nih-cc", "nih", read_source("nih", labels, None), None)
        return read_named(connection, "nih", terms=True)


def test_a_comparison_counts_and_lists_the_images_that_change(nih: RegisteredDataset) -> None:
    comparison = compare(nih, PAPER, CORRECTED)
    assert comparison["images"]["rows"] == {"first": 32, "second": 31}
    assert (
        comparison["images"]["only_first"],
        comparison["images"]["only_second"],
        comparison["images"]["both"],
    ) == (
        2,
        1,
        30,
    )
    assert comparison["images"]["other_labels"] == 0
    assert comparison["tasks"]["Mass"] == {
        "first": {"positive": 12, "negative": 20},
        "second": {"positive": 10, "negative": 21},
    }
    assert comparison["tasks"]["Hernia"]["second"]["positive"] == 1
    assert sum(comparison["parts"][part]["second"] for part in comparison["parts"]) == 31
    assert comparison["parts"]["test"]["first"] == 16
    rules = {rule["rule"]: rule for rule in comparison["rules"]}
    assert rules["augmentation.scale"] == {"rule": "augmentation.scale", "first": 0.15, "second": 0.1}
    assert "datasets.nih.views" in rules
    changes = image_changes(nih, PAPER, CORRECTED)
    by_image = {change["image"]: change for change in changes}
    assert by_image["c.png"]["second"] == "" != by_image["c.png"]["first"]
    assert by_image["b.png"]["first"] == ""
    moved = [
        c for c in changes if c["first"] and c["second"] and (c["first"] == "test") != (c["second"] == "test")
    ]
    assert len(moved) == comparison["images"]["moved"]


def test_a_protocol_differs_nowhere_from_itself(nih: RegisteredDataset) -> None:
    assert changed_rules(PAPER, PAPER) == []
    assert image_changes(nih, CORRECTED, CORRECTED) == []


def test_an_image_is_explained_from_the_database(nih: RegisteredDataset) -> None:
    paper, corrected = (explain_image(nih, "a.png", protocol) for protocol in (PAPER, CORRECTED))
    assert paper.part in ("train", "test")
    assert corrected.part is None
    assert corrected.why_not == "view is 'AP'; wanted: is PA"
    for explanation in (paper, corrected):
        mass = next(label for label in explanation.labels if label.task == "Mass")
        assert (mass.state, mass.label, mass.column, mass.value, mass.term) == (
            "positive",
            1,
            "Finding Labels",
            "Mass",
            "Mass",
        )
    second = explain_image(nih, "00000003_001.png", CORRECTED)
    assert second.why_not == "another image of the same patient is used"
    with pytest.raises(DataError, match=r"no image 'zz'"):
        explain_image(nih, "zz", PAPER)
