"""Models and their summary metrics in MLflow. The only code that imports mlflow.

One run per model, tagged with the model's key; one registered version per run, in the registry under STUDY.CONFIGURATION,
with the alias `seed-N`; `best` is the version with the highest validation AUC among those of the seeds. Scores of images
are not metrics: they are predictions, in PostgreSQL.
"""

import contextlib
import json
import logging
import os
import re
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import mlflow
import numpy as np
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
from mlflow.tracking import MlflowClient
from mlflow.types import Schema, TensorSpec
from mlflow.utils.file_utils import local_file_uri_to_path
from sqlalchemy.orm import configure_mappers

from db.alone import alone
from xray.durable import folder_of, settle_files
from xray.errors import LearningError
from xray.home import is_long, widen
from xray.learning.hashes import WEIGHTS, write_sums
from xray.settings import provenance

if TYPE_CHECKING:
    from xray.learning.network import Network

# what it tells of a lost connection, with a traceback, is raised as well, and tried again
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
logging.getLogger("mlflow.system_metrics").setLevel(logging.CRITICAL)

KEY_TAG = "xray.model_key"
FLOW_RUN_TAG = "xray.flow_run"
AUC_TAG = "xray.validation_auc"
CARD = "model_card.md"
NOTE = "mlflow.note.content"
"""The tag that MLflow shows as a description of a run or an experiment."""
_LONGEST: Final = 5000
"""Letters of a tag of an experiment."""
_NOT_IN_A_METRIC: Final = re.compile(r"[^A-Za-z0-9_. -]")
LARGE = 128
"""Pixels along a side from which a model that is trained here has an example of its input: it takes a tenth of a second to
write, which is nothing beside such a training."""
RACES = 8
"""So many processes at most may be first, one after the other, with the datasets of a run."""


@dataclass(frozen=True)
class Input:
    """A cohort that a model is trained on, as MLflow shows it: name, content hash, part ("train" or "validation"), size."""

    name: str
    digest: str
    part: str
    n_images: int


@dataclass(frozen=True)
class Registered:
    """Where a finished model is: its run and its version in the registry; and the content hash of its file."""

    run_id: str
    model: str
    version: int
    sha256: str


@contextlib.contextmanager
def _alone(url: str, task: str) -> Iterator[None]:
    """One process at a time does `what`.

    MLflow makes the tables of an empty database when it is first opened, and an alias or a version of a model after it has
    looked whether there is one: two that do it at once fail.
    """
    if not url.startswith("postgresql"):
        yield
        return
    with alone(url, f"mlflow {task}"):
        yield


def import_all() -> None:
    """What MLflow imports and looks up when it is first used with a database and a model, two seconds of CPU.

    For a process that others are forks of. No connection is opened.
    """
    import mlflow.pyfunc
    import mlflow.store.model_registry.sqlalchemy_store
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
    from mlflow.utils.requirements_utils import warn_dependency_requirement_mismatches

    configure_mappers()
    warn_dependency_requirement_mismatches(["xray"])


def migrate(url: str) -> None:
    """Make MLflow's tables, or bring them to the installed version; as the owner of its database."""
    from mlflow.db import upgrade

    upgrade.main([url], standalone_mode=False)


class Tracker:
    """MLflow of one installation: `url` is its database, `artifacts` the folder of new artifacts.

    `artifacts` may be an object store's URI. Every call names its run: MLflow's active run is thread-local. client: MLflow's
    own, of that database.
    """

    def __init__(self, url: str, artifacts: Path | str) -> None:
        self._artifacts = artifacts.as_uri() if isinstance(artifacts, Path) else artifacts
        mlflow.set_tracking_uri(url)
        mlflow.set_registry_uri(url)
        self._url = url
        with _alone(url, "tables"):
            self.client = MlflowClient(url, url)

    def experiment(self, name: str) -> str:
        """The id of the experiment of this name, made where it is missing."""
        experiment = self.client.get_experiment_by_name(name)
        if experiment is not None:
            return str(experiment.experiment_id)
        if is_long(self._artifacts):
            with _alone(self._url, "tables"):
                widen(self._url)
        try:
            return str(self.client.create_experiment(name, artifact_location=f"{self._artifacts}/{name}"))
        except MlflowException:  # another process made it in between
            experiment = self.client.get_experiment_by_name(name)
            if experiment is None:
                raise
            return str(experiment.experiment_id)

    def start(
        self, study: str, name: str, key: str, params: Mapping[str, Any], inputs: Sequence[Input]
    ) -> str:
        """Begin the run of one model and return its id; what an earlier, unfinished try of `key` left is removed."""
        experiment = self.experiment(study)
        self._discard(experiment, key)
        tags = {KEY_TAG: key, "xray.study": study, **_origin()}
        run = self.client.create_run(experiment, run_name=name, tags=tags)
        run_id = str(run.info.run_id)
        self.client.log_batch(run_id, params=[Param(k, str(v)) for k, v in params.items()])
        self.log_inputs(run_id, [dataset_input(entry) for entry in inputs])
        return run_id

    def log_inputs(self, run_id: str, inputs: list[DatasetInput]) -> None:
        """All of them or none. MLflow looks for a dataset and then makes it: another process may have made it in between."""
        for _ in range(RACES):
            try:
                return self.client.log_inputs(run_id, inputs)
            except MlflowException as error:
                if "UniqueViolation" not in str(error):
                    raise
        return self.client.log_inputs(run_id, inputs)

    def metrics(self, run_id: str, values: Mapping[str, float], step: int, milliseconds: int) -> None:
        """Log the metrics of one epoch; undefined ones (NaN) are left out."""
        logged = [Metric(k, v, milliseconds, step) for k, v in values.items() if v == v]
        self.client.log_batch(run_id, metrics=logged)

    def finish(
        self,
        run_id: str,
        network: "Network",
        model: str,
        alias: str,
        validation_auc: float = float("nan"),
        card: str = "",
    ) -> Registered:
        """Store the weights, register a version of `model` that `alias` points at, and end the run.

        card: Markdown, kept beside the weights and shown with the version. The alias `best` goes to the version of the
        highest validation AUC among those that the seeds' aliases point at.
        """
        from xray.learning.network import save

        with (
            tempfile.TemporaryDirectory() as folder,
            mlflow.start_run(run_id=run_id),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter(
                "ignore", UserWarning
            )  # wants an example and type hints; the signature is given
            save(network, Path(folder) / WEIGHTS)
            digest = write_sums(Path(folder), WEIGHTS)
            logged = mlflow.pyfunc.log_model(
                name="model",
                loader_module="xray.learning.serving",
                data_path=folder,
                signature=_signature(network.image_size, len(network.findings)),
                pip_requirements=["xray"],
                **(_example(network.image_size) if network.image_size >= LARGE else {}),
            )
        if card:
            self.client.log_text(run_id, card, CARD)
        self._settle()
        with _alone(self._url, model):
            with contextlib.suppress(MlflowException):  # it is there already
                self.client.create_registered_model(model)
            version = self.client.create_model_version(
                model,
                logged.model_uri,
                run_id,
                tags={} if np.isnan(validation_auc) else {AUC_TAG: repr(validation_auc)},
                description=card or None,
                model_id=logged.model_id,
            ).version
            self.client.set_registered_model_alias(model, alias, str(version))
            self._point_at_best(model)
        return Registered(run_id, model, int(version), digest)

    def _settle(self) -> None:
        """What was logged is on the disk, before anybody is told of the model."""
        artifacts = folder_of(self._artifacts)
        if artifacts is not None and artifacts.is_dir():
            settle_files(artifacts)

    def _point_at_best(self, model: str) -> None:
        aliases = self.client.get_registered_model(model).aliases
        seeds = sorted({int(v) for alias, v in aliases.items() if alias.startswith("seed-")})
        tags = {version: self.client.get_model_version(model, str(version)).tags for version in seeds}
        aucs = {
            version: float(version_tags[AUC_TAG])
            for version, version_tags in tags.items()
            if AUC_TAG in version_tags
        }
        best = max(aucs, key=aucs.__getitem__, default=None)
        if best is not None and int(aliases.get("best", 0)) != best:
            self.client.set_registered_model_alias(model, "best", str(best))

    def fail(self, run_id: str, reason: str) -> None:
        """Mark a run as failed, with the reason as a tag."""
        self.client.set_tag(run_id, "xray.failure", reason)
        self.client.set_terminated(run_id, status="FAILED")

    def experiment_of(self, run_id: str) -> str:
        """The id of the experiment that a run is in."""
        return str(self.client.get_run(run_id).info.experiment_id)

    def end_unfinished(self, flow_run: str, reason: str) -> None:
        """Mark the runs that a flow run left unfinished as killed, with the reason as a tag."""
        experiments = [experiment.experiment_id for experiment in self.client.search_experiments()]
        condition = f"tags.`{FLOW_RUN_TAG}` = '{flow_run}' and attributes.status = 'RUNNING'"
        for run in self.client.search_runs(experiments, condition):
            self.client.set_tag(run.info.run_id, "xray.failure", reason)
            self.client.set_terminated(run.info.run_id, status="KILLED")

    def lost(self, models: Sequence[tuple[str, str, int]]) -> list[str]:
        """For each (run, registered model, version): what of it is not in MLflow, in words; empty where all of it is."""
        return [self._lost(*model) for model in models]

    def _lost(self, run_id: str, model: str, version: int) -> str:
        missing = RESOURCE_DOES_NOT_EXIST
        try:
            run = self.client.get_run(run_id)
            if run.info.lifecycle_stage != "active":
                return f"run {run_id} was deleted"
            model_version = self.client.get_model_version(model, str(version))
        except MlflowException as error:
            if error.error_code != ErrorCode.Name(missing):
                raise
            return f"{model} version {version}, or its run, does not exist"
        return (
            ""
            if model_version.run_id == run_id
            else f"{model} version {version} is of run {model_version.run_id}"
        )

    def weights(self, model: str, version: int) -> Path:
        """The weights file of a registered version of ours; see `file`."""
        return self.file(model, version, WEIGHTS)

    def file(self, model: str, version: int, name: str) -> Path:
        """The file `name` of a registered version, downloaded where it is not on this machine.

        Raises `LearningError` where MLflow has no such version, or no such file in it. What it holds is not asked: see
        `xray.learning.weights`.
        """
        try:
            uri = self.client.get_model_version_download_uri(model, str(version))
        except MlflowException:
            raise LearningError(f"MLflow has no version {version} of {model}") from None
        try:
            folder = Path(mlflow.artifacts.download_artifacts(f"models:/{model}/{version}"))
        except (MlflowException, OSError):
            folder = None
        files = sorted(folder.rglob(name)) if folder is not None else []
        if not files:
            location = local_file_uri_to_path(uri) if uri.startswith("file:") else uri
            raise LearningError(f"its file {name} is missing in {location}")
        return files[0]

    def keep(
        self,
        experiment: str,
        name: str,
        folder: Path,
        loader: str,
        image_size: int,
        n_findings: int,
        params: Mapping[str, Any],
        digest: str,
    ) -> Registered:
        """Store a folder as the model that the module `loader` loads, and register a version of it: for foreign models.

        digest: content hash of the model's file.
        """
        run = self.client.create_run(self.experiment(experiment), run_name=name)
        run_id = str(run.info.run_id)
        self.client.log_batch(run_id, params=[Param(k, str(v)[:500]) for k, v in params.items()])
        with mlflow.start_run(run_id=run_id), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            logged = mlflow.pyfunc.log_model(
                name="model",
                loader_module=loader,
                data_path=str(folder),
                signature=_signature(image_size, n_findings),
                pip_requirements=["xray"],
                **_example(image_size),
            )
        self._settle()
        model = f"{experiment}.{name}"
        with _alone(self._url, model):
            with contextlib.suppress(MlflowException):  # it is there already
                self.client.create_registered_model(model)
            version = self.client.create_model_version(
                model, logged.model_uri, run_id, model_id=logged.model_id
            ).version
        return Registered(run_id, model, int(version), digest)

    def describe(self, study: str, note: str, tags: Mapping[str, str]) -> None:
        """What the experiment of a study is: a description in Markdown, and tags. What it says already is not said again."""
        experiment = self.client.get_experiment(self.experiment(study))
        notes = {key: value[:_LONGEST] for key, value in {NOTE: note, **tags}.items()}
        for key, value in notes.items():
            if experiment.tags.get(key) != value:
                self.client.set_experiment_tag(experiment.experiment_id, key, value)

    def report(
        self,
        study: str,
        name: str,
        folder: Path,
        note: str = "",
        metrics: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        """Keep the files of a folder (figures, page, tables) as artifacts of one run per study, replacing the last ones.

        note: the run's description, in Markdown. metrics: its headline; undefined ones (NaN) are left out.
        """
        experiment = self.experiment(study)
        runs = self.client.search_runs([experiment], f"tags.`xray.report` = '{name}'", max_results=1)
        run = (
            runs[0] if runs else self.client.create_run(experiment, run_name=name, tags={"xray.report": name})
        )
        now = int(time.time() * 1000)
        points = [Metric(key, value, now, 0) for key, value in metrics.items() if value == value]
        self.client.log_batch(run.info.run_id, metrics=points, tags=[RunTag(NOTE, note)] if note else [])
        self.client.log_artifacts(run.info.run_id, str(folder), name)
        self.client.set_terminated(run.info.run_id)

    @contextlib.contextmanager
    def system_metrics(self, run_id: str) -> Iterator[None]:
        """Log the use of processor, memory, disk, network and GPU to a run for the time of a block, every ten seconds.

        A shorter block has one sample.
        """
        monitor = SystemMetricsMonitor(run_id, tracking_uri=self._url)
        monitor.start()
        try:
            yield
        finally:
            monitor.finish()
            if not monitor._logging_step:  # it was over before the first was due
                monitor.publish_metrics(monitor.aggregate_metrics())
                monitor.mlflow_logger.flush()

    def _discard(self, experiment: str, key: str) -> None:
        """Remove what an earlier try of this model left: its runs, logged models, and versions that were never recorded."""
        for run in self.client.search_runs([experiment], f"tags.`{KEY_TAG}` = '{key}'"):
            for version in self.client.search_model_versions(f"run_id = '{run.info.run_id}'"):
                self.client.delete_model_version(version.name, version.version)
            for model in self.client.search_logged_models(
                [experiment], f"source_run_id = '{run.info.run_id}'"
            ):
                self.client.delete_logged_model(model.model_id)
            self.client.delete_run(run.info.run_id)


def _origin() -> dict[str, str]:
    """Tags that say which flow run and worker a run belongs to, and the commit of the code."""
    origin = provenance()
    return {f"xray.{key}": origin[key] for key in ("flow_run", "worker", "host", "commit") if key in origin}


def metric_word(text: str) -> str:
    """A finding as a part of a metric's name: MLflow takes few characters there, others become "_"."""
    return _NOT_IN_A_METRIC.sub("_", text)


def dataset_input(cohort: Input) -> DatasetInput:
    """A cohort as an input of a run."""
    dataset = Dataset(
        name=cohort.name,
        digest=cohort.digest[:36],
        source_type="xray",
        source=json.dumps({"cohort": cohort.name, "part": cohort.part, "content_hash": cohort.digest}),
        profile=json.dumps({"images": cohort.n_images}),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", cohort.part)])


def _example(image_size: int) -> dict[str, Any]:
    """One grey picture, which MLflow keeps with a model as what may be given to it."""
    return {"input_example": np.zeros((1, 1, image_size, image_size), np.float32)}


def _signature(image_size: int, n_findings: int) -> ModelSignature:
    """Pixels (n, 1, size, size) to logits (n, n_findings). Without names: MLflow hands named tensors on as a dict."""
    pixels = TensorSpec(np.dtype(np.float32), (-1, 1, image_size, image_size))
    logits = TensorSpec(np.dtype(np.float32), (-1, n_findings))
    return ModelSignature(Schema([pixels]), Schema([logits]))
