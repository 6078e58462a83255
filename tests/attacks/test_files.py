"""Files that lie about their size, that are no files, or that never end: refused in one sentence, before memory is taken."""

import gzip
import io
import json
import os
import re
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.attacks.bombs import BOMBS, MIB, NAMES, looping, open_file, png
from xray import csv_cells, limits
from xray.data.cohort_files import read_cohort_file
from xray.data.protocol import load_protocol
from xray.data.score_files import _read as read_scores
from xray.data.sources.csvfile import read_csv
from xray.data.sources.dicom import read_person
from xray.data.sources.openi import read_openi
from xray.errors import DataError, ForeignModelError, LearningError, StudyError, XrayError
from xray.learning.foreign_card import card_of, read_card
from xray.learning.foreign_import import _copy as copy_model
from xray.learning.foreign_network import load_foreign, read_state
from xray.learning.foreign_safety import ONNX, check_file
from xray.learning.overtime import Overtime, within
from xray.pixels.decode import read_grey
from xray.study import read_study

GROWTH = 200 * MIB
"""How much memory a refusal may take."""
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> dict[str, tuple[str, int, float]]:
    """What is said of each bomb, by how much the memory of a process that opens it has grown, and its seconds of CPU."""
    folder = tmp_path_factory.mktemp("bombs")
    for name, (kind, make, _) in BOMBS.items():
        (folder / name).mkdir()
        make(folder / name / NAMES[kind])
    command = [sys.executable, str(ROOT / "tests/attacks/bombs.py"), str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=300, env=environment
    )
    return {name: tuple(rest) for name, *rest in map(json.loads, process.stdout.splitlines())}  # type: ignore[misc]


@pytest.mark.parametrize("name", BOMBS)
def test_a_file_that_unpacks_to_too_much_is_refused_before_unpacking(name, outcomes):
    message, grown, seconds = outcomes[name]
    assert BOMBS[name][2] in message
    assert message, "it is refused"
    assert "\n" not in message
    assert grown < GROWTH
    assert seconds < 10


def test_a_well_packed_file_of_allowed_size_is_read(tmp_path):
    assert read_grey(png(tmp_path / "blank.png", 4000, 4000, 8, 0)).pixels.shape == (4000, 4000)
    with gzip.open(tmp_path / "x.csv.gz", "wb") as file:
        file.write(b"image_id,Effusion\n" + b"a,0\n" * 1_000_000)
    assert len(read_csv(tmp_path / "x.csv.gz").frame) == 1_000_000


def test_a_bomb_after_incompressible_data_is_stopped_by_the_ratio_of_the_whole_file(tmp_path, monkeypatch):
    """The ratio is that of what was read: neither a good beginning nor a second member of the gzip file hides the rest."""
    monkeypatch.setattr(limits, "UNSUSPECTED", 1000)
    noise = np.random.default_rng(0).integers(0, 10, 2000)
    sound = b"a,b\n" + b"".join(b"%d,1\n" % value for value in noise)
    (tmp_path / "sound.csv.gz").write_bytes(gzip.compress(sound))
    assert len(read_csv(tmp_path / "sound.csv.gz").frame) == 2000
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(sound) + gzip.compress(b"1,2\n" * 1_000_000))
    with pytest.raises(DataError, match="unpack to more than"):
        read_csv(tmp_path / "x.csv.gz")


def test_memory_stays_bounded_when_a_file_lies_about_its_size(tmp_path):
    with pytest.raises(MemoryError), limits.memory(64 * MIB):
        np.ones(256 * MIB, np.uint8)
    np.ones(256 * MIB, np.uint8)


def test_reports_that_are_not_regular_files_are_set_aside_with_the_reason(tmp_path):
    sound = b'<e><uId id="CXR2"/><parentImage id="CXR2_a"/></e>'
    folder = tmp_path / "ecgen-radiology"
    folder.mkdir()
    (folder / "2.xml").write_bytes(sound)
    os.mkfifo(folder / "1.xml")
    (folder / "3.xml").symlink_to("nowhere")
    (folder / "4.xml").symlink_to("4.xml")
    aside = {entry.file: entry.reason for entry in read_openi(folder, None).quarantine}
    assert aside["1.xml"] == "can't be read: not a plain file (a pipe or a device?)"
    assert aside["3.xml"] == "can't be read: No such file or directory"
    assert aside["4.xml"] == "can't be read: Too many levels of symbolic links"
    packed = tmp_path / "NLMCXR_reports.tgz"
    with tarfile.open(packed, "w:gz") as archive:
        for name, kind, target in (
            ("1.xml", tarfile.SYMTYPE, "../../../etc/passwd"),
            ("3.xml", tarfile.SYMTYPE, "nowhere"),
            ("4.xml", tarfile.LNKTYPE, "nowhere"),
            ("5.xml", tarfile.FIFOTYPE, ""),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            archive.addfile(member)
        member = tarfile.TarInfo("ecgen/2.xml")
        member.size = len(sound)
        archive.addfile(member, io.BytesIO(sound))
    table = read_openi(packed, None)
    assert table.rows["image"].tolist() == ["CXR2_a"]
    assert {entry.file for entry in table.quarantine} == {"1.xml", "3.xml", "4.xml", "5.xml"}
    assert {entry.reason for entry in table.quarantine} == {
        "not a file in the archive but a link or the like"
    }


def pipe(path: Path) -> None:
    os.mkfifo(path)


def unix_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


ODD: dict[str, Callable[[Path], None]] = {
    "a pipe": pipe,
    "a socket": unix_socket,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a folder": lambda path: path.mkdir(),
    "a dangling link": lambda path: path.symlink_to("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path.name),
}
READERS: dict[str, Callable[[Path], object]] = {
    "picture": read_grey,
    "table": read_csv,
    "scores": read_scores,
    "header": read_person,
    "card": read_card,
    "cohorts": read_cohort_file,
    "model": lambda path: copy_model(path, path.with_name("copy")),
    "study": read_study,
    "protocol": load_protocol,
}


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("odd", ODD)
def test_a_path_that_is_not_a_regular_file_is_refused_at_once(odd, kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    ODD[odd](Path("x"))
    start = time.monotonic()
    with pytest.raises(XrayError) as refused:
        READERS[kind](Path("x"))
    assert time.monotonic() - start < 2
    assert re.match(r"x: (no such|can't be read|not a plain|Is a|No such|Too many)", str(refused.value))
    assert "\n" not in str(refused.value)


def test_an_error_does_not_reveal_the_content_of_a_file(tmp_path):
    """A path may name any file that its user can read; a refusal says what is expected, not what was found."""
    (tmp_path / "secret").write_text("root:hunter2:\n")
    for kind in ("picture", "card", "study", "protocol", "cohorts"):
        with pytest.raises(XrayError) as refused:
            READERS[kind](tmp_path / "secret")
        assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("read", [read_card, read_study])
def test_a_settings_file_of_many_megabytes_is_refused(read, tmp_path):
    (tmp_path / "x.toml").write_bytes(b"# " + b"a" * (5 * limits.MIB))
    with pytest.raises((ForeignModelError, StudyError), match=r"at most 4\.0 MiB"):
        read(tmp_path / "x.toml")


@pytest.mark.parametrize("read", [read_card, read_study, load_protocol])
def test_deeply_nested_tables_in_a_settings_file_are_refused(read, tmp_path):
    (tmp_path / "x.toml").write_bytes(b"a = " + b"[" * 100_000 + b"]" * 100_000)
    with pytest.raises((ForeignModelError, StudyError), match="not TOML: "):
        read(tmp_path / "x.toml")


def test_a_dicom_header_with_deeply_nested_sequences_is_refused(tmp_path):
    (tmp_path / "x.dcm").write_bytes(bytes(128) + b"DICM" + b"\x08\x00\x01\x00SQ\0\0\xff\xff\xff\xff" * 5000)
    with pytest.raises(DataError, match="the DICOM header ends too early"):
        read_person(tmp_path / "x.dcm")
    assert "can't be decoded" in open_file("picture", tmp_path / "x.dcm")


@pytest.mark.parametrize(("length", "refusal"), [(2**40, "neither ONNX"), (2**25, "at most 16.0 MiB")])
def test_a_huge_safetensors_header_is_refused(length, refusal, tmp_path):
    from xray.learning.initial import start_from
    from xray.learning.network import Network

    path = tmp_path / "x.safetensors"
    with path.open("wb") as file:
        file.write(length.to_bytes(8, "little") + b"{" + b" " * 100)
        file.truncate(min(length, 2**26) + 100)
    with pytest.raises(ForeignModelError, match=refusal):
        read_state(path, trust=False)
    with pytest.raises(LearningError, match=r"at most 16.0 MiB|not a safetensors file"):
        start_from(Network("small_convnet", 32), path)


def test_a_model_that_never_ends_is_stopped(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setenv("XRAY_MODEL_SECONDS", "1")
    card = card_of({"name": "t", "size": 8, "range": [0, 1], "output": "logit", "tasks": ["Mass"]}, "t")
    path = looping(tmp_path / "loop.onnx")
    assert check_file(path) == ONNX
    network = load_foreign(path, ONNX, card, trust=False)
    start = time.monotonic()
    with pytest.raises(
        ForeignModelError, match=r"has not answered for 2 picture\(s\) within 1 s, and was stopped"
    ):
        network(torch.zeros(2, 1, 8, 8))
    assert time.monotonic() - start < 8, "onnxruntime listens: nothing goes on behind our back"
    monkeypatch.setenv("XRAY_MODEL_SECONDS", "soon")
    with pytest.raises(XrayError, match="XRAY_MODEL_SECONDS: expected seconds above 0, found 'soon'"):
        network(torch.zeros(2, 1, 8, 8))


def test_work_that_ignores_the_request_to_stop_is_abandoned(monkeypatch):
    monkeypatch.setattr("xray.learning.overtime.GRACE", 0.1)
    stopped = []
    start = time.monotonic()
    with pytest.raises(Overtime):
        within(0.1, lambda: time.sleep(3), lambda: stopped.append(True))
    assert time.monotonic() - start < 2
    assert stopped == [True]
    assert within(60, lambda: 7, lambda: None) == 7
    with pytest.raises(ZeroDivisionError):
        within(60, lambda: 1 / 0, lambda: None)


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+cmd|' /C calc'!A0",
        "-2+3",
        "@SUM(1)",
        "\t=1",
        "\r=1",
        "'=1",
        "''@x",
        "＝1",
        "-a",
        "plain",
        "",
        "'quoted'",
        "-1e5x",
    ],
)
def test_a_cell_that_begins_like_a_formula_is_written_as_text_and_read_back(text):
    cell = csv_cells.cell(text)
    assert cell[:1] not in tuple("=+-@\t\r＝")
    assert csv_cells.plain(cell) == text


@pytest.mark.parametrize("value", [-1.5, 3, None, float("nan"), "-1.5", "+2", "-1e-05", "1", True])
def test_numbers_stay_numbers(value):
    assert csv_cells.cell(value) is value or np.isnan(value)
    if isinstance(value, str):
        assert csv_cells.plain(value) == value
