"""What a stack keeps in its folder, and how commands find a running one."""

import fcntl
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from flows.cli.stack import parsed
from flows.events import announce
from flows.standing import services
from flows.standing.place import Options, Place, ServiceState, State, client_environment
from flows.standing.services import free_port, is_free, ports

PROJECT = Path(__file__).resolve().parents[3]


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


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


def test_a_command_that_looks_does_not_keep_a_stack_from_starting(place):
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


def test_secrets_are_made_once_and_for_the_owner_only(place):
    made = place.passwords()
    assert len(set(made.values())) == 3
    assert all(len(each) >= 32 for each in made.values())
    assert place.passwords() == made
    assert stat.S_IMODE((place.folder / "secrets.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(place.folder.stat().st_mode) == 0o700


def test_passwords_are_told_only_where_servers_ask_for_them(place, state):
    assert client_environment(place, state) == {
        "XRAY_HOME": str(place.home),
        "PREFECT_API_URL": "http://127.0.0.1:1/api",
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:2",
    }
    state.options = {"host": "0.0.0.0"}
    own = client_environment(place, state)
    assert own["PREFECT_API_AUTH_STRING"] == f"admin:{place.passwords()['prefect_password']}"
    assert own["MLFLOW_TRACKING_PASSWORD"] == place.passwords()["mlflow_password"]


def test_ports_are_remembered_and_a_taken_one_is_avoided(place, monkeypatch):
    usual = free_port("127.0.0.1")
    monkeypatch.setattr(services, "USUAL_PORTS", {"prefect": usual, "mlflow": usual})
    first = ports(place, Options())
    assert first["prefect"] == usual
    assert ports(place, Options()) == first
    import socket

    with socket.create_server(("127.0.0.1", usual)):
        assert not is_free("127.0.0.1", usual)
        assert ports(place, Options())["prefect"] != usual
    assert ports(place, Options(prefect_port=7777))["prefect"] == 7777


@pytest.mark.skipif(sys.platform != "linux", reason="ports are held on Linux only")
def test_two_stacks_that_start_at_once_choose_different_ports(tmp_path):
    """Neither listens yet; each is a process that lives on."""
    program = """if True:
        import sys
        from pathlib import Path
        from flows.standing import services
        from flows.standing.place import Options, Place
        services.USUAL_PORTS = {"prefect": int(sys.argv[1]), "mlflow": int(sys.argv[2])}
        print(*services.ports(Place(Path(sys.argv[3])), Options()).values(), flush=True)
        input()"""
    usual = [str(free_port("127.0.0.1")) for _ in range(2)]
    started = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        command = [sys.executable, "-c", program, *usual, str(tmp_path / name)]
        environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
        started.append(subprocess.Popen(command, env=environment, stdin=-1, stdout=-1, text=True))
    found = [each.stdout.readline().split() for each in started]
    for each in started:
        each.communicate("\n")
    assert len({port for ports in found for port in ports}) == 4


def test_open_servers_have_passwords_and_loopback_ones_none(place, database, monkeypatch):
    from db.connection import Databases

    found = Databases(database, database, database)
    port = {"prefect": 4200, "mlflow": 5000}
    for each in services.servers(place, found, Options(), port):
        assert "auth" not in " ".join(each.command)
        assert "PREFECT_SERVER_API_AUTH_STRING" not in each.environment
    prefect, mlflow = services.servers(place, found, Options(host="0.0.0.0"), port)
    assert prefect.environment["PREFECT_SERVER_API_AUTH_STRING"].startswith("admin:")
    assert "basic-auth" in mlflow.command
    assert mlflow.environment["MLFLOW_AUTH_ADMIN_PASSWORD"] == place.passwords()["mlflow_password"]
    for each in (prefect, mlflow):  # other users see a command line
        for secret in place.passwords().values():
            assert secret not in " ".join(each.command)
        assert "postgresql" not in " ".join(each.command)


def test_one_worker_per_gpu_each_with_its_own(place, database, monkeypatch):
    from db.connection import Databases

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    found = Databases(database, database, database)
    made = services.workers(place, found, Options(gpu_workers=2), "http://p", "http://m")
    seen = {each.name: each.environment["CUDA_VISIBLE_DEVICES"] for each in made}
    assert seen == {"worker-gpu-0": "2", "worker-gpu-1": "5", "worker-cpu-0": ""}


@pytest.mark.skipif(sys.platform != "linux", reason="forks are handed on by Linux's means")
def test_without_gpus_flow_runs_are_forks_of_one_warm_process(place, database, monkeypatch):
    from db.connection import Databases

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    found = Databases(database, database, database)
    (warm,) = services.warm(place, found, Options(), "http://p")
    for worker in services.workers(place, found, Options(), "http://p", "http://m"):
        assert worker.environment["XRAY_WARM"] == warm.command[-1] == str(place.folder)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    assert services.warm(place, found, Options(), "http://p") == []


def test_telling_of_a_registration_never_fails(monkeypatch, tmp_path):
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
def test_lines_of_logs_have_parts(line, parts):
    found = parsed("worker", line)
    assert tuple(found[name] for name in ("time", "level", "source", "message")) == parts
    assert found["service"] == "worker"
