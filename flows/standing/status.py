"""What `xray status` tells: of the supervisor, of Prefect's queue, and of our own database."""

import re
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from flows.standing.api import Api
from flows.standing.place import Stack, client_environment
from flows.standing.recovery import POOLS

SHOWN: Final = 5
"""Failed flow runs that are told of."""
LONGEST: Final = 300
"""Letters of a reason."""
WRAPPED: Final = re.compile(
    r"^(Flow|Task) run encountered an exception:?\s*([A-Za-z_.]+(Error|Exception|Exit): )?"
)


def report(stack: Stack) -> dict[str, Any]:
    """phase, detail, home, services, queue, failures and missing; queue and missing are None where they can't be asked
    for.
    """
    state = stack.running()
    if state is None:
        last = stack.state()
        failed = last is not None and last.phase == "failed"
        detail = last.detail if failed and last else "xray up starts it"
        return {
            "phase": "failed" if failed else "not running",
            "detail": detail,
            "home": str(stack.home),
            "services": [],
            "queue": None,
            "failures": [],
            "missing": None,
        }
    own = client_environment(stack, state)
    api = Api(own.get("PREFECT_API_URL", ""), own.get("PREFECT_API_AUTH_STRING", ""))
    return {
        "phase": state.phase,
        "detail": state.detail,
        "home": str(stack.home),
        "since": datetime.fromtimestamp(state.since, UTC).isoformat(),
        "services": [asdict(service) for service in state.services],
        "queue": _queue(api),
        "failures": _failures(api),
        "missing": _missing(),
    }


def _failures(api: Api) -> list[dict[str, str]]:
    """The flow runs that failed or crashed within a day, the last one first: flow, name, time and the reason in a line."""
    since = datetime.now(UTC) - timedelta(days=1)
    filters = {
        "flow_runs": {
            "state": {"type": {"any_": ["FAILED", "CRASHED"]}},
            "end_time": {"after_": since.isoformat()},
        },
        "work_pools": {"name": {"any_": list(POOLS)}},
        "sort": "END_TIME_DESC",
        "limit": SHOWN,
    }
    try:
        flows = {flow["id"]: flow["name"] for flow in api.post("/flows/filter", {})}
        return [
            {
                "flow": flows.get(run["flow_id"], "flow"),
                "run": str(run["name"]),
                "time": str(run["end_time"]),
                "reason": reason_of(str((run.get("state") or {}).get("message") or "")),
            }
            for run in api.post("/flow_runs/filter", filters)
        ]
    except (OSError, ValueError):
        return []


def reason_of(message: str) -> str:
    """Why a run ended, in one line, from what Prefect says of it: without its own words and the name of the exception."""
    text = WRAPPED.sub("", message.strip())
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    line = lines[0] if lines else "no reason is known: see xray logs"
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"


def _queue(api: Api) -> dict[str, int] | None:
    now = datetime.now(UTC)
    late = {"before_": now.isoformat()}
    today = {"after_": (now - timedelta(days=1)).isoformat()}
    try:
        return {
            "running": _count(api, {"state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}}),
            "waiting": _count(api, {"state": {"type": {"any_": ["SCHEDULED"]}}, "expected_start_time": late}),
            "crashed": _count(api, {"state": {"type": {"any_": ["CRASHED"]}}, "end_time": today}),
        }
    except (OSError, ValueError):
        return None


def _count(api: Api, flow_runs: dict[str, Any]) -> int:
    pools = {"name": {"any_": list(POOLS)}}
    return int(api.post("/flow_runs/count", {"flow_runs": flow_runs, "work_pools": pools}))


def _missing() -> dict[str, int] | None:
    from sqlalchemy import text
    from sqlalchemy.exc import DBAPIError

    from flows.platform import storage
    from xray.errors import XrayError
    from xray.plan import stale_studies

    try:
        with storage() as databases, databases.engine().begin() as connection:
            evaluations = connection.scalar(text("select count(*) from missing_evaluations"))
            return {"evaluations": int(evaluations or 0), "stale_studies": len(stale_studies(connection))}
    except (XrayError, DBAPIError):
        return None
