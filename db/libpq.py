"""The variables by which libpq, and asyncpg after it, are led to a server: PGHOST, PGSERVICE, PGSSLMODE and their like."""

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def unset() -> Iterator[None]:
    """None of them for the time of a block, in this process and in those that it starts.

    For the embedded server: they are meant for another one. Every variable that begins with PG is one, also those of a newer
    libpq.
    """
    before = {name: value for name, value in os.environ.items() if name.startswith("PG")}
    for name in before:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(before)
