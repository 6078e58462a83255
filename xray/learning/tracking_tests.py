"""Where models fail, in MLflow: AUCs of test cohorts as metrics of logged models, each tied to its dataset.

A metric is named `test_auc/DATASET/FINDING`, and `test_auc/DATASET` is the mean of a dataset's: the columns of the study's
experiment rank its models by test set, and so does `search_logged_models`. They stand at the model's own run and version. A
model from elsewhere stands in the study's experiment too, as an external model, so that it ranks beside those trained here.
"""

import hashlib
import json
import time
import warnings
from collections.abc import Sequence
from statistics import fmean
from typing import Any, Final

import mlflow
from mlflow.entities import Metric

from xray.learning.tested import ModelAucs
from xray.learning.tracking import Tracker, dataset_input, metric_word

TAG: Final = "xray.tests."
"""With a study's name: of a logged model, the hash of what was logged of it."""
FOREIGN_TAG: Final = "xray.foreign"
AUC: Final = "test_auc"
BATCH: Final = 1000
"""Metrics that MLflow takes at once."""


def log_tests(tracker: Tracker, study: str, models: Sequence[ModelAucs]) -> int:
    """Log the AUCs of a study's models; of how many models they were new. Those that MLflow has are not logged again."""
    experiment = tracker.experiment(study)
    elsewhere = [model for model in models if model.foreign]
    experiments = [experiment, *([tracker.experiment("foreign")] if any(m.run_id for m in elsewhere) else [])]
    logged = _logged_models(tracker, experiments)
    count = 0
    for model in models:
        if model.run_id is not None:
            count += _log(tracker, study, model, model.run_id, logged.get(model.run_id))
    for model in elsewhere:
        run_id, logged_model = _external(tracker, experiment, model, logged)
        count += _log(tracker, study, model, run_id, logged_model)
    return count


def metrics_of(model: ModelAucs) -> list[tuple[str, str, float]]:
    """(metric, dataset, value) of each AUC of a model and of the mean of each dataset's."""
    rows = [
        (f"{AUC}/{dataset}/{metric_word(task)}", dataset, value)
        for (dataset, task), value in model.auc.items()
    ]
    for cohort in model.cohorts:
        values = [value for (dataset, _), value in model.auc.items() if dataset == cohort.name]
        rows.append((f"{AUC}/{cohort.name}", cohort.name, fmean(values)))
    return rows


def _logged_models(tracker: Tracker, experiments: list[str]) -> dict[str, Any]:
    """The logged models of experiments, by their runs; a run's last one counts."""
    models: dict[str, Any] = {}
    token = None
    while True:
        page = tracker.client.search_logged_models(experiments, page_token=token)
        models |= {str(model.source_run_id): model for model in reversed(page)}
        token = page.token
        if not token:
            return models


def _external(tracker: Tracker, experiment: str, model: ModelAucs, logged: dict[str, Any]) -> tuple[str, Any]:
    """The run and the external logged model by which a model from elsewhere stands in a study's experiment."""
    condition = f"tags.`{FOREIGN_TAG}` = '{model.name}'"
    for run in tracker.client.search_runs([experiment], condition):
        if run.info.run_id in logged:
            return run.info.run_id, logged[run.info.run_id]
    tags = {FOREIGN_TAG: model.name, **({"xray.version": model.version} if model.version else {})}
    run_id = tracker.client.create_run(experiment, run_name=model.name, tags=tags).info.run_id
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        logged_model = mlflow.create_external_model(
            name=model.name, source_run_id=run_id, experiment_id=experiment, tags=tags
        )
    tracker.client.set_terminated(run_id)
    return run_id, logged_model


def _log(tracker: Tracker, study: str, model: ModelAucs, run_id: str, logged: Any) -> bool:
    """Log the AUCs of a model at a run and its logged model; whether they were new."""
    rows = metrics_of(model)
    content = json.dumps([sorted(rows), sorted((c.name, c.digest) for c in model.cohorts)])
    fingerprint = hashlib.sha256(content.encode()).hexdigest()
    if logged is None or logged.tags.get(f"{TAG}{study}") == fingerprint:
        return False
    if tracker.client.get_run(run_id).info.lifecycle_stage != "active":
        return False  # somebody deleted it in MLflow, which takes nothing more for it
    inputs = {cohort.name: dataset_input(cohort) for cohort in model.cohorts}
    tracker.log_inputs(run_id, list(inputs.values()))
    now = int(time.time() * 1000)
    metrics = [
        Metric(
            name,
            value,
            now,
            0,
            model_id=logged.model_id,
            dataset_name=inputs[dataset].dataset.name,
            dataset_digest=inputs[dataset].dataset.digest,
            run_id=run_id,
        )
        for name, dataset, value in rows
    ]
    for start in range(0, len(metrics), BATCH):
        tracker.client.log_batch(run_id, metrics=metrics[start : start + BATCH])
    tracker.client.set_logged_model_tags(logged.model_id, {f"{TAG}{study}": fingerprint})
    return True
