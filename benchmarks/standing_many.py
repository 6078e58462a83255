"""What orchestration costs: 60 tiny models over 8 drawn datasets, each a deployment run of its own, on 4 workers.

    python -m benchmarks.standing_many [N_MODELS]

Prints seconds of wall time and CPU per model against the same trainings in one plain process (the peer), where a run's time
goes, and by SQL that no model and no evaluation is lost or there twice. Exit code 1 where one is.
"""

import statistics
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from benchmarks._stack import Home, flow_runs, program, say, start_run, wait

DATASET = """
[[datasets]]
name = "many-{number}"
phantom = {{ site = "{site}", patients = 100, size = 32 }}
"""
STUDY = """
name = "many"
configurations = ["each", "all but one site"]
seeds = [0, 1, 2, 3]
[network]
name = "small_convnet"
image_size = 32
[training]
epochs = 1
batch_size = 16
learning_rate = 3e-3
[augmentation]
rotation = 0
translation = 0
scale = 0
intensity = 0
"""
PEERS = 6
WORKERS = 4
COUNTS = """select
(select count(*) from model) as models,
(select count(distinct key) from model) as keys,
(select count(*) from evaluation) as evaluations,
(select count(*) from (select distinct model_id, image_list_id from evaluation) as d) as distinct_evaluations,
(select count(*) from missing_evaluations) as missing,
(select count(*) from model) * (select count(*) from cohort where part = 'test') as expected"""


def study_file(folder: Path) -> Path:
    """The study of 8 datasets, as a file."""
    sites = ("alpha", "bravo", "charlie", "delta") * 2
    path = folder / "many.toml"
    path.write_text(STUDY + "".join(DATASET.format(number=n, site=site) for n, site in enumerate(sites)))
    return path


def peer(folder: Path, study: Path) -> tuple[float, float]:
    """Seconds of wall time and of CPU per model, where one process trains some of them with no orchestration."""
    import torch

    from db.connection import databases
    from xray.data.prepare import prepare
    from xray.learning.models import ensure_model
    from xray.learning.tracking import Tracker
    from xray.plan import requests
    from xray.study import read_study

    torch.set_num_threads(1)
    definition = read_study(study)
    folder.mkdir()
    with databases(folder) as databases_of:
        engine, tracker = databases_of.engine(), Tracker(databases_of.mlflow, folder / "artifacts")
        for dataset in definition.datasets:
            prepare(engine, folder, dataset, definition.protocol, definition.recipe.image_size)
        first, *rest = requests(definition)[: PEERS + 1]
        ensure_model(engine, tracker, folder, first)
        began, cpu = time.perf_counter(), time.process_time()
        for request in rest:
            ensure_model(engine, tracker, folder, request)
        engine.dispose()
        return (time.perf_counter() - began) / PEERS, (time.process_time() - cpu) / PEERS


def cpu_seconds(home: Home) -> dict[str, float]:
    """CPU seconds so far: of flow runs (ended children of the workers and of the warm process), and of all the others."""
    seconds = {"flow runs": 0.0, "workers": 0.0, "warm process": 0.0, "servers": 0.0}
    kinds = {f"worker-gpu-{number}": "workers" for number in range(WORKERS)} | {"warm": "warm process"}
    for service, kind in kinds.items():
        spent = program(home, service).cpu_times()
        seconds["flow runs"] += spent.children_user + spent.children_system
        seconds[kind] += spent.user + spent.system
    for name in ("prefect", "mlflow"):
        for process in psutil.Process(home.service(name)["pid"]).children(recursive=True):
            seconds["servers"] += process.cpu_times().user + process.cpu_times().system
    return seconds


def parts_of(home: Home, run: dict[str, Any]) -> dict[str, float]:
    """Where the time of a train run went, in seconds: start of its process, before, in and after the training task."""
    states = home.api().get(f"/flow_run_states/?flow_run_id={run['id']}")
    when = {state["name"]: moment(state["timestamp"]) for state in states}
    body = {"flow_runs": {"id": {"any_": [run["id"]]}}}
    (task,) = (t for t in home.api().post("/task_runs/filter", body) if t["name"].startswith("train"))
    began, end = moment(task["start_time"]), moment(task["end_time"])
    return {
        "process start": when["Running"] - when["Pending"],
        "before training": began - when["Running"],
        "training task": end - began,
        "after training": when["Completed"] - end,
    }


def moment(text: str) -> float:
    """Seconds since 1970."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def main(folder: Path, n_models: int) -> int:
    """Run all; 0 where nothing is lost or doubled."""
    study = study_file(folder)
    wall, cpu = peer(folder / "peer", study)
    say(f"peer: {wall:.1f} s wall, {cpu:.1f} s CPU per model; load {psutil.getloadavg()[0]:.1f}")
    home = Home(folder / "home")
    home.run("up", "--gpu-workers", str(WORKERS))
    try:
        before, began = cpu_seconds(home), time.monotonic()
        configurations = [f"many-{n}" for n in range(8)] + [f"all-but-many-{n}" for n in range(8)]
        models = [(c, seed) for c in configurations for seed in range(4)][:n_models]
        for configuration, seed in models:
            parameters = {"study": str(study), "configuration": configuration, "seeds": [seed]}
            start_run(home, "train/phantom-a", parameters)
        ends = ("COMPLETED", "FAILED", "CANCELLED", "CRASHED")
        wait(lambda: all(r["state_type"] in ends for r in flow_runs(home, "train")), 2400, "trainings", 5)
        trained = time.monotonic() - began
        wait(
            lambda: (
                not any(r["state_type"] not in ends for r in flow_runs(home, "train", "reevaluate"))
                and home.rows(COUNTS)[0]["missing"] == 0
            ),
            900,
            "evaluations",
            5,
        )
        scored = time.monotonic() - began
        spent = {key: value - before[key] for key, value in cpu_seconds(home).items()}
        return report(home, len(models), (wall, cpu), (trained, scored), spent)
    finally:
        home.run("down", check=False)


def report(
    home: Home, n_models: int, peers: tuple[float, float], took: tuple[float, float], spent: dict[str, float]
) -> int:
    """Print the figures; 0 where nothing is lost or doubled."""
    runs = flow_runs(home, "train")
    again = flow_runs(home, "reevaluate")
    ran = [run for run in again if run["state_type"] == "COMPLETED"]
    say(f"{n_models} models trained after {took[0]:.0f} s, all evaluations after {took[1]:.0f} s")
    say(
        f"train runs by state: { {s: sum(r['state_type'] == s for r in runs) for s in {r['state_type'] for r in runs}} }"
    )
    for run in (*runs, *again):
        if run["state_type"] in ("FAILED", "CRASHED"):
            say(f"  {run['name']}: {run['state']['message']}")
    seconds = sum(run["total_run_time"] for run in ran)
    say(f"re-evaluations: {len(ran)} ran for {seconds:.0f} s, {len(again) - len(ran)} called off")
    parts = [parts_of(home, run) for run in runs if run["state_type"] == "COMPLETED"]
    for part in parts[0]:
        say(f"  {part}: median {statistics.median(part_of_run[part] for part_of_run in parts):.1f} s")
    say("CPU: " + ", ".join(f"{name} {seconds:.0f} s" for name, seconds in spent.items()))
    mean = sum(spent.values()) / n_models
    say(
        f"per model, re-evaluation and all: {mean:.1f} s CPU; {mean / peers[1]:.1f} times the peer's training alone"
    )
    say(f"load {psutil.getloadavg()[0]:.1f}")
    (counts,) = home.rows(COUNTS)
    say(f"by SQL: {counts}")
    well = counts["models"] == counts["keys"] == n_models and counts["missing"] == 0
    return 0 if well and counts["evaluations"] == counts["distinct_evaluations"] == counts["expected"] else 1


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        sys.exit(main(Path(scratch), int(sys.argv[1]) if len(sys.argv) > 1 else 60))
