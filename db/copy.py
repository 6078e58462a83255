"""COPY: numpy vectors to array columns and back in the binary format, without a Python object per element; rows as CSV.

A binary field is its length (int32, −1 for NULL) and bytes; an array is (dimensions, has_null, element type, length, lower
bound) and its elements as fields (PostgreSQL documentation, COPY; array_send in arrayfuncs.c). All big-endian.
"""

import io
import itertools
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import psycopg2
from numpy.typing import NDArray
from sqlalchemy import Connection

from db.errors import StoreError

_SIGNATURE: Final = b"PGCOPY\n\xff\r\n\x00" + struct.pack(">ii", 0, 0)
_TRAILER: Final = struct.pack(">h", -1)
_NULL: Final = struct.pack(">i", -1)
_CHUNK: Final = 2**19
_ELEMENTS: Final[dict[str, tuple[int, str]]] = {
    "int2": (21, ">i2"),
    "int4": (23, ">i4"),
    "float4": (700, ">f4"),
}
_SCALARS: Final[dict[str, str]] = {"int2": ">h", "int4": ">i", "float4": ">f"}

Field = bytes | None


def scalar(value: float | None, kind: str) -> Field:
    """One number as the bytes of a field; `kind` is int2, int4 or float4."""
    return None if value is None else struct.pack(_SCALARS[kind], value)


def array(values: NDArray[Any], kind: str, null: NDArray[np.bool_] | None = None) -> bytes:
    """A vector (n,) as the bytes of an array field. `null` (n,) marks elements that are NULL.

    Raises ValueError where an integer field can't hold a value.
    """
    oid, dtype = _ELEMENTS[kind]
    width = np.dtype(dtype).itemsize
    missing = null if null is not None and null.any() else None
    has_null = missing is not None
    header = struct.pack(">iii", 1 if len(values) else 0, has_null, oid)
    if not len(values):
        return header
    elements = np.empty(len(values), dtype=[("length", ">i4"), ("value", dtype)])
    elements["length"] = width
    content = values if missing is None else np.where(missing, 0, values)
    elements["value"] = content
    if kind != "float4" and not np.array_equal(elements["value"], content):
        raise ValueError(f"{kind} can't hold every value between {values.min()} and {values.max()}")
    header += struct.pack(">ii", len(values), 1)
    if missing is None:
        return header + elements.tobytes()
    elements["length"][missing] = -1
    octets = elements.view(np.uint8).reshape(len(values), 4 + width)
    octets_used = np.ones(octets.shape, dtype=bool)
    octets_used[missing, 4:] = False
    return header + octets[octets_used].tobytes()


def blank_rows(n_rows: int, scalars: Sequence[str], n: int, kind: str) -> NDArray[Any]:
    """Rows for `copy_packed`, to be filled again and again: "0", "1", … of the kinds of `scalars`, and an array field.

    The array's values are rows["elements"]["value"], (n_rows, n). No field is NULL. What stands before
    each value in the format is there already.
    """
    oid, dtype = _ELEMENTS[kind]
    width = np.dtype(dtype).itemsize
    fields: list[tuple[str, Any]] = [("fields", ">i2")]
    for index, scalar_kind in enumerate(scalars):
        fields += [(f"length {index}", ">i4"), (f"{index}", _SCALARS[scalar_kind])]
    header = {"length": 20 + n * (4 + width), "dimensions": 1, "nulls": 0, "oid": oid, "n": n, "bound": 1}
    fields += [(name, ">i4") for name in header]
    rows = np.zeros(n_rows, [*fields, ("elements", [("length", ">i4"), ("value", dtype)], n)])
    rows["fields"] = len(scalars) + 1
    for index, scalar_kind in enumerate(scalars):
        rows[f"length {index}"] = struct.calcsize(_SCALARS[scalar_kind])
    for name, value in header.items():
        rows[name] = value
    rows["elements"]["length"] = width
    return rows


def copy_in(
    connection: Connection, table: str, columns: Sequence[str], rows: Iterable[Sequence[Field]]
) -> None:
    """Load rows of encoded fields into a table by COPY BINARY, within the connection's transaction.

    Raises `StoreError` where a constraint or guard of the database refuses a row.
    """
    parts = [_SIGNATURE]
    for row in rows:
        parts.append(struct.pack(">h", len(row)))
        for field in row:
            parts += [_NULL] if field is None else [struct.pack(">i", len(field)), field]
    parts.append(_TRAILER)
    _copy_binary(connection, table, columns, io.BytesIO(b"".join(parts)))


def copy_packed(
    connection: Connection, table: str, columns: Sequence[str], parts: Iterable[NDArray[Any]]
) -> None:
    """Load rows that `blank_rows` made, as `copy_in` does; each part is sent before the next is asked for."""
    _copy_binary(connection, table, columns, _Parts(parts))


class _Parts:
    """Parts of rows as the file that COPY reads, none longer than `_CHUNK`."""

    def __init__(self, parts: Iterable[NDArray[Any]]) -> None:
        self._chunks = itertools.chain([_SIGNATURE], (part.tobytes() for part in parts), [_TRAILER])
        self._rest = b""

    def read(self, size: int) -> bytes:
        chunk = self._rest or next(self._chunks, b"")
        self._rest = chunk[size:]
        return chunk[:size]


def _copy_binary(connection: Connection, table: str, columns: Sequence[str], file: Any) -> None:
    statement = f"copy {table} ({', '.join(columns)}) from stdin (format binary)"
    with _cursor(connection) as cursor, _refused(table):
        cursor.copy_expert(statement, file, _CHUNK)


def copy_text(connection: Connection, table: str, columns: Sequence[str], lines: io.StringIO) -> None:
    """Load CSV text (an unquoted empty field is NULL) into a table by COPY, within the connection's transaction.

    Raises `StoreError` where a constraint or guard of the database refuses a row.
    """
    with _cursor(connection) as cursor, _refused(table):
        cursor.copy_expert(f"copy {table} ({', '.join(columns)}) from stdin (format csv)", lines)


def copy_rows(connection: Connection, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Load rows of column → value into a table by COPY, within the connection's transaction; every row has the same columns.

    Values: None, bool, int, float, str, and lists of numbers for array columns.
    Raises TypeError for another kind of value, ValueError where a row has other columns than the first, and `StoreError`
    where a constraint or guard of the database refuses a row.
    """
    if not rows:
        return
    columns = rows[0].keys()
    lines = io.StringIO()
    for row in rows:
        if row.keys() != columns:
            raise ValueError(f"{table}: expected the columns {', '.join(columns)}; got {', '.join(row)}")
        lines.write(",".join([_as_text(row[column]) for column in columns]) + "\n")
    lines.seek(0)
    copy_text(connection, table, [f'"{column}"' for column in columns], lines)


def _as_text(value: Any) -> str:
    """A field of CSV as COPY reads it: NULL is empty, a text is in quotes, a float keeps every bit."""
    if value is None:
        return ""
    if isinstance(value, str):
        return f'"{value.replace(chr(34), chr(34) * 2)}"'
    if isinstance(value, float):
        return float.__repr__(value)
    if isinstance(value, int):  # a bool too: 1 or 0
        return int.__repr__(value)
    if isinstance(value, list) and not any(isinstance(item, str | list) for item in value):
        return f'"{{{",".join([_as_text(item) or "NULL" for item in value])}}}"'
    raise TypeError(f"{value!r}: expected None, a bool, int, float, str or a list of numbers")


def copy_out(
    connection: Connection, query: str, **parameters: int | str | list[int]
) -> Iterator[list[memoryview | None]]:
    """Rows of a query with its %(name)s parameters bound, each field as raw bytes or None."""
    buffer = io.BytesIO()
    with _cursor(connection) as cursor:
        bound = cursor.mogrify(f"copy ({query}) to stdout (format binary)", parameters)
        cursor.copy_expert(bound, buffer)
    view = buffer.getbuffer()
    offset = len(_SIGNATURE)
    while True:
        (n_fields,) = struct.unpack_from(">h", view, offset)
        offset += 2
        if n_fields < 0:
            return
        row: list[memoryview | None] = []
        for _ in range(n_fields):
            (length,) = struct.unpack_from(">i", view, offset)
            offset += 4
            row.append(None if length < 0 else view[offset : offset + length])
            offset += max(length, 0)
        yield row


def read_scalar(field: memoryview) -> int:
    """An int2, int4 or int8 field as a number."""
    return int.from_bytes(field, "big", signed=True)


def read_array(field: memoryview, kind: str) -> NDArray[Any]:
    """A one-dimensional array field without NULLs as a vector (n,) in native byte order."""
    oid, dtype = _ELEMENTS[kind]
    dimensions, has_null, element_type = struct.unpack_from(">iii", field, 0)
    if element_type != oid or has_null or dimensions > 1:
        raise ValueError(
            f"expected a {kind} vector without NULLs, found element type {element_type}, NULLs: {bool(has_null)}, "
            f"dimensions: {dimensions}"
        )
    if dimensions == 0:
        return np.empty(0, dtype=np.dtype(dtype).newbyteorder("="))
    elements = np.frombuffer(field, dtype=[("length", ">i4"), ("value", dtype)], offset=20)
    return elements["value"].astype(np.dtype(dtype).newbyteorder("="))


@contextmanager
def _refused(table: str) -> Iterator[None]:
    """What a constraint or guard refuses is a `StoreError` that names the table."""
    try:
        yield
    except psycopg2.IntegrityError as error:
        raise StoreError(f"{table}: {error.diag.message_primary}") from error


def _cursor(connection: Connection) -> Any:
    """psycopg2's cursor, within the transaction of the SQLAlchemy connection, which it can't begin by itself."""
    if not connection.in_transaction():
        connection.begin()
    return connection.connection.cursor()
