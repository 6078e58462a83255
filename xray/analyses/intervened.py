"""What interventions are stored of a study, for the analysis of them; imports no statistics."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, text

from db.queries import query
from xray.analyses.cells import Cell, Unit
from xray.data.interventions import StoredIntervention, changed_logits, stored_interventions

if TYPE_CHECKING:
    from xray.analyses.stored import StoredStudy


@dataclass(frozen=True)
class Changed:
    """Test images of a configuration, changed to look like those of some cohorts: by each of its seeds, in the same way."""

    targets: tuple[int, ...]
    kind: str
    changes: Mapping[str, float]
    ids: tuple[int, ...]


@dataclass(frozen=True)
class Interventions:
    """Those of a study: (test cohort, configuration) → what its seeds have all scored; scores are read when asked for."""

    connection: Connection
    task_ids: tuple[int, ...]
    of: Mapping[tuple[int, str], list[Changed]]

    def logits(self, changed: Changed) -> NDArray[np.float64]:
        """The ensemble's logits of the changed pictures, (n_images, n_tasks)."""
        return changed_logits(self.connection, changed.ids, self.task_ids)


def interventions(connection: Connection, study: "StoredStudy") -> "Interventions | list[Any]":
    """What the analysis needs; an empty list where nothing is stored."""
    changed = _whole(connection, study)
    return Interventions(connection, study.task_ids, changed) if changed else []


def interventions_state(connection: Connection, study: "StoredStudy") -> Mapping[str, Any]:
    """Configuration → the interventions on its scores that count."""
    state: dict[str, list[Any]] = {}
    for (cohort, name), several in _whole(connection, study).items():
        state.setdefault(name, []).append(
            [
                cohort,
                [[intervention.targets, intervention.kind, intervention.ids] for intervention in several],
            ]
        )
    return state


def _changed(study: "StoredStudy") -> Iterator[Cell]:
    for dataset in study.cohorts:
        for name in study.scorers(dataset):
            uses = study.scored(dataset, name)
            if any(evaluation.changed for evaluation in uses):
                yield Cell((dataset, name), uses)


CHANGED = Unit(_changed, ("cohort_a_id", "trained_on"))
"""Each configuration on each test cohort whose images were scored again, changed on purpose."""


def _whole(connection: Connection, study: "StoredStudy") -> dict[tuple[int, str], list[Changed]]:
    """Interventions that every seed of a configuration has, on the pictures as they are now."""
    evaluations = {
        evaluation.evaluation_id: evaluation for evaluation in study.evaluations if evaluation.changed
    }
    if not evaluations:
        return {}
    cohorts = _cohorts_of_lists(connection, study)
    by: dict[tuple[int, str], dict[tuple[int, str], list[StoredIntervention]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for intervention in stored_interventions(connection, list(evaluations)):
        of = evaluations[intervention.evaluation_id]
        if intervention.is_current and intervention.target_list_id in cohorts:
            by[of.cohort_id, of.trained_on][intervention.target_list_id, intervention.kind].append(
                intervention
            )
    datasets = {cohort: dataset for dataset, cohort in study.cohorts.items()}
    whole = {}
    for (cohort, name), several in by.items():
        if cohort not in datasets:
            continue
        seeds = len(study.scored(datasets[cohort], name))
        whole[cohort, name] = [
            Changed(cohorts[target], kind, ones[0].changes, tuple(sorted(one.id for one in ones)))
            for (target, kind), ones in sorted(several.items())
            if len(ones) == seeds
        ]
    return {key: several for key, several in whole.items() if several}


def _cohorts_of_lists(connection: Connection, study: "StoredStudy") -> dict[int, tuple[int, ...]]:
    """Image list → the study's test cohorts of it: two labellers of the same images share one."""
    rows = connection.execute(
        text(query("lists_of_cohorts")), {"cohort_ids": list(study.cohorts.values())}
    ).all()
    lists: dict[int, list[int]] = defaultdict(list)
    for row in rows:
        lists[row.image_list_id].append(row.cohort_id)
    return {number: tuple(several) for number, several in lists.items()}
