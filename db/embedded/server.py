"""What a user of the embedded server calls: acquire, status, stop."""

import os
import pwd
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Final
from urllib.parse import quote

from db.embedded.folder import EXCLUSIVE, POLL, SHARED, Folder, ServerStatus, is_held, tail, try_lock
from db.errors import ServerError
from db.libpq import unset

if TYPE_CHECKING:
    import psycopg2.extensions

USER: Final = "xray"
CREATE_DATABASE_LOCK: Final = 0x78726179
NAME_BYTES: Final = 63
LOG_BYTES: Final = 2**20


class _Lease:
    """A hold on users.lock. It ends with `release` or with the process, never with garbage collection.

    Forked children inherit it; closing (instead of unlocking) leaves the others' hold alone.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


@dataclass(frozen=True)
class Server:
    """A running server, held until `release`, the end of the `with` block, or the end of the process."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    socket_dir: str
    _lease: _Lease = field(repr=False, compare=False)

    def url(self, database: str, driver: str = "psycopg2") -> str:
        """The address of a database for SQLAlchemy, password included; with an empty `driver` for libpq."""
        scheme = f"postgresql+{driver}" if driver else "postgresql"
        name = (
            database if driver else quote(database, safe="")
        )  # SQLAlchemy 2.0 takes names of databases as they are
        secret = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        return f"{scheme}://{secret}@{self.host}:{self.port}/{name}"

    def create_database(self, name: str) -> None:
        """Make a database (UTF8, locale C) unless it exists. Any number of processes may ask at once."""
        if not name or "\0" in name or len(name.encode()) > NAME_BYTES:
            raise ServerError(f"{name!r} can't name a database: 1 to {NAME_BYTES} bytes are allowed")
        import psycopg2
        from psycopg2 import sql

        try:
            with closing(_connect(self.host, self.port, self.password)) as connection:
                connection.autocommit = True
                with connection.cursor() as cursor:
                    cursor.execute("SELECT pg_advisory_lock(%s)", (CREATE_DATABASE_LOCK,))
                    cursor.execute("SELECT FROM pg_database WHERE datname = %s", (name,))
                    if cursor.rowcount == 0:
                        cursor.execute(
                            sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name))
                        )
        except psycopg2.errors.DuplicateDatabase:
            pass
        except psycopg2.Error as error:
            raise ServerError(f"database {name!r} could not be created: {error}") from error

    def release(self) -> None:
        """This user needs the server no longer. Calling it again does nothing."""
        self._lease.release()

    def __enter__(self) -> "Server":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def acquire(home: Path, *, linger: float = 2.0, timeout: float = 300.0, alone: bool = False) -> Server:
    """The server whose data lie in `home`/postgres/data, running and ready; it is started if needed.

    It runs as long as any process holds it, and `linger` seconds longer (who starts it sets that).
    The first call in a home makes the data directory. `timeout` is in seconds; a recovery may take many.
    alone: nobody else gets it until it is released; they wait.
    Raises ServerError: no PostgreSQL, another major version's data, a folder that can't be written, a server
    that is not ours, or not ready in time.
    """
    folder = Folder.of(home)
    deadline = time.monotonic() + timeout
    with _folder_errors(folder):
        folder.create()
        descriptor = folder.open_lock("users")
        try:
            while not try_lock(descriptor, EXCLUSIVE if alone else SHARED):
                if time.monotonic() > deadline:
                    if alone:
                        raise ServerError(f"the server in {folder.root} is in use")
                    raise ServerError(f"the server in {folder.root} is shutting down, and took too long")
                time.sleep(POLL)
            with unset():
                status, password = _ensure_running(folder, linger, deadline)
        except BaseException:
            os.close(descriptor)
            raise
    return Server(status.host, status.port, USER, password, status.socket_dir, _Lease(descriptor))


def status(home: Path) -> ServerStatus | None:
    """What runs in `home`, without starting anything; None if nothing does."""
    folder = Folder.of(home)
    with _folder_errors(folder):
        return folder.read_status() if is_held(folder.lock("keeper")) else None


def stop(home: Path, *, timeout: float = 60.0) -> None:
    """Shut the server in `home` down now, whoever uses it, and wait for its end.

    Open connections are closed. Raises ServerError if it still runs after `timeout` seconds.
    """
    folder = Folder.of(home)
    deadline = time.monotonic() + timeout
    with _folder_errors(folder):
        if not folder.root.is_dir():
            return
        request = folder.open_lock("stop")
        try:
            while not try_lock(request, EXCLUSIVE) or is_held(folder.lock("keeper")):
                _pause(folder, deadline, "did not stop")
            while is_held(folder.lock("server")):
                _pause(folder, deadline, "did not stop")
        finally:
            os.close(request)


def _ensure_running(folder: Folder, linger: float, deadline: float) -> tuple[ServerStatus, str]:
    """Wait for the server, starting a keeper where there is none. The caller holds users.lock."""
    words: IO[str] | None = None
    try:
        while True:
            if is_held(folder.lock("keeper")):
                server = folder.read_status()
                if server and server.phase == "ready":
                    password = folder.read_password()
                    if not password:
                        raise ServerError(
                            f"{folder.password} is missing or empty, so xray can't log in to the running server. Stop what "
                            "uses it (xray down, or the command that runs); the next start sets a new password"
                        )
                    if _is_ours(folder, server, password):
                        return server, password
            elif words is not None:
                reason = words.read().strip() or f"its keeper ended:\n{tail(folder.keeper_log)}"
                raise ServerError(f"the server in {folder.root} can't run: {reason}")
            else:
                words = _start_keeper(folder, linger)
            _pause(folder, deadline, "was not ready")
    finally:
        if words is not None:
            words.close()


def _start_keeper(folder: Folder, linger: float) -> IO[str] | None:
    """Start a keeper, and return its standard output; None if another process is just doing that."""
    lock = folder.open_lock("start")
    try:
        if not try_lock(lock, EXCLUSIVE) or is_held(folder.lock("keeper")):
            return None
        package = Path(__file__).resolve().parents[2]
        paths = [str(package), *filter(None, [os.environ.get("PYTHONPATH")])]
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        log = os.open(folder.keeper_log, flags, 0o600)
        folder.give(log)
        if os.fstat(log).st_size > LOG_BYTES:
            os.truncate(log, 0)
        try:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "db.embedded.keeper",
                    folder.root.parent,
                    "--linger",
                    str(linger),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                encoding="utf-8",
                errors="replace",
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUTF8": "1"},
                start_new_session=True,
            )
        finally:
            os.close(log)
        process.wait()  # for the first process only: the keeper itself is its child, and has the lock
        import psycopg2  # noqa: F401  (while the server starts)

        return process.stdout
    finally:
        os.close(lock)


def _is_ours(folder: Folder, server: ServerStatus, password: str) -> bool:
    """Whether our server answers; False if nothing does yet. Raises ServerError if it is not ours."""
    import psycopg2

    if _knows_writer(folder, server):
        return True
    try:
        with (
            closing(_connect(server.host, server.port, password)) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("SHOW cluster_name")
            row = cursor.fetchone()
    except psycopg2.OperationalError as error:
        if "password authentication failed" not in str(error) or folder.read_status() != server:
            return False
        raise ServerError(
            f"the server at {server.host}:{server.port} refuses the password in {folder.password}. "
            "If the file was changed: stop the server and delete the file, the next start sets a new password"
        ) from error
    name = row[0] if row else ""
    if name != folder.cluster_name:
        if folder.read_status() != server:
            return False
        raise ServerError(
            f"the server at {server.host}:{server.port} calls itself {name!r}, expected {folder.cluster_name!r}, "
            f"the one on {folder.data}. If an older version of xray started it, stop that first"
        )
    return True


def _knows_writer(folder: Folder, server: ServerStatus) -> bool:
    """Whether the server lets our writer in by SCRAM, by which it shows that it knows the password without being told it.

    So the superuser is asked for only where there are no roles yet, or they are to be put right.
    """
    import psycopg2

    try:
        password = folder.role_password("writer").read_text(encoding="utf-8").strip()
        scram = {"user": "xray_writer", "dbname": "xray", "require_auth": "scram-sha-256"}
        _connect(server.host, server.port, password, **scram).close()
    except (FileNotFoundError, psycopg2.Error):
        return False
    return True


def _connect(host: str, port: int, password: str, **login: str) -> "psycopg2.extensions.connection":
    """A connection that no PG* variable of the environment leads elsewhere; the superuser's unless a `login` is given."""
    import psycopg2

    whom: dict[str, Any] = {"user": USER, "dbname": "postgres", **login}
    return psycopg2.connect(
        **whom,
        host=host,
        hostaddr=host,
        port=port,
        password=password,
        options="",
        sslmode="disable",
        gssencmode="disable",
        channel_binding="prefer",
        target_session_attrs="any",
        client_encoding="UTF8",
        connect_timeout=10,
    )


def _pause(folder: Folder, deadline: float, failure: str) -> None:
    if time.monotonic() > deadline:
        logs = f"{tail(folder.keeper_log)}\n{tail(folder.server_log)}"
        raise ServerError(f"the server in {folder.root} {failure} in time:\n{logs}")
    time.sleep(POLL)


@contextmanager
def _folder_errors(folder: Folder) -> Iterator[None]:
    """Turn what the file system refuses into a ServerError that names the file and its owner."""
    try:
        yield
    except PermissionError as error:
        raise ServerError(
            f"{error.filename or folder.root}: {error.strerror}. The folder must be writable by you "
            f"(you are {_name(os.geteuid())}{_owner(folder.root)}); choose another home, or run as its owner"
        ) from error
    except OSError as error:
        raise ServerError(f"{error.filename or folder.root}: {error.strerror}") from error


def _owner(folder: Path) -> str:
    try:
        return f", it belongs to {_name(folder.stat().st_uid)}"
    except OSError:
        return ""


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
