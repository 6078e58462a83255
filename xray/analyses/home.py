"""Youden points at home, configuration by configuration, from the database; kept there, as one more model changes few."""

from collections.abc import Collection

from sqlalchemy import Connection

from xray.analyses import cells
from xray.analyses.points import points_at_home as of_tests
from xray.analyses.stored import StoredStudy, load_test
from xray.stats.roc import Youden


def points_at_home(connection: Connection, study: StoredStudy, names: Collection[str]) -> dict[str, Youden]:
    """Configuration → Youden points on the pooled test cohorts of its own datasets, of those that are named and have one."""
    points: dict[str, Youden] = {}
    for name in study.configurations:
        if name in names:
            tests = [
                load_test(connection, study, dataset, study.scored(dataset, name))
                for dataset in cells.home(study, name)
            ]
            points |= of_tests(study, tests)
    return points
