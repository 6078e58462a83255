"""`xray up` as a user has it: what runs, what is deployed, that a registration is acted on, and that nothing is left."""

import base64
import contextlib
import json
import os
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
from mlflow.tracking import MlflowClient

from db.connection import databases
from flows.events import announce
from flows.standing.api import Api
from flows.standing.deploy import read_file
from flows.standing.place import client_environment
from tests.flows.standing.conftest import processes_of
from tests.flows.test_evaluate_pictures import CARD, write_network

pytestmark = pytest.mark.timeout(900)


def runs(stack, flow):
    body = {"flows": {"name": {"any_": [flow]}}}
    return [run for run in stack.api.post("/flow_runs/filter", body) if not run["auto_scheduled"]]


def wait_until(true, seconds, content):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, content
        time.sleep(0.2)


def test_xray_up_starts_every_service_and_prints_its_address(stack):
    overview = stack.status()
    assert overview["phase"] == "ready"
    assert [service["name"] for service in overview["services"]] == [
        "prefect",
        "mlflow",
        "explorer",
        "warm",
        "worker-gpu-0",
        "worker-cpu-0",
    ]
    assert all(service["phase"] == "ready" and service["restarts"] == 0 for service in overview["services"])
    assert overview["missing"] == {"evaluations": 0, "stale_studies": 0}
    assert overview["queue"]["crashed"] == 0


def test_the_servers_refuse_requests_without_their_password(stack):
    with pytest.raises(OSError, match="401"):
        Api(stack.api.url).post("/deployments/filter", {})
    with pytest.raises(OSError, match="401"):
        urllib.request.urlopen(stack.platform.running().url("mlflow"), timeout=10)
    with pytest.raises(OSError, match="401"):
        urllib.request.urlopen(stack.platform.running().url("explorer"), timeout=10)
    assert stack.platform.running().url("explorer") in stack.home.run("explore").stdout
    for name in ("prefect", "mlflow"):
        out = stack.home.run("ui", name).stdout
        assert stack.platform.running().url(name) in out
        assert str(stack.platform.folder / "secrets.json") in out
    logs = [file.read_bytes() for file in stack.platform.folder.glob("*.log*")]
    logs += command_lines()
    for word in (*stack.platform.passwords().values(), stack.database_password()):
        assert len(word) > 8
        assert not any(word.encode() in log for log in logs)


def command_lines():
    lines = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            lines.append((process / "cmdline").read_bytes())
    return lines


def test_every_deployment_of_the_file_is_registered(stack):
    deployments = {
        (deployment.entrypoint.rsplit(".", 1)[1], deployment.name): deployment
        for deployment in read_file().deployments
    }
    registered = {
        (d["entrypoint"].rsplit(".", 1)[1], d["name"]): d for d in stack.api.post("/deployments/filter", {})
    }
    assert registered.keys() == deployments.keys()
    for key, deployment in registered.items():
        assert deployment["work_pool_name"] == deployments[key].work_pool.name
        assert deployment["enforce_parameter_schema"]
        for name, parameter in deployment["parameter_openapi_schema"]["properties"].items():
            assert parameter.get("description"), f"{key}: parameter {name} is not documented"
    again = registered["reevaluate", "missing"]
    assert again["global_concurrency_limit"]["limit"] == 1
    assert [schedule["schedule"]["cron"] for schedule in again["schedules"]] == ["30 2 * * *"]


def test_the_nightly_run_is_scheduled(stack):
    """By Prefect's own scheduler, which SQLAlchemy 2.1 stops."""

    def nights():
        body = {
            "flows": {"name": {"any_": ["reevaluate"]}},
            "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
        }
        rows = stack.api.post("/flow_runs/filter", body)
        return [run["expected_start_time"] for run in rows if run["auto_scheduled"]]

    wait_until(nights, 90, "runs of the coming nights")
    assert all("T02:30:00" in night for night in nights())


@pytest.mark.slow
def test_ten_registrations_at_once_start_one_run(stack, monkeypatch):
    monkeypatch.setenv("XRAY_HOME", str(stack.home.path))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    began = datetime.now(UTC)
    assert all(announce("dataset", f"none-{number}") for number in range(10))
    wait_until(lambda: runs(stack, "reevaluate"), 60, "a run")

    def all_ended():
        return {run["state_type"] for run in runs(stack, "reevaluate")} <= {"COMPLETED", "CANCELLED"}

    wait_until(all_ended, 240, "it ends")
    time.sleep(5)  # a late one would have come by now
    runs_found = runs(stack, "reevaluate")
    assert (
        1 <= len(runs_found) <= 2
    )  # two where the events took longer than the seconds in which they are gathered
    completed = [run for run in runs_found if run["state_type"] == "COMPLETED"]
    first = min(datetime.fromisoformat(run["start_time"].replace("Z", "+00:00")) for run in completed)
    assert (first - began).total_seconds() < 120


@pytest.mark.slow
def test_a_run_on_bad_data_fails_at_once_with_the_reason(stack):
    deployment = stack.api.get("/deployments/name/add-dataset/default")
    body = {"parameters": {"name": "nothing", "source": "manifest"}}
    run = stack.api.post(f"/deployments/{deployment['id']}/create_flow_run", body)["id"]
    wait_until(lambda: stack.api.get(f"/flow_runs/{run}")["state_type"] == "FAILED", 120, "it fails")
    state = stack.api.get(f"/flow_runs/{run}")
    assert "labels is missing" in state["state"]["message"]
    assert state["run_count"] == 1
    (failure,) = (
        failure_of for failure_of in stack.status()["failures"] if failure_of["run"] == state["name"]
    )
    assert failure["flow"] == "add-dataset"
    assert failure["reason"].startswith("nothing: labels is missing"), "without Prefect's words before it"
    output = stack.home.run("status").stdout
    assert f"UTC: add-dataset ({state['name']}): nothing: labels is missing" in output


@pytest.mark.slow
def test_a_hospitals_own_table_is_registered_by_its_mapping(stack, tmp_path):
    (tmp_path / "list.csv").write_text(
        "Bild;Erguss;Drain\n" + "".join(f"b{k};{'ja' if k % 2 else 'nein'};ja\n" for k in range(8))
    )
    (tmp_path / "hospital.toml").write_text(
        '[columns]\nimage = "Bild"\n[findings]\n"Erguss" = "Effusion"\n[words]\npositive = ["ja"]\nnegative = ["nein"]\n'
    )
    deployment = stack.api.get("/deployments/name/add-dataset/default")
    parameters = {
        "name": "ward",
        "source": "labels",
        "labels": str(tmp_path / "list.csv"),
        "mapping": str(tmp_path / "hospital.toml"),
        "labels_only": True,
    }
    run = stack.api.post(f"/deployments/{deployment['id']}/create_flow_run", {"parameters": parameters})["id"]
    ends = ("COMPLETED", "FAILED", "CRASHED")
    wait_until(lambda: stack.api.get(f"/flow_runs/{run}")["state_type"] in ends, 120, "it ends")
    state = stack.api.get(f"/flow_runs/{run}")["state"]
    assert state["type"] == "COMPLETED", state["message"]
    counts = stack.home.run("dataset", "counts", "ward").stdout
    assert [line.split()[:3] for line in counts.splitlines() if "Effusion" in line] == [
        ["Effusion", "4", "4"]
    ]


def test_parameters_are_checked_before_anything_runs(stack):
    deployment = stack.api.get("/deployments/name/train/phantom-a")
    with pytest.raises(OSError, match=r"422|409"):
        stack.api.post(f"/deployments/{deployment['id']}/create_flow_run", {"parameters": {"epochs": 0}})


@pytest.mark.slow
def test_a_run_links_to_what_it_made_and_back(stack, tiny_file, monkeypatch):
    deployment = stack.api.get("/deployments/name/study/phantom")
    body = {"parameters": {"study": str(tiny_file)}}
    run = stack.api.post(f"/deployments/{deployment['id']}/create_flow_run", body)["id"]
    wait_until(lambda: stack.api.get(f"/flow_runs/{run}")["state_type"] == "COMPLETED", 600, "it completes")
    listed = stack.api.post("/artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run]}}, "limit": 50})
    artifacts = {artifact["key"]: artifact for artifact in listed}

    models = json.loads(artifacts["models"]["data"])
    assert {row["trained_on"] for row in models} == {"tiny-a", "tiny-d", "all"}
    for name, value in client_environment(stack.platform, stack.platform.running()).items():
        monkeypatch.setenv(name, value)
    mlflow = MlflowClient(stack.platform.running().url("mlflow"))
    for row in models:
        address, identifier = row["mlflow"].split("/#/")[0], row["mlflow"].rsplit("/", 1)[1]
        assert address == stack.platform.running().url("mlflow")
        assert mlflow.get_run(identifier).data.tags["xray.flow_run"] == run

    evaluations = json.loads(artifacts["evaluations"]["data"])
    stored = stack.home.sql(f"select evaluation_id from provenance where scored_flow_run = '{run}'")
    ids = {row["evaluation_id"] for row in evaluations}
    assert ids == {row["evaluation_id"] for row in stored}
    assert len(ids) == 6

    rows = json.loads(artifacts["auc-tiny"]["data"])
    results = stack.home.sql("select auc from auc_results where study = 'tiny' and seed is null order by auc")
    assert sorted(row["auc"] for row in rows if row["auc"] is not None) == pytest.approx(
        [row["auc"] for row in results if row["auc"] is not None]
    )
    picture = artifacts["figure-auc-tiny"]["data"].removeprefix("data:image/png;base64,")
    assert base64.b64decode(picture) == (stack.home.path / "reports" / "tiny" / "auc.png").read_bytes()


@pytest.mark.slow
def test_an_imported_model_is_scored_automatically(stack, tmp_path):
    """On the drawn hospitals of the study above, as it is said to be trained on one; nobody asks for a run."""
    pytest.importorskip("onnx")
    write_network(tmp_path / "vendor.onnx")
    (tmp_path / "vendor.toml").write_text(CARD)
    stack.home.run("model", "import", tmp_path / "vendor.onnx", "--trained-on", "tiny-a")
    scored = "select test_datasets from provenance where model = 'vendor' and test_datasets <> '{}'"
    wait_until(lambda: len(stack.home.sql(scored)) == 2, 300, "both hospitals are scored")
    assert {row["test_datasets"][0] for row in stack.home.sql(scored)} == {"tiny-a", "tiny-d"}
    wait_until(
        lambda: stack.status()["missing"] == {"evaluations": 0, "stale_studies": 0}, 300, "all is done"
    )


@pytest.mark.slow
def test_a_server_that_dies_is_started_again(stack):
    (mlflow,) = (service for service in stack.status()["services"] if service["name"] == "mlflow")
    psutil.Process(mlflow["pid"]).children()[0].kill()

    def is_back():
        (now,) = (service for service in stack.platform.running().services if service.name == "mlflow")
        return now.phase == "ready" and now.restarts == 1

    wait_until(is_back, 120, "MLflow is back")


def test_the_logs_of_services_can_be_read(stack):
    assert "starting with Options" in stack.home.run("logs", "supervisor").stdout
    lines = [json.loads(line) for line in stack.home.run("logs", "--json", "-n", "400").stdout.splitlines()]
    messages = [line for line in lines if line["service"] == "supervisor" and line["level"] == "INFO"]
    assert any(line["message"].startswith("starting with Options") for line in messages)
    assert all(datetime.fromisoformat(line["time"]) for line in messages)
    error = stack.home.run("logs", "nothing", exit_code=1).stderr
    assert (
        "there is no log 'nothing'; known: deploy, explorer, mlflow, prefect, supervisor, warm, worker"
        in error
    )
    assert f"export XRAY_HOME='{stack.home.path}'" in stack.home.run("env").stdout


def test_a_killed_platform_leaves_nothing_running_and_xray_up_recovers(stack):
    """The last test of the stack, as it ends it."""
    stack.platform.running()
    os.kill(stack.platform.running().pid, 9)
    wait_until(lambda: not processes_of(stack.home.path), 60, lambda: processes_of(stack.home.path))
    assert stack.status(exit_code=1)["phase"] == "not running"
    with databases(stack.home.path):
        pass
