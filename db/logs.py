"""The log: one line a record on standard error, in the form of Prefect's lines, which `xray logs` takes apart.

    2026-11-29 04:10:05 | INFO    | xray.analyses.run - computing performance [study=phantom]

Modules write to `logging.getLogger(__name__)` and know nothing of this one, but for `about`. A program starts the log once.
"""

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, Literal, TextIO

from db.errors import XrayError
from db.terminal import live, styled

VARIABLE: Final = "XRAY_LOG"
"""The environment variable with the level: processes that a command starts write as much as it does."""
LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")
STYLES: Final = {"DEBUG": "dim", "WARNING": "yellow", "ERROR": "bold red", "CRITICAL": "bold red"}
ROOMS: Final = ("db", "flows", "xray")
_ABOUT: Final[ContextVar[Mapping[str, str]]] = ContextVar("about", default={})  # noqa: B039  never changed


@contextmanager
def about(**names: str) -> Iterator[None]:
    """Say what the records of a block are about: study, dataset, model."""
    token = _ABOUT.set({**_ABOUT.get(), **names})
    try:
        yield
    finally:
        _ABOUT.reset(token)


class Line(logging.Formatter):
    """A record as one line: time, level, module, message, and what it is about."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s | %(levelname)-7s | %(name)s - %(message)s", "%Y-%m-%d %H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """Line breaks of a message are spaces; a traceback stays below its line."""
        text = " ".join(record.getMessage().split("\n"))
        names = " ".join(f"{key}={value}" for key, value in _ABOUT.get().items())
        whole = logging.makeLogRecord(
            record.__dict__ | {"msg": f"{text} [{names}]" if names else text, "args": None}
        )
        return super().format(whole)


class StandardError(logging.StreamHandler[TextIO]):
    """Writes to what `sys.stderr` is at that moment, below a progress bar where there is one."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)
        self.setFormatter(Line())

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        """Standard error."""
        return sys.stderr

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        text, style = self.format(record), STYLES.get(record.levelname, "")
        try:
            if (above := live()) is not None:
                above.print(text, style=style, soft_wrap=True)
            else:
                self.stream.write(f"{styled(text, style, self.stream) if style else text}\n")
                self.flush()
        except Exception:
            self.handleError(record)


_HANDLER: Final = StandardError()


def start(level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] | None = None) -> None:
    """Write records of this level and above; None: of the level that XRAY_LOG names, else INFO. Again: changes the level.

    Raises `XrayError` where XRAY_LOG names none.
    """
    if level is not None:
        os.environ[VARIABLE] = level
    name = os.environ.get(VARIABLE, "").upper() or "INFO"
    if name not in LEVELS:
        raise XrayError(
            f"{VARIABLE}={os.environ[VARIABLE]}: not a log level; expected one of {', '.join(LEVELS)}"
        )
    for room in ROOMS:
        logger = logging.getLogger(room)
        logger.setLevel(name)
        if _HANDLER not in logger.handlers:
            logger.addHandler(_HANDLER)


def is_quiet() -> bool:
    """Whether warnings alone are written: then no progress is shown either."""
    return os.environ.get(VARIABLE, "").upper() in ("WARNING", "ERROR")
