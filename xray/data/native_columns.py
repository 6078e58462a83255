"""The native columns of a dataset's label files: distinct texts and codes, as they are stored."""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sqlalchemy import Connection, text

from db.copy import array, copy_in, copy_out, read_array, scalar
from db.queries import query

_TEXT: Final = 25
"""PostgreSQL's number of the type text."""


@dataclass(frozen=True)
class EncodedColumn:
    """One column of text: cell i is `terms[codes[i]]`; codes int32 (n_rows,), terms in order of appearance."""

    name: str
    terms: list[str]
    codes: NDArray[np.int32]

    def texts(self) -> pd.Series:
        """The cells, equal ones sharing one text."""
        return pd.Series(np.array(self.terms, dtype=object)[self.codes], dtype=object)


def encode(name: str, column: pd.Series) -> EncodedColumn:
    """A column of text or None, None as ""."""
    codes, terms = pd.factorize(column.astype(object))
    texts = [str(term) for term in terms]
    if (codes < 0).any():
        codes = np.where(codes < 0, len(texts), codes)
        texts.append("")
    return EncodedColumn(name, texts, codes.astype(np.int32))


def digest_columns(columns: Sequence[EncodedColumn], digest: "hashlib._Hash") -> None:
    """Add names, order and cells of columns to a hash."""
    for column in columns:
        terms = [text.encode() for text in column.terms]
        lengths = np.array([len(term) for term in terms], dtype="<i8")
        for part in (column.name.encode(), lengths.tobytes(), b"".join(terms), column.codes.tobytes()):
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)


def put_columns(connection: Connection, dataset_id: int, columns: Sequence[EncodedColumn]) -> None:
    """Store the native columns of a dataset, in this order."""
    rows = (
        (
            scalar(dataset_id, "int4"),
            column.name.encode(),
            scalar(position, "int2"),
            _text_array(column.terms),
            array(column.codes + 1, "int4"),
        )
        for position, column in enumerate(columns)
    )
    copy_in(connection, "native_column", ("dataset_id", "name", "position", "terms", "codes"), rows)


def _text_array(texts: Sequence[str]) -> bytes:
    """Texts as the bytes of a text[] field of COPY BINARY (see `db.copy`)."""
    parts = [struct.pack(">iiiii", 1, 0, _TEXT, len(texts), 1)]
    for item in texts:
        plain = item.encode()
        parts += (struct.pack(">i", len(plain)), plain)
    return b"".join(parts)


def read_columns(connection: Connection, dataset_id: int) -> list[EncodedColumn]:
    """The native columns of a dataset, in the order of its file."""
    parameters = {"dataset_id": dataset_id}
    names = connection.execute(text(query("native_columns")), parameters).all()
    codes = copy_out(connection, query("native_codes"), dataset_id=dataset_id)
    return [
        EncodedColumn(row.name, row.terms, read_array(vector, "int4") - 1)
        for row, (vector,) in zip(names, codes, strict=True)
        if vector is not None
    ]
