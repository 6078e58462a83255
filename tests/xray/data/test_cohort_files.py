"""A split published as a CSV of ids, and rebuilt elsewhere with the same hashes."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool

from db.embedded import Server
from xray.data.cohort_files import export_cohorts, import_cohorts
from xray.data.prepare import read_source
from xray.data.protocol import load_protocol
from xray.data.register import register
from xray.data.registered import read_named
from xray.errors import DataError

PAPER, CORRECTED = load_protocol("paper"), load_protocol("corrected")
WriteNih = Callable[..., Path]


def add(engine: Engine, labels: Path, name: str = "nih") -> None:
    with engine.begin() as connection:
        register(connection, name, "nih-cc", "nih", read_source("nih", labels, None), None)


def exported(engine: Engine, protocol: object = CORRECTED) -> str:
    with engine.begin() as connection:
        return export_cohorts(connection, read_named(connection, "nih"), protocol)  # type: ignore[arg-type]


def imported(engine: Engine, path: Path, name: str = "nih") -> bool:
    with engine.begin() as connection:
        return import_cohorts(connection, read_named(connection, name), CORRECTED, path)[1]


@pytest.fixture
def elsewhere(server: Server, _template: str, request: pytest.FixtureRequest) -> Engine:
    """Another database of the same server."""
    name = f"elsewhere_{abs(hash(request.node.nodeid))}"
    admin = create_engine(server.url("postgres"), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"create database {name} template {_template}"))
    return create_engine(server.url(name))


def test_cohorts_are_rebuilt_elsewhere_with_the_same_hashes(
    engine: Engine, elsewhere: Engine, tmp_path: Path, write_nih: WriteNih
) -> None:
    add(engine, write_nih(tmp_path))
    path = tmp_path / "split.csv"
    path.write_text(exported(engine))
    extra = [f"{p:08d}_000.png,Hernia,0,{p},058Y,M,PA" for p in range(900, 950)]
    add(elsewhere, write_nih(tmp_path / "b", 40, *extra))  # a later release has more images
    assert imported(elsewhere, path)
    assert not imported(elsewhere, path)
    assert exported(elsewhere) == path.read_text()
    with elsewhere.connect() as connection:
        assert connection.execute(text("select count(*) from leakage where task_id is null")).scalar() == 2
    lines = path.read_text().splitlines()
    assert "Mass" not in path.read_text()
    assert {line.split(",")[0] for line in lines[2:]} == {"train", "validation", "test"}


def test_the_paper_protocol_exports_no_validation_part(
    engine: Engine, tmp_path: Path, write_nih: WriteNih
) -> None:
    add(engine, write_nih(tmp_path))
    assert '"validation"' not in exported(engine, PAPER)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.replace("\ntest,", "\ntrain,", 1), "first line says"),
        (lambda s: swap(s), "do not match the hash"),
        (lambda s: s.replace("00000001_000", "00000099_000"), "are not in nih: 00000099_000.png"),
        (lambda s: s.replace("00000001_000", "00000001_001"), "left out by corrected"),
        (lambda s: s.replace('"nih-cc"', '"bidmc"'), "site is 'bidmc'"),
        (lambda s: s.replace('"version": 1', '"version": 7'), "version is 7"),
        (lambda s: s.replace("part,image", "image,part"), "row 2: expected the columns"),
        (lambda s: s.replace("\ntest,", "\nrest,", 1), "expected one of"),
        (lambda s: s[2:], "row 1: expected the line"),
        (lambda s: "", "the file is empty"),
        (lambda s: s + 'test,"never closed\n' + "x" * 200_000, "can't be read: field larger"),
    ],
)
def test_a_file_that_contradicts_its_hashes_is_refused(
    engine: Engine,
    elsewhere: Engine,
    tmp_path: Path,
    write_nih: WriteNih,
    change: Callable[[str], str],
    words: str,
) -> None:
    labels = write_nih(tmp_path)
    add(engine, labels)
    add(elsewhere, labels)
    path = tmp_path / "split.csv"
    path.write_text(change(exported(engine)))
    with pytest.raises(DataError, match=words):
        imported(elsewhere, path)
    with elsewhere.connect() as connection:
        assert connection.execute(text("select count(*) from cohort")).scalar() == 0


def swap(content: str) -> str:
    lines = content.splitlines()
    lines[2], lines[3] = lines[3], lines[2]
    return "\n".join(lines) + "\n"


def test_other_labels_of_the_same_images_are_detected(
    engine: Engine, elsewhere: Engine, tmp_path: Path, write_nih: WriteNih
) -> None:
    labels = write_nih(tmp_path)
    add(engine, labels)
    (tmp_path / "split.csv").write_text(exported(engine))
    labels.write_text(labels.read_text().replace("Mass|Nodule", "Nodule"))
    add(elsewhere, labels)
    with pytest.raises(DataError, match="other labels"):
        imported(elsewhere, tmp_path / "split.csv")


def test_other_frozen_cohorts_stay(
    engine: Engine, elsewhere: Engine, tmp_path: Path, write_nih: WriteNih
) -> None:
    add(engine, write_nih(tmp_path))
    (tmp_path / "split.csv").write_text(exported(engine))
    extra = [f"{p:08d}_000.png,Hernia,0,{p},058Y,M,PA" for p in range(900, 950)]
    add(elsewhere, write_nih(tmp_path / "b", 40, *extra))
    exported(elsewhere)
    with pytest.raises(DataError, match="never changed"):
        imported(elsewhere, tmp_path / "split.csv")
