"""The supervisor: starts a stack in order, looks at its health, and starts again what has died or hangs.

    python -m flows.standing.supervisor '{"host": "127.0.0.1", …}'

PostgreSQL first (kept by its own keeper, of which we are a user), then MLflow and Prefect, then the deployments, then the
workers. Every service runs under a nursery, so that nothing outlives us, however we end.
"""

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Final

import psutil

from db import logs
from db.connection import Databases, databases
from db.embedded import status as server_status
from db.errors import XrayError
from flows.ends import Stopped
from flows.migrations import prepare
from flows.standing import nursery
from flows.standing.api import Api
from flows.standing.place import Options, ServiceState, Stack, State, this_stack
from flows.standing.recovery import Recovery
from flows.standing.servers import is_well
from flows.standing.services import Service, listeners, warm, web_servers, workers
from xray.home import settle

_log = logging.getLogger("flows.standing.supervisor")
LOOK_SECONDS: Final = 0.5
HEALTH_SECONDS: Final = 3.0
START_SECONDS: Final = 240.0
FAILURES_ALLOWED: Final = 5
"""Health checks in a row that may fail before a service is started again."""
EARLY_SECONDS: Final = 1.0
"""How long services may take to end that have not been ready yet, and have nothing to tell."""
LONGEST_WAIT: Final = 60.0
STEADY_SECONDS: Final = 60.0
LOG_BYTES: Final = 32 * 2**20


@dataclass
class Unit:
    """One service under our care."""

    service: Service
    stack: Stack
    state: ServiceState
    process: "subprocess.Popen[bytes] | None" = None
    failures: int = 0
    looked_at: float = 0.0
    wait: float = 1.0
    next_start: float = 0.0
    changed_at: float = 0.0
    """When its phase changed, by a clock that nobody sets; `state.since` is for people."""

    def start(self) -> None:
        """Start it under a nursery of its own."""
        nursery.kill(nursery.marked(str(self.stack.home), self.service.name))
        if self.service.sign:  # of the one before
            self.service.sign.unlink(missing_ok=True)
        log = self.stack.log(self.service.name)
        command = [sys.executable, "-m", "flows.standing.nursery", str(os.getpid()), str(log)]
        command += [str(self.service.grace), "--", *self.service.command]
        listener = self.service.listener
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                env=dict(self.service.environment),
                cwd=self.stack.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[listener.fileno()] if listener else [],
                start_new_session=True,
            )
        self.failures, self.looked_at = 0, time.monotonic()
        self._now("starting", pid=self.process.pid)
        self.state.url = self.service.url

    def tend(self) -> None:
        """Look after it once: start it again when its time has come, note its death, ask for its health."""
        now = time.monotonic()
        if self.process is None:
            if now >= self.next_start:
                self.start()
            return
        code = self.process.poll()
        if code is not None:
            self._died(f"ended with {code}")
            return
        if self.state.phase == "ready" and now - self.changed_at > STEADY_SECONDS:
            self.wait = 1.0
        if not self.service.health:
            sign = self.service.sign
            if self.state.phase == "starting" and (sign.exists() if sign else now - self.looked_at > 1):
                self._now("ready", self.state.pid)
            return
        if now - self.looked_at < (0.3 if self.state.phase == "starting" else HEALTH_SECONDS):
            return
        self.looked_at = now
        self._ask()

    def _ask(self) -> None:
        # before it is ready it does not answer, and holds up nobody else meanwhile
        refusal = is_well(self.service.health, 1 if self.state.phase == "starting" else 10)
        if refusal is None:
            self.failures = 0
            if self.state.phase != "ready":
                self._now("ready", self.state.pid)
            return
        if self.state.phase == "starting":
            if time.monotonic() - self.changed_at > START_SECONDS:
                self.stop()
                self._died(f"did not start within {START_SECONDS:.0f} s: {refusal}")
            return
        self.failures += 1
        if self.failures >= FAILURES_ALLOWED:
            self.stop()
            self._died(f"does not answer: {refusal}")

    def _died(self, detail: str) -> None:
        _log.warning("%s %s; next start in %.0f s", self.service.name, detail, self.wait)
        self.process = None
        nursery.kill(nursery.marked(str(self.stack.home), self.service.name))
        self.next_start = time.monotonic() + self.wait
        self.wait = min(self.wait * 2, LONGEST_WAIT)
        self.state.restarts += 1
        self._now("waiting", 0, detail)

    def ask_to_stop(self) -> None:
        """Tell it to end."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """End it, and wait until it and all that descends from it are gone."""
        if self.process is None:
            return
        self.ask_to_stop()
        try:
            self.process.wait(self.service.grace + 10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        nursery.kill(nursery.marked(str(self.stack.home), self.service.name))
        self.process = None
        self._now("stopped", 0)

    def _now(self, phase: str, pid: int, detail: str = "") -> None:
        self.state.phase, self.state.pid, self.state.since = phase, pid, time.time()
        self.changed_at = time.monotonic()
        if phase != "starting":
            self.state.detail = detail


@dataclass
class Supervisor:
    """A stack under way."""

    stack: Stack
    options: Options
    state: State
    units: list[Unit] = field(default_factory=list)
    stopping: bool = False
    has_been_ready: bool = False
    _last_state: str = ""

    def run(self) -> None:
        """Bring everything up and keep it until SIGTERM. Raises `XrayError` where it can't be brought up."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        nursery.kill(nursery.marked(str(self.stack.home)))  # what a supervisor that was killed has left
        with ExitStack() as resources:
            try:
                while not self.stopping:
                    self._once(resources.enter_context(ExitStack()))
            except Stopped:
                _log.info("stopped before anything was started")
            finally:
                self.stopping = True
                self.state.phase = "stopping"
                self._write()
                self._stop_all()
                nursery.kill(nursery.marked(str(self.stack.home)))

    def _once(self, resources: ExitStack) -> None:
        """From the database to the workers, until we are told to stop or the database is another one."""
        with resources:
            own = not os.environ.get("XRAY_DATABASE_URL")
            store = resources.enter_context(databases(self.stack.home))
            prepare(store, ("mlflow", "prefect"))
            settle(store.engine(), store.mlflow, self.stack.home, own=own)
            self.units = []
            listening = listeners(self.stack, self.options)
            for listener in listening.values():
                resources.enter_context(listener)
            self._add(web_servers(self.stack, store, self.options, listening))
            self.state.phase = "starting"
            for _ in self._until(lambda: all(k.state.phase == "ready" for k in self.units)):
                self._check_start()
            prefect = self.units[0].service
            api = Api(f"{prefect.url}/api", f"admin:{self.stack.passwords()['prefect_password']}")
            self._add(warm(self.stack, store, self.options, prefect.url))
            if not self.stopping:
                self._deploy(store, prefect.url)
            self._add(workers(self.stack, store, self.options, prefect.url, self.units[1].service.url))
            recovery = Recovery(api, str(self.stack.home))
            lost_since = 0.0
            for _ in self._until(lambda: False):
                ready = all(k.state.phase == "ready" for k in self.units)
                self.state.phase = "ready" if ready else "degraded"
                self.has_been_ready |= ready
                if self.units[0].state.phase == "ready":
                    recovery.tend()
                lost_since = 0.0 if self._has_database(store) else lost_since or time.monotonic()
                if lost_since and time.monotonic() - lost_since > 5:
                    _log.warning("the database server's keeper is gone: starting all over")
                    self._stop_all()
                    return

    def _has_database(self, store: Databases) -> bool:
        """Whether the embedded server is kept and on the same port. A server of the user's own is the user's to keep."""
        if os.environ.get("XRAY_DATABASE_URL"):
            return True
        running = server_status(self.stack.home)
        return running is not None and (running.phase != "ready" or f":{running.port}/" in store.xray)

    def _until(self, condition: Callable[[], bool]) -> Iterator[None]:
        """Tend all services again and again until `done`, or until we are to stop."""
        while not self.stopping and not condition():
            for unit in self.units:
                unit.tend()
                rotate(self.stack.log(unit.service.name))
            self._write()
            yield
            time.sleep(LOOK_SECONDS)

    def _check_start(self) -> None:
        for unit in self.units:
            if unit.state.restarts >= 3 and self.state.phase == "starting":
                tail = self.stack.log(unit.service.name).read_text(errors="replace")[-1500:]
                raise XrayError(f"{unit.service.name} does not start: {unit.state.detail}\n{tail}")

    def _deploy(self, store: Databases, prefect: str) -> None:
        """Make pools, deployments and automations; in a process of its own, as it imports all flows."""
        from flows.standing.services import base_environment, prefect_client

        environment = base_environment(self.stack, store, self.options)
        environment |= {**prefect_client(self.stack, prefect), nursery.SERVICE: "deploy"}
        with self.stack.log("deploy").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "flows.standing.deploy"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        for _ in self._until(lambda: process.poll() is not None):
            pass
        if process.poll() is None:
            process.kill()
            process.wait()
        elif process.returncode:
            tail = self.stack.log("deploy").read_text(errors="replace")[-1500:]
            raise XrayError(f"the deployments could not be registered:\n{tail}")

    def _add(self, services: list[Service]) -> None:
        for service in services:
            state = ServiceState(service.name)
            self.units.append(Unit(service, self.stack, state))
        self.state.services = [unit.state for unit in self.units]

    def _stop_all(self) -> None:
        """Workers first: their flow runs tell the servers how they ended. Then what the runs are forks of, then servers.

        All at once where nothing has run yet.
        """
        last_first = self.units[::-1]
        if not self.has_been_ready:
            for unit in last_first:
                unit.ask_to_stop()
            psutil.wait_procs(
                [psutil.Process(unit.process.pid) for unit in last_first if unit.process], EARLY_SECONDS
            )
            nursery.kill(nursery.marked(str(self.stack.home)))
        workers = [k for k in last_first if not k.service.health and not k.service.sign]
        signed = [k for k in last_first if k.service.sign]
        for group in (workers, signed, [k for k in last_first if k.service.health]):
            for unit in group:
                unit.ask_to_stop()
            for unit in group:
                unit.stop()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if not self.units and not self.stopping:  # a database or its tables are waited for
            self.stopping = True
            raise Stopped(number)
        self.stopping = True

    def _write(self) -> None:
        now = json.dumps(asdict(self.state))
        if now != self._last_state:
            self.stack.write_state(self.state)
            self._last_state = now


def rotate(log: Path) -> None:
    """Move a log that has grown large aside; it is emptied in place, as the service appends to it."""
    with contextlib.suppress(OSError):
        if log.stat().st_size > LOG_BYTES:
            log.with_suffix(".log.1").write_bytes(log.read_bytes())
            os.truncate(log, 0)


def main(arguments: list[str]) -> int:
    """Run a stack; 0 when it was told to stop, 1 where it could not be brought up, 3 where another one runs here."""
    logs.start()
    stack = this_stack()
    options = Options(**json.loads(arguments[0])) if arguments else Options()
    with stack.lock() as is_ours:
        if not is_ours:
            return 3
        state = State(os.getpid(), "starting", time.time(), asdict(options))
        stack.write_state(state)
        _log.info("starting with %s", options)
        try:
            Supervisor(stack, options, state).run()
        except (XrayError, OSError) as error:
            _log.error("failed: %s", error)
            state.phase, state.detail = "failed", str(error)
            stack.write_state(state)
            return 1
        stack.clear_state()
        _log.info("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
