"""What a study can't do without is started again when it dies, or the run ends with one sentence."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psycopg2
import pytest

from db.embedded import acquire, status
from db.embedded.folder import Folder, is_held
from flows import refusals, watch
from flows.watch import Child, reached
from tests.flows.test_killed import own_processes, wait_until
from tests.processes import has_ended

ECHO = """
import os, socket, sys
listener = socket.socket(fileno=int(sys.argv[1]))
while True:
    connection, _ = listener.accept()
    connection.sendall(str(os.getpid()).encode())
    connection.close()
"""


class Messages(list[str]):
    """Takes the sentence with which a run would end."""

    def __call__(self, words: str) -> None:
        self.append(words)

    def wait(self, seconds: float = 20) -> str:
        wait_until(lambda: bool(self), seconds, lambda: "nothing was said")
        return self[0]


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def echo(listener: socket.socket, program: str = ECHO) -> "subprocess.Popen[bytes]":
    number = listener.fileno()
    return subprocess.Popen([sys.executable, "-c", program, str(number)], pass_fds=[number])


def ask(listener: socket.socket) -> int:
    with socket.create_connection(listener.getsockname(), timeout=20) as connection:
        return int(connection.recv(20))


def test_a_killed_server_is_started_again_at_its_address(listener):
    messages = Messages()
    child = Child("the server", lambda: echo(listener), Path("server.log"), messages)
    with child.running():
        first = ask(listener)
        os.kill(first, signal.SIGKILL)
        assert has_ended(first)  # a killed server can still take a connection until it gets a processor
        second = ask(listener)  # waits in the listener's queue meanwhile
        assert second != first
    assert child.process is not None
    assert child.process.poll() is not None
    assert not messages


def test_a_server_that_keeps_dying_ends_the_run(listener):
    messages = Messages()
    child = Child(
        "the server", lambda: echo(listener, "import sys; sys.exit(3)"), Path("server.log"), messages
    )
    child.well.set()
    with child.running():
        assert messages.wait(60).startswith(
            "the server ended 4 times within a minute: see server.log; run the same"
        )
    assert len(messages) == 1


def test_a_server_that_never_starts_is_not_retried_for_ever(listener):
    messages = Messages()
    child = Child(
        "the server", lambda: echo(listener, "import sys; sys.exit(3)"), Path("server.log"), messages
    )
    with child.running():
        wait_until(lambda: child.is_hopeless, 30, lambda: child.deaths)
    assert not messages  # whoever started it says so
    assert len(child.deaths) == 2


def test_an_external_server_may_be_away_for_a_while_but_not_for_good(listener, monkeypatch):
    monkeypatch.setattr(watch, "ASK_SECONDS", 0.1)
    messages = Messages()
    host, port = listener.getsockname()
    with reached("Prefect's server", f"http://{host}:{port}/api", messages, gone_seconds=1.0):
        listener.close()
        time.sleep(0.4)
        with socket.create_server((host, port)):
            time.sleep(1.2)
            assert not messages
        assert messages.wait() == f"Prefect's server at {host}:{port} is gone; {watch.AGAIN}"


@pytest.mark.parametrize("url", ["postgresql:///xray?host=%2Ftmp", "postgresql://u:p@one:5432,two:5433/xray"])
def test_a_url_of_several_hosts_is_not_watched(url):
    before = threading.active_count()
    with reached("PostgreSQL", url, Messages()):
        assert threading.active_count() == before


def test_postgresql_comes_back_on_its_port_when_its_keeper_is_killed(tmp_path):
    home, messages = tmp_path / "xray home", Messages()
    with acquire(home) as server:
        url = server.url("postgres", driver="")
        with watch.database(home, url, messages):
            running = status(home)
            assert running is not None
            os.kill(running.keeper_pid, signal.SIGKILL)
            wait_until(lambda: not is_held(Folder.of(home).lock("keeper")), 10, lambda: status(home))

            def serves_again() -> bool:
                """A restarted server answers before its state says that it is ready."""
                now = status(home)
                return now is not None and now.phase == "ready" and now.keeper_pid != running.keeper_pid

            wait_until(serves_again, 30, lambda: (status(home), messages))
            again = status(home)
            assert again is not None
            assert again.port == running.port
            psycopg2.connect(url, connect_timeout=2).close()
    assert not messages


def test_only_a_disk_that_stays_full_ends_the_run(tmp_path, monkeypatch):
    """Prefect's client asks again for minutes what its server can't store."""
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(watch, "REFUSED_SECONDS", 2.0)
    home, messages = tmp_path / "xray home", Messages()
    with acquire(home) as server, watch.database(home, server.url("postgres", driver=""), messages):
        monkeypatch.setattr(refusals, "LITTLE", 2**60)
        time.sleep(0.5)
        monkeypatch.setattr(refusals, "LITTLE", 0)
        time.sleep(2.2)
        assert not messages
        monkeypatch.setattr(refusals, "LITTLE", 2**60)
        assert messages.wait().startswith(f"{home}: the disk is full (")
    assert len(messages) == 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_study_continues_when_prefects_server_is_killed(new_home, tiny_file):
    process = new_home.start("study", "run", tiny_file, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def servers() -> list[int]:
        words = ("uvicorn", "flows.standing.serve")
        return [
            pid
            for pid, command in own_processes(new_home.path).items()
            if any(word in command for word in words)
        ]

    wait_until(lambda: bool(servers()), 120, lambda: own_processes(new_home.path))
    time.sleep(12)
    os.kill(servers()[0], signal.SIGKILL)
    output, _ = process.communicate(timeout=400)
    assert process.returncode == 0, output
    assert "Trained 3 of 3 models" in output


@pytest.mark.slow
def test_a_study_whose_standing_platform_goes_down_says_so(new_home, tiny_file):
    new_home.run("up")
    try:
        process = new_home.start("study", "run", tiny_file, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        time.sleep(10)
        assert process.poll() is None
    finally:
        new_home.run("down")
    began = time.monotonic()
    output, _ = process.communicate(timeout=400)
    assert process.returncode == 1, output
    assert "Prefect's server at 127.0.0.1:" in output.splitlines()[-1]
    assert "Traceback" not in output
    assert time.monotonic() - began < 30
    assert "report.html" in new_home.run("study", "run", tiny_file).stdout.splitlines()[-1]
