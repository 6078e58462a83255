"""What a model has said of pictures already: cohorts of several protocols share images, and none is scored twice."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, text

from db.queries import query
from db.store import image_ids, read_logits


def scored_before(
    connection: Connection,
    model_id: int,
    dataset_id: int,
    image_list_id: int,
    outputs: Sequence[int | None],
) -> NDArray[np.float32]:
    """Stored logits (n_images, n_outputs) of a model for the images of a list, from its other lists of the same pictures.

    outputs: the task (id) of each output, None for one that is not stored. NaN where an image, or an output, has none.
    """
    parameters = {"model_id": model_id, "dataset_id": dataset_id, "image_list_id": image_list_id}
    rows = connection.execute(text(query("scored_before")), parameters).all()
    images = image_ids(connection, image_list_id)
    logits = np.full((len(images), len(outputs)), np.nan, dtype=np.float32)
    columns = np.flatnonzero([task is not None for task in outputs])
    tasks = [task for task in outputs if task is not None]
    for row in rows:
        scored = image_ids(connection, row.image_list_id)
        order = np.argsort(scored, kind="stable")
        ranks = np.minimum(np.searchsorted(scored, images, sorter=order), len(scored) - 1)
        source = order[ranks]
        shared = np.flatnonzero(scored[source] == images)
        stored = read_logits(connection, row.evaluation_id, tasks).T
        logits[np.ix_(shared, columns)] = stored[source[shared]]
    return logits
