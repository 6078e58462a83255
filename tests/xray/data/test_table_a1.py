"""The published counts and splits, from the real label files where they are there."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from xray.data.protocol import load_protocol
from xray.data.selection import Selection, select
from xray.data.sources.base import SourceTable
from xray.data.sources.datasets import dataset
from xray.data.split import parts
from xray.data.table_a1 import table_a1, unpublished
from xray.tasks import TASK_INDEX, TASKS

Tables = dict[str, SourceTable]
PAPER, CORRECTED = load_protocol("paper"), load_protocol("corrected")
TEST_HALF = {
    "Atelectasis": 866, "Consolidation": 203, "Infiltration": 1809, "Pneumothorax": 136, "Edema": 41,
    "Emphysema": 126, "Fibrosis": 292, "Effusion": 656, "Pneumonia": 87, "Pleural_Thickening": 379,
    "Cardiomegaly": 399, "Nodule": 806, "Mass": 614, "Hernia": 39,
}  # fmt: skip


def small() -> SourceTable:
    rows = pd.DataFrame({"image": ["a", "b", "c"], "patient": ["1", "2", "3"], "view": "PA", "path": None})
    states = np.full((3, len(TASKS)), -2, dtype=np.int8)
    states[:, TASK_INDEX["Hernia"]] = [1, 0, 0]
    states[:, TASK_INDEX["Fracture"]] = 0
    return SourceTable(rows, states, np.full(states.shape, None, dtype=object))


def test_every_cell_is_compared_and_missing_datasets_are_named() -> None:
    cells = table_a1({"nih": small()})
    assert len(cells) == 83
    assert Counter(cell.dataset for cell in cells)["padchest"] == 15
    by_key = {(cell.dataset, cell.task): cell for cell in cells}
    hernia = by_key["nih", "Hernia"]
    assert (hernia.positive, hernia.negative) == (83, 30722)
    assert (hernia.found_positive, hernia.found_negative, hernia.equal) == (1, 2, False)
    assert (by_key["nih", "Mass"].found_positive, by_key["rsna", "Pneumonia"].found_positive) == (0, None)
    assert unpublished({"nih": small()}) == [("nih", "Fracture")]


def test_published_label_files_give_every_published_cell(published: Tables) -> None:
    cells = [cell for cell in table_a1(published) if cell.found_positive is not None]
    assert [cell for cell in cells if not cell.equal] == []
    assert Counter(cell.dataset for cell in cells) == {"nih": 14, "google": 3, "openi": 16, "rsna": 2}
    assert unpublished(published) == []
    assert all(table.quarantine == [] for table in published.values())


def selected(tables: Tables, name: str, protocol_name: str) -> tuple[Selection, dict[str, np.ndarray]]:
    protocol = load_protocol(protocol_name)
    selection = select(tables[name], name, protocol)
    return selection, dict(parts(selection, tables[name], dataset(name).site, protocol))


def column(tables: Tables, name: str, protocol_name: str, part: str, unit: str) -> list[str]:
    selection, cut = selected(tables, name, protocol_name)
    return tables[name].rows[unit].iloc[selection.index[cut[part]]].tolist()


def test_the_test_half_of_nih_has_the_published_positives(published: Tables) -> None:
    selection, cut = selected(published, "nih", "paper")
    positives = np.nansum(selection.labels[cut["test"]], axis=0)
    assert len(cut["test"]) == 15_403
    assert {task: int(positives[TASK_INDEX[task]]) for task in TEST_HALF} == TEST_HALF
    views = published["nih"].rows["view"].iloc[selection.index]
    assert (len(selection), int((views == "AP").sum())) == (30_805, 3_568)


def test_google_images_overlap_with_nihs_training_half(published: Tables) -> None:
    for unit, shared in [("image", 129), ("patient", 419)]:
        test = column(published, "google", "paper", "test", unit)
        train = set(column(published, "nih", "paper", "train", unit))
        assert len(test) == 848
        assert sum(name in train for name in test) == shared


def test_rsna_images_with_boxes_are_in_both_halves(published: Tables) -> None:
    selection, cut = selected(published, "rsna", "paper")
    assert (len(selection), len(published["rsna"].rows)) == (30_227, 26_684)
    test = cut["test"][selection.labels[cut["test"], TASK_INDEX["Pneumonia"]] == 1]
    train = set(selection.index[cut["train"]].tolist())
    assert len(test) == 4_751
    assert sum(image in train for image in selection.index[test].tolist()) == 1_781


@pytest.mark.parametrize("name", ["nih", "google", "openi", "rsna"])
def test_the_corrected_protocol_repeats_no_image_and_no_patient(published: Tables, name: str) -> None:
    selection, cut = selected(published, name, "corrected")
    assert len(set(selection.index.tolist())) == len(selection)
    labelled = published[name].rows["patient"].iloc[selection.index].dropna()
    assert not labelled.duplicated().any()
    assert (published[name].rows["view"].iloc[selection.index] == "PA").all()
    assert min(len(part) for part in cut.values()) > 0


def test_the_corrected_protocol_keeps_sites_apart(published: Tables) -> None:
    for unit in ("image", "patient"):
        train = set(column(published, "nih", "corrected", "train", unit))
        train |= set(column(published, "nih", "corrected", "validation", unit))
        assert train.isdisjoint(column(published, "google", "corrected", "test", unit))
