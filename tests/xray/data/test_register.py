"""Registration through the real database: what is taken, what is set aside, and that nothing is half-registered."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from PIL import Image
from sqlalchemy import Engine, text

from xray.data import picture_hashes
from xray.data.counts import count_states
from xray.data.prepare import register_request
from xray.data.quarantine import read_quarantine
from xray.data.register import Registration
from xray.data.registered import read_named
from xray.data.request import DatasetRequest
from xray.errors import DataError, XrayError
from xray.tasks import TASK_INDEX

WriteNih = Callable[..., Path]
Counts = Callable[[], dict[str, int]]


def add(
    engine: Engine, name: str, labels: Path, images: Path | None = None, **options: object
) -> Registration:
    source = str(options.pop("source", name))
    site = str(options.pop("site", "nih-cc"))
    request = DatasetRequest(name, site, source, labels, images, None, labels_only=images is None)
    return register_request(engine, request, "corrected", **options)  # type: ignore[arg-type]


def draw(path: Path, seed: int, side: int = 32, dtype: type = np.uint8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    high = 256 if dtype is np.uint8 else 65536
    pixels = np.random.default_rng(seed).integers(0, high, (side, side)).astype(dtype)
    Image.fromarray(pixels).save(path)


def manifest(folder: Path, n: int = 20) -> Path:
    """n patients of one picture each, all there."""
    rows = ["image_id,patient_id,path,Mass"]
    for i in range(n):
        draw(folder / f"{i}.png", i)
        rows.append(f"i{i},p{i},{i}.png,{i % 2}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder / "labels.csv"


def test_a_registered_dataset_is_read_back_unchanged(
    engine: Engine, tmp_path: Path, write_nih: WriteNih
) -> None:
    registration = add(engine, "nih", write_nih(tmp_path))
    assert (
        registration.n_images,
        registration.n_patients,
        registration.unchanged,
        registration.quarantine,
    ) == (80, 40, False, [])
    assert registration.notes == ["release of 2017, the paper's"]
    with engine.connect() as connection:
        back = read_named(connection, "nih", terms=True).table
        (rule,) = connection.execute(
            text("select native_column, rule, source from label_rule where term = 'Mass'")
        ).all()
        cells = connection.execute(
            text("select count(*) from native_cells where native_column = 'Follow-up #'")
        )
        assert cells.scalar() == 80
    assert back.rows["Finding Labels"].tolist()[4] == "Mass|Nodule"
    assert back.rows["Follow-up #"].tolist()[:4] == ["0", "1", "0", "1"]
    assert back.rows["view"].tolist() == ["PA"] * 80
    assert back.terms[4, TASK_INDEX["Mass"]] == "Mass"
    assert back.terms[0, TASK_INDEX["Mass"]] is None
    assert back.states[4, TASK_INDEX["Mass"]] == 1
    assert tuple(rule) == ("Finding Labels", "contains", "protocol §2")


def test_a_second_registration_changes_nothing_and_other_content_is_refused(
    engine: Engine, tmp_path: Path, write_nih: WriteNih, count_rows: Counts
) -> None:
    add(engine, "nih", write_nih(tmp_path, 40, "x.png,Cough,0,99,058Y,M,PA"))
    before = count_rows()
    again = add(engine, "nih", tmp_path / "Data_Entry_2017.csv")
    assert (again.unchanged, again.n_images, len(again.quarantine)) == (True, 80, 1)
    write_nih(tmp_path, 41)
    with pytest.raises(DataError, match="other content"):
        add(engine, "nih", tmp_path / "Data_Entry_2017.csv")
    assert count_rows() == before


def test_bad_rows_are_set_aside_with_name_and_reason(
    engine: Engine, tmp_path: Path, write_nih: WriteNih
) -> None:
    bad = ["a.png,Cough,0,7,058Y,M,PA", "b.png,Mass,0,seven,058Y,M,PA", "c.png,Mass"]
    registration = add(engine, "nih", write_nih(tmp_path, 40, *bad))
    assert (registration.n_images, [entry.row for entry in registration.quarantine]) == (80, [82, 83, 84])
    assert "column 'Finding Labels': 'Cough'" in registration.quarantine[0].reason
    assert "column 'Patient ID': 'seven'" in registration.quarantine[1].reason
    with engine.connect() as connection:
        assert read_quarantine(connection, registration.dataset_id) == registration.quarantine


def test_strict_registration_with_a_bad_row_registers_nothing(
    engine: Engine, tmp_path: Path, write_nih: WriteNih, count_rows: Counts
) -> None:
    before = count_rows()
    with pytest.raises(
        DataError, match=r"Data_Entry_2017\.csv, row 82, image a\.png: column 'Finding Labels': 'Cough'"
    ):
        add(engine, "nih", write_nih(tmp_path, 40, "a.png,Cough,0,7,058Y,M,PA"), strict=True)
    assert count_rows() == before


def test_more_than_half_bad_rows_are_an_error_without_partial(
    engine: Engine, tmp_path: Path, write_nih: WriteNih, count_rows: Counts
) -> None:
    bad = [f"x{i}.png,Cough,0,7,058Y,M,PA" for i in range(21)]
    labels, before = write_nih(tmp_path, 10, *bad), count_rows()
    with pytest.raises(DataError, match=r"21 of 41 rows(.|\n)*and 11 more"):
        add(engine, "nih", labels)
    assert count_rows() == before
    assert add(engine, "nih", labels, partial=True).n_images == 20
    with pytest.raises(DataError, match="no row can be used"):
        add(engine, "other", write_nih(tmp_path / "b", 0, *bad), source="nih", partial=True)


def test_unusable_pictures_are_set_aside(engine: Engine, tmp_path: Path) -> None:
    labels = manifest(tmp_path)
    (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:200])
    (tmp_path / "2.png").write_bytes(b"not a picture at all")
    draw(tmp_path / "3.png", 3, side=8)
    Image.fromarray(np.full((32, 32), 7, np.uint8)).save(tmp_path / "4.png")
    draw(tmp_path / "5.png", 0)
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (32, 32)).astype(np.uint16)).save(
        tmp_path / "6.png"
    )
    (tmp_path / "7.png").unlink()
    labels.write_text(labels.read_text().replace("i8,p8,8.png", "i8,p8,"))
    registration = add(engine, "mine", labels, tmp_path, source="manifest", site="here")
    by_key = {entry.image: entry.reason for entry in registration.quarantine}
    words = {
        "i1": "1.png", "i2": "not a PNG", "i3": "8 × 8 pixels", "i4": "every pixel is 7",
        "i5": "same picture as image i0", "i6": "8-bit picture in a wider file", "i7": "no such picture",
        "i8": "no picture is named",
    }  # fmt: skip
    assert set(by_key) == set(words)
    for image, word in words.items():
        assert word in by_key[image]
    assert registration.n_images == 12
    with engine.connect() as connection:
        hashes = connection.execute(text("select content_hash, perceptual_hash, path from image")).all()
    assert len({row.content_hash for row in hashes}) == 12
    assert {len(row.perceptual_hash) for row in hashes} == {64}
    assert all(Path(row.path).is_file() for row in hashes)


def test_a_repaired_picture_is_reported_and_changes_nothing(
    engine: Engine, tmp_path: Path, count_rows: Counts
) -> None:
    labels = manifest(tmp_path)
    (tmp_path / "2.png").write_bytes(b"not a picture at all")
    draw(tmp_path / "5.png", 0)
    add(engine, "mine", labels, tmp_path, source="manifest", site="here")
    before = count_rows()
    assert add(engine, "mine", labels, tmp_path, source="manifest", site="here").notes == []
    draw(tmp_path / "2.png", 2)
    again = add(engine, "mine", labels, tmp_path, source="manifest", site="here")
    (note,) = again.notes
    assert note.startswith("1 picture(s) that were set aside can be used now, such as i2;")
    assert again.unchanged
    assert count_rows() == before


def test_simultaneous_registrations_store_the_dataset_once(
    engine: Engine, tmp_path: Path, count_rows: Counts
) -> None:
    """Four of one dataset and two others of the site at once: one each is new, and nothing is doubled."""
    names = ["mine", "mine", "mine", "mine", "second", "third"]
    files = {name: tmp_path / name for name in set(names)}
    for name, folder in files.items():
        folder.mkdir()
        manifest(folder)
        text_of = (folder / "labels.csv").read_text()
        (folder / "labels.csv").write_text(
            text_of if name != "third" else text_of.replace("\ni", "\nother-i")
        )

    def one(name: str) -> bool:
        registration = add(
            engine, name, files[name] / "labels.csv", files[name], source="manifest", site="here"
        )
        return registration.unchanged

    with ThreadPoolExecutor(len(names)) as pool:
        unchanged = list(pool.map(one, names))
    assert sorted(unchanged[:4]) == [False, True, True, True]
    assert unchanged[4:] == [False, False]
    rows = count_rows()
    assert (rows["dataset"], rows["site"], rows["image"]) == (3, 1, 40)
    assert rows["cohort"] == 3 * 3


def test_published_datasets_keep_their_duplicates_and_report_them(
    engine: Engine, tmp_path: Path, write_nih: WriteNih
) -> None:
    labels = write_nih(tmp_path, 10)
    for number, line in enumerate(labels.read_text().splitlines()[1:]):
        draw(tmp_path / "images" / line.split(",")[0], min(number, 18))
    Image.fromarray(np.arange(1024, dtype=np.uint16).reshape(32, 32) * 64).save(
        tmp_path / "images/00000001_000.png"
    )
    registration = add(engine, "nih", labels, tmp_path / "images")
    assert [(entry.image, entry.kept) for entry in registration.quarantine] == [
        ("00000001_000.png", False),
        ("00000010_001.png", True),
    ]
    assert "values up to 65535; this dataset's" in registration.quarantine[0].reason
    assert registration.n_images == 19


def test_paths_that_lead_out_of_the_folder_are_refused(
    engine: Engine, tmp_path: Path, write_nih: WriteNih
) -> None:
    draw(tmp_path / "secret.png", 1)
    folder = tmp_path / "images"
    labels = write_nih(tmp_path, 3, "../secret.png,Mass,0,9,058Y,M,PA")
    for line in labels.read_text().splitlines()[1:7]:
        draw(folder / line.split(",")[0], hash(line) % 1000)
    registration = add(engine, "nih", labels, folder)
    assert [entry.image for entry in registration.quarantine if not entry.kept] == ["../secret.png"]


def test_an_interrupted_registration_continues_where_it_stopped(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count_rows: Counts
) -> None:
    labels, before = manifest(tmp_path / "a"), count_rows()
    read: list[Path] = []
    true_read = picture_hashes.read_grey
    monkeypatch.setattr(picture_hashes, "_AT_ONCE", 5)

    def counting(path: Path, reading: object) -> object:
        read.append(path)
        if len(read) == 13 and not stopped:
            stopped.append(True)
            raise KeyboardInterrupt
        return true_read(path, reading)

    stopped: list[bool] = []
    monkeypatch.setattr(picture_hashes, "read_grey", counting)
    with pytest.raises(KeyboardInterrupt):
        add(engine, "mine", labels, tmp_path / "a", source="manifest", site="here", home=tmp_path)
    assert count_rows() == before
    read.clear()
    draw(tmp_path / "a/0.png", 99)  # changed since: read again
    add(engine, "mine", labels, tmp_path / "a", source="manifest", site="here", home=tmp_path)
    names = sorted(int(path.stem) for path in read)
    assert names == [0, *range(10, 20)]


def test_two_labellers_keep_their_own_columns(engine: Engine, tmp_path: Path) -> None:
    findings = (
        "No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,Edema,Consolidation,Pneumonia,"
        "Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices"
    )
    for kind, no_finding in (("chexpert", "1.0"), ("negbio", "")):
        rows = [f"{s},{s}0,{no_finding},,,,,-1.0,,,,,,,," for s in range(100, 120)]
        (tmp_path / f"mimic-cxr-2.0.0-{kind}.csv").write_text(
            "\n".join([f"subject_id,study_id,{findings}", *rows])
        )
    meta = [f"d{s},{s},{s}0,PA" for s in range(100, 120)]
    (tmp_path / "mimic-cxr-2.0.0-metadata.csv").write_text(
        "\n".join(["dicom_id,subject_id,study_id,ViewPosition", *meta])
    )
    add(engine, "mimic_ch", tmp_path / "mimic-cxr-2.0.0-chexpert.csv", site="bidmc")
    add(engine, "mimic_nb", tmp_path / "mimic-cxr-2.0.0-negbio.csv", site="bidmc")
    with engine.begin() as connection:
        assert connection.execute(text("select count(*) from image")).scalar() == 20
        ch = count_states(connection, "mimic_ch", "corrected")["tasks"]
        nb = count_states(connection, "mimic_nb", "corrected")["tasks"]
    assert ch["Edema"]["negative"] == 20
    assert "Edema" not in nb


def test_a_failure_late_in_the_transaction_leaves_nothing(
    engine: Engine, tmp_path: Path, write_nih: WriteNih, count_rows: Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise DataError("the last step")

    before = count_rows()
    monkeypatch.setattr("xray.data.register.put_quarantine", fail)
    with pytest.raises(DataError, match="the last step"):
        add(engine, "nih", write_nih(tmp_path))
    assert count_rows() == before


def corrupt(line: str, kind: str, draws: random.Random) -> bytes:
    if kind == "bytes":
        return line.encode()[:20] + b"\xff\xfe" + line.encode()[20:]
    if kind == "quote":
        return ('"' + line).encode()
    if kind == "fields":
        return ",".join(line.split(",")[: draws.randint(1, 6)]).encode()
    if kind == "huge":
        return (line + "x" * 200_000).encode()
    if kind == "zero":
        return line.encode() + b"\0"
    return ",".join(draws.sample(line.split(","), len(line.split(",")))).encode()


@given(
    st.integers(0, 2**16),
    st.lists(st.sampled_from(["bytes", "quote", "fields", "huge", "zero", "swap", "twice"]), max_size=3),
    st.sampled_from([b"", b"\xef\xbb\xbf", b"junk\n"]),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.sampled_from(["same", "shuffled", "dropped", "renamed", "utf-16"]),
)
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
def test_fuzzed_files_are_registered_with_quarantine_or_refused_as_a_whole(
    engine: Engine,
    tmp_path: Path,
    write_nih: WriteNih,
    count_rows: Counts,
    seed: int,
    faults: list[str],
    start: bytes,
    newline: bytes,
    columns: str,
) -> None:
    draws = random.Random(seed)
    lines = write_nih(tmp_path, 20).read_text().splitlines()
    order = list(range(7))
    if columns == "shuffled":
        draws.shuffle(order)
    if columns == "dropped":
        order.remove(draws.randrange(7))
    lines = [",".join(line.split(",")[i] for i in order) for line in lines]
    if columns == "renamed":
        lines[0] = lines[0].replace("Finding Labels", "Findings")
    encoded = [line.encode() for line in lines]
    for fault in faults:
        index = draws.randrange(1, len(lines))
        encoded[index] = encoded[1] if fault == "twice" else corrupt(lines[index], fault, draws)
    data = start + newline.join(encoded)
    if columns == "utf-16":
        data = b"\xff\xfe" + data.decode("utf-8", "replace").encode("utf-16-le")
    path = tmp_path / "Data_Entry_2017.csv"
    path.write_bytes(data)
    before, name = count_rows(), f"d{count_rows()['dataset']}"
    try:
        registration = add(engine, name, path, source="nih", site=f"s{before['site']}")
    except XrayError:
        assert count_rows() == before
        return
    after = count_rows()
    assert after["dataset"] == before["dataset"] + 1
    assert after["quarantine"] - before["quarantine"] == len(registration.quarantine)
    with engine.connect() as connection:
        table = read_named(connection, name).table
    assert len(table.rows) == registration.n_images
    assert 2 * registration.n_images >= 40 - len(faults)
