"""What is tried again, and what fails at once."""

import psycopg2
import pytest
import sqlalchemy.exc
from mlflow.exceptions import MlflowException

from flows.retry import DELAYS, PATIENT, can_pass
from xray.errors import DatabaseError, DataError


def chained(outer: Exception, inner: Exception) -> Exception:
    try:
        try:
            raise inner
        except Exception:
            raise outer from None
    except Exception as error:
        return error


LOST = sqlalchemy.exc.OperationalError(
    "select 1", {}, psycopg2.OperationalError("server closed the connection")
)


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (LOST, True),
        (psycopg2.errors.AdminShutdown("terminating connection"), True),
        (chained(DatabaseError("can't connect to database"), LOST), True),
        (chained(RuntimeError("x"), ConnectionResetError()), True),
        (TimeoutError(), True),
        (DataError("labels.csv: row 3"), False),
        (chained(DataError("labels.csv: row 3"), KeyError("a")), False),
        (FileNotFoundError("gone.png"), False),
        (sqlalchemy.exc.IntegrityError("insert", {}, psycopg2.IntegrityError("doubled")), False),
        (None, False),
    ],
)
def test_only_lost_connections_are_retried(error, passes):
    assert can_pass(error) is passes


def test_an_mlflow_error_is_retried_by_its_error_code():
    from mlflow.protos.databricks_pb2 import BAD_REQUEST, TEMPORARILY_UNAVAILABLE

    assert can_pass(MlflowException("db away", error_code=TEMPORARILY_UNAVAILABLE))
    assert not can_pass(MlflowException("no", error_code=BAD_REQUEST))


def test_every_task_retries_for_two_minutes():
    from prefect import Task

    from flows import tasks

    own = [value for value in vars(tasks).values() if isinstance(value, Task)]
    assert len(own) > 8
    for task in own:
        assert task.retries == len(DELAYS)
        assert task.retry_condition_fn is PATIENT["retry_condition_fn"]
    assert sum(DELAYS) >= 120
