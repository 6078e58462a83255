"""What a flow run shows in Prefect's web interface, and the order that it leaves behind when it ends early."""

import base64
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from flows.standing.api import Api
from flows.standing.place import this_stack

FIGURES: Final = ("auc", "leave_one_site_out", "images_or_labels")
"""Those that are shown there; a hundred kilobytes each."""


def results(study: str, rows: list[dict[str, Any]], folder: str) -> None:
    """The AUC table of a study and its main figures as artifacts, and a link to its page."""
    from prefect.artifacts import create_image_artifact, create_link_artifact, create_table_artifact

    create_table_artifact(
        key=_key(f"auc-{study}"), table=rows, description=f"AUC of ensembles of study {study}"
    )
    if folder:
        link = f"file://{folder}/report.html"
        create_link_artifact(
            key=_key(f"report-{study}"), link=link, link_text="figures and page", description=folder
        )
    for name in FIGURES if folder else ():
        file = Path(folder) / f"{name}.png"
        if (
            file.exists()
        ):  # in the artifact itself: a browser opens no file for a page that came from a server
            picture = f"data:image/png;base64,{base64.b64encode(file.read_bytes()).decode()}"
            create_image_artifact(picture, _key(f"figure-{name}-{study}"), f"{name} of study {study}")


def is_watched() -> bool:
    """Whether Prefect's server outlives this run, so that somebody can look at what it shows."""
    return not os.environ.get("XRAY_PREFECT_ENDS")


def models(identifiers: list[int]) -> None:
    """The models that this run asked for, with links to their MLflow runs."""
    from flows.platform import storage
    from xray import settings
    from xray.learning.tracking import Tracker

    rows = _rows("shown_models", {"ids": identifiers})
    with storage() as databases:
        tracker = Tracker(databases.mlflow, settings.artifacts())
        for row in rows:
            row["mlflow"] = _mlflow(tracker.experiment_of(row["mlflow_run_id"]), row["mlflow_run_id"])
    _table("models", rows, "Models of this run, and their MLflow runs")


def evaluations() -> None:
    """The evaluations that this run wrote."""
    from prefect.runtime import flow_run

    rows = _rows("shown_evaluations", {"flow_run": str(flow_run.get_id())})
    _table("evaluations", rows, "Evaluations that this run wrote")


def call_off_waiting() -> None:
    """Cancel the runs of this deployment that are due and wait: they would find nothing to do after this one."""
    from prefect.runtime import deployment, flow_run

    api, own = Api.of_environment(), deployment.get_id()
    if api is None or not own:
        return
    filters = {
        "deployments": {"id": {"any_": [str(own)]}},
        "flow_runs": {
            "state": {"type": {"any_": ["SCHEDULED", "PENDING"]}},
            "expected_start_time": {"before_": datetime.now(UTC).isoformat()},
        },
    }
    for run in api.post("/flow_runs/filter", filters):
        if run["id"] != str(flow_run.get_id()):
            state = {"type": "CANCELLED", "name": "Cancelled", "message": "another run does its work"}
            api.post(f"/flow_runs/{run['id']}/set_state", {"state": state, "force": True})


def tidy(flow: Any, flow_run: Any, state: Any) -> None:
    """After a run was cancelled or crashed: MLflow's runs that it left unfinished are told so."""
    from flows.platform import storage
    from xray import settings
    from xray.learning.tracking import Tracker

    with storage() as databases:
        Tracker(databases.mlflow, settings.artifacts()).end_unfinished(str(flow_run.id), str(state.name))


def _rows(name: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    from sqlalchemy import text

    from db.queries import query
    from flows.platform import storage

    with storage() as databases, databases.engine().begin() as connection:
        answer = connection.execute(text(query(name)), parameters)
        return [dict(row) for row in answer.mappings()]


def _table(key: str, rows: list[dict[str, Any]], description: str) -> None:
    from prefect.artifacts import create_table_artifact

    if rows:
        create_table_artifact(key=key, table=rows, description=description)


def _mlflow(experiment: str, run: str) -> str:
    """Where MLflow's web interface shows a run; its id where none is open."""
    url = os.environ.get("XRAY_MLFLOW_UI")
    if url is None and (state := this_stack().running()):
        url = state.url("mlflow")
    return f"{url}/#/experiments/{experiment}/runs/{run}" if url else run


def _key(text: str) -> str:
    """An artifact's key: lower-case letters, digits and dashes."""
    return "".join(c if c.isalnum() and c.isascii() else "-" for c in text.lower())
