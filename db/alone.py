"""One process at a time, of all that use a database."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool


@contextmanager
def alone(url: str, what: str) -> Iterator[Connection]:
    """A connection to a database for the time in which nobody else does `what` to it, by a lock of PostgreSQL's."""
    with create_engine(url, poolclass=NullPool).connect() as connection:
        lock = text("select pg_advisory_lock(hashtextextended('xray ' || :what, 0))")
        connection.execute(lock, {"what": what})
        yield connection
