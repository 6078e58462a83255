"""A study on a standing stack that is disturbed in every way: it completes, equals a calm run, and nothing is doubled.

    python -m benchmarks.standing [FOLDER]

Two workers and a tiny study, as deployment runs. While it trains: the worker that trains is killed −9, the process that its
run is a fork of is, the Prefect server is, PostgreSQL is, and MLflow is stopped for a minute. Then the supervisor itself is
killed −9.
Prints a line per disturbance; ends with exit code 1 where results differ from those of an undisturbed run.
"""

import json
import signal
import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks._stack import Home, flow_runs, program, say, start_run, state_of, wait

STUDY = """
name = "disturbed"
seeds = [0]
[[datasets]]
name = "dis-a"
phantom = { site = "alpha", patients = 120, size = 32 }
[[datasets]]
name = "dis-d"
phantom = { site = "delta", patients = 120, size = 32 }
[network]
name = "small_convnet"
image_size = 32
[training]
epochs = 600
batch_size = 16
learning_rate = 3e-3
[augmentation]
rotation = 0
translation = 0.04
scale = 0
intensity = 0.1
"""
RESULTS = """select study, trained_on, test_dataset, task, seed, n, n_pos, auc, lower, upper from auc_results
order by study, trained_on, test_dataset, task, seed"""
KEYS = "select key, trained_on, best_epoch, validation_auc from model order by key"
DOUBLES = """select
(select count(*) from (select key from model group by key having count(*) > 1) as d) as models,
(select count(*) from (select 1 from evaluation group by model_id, image_list_id having count(*) > 1) as d) as evaluations,
(select count(*) from missing_evaluations) as missing"""

AWAY_SECONDS = 60


def trainer(home: Home, run: str) -> str | None:
    """The worker whose process works at a flow run."""
    for process in home.processes():
        own = process.environ()
        if own.get("PREFECT__FLOW_RUN_ID") == run:
            return own.get("XRAY_SERVICE")
    return None


def disturb(home: Home, run: str) -> None:
    """Everything that can go wrong, one after the other, while the run is under way."""
    wait(lambda: state_of(home, run) == "Running", 300, "running")
    wait(lambda: any((home.path / "checkpoints").glob("*.safetensors")), 300, "a checkpoint")
    before = trainer(home, run)
    assert before is not None
    program(home, before).kill()
    say(f"{before}, which trains, was killed -9")
    wait(lambda: trainer(home, run) is None, 30, "its flow run's processes end with it")
    took = wait(lambda: trainer(home, run) is not None, 300, "it goes on")
    say(f"  the run went on after {took:.0f} s, on {trainer(home, run)}")
    wait(lambda: state_of(home, run) == "Running", 200, "running again")

    program(home, "warm").kill()
    say("the warm process was killed -9")
    wait(lambda: trainer(home, run) is None, 30, "the flow run's processes end with it")
    took = wait(lambda: trainer(home, run) is not None, 300, "it goes on")
    say(f"  the run went on after {took:.0f} s, on {trainer(home, run)}")
    wait(lambda: state_of(home, run) == "Running", 200, "running again")

    program(home, "prefect").kill()
    wait(lambda: home.service("prefect")["restarts"] >= 1, 30, "its death is seen")
    took = wait(lambda: home.service("prefect")["phase"] == "ready", 300, "prefect is back")
    say(f"Prefect's server was killed -9; back after {took:.0f} s")

    (postmaster,) = [p for p in home.processes() if "-D" in p.cmdline() and p.name() == "postgres"][:1]
    postmaster.kill()
    took = wait(lambda: bool(home.rows("select 1 as one")), 120, "postgres is back")
    say(f"PostgreSQL was killed -9; it answered after {took:.0f} s")

    nursery = psutil.Process(home.service("mlflow")["pid"])
    for process in (*nursery.children(recursive=True), nursery):
        process.suspend()
    say(f"MLflow is stopped for {AWAY_SECONDS} s; the run is {state_of(home, run)}")
    time.sleep(AWAY_SECONDS)
    for process in (nursery, *nursery.children(recursive=True)):
        process.resume()
    state = state_of(home, run)
    say(f"MLflow goes on; the run is {state}")
    assert state == "Running", "the study has to be under way all the time"


def main(folder: Path) -> int:
    """Run all; 0 where the disturbed results are those of the undisturbed run."""
    study = folder / "disturbed.toml"
    study.write_text(STUDY)
    calm = Home(folder / "calm")
    began = time.monotonic()
    calm.run("study", "run", str(study))
    expected, keys = calm.rows(RESULTS), calm.rows(KEYS)
    say(f"undisturbed: {len(keys)} models, {len(expected)} results in {time.monotonic() - began:.0f} s")
    home = Home(folder / "disturbed")
    began = time.monotonic()
    home.run("up", "--gpu-workers", "2")
    say(f"the stack was up after {time.monotonic() - began:.0f} s")
    try:
        run = start_run(home, "study/phantom", {"study": str(study)})
        disturb(home, run)
        wait(lambda: state_of(home, run) in ("Completed", "Failed", "Cancelled"), 900, "the run's end")
        say(f"the run is {state_of(home, run)}, after {time.monotonic() - began:.0f} s in all")
        wait(
            lambda: not any(r["state_type"] in ("RUNNING", "PENDING") for r in flow_runs(home, "reevaluate")),
            300,
            "idle",
        )
        results, now = home.rows(RESULTS), home.rows(KEYS)
        (doubles,) = home.rows(DOUBLES)
        say(
            f"results equal: {results == expected}; models equal: {now == keys}; doubled or missing: {doubles}"
        )
        well = results == expected and now == keys and not any(doubles.values())
        state = json.loads((home.path / "stack" / "state.json").read_text())
        psutil.Process(state["pid"]).kill()
        took = wait(lambda: not home.processes(), 60, "everything ends with the supervisor")
        say(f"the supervisor was killed -9: everything of it had ended after {took:.1f} s")
        began = time.monotonic()
        home.run("up", "--gpu-workers", "2")
        say(f"up again after {time.monotonic() - began:.0f} s: {home.status()['phase']}")
    finally:
        home.run("down", check=False)
    try:
        wait(lambda: not home.processes(), 30, "down leaves nothing")
        say("down leaves no process")
    except TimeoutError:
        say(f"down left {[p.cmdline()[:6] for p in home.processes()]}")
        well = False
    return 0 if well else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if len(sys.argv) > 1:
        target = Path(sys.argv[1]).resolve()
        target.mkdir(parents=True, exist_ok=True)
        sys.exit(main(target))
    with tempfile.TemporaryDirectory() as scratch:
        sys.exit(main(Path(scratch)))
