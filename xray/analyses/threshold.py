"""A threshold for one model and finding, chosen for a goal at one hospital, and what it does there and at the others."""

from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection

from xray.analyses.stored import TestSet, load_study, load_tests
from xray.errors import AnalysisError
from xray.findings import match
from xray.names import unknown
from xray.stats.chosen import MEASURES, Choice, Goal, choose
from xray.stats.estimates import Estimates
from xray.stats.shares import shares_at_threshold


@dataclass(frozen=True)
class Elsewhere:
    """What the chosen threshold does at another hospital: measure → share, with the patient as the unit."""

    dataset: str
    n: int
    n_pos: int
    shares: dict[str, Estimates]


@dataclass(frozen=True)
class Threshold:
    """The choice at a dataset, in logits as scores are stored, and what it does at the others."""

    model: str
    task: str
    dataset: str
    choice: Choice
    elsewhere: tuple[Elsewhere, ...]


def threshold(
    connection: Connection,
    study: str,
    model: str,
    task: str,
    goal: Goal,
    target: float = 0.0,
    prevalence: float | None = None,
    dataset: str | None = None,
) -> Threshold:
    """Choose a threshold for a model of a study; see `choose`. dataset: where; the first that scored it if None.

    Raises `AnalysisError` where the study has no such model, finding or dataset, or the model did not score it.
    """
    if prevalence is not None and not 0 < prevalence < 1:
        raise AnalysisError(f"--prevalence: expected a share above 0 and below 1, found {prevalence:g}")
    if goal != "youden" and not 0 < target < 1:
        raise AnalysisError(f"{goal}: expected a share above 0 and below 1, found {target:g}")
    stored = load_study(connection, study)
    finding = match(task, stored.findings)
    if finding is None:
        raise AnalysisError(unknown("finding", task, stored.findings))
    task, column = finding, stored.findings.index(finding)
    models = list(dict.fromkeys(evaluation.trained_on for evaluation in stored.evaluations))
    if model not in models:
        raise AnalysisError(unknown(f"model of study {study}", model, models))
    tests = [
        test
        for test in load_tests(connection, stored, trained_on=[model])
        if column in test.labelled_tasks() & test.trained_tasks(model)
    ]
    names = [test.dataset for test in tests]
    if dataset is not None and dataset not in names:
        raise AnalysisError(
            unknown(f"dataset where {model} scored labelled images for {task}", dataset, names)
        )
    if not tests:
        raise AnalysisError(f"{model} scored no image that is labelled for {task} in study {study}")
    home = tests[0 if dataset is None else names.index(dataset)]
    choice = choose(
        home.cohort.labels[:, column],
        home.ensemble(model)[:, column],
        home.cohort.patients,
        goal,
        target,
        prevalence,
    )
    elsewhere = (
        ()
        if np.isnan(choice.threshold)
        else tuple(_at(t, model, column, choice) for t in tests if t is not home)
    )
    return Threshold(model, task, home.dataset, choice, elsewhere)


def _at(test: TestSet, model: str, column: int, choice: Choice) -> Elsewhere:
    label, score = test.cohort.labels[:, column], test.ensemble(model)[:, column]
    every = shares_at_threshold(label, score, choice.threshold, test.cohort.patients)
    shares = {name: every[name] for name in MEASURES}
    return Elsewhere(test.dataset, int(every["accuracy"].n), int(every["sensitivity"].n), shares)
