"""One model, asked for by a study: trained, tracked and recorded once, whoever asks and however often."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from sqlalchemy import Connection, Engine, text
from sqlalchemy.dialects.postgresql import insert

from db.findings import put_findings, put_list
from db.schema import Model, TrainingCohort
from db.store import StoredCohort, list_hash, put_image_list, write_classifier
from xray.data import leakage
from xray.data.cohorts import store_protocol
from xray.data.pictures import pixel_cache
from xray.data.protocol import Protocol, load_protocol
from xray.data.registered import RegisteredDataset
from xray.data.spelling import spelled
from xray.data.split import validation_cut
from xray.errors import LearningError
from xray.learning.card import model_card
from xray.learning.device import device
from xray.learning.progress import Epoch
from xray.learning.recipe import Recipe
from xray.learning.request import ModelRequest, PartCohorts, find_model, model_key, part_cohorts
from xray.learning.tracking import Input, Registered, Tracker, metric_word
from xray.learning.train import Part, Trained, train
from xray.pixels.pool import Pool
from xray.settings import hardware, provenance


def ensure_model(
    engine: Engine, tracker: Tracker, home: Path, request: ModelRequest, *, bar: bool = False
) -> tuple[int, bool]:
    """The model that is asked for, and whether it had to be trained now.

    Holds a lock on the model's key meanwhile: whoever asks for the same model waits and finds it done. A killed training
    goes on from its checkpoint; the unfinished MLflow run that it left is made anew. bar: show progress.

    Processes that `accelerate launch` started together train one model together. The first of them asks, tracks and records;
    the others get its answer.
    """
    together = PartialState(cpu=not torch.cuda.is_available())
    if not together.is_main_process:
        return _take_part(engine, home, request)
    with engine.connect() as lock:
        lock.detach()  # it is closed with this block, and so gives its lock back, whatever pool the engine has
        with engine.begin() as connection:
            key = model_key(connection, request)
        if key is None:
            raise LearningError(
                f"{request.trained_on}: its datasets are not all prepared yet: {request.datasets}"
            )
        lock.execute(text("select pg_advisory_lock(hashtextextended(:key, 0))"), {"key": key})
        lock.commit()
        with engine.begin() as connection:
            stored_id = find_model(connection, key)
        _tell((stored_id, key))
        if stored_id is not None:
            return stored_id, False
        model_id = _train(engine, tracker, home, request, key, bar)
        _tell(model_id)
        return model_id, True


def _take_part(engine: Engine, home: Path, request: ModelRequest) -> tuple[int, bool]:
    """What the other processes of a training do: as much of it as the first one needs them for."""
    stored_id, key = _tell(None)
    if stored_id is not None:
        return stored_id, False
    with engine.begin() as connection:
        cohorts = (
            part_cohorts(connection, request, "train"),
            part_cohorts(connection, request, "validation"),
        )
    parts = _parts(*cohorts, home, request)
    train(*parts, request.recipe, request.seed, checkpoint=_checkpoint(home, key), **_outputs(request))
    return _tell(None), True


def _tell(value: Any) -> Any:
    """What the first process says, to every one."""
    message = [value]
    broadcast_object_list(message)
    return message[0]


def _checkpoint(home: Path, key: str) -> Path:
    return home / "checkpoints" / f"{key}.safetensors"


def _heads(request: ModelRequest) -> tuple[str, ...]:
    return request.datasets if request.recipe.heads == "per dataset" else ()


def _outputs(request: ModelRequest) -> dict[str, Any]:
    """What `train` is told of the outputs."""
    return {"heads": _heads(request), "findings": request.findings}


def _train(engine: Engine, tracker: Tracker, home: Path, request: ModelRequest, key: str, bar: bool) -> int:
    recipe, protocol = request.recipe, load_protocol(request.protocol)
    with engine.begin() as connection:
        training = part_cohorts(connection, request, "train")
        validation = part_cohorts(connection, request, "validation")
    name = f"{request.study}.{request.trained_on}"
    params = {
        "trained_on": request.trained_on,
        "seed": request.seed,
        "protocol": protocol.name,
        "tasks": ", ".join(request.tasks) or "all",
        "findings": ", ".join(request.findings),
        "where": ", ".join(map(str, request.where)) or "all images",
        **_flat(recipe),
    }
    inputs = [
        Input(dataset.name, digest, part, len(cohort.images))
        for part, data in (("train", training), ("validation", validation))
        for dataset, cohort, digest in zip(data.datasets, data.cohorts, data.hashes, strict=True)
    ]
    run_id = tracker.start(request.study, f"{request.trained_on}/{request.seed}", key, params, inputs)
    epochs: list[Epoch] = []

    def log(epoch: Epoch) -> None:
        epochs.append(epoch)
        tracker.metrics(run_id, _metrics(epoch, request.findings), epoch.number, int(time.time() * 1000))

    try:
        parts = _parts(training, validation, home, request)
        checkpoint = _checkpoint(home, key)
        with device(home), tracker.system_metrics(run_id):
            trained = train(*parts, recipe, request.seed, log, checkpoint, bar=bar, **_outputs(request))
        card = model_card(request, protocol, trained, training, validation, epochs)
        alias = f"seed-{request.seed}"
        registered = tracker.finish(run_id, trained.network, name, alias, trained.best.mean_auc, card)
    except Exception as error:
        tracker.fail(run_id, f"{type(error).__name__}: {error}")
        raise
    with engine.begin() as connection:
        model_id = _record(connection, request, key, protocol, trained, registered, [training, validation])
    checkpoint.unlink(missing_ok=True)
    return model_id


def _record(
    connection: Connection,
    request: ModelRequest,
    key: str,
    protocol: Protocol,
    trained: Trained,
    registered: Registered,
    cohorts: Sequence[PartCohorts],
) -> int:
    """The model's rows, in the caller's transaction: from here on it exists."""
    auc = trained.best.mean_auc
    model_id = connection.scalar(
        insert(Model)
        .values(
            name=f"{registered.model}/{registered.version}",
            key=key,
            trained_on=request.trained_on,
            seed=request.seed,
            network=request.recipe.network,
            image_size=request.recipe.image_size,
            protocol_id=store_protocol(connection, protocol),
            recipe=asdict(request.recipe),
            mlflow_run_id=registered.run_id,
            mlflow_model=registered.model,
            mlflow_version=registered.version,
            best_epoch=trained.best.number,
            validation_auc=None if np.isnan(auc) else auc,
            provenance={**provenance(), "hardware": hardware(), "processes": PartialState().num_processes},
            configuration=request.configuration.plain(),
            weights_sha256=registered.sha256,
        )
        .returning(Model.id)
    )
    assert model_id is not None
    findings = spelled(connection, trained.network.findings)
    outputs = zip(findings, trained.outputs.tolist(), strict=True)
    put_list(connection, "model", model_id, [name if usable else None for name, usable in outputs])
    rows = [
        {
            "model_id": model_id,
            "cohort_id": cohort.id,
            "image_list_id": _image_list(connection, request, dataset, cohort),
        }
        for part in cohorts
        for dataset, cohort in zip(part.datasets, part.cohorts, strict=True)
    ]
    connection.execute(insert(TrainingCohort), rows)
    if request.where:
        leakage.record(connection, store_protocol(connection, protocol))
    last = trained.network.classifier()
    if last is not None:
        heads = np.argwhere(trained.network.trained)
        weights, bias = (tensor.float().cpu().numpy()[trained.network.trained.ravel()] for tensor in last)
        ids = {dataset.name: dataset.id for dataset in cohorts[0].datasets}
        owners: list[int | None] = [ids[name] for name in trained.network.heads]
        owners = owners or [None]
        tasks = put_findings(connection, findings)
        outputs_of = [(owners[head], tasks[column]) for head, column in heads]
        write_classifier(connection, model_id, outputs_of, weights, bias)
    return model_id


def _image_list(
    connection: Connection, request: ModelRequest, dataset: RegisteredDataset, cohort: StoredCohort
) -> int | None:
    """The image list of what is used of a cohort, None where all of it is."""
    if not request.where:
        return None
    names = dataset.table.rows["image"].iloc[dataset.places(cohort.images)]
    return put_image_list(connection, list_hash([f"{dataset.site}/{name}" for name in names]), cohort.images)


def _part(data: PartCohorts, home: Path, request: ModelRequest, protocol: Protocol) -> Part:
    caches = [
        pixel_cache(dataset, home, request.recipe.image_size, protocol.preprocessing.crop)
        for dataset in data.datasets
    ]
    pool = Pool(caches)
    places = [d.places(c.images) for d, c in zip(data.datasets, data.cohorts, strict=True)]
    positions = np.concatenate([p + offset for p, offset in zip(places, pool.offsets, strict=False)])
    heads = _heads(request)
    counts = [len(cohort.images) for cohort in data.cohorts]
    owner = np.repeat([heads.index(d.name) for d in data.datasets], counts) if heads else None
    return Part(pool, positions, np.concatenate([cohort.labels for cohort in data.cohorts]), owner)


def _parts(
    training: PartCohorts, validation: PartCohorts, home: Path, request: ModelRequest
) -> tuple[Part, Part]:
    """What to fit on and what to select on: the protocol's validation cohorts, or a cut of the run's own by its seed."""
    protocol = load_protocol(request.protocol)
    whole = _part(training, home, request, protocol)
    if validation.cohorts:
        return whole, _part(validation, home, request, protocol)
    fit, select_on = (
        Part(
            whole.pixels,
            whole.positions[rows],
            whole.labels[rows],
            None if whole.owner is None else whole.owner[rows],
        )
        for rows in validation_cut(len(whole.positions), protocol, request.seed)
    )
    return fit, select_on


def _metrics(epoch: Epoch, findings: Sequence[str]) -> dict[str, float]:
    """Names as MLflow shows them: `validation_auc` is the mean over tasks, one more per task; `waiting` the share of the
    time that was spent waiting for input. MLflow takes few characters in names: others of a finding become "_".
    """
    per_task = {
        f"validation_auc/{metric_word(finding)}": float(value)
        for finding, value in zip(findings, epoch.validation_auc, strict=True)
    }
    return {
        "loss": epoch.loss,
        "validation_auc": epoch.mean_auc,
        "seconds": epoch.seconds,
        "waiting": epoch.waiting,
        **per_task,
    }


def _flat(recipe: Recipe) -> dict[str, object]:
    """The recipe as flat MLflow parameters: `augmentation.rotation` and so on."""
    plain = asdict(recipe)
    augmentation = plain.pop("augmentation")
    return {**plain, **{f"augmentation.{k}": v for k, v in augmentation.items()}}
