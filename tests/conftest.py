"""One PostgreSQL server for the whole run, and a migrated database of its own for each test that asks for one."""

import itertools
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool

from db.embedded import Server, acquire
from db.migrate import upgrade

_numbers = itertools.count()


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
