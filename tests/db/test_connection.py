"""XRAY_DATABASE_URL: which database it means, and what is said where it can't be had."""

import asyncio
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import psycopg2
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from db.connection import Databases, databases
from db.embedded import Server
from db.errors import DatabaseError

SECRET = "p@ss/w:rd%?#[ü] '\"x"


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[object]:
    """A function that opens the databases of a URL; the home must not be touched."""

    def open_url(url: str) -> Databases:
        monkeypatch.setenv("XRAY_DATABASE_URL", url)
        with databases(tmp_path / "home") as urls:
            return urls

    yield open_url
    assert not (tmp_path / "home").exists()


def refusal(connect: object, url: str) -> str:
    with pytest.raises(DatabaseError) as caught:
        connect(url)  # type: ignore[operator]
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return str(caught.value)


def names(server: Server) -> set[str]:
    engine = create_engine(server.url("postgres"), poolclass=NullPool)
    with engine.connect() as connection:
        return set(connection.execute(text("select datname from pg_database")).scalars())


def current(url: str) -> tuple[str, str]:
    """Database and user that a URL leads to."""
    with create_engine(url, poolclass=NullPool).connect() as connection:
        row = connection.execute(text("select current_database(), current_user")).one()
    return row[0], row[1]


def administer(server: Server, statement: str, values: tuple[str, ...] | None = None) -> None:
    with closing(psycopg2.connect(server.url("postgres", driver=""))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement, values)


@pytest.fixture(scope="module")
def login(server: Server) -> str:
    """A role that may create databases, with an awkward name and password: `user:password@host:port` of it."""
    administer(server, 'create role "dr. o@hara" login createdb password %s', (SECRET,))
    return f"{quote('dr. o@hara', safe='')}:{quote(SECRET, safe='')}@{server.host}:{server.port}"


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg", "postgresql+asyncpg"])
def test_missing_databases_are_created(connect: object, login: str, server: Server, scheme: str) -> None:
    """The siblings of any name but `xray` carry it as a prefix. After the first time all is there."""
    with closing(psycopg2.connect(server.url("template1", driver=""))):  # which then can't be copied
        urls = connect(f"{scheme}://{login}/Chest%20X-rays%25")  # type: ignore[operator]
    assert current(urls.xray) == ("Chest X-rays%", "dr. o@hara")
    assert current(urls.mlflow) == ("Chest X-rays%_mlflow", "dr. o@hara")
    assert make_url(urls.prefect).database == "Chest X-rays%_prefect"
    assert make_url(urls.prefect).password == SECRET
    assert {"Chest X-rays%", "Chest X-rays%_mlflow", "Chest X-rays%_prefect"} <= names(server)
    with urls.engine().connect() as connection:
        assert connection.scalar(text("select count(*) from task")) == 18


def test_a_url_without_a_database_names_xray_mlflow_and_prefect(connect: object, login: str) -> None:
    urls = connect(f"postgresql://{login}")  # type: ignore[operator]
    assert [make_url(url).database for url in (urls.xray, urls.mlflow, urls.prefect)] == [
        "xray",
        "mlflow",
        "prefect",
    ]
    assert make_url(urls.xray).drivername == "postgresql+psycopg2"
    assert make_url(urls.prefect).drivername == "postgresql+asyncpg"


def test_the_psql_url_leads_to_the_same_database(connect: object, login: str) -> None:
    """Child processes get it as their XRAY_DATABASE_URL."""
    urls = connect(f"postgresql://{login}/plain")  # type: ignore[operator]
    with closing(psycopg2.connect(urls.psql())) as connection, connection.cursor() as cursor:
        cursor.execute("select current_database()")
        assert cursor.fetchone() == ("plain",)
    assert connect(urls.psql()) == urls  # type: ignore[operator]
    assert SECRET not in repr(urls)


def test_both_drivers_understand_sslmode(connect: object, login: str) -> None:
    urls = connect(f"postgresql://{login}/plain?sslmode=disable")  # type: ignore[operator]
    assert current(urls.xray)[0] == "plain"

    async def ask() -> str | None:
        engine = create_async_engine(urls.prefect, poolclass=NullPool)
        async with engine.connect() as connection:
            return await connection.scalar(text("select current_database()"))

    assert asyncio.run(ask()) == "plain_prefect"
    refused = refusal(connect, f"postgresql://{login}/plain?sslmode=require")
    assert "does not support SSL" in refused


def test_several_processes_create_the_databases_at_once(connect: object, login: str, server: Server) -> None:
    url, failed = f"postgresql://{login}/rush", []

    def open_url() -> None:
        try:
            connect(url)  # type: ignore[operator]
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=open_url) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    assert {"rush", "rush_mlflow", "rush_prefect"} <= names(server)


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "postgresql",
        "postgresql:/host",
        "postgresql://user:hunter2@host:port/xray",
        "postgresql://user:hunter2@x@host/xray",
        "//user:hunter2@host/xray",
    ],
)
def test_a_malformed_url_is_refused_without_its_password(connect: object, url: str) -> None:
    message = refusal(connect, url)
    assert message.startswith(
        "XRAY_DATABASE_URL is not a URL such as postgresql://user:password@host:5432/xray"
    )
    assert "hunter2" not in message


@pytest.mark.parametrize("url", ["mysql://u:hunter2@h/xray", "sqlite:///xray.db", "https://u:hunter2@h/xray"])
def test_other_databases_than_postgresql_are_refused(connect: object, url: str) -> None:
    message = refusal(connect, url)
    assert re.fullmatch(
        r"XRAY_DATABASE_URL must name a PostgreSQL server, not '(mysql|sqlite|https)'", message
    )


def test_a_name_that_postgresql_would_cut_is_refused(connect: object, login: str, server: Server) -> None:
    before = names(server)
    assert "too long, at most 55 bytes" in refusal(connect, f"postgresql://{login}/{'x' * 56}")
    assert names(server) == before
    connect(f"postgresql://{login}/{'x' * 55}")  # type: ignore[operator]
    assert names(server) - before == {"x" * 55, "x" * 55 + "_mlflow", "x" * 55 + "_prefect"}


def test_an_unreachable_server_is_named_without_the_password(connect: object) -> None:
    with socket.socket() as listener:
        listener.bind(
            ("127.0.0.1", 0)
        )  # bound, but it does not listen: nobody else can have it, nobody answers
        port = listener.getsockname()[1]
        message = refusal(connect, f"postgresql://user:hunter2@127.0.0.1:{port}/xray")
    assert message.startswith(f"can't connect to database 'xray' on PostgreSQL at 127.0.0.1:{port} as user: ")
    assert "Connection refused" in message
    assert "hunter2" not in message


def test_an_unknown_host_is_named_without_the_password(connect: object) -> None:
    message = refusal(connect, "postgresql://user:hunter2@no-such-host.invalid/xray")
    assert "no-such-host.invalid" in message
    assert "hunter2" not in message


def test_a_wrong_password_is_refused_and_creates_no_database(
    connect: object, login: str, server: Server
) -> None:
    before = names(server)
    message = refusal(connect, f"postgresql://{server.user}:hunter2%40@{server.host}:{server.port}/new")
    assert f'password authentication failed for user "{server.user}"' in message
    assert "hunter2" not in message
    assert names(server) == before


def test_a_user_who_may_not_create_is_sent_to_an_administrator(
    connect: object, server: Server, login: str
) -> None:
    administer(server, 'alter role "dr. o@hara" nocreatedb')
    try:
        message = refusal(connect, f"postgresql://{login}/new")
    finally:
        administer(server, 'alter role "dr. o@hara" createdb')
    assert "can't create database 'new'" in message
    assert "permission denied to create database; ask an administrator to create it" in message
    assert SECRET not in message


def test_a_closed_database_is_refused_and_not_created_again(
    connect: object, server: Server, login: str
) -> None:
    """A database that is there and refuses us is not made anew."""
    server.create_database("closed")
    administer(server, "revoke connect on database closed from public")
    message = refusal(connect, f"postgresql://{login}/closed")
    assert "can't connect to database 'closed'" in message
    assert "permission denied" in message


def test_the_embedded_server_is_used_without_a_url(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("XRAY_DATABASE_URL", raising=False)
    with databases(tmp_path) as urls:
        assert [current(urls.xray)[0], current(urls.mlflow)[0]] == ["xray", "mlflow"]
        assert make_url(urls.prefect).database == "prefect"
        with urls.engine().connect() as connection:
            assert connection.scalar(text("select count(*) from task")) == 18
