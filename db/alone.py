"""One process at a time, of all that use a database."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

_LOCK = text("select pg_try_advisory_lock(hashtextextended('xray ' || :what, 0))")


@contextmanager
def alone(url: str, task: str) -> Iterator[Connection]:
    """A connection to a database, without transactions, for the time in which nobody else does `what` to it.

    Who waits asks again and again, as one that waits inside of PostgreSQL would hold up `create index concurrently`.
    """
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        pause = 0.01
        while not connection.scalar(_LOCK, {"what": task}):
            time.sleep(pause)
            pause = min(2 * pause, 0.3)
        yield connection
