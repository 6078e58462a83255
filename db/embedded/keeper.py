"""The keeper: a small process that starts one PostgreSQL server, stays its parent, and stops it after use.

    python -m db.embedded.keeper HOME [--linger SECONDS]

It detaches itself, writes what it does to HOME/postgres/keeper.log, and ends when no process has held
users.lock for SECONDS, when somebody holds stop.lock, or on SIGTERM. If PostgreSQL dies while it has users,
the keeper starts it again on the same port. If the keeper dies, however it dies, PostgreSQL shuts down.
What it can't do it says on standard output, in the words of the ServerError that the user gets.
"""

import argparse
import contextlib
import logging
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from db import logs
from db.embedded import cluster, programs
from db.embedded.account import Launcher, find_launcher, tie
from db.embedded.folder import (
    EXCLUSIVE,
    POLL,
    Folder,
    Phase,
    ServerStatus,
    is_held,
    tail,
    try_lock,
    unlock,
    wait_lock,
)
from db.errors import ServerError

_log = logging.getLogger("db.embedded.keeper")
BUSY: Final = 3
"""Exit code: another keeper works here."""

WATCH_SECONDS: Final = 0.2
OLD_SERVER_SECONDS: Final = 60.0
READY_SECONDS: Final = 600.0
STOP_SECONDS: Final = 60.0
PORTS_TRIED: Final = 10
CRASHES_ALLOWED: Final = 3
LOG_BYTES: Final = 16 * 2**20
SOCKET_PATH_BYTES: Final = 107 if sys.platform == "linux" else 103


class End(Enum):
    """Why a server is no longer kept."""

    UNUSED = "nobody uses it"
    ASKED = "asked to stop"
    DIED = "PostgreSQL died"


@dataclass(frozen=True)
class Running:
    """A server that is ready."""

    process: "subprocess.Popen[bytes]"
    port: int
    watcher: int | None


@dataclass(frozen=True)
class Setting:
    """All that a start needs to know and that does not change between starts."""

    folder: Folder
    installation: cluster.Installation
    launcher: Launcher
    socket_dir: str

    def status(self, phase: Phase, server: Running | None = None) -> ServerStatus:
        """What to tell the users."""
        return ServerStatus(
            phase=phase,
            keeper_pid=os.getpid(),
            pid=server.process.pid if server else 0,
            host=cluster.HOST,
            port=server.port if server else 0,
            socket_dir=self.socket_dir,
            version=self.installation.version,
        )


def main(arguments: list[str] | None = None) -> int:
    """Take keeper.lock, detach, keep. Returns in the detached process; the first one ends with 0 or BUSY."""
    parser = argparse.ArgumentParser(prog="python -m db.embedded.keeper")
    parser.add_argument("home", type=Path)
    parser.add_argument("--linger", type=float, default=2.0)
    options = parser.parse_args(arguments)
    logs.start("INFO")
    folder = Folder.of(options.home)
    lock = folder.open_lock("keeper")
    if not wait_lock(lock, EXCLUSIVE, 2.0):
        return BUSY
    before = folder.read_status()
    folder.state.unlink(missing_ok=True)
    if os.fork() > 0:
        os._exit(0)  # the child has the lock
    try:
        keep(folder, options.linger, before)
    except (ServerError, OSError) as error:
        _log.error("failed: %s", error)
        print(error, flush=True)
        return 1
    finally:
        folder.state.unlink(missing_ok=True)
    return 0


def keep(folder: Folder, linger: float, before: ServerStatus | None) -> None:
    """Start the server and keep it until its end. Raises ServerError, OSError.

    `before` is what a keeper that was killed has left written, if one was.
    """
    os.chdir("/")
    os.umask(0o077)
    wakeup = listen_to_signals()
    folder.write_status(ServerStatus("starting", os.getpid(), 0, cluster.HOST, 0, "", ""))
    setting = prepare(folder, before)
    users = folder.open_lock("users")
    crashes: list[float] = []
    port = before.port if before else 0  # those who use the server still wait for it there
    try:
        while True:
            server = start(setting, port)
            folder.write_status(setting.status("ready", server))
            _log.info(
                "ready: PostgreSQL %s, %d, port %d",
                setting.installation.version,
                server.process.pid,
                server.port,
            )
            mute()
            end = watch_over(folder, server, users, linger, wakeup)
            _log.info("end: %s", end.value)
            folder.write_status(setting.status("starting" if end is End.DIED else "stopping"))
            finish(server)
            if end is not End.DIED:
                return
            port = server.port
            crashes = [moment for moment in crashes if moment > time.monotonic() - 60] + [time.monotonic()]
            if len(crashes) > CRASHES_ALLOWED:
                raise ServerError(f"PostgreSQL died {len(crashes)} times within a minute")
    finally:
        if setting.socket_dir != str(folder.data):
            remove_if_empty(Path(setting.socket_dir))


def prepare(folder: Folder, before: ServerStatus | None = None) -> Setting:
    """Find programs and account, make the data directory if there is none, write the settings."""
    server_lock = folder.open_lock("server")
    try:
        if not wait_lock(server_lock, EXCLUSIVE, OLD_SERVER_SECONDS):
            raise ServerError(
                f"an old PostgreSQL server on {folder.data} did not end within {OLD_SERVER_SECONDS:.0f} s:\n"
                + tail(folder.server_log)
            )
        has_data = cluster.check_kind(folder.data)
        if has_data:
            cluster.clear_stale_pid(folder.data)
        clear_old_sockets(folder, before)
        launcher = find_launcher(folder.data)
        installation = programs.runnable(cluster.installation_for(folder.data), launcher)
        cluster.prepare_ownership(folder.data, launcher)
        if not has_data:
            _log.info("initdb of %s with PostgreSQL %s", folder.data, installation.version)
            cluster.initialise(folder, installation, launcher, server_lock)
        cluster.configure(folder, installation, launcher)
        if not folder.read_password():
            _log.warning("the password file is missing or empty: setting a new password")
            cluster.renew_password(folder, installation, launcher, server_lock)
        socket_dir = make_socket_folder(folder, launcher)
    finally:
        os.close(server_lock)
    return Setting(folder, installation, launcher, str(socket_dir))


def make_socket_folder(folder: Folder, launcher: Launcher) -> Path:
    """The folder of the Unix socket, of the server's account and closed to others: the data, or one elsewhere.

    Elsewhere if the path is too long, or has a comma, at which clients split a host into several.
    """
    is_short = len(os.fsencode(folder.data / ".s.PGSQL.65535")) <= SOCKET_PATH_BYTES
    if is_short and "," not in str(folder.data):
        return folder.data
    for parent in map(Path, (tempfile.gettempdir(), "/tmp", "/var/tmp")):
        if (
            len(os.fsencode(parent)) < SOCKET_PATH_BYTES - 40
            and os.access(parent, os.W_OK | os.X_OK)
            and launcher.obstacle(parent) is None
        ):
            path = Path(tempfile.mkdtemp(prefix="xray-", dir=parent))
            launcher.owns(path)
            return path
    raise ServerError(
        f"no place for a Unix socket: {folder.data} is too long or has a comma, and /tmp can't be written"
    )


def clear_old_sockets(folder: Folder, before: ServerStatus | None) -> None:
    """Remove what a killed server left behind. The caller holds server.lock, so none of ours lives."""
    places = {folder.data, folder.root / "socket"}  # the second of a server that an older xray started
    if before and before.socket_dir:
        places.add(Path(before.socket_dir))
    for directory in places:
        for path in directory.glob(".s.PGSQL.*"):
            path.unlink(missing_ok=True)
        if directory != folder.data:
            remove_if_empty(directory)


def remove_if_empty(folder: Path) -> None:
    """Remove a folder unless something is in it."""
    with contextlib.suppress(OSError):
        folder.rmdir()


def start(setting: Setting, port: int) -> Running:
    """Start PostgreSQL on `port` (0: any free one) and wait until it is ready."""
    folder = setting.folder
    lock = folder.open_lock("server")
    try:
        if not wait_lock(lock, EXCLUSIVE, OLD_SERVER_SECONDS):
            raise ServerError(f"processes of the old server on {folder.data} did not end")
        cluster.clear_stale_pid(folder.data)
        for _ in range(PORTS_TRIED):
            port = port or free_port()
            output = os.open(folder.server_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            folder.give(output)
            size = os.fstat(output).st_size
            settings = cluster.server_settings(folder, setting.socket_dir, port)
            try:
                process = cluster.start_server(
                    folder, setting.installation, setting.launcher, settings, output, lock
                )
            finally:
                os.close(output)
            if wait_ready(process, folder.data):
                return Running(process, port, tie(process.pid))
            log = tail(folder.server_log, size)
            if "could not bind" not in log:
                raise ServerError(f"PostgreSQL on {folder.data} did not start:\n{log}")
            port = 0
        raise ServerError(f"no free port on {cluster.HOST} after {PORTS_TRIED} tries")
    finally:
        os.close(lock)  # from here on only PostgreSQL holds it


def free_port() -> int:
    """A port of the loopback address that was free just now."""
    with socket.socket() as probe:
        probe.bind((cluster.HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def wait_ready(process: "subprocess.Popen[bytes]", data: Path) -> bool:
    """Wait until this very process says that it is ready; False if it ends before."""
    deadline = time.monotonic() + READY_SECONDS
    while process.poll() is None:
        try:
            lines = (data / "postmaster.pid").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            lines = []
        if len(lines) > 7 and lines[0] == str(process.pid) and lines[7].strip() == "ready":
            return True
        if time.monotonic() > deadline:
            process.send_signal(signal.SIGQUIT)
            raise ServerError(f"PostgreSQL on {data} was not ready after {READY_SECONDS:.0f} s")
        time.sleep(POLL)
    return False


def watch_over(folder: Folder, server: Running, users: int, linger: float, wakeup: int) -> End:
    """Wait until PostgreSQL dies, somebody asks for the end, or nobody has used it for `linger` seconds.

    After UNUSED users.lock stays locked: newcomers wait for the keeper's end.
    """
    last_used = time.monotonic()
    while True:
        if server.process.poll() is not None:
            return End.DIED
        if is_held(folder.lock("stop")):
            return End.ASKED
        if not try_lock(users, EXCLUSIVE):
            last_used = time.monotonic()
        elif time.monotonic() - last_used >= linger:
            return End.UNUSED
        else:
            unlock(users)
        rotate(folder.server_log)
        if select.select([wakeup], [], [], WATCH_SECONDS)[0] and signal.SIGTERM in os.read(wakeup, 100):
            return End.ASKED


def finish(server: Running) -> None:
    """Shut PostgreSQL down: fast and clean, and only if that takes too long without a checkpoint."""
    if server.process.poll() is None:
        server.process.send_signal(signal.SIGINT)
    try:
        server.process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        _log.warning("the shutdown takes too long: stopping at once, the next start recovers from the log")
        server.process.send_signal(signal.SIGQUIT)
        server.process.wait()
    if server.watcher:
        os.kill(server.watcher, signal.SIGKILL)
        os.waitpid(server.watcher, 0)
    _log.info("PostgreSQL ended with %d", server.process.returncode)


def rotate(log: Path) -> None:
    """Move a log that has grown large aside. It is emptied in place, as all server processes append to it."""
    with contextlib.suppress(OSError):  # a missing log or a full disk is no reason to stop
        if log.stat().st_size > LOG_BYTES:
            shutil.copyfile(log, log.with_name(log.name + ".1"))
            os.truncate(log, 0)


def listen_to_signals() -> int:
    """A descriptor that becomes readable when a child ends or SIGTERM arrives."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    return reader


def mute() -> None:
    """Nobody reads standard output once the server is ready."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)


if __name__ == "__main__":
    sys.exit(main())
