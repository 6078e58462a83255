"""One PostgreSQL server for the whole run, and a migrated database of its own for each test that asks for one."""

import itertools
import os
from collections.abc import Iterator

if "PYTEST_XDIST_WORKER" in os.environ:  # a process per core already
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool

from db.embedded import Server, acquire
from db.migrate import upgrade

_numbers = itertools.count()
COSTLY = ("demo", "tiny", "installation", "stack")
"""Fixtures of the whole session that take long: files that share one run in one process (pytest -n 2 --dist loadgroup)."""


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep a file's tests together, and the files that share a costly fixture, where tests run in several processes."""
    shared: dict[str, str] = {}
    for item in items:
        for name in COSTLY:
            if name in getattr(item, "fixturenames", ()):
                shared.setdefault(str(item.path), name)
    for item in items:
        item.add_marker(pytest.mark.xdist_group(shared.get(str(item.path), str(item.path))))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The embedded server, in a folder whose name has a space."""
    with acquire(tmp_path_factory.mktemp("xray home")) as running:
        yield running


@pytest.fixture(scope="session")
def _template(server: Server) -> str:
    server.create_database("template_xray")
    upgrade(create_engine(server.url("template_xray"), poolclass=NullPool))
    return "template_xray"


@pytest.fixture
def database(server: Server, _template: str) -> str:
    """URL of a new, migrated, empty database."""
    name = f"test_{next(_numbers)}"
    admin = create_engine(server.url("postgres"), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"create database {name} template {_template}"))
    return server.url(name)


@pytest.fixture
def engine(database: str) -> Engine:
    """An engine on a new, migrated, empty database."""
    return create_engine(database, poolclass=NullPool)
