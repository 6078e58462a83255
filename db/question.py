"""One question to the database as the reader: a statement that returns rows, which come as they are read.

That the text is one statement, and one that returns rows, is PostgreSQL's finding (db/sql/functions/open_question.sql). Then
COPY runs it, which streams and, unlike a cursor, computes in parallel; what COPY does not take, the cursor does (EXPLAIN).
A thread reads, so that the one that waits can be interrupted and cancel the query on the server.
"""

import contextlib
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from queue import Full, Queue
from typing import Any, Final

import psycopg2
from psycopg2 import errors, extensions

from db.errors import DatabaseError
from db.hints import slow_hint
from db.urls import libpq

BATCH: Final = 2000
"""Rows that are handed over at once."""
NOT_A_QUESTION: Final = "xray sql takes one question at a time: one statement that returns rows (select …)"
_ESCAPED: Final = re.compile(r"\\(.)")
_ESCAPES: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}

Row = tuple[Any, ...]
Cast = Callable[[str, Any], Any]


@dataclass(frozen=True)
class Answer:
    """The names of the columns, and batches of rows, to be gone through once, inside the block of `ask`."""

    columns: Sequence[str]
    batches: Iterator[list[Row]]


@contextlib.contextmanager
def ask(url: str, query: str, seconds: float | None = None) -> Iterator[Answer]:
    """Ask the database of a SQLAlchemy URL; where the block ends early, the query is cancelled on the server.

    seconds: how long the server may compute, 0 for ever, None as long as the role may.
    Raises `DatabaseError` with PostgreSQL's message in one line.
    """
    with (
        _messages(query, seconds),
        contextlib.closing(psycopg2.connect(libpq(url), client_encoding="UTF8")) as connection,
    ):
        connection.set_session(readonly=True)
        reader = _Reader(connection, query, seconds)
        try:
            yield reader.answer()
        finally:
            reader.end()


class _Reader:
    """The thread that runs a query and hands on what comes."""

    def __init__(self, connection: "extensions.connection", query: str, seconds: float | None) -> None:
        self._connection = connection
        self._query = query
        self._seconds = seconds
        self._items: Queue[Any] = Queue(maxsize=4)
        self._unwanted = threading.Event()
        self._batch: list[Row] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def answer(self) -> Answer:
        """The columns, once they are known, and the rows to come."""
        return Answer(self._next(), iter(self._next, None))

    def end(self) -> None:
        """Cancel what still runs, and wait for the thread."""
        self._unwanted.set()
        while self._thread.is_alive():
            with contextlib.suppress(psycopg2.Error):
                self._connection.cancel()
            self._thread.join(0.2)

    def _next(self) -> Any:
        item = self._items.get()
        if isinstance(item, BaseException):
            raise item
        return item

    def _put(self, item: Any) -> None:
        while not self._unwanted.is_set():
            with contextlib.suppress(Full):
                self._items.put(item, timeout=0.2)
                return
        raise _Unwanted

    def _run(self) -> None:
        try:
            with self._connection.cursor() as cursor:
                self._read(cursor)
            self._put(None)
        except _Unwanted:
            pass
        except BaseException as error:
            with contextlib.suppress(_Unwanted):
                self._put(error)

    def _read(self, cursor: "extensions.cursor") -> None:
        if self._seconds is not None:
            cursor.execute("set statement_timeout = %s", (round(self._seconds * 1000),))
        cursor.execute("select open_question(%s, 'answer')", (self._query,))
        cursor.execute("fetch 0 from answer")
        columns = cursor.description or ()
        self._put([column.name for column in columns])
        casts = [_cast(column.type_code) for column in columns]
        sink = _Sink(lambda line: self._add(_row(line, casts, cursor)))
        statement = self._query.rstrip("; \n\t")
        cursor.execute("savepoint copied")
        try:
            cursor.copy_expert(f"copy (\n{statement}\n) to stdout", sink)
        except (errors.SyntaxError, errors.FeatureNotSupported):
            cursor.execute("rollback to copied")
            while rows := self._fetch(cursor):
                self._put(rows)
        if self._batch:
            self._put(self._batch)

    def _fetch(self, cursor: "extensions.cursor") -> list[Row]:
        cursor.execute(f"fetch {BATCH} from answer")
        return cursor.fetchall()

    def _add(self, row: Row) -> None:
        self._batch.append(row)
        if len(self._batch) == BATCH:
            self._put(self._batch)
            self._batch = []


class _Unwanted(Exception):
    """Nobody waits for more rows."""


class _Sink:
    """A file as psycopg2 writes COPY's rows to: one line per call."""

    def __init__(self, take: Callable[[str], None]) -> None:
        self._take = take

    def write(self, line: bytes) -> int:
        """Hand on a line without its end."""
        self._take(line[:-1].decode())
        return len(line)


def _row(line: str, casts: Sequence[Cast | None], cursor: Any) -> Row:
    """The values of a line of COPY's text format."""
    fields = line.split("\t") if casts else []
    if "\\" in line:
        return tuple([_value(field, cast, cursor) for field, cast in zip(fields, casts, strict=True)])
    return tuple([cast(field, cursor) if cast else field for field, cast in zip(fields, casts, strict=True)])


def _value(field: str, cast: Cast | None, cursor: Any) -> Any:
    if "\\" in field:
        if field == r"\N":
            return None
        field = _ESCAPED.sub(lambda match: _ESCAPES.get(match[1], match[1]), field)
    return cast(field, cursor) if cast else field


def _cast(oid: int) -> Cast | None:
    """How psycopg2 makes a value of this type of its text; None where the text is the value."""
    cast = extensions.string_types.get(oid)
    return None if cast is None or cast in (extensions.UNICODE, extensions.string_types[25]) else cast


@contextlib.contextmanager
def _messages(query: str, seconds: float | None) -> Iterator[None]:
    """PostgreSQL's errors as ours."""
    try:
        yield
    except errors.InvalidCursorDefinition:
        raise DatabaseError(NOT_A_QUESTION) from None
    except errors.QueryCanceled as error:
        if "statement timeout" not in str(error):
            raise DatabaseError("the query was cancelled") from None
        limit = "the reader's limit" if seconds is None else f"{seconds:g} s"
        raise DatabaseError(
            f"the query took longer than {limit}: xray sql --timeout SECONDS allows more, 0 sets no limit{_better(query)}"
        ) from None
    except errors.ReadOnlySqlTransaction as error:
        raise DatabaseError(f"{one_line(error)}: xray sql only reads") from None
    except psycopg2.Error as error:
        raise DatabaseError(one_line(error)) from None


def _better(query: str) -> str:
    """The hint on what to ask instead, where there is one, as the end of a message."""
    hint = slow_hint(query)
    return "" if hint is None else f"; {hint}"


def one_line(error: BaseException | None) -> str:
    """PostgreSQL's message, where in the query, and its hint, as one line."""
    lines = str(error).strip().splitlines() or ["the query failed"]
    position = [f"({line.strip()})" for line in lines[1:] if line.startswith("LINE ")]
    hints = [line.strip() for line in lines[1:] if line.startswith("HINT:")]
    return " ".join([lines[0], *position, *hints])
