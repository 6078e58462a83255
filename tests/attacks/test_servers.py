"""Prefect's and MLflow's server as another account of the machine meets them, or a page in the owner's browser."""

import asyncio
import base64
import http.client
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import websockets
from sqlalchemy.engine import make_url
from websockets.exceptions import ConnectionClosed, InvalidStatus

from flows.standing.place import Stack
from flows.standing.servers import HEALTH, is_well
from tests.flows.standing.conftest import processes_of
from tests.homes import SHELL, Home

SOCKETS = ("/api/events/in", "/api/events/out", "/api/logs/out", "/api/task_runs/subscriptions/scheduled")
STRANGERS = (
    "evil.example",
    "evil.example:4200",
    "127.0.0.1.evil.example",
    "localhost@evil.example",
    "",
    "0.0.0.0",
    "[::2]",
)
OUTWARD = (
    "../../../../secret",
    "..%2f..%2f..%2f..%2fsecret",
    "%2e%2e/%2e%2e/secret",
    "..%252f..%252f..%252f..%252fsecret",
    "note.txt/../../../../../secret",
    "#/../../../../secret",
    "?/../../secret",
    "/etc/passwd",
    "file:///etc/passwd",
)
PROGRAMS = (
    "/gateway/x",
    "/ajax-api/2.0/mlflow/gateway-proxy",
    "/ajax-api/3.0/mlflow/assistant/config",
    "/ajax-api/3.0/jobs/",
)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Served:
    """A server of ours: its address, its password, and how it is asked."""

    address: str
    password: str

    @property
    def host(self) -> str:
        return urlsplit(self.address).netloc

    @property
    def key(self) -> dict[str, str]:
        """The header that lets in."""
        return {"Authorization": basic("admin", self.password)}

    def ask(self, path: str, method: str = "GET", body: Any = None, **headers: str) -> Answer:
        """An answer; a body that is no text goes as JSON."""
        sent = {"Host": self.host, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if body is not None and not isinstance(body, str):
            body, sent = json.dumps(body), {"Content-Type": "application/json", **sent}
        connection = http.client.HTTPConnection(self.host, timeout=30)
        try:
            connection.putrequest(method, path, skip_host=True)
            if body is not None:
                sent["Content-Length"] = str(len(body.encode()))
            for name, value in sent.items():
                connection.putheader(name, value)
            connection.endheaders(body.encode() if body is not None else None)
            answer = connection.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, names, answer.read())
        finally:
            connection.close()


@dataclass(frozen=True)
class Both:
    platform: Stack
    prefect: Served
    mlflow: Served
    commands: dict[str, "subprocess.Popen[str]"]
    database: str


def basic(user, password):
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


@pytest.fixture(scope="module")
def both(server, tmp_path_factory) -> Iterator[Both]:
    """The two servers of `xray ui`, in a home whose name has a space, in the shell of a user with other work."""
    server.create_database("attacks")
    url = server.url("attacks").replace("+psycopg2", "")
    path = tmp_path_factory.mktemp("a folder") / "xray home"
    home = Home(path, {**SHELL, "XRAY_DATABASE_URL": url})
    commands = {
        name: home.start("ui", name, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
        for name in ("prefect", "mlflow")
    }
    served = {}
    try:
        for name, command in commands.items():
            line = command.stdout.readline()
            assert line, command.communicate()[1]
            served[name] = re.fullmatch(rf"{name}: (http://127\.0\.0\.1:\d+)   \(stop with Ctrl-C\)\n", line)[
                1
            ]
            assert is_well(served[name] + HEALTH[name]) is None
            way_in = command.stdout.readline()
            assert str(path / "stack" / "secrets.json") in way_in
        words = Stack(path).passwords()
        prefect, mlflow = (Served(served[name], words[f"{name}_password"]) for name in commands)
        yield Both(Stack(path), prefect, mlflow, commands, url)
    finally:
        for command in commands.values():
            command.kill()
            command.communicate()


@pytest.fixture(params=["prefect", "mlflow"])
def served(both, request) -> Served:
    return getattr(both, request.param)


@pytest.fixture
def page(served, both) -> str:
    """A path of the API that only who is let in gets."""
    return "/api/admin/version" if served is both.prefect else "/version"


def prefect_routes(prefect):
    paths = json.loads(prefect.ask("/api/openapi.json", **prefect.key).body)["paths"]
    return [(path, method.upper()) for path, operations in paths.items() for method in operations]


def mlflow_routes():
    from mlflow.server import app

    rules = [
        (str(rule), method) for rule in app.url_map.iter_rules() for method in rule.methods - {"OPTIONS"}
    ]
    native = [
        ("/v1/traces", "POST"),
        ("/api/2.0/mlflow-artifacts/artifacts/x", "GET"),
        ("/api/2.0/mlflow-artifacts/artifacts/x", "PUT"),
        ("/ajax-api/3.0/jobs/", "POST"),
        ("/ajax-api/3.0/mlflow/assistant/message", "POST"),
        ("/gateway/x/mlflow/invocations", "POST"),
        ("/docs", "GET"),
        ("/openapi.json", "GET"),
    ]
    return rules + native


def test_without_the_password_no_route_of_prefects_api_answers(both):
    routes = prefect_routes(both.prefect)
    assert len(routes) > 150
    for path, method in routes:
        answer = both.prefect.ask(f"/api{path}", method, {} if method != "GET" else None)
        free = method == "GET" and path in ("/health", "/ready")
        assert answer.status == (200 if free else 401), f"{method} {path}: {answer}"
        assert not free or answer.body in (b"true", b'{"message":"OK"}')


def test_without_the_password_mlflow_answers_only_its_health_check(both):
    routes = mlflow_routes()
    assert len(routes) > 150
    for path, method in routes:
        answer = both.mlflow.ask(path, method, {} if method not in ("GET", "HEAD") else None)
        if path == "/health":
            assert (answer.status, answer.body) in ((200, b"OK"), (200, b""))
        else:
            assert answer.status in (401, 404), f"{method} {path}: {answer}"
            assert answer.body in (b"user admin, and the password\n", b"there is nothing here\n", b"")


@pytest.mark.parametrize(
    "header",
    [
        basic("admin", "wrong"),
        basic("admin", ""),
        basic("", ""),
        "Basic",
        "Basic !",
        "Bearer admin",
        basic("root", "admin"),
        "Basic \u00e9",
    ],
)
def test_a_wrong_password_is_refused(served, page, header):
    assert served.ask(page, Authorization=header).status == 401


def test_the_password_of_one_server_does_not_open_the_other(both):
    assert both.prefect.password != both.mlflow.password
    assert both.prefect.ask("/api/admin/version", **both.mlflow.key).status == 401
    assert both.mlflow.ask("/version", **both.prefect.key).status == 401


def test_with_its_password_each_server_answers(both):
    assert both.prefect.ask("/api/flows/count", "POST", {}, **both.prefect.key).body == b"0"
    answer = both.mlflow.ask("/api/2.0/mlflow/experiments/get?experiment_id=0", **both.mlflow.key)
    assert json.loads(answer.body)["experiment"]["name"] == "Default"


def test_a_browser_gets_prefects_pages_and_mlflow_asks_it_for_the_password(both):
    for path in ("/", "/v2/", "/v2/runs"):
        answer = both.prefect.ask(path, Accept="text/html", Sec_Fetch_Site="none")
        assert answer.status in (200, 307), path
    settings = json.loads(both.prefect.ask("/ui-settings").body)
    assert (settings["auth"], settings["api_url"]) == ("BASIC", "/api")
    assert both.mlflow.ask("/").headers["www-authenticate"].startswith("Basic ")
    assert b"<!doctype html>" in both.mlflow.ask("/", **both.mlflow.key).body.lower()


@pytest.mark.parametrize("name", STRANGERS)
def test_a_request_to_a_foreign_host_name_is_refused(served, page, name):
    """Also with the password, and also for what needs none: a name that was pointed at this machine (DNS rebinding)."""
    for path in (page, "/api/health", "/health", "/"):
        assert served.ask(path, **{**served.key, "Host": name}).status == 400


def test_a_request_to_one_of_our_host_names_is_answered(served, page):
    port = served.host.rpartition(":")[2]
    for name in ("127.0.0.1", "localhost", "LOCALHOST", "[::1]"):
        assert served.ask(page, **{**served.key, "Host": f"{name}:{port}"}).status == 200


def test_a_request_with_two_hosts_is_refused(served, page):
    connection = http.client.HTTPConnection(served.host, timeout=30)
    connection.putrequest("GET", page)
    connection.putheader("Host", "evil.example")
    connection.putheader("Authorization", served.key["Authorization"])
    connection.endheaders()
    assert connection.getresponse().status == 400
    connection.close()


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://127.0.0.1:1", "http://localhost", "null", "", "file://"]
)
def test_a_request_from_a_page_of_another_origin_is_refused(served, page, origin):
    """A simple request, one that is asked for first (preflight), one that pretends to be no JSON; all with the password."""
    wish = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "authorization"}
    plain = {"Content_Type": "text/plain", "Origin": origin, **served.key}
    answers = [
        served.ask(page, Origin=origin, **served.key),
        served.ask(page, "OPTIONS", Origin=origin, **wish),
        served.ask("/api/flows/count", "POST", "{}", **plain),
        served.ask("/api/2.0/mlflow/experiments/create", "POST", '{"name": "x"}', **plain),
    ]
    for answer in answers:
        assert answer.status == 403
        assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_a_request_from_our_own_page_is_answered(served, page):
    assert served.ask(page, Origin=served.address, Sec_Fetch_Site="same-origin", **served.key).status == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_embedding_in_another_page_is_refused_and_following_a_link_is_allowed(served, site):
    """The browser sends MLflow's password with pictures and frames of any page; it names no origin then."""
    kinds = [("no-cors", "image"), ("no-cors", "script"), ("navigate", "iframe"), ("cors", "empty")]
    for mode, target in kinds:
        answer = served.ask(
            "/", Sec_Fetch_Site=site, Sec_Fetch_Mode=mode, Sec_Fetch_Dest=target, **served.key
        )
        assert answer.status == 403, (mode, target)
    link = {
        "Sec_Fetch_Site": site,
        "Sec_Fetch_Mode": "navigate",
        "Sec_Fetch_Dest": "document",
        "Accept": "text/html",
    }
    assert served.ask("/", **link, **served.key).status in (200, 307)
    assert served.ask("/", "POST", "", **link, **served.key).status == 403


def test_no_page_may_frame_ours_and_ours_load_nothing_from_elsewhere(served, page):
    refused = [served.ask(page), served.ask(page, Host="evil.example"), served.ask(page, Origin="null")]
    for answer in (*refused, served.ask(page, **served.key), served.ask("/", **served.key)):
        assert answer.headers["x-frame-options"] == "SAMEORIGIN"
        assert answer.headers["x-content-type-options"] == "nosniff"
        policy = answer.headers["content-security-policy"]
        assert "frame-ancestors 'self'" in policy
        assert "default-src 'self'" in policy
        assert "http" not in policy


async def greet(served, path, token=None, protocols=("prefect",), **headers):
    """What a websocket says to a token: the type of its first message, or its closing code."""
    address = served.address.replace("http", "ws") + path
    opening = websockets.connect(address, subprotocols=protocols, additional_headers=headers, proxy=None)
    async with opening as socket:
        await socket.send(json.dumps({"type": "auth", "token": token}))
        try:
            return json.loads(await socket.recv())["type"]
        except ConnectionClosed as closed:
            return closed.rcvd.code


@pytest.mark.parametrize("path", SOCKETS)
def test_a_websocket_needs_the_password(both, path):
    word = f"admin:{both.prefect.password}"
    assert asyncio.run(greet(both.prefect, path, word)) == "auth_success"
    for wrong in (None, "", "admin:wrong", both.mlflow.password):
        assert asyncio.run(greet(both.prefect, path, wrong)) == 1008
    with pytest.raises(InvalidStatus, match="403"):  # without the protocol nothing would be asked
        asyncio.run(greet(both.prefect, path, word, protocols=None))
    for stranger in ({"Origin": "https://evil.example"}, {"Origin": "null"}):
        with pytest.raises(InvalidStatus, match="403"):
            asyncio.run(greet(both.prefect, path, word, **stranger))


def test_a_websocket_to_a_foreign_host_name_is_refused(both):
    answer = both.prefect.ask(
        SOCKETS[0], Host="evil.example", Connection="Upgrade", Upgrade="websocket",
        Sec_WebSocket_Version="13", Sec_WebSocket_Key="x" * 22 + "==", Sec_WebSocket_Protocol="prefect",
    )  # fmt: skip
    assert answer.status == 403


@pytest.fixture(scope="module")
def run(both) -> tuple[str, str]:
    """An experiment and a run of MLflow's with one artifact, made by who knows the password."""
    experiment = call(both.mlflow, "experiments/create", {"name": "ours"})
    run = call(both.mlflow, "runs/create", {"experiment_id": experiment["experiment_id"]})["run"]["info"]
    path = f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run['run_id']}&path=note.txt"
    assert both.mlflow.ask(path, "POST", "of ours", **both.mlflow.key).status == 200
    return experiment["experiment_id"], run["run_id"]


def call(mlflow, name, body):
    answer = mlflow.ask(f"/api/2.0/mlflow/{name}", "POST", body, **mlflow.key)
    assert answer.status == 200, answer
    return json.loads(answer.body)


def test_an_artifact_is_read_only_with_the_password(both, run):
    path = f"/get-artifact?run_uuid={run[1]}&path=note.txt"
    assert both.mlflow.ask(path, **both.mlflow.key).body == b"of ours"
    assert both.mlflow.ask(path).status == 401
    assert (both.platform.home / "mlflow" / "artifacts").is_dir()


@pytest.mark.parametrize("path", OUTWARD)
def test_no_path_leads_out_of_a_runs_artifacts(both, run, path):
    """Not even who knows the password reads other files of the account that the server runs as."""
    (both.platform.home / "secret").write_text("hidden")
    for question in (
        f"/get-artifact?run_uuid={run[1]}&path={path}",
        f"/api/2.0/mlflow/artifacts/list?run_id={run[1]}&path={path}",
        f"/api/2.0/mlflow-artifacts/artifacts/{path}",
        f"/api/2.0/mlflow-artifacts/artifacts?path={path}",
        f"/static-files/{path}",
    ):
        answer = both.mlflow.ask(question, **both.mlflow.key)
        assert answer.status >= 400 or b'"files"' not in answer.body, question
        assert b"hidden" not in answer.body, question
        assert b"root:" not in answer.body, question
    answer = both.mlflow.ask(
        f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run[1]}&path={path}", "POST", "x", **both.mlflow.key
    )
    assert answer.status >= 400 or path.startswith(("#", "?"))
    assert (both.platform.home / "secret").read_text() == "hidden"


@pytest.mark.parametrize(
    "location", ["/etc", "file:///etc", "file://localhost/etc", "HOME/mlflow/artifacts/../..", "HOME"]
)
def test_artifacts_of_an_experiment_outside_the_home_are_neither_read_nor_written(both, location):
    """MLflow takes any folder for an experiment's; its server then reads and writes there."""
    (both.platform.home / "passwd").write_text("root: hidden")
    folder = location.replace("HOME", str(both.platform.home))
    answer = both.mlflow.ask(
        "/api/2.0/mlflow/experiments/create", "POST", {"name": f"at {location}", "artifact_location": folder},
        **both.mlflow.key,
    )  # fmt: skip
    if answer.status == 400:  # MLflow itself refuses `..`
        return
    identifier = json.loads(answer.body)["experiment_id"]
    run_id = call(both.mlflow, "runs/create", {"experiment_id": identifier})["run"]["info"]["run_id"]
    for question in (
        f"/get-artifact?run_uuid={run_id}&path=passwd",
        f"/get-artifact?run_uuid={run_id}&path=../../passwd",
        f"/api/2.0/mlflow/artifacts/list?run_id={run_id}",
    ):
        answer = both.mlflow.ask(question, **both.mlflow.key)
        assert answer.status >= 400
        assert b"root:" not in answer.body
    path = f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run_id}&path=written.txt"
    assert both.mlflow.ask(path, "POST", "x", **both.mlflow.key).status >= 400
    assert not list(both.platform.home.rglob("written.txt"))


@pytest.mark.parametrize(
    "source", ["file:///etc", "/etc", "mlflow-artifacts:/../../etc", "file:///proc/self/root/etc"]
)
def test_a_model_version_has_its_source_in_its_run(both, run, source):
    call(both.mlflow, "registered-models/create", {"name": f"m{source}".replace("/", "_").replace(":", "_")})
    name = f"m{source}".replace("/", "_").replace(":", "_")
    for body in ({"name": name, "source": source, "run_id": run[1]}, {"name": name, "source": source}):
        answer = both.mlflow.ask("/api/2.0/mlflow/model-versions/create", "POST", body, **both.mlflow.key)
        read = both.mlflow.ask(
            f"/model-versions/get-artifact?name={name}&version=1&path=passwd", **both.mlflow.key
        )
        assert answer.status >= 400, body
        assert read.status >= 400
        assert b"root:" not in read.body


@pytest.mark.parametrize("path", PROGRAMS)
def test_routes_that_start_programs_or_call_other_servers_answer_404(both, path):
    assert both.mlflow.ask(path, **both.mlflow.key).status == 404


def test_other_accounts_see_no_password(both):
    """In arguments of processes, in logs, in files that others may read."""
    words = [both.prefect.password, both.mlflow.password, str(make_url(both.database).password)]
    command_lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert any(b"flows.standing.serve" in line for line in command_lines)
    for path in both.platform.home.rglob("*"):
        if path.is_file() and path.name != "secrets.json":
            command_lines.append(path.read_bytes())
    for word in words:
        assert len(word) > 8
        assert not any(word.encode() in line for line in command_lines)
    assert stat.S_IMODE((both.platform.folder / "secrets.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(both.platform.folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["prefect", "mlflow"])
def test_a_server_without_a_password_does_not_start(name, both):
    own = {"PATH": os.environ["PATH"], "MLFLOW_BACKEND_STORE_URI": both.database}
    command = [sys.executable, "-m", "flows.standing.serve", name, "--names", "localhost", "--port", "0"]
    process = subprocess.run(command, env=own, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert process.returncode == 1
    assert "does not run without a password" in process.stderr


@pytest.mark.parametrize(("name", "number"), [("prefect", signal.SIGTERM), ("mlflow", signal.SIGINT)])
def test_a_signal_ends_all_processes_at_once_without_output(both, name, number):
    """The last test of the two. Ctrl-C reaches the command's whole group, SIGTERM the command alone."""
    command = both.commands[name]
    began = time.monotonic()
    (os.killpg if number == signal.SIGINT else os.kill)(command.pid, number)
    out, err = command.communicate(timeout=30)
    assert time.monotonic() - began < 5
    assert (command.returncode, out, err) == (128 + number, "", "")
    own = getattr(both, name).address
    assert is_well(own + HEALTH[name]) is not None
    if name == "mlflow":
        assert processes_of(both.platform.home) == []
