"""Evaluations: fill what the view of missing evaluations shows."""

import time
from pathlib import Path

import numpy as np
from sqlalchemy import Engine, select, text

from db.queries import query
from db.schema import Model, ModelTask
from db.store import image_ids, write_evaluation
from xray.data.pictures import pixel_cache
from xray.data.registered import read_dataset
from xray.learning.infer import score
from xray.learning.missing import missing
from xray.learning.network import load
from xray.learning.tracking import Tracker
from xray.settings import provenance
from xray.tasks import TASKS

__all__ = ["evaluate", "missing"]


def evaluate(engine: Engine, tracker: Tracker, home: Path, model_id: int, image_list_ids: list[int]) -> int:
    """Score these image lists with one model and store the logits, each list in one transaction; how many were written.

    A list that somebody else has scored meanwhile is left as it is.
    """
    with engine.begin() as connection:
        model = connection.execute(
            select(Model.mlflow_model, Model.mlflow_version, Model.image_size).where(Model.id == model_id)
        ).one()
        tasks = connection.scalars(select(ModelTask.task_id).where(ModelTask.model_id == model_id)).all()
    network = load(tracker.weights(model.mlflow_model, model.mlflow_version))
    trained = np.isin(np.arange(len(TASKS)), tasks)
    written = 0
    for image_list_id in image_list_ids:
        began = time.perf_counter()
        with engine.begin() as connection:
            dataset_id, crop = connection.execute(
                text(query("image_list_dataset")), {"image_list_id": image_list_id}
            ).one()
            dataset = read_dataset(connection, dataset_id)
            positions = dataset.places(image_ids(connection, image_list_id))
        cache = pixel_cache(dataset, home, model.image_size, crop)
        logits = score(network, cache.pixels, positions)
        with engine.begin() as connection:
            seconds = time.perf_counter() - began
            made = write_evaluation(
                connection, model_id, image_list_id, logits, trained, seconds, provenance()
            )
        written += made is not None
    return written
