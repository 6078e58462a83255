"""The manifest: a site's own CSV."""

import gzip
import zipfile
from pathlib import Path

import numpy as np
import pytest

from xray.data.sources.base import NEGATIVE, NOT_MENTIONED, POSITIVE, UNCERTAIN, SourceTable, sources
from xray.data.sources.manifest import read_manifest
from xray.errors import ManifestError
from xray.tasks import TASK_INDEX, TASKS

HEADER = "image_id,patient_id,path,view,age,sex,Mass,Lung Opacity,ward"
ROWS = [
    "a,p1,one/a.png,PA,63,M,1,u,north",
    "b,p1,one/b.png,AP,,female,0,,",
    "c,,c.png,,018M,,,,south",
]


def manifest(tmp_path: Path, *rows: str, header: str = HEADER) -> SourceTable:
    return read_manifest(write(tmp_path, "\n".join([header, *rows]) + "\n"), None)


def write(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "labels.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def check(table: SourceTable) -> None:
    assert table.quarantine == []
    assert table.rows["image"].tolist() == ["a", "b", "c"]
    assert table.rows["patient"].tolist() == ["p1", "p1", None]
    assert table.rows["path"].tolist() == ["one/a.png", "one/b.png", "c.png"]
    assert table.rows["view"].tolist() == ["PA", "AP", None]
    assert table.rows["sex"].tolist() == ["M", "F", None]
    np.testing.assert_allclose(table.rows["age"], [63, np.nan, 1.5])
    assert table.rows["ward"].tolist() == ["north", "", "south"]
    mass, opacity = TASK_INDEX["Mass"], TASK_INDEX["Lung Opacity"]
    assert table.states[:, mass].tolist() == [POSITIVE, NEGATIVE, NOT_MENTIONED]
    assert table.states[:, opacity].tolist() == [UNCERTAIN, NOT_MENTIONED, NOT_MENTIONED]
    assert table.terms[:, mass].tolist() == ["Mass", "Mass", None]
    others = [index for index in range(18) if index not in (mass, opacity)]
    assert (table.states[:, others] == NOT_MENTIONED).all()


def test_a_plain_manifest_is_read(tmp_path: Path) -> None:
    check(manifest(tmp_path, *ROWS))


TEXT = "\n".join([HEADER, *ROWS])


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + TEXT.encode(),
        TEXT.replace("\n", "\r\n").encode(),
        TEXT.replace("\n", "\r").encode(),
        b"\xff\xfe" + TEXT.encode("utf-16-le"),
        gzip.compress(TEXT.encode(), mtime=0),
        TEXT.replace("a,p1", '"a","p1"').encode(),
        (TEXT + "\n\n\n").encode(),
        TEXT.replace("one/b", "one\\b").encode(),
        TEXT.replace("a,p1", " a , p1").replace("image_id", " image_id ").encode(),
    ],
    ids=["BOM", "CRLF", "CR", "UTF-16", "gzip", "quoted", "blank lines", "backslash", "spaces"],
)
def test_equivalent_forms_of_a_file_read_the_same(tmp_path: Path, data: bytes) -> None:
    check(read_manifest(write(tmp_path, data), None))


def test_a_zipped_manifest_is_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "labels.zip", "w") as archive:
        archive.writestr("folder/labels.csv", TEXT)
        archive.writestr("__MACOSX/._labels.csv", "x")
    check(read_manifest(tmp_path / "labels.zip", None))


def test_columns_may_come_in_any_order(tmp_path: Path) -> None:
    order = [8, 7, 2, 0, 1, 6, 5, 4, 3]
    shuffled = [",".join(line.split(",")[i] for i in order) for line in [HEADER, *ROWS]]
    check(manifest(tmp_path, *shuffled[1:], header=shuffled[0]))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("d,p,d.png,PA,1,M,2,,", ["'Mass'", "'2'", "uncertain"]),
        ("d,p,d.png,PA,1,M,,yes,", ["'Lung Opacity'", "'yes'"]),
        ("a,p,d.png,PA,1,M,1,,", ["'image_id'", "'a'", "earlier"]),
        (",p,d.png,PA,1,M,1,,", ["'image_id'", "name"]),
        ("d,p,../d.png,PA,1,M,1,,", ["'path'", "'../d.png'", "folder"]),
        ("d,p,one/../../d.png,PA,1,M,1,,", ["'path'", "folder"]),
        ("d,p,/etc/passwd,PA,1,M,1,,", ["'path'", "folder"]),
        ("d,p,C:/d.png,PA,1,M,1,,", ["'path'", "folder"]),
        ("d,p,d.png", ["3 fields", "9"]),
        ("d,p,d.png,PA,1,M,1,,,,extra", ["11 fields"]),
    ],
)
def test_a_bad_row_is_set_aside_and_the_others_are_kept(tmp_path: Path, row: str, words: list[str]) -> None:
    table = manifest(tmp_path, ROWS[0], ROWS[1], row, ROWS[2])
    assert table.rows["image"].tolist() == ["a", "b", "c"]
    assert len(table.states) == len(table.terms) == 3
    (entry,) = table.quarantine
    assert (entry.file, entry.row) == ("labels.csv", 4)
    for word in words:
        assert word in entry.reason


def test_a_path_may_contain_dots_that_stay_inside_the_folder(tmp_path: Path) -> None:
    assert manifest(tmp_path, "d,p,one/../d.png,PA,1,M,1,,").quarantine == []


def test_a_windows_1252_file_is_read_and_one_of_mixed_encoding_sets_rows_aside(tmp_path: Path) -> None:
    data = "\n".join([HEADER, ROWS[0], "é,p,d.png,PA,1,M,1,,"]).encode("latin-1")
    table = read_manifest(write(tmp_path, data), None)
    assert table.rows["image"].tolist() == ["a", "é"]
    assert "Windows-1252" in table.about
    mixed = "\n".join([HEADER, "ü,p,u.png,PA,1,M,1,,"]).encode() + b"\n\xe9,p,d.png,PA,1,M,1,,"
    table = read_manifest(write(tmp_path, mixed), None)
    assert table.rows["image"].tolist() == ["ü"]
    assert [(entry.row, "0xe9" in entry.reason) for entry in table.quarantine] == [(3, True)]


def test_lines_are_counted_through_quoted_newlines(tmp_path: Path) -> None:
    table = manifest(tmp_path, 'a,p1,a.png,PA,63,M,1,u,"two\nlines"', "b,p1,b.png,PA,63,M,7,,")
    assert table.rows["ward"].tolist() == ["two\nlines"]
    assert [entry.row for entry in table.quarantine] == [4]


def test_a_quote_inside_a_field_is_kept(tmp_path: Path) -> None:
    table = manifest(tmp_path, 'a,p1,a.png,PA,63,M,1,u,5" tube', "b,p1,b.png,PA,63,M,1,,", "c,p1,c.png,PA")
    assert table.rows["ward"].tolist() == ['5" tube', ""]
    assert [entry.row for entry in table.quarantine] == [4]


def test_a_row_with_an_unclosed_quote_is_set_aside(tmp_path: Path) -> None:
    table = manifest(tmp_path, ROWS[0], '"b,p1,b.png,PA,63,M,1,,', "c,p1,c.png,PA,63,M,1,,")
    assert table.rows["image"].tolist() == ["a", "c"]
    assert [entry.row for entry in table.quarantine] == [3]
    assert "quote" in table.quarantine[0].reason


def test_quotes_within_unquoted_fields_are_ordinary_letters(tmp_path: Path) -> None:
    notes = ['12" film', "plain", '"quoted, with a comma"', 'a 7" and a 9"', 'tube 3"', "", 'scar "old"']
    rows = [f"i{k},p{k},i{k}.png,PA,50,M,1,,{note}" for k, note in enumerate(notes)]
    table = manifest(tmp_path, *rows)
    assert table.quarantine == []
    assert table.rows["image"].tolist() == [f"i{k}" for k in range(len(notes))]
    assert table.rows["ward"].tolist() == [note.strip('"') if "," in note else note for note in notes]


def test_every_line_of_a_record_that_is_set_aside_is_counted(tmp_path: Path) -> None:
    table = manifest(tmp_path, ROWS[0], 'b,"p1', "c,p1,c.png,PA,63,M,1,,", 'd",x', ROWS[2])
    assert table.rows["image"].tolist() == ["a", "c"]
    assert [entry.row for entry in table.quarantine] == [3, 4, 5]


def test_missing_pictures_are_reported(tmp_path: Path) -> None:
    (tmp_path / "pictures/one").mkdir(parents=True)
    (tmp_path / "pictures/one/a.png").touch()
    (tmp_path / "pictures/c.png").touch()
    table = read_manifest(write(tmp_path, TEXT), tmp_path / "pictures")
    assert table.rows["image"].tolist() == ["a", "c"]
    assert [(entry.row, entry.image) for entry in table.quarantine] == [(3, "b")]


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("image_id,patient_id,Mass", ["labels.csv, row 1", "'path'"]),
        ("image_id,Mass", ["'path'", "'patient_id'"]),
        ("image_id,patient_id,path,Pleural Thicknening", ["did you mean 'Pleural_Thickening'"]),
        ("image_id,patient_id,path,Lung mass,Mass", ["'Lung mass'", "'Mass'", "both Mass"]),
        ("image_id,patient_id,path,Pnuemonia", ["did you mean 'Pneumonia'"]),
        ("image_id,patient_id,path,sexx", ["'sexx'", "did you mean 'sex'"]),
        ("image_id,path,patnt_id,Pnuemonia", ["'patient_id'", "'patnt_id'", "'Pneumonia'"]),
        ("image_id,patient_id,path,Mass,Mass", ["'Mass'", "more than once"]),
    ],
)
def test_a_wrong_header_is_an_error(tmp_path: Path, header: str, words: list[str]) -> None:
    with pytest.raises(ManifestError) as failure:
        manifest(tmp_path, header=header)
    for word in words:
        assert word in str(failure.value)


@pytest.mark.parametrize(
    "data", [b"", b"\n \n", b"PK\x03\x04junk", gzip.compress(TEXT.encode(), mtime=0)[:40]]
)
def test_an_unreadable_manifest_is_named(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ManifestError, match=r"labels\.csv"):
        read_manifest(write(tmp_path, data), None)


def test_a_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"nowhere\.csv"):
        read_manifest(tmp_path / "nowhere.csv", None)


def test_a_header_alone_is_an_empty_table(tmp_path: Path) -> None:
    table = manifest(tmp_path)
    assert len(table.rows) == 0
    assert table.states.shape == table.terms.shape == (0, 18)


def test_a_manifest_without_a_task_column_is_refused(tmp_path: Path) -> None:
    table = manifest(tmp_path, "a,p,a.png", header="image_id,patient_id,path")
    assert "no column is a finding" in table.notes[0]


def test_the_manifest_reader_is_registered() -> None:
    assert sources()["manifest"] is read_manifest


@pytest.mark.parametrize(
    ("folder", "images", "positives"),
    [("nih", 1000, 500), ("guangzhou", 2500, 1500), ("covid_idc", 462, 419)],
)
def test_real_manifests_are_read_with_their_pictures(folder: str, images: int, positives: int) -> None:
    path = Path(__file__).parents[4] / "../shared/data/images" / folder
    if not path.is_dir():
        pytest.skip("the pictures are not there")
    table = read_manifest(path / "labels.csv", path)
    assert (table.quarantine, len(table.rows)) == ([], images)
    assert (table.states[:, TASK_INDEX["Pneumonia"]] == POSITIVE).sum() == positives


DECLARED = (
    "image_id,patient_id,path,TB,Rickets,Support devices\na,p,a.png,1,1,0\nb,q,b.png,,0,1\nc,r,c.png,yes,1,\n"
)


def test_only_a_declared_column_is_a_finding(tmp_path):
    file = write(tmp_path, DECLARED)
    table = read_manifest(file, None, ("Tuberculosis", "Support Devices"))
    assert table.findings == (*TASKS, "Tuberculosis", "Support Devices")
    assert table.states[:, len(TASKS) :].tolist() == [[1, 0], [-2, 1]]
    assert table.terms[:, len(TASKS) :].tolist() == [["TB", "Support devices"], [None, "Support devices"]]
    assert [(entry.row, entry.image) for entry in table.quarantine] == [(4, "c")]
    assert table.rows["Rickets"].tolist() == ["1", "0"], "it looks like a finding, and nobody declared it"
    assert (table.states[:, : len(TASKS)] == -2).all()


def test_undeclared_columns_are_metadata(tmp_path):
    table = read_manifest(write(tmp_path, DECLARED), None)
    assert table.findings == TASKS
    assert (table.states == -2).all()
    assert {"TB", "Support devices"} <= set(table.rows.columns)


def test_a_declared_finding_without_a_column_is_reported(tmp_path):
    table = read_manifest(write(tmp_path, DECLARED), None, ("Kerley lines",))
    assert any("'Kerley lines' was declared as a finding, and no column" in note for note in table.notes)


def test_synonyms_of_fields_and_findings_are_recognised(tmp_path: Path) -> None:
    header = "Image Index,PatientID,file path,View Position,Patient Age,Gender,mass,Airspace opacity,ward"
    table = manifest(tmp_path, *ROWS, header=header)
    plain = manifest(tmp_path, *ROWS)
    assert (table.states == plain.states).all()
    assert table.rows.equals(plain.rows)
    assert dict(table.uses)["Airspace opacity"] == "Lung Opacity"
    assert dict(table.uses)["ward"] == "kept as it is (no label)"


def test_an_unknown_patient_is_none(tmp_path: Path) -> None:
    words = ["NA", "nan", "None", "null", "unknown", "", "N/A", "p1", "p1"]
    table = manifest(tmp_path, *[f"i{k},{word},i{k}.png,PA,1,M,1,," for k, word in enumerate(words)])
    assert table.rows["patient"].tolist() == [None] * 7 + ["p1", "p1"]
    assert "7 image(s) have no patient" in " ".join(table.notes)


def test_patients_whose_names_differ_only_in_zeros_are_reported(tmp_path: Path) -> None:
    table = manifest(tmp_path, "a,007,a.png,PA,1,M,1,,", "b,7.0,b.png,PA,1,M,1,,", "c,8,c.png,PA,1,M,1,,")
    assert table.rows["patient"].tolist() == ["007", "7.0", "8"]
    assert "'007' and '7.0'" in " ".join(table.notes)


@pytest.mark.parametrize(
    ("text", "age"),
    [("120", 120), ("121", None), ("999", None), ("411", None), ("1_0", None), ("65M", None), ("018M", 1.5), ("NA", None),
     ("63,5", 63.5), ("58Y", 58), ("90+", None), ("-3", None), ("old", None), ("", None), ("nan", None), ("٣", None)],
)  # fmt: skip
def test_an_invalid_age_is_unknown_and_keeps_its_image(tmp_path: Path, text: str, age: float | None) -> None:
    table = manifest(tmp_path, f'a,p1,a.png,PA,"{text}",M,1,,', ROWS[1])
    assert table.quarantine == []
    (read, _) = table.rows["age"].tolist()
    assert (None if np.isnan(read) else read) == age
    is_noted = any("the age of 1 row(s) is unknown" in note for note in table.notes)
    assert is_noted == (age is None and text.lower() not in ("", "na", "nan"))


def test_lateral_views_are_recognised_in_any_wording(tmp_path: Path) -> None:
    side = ["Left Lateral", "LLAT", "lateral view", "CHEST LAT", "LAT", "RL"]
    front = ["PA", "AP", "AP PORTABLE", "lat decubitus", "flat panel", "", "NA"]
    table = manifest(tmp_path, *[f"i{k},p{k},i{k}.png,{view},1,M,1,," for k, view in enumerate(side + front)])
    views = table.rows["view"].tolist()
    assert views == ["LATERAL"] * 4 + [
        "LAT",
        "RL",
        "PA",
        "AP",
        "AP PORTABLE",
        "lat decubitus",
        "flat panel",
        None,
        None,
    ]
    assert table.rows["view_as_written"].tolist()[:4] == side[:4]
