"""A CSV file as its owners publish it: plain, gzip or zip, with or without byte-order mark, any line ending.

A row that can't be read (wrong number of fields, bytes that are not UTF-8) is set aside with its line.
"""

import codecs
import contextlib
import csv
import gzip
import io
import os
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xray import limits
from xray.data.sources.base import Quarantined
from xray.errors import DataError
from xray.names import near

_NEWLINE, _QUOTE = ord("\n"), ord('"')
_BLOCK = 2**24
_SHOWN = 8
_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))


@dataclass(frozen=True)
class CsvFile:
    """A CSV file's rows as text.

    name: the file's name, for messages.
    frame: every cell text, "" where empty, columns named as in the header.
    lines: int64 (n_rows,), the line of the file where each row starts, the header being line 1.
    quarantine: rows set aside because they can't be read.
    """

    name: str
    frame: pd.DataFrame
    lines: NDArray[np.int64]
    quarantine: list[Quarantined]

    def set_aside(self, row: int, image: str | None, reason: str) -> Quarantined:
        """The quarantine entry of row `row` (position in `frame`)."""
        return Quarantined(self.name, int(self.lines[row]), image, reason)


def read_csv(
    path: Path, required: Sequence[str] = (), error: type[DataError] = DataError, stem: str = ""
) -> CsvFile:
    """The rows of a CSV file. Raises `error` where it can't be read or a required column is missing.

    stem: in a zip archive of several files, the start of the wanted one's name.
    """
    data = plain_text(read_bytes(path, error, stem), path.name, error)
    return parse_csv(data, path.name, ",", required, error)


def parse_csv(
    data: bytes, name: str, delimiter: str, required: Sequence[str], error: type[DataError]
) -> CsvFile:
    """The rows of a text that `plain_text` gave, whose fields this character separates."""
    limits.check_table(data, name, error, delimiter.encode())
    data, undecodable = _readable_lines(data, name, delimiter, error)
    header, body_at = _header(data, name, delimiter, error)
    _check_header(header, required, name, error)
    records, lines, malformed = _records(data, body_at, header, name, delimiter)
    quarantine = sorted(undecodable + malformed, key=lambda entry: entry.row or 0)
    return CsvFile(name, records, lines, quarantine)


def read_bytes(path: Path, error: type[DataError] = DataError, stem: str = "") -> bytes:
    """The contents of a file, unpacked where they are gzip or zip (told by content, not by name).

    Raises `error` for a missing, empty or damaged file, and for a zip archive whose wanted file isn't clear.
    """
    try:
        with limits.open_file(path) as file:
            limits.check_bytes(os.fstat(file.fileno()).st_size, limits.TABLE, str(path), error)
            head = file.read(4)
            file.seek(0)
            if head.startswith(b"\x1f\x8b"):
                data = limits.Unpacking(
                    gzip.GzipFile(fileobj=file), file.tell, limits.TABLE, str(path), error
                ).read()
            elif head == b"PK\x03\x04":
                data = _unzip(file.read(), path.name, error, stem)
            else:
                data = file.read()
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError) as failure:
        reason = failure.strerror if isinstance(failure, OSError) else None
        raise error(f"{path}: can't be read: {reason or failure}") from failure
    if not data.strip():
        raise error(f"{path.name}: the file is empty")
    return data


def _unzip(data: bytes, name: str, error: type[DataError], stem: str) -> bytes:
    if data.count(b"PK\x01\x02") > limits.MEMBERS:  # each file of an archive has one
        raise error(f"{name}: an archive of more than {limits.MEMBERS:,} files")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = [info.filename for info in archive.infolist() if not info.is_dir()]
        csv_files = [file for file in files if file.lower().endswith(".csv") and "__MACOSX" not in file]
        if len(csv_files) > 1 and stem:
            csv_files = [file for file in csv_files if Path(file).name.startswith(stem)]
        if len(csv_files) != 1:
            names = ", ".join(map(repr, (csv_files or files)[:_SHOWN]))
            raise error(f"{name}: expected one CSV file in the archive, found {names or 'none'}")
        info = archive.getinfo(csv_files[0])
        if info.flag_bits & 1:
            raise error(f"{name}: {csv_files[0]} in the archive needs a password; unpack it first")
        with archive.open(info) as member:
            unpacking = limits.Unpacking(
                member, lambda: len(data), limits.TABLE, f"{name}: {csv_files[0]}", error
            )
            return unpacking.read()


def plain_text(data: bytes, name: str, error: type[DataError]) -> bytes:
    """The text as UTF-8 without byte-order mark, with plain newlines."""
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            data = data[len(mark) :]
            if encoding != "utf-8":
                try:
                    data = data.decode(encoding).encode()
                except UnicodeDecodeError as failure:
                    raise error(f"{name}: begins as UTF-16 but isn't: {failure}") from failure
            break
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return data


def _readable_lines(
    data: bytes, name: str, delimiter: str, error: type[DataError]
) -> tuple[bytes, list[Quarantined]]:
    """UTF-8. A line that is not text is emptied (line numbers hold) and set aside."""
    if b"\0" not in data and is_utf8(data):
        return data, []
    lines = data.split(b"\n")
    unreadable = [index for index, line in enumerate(lines) if b"\0" in line or not is_utf8(line)]
    if 0 in unreadable:
        raise error(f"{name}, row 1: the header isn't UTF-8 text; save the file as CSV in UTF-8")
    quarantine = []
    for index in unreadable:
        quarantine.append(Quarantined(name, index + 1, None, _not_text(lines[index], delimiter)))
        lines[index] = b""
    return b"\n".join(lines), quarantine


def is_utf8(data: bytes) -> bool:
    """Is this UTF-8, looked at in pieces?"""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(data), limits.STEP):
            decoder.decode(data[start : start + limits.STEP])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _not_text(line: bytes, delimiter: str) -> str:
    try:
        line.decode()
    except UnicodeDecodeError as failure:
        column = line[: failure.start].count(delimiter.encode()) + 1
        return f"field {column}: byte 0x{line[failure.start]:02x} isn't UTF-8; save the file as UTF-8"
    return "a zero byte in the row"


def _header(data: bytes, name: str, delimiter: str, error: type[DataError]) -> tuple[list[str], int]:
    """The column names, and the position where the next record starts."""
    at, within_quotes = 0, 0
    while (end := data.find(b"\n", at)) >= 0:
        within_quotes ^= data.count(b'"', at, end) % 2
        if not within_quotes or end > limits.LINE:
            break
        at = end + 1
    end = len(data) if end < 0 else end
    limits.check_columns(data.count(delimiter.encode(), 0, end) + 1, f"{name}, row 1", error)
    try:
        fields = next(csv.reader(io.StringIO(data[:end].decode(), newline=""), delimiter=delimiter), [])
    except csv.Error as failure:
        raise error(f"{name}, row 1: {failure}; is a quote opened here and never closed?") from failure
    if not any(field.strip() for field in fields):
        raise error(f"{name}, row 1: the first row must name the columns")
    return [field.strip() for field in fields], end + 1


def _check_header(header: list[str], required: Sequence[str], name: str, error: type[DataError]) -> None:
    repeated = sorted(column for column, count in Counter(header).items() if column and count > 1)
    if repeated:
        raise error(f"{name}, row 1: column {repeated[0]!r} stands more than once")
    missing = [column for column in required if column not in header]
    if not missing:
        return
    hint = near(missing[0], header)
    guess = f"; did you mean the column {hint!r}?" if hint else f"; columns found: {', '.join(header)[:300]}"
    if len(header) == 1 and (";" in header[0] or "\t" in header[0]):
        guess = "; the fields must be separated by commas"
    raise error(f"{name}, row 1: required column {missing[0]!r} is missing{guess}")


def _records(
    data: bytes, start: int, header: list[str], name: str, delimiter: str
) -> tuple[pd.DataFrame, NDArray[np.int64], list[Quarantined]]:
    """The rows after the header, their lines, and the rows with too many or too few fields."""
    columns = [column or f"column {index + 1}" for index, column in enumerate(header)]
    n_named = max(index for index, column in enumerate(header) if column) + 1
    first_line = line = data.count(b"\n", 0, start) + 1
    frames, lines, malformed = [], [], []
    for block in _blocks(data, start):
        part = _block_records(block, line, columns, n_named, name, delimiter)
        if part is None:  # a block may end anywhere then
            return _records_slowly(data[start:], first_line, columns, n_named, name, delimiter)
        frames.append(part[0])
        lines.append(part[1])
        malformed += part[2]
        line += block.count(b"\n")
    with_rows = [frame for frame in frames if len(frame)] or frames[:1]
    return pd.concat(with_rows, ignore_index=True), np.concatenate(lines), malformed


def _blocks(data: bytes, start: int) -> Iterator[bytes]:
    """Whole records, about 16 MiB at a time; at least one block, which may be empty."""
    while True:
        end = data.find(b"\n", start + _BLOCK)
        quotes = data.count(b'"', start, end) if end >= 0 else 0
        while end >= 0 and quotes % 2:  # the line ends within a quoted field
            following = data.find(b"\n", end + 1)
            quotes += data.count(b'"', end, following) if following >= 0 else 0
            end = following
        yield data[start : end + 1] if end >= 0 else data[start:]
        if end < 0 or end + 1 == len(data):
            return
        start = end + 1


def _block_records(
    body: bytes, first_line: int, columns: list[str], n_named: int, name: str, delimiter: str
) -> tuple[pd.DataFrame, NDArray[np.int64], list[Quarantined]] | None:
    """The rows of a block; None where its quotes are not around fields: only a parser finds the rows then."""
    buffer = np.frombuffer(body, np.uint8)
    if b'"' in body and not _quotes_fields(buffer, ord(delimiter)):
        return None
    begins, ends, fields, lines = _outline(body, buffer, ord(delimiter))
    blank = begins == ends
    good = (fields >= n_named) & (fields <= len(columns)) & ~blank
    malformed_rows = np.flatnonzero(~good & ~blank)
    well_formed = body
    if len(malformed_rows):
        well_formed = b"\n".join(body[a:b] for a, b in zip(begins[good], ends[good], strict=True))
    frame = _parse(well_formed, columns, delimiter)
    if len(frame) != good.sum():
        return None
    malformed = [
        entry
        for i in malformed_rows.tolist()
        for entry in _not_taken(
            name, int(lines[i]) + first_line, body.count(b"\n", begins[i], ends[i]), int(fields[i]), n_named
        )
    ]
    return frame.iloc[:, :n_named], lines[good] + first_line, malformed


def _quotes_fields(buffer: NDArray[np.uint8], delimiter: int) -> bool:
    """Does every quote open or close a field, or stand doubled within one?"""
    at = np.flatnonzero(buffer == _QUOTE)
    if len(at) % 2:
        return False
    edges = [delimiter, _NEWLINE, _QUOTE]
    opening, closing = at[::2], at[1::2]
    before = buffer[opening[opening > 0] - 1]
    after = buffer[closing[closing < len(buffer) - 1] + 1]
    return bool(np.isin(before, edges).all() and np.isin(after, edges).all())


def _outline(
    body: bytes, buffer: NDArray[np.uint8], delimiter: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Begin, end, number of fields and line (from 0) of every record, reading quotes as pairs."""
    newlines = np.flatnonzero(buffer == _NEWLINE)
    commas = np.flatnonzero(buffer == delimiter)
    ends = newlines
    if b'"' in body:
        inside = np.bitwise_xor.accumulate((buffer == _QUOTE).view(np.uint8))
        ends = newlines[inside[newlines] == 0]
        commas = commas[inside[commas] == 0]
    if len(buffer) and (not len(ends) or ends[-1] != len(buffer) - 1):
        ends = np.append(ends, len(buffer))
    begins = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    fields = np.diff(np.searchsorted(commas, ends), prepend=0) + 1
    return begins, ends, fields, np.searchsorted(newlines, begins)


def _parse(body: bytes, columns: list[str], delimiter: str) -> pd.DataFrame:
    if not body.strip(b" \n"):
        return pd.DataFrame({column: pd.Series(dtype=object) for column in columns})
    try:
        return pd.read_csv(
            io.BytesIO(body),
            names=columns,
            header=None,
            dtype=str,
            keep_default_na=False,
            index_col=False,
            sep=delimiter,
        )
    except pd.errors.ParserError:
        return pd.DataFrame()


def _records_slowly(
    body: bytes, first_line: int, columns: list[str], n_named: int, name: str, delimiter: str
) -> tuple[pd.DataFrame, NDArray[np.int64], list[Quarantined]]:
    """The rows as Python's csv module reads them. A line whose quote is never closed is set aside."""
    texts = body.decode().split("\n")
    rows: list[list[str]] = []
    lines: list[int] = []
    malformed: list[Quarantined] = []
    began = 0
    while began < len(texts):
        at = began
        reader = csv.reader((f"{texts[k]}\n" for k in range(at, len(texts))), delimiter=delimiter)
        with contextlib.suppress(csv.Error):  # a field without end
            for row in reader:
                end = at + reader.line_num
                if end == len(texts) and end - began > 1 and _open(texts[began:end], delimiter):
                    break
                if n_named <= len(row) <= len(columns):
                    rows.append(row[:n_named])
                    lines.append(first_line + began)
                elif row:
                    malformed += _not_taken(name, first_line + began, end - began - 1, len(row), n_named)
                began = end
        if began < len(texts):
            open_quote = "a quote is opened in this row and never closed"
            malformed.append(Quarantined(name, first_line + began, None, open_quote))
            began += 1
    return pd.DataFrame(rows, columns=columns[:n_named], dtype=str), np.array(lines, np.int64), malformed


def _open(texts: Sequence[str], delimiter: str) -> bool:
    """Does the record that these lines make end within quotes?"""
    try:
        list(csv.reader((f"{text}\n" for text in texts), delimiter=delimiter, strict=True))
    except csv.Error as failure:
        return "unexpected end" in str(failure)
    return False


def _not_taken(name: str, line: int, more: int, fields: int, expected: int) -> list[Quarantined]:
    """A record with too many or too few fields, line by line: `more` lines after the first are within its quotes."""
    reason = f"{fields} fields where the header has {expected}"
    if more:
        reason += f" (to line {line + more}): is a quote opened and never closed?"
    entries = [Quarantined(name, line, None, reason)]
    reason_within = f"within the quotes that row {line} opens: {reason}"
    return entries + [Quarantined(name, line + k, None, reason_within) for k in range(1, more + 1)]
