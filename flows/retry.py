"""What is tried again: failures that pass by themselves, such as a server that is being started again."""

from collections.abc import Iterator
from typing import Any, Final

DELAYS: Final = (1, 2, 4, 8, 15, 30, 60)
"""Seconds before each further try; together two minutes, longer than a server takes to come back."""
_PASSING: Final = frozenset(
    {
        "psycopg2.OperationalError",
        "psycopg2.InterfaceError",
        "sqlalchemy.exc.OperationalError",
        "sqlalchemy.exc.InterfaceError",
        "httpx.TransportError",
        "requests.exceptions.ConnectionError",
        "urllib3.exceptions.HTTPError",
        "botocore.exceptions.ConnectionError",
        "botocore.exceptions.EndpointConnectionError",
        "builtins.ConnectionError",
        "builtins.TimeoutError",
    }
)
"""Names of classes, so that none of these libraries has to be imported to be told."""


def can_pass(error: BaseException | None) -> bool:
    """Whether an error comes from a connection that was lost or refused: trying again may help.

    Bad data never does, and a full disk does not become empty by waiting.
    """
    return any(_is_passing(cause) for cause in _chain(error)) and not any(
        _is_full(cause) for cause in _chain(error)
    )


def _is_full(error: BaseException) -> bool:
    return any(phrase in str(error) for phrase in ("No space left on device", "Disk quota exceeded"))


def _is_passing(error: BaseException) -> bool:
    if getattr(error, "error_code", None) == "TEMPORARILY_UNAVAILABLE":  # MLflow's database
        return True
    names = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}
    return bool(names & _PASSING)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it came from."""
    ids: set[int] = set()
    while error is not None and id(error) not in ids:
        ids.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _try_again(task: Any, task_run: Any, state: Any) -> bool:
    """Prefect asks this with the failed state, whose data is the exception."""
    return isinstance(state.data, BaseException) and can_pass(state.data)


PATIENT: Final[dict[str, Any]] = {
    "retries": len(DELAYS),
    "retry_delay_seconds": list(DELAYS),
    "retry_jitter_factor": 0.2,
    "retry_condition_fn": _try_again,
}
"""Options of every task of ours."""
