"""docker-compose.yml: what Compose would refuse or regret; and every service's command, run natively in its environment."""

import os
import re
import secrets
import shlex
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from flows.standing.api import Api
from flows.standing.services import free_port, server_settings

ROOT = Path(__file__).resolve().parents[2]
FILE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES = FILE["services"]
VARIABLE = re.compile(r"\$\{(\w+)(?:(:\?|:-)([^}]*))?\}")
KEYS = {
    "image", "build", "restart", "init", "env_file", "volumes", "shm_size", "environment", "command", "healthcheck", "ports",
    "depends_on", "profiles", "deploy", "stop_grace_period",
}  # fmt: skip
ONE_SHOT = {"migrate", "deploy"}


def texts(node):
    if isinstance(node, dict):
        for key, value in node.items():
            yield from texts(key)
            yield from texts(value)
    elif isinstance(node, list):
        for each in node:
            yield from texts(each)
    else:
        yield str(node)


def examples():
    lines = (ROOT / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_only_keys_that_compose_knows_and_only_volumes_that_are_declared():
    for name, service in SERVICES.items():
        assert service.keys() <= KEYS, name
        for volume in service.get("volumes", []):
            assert volume.split(":")[0] in FILE["volumes"], f"{name}: {volume}"
        for source, environment in (service.get("environment") or {}).items():
            assert isinstance(environment, str), f"{name}: {source} must be text"
    assert {key for key in FILE if not key.startswith("x-")} == {"name", "services", "volumes"}


def test_images_are_pinned_to_a_version():
    for name, service in SERVICES.items():
        tag = service["image"].rsplit(":", 1)[1]
        assert re.match(r"\d+\.\d+", tag), f"{name}: {service['image']}"
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    (base,) = (line for line in lines if line.startswith("FROM "))
    assert re.search(r":\d+\.\d+\.\d+", base)
    assert any("--constraint constraints.txt" in line for line in lines)


def test_no_secret_has_a_default_and_all_are_in_the_example():
    named = {match.groups() for text in texts(FILE) for match in VARIABLE.finditer(text)}
    harmless = {"GPU", "POSTGRES_HOST", "STORAGE_HOST", "PREFECT_HOST"}
    for variable, how, _ in named:
        assert (how == ":-") == (variable in harmless), f"{variable} {how}"
    assert {variable for variable, how, _ in named if how == ":?"} == set(examples())
    assert not any(examples().values())
    assert ".env" in (ROOT / ".gitignore").read_text().split()


def test_what_is_waited_for_can_come():
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other], f"{name} waits for {other}"
            else:
                assert how["condition"] == "service_completed_successfully"
                assert other in ONE_SHOT
            assert not SERVICES[other].get("profiles"), f"{name} waits for {other}, which may not be started"
    assert {name for name, service in SERVICES.items() if service["restart"] == "no"} == ONE_SHOT


def test_the_servers_keep_what_xray_up_keeps():
    for name, value in server_settings().items():
        if name != "PREFECT_LOGGING_SERVER_LEVEL":
            assert SERVICES["prefect"]["environment"][name] == value, name
    assert "log_min_duration_statement" in SERVICES["postgres"]["command"]


def test_a_gpu_worker_is_the_cpu_worker_with_a_gpu():
    gpu, cpu = SERVICES["worker-gpu"], SERVICES["worker"]
    assert gpu["command"] == cpu["command"]
    (device,) = gpu["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    assert gpu["profiles"] == ["gpu"]


def resolve(text: str, given: Mapping[str, str]) -> str:
    """What Compose makes of ${NAME}, ${NAME:-default} and ${NAME:?message}."""

    def value(match: re.Match[str]) -> str:
        name, how, rest = match.groups()
        if given.get(name):
            return given[name]
        assert how == ":-", f"{name} is missing: {rest}"
        return str(rest)

    return VARIABLE.sub(value, text)


class Natively:
    """The services of the file as processes of this machine: their commands, their environment, other ports and folders."""

    def __init__(self, folder: Path, server) -> None:
        self.folder, self.server = folder, server
        self.secrets = {name: secrets.token_urlsafe(12) for name in examples()} | {
            "PUBLIC_HOST": "127.0.0.1",
            "POSTGRES_PASSWORD": server.password,
        }
        self.ports = {"4200": str(free_port("127.0.0.1")), "5000": str(free_port("127.0.0.1"))}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def here(self, text: str) -> str:
        """The same text for this machine: loopback for service names, our ports, a folder for S3 and for the volume."""
        found = resolve(text, self.secrets)
        found = found.replace("@postgres:5432", f"@127.0.0.1:{self.server.port}")
        for port, own in self.ports.items():
            found = re.sub(
                rf"\b(prefect|mlflow|0\.0\.0\.0|127\.0\.0\.1|localhost):{port}\b", rf"127.0.0.1:{own}", found
            )
            found = found.replace(f"--port {port}", f"--port {own}").replace(
                "--host 0.0.0.0", "--host 127.0.0.1"
            )
        found = found.replace("s3://mlflow/artifacts", str(self.folder / "artifacts"))
        return found.replace("/var/lib/xray", str(self.folder))

    def start(self, name: str) -> "subprocess.Popen[bytes]":
        """Start a service."""
        kept = {
            k: v for k, v in os.environ.items() if not k.startswith(("XRAY_", "PREFECT_", "MLFLOW_", "AWS_"))
        }
        own = {k: self.here(v) for k, v in SERVICES[name]["environment"].items()}
        command = shlex.split(self.here(SERVICES[name]["command"]))
        assert command[0] == "python"
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, *command[1:]],
                env={**kept, **self.secrets, **own, "PYTHONPATH": str(ROOT)},
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes[name] = process
        return process

    def finish(self, name: str) -> None:
        """Run a one-shot service, which must succeed."""
        code = self.start(name).wait(300)
        assert code == 0, (self.folder / f"{name}.log").read_text()[-3000:]

    def wait_healthy(self, name: str) -> None:
        """Until the service's own health check says that it is well."""
        *_, program = SERVICES[name]["healthcheck"]["test"]
        deadline = time.monotonic() + 240
        while subprocess.run([sys.executable, "-c", self.here(program)], capture_output=True).returncode:
            assert self.processes[name].poll() is None, (self.folder / f"{name}.log").read_text()[-3000:]
            assert time.monotonic() < deadline, f"{name} is not healthy"
            time.sleep(1)

    def stop(self) -> None:
        """Stop everything."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_command_works_in_its_own_environment(tmp_path, server):
    natively = Natively(tmp_path, server)
    try:
        natively.finish("migrate")
        natively.start("mlflow")
        natively.start("prefect")
        natively.wait_healthy("prefect")
        natively.wait_healthy("mlflow")
        natively.finish("deploy")
        for name in ("recovery", "analysis", "worker"):
            natively.start(name)
        url = f"http://127.0.0.1:{natively.ports['4200']}/api"
        with pytest.raises(OSError, match="401"):
            Api(url).post("/deployments/count", {})
        with pytest.raises(OSError, match="401"):
            urllib.request.urlopen(f"http://127.0.0.1:{natively.ports['5000']}/", timeout=10)
        api = Api(url, f"admin:{natively.secrets['PREFECT_PASSWORD']}")
        found = api.get("/deployments/name/add-dataset/default")
        run = api.post(
            f"/deployments/{found['id']}/create_flow_run", {"parameters": {"patients": 20, "size": 32}}
        )["id"]
        deadline = time.monotonic() + 300
        while api.get(f"/flow_runs/{run}")["state_type"] != "COMPLETED":
            assert time.monotonic() < deadline, api.get(f"/flow_runs/{run}")["state"]
            time.sleep(1)
        for name in ("recovery", "analysis", "worker", "mlflow", "prefect"):
            assert natively.processes[name].poll() is None, name
    finally:
        natively.stop()
