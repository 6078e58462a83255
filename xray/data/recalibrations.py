"""Calibrations in the database: versioned maps of a model's logits, never changed (view `calibrated_predictions`)."""

import hashlib

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, text

from db.queries import query
from xray.stats.recalibration import Recalibration


def put_recalibration(
    connection: Connection,
    model_id: int,
    task_id: int,
    cohort_id: int,
    calibration: Recalibration,
    fingerprint: str,
) -> int:
    """Store a calibration, within the caller's transaction; its version. One of this fingerprint is not stored twice."""
    connection.execute(
        text("select pg_advisory_xact_lock(hashtext('xray recalibration'), :model_id)"),
        {"model_id": model_id},
    )
    isotonic = calibration.method == "isotonic"
    connection.execute(
        text(query("recalibration_put")),
        {
            "model_id": model_id,
            "task_id": task_id,
            "cohort_id": cohort_id,
            "method": calibration.method,
            "intercept": None if isotonic else calibration.intercept,
            "slope": None if isotonic else calibration.slope,
            "knots": calibration.knots.tolist() if isotonic else None,
            "probabilities": calibration.probabilities.tolist() if isotonic else None,
            "n": calibration.n,
            "n_pos": calibration.n_pos,
            "fingerprint": fingerprint,
        },
    )
    return connection.execute(
        text(
            "select version from recalibration"
            " where model_id = :model_id and task_id = :task_id and fingerprint = :fingerprint"
        ),
        {"model_id": model_id, "task_id": task_id, "fingerprint": fingerprint},
    ).scalar_one()


def fingerprint_of(
    labels: NDArray[np.floating], logits: NDArray[np.floating], method: str, cohort_hash: str, code: str
) -> str:
    """Content hash of what a calibration is fitted on, and how; labels and logits in the order of the cohort's images."""
    digest = hashlib.sha256(f"{method}\n{cohort_hash}\n{code}\n".encode())
    for vector in (labels, logits):
        digest.update(np.ascontiguousarray(vector, dtype="<f8").tobytes())
    return digest.hexdigest()
