"""Where a label comes from: cell, term, rule; or why there is none."""

import dataclasses
from pathlib import Path

from xray.data.labels.explain import Explanation, explain
from xray.data.protocol import load_protocol
from xray.data.selection import select
from xray.data.sources.chexpert import read_chexpert
from xray.data.sources.manifest import read_manifest
from xray.data.sources.nih import read_nih

COLUMNS = (
    "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Enlarged Cardiomediastinum,Cardiomegaly,"
    "Lung Opacity,Lung Lesion,Edema,Consolidation,Pneumonia,Atelectasis,Pneumothorax,"
    "Pleural Effusion,Pleural Other,Fracture,Support Devices"
)


def explained(explanations: list[Explanation], task: str) -> Explanation:
    return next(explanation for explanation in explanations if explanation.task == task)


def test_stitched_labels_name_their_source_image(tmp_path: Path) -> None:
    start = "v/train/patient00001/study"
    rows = [
        f"{start}1/a.jpg,F,60,Frontal,PA,,,-1.0,,,,,,,,,,,",
        f"{start}2/a.jpg,F,60,Frontal,PA,,,,,,,,,,,1.0,,,",
    ]
    (tmp_path / "train.csv").write_text("\n".join([COLUMNS, *rows]))
    table = read_chexpert(tmp_path, None)
    paper = load_protocol("paper")
    explanations = explain(table, select(table, "chexpert", paper), 0, "chexpert", paper)
    assert len(explanations) == 18
    effusion = explained(explanations, "Effusion")
    assert (effusion.state, effusion.label, effusion.column) == ("positive", 1, "Pleural Effusion")
    assert effusion.image == f"{start}2/a.jpg"
    assert (effusion.value, effusion.term, effusion.source) == ("1.0", "Pleural Effusion", "protocol §4 (d)")
    heart = explained(explanations, "Cardiomegaly")
    assert (heart.state, heart.label, heart.image) == ("uncertain", None, f"{start}1/a.jpg")
    edema = explained(explanations, "Edema")
    assert (edema.state, edema.label, edema.image, edema.rule) == (
        "not mentioned",
        None,
        None,
        "the cell is blank",
    )
    assert "does not speak" in explained(explanations, "Mass").rule
    corrected = load_protocol("corrected")
    explanations = explain(table, select(table, "chexpert", corrected), 0, "chexpert", corrected)
    assert explained(explanations, "Effusion").state == "not mentioned"


def test_a_label_by_no_finding_names_no_finding_as_the_reason(tmp_path: Path) -> None:
    row = "train/patient00001/study1/a.jpg,F,60,Frontal,PA,1.0,,,,,,,,,,,,,"
    (tmp_path / "train.csv").write_text("\n".join([COLUMNS, row]))
    table = read_chexpert(tmp_path, None)
    protocol = load_protocol("corrected")
    edema = explained(explain(table, select(table, "chexpert", protocol), 0, "chexpert", protocol), "Edema")
    assert (edema.state, edema.label, edema.column, edema.value) == ("negative", 0, "No Finding", "1.0")
    assert edema.source == "protocol §4 (b)"


def test_a_label_from_text_names_its_term_and_cell(tmp_path: Path) -> None:
    header = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"
    (tmp_path / "Data_Entry_2017.csv").write_text(f"{header}\na.png,Mass|Nodule,0,1,058Y,M,PA\n")
    table = read_nih(tmp_path, None)
    protocol = load_protocol("paper")
    explanations = explain(table, select(table, "nih", protocol), 0, "nih", protocol)
    mass, hernia = explained(explanations, "Mass"), explained(explanations, "Hernia")
    assert (mass.state, mass.term, mass.column, mass.value) == (
        "positive",
        "Mass",
        "Finding Labels",
        "Mass|Nodule",
    )
    assert (hernia.state, hernia.label, hernia.term, hernia.image) == ("negative", 0, None, "a.png")


def test_a_manifests_label_names_its_column(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("image_id,patient_id,path,Mass,Edema\na,p,a.png,u,\n")
    table = read_manifest(tmp_path / "m.csv", None)
    protocol = load_protocol("corrected")
    explanations = explain(table, select(table, "mine", protocol), 0, "mine", protocol)
    mass = explained(explanations, "Mass")
    assert (mass.state, mass.label, mass.column, mass.image) == ("uncertain", None, "Mass", "a")
    assert explained(explanations, "Edema").state == "not mentioned"


def test_a_missing_column_is_distinguished_from_a_blank_cell(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("image_id,patient_id,path,Mass,Edema\na,p,a.png,u,\nb,q,b.png,1,0\n")
    table = read_manifest(tmp_path / "m.csv", None)
    protocol = load_protocol("corrected")
    explanations = explain(table, select(table, "mine", protocol), 0, "mine", protocol)
    assert explained(explanations, "Edema").rule == "the cell is blank"
    assert explained(explanations, "Hernia").rule == "the file has no column for it, or only blank cells"


def test_a_published_file_without_one_of_its_columns_is_explained(tmp_path: Path) -> None:
    row = "train/patient00001/study1/a.jpg,F,60,Frontal,PA,,,1.0,,,,,,,,,,,"
    (tmp_path / "train.csv").write_text("\n".join([COLUMNS, row]))
    table = read_chexpert(tmp_path, None)
    table = dataclasses.replace(table, rows=table.rows.drop(columns="Edema"))
    protocol = load_protocol("corrected")
    explanations = explain(table, select(table, "chexpert", protocol), 0, "chexpert", protocol)
    assert explained(explanations, "Edema").rule == "the label file has no column Edema"
    assert explained(explanations, "Fracture").rule == "the cell is blank"
