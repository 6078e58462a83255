"""What a stack keeps in its folder, and how commands find a running one."""

import fcntl
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from db.connection import Databases
from flows.cli.stack import parsed
from flows.cli.ui import way_in
from flows.events import announce
from flows.standing import services
from flows.standing.place import Options, ServiceState, Stack, State, client_environment
from flows.standing.services import free_port, is_free
from xray.errors import XrayError

PROJECT = Path(__file__).resolve().parents[3]


@pytest.fixture
def empty_stack(tmp_path):
    return Stack(tmp_path)


@pytest.fixture
def state():
    up = [
        ServiceState("prefect", "ready", 1, "http://127.0.0.1:1"),
        ServiceState("mlflow", url="http://127.0.0.1:2"),
    ]
    return State(1, "ready", time.time(), {}, up)


def test_a_state_is_running_only_while_its_lock_is_held(empty_stack, state):
    assert empty_stack.running() is None
    empty_stack.write_state(state)
    assert empty_stack.running() is None
    with empty_stack.lock() as is_ours:
        assert is_ours
        assert empty_stack.running() == state
        with empty_stack.lock() as again:
            assert not again
    assert empty_stack.running() is None


def test_a_command_that_reads_the_state_does_not_keep_a_stack_from_starting(empty_stack):
    """A look holds the lock for a moment, shared; a supervisor that starts just then waits for its end."""
    with (empty_stack.folder / "lock").open("ab") as looks:
        fcntl.flock(looks, fcntl.LOCK_SH)
        timer = threading.Timer(0.3, fcntl.flock, (looks, fcntl.LOCK_UN))
        timer.start()
        with empty_stack.lock() as is_ours:
            assert is_ours
            assert empty_stack.is_held()
        timer.join()
    assert not empty_stack.is_held()


def test_secrets_are_made_once_and_only_the_owner_reads_them(empty_stack):
    passwords = empty_stack.passwords()
    assert len(set(passwords.values())) == 4
    assert all(len(password) >= 32 for password in passwords.values())
    assert empty_stack.passwords() == passwords
    assert stat.S_IMODE((empty_stack.folder / "secrets.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(empty_stack.folder.stat().st_mode) == 0o700


def test_two_processes_that_make_the_secrets_at_once_get_the_same(empty_stack):
    program = "import sys; from pathlib import Path; from flows.standing.place import Stack\n"
    program += "input(); print(Stack(Path(sys.argv[1])).passwords())"
    command = [sys.executable, "-c", program, str(empty_stack.home)]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    processes = [subprocess.Popen(command, env=environment, stdin=-1, stdout=-1, text=True) for _ in range(4)]
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    assert {process.communicate()[0].strip() for process in processes} == {str(empty_stack.passwords())}


def test_an_emptied_password_is_replaced(empty_stack):
    empty_stack.remember("secrets.json", {"prefect_password": "", "mlflow_password": "kept"})
    assert len(empty_stack.passwords()["prefect_password"]) >= 32
    assert empty_stack.passwords()["mlflow_password"] == "kept"
    (empty_stack.folder / "secrets.json").write_text("")
    assert len(empty_stack.passwords()["mlflow_password"]) >= 32


def test_programs_get_the_addresses_and_passwords_of_the_servers(empty_stack, state):
    words = empty_stack.passwords()
    assert client_environment(empty_stack, state) == {
        "XRAY_HOME": str(empty_stack.home),
        "PREFECT_API_URL": "http://127.0.0.1:1/api",
        "PREFECT_API_AUTH_STRING": f"admin:{words['prefect_password']}",
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:2",
        "MLFLOW_TRACKING_USERNAME": "admin",
        "MLFLOW_TRACKING_PASSWORD": words["mlflow_password"],
    }


def ports(empty_stack, options=Options()):  # noqa: B008
    """The ports that a stack would have now."""
    listeners = services.listeners(empty_stack, options)
    for listener in listeners.values():
        listener.close()
    return {
        name: number for name, number in empty_stack.remembered("ports.json").items() if name in listeners
    }


def test_ports_are_remembered_and_a_taken_one_is_avoided(empty_stack, monkeypatch):
    usual = free_port("127.0.0.1")
    monkeypatch.setattr(services, "USUAL_PORTS", dict.fromkeys(services.USUAL_PORTS, usual))
    first = ports(empty_stack)
    assert first["prefect"] == usual
    assert first["mlflow"] != usual
    assert ports(empty_stack) == first
    with socket.create_server(("127.0.0.1", usual)):
        assert not is_free("127.0.0.1", usual)
        assert ports(empty_stack)["prefect"] != usual
        with pytest.raises(XrayError, match=f"can't listen on 127.0.0.1, port {usual}, for mlflow"):
            ports(empty_stack, Options(mlflow_port=usual))
    port = free_port("127.0.0.1")
    assert ports(empty_stack, Options(prefect_port=port))["prefect"] == port


def test_the_ports_stay_reserved_while_no_server_answers(tmp_path, monkeypatch):
    """A second stack, or another account that waits for a server to fall, gets none of them."""
    usual = free_port("127.0.0.1")
    monkeypatch.setattr(services, "USUAL_PORTS", dict.fromkeys(services.USUAL_PORTS, usual))
    places = [Stack(tmp_path / name) for name in ("one", "two")]
    for stack in places:
        stack.home.mkdir()
    sockets = [socket for stack in places for socket in services.listeners(stack, Options()).values()]
    numbers = [listener.getsockname()[1] for listener in sockets]
    assert len(set(numbers)) == 6
    for number in numbers:
        with pytest.raises(OSError, match="in use"):
            socket.create_server(("127.0.0.1", number))
    for listener in sockets:
        listener.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_servers_always_have_a_password_and_no_secret_in_their_arguments(empty_stack, database, host):
    databases = Databases(database, database, database)
    options = Options(host, names=["xray.example"])
    listening = services.listeners(empty_stack, options)
    prefect, mlflow, explorer = services.web_servers(empty_stack, databases, options, listening)
    words = empty_stack.passwords()
    assert prefect.environment["PREFECT_SERVER_API_AUTH_STRING"] == f"admin:{words['prefect_password']}"
    assert mlflow.environment["XRAY_MLFLOW_PASSWORD"] == words["mlflow_password"]
    assert explorer.environment["XRAY_EXPLORER_PASSWORD"] == words["explorer_password"]
    for service in (prefect, mlflow, explorer):  # other users see a command line
        line = " ".join(service.command)
        assert not any(secret in line for secret in (*words.values(), "postgresql"))
        asked_by = service.command[service.command.index("--names") + 1].split(",")
        assert {"127.0.0.1", "localhost", "xray.example"} <= set(asked_by)
        assert "0.0.0.0" not in asked_by
        assert (socket.gethostname() in asked_by) == (host == "0.0.0.0")
        service.listener.close()


def test_one_worker_per_gpu_each_with_its_own(empty_stack, database, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    databases = Databases(database, database, database)
    workers = services.workers(empty_stack, databases, Options(gpu_workers=2), "http://p", "http://m")
    devices = {worker.name: worker.environment["CUDA_VISIBLE_DEVICES"] for worker in workers}
    assert devices == {"worker-gpu-0": "2", "worker-gpu-1": "5", "worker-cpu-0": ""}


@pytest.mark.skipif(sys.platform != "linux", reason="forks are handed on by Linux's means")
def test_without_gpus_flow_runs_are_forks_of_one_warm_process(empty_stack, database, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    databases = Databases(database, database, database)
    (warm,) = services.warm(empty_stack, databases, Options(), "http://p")
    for worker in services.workers(empty_stack, databases, Options(), "http://p", "http://m"):
        assert worker.environment["XRAY_WARM"] == warm.command[-1] == str(empty_stack.folder)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    assert services.warm(empty_stack, databases, Options(), "http://p") == []


def test_announcing_a_registration_never_raises(monkeypatch, tmp_path):
    monkeypatch.setenv("XRAY_HOME", str(tmp_path))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    assert not announce("dataset", "nobody-hears")
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    assert not announce("dataset", "refused")
    monkeypatch.setenv("PREFECT_API_URL", "not a url")
    assert not announce("dataset", "nonsense")


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        (
            "2026-11-27 22:46:34.629 | INFO    | Task run 'train a' - Finished - in state Completed()",
            ("2026-11-27 22:46:34.629", "INFO", "Task run 'train a'", "Finished - in state Completed()"),
        ),
        ("2026-11-27 22:13:26 | INFO    | supervisor - ", ("2026-11-27 22:13:26", "INFO", "supervisor", "")),
        ('  File "x.py", line 1 | - ', (None, None, None, '  File "x.py", line 1 | - ')),
        ("", (None, None, None, "")),
    ],
)
def test_lines_of_logs_are_split_into_parts(line, parts):
    parsed_line = parsed("worker", line)
    assert tuple(parsed_line[name] for name in ("time", "level", "source", "message")) == parts
    assert parsed_line["service"] == "worker"


@pytest.mark.parametrize("name", ["prefect", "mlflow", "explorer"])
def test_a_password_is_printed_on_a_terminal_only(empty_stack, monkeypatch, name):
    word = empty_stack.passwords()[f"{name}_password"]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert word in way_in(empty_stack, name)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False, raising=False)
    assert word not in way_in(empty_stack, name)
    assert str(empty_stack.folder / "secrets.json") in way_in(empty_stack, name)
