"""How the pages ask the database: as the reader, read-only, bound parameters, bounded time."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Engine, Row, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnection

from xray.errors import DatabaseError
from xray.explorer.statements import statement

CONNECTIONS: Final = 8
"""Of the twenty that the reader's role may have."""
SECONDS: Final = 20
"""How long one question may take before its page gives up."""
_OPTIONS: Final = f"-c default_transaction_read_only=on -c statement_timeout={SECONDS}s"


class BusyError(DatabaseError):
    """The database did not answer in time, or can't be reached now."""


@dataclass(frozen=True)
class Question:
    """A question as a page shows it: what it answers, and a text that `xray sql` takes."""

    title: str
    text: str


@dataclass(frozen=True)
class Database:
    """Our own database as the reader. url: SQLAlchemy's."""

    engine: Engine

    @classmethod
    def of(cls, url: str) -> "Database":
        """A pool of connections that are opened as they are needed, and looked at before they are used again."""
        options = {"connect_args": {"options": _OPTIONS}, "isolation_level": "AUTOCOMMIT"}
        pool: dict[str, Any] = {"pool_size": CONNECTIONS, "max_overflow": 0, "pool_timeout": SECONDS}
        return cls(create_engine(url, pool_pre_ping=True, **pool, **options))

    def close(self) -> None:
        """Give back every connection."""
        self.engine.dispose()

    @contextmanager
    def connection(self) -> Iterator[Any]:
        """A connection for the time of a block. Raises `BusyError` where the database does not answer."""
        try:
            with self.engine.connect() as connection:
                yield connection
        except NoConnection:
            raise BusyError("the database is busy: try again in a moment") from None
        except DBAPIError as error:
            if "statement timeout" in str(error.orig):
                raise BusyError(f"the question took longer than {SECONDS} s: add filters") from None
            if error.connection_invalidated or error.statement is None:
                raise BusyError("the database can't be reached now: try again in a moment") from None
            raise

    def rows(self, name: str, /, **parameters: Any) -> Sequence[Row[Any]]:
        """All rows of a question."""
        with self.connection() as connection:
            return connection.exec_driver_sql(statement(name, parameters), parameters).all()

    def stream(self, name: str, /, **parameters: Any) -> Iterator[Sequence[Any]]:
        """Names of the columns, then row by row as they come."""
        with self.connection() as connection:
            running = connection.execution_options(stream_results=True, isolation_level="READ COMMITTED")
            answer = running.exec_driver_sql(statement(name, parameters), parameters)
            yield tuple(answer.keys())
            yield from answer

    def statement_text(self, name: str, /, **parameters: Any) -> str:
        """The text of a question with its parameters in their places, quoted by the server's rules."""
        with self.connection() as connection:
            cursor = connection.connection.cursor()
            return str(cursor.mogrify(statement(name, parameters), parameters).decode())


@dataclass
class Session:
    """The questions of one page, kept to be shown on it."""

    database: Database
    questions: list[Question] = field(default_factory=list)

    def rows(self, name: str, title: str = "", /, **parameters: Any) -> Sequence[Row[Any]]:
        """All rows of a question; with a title, it is shown on the page."""
        if title:
            self.show(name, title, parameters)
        return self.database.rows(name, **parameters)

    def show(self, name: str, title: str, parameters: Mapping[str, Any]) -> None:
        """Show a question on the page, whether it is asked or not."""
        self.questions.append(Question(title, self.database.statement_text(name, **parameters)))
