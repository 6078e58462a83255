"""The roles of a home: made with it, put into homes of before, kept whatever is lost; and the variables of libpq."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from db.connection import Databases, databases, owned
from db.embedded import Server, acquire
from db.errors import DatabaseError
from db.migrate import upgrade

ROOT = Path(__file__).resolve().parents[2]
ASK_OWNERS = """
select 'relation ' || relname, relowner::regrole::text from pg_class where relnamespace = 'public'::regnamespace
union all select 'routine ' || proname, proowner::regrole::text from pg_proc where pronamespace = 'public'::regnamespace
    and not exists (select from pg_depend where objid = pg_proc.oid and deptype = 'e')
union all select 'type ' || typname, typowner::regrole::text from pg_type where typnamespace = 'public'::regnamespace
    and not exists (select from pg_depend where objid = pg_type.oid and deptype = 'e')
union all select 'schema ' || nspname, nspowner::regrole::text from pg_namespace where nspname = 'mine'
union all select 'relation mine.' || relname, relowner::regrole::text from pg_class
    where relnamespace = to_regnamespace('mine')
union all select 'large object', lomowner::regrole::text from pg_largeobject_metadata
union all select 'database', datdba::regrole::text from pg_database where datname = current_database()
"""


@pytest.fixture(autouse=True)
def _embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XRAY_DATABASE_URL", raising=False)


def rows(url: str, query: str) -> list[tuple[object, ...]]:
    with create_engine(url, poolclass=NullPool).begin() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def make(server: Server, database: str, statements: str) -> None:
    with closing(psycopg2.connect(server.url(database, driver=""))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statements)


@pytest.fixture
def old_home(tmp_path: Path) -> Iterator[Path]:
    """A home as it was before there were roles: all of it the superuser's, in public's reach, with data in it."""
    with acquire(tmp_path) as server:
        for name in ("xray", "mlflow", "prefect"):
            server.create_database(name)
        engine = create_engine(server.url("xray"), poolclass=NullPool)
        upgrade(engine)
        make(
            server,
            "xray",
            """insert into site (name, synthetic) values ('kept', false);
            create schema mine; create table mine.notes (id serial primary key, note text);
            insert into mine.notes (note) values ('kept'); create view mine.sites as select * from public.site;
            create type mood as enum ('good'); create domain small as int; select lo_create(0)""",
        )
        make(
            server,
            "prefect",
            """create extension pg_trgm; create table flow (id serial primary key, name text);
            create index on flow using gin (name gin_trgm_ops); insert into flow (name) values ('kept')""",
        )
        make(server, "mlflow", "create table runs (id bigint generated always as identity, name text)")
        yield tmp_path


def test_a_home_of_an_earlier_version_belongs_to_the_owner_from_its_first_opening(old_home: Path) -> None:
    with databases(old_home) as urls, owned(old_home) as owner:
        for database in ("xray", "mlflow", "prefect"):
            url = getattr(owner, database).replace("+asyncpg", "+psycopg2").replace("?ssl=disable", "")
            owners = dict(rows(url, ASK_OWNERS))
            assert set(owners.values()) == {"xray_owner"}, database
            assert len(owners) > 1
        assert rows(urls.xray, "select name from site") == [("kept",)]
        assert rows(owner.xray, "select note from mine.notes") == [("kept",)]
        assert rows(str(urls.reader), "select name from site") == [("kept",)]
        prefect = urls.prefect.replace("+asyncpg", "+psycopg2").replace("?ssl=disable", "")
        assert rows(prefect, "insert into flow (name) values ('new') returning id") == [(2,)]
        assert rows(urls.mlflow, "insert into runs (name) values ('new') returning id") == [(1,)]
        upgrade(create_engine(owner.xray, poolclass=NullPool))


def test_a_new_home_has_the_roles_at_once(tmp_path: Path) -> None:
    with databases(tmp_path) as urls, owned(tmp_path) as owner:
        query = "select current_user, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls from pg_roles "
        query += "where rolname = current_user"
        assert rows(urls.xray, query) == [("xray_writer", *[False] * 5)]
        assert rows(urls.mlflow, query) == [("xray_writer", *[False] * 5)]
        assert rows(str(urls.reader), query) == [("xray_reader", *[False] * 5)]
        assert rows(owner.xray, query) == [("xray_owner", *[False] * 5)]


def test_only_drawn_passwords_are_stored_without_stretching(tmp_path: Path) -> None:
    """192 random bits are checked three times as quickly so; a password that somebody chooses keeps 4,096 rounds."""
    with databases(tmp_path), acquire(tmp_path) as server:
        url = server.url("postgres").replace("+psycopg2", "")
        with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            cursor.execute("create role guest login password 'letmein'")
            cursor.execute("select rolname, split_part(rolpassword, ':', 1) from pg_authid where rolcanlogin")
            stored = dict(cursor.fetchall())
    own = {name: rounds for name, rounds in stored.items() if name != "guest"}
    assert own == dict.fromkeys(("xray", "xray_owner", "xray_writer", "xray_reader"), "SCRAM-SHA-256$1")
    assert stored["guest"] == "SCRAM-SHA-256$4096"
    for file in (tmp_path / "postgres").glob("*password"):
        assert len(file.read_text()) >= 32, "24 random bytes in base 64"


@pytest.mark.parametrize("role", ["owner", "writer", "reader"])
def test_a_lost_password_is_replaced(tmp_path: Path, role: str) -> None:
    with databases(tmp_path):
        pass
    file = tmp_path / "postgres" / f"{role}.password"
    before = file.read_text()
    for damage in (file.unlink, lambda: file.write_text(""), lambda: file.write_text("changed")):
        damage()
        with databases(tmp_path) as urls, owned(tmp_path) as owner:
            for url in (urls.xray, str(urls.reader), owner.xray):
                assert rows(url, "select 1") == [(1,)]
    assert file.read_text() != before


def test_no_process_gets_the_superusers_password(tmp_path: Path) -> None:
    with databases(tmp_path) as urls, owned(tmp_path) as owner:
        secret = (tmp_path / "postgres" / "password").read_text()
        for logins in (urls, owner):
            for url in (logins.xray, logins.mlflow, logins.prefect, str(logins.reader)):
                assert secret not in url


def test_the_superuser_does_not_log_in_when_the_roles_exist(tmp_path: Path) -> None:
    with databases(tmp_path), acquire(tmp_path) as server:
        make(server, "postgres", "alter system set log_connections = on")
        make(server, "postgres", "select pg_reload_conf()")
        log = tmp_path / "postgres" / "server.log"
        before = len(log.read_text())
        with databases(tmp_path) as urls, owned(tmp_path) as owner:
            rows(urls.xray, "select 1")
            rows(owner.xray, "select 1")
        logins = set(re.findall(r"connection authorized: user=(\w+)", log.read_text()[before:]))
    assert logins == {"xray_writer", "xray_reader", "xray_owner"}


def test_a_writer_that_finds_other_tables_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was given the writer's URL can't bring tables up to date; it must not try."""
    with databases(tmp_path) as urls, owned(tmp_path) as owner:
        rows(owner.xray, "update alembic_version set version_num = '0008' returning 1")
        monkeypatch.setenv("XRAY_DATABASE_URL", urls.psql())
        with (
            pytest.raises(DatabaseError, match=r"role 'xray_writer' .* may not change them"),
            databases(tmp_path),
        ):
            pass
        rows(owner.xray, "update alembic_version set version_num = '0009' returning 1")


HOSTILE = {
    "PGHOST": "hospital.invalid", "PGHOSTADDR": "127.0.0.9", "PGPORT": "1", "PGDATABASE": "hospital", "PGUSER": "doctor",
    "PGPASSWORD": "wrong", "PGPASSFILE": "/nonexistent", "PGREQUIREAUTH": "gss", "PGCHANNELBINDING": "require",
    "PGSERVICE": "hospital", "PGSERVICEFILE": "/nonexistent", "PGOPTIONS": "-c search_path=hospital",
    "PGAPPNAME": "x" * 100, "PGSSLMODE": "verify-full", "PGREQUIRESSL": "1", "PGSSLNEGOTIATION": "direct",
    "PGSSLCERT": "/nonexistent", "PGSSLKEY": "/nonexistent", "PGSSLCERTMODE": "require", "PGSSLROOTCERT": "/nonexistent",
    "PGSSLCRL": "/nonexistent", "PGSSLCRLDIR": "/nonexistent", "PGSSLSNI": "0", "PGREQUIREPEER": "nobody",
    "PGSSLMINPROTOCOLVERSION": "TLSv9", "PGSSLMAXPROTOCOLVERSION": "TLSv0", "PGGSSENCMODE": "require",
    "PGKRBSRVNAME": "x", "PGGSSLIB": "gssapi", "PGGSSDELEGATION": "1", "PGCONNECT_TIMEOUT": "0.1",
    "PGCLIENTENCODING": "SJIS", "PGTARGETSESSIONATTRS": "standby", "PGLOADBALANCEHOSTS": "random",
    "PGMINPROTOCOLVERSION": "9.9", "PGMAXPROTOCOLVERSION": "1.0", "PGDATESTYLE": "SQL, DMY", "PGTZ": "Asia/Tokyo",
    "PGGEQO": "off", "PGSYSCONFDIR": "/nonexistent", "PGLOCALEDIR": "/nonexistent",
}  # fmt: skip
"""The variables that libpq documents, each saying something that does not fit here."""


def reach(urls: Databases) -> None:
    """By psycopg2 and by asyncpg, as every program of the platform does."""
    for url in (urls.xray, urls.mlflow, str(urls.reader)):
        assert rows(url, "show timezone") == [("UTC",)]
    with closing(psycopg2.connect(urls.psql())) as connection, connection.cursor() as cursor:
        cursor.execute("show search_path")
        assert cursor.fetchone() == ('"$user", public',)

    async def ask() -> str | None:
        engine = create_async_engine(urls.prefect, poolclass=NullPool)
        async with engine.connect() as connection:
            return await connection.scalar(text("select current_database()"))

    assert asyncio.run(ask()) == "prefect"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("XRAY_DATABASE_URL", raising=False)
        with databases(folder):
            yield folder


@pytest.mark.parametrize("name", [*HOSTILE, "all"])
def test_libpqs_variables_do_not_keep_from_the_embedded_server(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    hostile = HOSTILE if name == "all" else {name: HOSTILE[name]}
    for variable, value in hostile.items():
        monkeypatch.setenv(variable, value)
    with databases(home) as urls:
        reach(urls)
    assert {variable: os.environ[variable] for variable in hostile} == hostile


def test_a_new_home_starts_under_hostile_variables(tmp_path: Path) -> None:
    """Also what is started meanwhile does not see them: the server, and a child of a command."""
    child = "import os; assert not [name for name in os.environ if name.startswith('PG')]"
    program = f"""if True:
        import subprocess, sys
        from pathlib import Path
        from db.connection import databases
        with databases(Path(sys.argv[1])) as found:
            subprocess.run([sys.executable, "-c", {child!r}], check=True)
            print(found.engine().connect().exec_driver_sql("select count(*) from task").scalar())"""
    environment = {**os.environ, **HOSTILE, "PYTHONPATH": str(ROOT)}
    process = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (process.stdout, process.stderr, process.returncode) == ("18\n", "", 0)


def test_a_server_of_the_user_honours_libpqs_variables(
    home: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.create_database("honoured")
    monkeypatch.setenv("PGOPTIONS", "-c statement_timeout=4711ms")
    monkeypatch.setenv("XRAY_DATABASE_URL", server.url("honoured", driver=""))
    with databases(home) as urls:
        assert rows(urls.xray, "show statement_timeout") == [("4711ms",)]
