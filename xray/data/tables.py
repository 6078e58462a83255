"""A table in any layout: CSV with any delimiter and encoding, a spreadsheet, or Parquet, as rows of text.

The content tells what a file is. Nothing of it is changed in silence: `about` says how it was read, and a row that can't be
read is set aside with its number.
"""

import csv
import datetime
import io
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xray import limits
from xray.data.sources.base import Quarantined
from xray.data.sources.csvfile import CsvFile, is_utf8, parse_csv, plain_text, read_bytes
from xray.data.sources.parquetfile import read_parquet
from xray.errors import DataError

DELIMITERS: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_ENCODING: Final = "cp1252"
"""What a spreadsheet program writes in Western Europe where it doesn't write UTF-8; it includes Latin-1's letters."""
_SAMPLE: Final = 200
_EXCEL_ERRORS: Final = frozenset({"#N/A", "#NULL!", "#DIV/0!", "#REF!", "#NAME?", "#VALUE!", "#NUM!"})


@dataclass(frozen=True)
class Layout:
    """How a file is to be read, where its content doesn't tell: the names of a delimiter, an encoding, a sheet."""

    delimiter: str | None = None
    encoding: str | None = None
    sheet: str | None = None


@dataclass(frozen=True)
class Table:
    """A file's rows. name: for messages. about: how it was read, in words. lines: the row of the file of each row."""

    name: str
    frame: pd.DataFrame
    lines: NDArray[np.int64]
    about: str
    quarantine: list[Quarantined] = field(default_factory=list)

    def as_csv(self) -> CsvFile:
        """The same rows, as readers of native layouts take them."""
        return CsvFile(self.name, self.frame, self.lines, self.quarantine)


def read_table(
    path: Path, layout: Layout | None = None, error: type[DataError] = DataError, *, typed: bool = False
) -> Table:
    """The rows of a file, each cell text without spaces around it, "" where it is empty.

    typed: columns of a Parquet file keep their types. Raises `error` where the file can't be read, its bounds
    (`xray.limits`) are passed, or it names no columns.
    """
    layout = layout or Layout()
    try:
        with limits.open_file(path) as file:
            head = file.read(4)
    except OSError as failure:
        raise error(f"{path}: can't be read: {failure.strerror}") from None
    if head == b"PAR1":
        return _parquet(path, error, typed=typed)
    if head == b"PK\x03\x04" and _is_workbook(path):
        return _workbook(path, layout, error)
    if head == b"\xd0\xcf\x11\xe0":
        raise error(
            f"{path.name}: a workbook of an old Excel, or one with a password; save it as xlsx without one"
        )
    return _csv(path, layout, error)


def _csv(path: Path, layout: Layout, error: type[DataError]) -> Table:
    import pyarrow

    data, encoding = _as_utf8(read_bytes(path, error), path.name, layout.encoding, error)
    delimiter = layout.delimiter or find_delimiter(data)
    parsed = parse_csv(data, path.name, delimiter, (), error)
    del data
    for column in parsed.frame.columns if len(parsed.frame) else ():
        parsed.frame[column] = parsed.frame[column].str.strip()  # one by one, as each may be large
    pyarrow.default_memory_pool().release_unused()
    about = f"CSV with {DELIMITERS.get(delimiter, repr(delimiter))}, {encoding}"
    return Table(path.name, parsed.frame, parsed.lines, about, parsed.quarantine)


def _as_utf8(data: bytes, name: str, encoding: str | None, error: type[DataError]) -> tuple[bytes, str]:
    """The text as UTF-8 with plain newlines, and the name of its encoding.

    A file of which some lines are UTF-8 beyond ASCII and others are not is left as it is: those lines are set aside later.
    """
    if encoding is not None:
        try:
            return plain_text(data.decode(encoding).encode(), name, error), encoding
        except (UnicodeDecodeError, LookupError) as failure:
            raise error(f"{name}: can't be read as {encoding}: {failure}") from None
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return plain_text(data, name, error), "UTF-16"
    head = data[: 2 * _SAMPLE]
    for first, name_of in ((1, "utf-16-le"), (0, "utf-16-be")):
        zeros = head[first::2].count(0)
        if zeros > len(head) // 4 and not head[1 - first :: 2].count(0):
            try:
                return plain_text(data.decode(name_of).encode(), name, error), "UTF-16"
            except UnicodeDecodeError as failure:
                raise error(f"{name}: looks like UTF-16 but isn't: {failure}") from None
    data = plain_text(data, name, error)
    if is_utf8(data) or b"\0" in data:
        return data, "UTF-8"
    beyond = [line for line in data.split(b"\n") if not line.isascii()]
    if any(is_utf8(line) for line in beyond):
        return data, "UTF-8"
    try:
        return data.decode(_ENCODING).encode(), "Windows-1252 (it is not UTF-8)"
    except UnicodeDecodeError:
        return data.decode("latin-1").encode(), "Latin-1 (it is not UTF-8)"


def find_delimiter(data: bytes) -> str:
    """The character that separates the fields: the one by which most of the first rows have as many fields as the header."""
    sample = data[: limits.MIB].decode(errors="replace")
    best, most = ",", (0.0, 0)
    for delimiter in DELIMITERS:
        try:
            reader = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
            rows = [row for row, _ in zip(reader, range(_SAMPLE), strict=False) if row]
        except csv.Error:
            continue
        if rows and len(rows[0]) > 1:
            body = rows[1:] or rows
            alike = sum(len(row) == len(rows[0]) for row in body) / len(body)
            if (round(alike, 2), len(rows[0])) > most:
                best, most = delimiter, (round(alike, 2), len(rows[0]))
    return best


def _parquet(path: Path, error: type[DataError], *, typed: bool) -> Table:
    frame = read_parquet(path, error)
    _check_names([str(column) for column in frame.columns], path.name, error)
    frame.columns = [str(column).strip() for column in frame.columns]
    if not typed:
        frame = frame.apply(lambda column: column.map(as_text)).astype(object)
    return Table(path.name, frame, np.arange(1, len(frame) + 1), "Parquet")


def _is_workbook(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return "xl/workbook.xml" in archive.namelist()
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return False


def _workbook(path: Path, layout: Layout, error: type[DataError]) -> Table:
    from openpyxl import load_workbook

    _check_packed(path, error)
    try:
        book = load_workbook(path, read_only=True, data_only=True, keep_links=False)
        try:
            names = list(book.sheetnames)
            if layout.sheet is not None and layout.sheet not in names:
                raise error(f"{path.name}: there is no sheet {layout.sheet!r}; sheets: {', '.join(names)}")
            sheet_names = [layout.sheet] if layout.sheet is not None else names
            sheets = {name: _sheet(book[name], path.name, error) for name in sheet_names if name in book}
        finally:
            book.close()
    except DataError:
        raise
    except Exception as failure:  # a damaged file: the library raises whatever its parts do
        raise error(f"{path.name}: not a workbook that can be read: {failure!s:.200}") from None
    with_rows = {name: rows for name, rows in sheets.items() if rows}
    if len(with_rows) != 1:
        fault_text = f'{len(with_rows)} sheets have rows: {", ".join(with_rows)}; say which (sheet = "…" in a mapping file)'
        raise error(f"{path.name}: {fault_text if with_rows else 'the file is empty'}")
    ((sheet, rows),) = with_rows.items()
    return _from_rows(path.name, rows, f"workbook, sheet {sheet}", error)


def _check_packed(path: Path, error: type[DataError]) -> None:
    """Unpack every part once, counted and not kept. Raises `error` where one becomes more than it may."""
    size = path.stat().st_size
    limits.check_bytes(size, limits.TABLE, path.name, error)
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
            if len(parts) > limits.MEMBERS:
                raise error(f"{path.name}: an archive of more than {limits.MEMBERS:,} files")
            for part in parts:
                with archive.open(part) as member:
                    name = f"{path.name}: {part.filename}"
                    limits.Unpacking(member, lambda: size, limits.TABLE, name, error).seek(part.file_size)
    except (OSError, RuntimeError, zipfile.BadZipFile, NotImplementedError, EOFError) as failure:
        raise error(f"{path.name}: can't be read: {failure}") from None


def _sheet(sheet: Any, name: str, error: type[DataError]) -> list[tuple[int, list[str]]]:
    """The rows of a sheet that are not empty, with their numbers."""
    rows, cells = [], 0
    for number, row in enumerate(sheet.iter_rows(values_only=True, max_col=limits.COLUMNS + 1), 1):
        texts = [as_text(value) for value in row]
        while texts and not texts[-1]:
            texts.pop()
        if texts:
            limits.check_columns(len(texts), f"{name}, row {number}", error)
            cells += len(texts)
            limits.check_cells(cells, name, error)
            rows.append((number, texts))
    return rows


def _from_rows(name: str, rows: Sequence[tuple[int, list[str]]], about: str, error: type[DataError]) -> Table:
    header = rows[0][1]
    _check_names(header, name, error)
    cells, lines, quarantine = [], [], []
    for number, row in rows[1:]:
        if len(row) > len(header):
            reason = f"{len(row)} cells where the header has {len(header)}"
            quarantine.append(Quarantined(name, number, None, reason))
            continue
        cells.append(row + [""] * (len(header) - len(row)))
        lines.append(number)
    columns = [column or f"column {index + 1}" for index, column in enumerate(header)]
    frame = pd.DataFrame(cells, columns=columns, dtype=object)
    return Table(name, frame, np.array(lines, np.int64), about, quarantine)


def _check_names(header: Sequence[str], name: str, error: type[DataError]) -> None:
    names = [column.strip() for column in header if column.strip()]
    repeated = next(iter(_repeated(names)), None)
    if repeated is not None:
        raise error(f"{name}, row 1: column {repeated!r} stands more than once")
    if not names:
        raise error(f"{name}, row 1: the first row must name the columns")


def _repeated(names: Sequence[str]) -> Iterator[str]:
    names_before: set[str] = set()
    for name in names:
        if name in names_before:
            yield name
        names_before.add(name)


def as_text(value: Any) -> str:
    """A cell as text: whole numbers without a point, days without a time, and nothing for what is missing."""
    if isinstance(value, str):
        text = value.strip()
        return "" if text in _EXCEL_ERRORS else text
    if value is None or value is pd.NaT or value is pd.NA:
        return ""
    if isinstance(value, float | np.floating):
        if np.isnan(value):
            return ""
        number = float(value)
        return str(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    return str(value).strip()
