"""Flow runs whose process is gone: told so to Prefect, which frees their slots, and run again where that can help.

What is done is known by our own database, so a flow run that starts again does only what is missing, and a training goes on
from its checkpoint. Nothing here decides what is done.

    python -m flows.standing.recovery        the second half alone, again and again, where no supervisor runs (containers)
"""

import contextlib
import logging
import socket
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import psutil

from db import logs
from flows.standing.api import Api
from flows.standing.nursery import MARK, kill

_log = logging.getLogger("flows.standing.recovery")
EVERY_SECONDS: Final = 3.0
LOST_SECONDS: Final = 10.0
"""How long a flow run may be without a process before it counts as lost: a new one is just being started."""
PENDING_SECONDS: Final = 60.0
CANCEL_SECONDS: Final = 30.0
"""How long a flow run may take to be cancelled: a worker that lost its server for a while no longer hears of it."""
RUNS_ALLOWED: Final = 5
DAY: Final = 86400.0
"""What crashed earlier is for people to decide."""
POOLS: Final = ("gpu", "cpu")


@dataclass
class Recovery:
    """Looks for lost flow runs. home: of the stack whose workers are on this machine; None where there are none."""

    api: Api
    home: str | None = None
    without: dict[str, float] = field(default_factory=dict)
    """Flow run id → since when it has had no process here."""
    looked_at: float = 0.0

    def tend(self) -> None:
        """Look once, but not more often than every few seconds; a server that does not answer is asked again later."""
        if time.monotonic() - self.looked_at < EVERY_SECONDS:
            return
        self.looked_at = time.monotonic()
        try:
            if self.home is not None and self._all_workers_are_here():
                self._find_lost(self.home)
            self._resume()
        except (OSError, KeyError, ValueError) as error:
            _log.warning("can't look for lost flow runs now: %s", error)

    def _all_workers_are_here(self) -> bool:
        """Whether every worker that is online belongs to this machine: only then no process here means none anywhere."""
        prefix = f"{socket.gethostname()}-"
        for pool in POOLS:
            for worker in self.api.post(f"/work_pools/{pool}/workers/filter", {}):
                if worker.get("status") == "ONLINE" and not worker["name"].startswith(prefix):
                    return False
        return True

    def _find_lost(self, home: str) -> None:
        living = _flow_runs_here(home)
        runs = self._runs("RUNNING", "PENDING", "CANCELLING")
        for run in runs:
            if run["state_type"] == "CANCELLING" and _age(run) > CANCEL_SECONDS and run["id"] in living:
                _log.warning("flow run %s (%s) was cancelled but goes on: killing it", run["name"], run["id"])
                kill(living[run["id"]])
        now = time.monotonic()
        lost = {run["id"]: run for run in runs if run["id"] not in living}
        self.without = {run_id: self.without.get(run_id, now) for run_id in lost}
        for identifier, since in self.without.items():
            run = lost[identifier]
            allowed = PENDING_SECONDS if run["state_type"] == "PENDING" else LOST_SECONDS
            if now - since < allowed:
                continue
            if run["state_type"] == "CANCELLING":
                state = {"type": "CANCELLED", "name": "Cancelled", "message": "its process is gone"}
            else:
                state = {"type": "CRASHED", "name": "Crashed", "message": "its process is gone"}
            _log.warning("flow run %s (%s) has no process: %s", run["name"], identifier, state["name"])
            self._set(identifier, state)

    def _resume(self) -> None:
        """Schedule crashed runs of our deployments again; one that has crashed too often stays as it is."""
        for run in self._runs("CRASHED"):
            if run["run_count"] >= RUNS_ALLOWED or _age(run) > DAY:
                continue
            _log.warning(
                "flow run %s (%s) crashed (run %d): running it again",
                run["name"],
                run["id"],
                run["run_count"],
            )
            now = datetime.now(UTC).isoformat()
            self._set(
                run["id"],
                {
                    "type": "SCHEDULED",
                    "name": "AwaitingRetry",
                    "message": "crashed; continues where it stopped",
                    "state_details": {"scheduled_time": now},
                },
            )

    def _runs(self, *states: str) -> list[dict[str, Any]]:
        filters = {
            "flow_runs": {"state": {"type": {"any_": list(states)}}},
            "work_pools": {"name": {"any_": list(POOLS)}},
            "sort": "START_TIME_DESC",
            "limit": 200,
        }
        runs: list[dict[str, Any]] = self.api.post("/flow_runs/filter", filters)
        return runs

    def _set(self, flow_run: str, state: dict[str, Any]) -> None:
        self.api.post(f"/flow_runs/{flow_run}/set_state", {"state": state, "force": True})


def _age(run: dict[str, Any]) -> float:
    """Seconds since a flow run got its state."""
    when = datetime.fromisoformat(run["state"]["timestamp"].replace("Z", "+00:00"))
    return (datetime.now(UTC) - when).total_seconds()


def _flow_runs_here(home: str) -> dict[str, list[psutil.Process]]:
    """Flow run id → the living processes of this stack that work at it."""
    processes: dict[str, list[psutil.Process]] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            own = process.environ()
            if own.get(MARK) == home and "PREFECT__FLOW_RUN_ID" in own:
                processes.setdefault(own["PREFECT__FLOW_RUN_ID"], []).append(process)
    return processes


def main() -> None:
    """Resume crashed flow runs for ever."""
    logs.start()
    api = Api.of_environment()
    if api is None:
        sys.exit("PREFECT_API_URL is not set")
    recovery = Recovery(api)
    while True:
        recovery.tend()
        time.sleep(EVERY_SECONDS)


if __name__ == "__main__":
    main()
