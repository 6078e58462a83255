"""kill −9 and other faults at random moments of a small study: afterwards the next run completes, to the very same results.

    python -m benchmarks.kills [--kills 100] [--seed 1] [--fault FAULT …] [--beside 2] [--stop-after SECONDS]

Each round: a new home, a study (two drawn sites, 32 px, small_convnet, one epoch), a fault at a random moment of it, the
end of that run, the next run undisturbed, and its comparison with a run that nobody disturbed: every result view, every
logit, every weights file and figure, row counts of all tables, MLflow's runs and versions. A round fails where anything
differs, a table is at fault, a traceback is shown, a process stays, or the disturbed run neither went on nor ended with one
line. Without --fault: kill −9, in turn, of the command itself, of a process of its pool, of Prefect's server, of PostgreSQL
and of its keeper. Other faults are in benchmarks/_faults.py; those of the file system need root (to mount a small disk).
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks import _faults, _forks, _same
from benchmarks._stack import say

STUDY: Final = """
name = "small"
title = "Two small drawn hospitals"
seeds = [0]
[[datasets]]
name = "small-a"
phantom = { site = "alpha", patients = 60, size = 32 }
[[datasets]]
name = "small-d"
phantom = { site = "delta", patients = 60, size = 32 }
[network]
name = "small_convnet"
image_size = 32
[training]
epochs = 1
batch_size = 16
learning_rate = 3e-3
"""
END_SECONDS: Final = 120.0
"""How long a disturbed run may take to its end, on a busy machine."""
MISSED: Final = "missed: the run had ended before"
TRUE_SECONDS: Final = 30.0
"""How long after the fault a run that does not go on may take to say so."""


@dataclass
class World:
    """Where the rounds take place. template: a home with servers that have their tables; api: environment of an API."""

    folder: Path
    file: Path
    template: Path
    api: dict[str, str]
    expected: dict[str, Any]
    seconds: float = 0.0
    lane: int = 0
    """Which of the rounds side by side this is of."""

    @property
    def home(self) -> Path:
        """Where a round's home is."""
        return self.folder / f"lane-{self.lane}" / "xray home"


def main() -> None:
    """Run rounds until all are done or the time is over; exit code 1 where one fails."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kills")
    parser.add_argument("--kills", type=int, default=5, help="Rounds.")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument(
        "--first", type=int, default=0, help="Number of the first round, to go on with a seed."
    )
    parser.add_argument("--fault", action="append", choices=_faults.FAULTS, help="Faults to take in turn.")
    parser.add_argument("--stop-after", type=float, default=1e9, help="Begin no round after so many seconds.")
    parser.add_argument("--folder", type=Path, help="Where the world is made, or lies already.")
    parser.add_argument("--beside", type=int, default=1, help="Rounds side by side.")
    options = parser.parse_args()
    if "clock" in (options.fault or []):
        _faults.with_shifted_clock()
    say(f"seed {options.seed}, rounds from {options.first}")
    began = time.monotonic()
    _forks.import_all()
    with _world(options.folder) as world:
        lanes = []
        for lane in range(options.beside):
            numbers = range(options.first + lane, options.first + options.kills, options.beside)
            world.lane = lane
            last = began + options.stop_after
            lanes.append(_in_fork(partial(_rounds, world, numbers, options.fault, options.seed, last)))
        codes = [os.waitstatus_to_exitcode(os.waitpid(lane, 0)[1]) for lane in lanes]
    sys.exit(any(codes))


def _in_fork(work: Callable[[], int]) -> int:
    pid = os.fork()
    if pid == 0:
        os._exit(work())
    return pid


def _rounds(world: World, numbers: range, names: list[str] | None, seed: int, last: float) -> int:
    """Rounds one after the other, none begun after the moment `last`; 1 where one failed."""
    failed, tally = [], dict[str, int]()
    for number in numbers:
        if time.monotonic() > last:
            say(f"out of time: go on with --first {number}")
            break
        faults = names or _faults.KILLS
        name = faults[number % len(faults)]
        problems, text = _round(world, name, random.Random(f"{seed} {number}"), number)
        say(f"{number} {name}: {text}" + "".join(f"\n   PROBLEM {problem}" for problem in problems))
        kind = name if text != MISSED else "missed"
        tally[kind] = tally.get(kind, 0) + 1
        failed += [number] if problems else []
    say(f"rounds: {json.dumps(tally)}; failed: {failed or 'none'}")
    return int(bool(failed))


@contextmanager
def _world(folder: Path | None) -> Iterator[World]:
    """A template of a home, an API for the runs that complete, and what an undisturbed run comes to."""
    with tempfile.TemporaryDirectory(prefix="xray-kills-") as temporary:
        root = folder or Path(temporary)
        root.mkdir(exist_ok=True)
        file = root / "small.toml"
        file.write_text(STUDY)
        world = World(root, file, root / "template", {}, {})
        if not (root / "world.json").exists():
            _prepare(world)
            undisturbed = _undisturbed(world, "reference")
            again = _undisturbed(world, "again")
            changing = _same.differences(undisturbed["digests"], again["digests"])
            if changing:
                raise SystemExit(f"two undisturbed runs differ in {', '.join(changing)}")
            (root / "world.json").write_text(json.dumps(undisturbed))
        state = json.loads((root / "world.json").read_text())
        world.expected, world.seconds = state["digests"], state["seconds"]
        say(f"an undisturbed run takes {world.seconds:.1f} s")
        with _api(root / "api") as world.api:
            yield world


def _prepare(world: World) -> None:
    """A home whose three databases have their tables, and whose servers are stopped."""
    status = _forks.fork(world.template, world.folder / "template.log", _make_tables)
    if status.wait(300) != 0:
        raise SystemExit(status.text())
    _until_gone(set(), world.template)


def _make_tables() -> None:
    from flows.platform import prefect_api, storage
    from xray import settings
    from xray.learning.tracking import Tracker

    with storage() as databases_of, prefect_api(databases_of):
        Tracker(databases_of.mlflow, settings.artifacts())


@contextmanager
def _api(home: Path) -> Iterator[dict[str, str]]:
    """A Prefect API that outlives all rounds: the environment of those who use it."""
    ready, over = home.parent / "api.json", home.parent / "api.over"
    for path in (ready, over):
        path.unlink(missing_ok=True)
    served = _forks.fork(home, home.parent / "api.log", lambda: _serve(ready, over))
    try:
        deadline = time.monotonic() + 300
        while not ready.exists():
            if served.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(served.text())
            time.sleep(0.1)
        yield json.loads(ready.read_text())
    finally:
        over.touch()
        served.wait(60)
        _until_gone(set(), home)


def _serve(ready: Path, over: Path) -> None:
    from flows.platform import prefect_api, storage

    with storage() as databases_of, prefect_api(databases_of):
        names = ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING")
        unfinished = ready.with_suffix(".new")
        unfinished.write_text(json.dumps({name: os.environ[name] for name in names if name in os.environ}))
        unfinished.replace(ready)
        while not over.exists():
            time.sleep(0.2)


def _undisturbed(world: World, name: str) -> dict[str, Any]:
    """Run the study in a new home: what it comes to, and how long it took."""
    home = world.home
    _new_home(world, home)
    began = time.monotonic()
    run = _forks.fork(home, world.folder / f"{name}.log", _forks.xray("study", "run", str(world.file)))
    code, seconds = run.wait(END_SECONDS), time.monotonic() - began
    if code != 0:
        raise SystemExit(f"an undisturbed run ended with {code}:\n{run.text()}")
    result, problems = _complete(world, home, name)
    if problems:
        raise SystemExit("\n".join(problems))
    _until_gone(set(), home)
    return {"digests": result, "seconds": seconds}


def _new_home(world: World, home: Path) -> None:
    shutil.rmtree(home, ignore_errors=True)
    home.parent.mkdir(exist_ok=True)
    home.mkdir(exist_ok=True)  # it may be a link to somewhere else
    subprocess.run(["cp", "-a", f"{world.template}/.", str(home)], check=True)
    subprocess.run(["sync", "--file-system", str(home)], check=True)  # a home that is there is on the disk


def _round(world: World, name: str, chance: random.Random, number: int) -> tuple[list[str], str]:
    """One fault at one moment; what is wrong afterwards, and what was."""
    home, log = world.home, world.folder / f"round-{number}.log"
    log.unlink(missing_ok=True)
    fault = _faults.make(name, chance)
    # without a server of its own a run is done sooner
    moment = chance.uniform(0.05, 0.6 if fault.spares_servers else 0.9) * world.seconds
    home.parent.mkdir(exist_ok=True)
    with fault.prepare(home):
        _new_home(world, home)
        shared = world.api if fault.spares_servers else {}
        run = _forks.fork(home, log, _forks.xray("study", "run", str(world.file)), shared)
        _sleep_until(time.monotonic() + moment, run)
        text = fault.strike(run)
        struck = time.monotonic()
        descendants = run.descendants()
        code = run.wait(END_SECONDS)
        seconds = time.monotonic() - struck
        if not text:
            return [], MISSED
        problems = []
        if code is None:
            problems.append(f"it neither went on nor ended within {END_SECONDS:.0f} s")
            run.write_stacks()
            os.kill(run.pid, 9)
            run.wait(10)
        problems += _judge(code, run.text(), seconds, fault.is_end)
        problems += _until_gone(descendants, home)
        fault.mend()
        result, more = _complete(world, home, f"round-{number}")
        problems += more + [
            f"{difference} differs" for difference in _same.differences(result, world.expected)
        ]
        _until_gone(set(), home)
        last = (run.text().strip().splitlines() or [""])[-1]
    if not problems:
        log.unlink()
    shutil.rmtree(home, ignore_errors=True)
    last = last[:200] if code == 1 else ""
    return problems, f"at {moment:.1f} s {text}; ended with {code} after {seconds:.1f} s {last}"


def _judge(code: int | None, text: str, seconds: float, is_end: bool) -> list[str]:
    """What is wrong with how a disturbed run ended. is_end: whether the fault was its own end."""
    problems = []
    if "Traceback" in text or "raise " in text:
        problems.append(f"a traceback:\n{text[-1500:]}")
    if code == 1:
        errors = [line for line in text.splitlines() if line.startswith("error: ")]
        if len(errors) != 1 or text.strip().splitlines()[-1] != errors[0]:
            problems.append(f"it did not end with one line:\n{text[-800:]}")
        if seconds > TRUE_SECONDS:
            problems.append(f"it said so only after {seconds:.0f} s")
    elif code not in (0, None) and not is_end:
        problems.append(f"it ended with {code}:\n{text[-800:]}")
    return problems


def _complete(world: World, home: Path, name: str) -> tuple[dict[str, Any], list[str]]:
    """The next run, and what it then comes to; what is wrong with it."""
    log, result = world.folder / f"{name}.next.log", world.folder / f"{name}.json"
    log.unlink(missing_ok=True)
    run = _forks.fork(home, log, lambda: _run_and_look(world.file, home, result), world.api)
    code = run.wait(2 * END_SECONDS)
    if code is None:
        os.kill(run.pid, 9)
    if code != 0:
        return {}, [f"the next run ended with {code}:\n{run.text()[-1500:]}"]
    content = json.loads(result.read_text())
    problems = [f"at fault: {fault}" for fault in content["at fault"]]
    for path in (log, result):
        path.unlink()
    return content, problems


def _run_and_look(file: Path, home: Path, result: Path) -> None:
    from db.connection import databases
    from flows.cli import COMMANDS

    with databases(home) as urls:
        for command in (("study", "run", str(file)), ("db", "check")):
            if command[0] in COMMANDS:
                try:
                    _forks.xray(*command)()
                except SystemExit as end:
                    if end.code:
                        raise
        result.write_text(json.dumps(_same.digests(urls, home, "small")))


def _sleep_until(moment: float, run: _forks.Fork) -> None:
    while time.monotonic() < moment and run.poll() is None:
        time.sleep(0.005)


def _until_gone(pids: set[int], home: Path) -> list[str]:
    """Wait until nothing of a run is left; what stays."""
    deadline = time.monotonic() + 30
    while left := {pid for pid in pids if _forks.lives(pid)} | set(_forks.processes_of(home)):
        if time.monotonic() > deadline:
            return [f"these go on running: {left}"]
        time.sleep(0.05)
    return []


if __name__ == "__main__":
    main()
