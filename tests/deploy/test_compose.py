"""docker-compose.yml: what Compose would refuse or regret; and every service's command, run natively in its environment."""

import base64
import os
import re
import secrets
import shlex
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import yaml
from botocore.exceptions import EndpointConnectionError

from db.connection import Databases
from db.embedded.account import find_launcher
from db.embedded.cluster import installation_for
from db.embedded.programs import runnable
from flows.standing.api import Api
from flows.standing.place import Stack
from flows.standing.servers import server_environment, server_settings
from flows.standing.services import free_port
from tests.flows.conftest import TINY

ROOT = Path(__file__).resolve().parents[2]
FILE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES = FILE["services"]
VARIABLE = re.compile(r"\$\{(\w+)(?:(:\?|:-)([^}]*))?\}")
KEYS = {
    "image", "build", "restart", "init", "volumes", "shm_size", "environment", "command", "healthcheck", "ports",
    "depends_on", "profiles", "deploy", "stop_grace_period",
}  # fmt: skip
ONE_SHOT = {"roles", "migrate", "deploy"}


def texts(node):
    if isinstance(node, dict):
        for key, value in node.items():
            yield from texts(key)
            yield from texts(value)
    elif isinstance(node, list):
        for item in node:
            yield from texts(item)
    else:
        yield str(node)


def examples():
    lines = (ROOT / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_the_file_has_only_keys_that_compose_knows_and_declared_volumes():
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


def test_no_secret_has_a_default_and_the_example_lists_all():
    variables = {match.groups() for text in texts(FILE) for match in VARIABLE.finditer(text)}
    harmless = {"GPU", "POSTGRES_HOST", "STORAGE_HOST", "PREFECT_HOST", "EXPLORER_ADDRESS"}
    for variable, operator, _ in variables:
        assert (operator == ":-") == (variable in harmless), f"{variable} {operator}"
    assert {variable for variable, operator, _ in variables if operator == ":?"} == set(examples())
    assert not any(examples().values())
    assert ".env" in (ROOT / ".gitignore").read_text().split()


def test_each_database_password_goes_only_to_the_services_that_need_it():
    """The superuser's to who makes the roles, the owner's to migrations; all others write or read."""
    holders = {
        "POSTGRES_PASSWORD": {"postgres", "roles"},
        "OWNER_PASSWORD": {"roles", "migrate"},
        "EXPLORER_PASSWORD": {"explorer"},
        "PSEUDONYM_KEY": {"explorer"},
    }
    for secret, allowed in holders.items():
        services = {name for name, service in SERVICES.items() if f"${{{secret}:" in " ".join(texts(service))}
        assert services == allowed, secret
    for name, service in SERVICES.items():
        assert "env_file" not in service, f"{name} would get every secret"
        for variable, value in (service.get("environment") or {}).items():
            if "postgresql" in value and name not in ("roles", "migrate"):
                login = "xray_reader" if name == "explorer" else "xray_writer"
                assert f"//{login}:" in value, f"{name}: {variable}"
    assert SERVICES["prefect"]["environment"]["PREFECT_API_DATABASE_MIGRATE_ON_START"] == "false"


def test_the_explorer_only_reads_and_only_this_machine_reaches_it():
    service = SERVICES["explorer"]
    words = " ".join(texts(service))
    assert not any(f"{secret}_PASSWORD" in words for secret in ("WRITER", "OWNER", "POSTGRES"))
    assert service["volumes"] == ["home:/var/lib/xray:ro"]
    assert [resolve(port, {}) for port in service["ports"]] == ["127.0.0.1:5100:5100"]


def test_every_service_that_others_wait_for_can_become_ready():
    for name, service in SERVICES.items():
        for other, conditions in service.get("depends_on", {}).items():
            if conditions["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other], f"{name} waits for {other}"
            else:
                assert conditions["condition"] == "service_completed_successfully"
                assert other in ONE_SHOT
            assert not SERVICES[other].get("profiles"), f"{name} waits for {other}, which may not be started"
    assert {name for name, service in SERVICES.items() if service["restart"] == "no"} == ONE_SHOT


def test_the_servers_have_the_settings_of_xray_up(tmp_path):
    for name, value in server_settings().items():
        if name != "PREFECT_LOGGING_SERVER_LEVEL":
            assert SERVICES["prefect"]["environment"][name] == value, name
    stack = Stack(tmp_path)
    for server in ("prefect", "mlflow", "explorer"):
        own = server_environment(server, stack, Databases("x", "m", "p"))
        assert own.keys() - {"PREFECT_LOGGING_SERVER_LEVEL"} <= SERVICES[server]["environment"].keys()
    for name in ("PREFECT_UI_API_URL", "PREFECT_API_DATABASE_MIGRATE_ON_START"):
        assert (
            SERVICES["prefect"]["environment"][name]
            == server_environment("prefect", stack, Databases("x", "m", "p"))[name]
        )
    assert "log_min_duration_statement" in SERVICES["postgres"]["command"]


def test_a_gpu_worker_is_the_cpu_worker_with_a_gpu():
    gpu, cpu = SERVICES["worker-gpu"], SERVICES["worker"]
    assert gpu["command"] == cpu["command"]
    (device,) = gpu["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    assert gpu["profiles"] == ["gpu"]


def resolve(text: str, variables: Mapping[str, str]) -> str:
    """What Compose makes of ${NAME}, ${NAME:-default} and ${NAME:?message}."""

    def value(match: re.Match[str]) -> str:
        name, operator, rest = match.groups()
        if variables.get(name):
            return variables[name]
        assert operator == ":-", f"{name} is missing: {rest}"
        return str(rest)

    return VARIABLE.sub(value, text)


class Natively:
    """The services of the file as processes of this machine: their commands, their environment, other ports and folders.

    In place of the storage's image stands moto, another server that speaks S3 (it takes any key for a right one).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.secrets = {name: secrets.token_urlsafe(12) for name in examples()} | {"PUBLIC_HOST": "127.0.0.1"}
        self.ports = {port: str(free_port("127.0.0.1")) for port in ("4200", "5000", "5100", "5432", "9000")}
        self.postgres = installation_for(folder / "postgres")
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def resolved(self, text: str) -> str:
        """The same text for this machine: loopback for service names, our ports, a folder for the volume."""
        resolved = resolve(text, self.secrets)
        hosts = r"(postgres|storage|prefect|mlflow|0\.0\.0\.0|127\.0\.0\.1|localhost)"
        for port, own in self.ports.items():
            resolved = re.sub(rf"\b{hosts}:{port}\b", f"127.0.0.1:{own}", resolved)
            resolved = resolved.replace(f"--port {port}", f"--port {own}")
        resolved = resolved.replace("--host 0.0.0.0", "--host 127.0.0.1")
        # a name, not a number: with a number for a host, boto3 asks for buckets in another way
        resolved = resolved.replace(f"http://127.0.0.1:{self.ports['9000']}", self.storage)
        return resolved.replace("/var/lib/xray", str(self.folder))

    @property
    def storage(self) -> str:
        """Where S3 is."""
        return f"http://localhost:{self.ports['9000']}"

    def start(self, name: str, command: Sequence[str] = ()) -> "subprocess.Popen[bytes]":
        """Start a service by the file's command, or by another."""
        environment = {
            k: v for k, v in os.environ.items() if not k.startswith(("XRAY_", "PREFECT_", "MLFLOW_", "AWS_"))
        }
        own = {k: self.resolved(v) for k, v in SERVICES[name]["environment"].items()}
        if not command:
            python, *rest = shlex.split(self.resolved(SERVICES[name]["command"]))
            assert python == "python"
            command = [sys.executable, *rest]
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        # the image has one Python, which `python` names: workers start flow runs by that name
        environment["PATH"] = os.pathsep.join(
            [str(Path(sys.executable).parent), environment.get("PATH", os.defpath)]
        )
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                env={**environment, **own, "PYTHONPATH": path},
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes[name] = process
        return process

    def start_postgres(self) -> None:
        """The command of the file on new data. What the image does before: a cluster of the file's user and database."""
        data, password = self.folder / "postgres", self.folder / "postgres.password"
        settings = {k: self.resolved(v) for k, v in SERVICES["postgres"]["environment"].items()}
        data.mkdir(mode=0o700)
        password.write_text(settings["POSTGRES_PASSWORD"])
        launcher = find_launcher(data)
        launcher.owns(data)
        launcher.owns(password)
        postgres = runnable(self.postgres, launcher)
        program, *options = shlex.split(SERVICES["postgres"]["command"])
        with (
            launcher.path_for(data) as own,
            launcher.path_for(password) as secret,
            (self.folder / "postgres.log").open("wb") as log,
        ):
            initdb = launcher.run(
                [
                    *(postgres.program("initdb"), f"--pgdata={own.name}", f"--pwfile={secret.name}"),
                    *(f"--username={settings['POSTGRES_USER']}", "--auth=scram-sha-256"),
                    *("--encoding=UTF8", "--locale=C"),
                ],
                descriptors=(*own.descriptors, *secret.descriptors),
            )
            assert initdb.returncode == 0, initdb.stdout
            command = [postgres.program(program), *options, "-D", own.name, "-p", self.ports["5432"]]
            process = launcher.start(
                [*command, "-c", "unix_socket_directories="], log.fileno(), own.descriptors
            )
        self.processes["postgres"] = process
        self.wait_healthy("postgres")
        with closing(self.connect("postgres")) as connection:
            connection.autocommit = True
            connection.cursor().execute(f'create database "{settings["POSTGRES_DB"]}"')

    def connect(self, database: str, **login: str) -> Any:
        """A connection to PostgreSQL, as the superuser or with another login."""
        superuser = {"user": "xray", "password": self.secrets["POSTGRES_PASSWORD"]}
        target = {"host": "127.0.0.1", "port": self.ports["5432"], "dbname": database}
        return psycopg2.connect(**(target | superuser | login))

    def start_storage(self) -> Any:
        """S3; a client of it, with the credentials that the services have."""
        import boto3

        self.start(
            "storage", [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", self.ports["9000"]]
        )
        client = boto3.client(
            "s3",
            endpoint_url=self.storage,
            region_name=SERVICES["migrate"]["environment"]["AWS_DEFAULT_REGION"],
            aws_access_key_id=self.secrets["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.secrets["AWS_SECRET_ACCESS_KEY"],
        )
        deadline = time.monotonic() + 120
        while True:
            try:
                assert client.list_buckets()["Buckets"] == []
                return client
            except EndpointConnectionError:
                assert time.monotonic() < deadline, self.output_of("storage")
                time.sleep(0.5)

    def finish(self, name: str) -> None:
        """Run a one-shot service, which must succeed."""
        code = self.start(name).wait(300)
        assert code == 0, self.output_of(name)

    def output_of(self, name: str) -> str:
        """The end of a service's log."""
        return (self.folder / f"{name}.log").read_text(errors="replace")[-3000:]

    def wait_healthy(self, name: str) -> None:
        """Until the service's own health check says that it is well."""
        kind, *_, program = SERVICES[name]["healthcheck"]["test"]
        command = [sys.executable, "-c", self.resolved(program)]
        if kind == "CMD-SHELL":  # pg_isready
            tool, *options = shlex.split(program)
            command = [self.postgres.program(tool), "-h", "127.0.0.1", "-p", self.ports["5432"], *options]
        deadline = time.monotonic() + 240
        while subprocess.run(command, capture_output=True).returncode:
            assert self.processes[name].poll() is None, self.output_of(name)
            assert time.monotonic() < deadline, f"{name} is not healthy"
            time.sleep(1)

    def stop(self) -> None:
        """Stop everything, what was started last first."""
        for process in reversed(self.processes.values()):
            process.terminate()
        for process in reversed(self.processes.values()):
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture
def natively(tmp_path):
    instance = Natively(tmp_path)
    yield instance
    instance.stop()


class Prefect:
    """The Prefect server of the file, asked with its password."""

    def __init__(self, url: str, password: str) -> None:
        self.api = Api(url, f"admin:{password}")

    def run(self, deployment: str, parameters: Mapping[str, Any], seconds: float) -> None:
        """Run a deployment to its end, which must be a good one."""
        deployment_of = self.api.get(f"/deployments/name/{deployment}")
        body = {"parameters": parameters}
        run = self.api.post(f"/deployments/{deployment_of['id']}/create_flow_run", body)["id"]
        deadline = time.monotonic() + seconds
        while (state := self.api.get(f"/flow_runs/{run}")["state"])["type"] != "COMPLETED":
            assert state["type"] not in ("FAILED", "CRASHED", "CANCELLED"), state["message"]
            assert time.monotonic() < deadline, state
            time.sleep(1)


def check_roles(natively: Natively) -> None:
    """All is the owner's; the writer, whom everything else runs as, makes nothing."""
    for database in ("xray", "mlflow", "prefect"):
        with closing(natively.connect(database)) as connection, connection.cursor() as cursor:
            cursor.execute("select distinct tableowner from pg_tables where schemaname = 'public'")
            assert cursor.fetchall() == [("xray_owner",)]
        writer = {"user": "xray_writer", "password": natively.secrets["WRITER_PASSWORD"]}
        connecting = closing(natively.connect(database, **writer))
        refused = pytest.raises(psycopg2.errors.InsufficientPrivilege)
        with connecting as connection, connection.cursor() as cursor, refused:
            cursor.execute("create table mine (x int)")


def check_explorer(natively: Natively, status: int) -> None:
    """It asks for its password, and answers with it: 404 while nothing is scored."""
    url = f"http://127.0.0.1:{natively.ports['5100']}"
    with pytest.raises(OSError, match="401"):
        urllib.request.urlopen(url, timeout=10)
    key = base64.b64encode(f"admin:{natively.secrets['EXPLORER_PASSWORD']}".encode()).decode()
    request = urllib.request.Request(url, headers={"authorization": f"Basic {key}"})
    try:
        answer = urllib.request.urlopen(request, timeout=30).status
    except urllib.error.HTTPError as error:
        answer = error.code
    assert answer == status, natively.output_of("explorer")


@pytest.mark.slow
def test_the_file_creates_the_database_roles(natively):
    natively.start_postgres()
    natively.start_storage()
    for name in ("roles", "migrate", "roles"):
        natively.finish(name)
    check_roles(natively)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_command_works_in_its_own_environment(natively, tmp_path):
    """From an empty machine to a study whose weights and report are in S3."""
    natively.start_postgres()
    s3 = natively.start_storage()
    for name in ("roles", "migrate") * 2:  # twice, as every `docker compose up` does
        natively.finish(name)
    check_roles(natively)
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["mlflow"]
    natively.start("mlflow")
    natively.start("prefect")
    natively.wait_healthy("prefect")
    natively.wait_healthy("mlflow")
    natively.start("explorer")
    natively.wait_healthy("explorer")
    natively.finish("deploy")
    working = ("recovery", "analysis", "worker", "worker-gpu")
    for name in working:
        natively.start(name)
    url = f"http://127.0.0.1:{natively.ports['4200']}/api"
    with pytest.raises(OSError, match="401"):
        Api(url).post("/deployments/count", {})
    with pytest.raises(OSError, match="401"):
        urllib.request.urlopen(f"http://127.0.0.1:{natively.ports['5000']}/", timeout=10)
    check_explorer(natively, 404)

    prefect = Prefect(url, natively.secrets["PREFECT_PASSWORD"])
    prefect.run("add-dataset/default", {"patients": 20, "size": 32}, 300)
    (tmp_path / "tiny.toml").write_text(TINY, encoding="utf-8")
    prefect.run("study/phantom", {"study": str(tmp_path / "tiny.toml")}, 900)
    listed = s3.get_paginator("list_objects_v2").paginate(Bucket="mlflow")
    keys = [item["Key"] for page in listed for item in page.get("Contents", [])]
    assert sum(key.endswith(".safetensors") for key in keys) == 3
    assert any(key.endswith("report/report.html") for key in keys)
    assert not (tmp_path / "mlflow").exists(), "weights were kept in a folder, too"
    with closing(natively.connect("xray")) as connection, connection.cursor() as cursor:
        # scored with weights that came back from S3
        cursor.execute("select count(*) from evaluation")
        assert cursor.fetchone()[0] >= 6
        cursor.execute("select count(*) from auc_results where study = 'tiny'")
        assert cursor.fetchone()[0] > 0
        cursor.execute("select pg_sleep(1.1)")
    check_explorer(natively, 200)
    assert "pg_sleep(1.1)" in natively.output_of("postgres")  # the log of slow queries
    for name in (*working, "explorer", "mlflow", "prefect", "storage", "postgres"):
        assert natively.processes[name].poll() is None, name
