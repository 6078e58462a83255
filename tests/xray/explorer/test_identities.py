"""Pseudonyms: stable, different by site, and no way around them through the columns of label files."""

import pytest

from xray.explorer.identities import Identities

HIDDEN, OPEN = Identities(b"key"), Identities(b"key", open=True)


def test_a_pseudonym_depends_on_site_patient_and_home() -> None:
    assert HIDDEN.patient("nih", "61") == HIDDEN.patient("nih", "61")
    others = [
        HIDDEN.patient("mimic", "61"),
        HIDDEN.patient("nih", "62"),
        Identities(b"other").patient("nih", "61"),
    ]
    assert HIDDEN.patient("nih", "61") not in others
    assert HIDDEN.patient("nih", None) is None
    assert (OPEN.patient("nih", "61"), OPEN.image(1, "00000061_012.png")) == ("61", "00000061_012.png")
    assert HIDDEN.image(1, "00000061_012.png") == "image 1"


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("Image Index", "00000061_012.png"),
        ("Patient ID", "61"),
        ("PatientID", "61"),
        ("patientid", "x"),
        ("subject_id", "10000032"),
        ("dicom_id", "02aa804e"),
        ("Path", "train/patient00061/study1/view1_frontal.jpg"),
        ("StudyInstanceUID", "1.2.3"),
        ("PatientBirthDate", "19500101"),
        ("AccessionNumber", "A1"),
        ("MRN", "1"),
        ("remark", "61"),
        ("remark", "see 00000061_012.png"),
        ("case", "00000061"),
    ],
)
def test_a_column_that_names_patient_or_image_is_shown_only_with_names(column: str, value: str) -> None:
    assert not HIDDEN.shows(column, value, "00000061_012.png", "61")
    assert OPEN.shows(column, value, "00000061_012.png", "61")


@pytest.mark.parametrize(
    "column",
    [
        "Finding Labels",
        "Follow-up #",
        "Patient Age",
        "PatientSex",
        "View Position",
        "StudyDate",
        "Manufacturer",
    ],
)
def test_other_columns_are_shown(column: str) -> None:
    assert HIDDEN.shows(column, "77", "00000061_012.png", "61")
