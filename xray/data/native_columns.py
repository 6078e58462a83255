"""The native columns of a dataset's label files: distinct texts and codes, as they are stored."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql import insert

from db.copy import copy_out, read_array
from db.queries import query
from db.schema import NativeColumn


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
    for position, column in enumerate(columns):
        connection.execute(
            insert(NativeColumn).values(
                dataset_id=dataset_id,
                name=column.name,
                position=position,
                terms=column.terms,
                codes=(column.codes + 1).tolist(),
            )
        )


def read_columns(connection: Connection, dataset_id: int) -> list[EncodedColumn]:
    """The native columns of a dataset, in the order of its file."""
    given = {"dataset_id": dataset_id}
    names = connection.execute(text(query("native_columns")), given).all()
    codes = copy_out(connection, query("native_codes"), dataset_id=dataset_id)
    return [
        EncodedColumn(row.name, row.terms, read_array(vector, "int4") - 1)
        for row, (vector,) in zip(names, codes, strict=True)
        if vector is not None
    ]
