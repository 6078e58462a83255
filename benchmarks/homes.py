"""A folder for a server of a benchmark's own."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from db.embedded import stop


@contextmanager
def scratch_home() -> Iterator[Path]:
    """A folder that is removed afterwards, when its server has ended: that lingers, and would still write into it."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            yield Path(folder)
        finally:
            stop(Path(folder))
