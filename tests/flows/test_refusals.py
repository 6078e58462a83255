"""What a machine or a server refuses is one sentence that names the thing and what to do; what may be our fault is not."""

import errno
import os
import pickle
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import httpx
import psycopg2
import pytest
from prefect.exceptions import PrefectHTTPStatusError
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import NullPool

from db.errors import ServerError
from flows import refusals
from flows.refusals import sentence
from flows.retry import can_pass
from tests.homes import XRAY
from xray.errors import ImageError


def refused(home: Path, *arguments: object) -> str:
    """The sentence of an OSError."""
    message = sentence(OSError(*arguments), home)
    assert message is not None
    return message


def test_a_full_disk_is_named_with_its_free_space(tmp_path):
    file = tmp_path / "pixels.raw"
    message = refused(tmp_path, errno.ENOSPC, "No space left on device", str(file))
    assert message.startswith(f"{file}: the disk is full (")
    assert f"free in {tmp_path}); free some space, then run the same command again" in message
    assert str(tmp_path) in refused(tmp_path, errno.EDQUOT, "Disk quota exceeded")


def test_a_full_device_is_recognised_from_the_error_itself(tmp_path):
    with (
        pytest.raises(OSError, match="No space left") as caught,
        open("/dev/full", "wb", buffering=0) as file,
    ):
        file.write(b"x")
    assert "the disk is full" in (sentence(caught.value, tmp_path) or "")


@pytest.mark.parametrize("wrapped", [RuntimeError, ValueError, ImageError])
def test_a_refusal_is_recognised_in_wrapped_and_serialised_errors(tmp_path, wrapped):
    error = pickle.loads(pickle.dumps(wrapped("IO error: No space left on device (os error 28)")))
    assert "the disk is full" in (sentence(error, tmp_path) or "")
    assert not can_pass(error)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EROFS, "Read-only file system; it must be writable"),
        (errno.EACCES, "Permission denied; it must belong to you"),
        (errno.ENOTDIR, "Not a directory; a folder was expected"),
        (errno.EEXIST, "File exists; it is in the way"),
        (errno.EMFILE, "Too many open files; allow more (ulimit -n)"),
        (errno.EIO, "Input/output error; the disk may be failing"),
    ],
)
def test_every_refusal_says_what_to_do(tmp_path, number, words):
    assert f"{tmp_path / 'x'}: {words}" in refused(tmp_path, number, os.strerror(number), str(tmp_path / "x"))


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        RuntimeError("can't start new thread"),
    ],
)
def test_running_out_of_memory_is_reported(tmp_path, error):
    assert (sentence(error, tmp_path) or "").startswith("out of memory: ")


def test_the_cause_of_an_error_counts_and_its_suppressed_context_does_not(tmp_path):
    cause = OSError(errno.EROFS, "Read-only file system", "a file")
    error = RuntimeError("could not be stored")
    error.__cause__ = cause
    assert "a file: Read-only file system" in (sentence(error, tmp_path) or "")
    error.__cause__, error.__context__, error.__suppress_context__ = None, cause, True
    assert sentence(error, tmp_path) is None


@pytest.mark.parametrize(
    "error", [ValueError("no"), KeyError("x"), FileNotFoundError(2, "No such file", "x")]
)
def test_an_error_that_may_be_a_fault_of_xray_is_no_refusal(tmp_path, error):
    assert sentence(error, tmp_path) is None


def test_errors_of_xray_are_left_unchanged(tmp_path):
    assert sentence(ServerError("the server is not ours"), tmp_path) == "the server is not ours"


def test_a_lost_postgresql_server_is_reported(tmp_path):
    engine = create_engine("postgresql+psycopg2://xray@127.0.0.1:1/xray", poolclass=NullPool)
    with pytest.raises(OperationalError) as caught:
        engine.connect()
    message = sentence(caught.value, tmp_path)
    assert message is not None
    assert message.startswith("PostgreSQL: connection to server at ")
    assert "\n" not in message
    assert message.endswith("run the same command again; it continues where it stopped")


def test_a_reader_that_writes_is_told_to_name_a_writer(database, tmp_path):
    engine = create_engine(database, poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text("set transaction read only"))
        with pytest.raises(DBAPIError) as caught:
            connection.execute(text("insert into site (name) values ('x')"))
    message = sentence(caught.value, tmp_path) or ""
    assert "cannot execute INSERT in a read-only transaction; it may only read" in message


def test_a_wrong_query_is_a_fault_of_xray(database, tmp_path):
    engine = create_engine(database, poolclass=NullPool)
    with engine.connect() as connection, pytest.raises(DBAPIError) as caught:
        connection.execute(text("select nothing from nowhere"))
    assert sentence(caught.value, tmp_path) is None


def test_a_cut_connection_is_reported(database, tmp_path):
    first, second = (psycopg2.connect(database.replace("+psycopg2", "")) for _ in range(2))
    second.cursor().execute("select pg_terminate_backend(%s)", (first.info.backend_pid,))
    with pytest.raises(psycopg2.OperationalError) as caught:
        first.cursor().execute("select 1")
    second.close()
    message = sentence(caught.value, tmp_path) or ""
    assert message.startswith(
        ("PostgreSQL: terminating connection", "PostgreSQL: server closed the connection")
    )
    assert message.endswith("run the same command again; it continues where it stopped")


HOMES = {
    "a file": "File exists; it is in the way",
    "below a file": "Not a directory; a folder was expected",
    "a dead link": "is a link to {folder}/nowhere, which does not exist",
    "below a dead link": "is a link to {folder}/nowhere, which does not exist",
    "a link to itself": "is a link to {folder}/home, which does not exist",
}


@pytest.mark.parametrize("kind", HOMES)
def test_an_impossible_home_is_refused_in_one_sentence(new_home, kind):
    path = new_home.path.parent / "home"
    if kind.endswith("file"):
        path.touch()
    else:
        path.symlink_to(path if "itself" in kind else path.parent / "nowhere")
    home = type(new_home)(path / "sub" if "below" in kind else path)
    process = subprocess.run(
        [XRAY, "dataset", "list"],
        env=home.environment(),
        cwd=path.parent,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 1
    assert process.stderr.startswith("error: ")
    assert len(process.stderr.splitlines()) == 1
    assert HOMES[kind].format(folder=path.parent) in process.stderr
    assert not (path.parent / "nowhere").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [("size=200m,ro", "Read-only file system"), ("size=1m", "the disk is full"), ("", None)],
)
def test_the_reason_why_a_folder_is_not_writable_is_named(tmp_path, options, words):
    if not options:
        assert refusals.unwritable(tmp_path) is None
        assert refusals.unwritable(tmp_path / "nowhere") is None
        assert list(tmp_path.iterdir()) == []
        return
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", tmp_path], capture_output=True)
    if mount.returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        message = refusals.unwritable(tmp_path) or ""
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)
    assert str(tmp_path) in message
    assert words in message


@pytest.mark.parametrize("options", ["size=200m,ro", "size=200m,nr_inodes=1", ""])
def test_an_unopenable_sqlite_file_is_explained_by_its_disk(tmp_path, options):
    home = tmp_path / "home"
    home.mkdir()
    if options and subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", home]).returncode:
        pytest.skip("mounting a small disk needs root")
    file = home / "memory.sqlite"
    if not options:
        file.mkdir()
    try:
        with (
            pytest.raises(sqlite3.OperationalError, match="unable to open") as caught,
            closing(sqlite3.connect(file)) as memory,
        ):
            memory.execute("create table t (x int)")
        message = sentence(pickle.loads(pickle.dumps(caught.value)), home) or ""
    finally:
        if options:
            subprocess.run(["umount", "-l", home], check=True)
    assert message.startswith(str(home))
    assert {
        "": "can't be used (unable to open database file)",
        "size=200m,ro": "Read-only file system",
        "size=200m,nr_inodes=1": "and 0 inodes",
    }[options] in message


def test_a_query_that_sqlite_refuses_is_a_fault_of_xray(tmp_path):
    with pytest.raises(sqlite3.OperationalError) as caught, closing(sqlite3.connect(":memory:")) as memory:
        memory.execute("select * from nowhere")
    assert sentence(caught.value, tmp_path) is None


def test_a_prefect_server_that_cannot_answer_is_reported_in_one_sentence(tmp_path):
    request = httpx.Request("POST", "http://127.0.0.1/api/flows/")

    def message_of(code: int) -> str | None:
        response = httpx.Response(code, request=request)
        with pytest.raises(httpx.HTTPStatusError) as caught:
            response.raise_for_status()
        return sentence(PrefectHTTPStatusError.from_httpx_error(caught.value), tmp_path)

    assert (message_of(503) or "").startswith(
        f"Prefect's server can't answer: see {tmp_path}/prefect/server.log; run "
    )
    assert message_of(422) is None


@pytest.mark.parametrize("options", ["size=1m", "size=60m", "size=300m,nr_inodes=200", "size=200m,ro"])
def test_a_disk_that_is_too_small_is_reported_in_one_sentence(new_home, options):
    folder = new_home.path
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"mode=0700,{options}", "tmpfs", folder], capture_output=True
    )
    if mount.returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        if options == "size=1m":
            (folder / "file").write_bytes(b"x" * 1_040_000)
        process = new_home.run("dataset", "list", exit_code=1, timeout=60)
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
    assert process.stderr.startswith("error: ")
    assert len(process.stderr.splitlines()) == 1
    assert str(folder) in process.stderr
    assert ("Read-only file system" if "ro" in options.split(",") else "the disk is full") in process.stderr


def test_a_full_or_closed_standard_output_is_reported(new_home):
    query = ("sql", "--csv", "select generate_series(1, 100000)")
    with (
        open("/dev/full", "w") as full,
        new_home.start(*query, stdout=full, stderr=subprocess.PIPE) as process,
    ):
        _, error = process.communicate(timeout=120)
    assert (process.returncode, error.count("\n")) == (1, 1)
    assert error.startswith("error: standard output: its disk is full")
    with new_home.start(*query, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
