"""A dump is one state of a database, whoever writes meanwhile; loaded, it is that state, and anything else is refused."""

import itertools
import threading
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, create_engine, text

from db.embedded import Server
from db.errors import DatabaseError
from db.store import write_evaluation
from db.upkeep.audits import run
from db.upkeep.dump import Dump, clear, content, dump, load
from tests.db.conftest import N_TASKS, Rows
from tests.db.everything import fill

_numbers = itertools.count()


@pytest.fixture
def empty(server: Server) -> Engine:
    name = f"loaded_{next(_numbers)}"
    server.create_database(name)
    return create_engine(server.url(name))


def url(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=False)


def rows_of(engine: Engine) -> dict[str, list[str]]:
    """Table or view → its rows as text: arrays, floats, NaN and NULL included."""
    names = (
        "select relname from pg_class where relkind in ('r', 'v') and relnamespace = 'public'::regnamespace"
    )
    with engine.connect() as connection:
        return {
            name: sorted(connection.scalars(text(f'select t::text from "{name}" as t')).all())
            for name in connection.scalars(text(names)).all()
        }


def test_a_loaded_dump_has_every_row(engine: Engine, rows: Rows, empty: Engine, tmp_path: Path) -> None:
    fill(rows)
    manifest = dump(url(engine), tmp_path / "a dump")
    load(url(empty), tmp_path / "a dump", manifest)
    assert rows_of(empty) == rows_of(engine)
    assert Dump.of(manifest.plain()) == manifest
    with empty.begin() as connection, pytest.raises(Exception, match="frozen"):
        connection.execute(text("delete from cohort"))
    with pytest.raises(DatabaseError, match=r"is not empty: it has public\.agreement"):
        load(url(empty), tmp_path / "a dump", manifest)
    clear(url(empty))
    load(url(empty), tmp_path / "a dump", manifest)


def test_a_dump_holds_one_state_while_others_write(
    engine: Engine, rows: Rows, empty: Engine, tmp_path: Path
) -> None:
    """Evaluations come and go, each with its vectors, while the dump is made: every one is whole in it."""
    site = rows.site()
    images = rows.images(site, [f"i{n}" for n in range(4)])
    lists = [rows.image_list(images[: n + 1]) for n in range(4)]
    model = rows.model(rows.protocol(), range(N_TASKS))
    stop, began, turns = threading.Event(), threading.Event(), itertools.count()

    def write() -> None:
        while not stop.is_set():
            number = next(turns) % 4
            scores = np.zeros((number + 1, N_TASKS), dtype=np.float32)
            with engine.begin() as connection:
                connection.execute(
                    text("delete from evaluation where image_list_id = :id"), {"id": lists[number]}
                )
                write_evaluation(connection, model, lists[number], scores, range(N_TASKS))
            began.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert began.wait(30)
        before = next(turns)
        manifest = dump(url(engine), tmp_path / "dump")
        assert next(turns) > before + 2, "nobody wrote meanwhile"
    finally:
        stop.set()
        writer.join()
    load(url(empty), tmp_path / "dump", manifest)
    with empty.connect() as connection:
        faults = {outcome.audit.name: outcome.rows for outcome in run(connection) if outcome.rows}
        assert faults.keys() <= {"image_lists"}, "the lists of this test have made-up hashes"
        assert (
            connection.scalar(text("select count(*) from evaluation"))
            == manifest.tables["public.evaluation"].rows
        )


def test_a_table_that_differs_is_named(engine: Engine, rows: Rows, empty: Engine, tmp_path: Path) -> None:
    rows.site("bethesda")
    manifest = dump(url(engine), tmp_path / "dump")
    rows.site("alpha")
    other = dump(url(engine), tmp_path / "other")
    with pytest.raises(
        DatabaseError, match=r"differs from its dump: .*public\.site: 2 rows .*expected 1 rows"
    ):
        load(url(empty), tmp_path / "other", manifest)
    assert manifest.tables != other.tables


def test_equal_numbers_of_rows_with_other_keys_differ(engine: Engine, rows: Rows) -> None:
    """Equally many rows are not the same rows."""
    rows.site()
    with engine.connect() as connection:
        before = content(connection)
        connection.execute(text("update site set id = id + 1"))
        after = content(connection)
    assert before["public.site"].rows == after["public.site"].rows
    assert before["public.site"] != after["public.site"]


def test_a_dump_of_a_newer_postgresql_is_refused(engine: Engine, empty: Engine, tmp_path: Path) -> None:
    manifest = dump(url(engine), tmp_path / "dump")
    newer = Dump("99.1", "99.1", manifest.revision, manifest.tables)
    with pytest.raises(
        DatabaseError, match=r"made by pg_dump 99\.1, .*restore it into PostgreSQL 99 or newer"
    ):
        load(url(empty), tmp_path / "dump", newer)


def test_a_server_newer_than_every_installed_program_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from db.upkeep.programs import clients

    with pytest.raises(DatabaseError, match="pg_dump and pg_restore of PostgreSQL 99 or newer are needed"):
        clients(99)


def test_the_password_is_in_no_argument(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from db.upkeep import programs

    commands: list[list[str]] = []
    run_program = programs.subprocess.run
    monkeypatch.setattr(
        programs.subprocess,
        "run",
        lambda command, **options: commands.append(command) or run_program(command, **options),
    )
    dump(url(engine), tmp_path / "dump")
    (command,) = [words for words in commands if str(words[0]).endswith("pg_dump")]
    assert engine.url.password
    assert not [argument for argument in command if engine.url.password in argument]
