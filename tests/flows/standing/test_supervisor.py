"""The supervisor of a stack looks after one service."""

import subprocess
import time

from flows.standing.place import ServiceState, Stack
from flows.standing.services import Service
from flows.standing.supervisor import Unit


def test_a_clock_that_jumps_stops_no_service(tmp_path, monkeypatch):
    """The time of day is for people; what has lasted how long is told by a clock that nobody sets."""
    service = Service("slow", ("true",), {}, health="http://127.0.0.1:1/health")
    process = subprocess.Popen(["sleep", "60"])
    unit = Unit(service, Stack(tmp_path), ServiceState("slow"), process)
    try:
        unit._now("starting", process.pid)
        began = time.time()
        monkeypatch.setattr(time, "time", lambda: began + 86400)
        unit.tend()
        assert unit.state.phase == "starting"
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
