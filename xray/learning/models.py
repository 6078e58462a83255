"""One model, asked for by a study: trained, tracked and recorded once, whoever asks and however often."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from sqlalchemy import Connection, Engine, text
from sqlalchemy.dialects.postgresql import insert

from db.schema import Model, ModelTask, TrainingCohort
from db.store import write_classifier
from xray.data.cohorts import store_protocol
from xray.data.pictures import pixel_cache
from xray.data.protocol import Protocol, load_protocol
from xray.data.split import validation_cut
from xray.errors import LearningError
from xray.learning.progress import Epoch
from xray.learning.recipe import Recipe
from xray.learning.request import ModelRequest, PartCohorts, find_model, model_key, part_cohorts
from xray.learning.tracking import Input, Registered, Tracker
from xray.learning.train import Part, Trained, train
from xray.pixels.pool import Pool
from xray.settings import provenance
from xray.tasks import TASKS


def ensure_model(engine: Engine, tracker: Tracker, home: Path, request: ModelRequest) -> tuple[int, bool]:
    """The model that is asked for, and whether it had to be trained now.

    Holds a lock on the model's key meanwhile: whoever asks for the same model waits and finds it done. A killed training
    goes on from its checkpoint; the unfinished MLflow run that it left is made anew.
    """
    with engine.connect() as lock:
        with engine.begin() as connection:
            key = model_key(connection, request)
        if key is None:
            raise LearningError(
                f"{request.trained_on}: its datasets are not all prepared yet: {request.datasets}"
            )
        lock.execute(text("select pg_advisory_lock(hashtextextended(:key, 0))"), {"key": key})
        lock.commit()
        with engine.begin() as connection:
            found = find_model(connection, key)
            if found is not None:
                return found, False
            training = part_cohorts(connection, request, "train")
            validation = part_cohorts(connection, request, "validation")
        return _train(engine, tracker, home, request, key, training, validation), True


def _train(
    engine: Engine,
    tracker: Tracker,
    home: Path,
    request: ModelRequest,
    key: str,
    training: PartCohorts,
    validation: PartCohorts,
) -> int:
    recipe, protocol = request.recipe, load_protocol(request.protocol)
    name = f"{request.study}.{request.trained_on}"
    params = {
        "trained_on": request.trained_on,
        "seed": request.seed,
        "protocol": protocol.name,
        **_flat(recipe),
    }
    inputs = [
        Input(dataset.name, digest, part, len(cohort.images))
        for part, found in (("train", training), ("validation", validation))
        for dataset, cohort, digest in zip(found.datasets, found.cohorts, found.hashes, strict=True)
    ]
    run_id = tracker.start(request.study, f"{request.trained_on}/{request.seed}", key, params, inputs)

    def log(epoch: Epoch) -> None:
        tracker.metrics(run_id, _metrics(epoch), epoch.number, int(time.time() * 1000))

    try:
        parts = _parts(training, validation, home, request)
        checkpoint = home / "checkpoints" / f"{key}.safetensors"
        trained = train(*parts, recipe, request.seed, log, checkpoint)
        registered = tracker.finish(run_id, trained.network, name, alias=f"seed-{request.seed}")
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
            provenance=provenance(),
        )
        .returning(Model.id)
    )
    assert model_id is not None
    outputs = [{"model_id": model_id, "task_id": int(task)} for task in np.flatnonzero(trained.outputs)]
    connection.execute(insert(ModelTask), outputs)
    used = [{"model_id": model_id, "cohort_id": cohort.id} for found in cohorts for cohort in found.cohorts]
    connection.execute(insert(TrainingCohort), used)
    last = trained.network.classifier()
    if last is not None:
        kept = np.flatnonzero(trained.outputs)
        weights, bias = (tensor.float().cpu().numpy()[kept] for tensor in last)
        write_classifier(connection, model_id, [(None, int(task)) for task in kept], weights, bias)
    return model_id


def _part(found: PartCohorts, home: Path, recipe: Recipe, protocol: Protocol) -> Part:
    caches = [
        pixel_cache(dataset, home, recipe.image_size, protocol.preprocessing.crop)
        for dataset in found.datasets
    ]
    pool = Pool([cache.pixels for cache in caches])
    places = [d.places(c.images) for d, c in zip(found.datasets, found.cohorts, strict=True)]
    positions = np.concatenate([p + offset for p, offset in zip(places, pool.offsets, strict=False)])
    return Part(pool, positions, np.concatenate([cohort.labels for cohort in found.cohorts]))


def _parts(
    training: PartCohorts, validation: PartCohorts, home: Path, request: ModelRequest
) -> tuple[Part, Part]:
    """What to fit on and what to select on: the protocol's validation cohorts, or a cut of the run's own by its seed."""
    protocol = load_protocol(request.protocol)
    whole = _part(training, home, request.recipe, protocol)
    if validation.cohorts:
        return whole, _part(validation, home, request.recipe, protocol)
    fit, select_on = validation_cut(len(whole.positions), protocol, request.seed)
    return (
        Part(whole.pixels, whole.positions[fit], whole.labels[fit]),
        Part(whole.pixels, whole.positions[select_on], whole.labels[select_on]),
    )


def _metrics(epoch: Epoch) -> dict[str, float]:
    """Names as MLflow shows them: `validation_auc` is the mean over tasks, one more per task."""
    per_task = {
        f"validation_auc/{task}": float(value)
        for task, value in zip(TASKS, epoch.validation_auc, strict=True)
    }
    return {"loss": epoch.loss, "validation_auc": epoch.mean_auc, "seconds": epoch.seconds, **per_task}


def _flat(recipe: Recipe) -> dict[str, object]:
    """The recipe as flat MLflow parameters: `augmentation.rotation` and so on."""
    plain = asdict(recipe)
    augmentation = plain.pop("augmentation")
    return {**plain, **{f"augmentation.{k}": v for k, v in augmentation.items()}}
