"""A Parquet file from elsewhere, read in pieces, with its declared sizes checked and its memory bounded.

A column of one value repeated takes a few bytes in a file, and its pages may be packed as well as gzip or zstd can. The
footer says how many rows and bytes there are; where it lies, reading fails at `limits.READING`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pandas as pd

from xray import limits
from xray.errors import XrayError

_ROWS: Final = 16_384


def read_parquet(path: Path, error: type[XrayError]) -> pd.DataFrame:
    """The rows of a Parquet file. Raises `error` where it can't be read, or is too large (`xray.limits`)."""
    import pyarrow

    pieces = list(batches(path, error))
    return pyarrow.Table.from_batches(pieces[1:], pieces[0].schema).to_pandas()


def batches(path: Path, error: type[XrayError]) -> Iterator[Any]:
    """A Parquet file as record batches (pyarrow) of at most 16,384 rows; the first is empty, and has the columns."""
    import pyarrow
    from pyarrow.parquet import ParquetFile

    try:
        with (
            _own_memory(),
            limits.open_file(path) as raw_file,
            ParquetFile(raw_file, memory_map=False, pre_buffer=False) as file,
        ):
            _check(file.metadata, path, error)
            yield pyarrow.RecordBatch.from_pylist([], schema=file.schema_arrow)
            pieces = file.iter_batches(batch_size=_ROWS, use_threads=False)
            size, bound = 0, limits.allowed(path.stat().st_size, limits.TABLE)
            while True:
                with limits.memory(limits.READING):
                    piece = next(pieces, None)
                if piece is None:
                    return
                size += piece.nbytes
                limits.check_bytes(size, bound, f"{path.name}: unpacked", error)
                yield piece
    except (pyarrow.ArrowException, OSError, MemoryError) as failure:
        memory = isinstance(failure, MemoryError)
        reason = (
            f"it takes more than {limits.amount(limits.READING)} beyond what it says"
            if memory
            else f"{failure!s:.200}"
        )
        raise error(f"{path.name}: not a Parquet file: {reason}") from None


@contextmanager
def _own_memory() -> Iterator[None]:
    """The system's allocator for pyarrow: its own takes much in advance, which `limits.memory` would not see."""
    import pyarrow

    before = pyarrow.default_memory_pool()
    pyarrow.set_memory_pool(pyarrow.system_memory_pool())
    try:
        yield
    finally:
        pyarrow.set_memory_pool(before)


def _check(about: Any, path: Path, error: type[XrayError]) -> None:
    limits.check_columns(about.num_columns, path.name, error)
    limits.check_cells(about.num_rows * about.num_columns, path.name, error)
    groups = [about.row_group(group) for group in range(about.num_row_groups)]
    size = sum(group.total_byte_size for group in groups)
    limits.check_bytes(size, limits.TABLE, path.name, error)
    limits.check_ratio(path.stat().st_size, size, path.name, error)
