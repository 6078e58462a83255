"""What `xray intervene run` scores again: which model's images of A, to look like which B's, in which ways."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, text

from db.queries import query
from xray.analyses.asked import Questions, questions_of
from xray.analyses.stored import StoredStudy, load_study
from xray.data.interventions import pictures_of, stored_interventions
from xray.errors import AnalysisError
from xray.names import unknown
from xray.pixels.changes import KINDS

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asking:
    """What is asked for: a model and two datasets by name ("": each that fits), kinds, how many images (None: all)."""

    model: str = ""
    a: str = ""
    b: str = ""
    kinds: tuple[str, ...] = KINDS
    images: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class Step:
    """One model, test dataset and target, and the kinds that are missing."""

    trained_on: str
    model_seed: int | None
    test_dataset: str
    target_dataset: str
    evaluation_id: int
    target_list_id: int
    kinds: tuple[str, ...]


def steps(connection: Connection, study_name: str, asking: Asking) -> list[Step]:
    """What is to be scored, in the order of the study; nothing where all of it is stored.

    A is where a model is at home: the dataset that it was trained on; of a model from elsewhere the study's reference, or
    the datasets that it is said to know, or each. B is each other dataset of another site. By default models are those of
    a verdict: of one dataset each, and from elsewhere.
    Raises `AnalysisError` where a name is unknown, a network or pictures are not here, or nothing fits.
    """
    study = load_study(connection, study_name)
    _check_names(study, asking)
    pairs = [
        (name, a, b) for name in _models(study, asking) for a, b in _pairs(connection, study, name, asking)
    ]
    if not pairs:
        raise AnalysisError(_nothing(study, asking))
    lists = _lists(connection, study)
    pairs = _with_pictures(connection, pairs, lists, asking)
    planned = [
        Step(name, scored.seed, a, b, scored.evaluation_id, lists[b], asking.kinds)
        for name, a, b in pairs
        for scored in study.scored(a, name)
    ]
    planned = _once(_with_network(connection, planned, asking))
    return _missing(connection, planned, asking)


def _check_names(study: StoredStudy, asking: Asking) -> None:
    if asking.model and asking.model not in study.names:
        raise AnalysisError(unknown("model", asking.model, study.names))
    for name in (asking.a, asking.b):
        if name and name not in study.cohorts:
            raise AnalysisError(unknown("dataset with a scored test cohort", name, list(study.cohorts)))
    if asking.a and asking.a == asking.b:
        raise AnalysisError(f"--from and --to are both {asking.a}: choose two datasets")


def _models(study: StoredStudy, asking: Asking) -> list[str]:
    if asking.model:
        return [asking.model]
    single = [name for name, datasets in study.configurations.items() if len(datasets) == 1]
    return [name for name in study.names if name in single or name in study.foreign]


def _pairs(connection: Connection, study: StoredStudy, name: str, asking: Asking) -> list[tuple[str, str]]:
    """Pairs of datasets A, B of one model, of different sites."""
    homes = _homes(study, name, questions_of(connection, study))
    a = [asking.a] if asking.a else homes
    others = [dataset for dataset in study.cohorts if dataset not in homes]
    b = [asking.b] if asking.b else others or list(study.cohorts)
    sites = study.datasets
    return [(x, y) for x in a for y in b if study.scored(x, name) and sites[x] != sites[y]]


def _homes(study: StoredStudy, name: str, ask: Questions) -> list[str]:
    homes: Collection[str] = study.configurations.get(name, ())
    if name in study.foreign:
        homes = {ask.reference} & set(study.cohorts) or ask.homes.get(name, ())
    scored = [dataset for dataset in study.cohorts if study.scored(dataset, name)]
    return [dataset for dataset in scored if dataset in homes] or (scored if name in study.foreign else [])


def _nothing(study: StoredStudy, asking: Asking) -> str:
    model = asking.model or "no model"
    return (
        f"{study.name}: {model} has scored test images of one site that could be made to look like another's; it takes two "
        f"sites with test cohorts (there are {', '.join(study.cohorts)}; --from and --to choose)"
    )


def _lists(connection: Connection, study: StoredStudy) -> dict[str, int]:
    """Dataset → the image list of its test cohort."""
    parameters = {"cohort_ids": list(study.cohorts.values())}
    rows = connection.execute(text(query("lists_of_cohorts")), parameters).all()
    lists = {row.cohort_id: row.image_list_id for row in rows}
    return {dataset: lists[cohort] for dataset, cohort in study.cohorts.items()}


def _with_pictures(
    connection: Connection, pairs: Sequence[tuple[str, str, str]], lists: dict[str, int], asking: Asking
) -> list[tuple[str, str, str]]:
    """The pairs whose pictures are here. Raises where a dataset that was asked for has none, or all lack some."""
    pictures = pictures_of(connection, [lists[dataset] for _, *both in pairs for dataset in both])
    without = [
        dataset for dataset in lists if lists[dataset] in pictures and pictures[lists[dataset]] is None
    ]
    complete = [pair for pair in pairs if not set(pair[1:]) & set(without)]
    for dataset in without:
        _log.warning("%s: registered without pictures, left out", dataset)
    lacking = [dataset for dataset in (asking.a, asking.b) if dataset in without]
    if lacking or not complete:
        raise AnalysisError(
            f"{', '.join(lacking or without)}: registered without pictures, so none can be changed; add the dataset again "
            "with its image folder, or bring the scores of changed pictures: xray intervene add FILE"
        )
    return complete


def _with_network(connection: Connection, plan: Sequence[Step], asking: Asking) -> list[Step]:
    """The steps of models whose network is here. Raises where there is none, or not of the model that was asked for."""
    ids = [step.evaluation_id for step in plan]
    rows = connection.execute(text(query("can_be_changed")), {"ids": ids}).all()
    with_file = {row.evaluation_id for row in rows if row.has_file}
    possible = [step for step in plan if step.evaluation_id in with_file]
    for name in sorted({step.trained_on for step in plan if step.evaluation_id not in with_file}):
        _log.warning("%s: only its scores are here, not its network, left out", name)
    if not possible:
        names = ", ".join(dict.fromkeys(step.trained_on for step in plan))
        raise AnalysisError(
            f"{names}: only its scores are here, not its network: xray model import FILE brings it, or bring the scores of "
            "changed pictures: xray intervene add FILE"
        )
    return possible


def _once(plan: Sequence[Step]) -> list[Step]:
    """One step where two labellers share the images: interventions know no label."""
    first: dict[tuple[int, int], Step] = {}
    for step in plan:
        first.setdefault((step.evaluation_id, step.target_list_id), step)
    return list(first.values())


def _missing(connection: Connection, plan: Sequence[Step], asking: Asking) -> list[Step]:
    """The steps with the kinds that are not stored as they are asked for, or stale."""
    stored: dict[tuple[int, int], set[str]] = {}
    for intervention in stored_interventions(connection, [step.evaluation_id for step in plan]):
        if intervention.is_current and (intervention.images, intervention.seed) == (
            asking.images,
            asking.seed,
        ):
            stored.setdefault((intervention.evaluation_id, intervention.target_list_id), set()).add(
                intervention.kind
            )
    left = [
        replace(
            step,
            kinds=tuple(
                kind
                for kind in step.kinds
                if kind not in stored.get((step.evaluation_id, step.target_list_id), ())
            ),
        )
        for step in plan
    ]
    return [step for step in left if step.kinds]


def as_rows(several: Sequence[Step]) -> list[dict[str, Any]]:
    """For people, a row a step."""
    return [
        {
            "model": step.trained_on,
            "seed": step.model_seed,
            "from": step.test_dataset,
            "to": step.target_dataset,
            "kinds": ", ".join(step.kinds),
        }
        for step in several
    ]
