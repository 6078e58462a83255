"""Declared findings of a published dataset: columns that its reader keeps as metadata."""

import numpy as np
import pandas as pd
import pytest

from xray.data.sources.base import SourceTable
from xray.data.sources.declared import with_declared
from xray.errors import DataError


def table(**native):
    rows = pd.DataFrame({"image": ["a", "b", "c"], **native})
    states = np.array([[1], [0], [-1]], np.int8)
    return SourceTable(rows, states, np.full((3, 1), "Mass", dtype=object), findings=("Mass",))


def test_cells_of_a_declared_column_become_states_and_others_stay():
    declared_table = with_declared(
        table(**{"Support Devices": ["1.0", "", "-1"]}), ["Support Devices", "Mass"], "f.csv"
    )
    assert declared_table.findings == ("Mass", "Support Devices")
    assert declared_table.states.tolist() == [[1, 1], [0, -2], [-1, -1]]
    assert declared_table.terms[:, 1].tolist() == ["Support Devices", None, "Support Devices"]
    assert declared_table.notes == []


def test_a_row_with_an_invalid_label_is_set_aside():
    declared_table = with_declared(table(TB=["1", "often", "0"]), ["Tuberculosis"], "f.csv")
    assert declared_table.rows["image"].tolist() == ["a", "c"]
    (aside,) = declared_table.quarantine
    assert (aside.image, "found 'often'" in aside.reason) == ("b", True)


def test_two_columns_of_one_finding_are_refused():
    with pytest.raises(DataError, match="columns 'TB' and 'tuberculosis' are both 'Tuberculosis'"):
        with_declared(table(TB=["1"] * 3, tuberculosis=["1"] * 3), ["Tuberculosis"], "f.csv")


def test_without_declarations_nothing_changes():
    declared_table = with_declared(table(TB=["1", "0", "x"]), [], "f.csv")
    assert declared_table.findings == ("Mass",)
    assert len(declared_table.rows) == 3
