"""Selection against pandas' own groupby-first, and what `corrected` must never do."""

import dataclasses

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from xray.data.labels.rules import all_rules, apply_rules
from xray.data.protocol import load_protocol, protocol_from
from xray.data.selection import select, to_labels
from xray.data.sources.base import SourceTable
from xray.errors import DataError
from xray.tasks import TASK_INDEX, TASKS

PAPER, CORRECTED = load_protocol("paper"), load_protocol("corrected")
COLUMNS = [rule.column for rule in all_rules("chexpert") if rule.task or rule.rule == "clears all"]
cells = st.sampled_from(["", "", "", "1.0", "0.0", "-1.0"])
studies = st.lists(
    st.tuples(
        st.integers(1, 5),
        st.sampled_from(["AP", "PA", "Lateral"]),
        st.sampled_from(["", "", "1.0"]),
        st.lists(cells, min_size=len(COLUMNS) - 1, max_size=len(COLUMNS) - 1),
    ),
    max_size=25,
)


def chexpert(drawn_rows: list[tuple[int, str, str, list[str]]]) -> SourceTable:
    findings = [column for column in COLUMNS if column != "No Finding"]
    rows = pd.DataFrame(
        {
            "image": [f"image{index}" for index in range(len(drawn_rows))],
            "patient": pd.Series([f"patient{row[0]:05d}" for row in drawn_rows], dtype=object),
            "path": None,
            "view": pd.Series([row[1] for row in drawn_rows], dtype=object),
            "age": np.nan,
            "sex": None,
            "Frontal/Lateral": pd.Series(
                ["Lateral" if row[1] == "Lateral" else "Frontal" for row in drawn_rows], dtype=object
            ),
            "No Finding": pd.Series([row[2] for row in drawn_rows], dtype=object),
        }
        | {
            name: pd.Series([row[3][i] for row in drawn_rows], dtype=object)
            for i, name in enumerate(findings)
        }
    )
    states, terms = apply_rules(rows, all_rules("chexpert"))
    return SourceTable(rows, states, terms)


def released_code(table: SourceTable) -> tuple[list[str], np.ndarray]:
    """What the released code does, with pandas alone: images, and labels (n, 18)."""
    frame = table.rows[["image", "patient", "Frontal/Lateral", *COLUMNS]].copy()
    for column in COLUMNS:
        frame[column] = pd.to_numeric(frame[column])
    frame = frame[frame["Frontal/Lateral"].str.contains("Frontal")]
    frame = frame.groupby("patient").first().reset_index()
    frame.loc[frame["No Finding"] == 1, [c for c in COLUMNS if c != "No Finding"]] = 0
    labels = np.full((len(frame), len(TASKS)), np.nan)
    for column in COLUMNS:
        task = "Effusion" if column == "Pleural Effusion" else column
        if task in TASK_INDEX:
            labels[:, TASK_INDEX[task]] = frame[column]
    labels[labels == -1] = np.nan
    return frame["image"].tolist(), labels


@given(studies.filter(len))
@settings(max_examples=60, deadline=None)
def test_the_paper_protocol_selects_as_the_released_code_does(
    drawn_rows: list[tuple[int, str, str, list[str]]],
) -> None:
    table = chexpert(drawn_rows)
    images, labels = released_code(table)
    selection = select(table, "chexpert", PAPER)
    assert table.rows["image"].to_numpy()[selection.index].tolist() == images
    np.testing.assert_array_equal(selection.labels, labels.astype(np.float32))


@given(studies)
@settings(max_examples=60, deadline=None)
def test_the_corrected_protocol_never_uses_labels_of_another_image(
    drawn_rows: list[tuple[int, str, str, list[str]]],
) -> None:
    table = chexpert(drawn_rows)
    selection = select(table, "chexpert", CORRECTED)
    own = (selection.label_rows == selection.index[:, None]) | (selection.label_rows == -1)
    assert own.all()
    healthy = (table.rows["No Finding"] == "1.0").to_numpy()[selection.index]
    rows_of_model = to_labels(table.states[selection.index], "missing")
    np.testing.assert_array_equal(selection.labels[~healthy], rows_of_model[~healthy])
    labelled = [TASK_INDEX[rule.task] for rule in all_rules("chexpert") if rule.task]
    assert (selection.labels[healthy][:, labelled] == 0).all()
    patients = table.rows["patient"].to_numpy()[selection.index]
    assert len(set(patients)) == len(patients)
    assert (table.rows["view"].to_numpy()[selection.index] == "PA").all()
    first = table.rows[table.rows["view"] == "PA"].drop_duplicates("patient").index
    assert selection.index.tolist() == first.tolist()


def table_of(view: list[str | None], patient: list[str | None], states: list[int]) -> SourceTable:
    n = len(view)
    rows = pd.DataFrame(
        {"image": [f"i{k}" for k in range(n)], "path": None, "age": np.nan, "sex": None}
        | {"patient": pd.Series(patient, dtype=object), "view": pd.Series(view, dtype=object)}
    )
    whole = np.full((n, len(TASKS)), -2, dtype=np.int8)
    whole[:, 0] = states
    return SourceTable(rows, whole, np.full(whole.shape, None, dtype=object))


@pytest.mark.parametrize(("policy", "value"), [("missing", np.nan), ("positive", 1.0), ("negative", 0.0)])
def test_uncertain_labels_follow_the_policy(policy: str, value: float) -> None:
    protocol = protocol_from({"base": "corrected", "name": "own", "labels": {"uncertain": policy}}, "own")
    selection = select(table_of(["PA"] * 4, list("abcd"), [1, 0, -1, -2]), "mine", protocol)
    np.testing.assert_array_equal(selection.labels[:, 0], [1, 0, value, np.nan])
    assert selection.labels.dtype == np.float32
    assert selection.states[:, 0].tolist() == [1, 0, -1, -2]


def test_an_unknown_patient_counts_as_a_patient_of_its_own() -> None:
    table = table_of(["PA"] * 4, ["a", None, None, "a"], [1, 1, 1, 1])
    for protocol in (PAPER, CORRECTED):
        assert sorted(select(table, "mine", protocol).index.tolist()) == [0, 1, 2]


def test_the_corrected_protocol_keeps_frontal_views_of_own_datasets() -> None:
    table = table_of(["PA", "AP", "lateral", None, "LL", "AP Supine"], list("abcdef"), [1] * 6)
    selection = select(table, "mine", CORRECTED)
    assert selection.index.tolist() == [0, 1, 3, 5]
    assert selection.left_out == {"view is L or LL or RL or LAT or LATERAL": 2}


def test_images_left_out_are_counted_by_reason() -> None:
    table = table_of(["PA", "AP", None, "PA", "PA"], list("aabbb"), [1] * 5)
    selection = select(table, "nih", CORRECTED, labeller="manifest")
    assert selection.left_out == {
        "view is not PA": 1,
        "view unknown": 1,
        "another image of the same patient": 1,
    }
    assert len(selection) + sum(selection.left_out.values()) == 5


def test_a_selection_may_be_empty() -> None:
    for table in (table_of(["AP"], ["a"], [1]), table_of([], [], [])):
        for protocol in (PAPER, CORRECTED):
            selection = select(table, "mimic_ch", _own_views(protocol), labeller="manifest")
            assert len(selection) == 0
            assert selection.labels.shape == selection.label_rows.shape == (0, 18)


def _own_views(protocol: object) -> object:
    rule = dataclasses.replace(protocol.rule("mimic_ch"), view_column="view")  # type: ignore[attr-defined]
    return dataclasses.replace(protocol, datasets={"mimic_ch": rule})  # type: ignore[type-var]


def test_a_native_column_that_was_not_stored_is_named() -> None:
    with pytest.raises(DataError, match="'Projection'"):
        select(table_of(["PA"], ["a"], [1]), "padchest", PAPER, labeller="manifest")
    with pytest.raises(DataError, match="'Labels'"):
        select(table_of(["PA"], ["a"], [1]), "padchest", PAPER)
