"""Events that others can act on: something was registered. Told to Prefect's API where one can be reached."""

import socket
import uuid
from datetime import UTC, datetime
from typing import Any, Final

from flows.standing.api import Api
from flows.standing.place import client_environment, this_stack

REGISTERED: Final = ("xray.dataset.registered", "xray.cohort.registered", "xray.model.registered")
SECONDS: Final = 5.0


def announce(kind: str, name: str, **payload: Any) -> bool:
    """Tell that a dataset, a cohort or a model was registered; whether anybody heard it. Never raises.

    kind: "dataset", "cohort" or "model". Asks PREFECT_API_URL, else the standing stack of this home.
    """
    try:
        api = _reachable()
        if api is None:
            return False
        api.post("/events", [_event(kind, name, payload)], timeout=SECONDS)
    except (OSError, ValueError):
        return False
    return True


def _reachable() -> Api | None:
    api = Api.of_environment()
    if api is not None:
        return api
    stack = this_stack()
    state = stack.running()
    if state is None:
        return None
    own = client_environment(stack, state)
    if "PREFECT_API_URL" not in own:
        return None
    return Api(own["PREFECT_API_URL"], own.get("PREFECT_API_AUTH_STRING", ""))


def _event(kind: str, name: str, payload: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": str(uuid.uuid4()),
        "occurred": datetime.now(UTC).isoformat(),
        "event": f"xray.{kind}.registered",
        "resource": {"prefect.resource.id": f"xray.{kind}.{name}", "prefect.resource.name": name},
        "related": [],
        "payload": {"name": name, "host": socket.gethostname(), **payload},
    }
