"""From what a hospital has, whatever its form, to the cohort, labels and AUCs that a clean manifest of it gives."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.flows.test_evaluate_pictures import CARD, write_network
from tests.homes import Home
from tests.xray.pixels.test_decode import dicom_file

N = 60
MAXIMUM = 4095
"""Of the pictures: 12 bits, as the archive's."""
WORDS = {0: "nein", 1: "ja"}


pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # five registrations, two judgements


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures as 16-bit PNG and as a tree of DICOM files with the same values, their clean manifest, a bought network."""
    folder = tmp_path_factory.mktemp("what a hospital has")
    draw = np.random.default_rng(3)
    rows = []
    (folder / "png").mkdir()
    write_network(folder / "vendor.onnx")
    (folder / "vendor.toml").write_text(CARD)
    findings = draw.random((N // 2, 2)) < (0.4, 0.3)
    for k in range(N):
        mass, effusion = map(int, findings[k // 2])
        level = np.clip(draw.normal(1700 + 700 * mass, 500), 200, 3800)
        values = np.clip(draw.normal(level, 150, (32, 32)), 0, MAXIMUM).astype(np.uint16)
        age, sex, view = 20 + 2 * (k // 2), "MF"[k // 2 % 2], ("PA", "AP")[k % 2]
        Image.fromarray(values).save(folder / "png" / f"{k}.png")
        path = folder / "tree" / f"p{k // 2}" / f"IM{k}"
        path.parent.mkdir(parents=True, exist_ok=True)
        dicom_file(
            path,
            values,
            SOPInstanceUID=f"1.2.{k}",
            PatientID=f"p{k // 2}",
            StudyInstanceUID=f"1.9.{k // 2}",
            AccessionNumber=f"A{k // 2}",
            PatientAge=f"{age:03}Y",
            PatientSex=sex,
            ViewPosition=view,
            Modality="DX",
        )
        rows.append((f"1.2.{k}", f"p{k // 2}", f"{k}.png", view, age, sex, mass, effusion))
    columns = ["image_id", "patient_id", "path", "view", "age", "sex", "Mass", "Effusion"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "png" / "manifest.csv", index=False)
    return folder


def hospitals_words(data: Path) -> pd.DataFrame:
    """The manifest as a hospital would write it, its pictures beside it."""
    frame = pd.read_csv(data / "png" / "manifest.csv")
    frame[["Mass", "Effusion"]] = frame[["Mass", "Effusion"]].replace(WORDS)
    return frame.rename(columns={"Effusion": "Pleural effusion", "sex": "Geschlecht"})


def write_xlsx(data: Path) -> Path:
    frame = hospitals_words(data).replace({"ja": "Yes", "nein": "No"})
    frame.to_excel(data / "png" / "export.xlsx", index=False)
    return data / "png" / "export.xlsx"


def write_latin(data: Path) -> Path:
    path = data / "png" / "export.csv"
    frame = hospitals_words(data).assign(Bemerkung="geprüft; größer")
    frame.to_csv(path, index=False, sep=";", encoding="latin-1", lineterminator="\r\n")
    return path


def write_long(data: Path) -> Path:
    frame = hospitals_words(data)
    columns = [name for name in frame if name not in ("Mass", "Pleural effusion")]
    path = data / "png" / "long.csv"
    frame.melt(id_vars=columns, var_name="Befund", value_name="Wert").to_csv(path, index=False)
    return path


def add_table(home: Home, data: Path, name: str, path: Path) -> None:
    mapping = path.with_name(f"{name}.toml")
    home.run("dataset", "draft", path, "-o", mapping)
    home.run("dataset", "add", name, "--map", mapping, "--maximum", str(MAXIMUM), *REST, "--site", name)


def add_dicom(home: Home, data: Path, name: str) -> None:
    """A tree, and a sheet with a row for each study, in the hospital's words."""
    frame = pd.read_csv(data / "png" / "manifest.csv").iloc[::2]
    lines = ["Auftrag;Raumforderung;Erguss"]
    lines += [
        f"A{k};{WORDS[mass]};{WORDS[effusion]}"
        for k, (mass, effusion) in enumerate(zip(frame["Mass"], frame["Effusion"], strict=True))
    ]
    (data / "sheet.csv").write_text("\n".join(lines) + "\n")
    (data / "sheet.toml").write_text(
        '[columns]\nstudy = "Auftrag"\n[findings]\nRaumforderung = "Mass"\nErguss = "Effusion"\n'
        '[words]\npositive = ["ja"]\nnegative = ["nein"]\n'
    )
    options = ("--images", data / "tree", "--labels", data / "sheet.csv", "--map", data / "sheet.toml")
    home.run("dataset", "add", name, "--source", "dicom", *options, *REST, "--site", name)


REST = ("--protocol", "external")
TABLES: dict[str, Callable[[Path], Path]] = {"xlsx": write_xlsx, "latin": write_latin, "long": write_long}


def about(home: Home, dataset: str) -> dict[str, object]:
    """All that a dataset says of its images: cohort, metadata, labels."""
    images = home.sql(
        "select image.name, patient.name as patient, view, age, sex from cohort"
        f" join dataset on dataset.id = dataset_id and dataset.name = '{dataset}'"
        " join image_list on image_list.id = cohort.image_list_id"
        " join image on image.id = any(image_list.image_ids) join patient on patient.id = image.patient_id"
        " where part = 'test' order by 1"
    )
    labels = home.sql(
        f"select image, task, state from labels where dataset = '{dataset}' and task in ('Mass', 'Effusion') order by 1, 2"
    )
    return {"images": images, "labels": labels}


def test_every_form_of_a_table_registers_the_same_data_as_the_clean_manifest(
    new_home: Home, data: Path
) -> None:
    manifest = ("--manifest", data / "png" / "manifest.csv", "--maximum", str(MAXIMUM))
    new_home.run("dataset", "add", "clean", *manifest, *REST, "--site", "clean")
    for name, write in TABLES.items():
        add_table(new_home, data, name, write(data))
    add_dicom(new_home, data, "dicom")

    clean = about(new_home, "clean")
    assert (len(clean["images"]), len(clean["labels"])) == (N, 2 * N)  # type: ignore[arg-type]
    for name in (*TABLES, "dicom"):
        assert about(new_home, name) == clean, name

    options = [word for name in ("clean", *TABLES, "dicom") for word in ("--dataset", name)]
    new_home.run("evaluate", "--model", data / "vendor.onnx", *options)
    tables = results(new_home)
    assert len(tables) == 2 * 5
    for (name, task), row in tables.items():
        assert row == tables["clean", task], name  # to the last bit: the pixels are the same
    assert 0.5 < tables["clean", "Mass"]["auc"] < 1

    scores = new_home.sql(
        "select image, max(100 * probability) filter (where task = 'Mass') as \"Mass\","
        " max(100 * probability) filter (where task = 'Effusion') as \"Pleural effusion\""
        " from predictions where test_dataset = 'clean' group by 1"
    )
    pd.DataFrame(scores).to_excel(data / "their-scores.xlsx", index=False)
    new_home.run(
        "evaluate",
        data / "their-scores.xlsx",
        *("--kind", "percent", "--labels", data / "png" / "manifest.csv", "--site", "percent"),
        *("--study", "percent"),
    )
    by_percent = results(new_home, "percent")
    assert len(by_percent) == 2
    for (_, task), row in by_percent.items():
        assert row == tables["clean", task]


def results(home: Home, study: str = "evaluation") -> dict[tuple[str, str], dict[str, float]]:
    """AUC, interval and counts by dataset and finding."""
    rows = map(json.loads, home.run("analyse", "performance", "--study", study, "--json").stdout.splitlines())
    columns = ("auc", "lower", "upper", "n", "n_pos")
    return {(row["test_dataset"], row["task"]): {name: row[name] for name in columns} for row in rows}
