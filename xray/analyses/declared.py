"""Thresholds that makers of models from elsewhere declare: what an analysis with them prepares, and depends on."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from xray.analyses.stored import StoredStudy
from xray.data.operating_points import declared

Declared = Mapping[str, Mapping[int, float]]
"""Model from elsewhere → position of the finding → the threshold that its maker declares, a logit."""


def declared_points(connection: Connection, study: StoredStudy) -> Declared:
    """The thresholds that makers of the study's models declare: what an analysis with them prepares."""
    return declared(connection, study.id, study.findings)


def declared_state(connection: Connection, study: StoredStudy) -> Mapping[str, Any]:
    """What results at declared thresholds depend on beside the scores, by model."""
    return {model: sorted(points.items()) for model, points in declared_points(connection, study).items()}
