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
def place(tmp_path):
    return Stack(tmp_path)


@pytest.fixture
def state():
    up = [
        ServiceState("prefect", "ready", 1, "http://127.0.0.1:1"),
        ServiceState("mlflow", url="http://127.0.0.1:2"),
    ]
    return State(1, "ready", time.time(), {}, up)


def test_a_state_is_running_only_while_its_lock_is_held(place, state):
    assert place.running() is None
    place.write_state(state)
    assert place.running() is None
    with place.lock() as is_ours:
        assert is_ours
        assert place.running() == state
        with place.lock() as again:
            assert not again
    assert place.running() is None


def test_a_command_that_reads_the_state_does_not_keep_a_stack_from_starting(place):
    """A look holds the lock for a moment, shared; a supervisor that starts just then waits for its end."""
    with (place.folder / "lock").open("ab") as looks:
        fcntl.flock(looks, fcntl.LOCK_SH)
        ended = threading.Timer(0.3, fcntl.flock, (looks, fcntl.LOCK_UN))
        ended.start()
        with place.lock() as is_ours:
            assert is_ours
            assert place.is_held()
        ended.join()
    assert not place.is_held()


def test_secrets_are_made_once_and_only_the_owner_reads_them(place):
    made = place.passwords()
    assert len(set(made.values())) == 4
    assert all(len(each) >= 32 for each in made.values())
    assert place.passwords() == made
    assert stat.S_IMODE((place.folder / "secrets.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(place.folder.stat().st_mode) == 0o700


def test_two_processes_that_make_the_secrets_at_once_get_the_same(place):
    program = "import sys; from pathlib import Path; from flows.standing.place import Stack\n"
    program += "input(); print(Stack(Path(sys.argv[1])).passwords())"
    command = [sys.executable, "-c", program, str(place.home)]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    started = [subprocess.Popen(command, env=environment, stdin=-1, stdout=-1, text=True) for _ in range(4)]
    for each in started:
        each.stdin.write("\n")
        each.stdin.flush()
    assert {each.communicate()[0].strip() for each in started} == {str(place.passwords())}


def test_an_emptied_password_is_replaced(place):
    place.remember("secrets.json", {"prefect_password": "", "mlflow_password": "kept"})
    assert len(place.passwords()["prefect_password"]) >= 32
    assert place.passwords()["mlflow_password"] == "kept"
    (place.folder / "secrets.json").write_text("")
    assert len(place.passwords()["mlflow_password"]) >= 32


def test_programs_get_the_addresses_and_passwords_of_the_servers(place, state):
    words = place.passwords()
    assert client_environment(place, state) == {
        "XRAY_HOME": str(place.home),
        "PREFECT_API_URL": "http://127.0.0.1:1/api",
        "PREFECT_API_AUTH_STRING": f"admin:{words['prefect_password']}",
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:2",
        "MLFLOW_TRACKING_USERNAME": "admin",
        "MLFLOW_TRACKING_PASSWORD": words["mlflow_password"],
    }


def ports(place, options=Options()):  # noqa: B008
    """The ports that a stack would have now."""
    made = services.listeners(place, options)
    for each in made.values():
        each.close()
    return {name: number for name, number in place.remembered("ports.json").items() if name in made}


def test_ports_are_remembered_and_a_taken_one_is_avoided(place, monkeypatch):
    usual = free_port("127.0.0.1")
    monkeypatch.setattr(services, "USUAL_PORTS", dict.fromkeys(services.USUAL_PORTS, usual))
    first = ports(place)
    assert first["prefect"] == usual
    assert first["mlflow"] != usual
    assert ports(place) == first
    with socket.create_server(("127.0.0.1", usual)):
        assert not is_free("127.0.0.1", usual)
        assert ports(place)["prefect"] != usual
        with pytest.raises(XrayError, match=f"can't listen on 127.0.0.1, port {usual}, for mlflow"):
            ports(place, Options(mlflow_port=usual))
    asked = free_port("127.0.0.1")
    assert ports(place, Options(prefect_port=asked))["prefect"] == asked


def test_the_ports_stay_reserved_while_no_server_answers(tmp_path, monkeypatch):
    """A second stack, or another account that waits for a server to fall, gets none of them."""
    usual = free_port("127.0.0.1")
    monkeypatch.setattr(services, "USUAL_PORTS", dict.fromkeys(services.USUAL_PORTS, usual))
    places = [Stack(tmp_path / name) for name in ("one", "two")]
    for each in places:
        each.home.mkdir()
    held = [socket for each in places for socket in services.listeners(each, Options()).values()]
    numbers = [each.getsockname()[1] for each in held]
    assert len(set(numbers)) == 6
    for number in numbers:
        with pytest.raises(OSError, match="in use"):
            socket.create_server(("127.0.0.1", number))
    for each in held:
        each.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_servers_always_have_a_password_and_no_secret_in_their_arguments(place, database, host):
    found = Databases(database, database, database)
    options = Options(host, names=["xray.example"])
    listening = services.listeners(place, options)
    prefect, mlflow, explorer = services.web_servers(place, found, options, listening)
    words = place.passwords()
    assert prefect.environment["PREFECT_SERVER_API_AUTH_STRING"] == f"admin:{words['prefect_password']}"
    assert mlflow.environment["XRAY_MLFLOW_PASSWORD"] == words["mlflow_password"]
    assert explorer.environment["XRAY_EXPLORER_PASSWORD"] == words["explorer_password"]
    for each in (prefect, mlflow, explorer):  # other users see a command line
        line = " ".join(each.command)
        assert not any(secret in line for secret in (*words.values(), "postgresql"))
        asked_by = each.command[each.command.index("--names") + 1].split(",")
        assert {"127.0.0.1", "localhost", "xray.example"} <= set(asked_by)
        assert "0.0.0.0" not in asked_by
        assert (socket.gethostname() in asked_by) == (host == "0.0.0.0")
        each.listener.close()


def test_one_worker_per_gpu_each_with_its_own(place, database, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    found = Databases(database, database, database)
    made = services.workers(place, found, Options(gpu_workers=2), "http://p", "http://m")
    seen = {each.name: each.environment["CUDA_VISIBLE_DEVICES"] for each in made}
    assert seen == {"worker-gpu-0": "2", "worker-gpu-1": "5", "worker-cpu-0": ""}


@pytest.mark.skipif(sys.platform != "linux", reason="forks are handed on by Linux's means")
def test_without_gpus_flow_runs_are_forks_of_one_warm_process(place, database, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    found = Databases(database, database, database)
    (warm,) = services.warm(place, found, Options(), "http://p")
    for worker in services.workers(place, found, Options(), "http://p", "http://m"):
        assert worker.environment["XRAY_WARM"] == warm.command[-1] == str(place.folder)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    assert services.warm(place, found, Options(), "http://p") == []


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
    found = parsed("worker", line)
    assert tuple(found[name] for name in ("time", "level", "source", "message")) == parts
    assert found["service"] == "worker"


@pytest.mark.parametrize("which", ["prefect", "mlflow", "explorer"])
def test_a_password_is_printed_on_a_terminal_only(place, monkeypatch, which):
    word = place.passwords()[f"{which}_password"]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert word in way_in(place, which)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False, raising=False)
    assert word not in way_in(place, which)
    assert str(place.folder / "secrets.json") in way_in(place, which)
