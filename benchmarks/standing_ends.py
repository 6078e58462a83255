"""How runs of a standing stack end when they are cancelled or fall silent, and who may ask an open stack.

    python -m benchmarks.standing_ends [cancelled|silent|open]

cancelled: a training is cancelled midway; MLflow marks its run as killed, no model is there, the slot is free, and
the next run goes on from the checkpoint. silent: a worker and its run are killed while another machine has a worker online,
so that only the heartbeat automation can tell; it acts once. open: `xray up --host 0.0.0.0` refuses who has no password, and
a training and its re-evaluation still work. Exit code 1 where any of it is otherwise.
"""

import base64
import json
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from benchmarks._stack import Home, program, say, start_run, state_of, wait

STUDY = """
name = "ends"
seeds = [0]
[[datasets]]
name = "end-a"
phantom = {{ site = "alpha", patients = 120, size = 32 }}
[[datasets]]
name = "end-d"
phantom = {{ site = "delta", patients = 120, size = 32 }}
[network]
name = "small_convnet"
image_size = 32
[training]
epochs = {epochs}
batch_size = 16
learning_rate = 3e-3
"""
MODELS = "select count(*) as models from model"
HALF = "select count(*) as half from evaluation where id not in (select evaluation_id from prediction)"


def study(folder: Path, epochs: int) -> dict[str, str]:
    """Parameters of a training of one model for so many epochs."""
    path = folder / "ends.toml"
    path.write_text(STUDY.format(epochs=epochs))
    return {"study": str(path), "configuration": "end-a"}


def checkpoint(home: Home) -> bool:
    """Whether a training has left a checkpoint."""
    return any((home.path / "checkpoints").glob("*.safetensors"))


def mlflow_runs(home: Home) -> list[tuple[str, str]]:
    """State of every MLflow run of a model, and the reason where it did not finish."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(home.service("mlflow")["url"])
    experiment = client.get_experiment_by_name("ends")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    return [(run.info.status, run.data.tags.get("xray.failure", "")) for run in runs]


def saved_seconds(home: Home) -> list[float]:
    """How long each epoch took that the checkpoint holds: numbers that no second training would have again."""
    from safetensors import safe_open

    (path,) = (home.path / "checkpoints").glob("*.safetensors")
    with safe_open(path, framework="np") as file:
        return [epoch["seconds"] for epoch in json.loads(file.metadata()["progress"])["epochs"]]


def logged_seconds(home: Home) -> list[float]:
    """The same of the only MLflow run."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(home.service("mlflow")["url"])
    experiment = client.get_experiment_by_name("ends")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    history = client.get_metric_history(run.info.run_id, "seconds")
    return [metric.value for metric in sorted(history, key=lambda metric: metric.step)]


def cancelled(home: Home, folder: Path) -> bool:
    """Cancel a training once it has a checkpoint, look at what is left, and run it again."""
    home.run("up")
    file = study(folder, 1000)
    run = start_run(home, "train/phantom-a", file)
    wait(lambda: checkpoint(home), 300, "a checkpoint")
    state = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
    home.api().post(f"/flow_runs/{run}/set_state", state)
    took = wait(lambda: state_of(home, run) == "Cancelled", 90, "it is cancelled")
    wait(lambda: all(status != "RUNNING" for status, _ in mlflow_runs(home)), 60, "MLflow's run has ended")
    left = mlflow_runs(home)
    (models,), (half,) = home.rows(MODELS), home.rows(HALF)
    say(
        f"cancelled after {took:.0f} s; MLflow: {left}; models {models['models']}, half evaluations {half['half']}"
    )
    well = [status for status, _ in left] == ["KILLED"] and models["models"] == 0 and half["half"] == 0
    saved = saved_seconds(home)
    again = start_run(home, "train/phantom-a", file)
    took = wait(lambda: state_of(home, again) == "Running", 120, "its slot is free")
    say(f"the next run had the slot after {took:.0f} s")
    wait(lambda: state_of(home, again) in ("Completed", "Failed", "Crashed"), 600, "the next run ends")
    (models,) = home.rows(MODELS)
    say(f"the next run is {state_of(home, again)}; models {models['models']}; MLflow: {mlflow_runs(home)}")
    resumed = bool(saved) and logged_seconds(home)[: len(saved)] == saved
    say(f"it went on from the checkpoint of {len(saved)} epochs: {resumed}")
    return well and resumed and state_of(home, again) == "Completed" and models["models"] == 1


def silent(home: Home, folder: Path) -> bool:
    """Kill a worker with its run, so that only the automation can tell; count what it did."""
    home.run("up")
    api = home.api()
    over = threading.Event()

    def elsewhere() -> None:
        while not over.wait(5):
            api.post("/work_pools/cpu/workers/heartbeat", {"name": "elsewhere-cpu-0"})

    other = threading.Thread(target=elsewhere, daemon=True)
    other.start()
    wait(lambda: len(api.post("/work_pools/cpu/workers/filter", {})) == 2, 60, "another machine's worker")
    run = start_run(home, "train/phantom-a", study(folder, 1000))
    wait(lambda: checkpoint(home) and state_of(home, run) == "Running", 300, "a checkpoint")
    program(home, "worker-gpu-0").kill()
    say("the worker and its run were killed -9")
    took = wait(lambda: state_of(home, run) != "Running", 300, "the automation acts")
    say(f"the run was {state_of(home, run)} after {took:.0f} s")
    wait(lambda: state_of(home, run) in ("Completed", "Failed"), 600, "it goes on")
    over.set()
    other.join()
    states = [state["name"] for state in api.get(f"/flow_run_states/?flow_run_id={run}")]
    query = {"filter": {"event": {"name": ["prefect.automation.action.executed"]}}}
    acted = [
        event
        for event in api.post("/events/filter", query)["events"]
        if any(run in resource["prefect.resource.id"] for resource in event["related"])
    ]
    say(f"states: {states}; the automation acted {len(acted)} time(s)")
    return states.count("Crashed") == 1 and len(acted) == 1 and states[-1] == "Completed"


def is_open(home: Home, folder: Path) -> bool:
    """Ask both servers without, with a wrong, and with the right password; train and re-evaluate."""
    from flows.standing.place import Stack

    home.run("up", "--host", "0.0.0.0")
    words = Stack(home.path).passwords()
    pages = {
        f"{home.service('prefect')['url']}/api/flows/count": (words["prefect_password"], b"{}"),
        f"{home.service('mlflow')['url']}/api/2.0/mlflow/experiments/get?experiment_id=0": (
            words["mlflow_password"],
            None,
        ),
    }
    well = True
    for page, (password, body) in pages.items():
        codes = [answer(page, body, secret) for secret in (None, "wrong", password)]
        say(
            f"{page}: without a password {codes[0]}, with a wrong one {codes[1]}, with the right one {codes[2]}"
        )
        well &= codes == [401, 401, 200]
    run = start_run(home, "train/phantom-a", study(folder, 2))
    wait(lambda: state_of(home, run) in ("Completed", "Failed", "Crashed"), 300, "a training")
    say(f"a training is {state_of(home, run)}")
    query = "select count(*) as evaluations from evaluation"
    wait(lambda: home.rows(query)[0]["evaluations"] == 1, 120, "its re-evaluation")
    say("its model was scored by itself")
    return well and state_of(home, run) == "Completed"


def answer(page: str, body: bytes | None, password: str | None) -> int:
    """The status of the answer to a request of user admin."""
    request = urllib.request.Request(page, body, {"Content-Type": "application/json"})
    if password is not None:
        pair = base64.b64encode(f"admin:{password}".encode()).decode()
        request.add_header("Authorization", f"Basic {pair}")
    try:
        with urllib.request.urlopen(request, timeout=30) as page_read:
            return int(page_read.status)
    except urllib.error.HTTPError as refused:
        return refused.code


PROOFS: dict[str, Callable[[Home, Path], bool]] = {"cancelled": cancelled, "silent": silent, "open": is_open}


def main(names: list[str]) -> int:
    """Run these proofs, each on a stack of its own; 0 where all is as it should be."""
    failed = []
    for name in names or list(PROOFS):
        with tempfile.TemporaryDirectory() as scratch:
            home = Home(Path(scratch) / "home")
            try:
                if not PROOFS[name](home, Path(scratch)):
                    failed.append(name)
            finally:
                home.run("down", check=False)
            wait(lambda home=home: not home.processes(), 30, "down leaves nothing")  # type: ignore[misc]
            say(
                f"{name}: {'NOT as it should be' if name in failed else 'as it should be'}; down left no process"
            )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
