"""A hospital's own table: whatever its format, words and layout, it gives what the clean manifest of the same data gives."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from xray.data.mapping.draft import draft
from xray.data.mapping.model import mapping_of, read_mapping
from xray.data.mapping.read import read_mapped
from xray.data.sources.base import NOT_MENTIONED, SourceTable
from xray.data.sources.manifest import read_manifest
from xray.errors import DataError, ManifestError
from xray.tasks import TASK_INDEX

N = 60


def clean() -> pd.DataFrame:
    """A manifest: 40 patients, ages, sexes, views, two findings of which each is said of every image."""
    random = np.random.default_rng(5)
    return pd.DataFrame(
        {
            "image_id": [f"bé{k}" for k in range(N)],
            "patient_id": [f"p{k % 40}" for k in range(N)],
            "path": [f"bé{k}.png" for k in range(N)],
            "view": random.choice(["PA", "AP", "LATERAL"], N),
            "age": random.integers(20, 90, N),
            "sex": random.choice(["M", "F"], N),
            "Effusion": random.integers(0, 2, N),
            "Cardiomegaly": random.integers(0, 2, N),
        }
    ).astype(str)


def as_they_write(frame: pd.DataFrame, yes: str = "ja", no: str = "nein") -> pd.DataFrame:
    """The same data in a hospital's words."""
    words = {"1": yes, "0": no}
    table = frame.assign(Effusion=frame["Effusion"].map(words), Cardiomegaly=frame["Cardiomegaly"].map(words))
    return table.rename(
        columns={"Effusion": "Pleural effusion", "Cardiomegaly": "Enlarged heart", "sex": "Geschlecht"}
    )


def write_xlsx(folder: Path) -> Path:
    as_they_write(clean(), "Yes", "No").astype({"age": int}).to_excel(folder / "e.xlsx", index=False)
    return folder / "e.xlsx"


def write_latin(folder: Path) -> Path:
    as_they_write(clean()).to_csv(
        folder / "e.csv", index=False, sep=";", encoding="latin-1", lineterminator="\r\n"
    )
    return folder / "e.csv"


def write_utf16_tabs(folder: Path) -> Path:
    as_they_write(clean(), "present", "absent").to_csv(
        folder / "e.tsv", index=False, sep="\t", encoding="utf-16"
    )
    return folder / "e.tsv"


def write_parquet(folder: Path) -> Path:
    frame = clean()
    frame = frame.assign(age=frame["age"].astype(float), Effusion=frame["Effusion"] == "1")
    frame.to_parquet(folder / "e.parquet")
    return folder / "e.parquet"


def write_long(folder: Path) -> Path:
    melted = as_they_write(clean()).melt(
        id_vars=["image_id", "patient_id", "path", "view", "age", "Geschlecht"],
        var_name="Befund",
        value_name="Wert",
    )
    melted.sort_values(["image_id", "Befund"], key=lambda c: c.str.len() if c.name == "x" else c).to_csv(
        folder / "e.csv", index=False
    )
    return folder / "e.csv"


def write_listed(folder: Path) -> Path:
    frame = clean()
    both = [
        "|".join(n for n, yes in (("Pleural effusion", e), ("Cardiomegaly", c)) if yes == "1") or "No Finding"
        for e, c in zip(frame["Effusion"], frame["Cardiomegaly"], strict=True)
    ]
    frame.drop(columns=["Effusion", "Cardiomegaly"]).assign(Diagnoses=both).to_csv(
        folder / "e.csv", index=False
    )
    return folder / "e.csv"


def in_order(table: SourceTable) -> tuple[pd.DataFrame, np.ndarray]:
    order = table.rows["image"].argsort().to_numpy()
    columns = ["image", "patient", "path", "view", "age", "sex"]
    return table.rows.iloc[order][columns].reset_index(drop=True), table.states[order]


@pytest.mark.parametrize(
    "write", [write_xlsx, write_latin, write_utf16_tabs, write_parquet, write_long, write_listed]
)
def test_a_drafted_mapping_reads_the_same_data_from_every_file_type(
    tmp_path: Path, write: Callable[[Path], Path]
) -> None:
    path = write(tmp_path)
    (tmp_path / "map.toml").write_text(draft(path))
    table = read_mapped(path, None, read_mapping(tmp_path / "map.toml"))
    assert table.quarantine == []
    clean().to_csv(tmp_path / "clean.csv", index=False)
    rows, states = in_order(table)
    expected, expected_states = in_order(read_manifest(tmp_path / "clean.csv", None))
    pd.testing.assert_frame_equal(rows, expected)
    np.testing.assert_array_equal(states, expected_states)


def test_labels_of_a_study_apply_to_each_of_its_pictures(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("Accession,Patient,Effusion\nA1,p1,1\nA2,p2,0\nA3,p3,1\n")
    (tmp_path / "pictures.csv").write_text(
        "name;study;file\ni1;A1;a.png\ni2;A1;b.png\ni3;A2;c.png\ni4;A9;d.png\n"
    )
    pictures = {"file": "pictures.csv", "image": "name", "study": "study", "path": "file"}
    mapping = mapping_of({"columns": {"study": "Accession"}, "pictures": pictures}, "m.toml")
    table = read_mapped(tmp_path / "labels.csv", None, mapping)
    assert table.rows["image"].tolist() == ["i1", "i2", "i3"]
    assert table.rows["patient"].tolist() == ["p1", "p1", "p2"]
    assert table.states[:, TASK_INDEX["Effusion"]].tolist() == [1, 1, 0]
    assert {(entry.file, entry.row) for entry in table.quarantine} == {("labels.csv", 4), ("pictures.csv", 5)}


def test_contradicting_rows_of_a_long_table_give_no_label(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text(
        "image,finding,value\na,Mass,1\na,Mass,0\na,Edema,1\nb,Mass,0\nb,Edema,x\n,Mass,1\n"
    )
    table = read_mapped(
        tmp_path / "l.csv", None, mapping_of({"long": {"finding": "finding", "value": "value"}}, "m")
    )
    assert table.rows["image"].tolist() == ["a", "b"]
    assert table.states[:, TASK_INDEX["Mass"]].tolist() == [NOT_MENTIONED, 0]
    assert table.states[:, TASK_INDEX["Edema"]].tolist() == [1, NOT_MENTIONED]
    assert sorted(entry.row or 0 for entry in table.quarantine) == [3, 6, 7]


def test_an_empty_list_gives_no_label(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("image,dx\na,Mass\nb,\nc,No Finding\nd,Cough\n")
    table = read_mapped(tmp_path / "l.csv", None, mapping_of({"terms": {"column": "dx"}}, "m"))
    assert table.states[:, TASK_INDEX["Mass"]].tolist() == [1, NOT_MENTIONED, 0, NOT_MENTIONED]
    assert "'Cough' (1)" in " ".join(table.notes)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"colums": {}}, ["colums", "did you mean 'columns'"]),
        ({"words": {"postive": ["1"]}}, ["words.postive", "did you mean 'positive'"]),
        ({"long": {"findng": "x"}}, ["long.finding", "long.findng", "did you mean 'finding'"]),
        ({"columns": {"imge": "x"}}, ["'imge'", "did you mean 'image'"]),
        ({"words": {"positive": ["yes"], "negative": ["Yes"]}}, ["'Yes'", "positive", "negative"]),
        ({"site": 3, "file": 4}, ["site", "file"]),
    ],
)
def test_every_fault_of_a_mapping_is_named(keys: dict[str, object], words: list[str]) -> None:
    with pytest.raises(ManifestError) as failure:
        mapping_of(keys, "hospital.toml")
    for word in ["hospital.toml", *words]:
        assert word in str(failure.value)


def test_a_mapping_without_a_column_or_finding_is_refused(tmp_path: Path) -> None:
    clean().to_csv(tmp_path / "c.csv", index=False)
    keys = {"columns": {"view": "veiw"}, "findings": {"Effusion": "Efusion", "nowhere": "Mass"}}
    with pytest.raises(ManifestError) as failure:
        read_mapped(tmp_path / "c.csv", None, mapping_of(keys, "m.toml"), "m.toml")
    for word in ("'veiw'", "'view'", "'Efusion'", "'Effusion'", "'nowhere'"):
        assert word in str(failure.value)


def test_a_finding_with_key_and_word_swapped_is_told_how_to_write_it(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("Bild,Erguss\na,1\n")
    mapping = mapping_of({"columns": {"image": "Bild"}, "findings": {"Effusion": "Erguss"}}, "m.toml")
    with pytest.raises(
        ManifestError, match="no column 'Effusion'; in \\[findings\\] its word goes first: 'Erguss' = "
    ):
        read_mapped(tmp_path / "a.csv", None, mapping, origin="m.toml")


def test_a_workbook_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "b.xlsx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", "<x/>")
        archive.writestr("xl/worksheets/sheet1.xml", b" " * 40_000_000)
    with pytest.raises(DataError, match=r"b\.xlsx.*such a file is refused"):
        draft(tmp_path / "b.xlsx")
