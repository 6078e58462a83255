"""Pooled features of images, where a study stores them, with the images' views and patients."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, text

from db.queries import query
from db.store import identities, image_ids, read_features
from xray.analyses.stored import StoredStudy

FRONTAL: Final = ("PA", "AP", "FRONTAL")
LATERAL: Final = ("LL", "RL", "LAT")
"""What the names of views begin with."""


@dataclass(frozen=True)
class Pooled:
    """Features of every image of one evaluation, aligned.

    features: float32 (n_images, n_features). images: ids. patients: a number per patient of the list. views: what the
    files state, None where they don't.
    """

    evaluation_id: int
    trained_on: str
    seed: int
    features: NDArray[np.float32]
    images: NDArray[np.int32]
    patients: NDArray[np.int64]
    views: NDArray[np.object_]


def load(connection: Connection, study: StoredStudy) -> list[Pooled]:
    """Everything of a study that has features, in its order."""
    features = []
    for row in connection.execute(text(query("study_features")), {"study_id": study.id}).all():
        parameters = {"image_list_id": row.image_list_id}
        views = connection.execute(text(query("image_columns")), parameters).one().views
        features.append(
            Pooled(
                row.evaluation_id,
                row.trained_on,
                row.seed,
                read_features(connection, row.evaluation_id),
                image_ids(connection, row.image_list_id),
                identities(connection, row.image_list_id).ranks,
                np.array(views, dtype=object),
            )
        )
    return features


def state(connection: Connection, study: StoredStudy) -> Sequence[Any]:
    """What the results come from beside the evaluations of test cohorts: which evaluations have features."""
    return [
        row.evaluation_id for row in connection.execute(text(query("study_features")), {"study_id": study.id})
    ]


def is_view(view: str | None, prefixes: Sequence[str], other_prefixes: Sequence[str]) -> float:
    """1 for a view whose name begins with one of `prefixes`, 0 with one of `other_prefixes`, NaN for any other or none."""
    name = (view or "").strip().upper()
    if name.startswith(tuple(prefixes)):
        return 1.0
    return 0.0 if name.startswith(tuple(other_prefixes)) else np.nan
