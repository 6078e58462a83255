"""Images, prevalence or labels: why does a model that was trained at A do worse at B? A verdict per task and pair.

The models are those trained on A alone and on B alone (ensembles of their seeds), scored on the test images of both.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from db.results import Shift
from xray.analyses import cells
from xray.analyses.analysis import Partial, Stored, analysis
from xray.analyses.cells import Key
from xray.analyses.parallel import side_by_side
from xray.analyses.rows import number
from xray.analyses.shared import labels_of_shared, patients_of_both, patients_of_shared
from xray.analyses.stored import Scored, StoredStudy, TestSet, load_study
from xray.report.parts import images_or_labels as parts
from xray.report.parts.part import Part as Shown
from xray.stats.agreement import cross_table, kappa, kappa_inflation
from xray.stats.estimates import Estimates
from xray.stats.tilting import Tilting
from xray.stats.transfer import Decomposition, Part, SiteScores
from xray.stats.verdict import CANNOT_TELL, Evidence, Gathered, Verdict, gather_both, judge

METHOD = (
    "ensembles; AUC parts by DeLong with patients as units, Student's t, 95 %; "
    "tests adjusted over the study (Benjamini and Hochberg)"
)


Unjudged = Sequence[tuple[dict[str, Any], dict[str, Any] | None]]
"""Per task: the row without its verdict, and the evidence that it is judged on, if there is any."""


@dataclass(frozen=True)
class Pair:
    """A training test set and a target, the configurations of both, and what is known of them per task."""

    a: TestSet
    b: TestSet
    own_a: str
    own_b: str
    parts: Decomposition
    tilting: Tilting | None
    evidence: dict[int, Evidence]
    labellers: Estimates


def show(stored: Stored) -> Shown:
    """What is said of the rows, and the figure."""
    return parts.images_or_labels(stored.rows, _without_own(stored))


def _without_own(stored: Stored) -> tuple[str, ...]:
    """Test datasets of a study that trains, without a model of their own: nobody trained on their images alone."""
    study = load_study(stored.connection, stored.study)
    if not study.configurations:
        return ()
    return tuple(name for name in study.datasets if study.trained_on_exactly((name,)) is None)


def gathered(study: StoredStudy, tests: Sequence[TestSet]) -> Iterator[tuple[Key, list[Unjudged]]]:
    """(two datasets, what is known of the one's model at the other, and the other way round), by pair of test cohorts."""
    for forth, back in side_by_side(_both_ways, _pairs(study, tests)):
        yield (forth.a.dataset, forth.b.dataset), [_unjudged(forth), _unjudged(back)]


def judged(study: StoredStudy, pairs: Mapping[Key, Sequence[Unjudged]]) -> Iterator[dict[str, Any]]:
    """Rows with their verdicts, as one family of tests: false discoveries are controlled over all of them together."""
    order = {dataset: rank for rank, dataset in enumerate(study.datasets)}
    ways = {way: of for key, both in pairs.items() for way, of in zip((key, key[::-1]), both, strict=True)}
    rows = [row for way in sorted(ways, key=lambda way: [order[d] for d in way]) for row in ways[way]]
    verdicts = iter(judge([Evidence(**evidence) for _, evidence in rows if evidence is not None]))
    for row, evidence in rows:
        yield row | _verdict(row["reason"], None if evidence is None else next(verdicts))


@analysis(
    "images_or_labels",
    "Why does a model do worse elsewhere: images, prevalence or labels? A verdict per task and pair",
    Shift,
    order=40,
    unit=cells.SINGLE,
    show=show,
    partial=Partial(cells.OWN_PAIRS, gathered, judged),
)
def compute(study: StoredStudy, tests: Sequence[TestSet]) -> Iterator[dict[str, Any]]:
    """Rows of table `shift`: per ordered pair of datasets and task that both label and both own models were trained on."""
    return judged(study, dict(gathered(study, tests)))


def _pairs(study: StoredStudy, tests: Sequence[TestSet]) -> Iterator[tuple[TestSet, TestSet, str, str]]:
    own = {test.dataset: study.trained_on_exactly((test.dataset,)) for test in tests}
    for a, b in combinations(tests, 2):
        of_a, of_b = own[a.dataset], own[b.dataset]
        if of_a is None or of_b is None:
            continue
        included = study.whole is None or (a.dataset, b.dataset) in study.whole.keys
        if included and all(model in test.trained_on for model in (of_a, of_b) for test in (a, b)):
            yield a, b, of_a, of_b


def _both_ways(a: TestSet, b: TestSet, own_a: str, own_b: str) -> tuple[Pair, Pair]:
    at_a, at_b = (
        SiteScores(
            test.cohort.labels.astype(np.float64),
            test.ensemble(own_a),
            test.ensemble(own_b),
            patients,
        )
        for test, patients in zip((a, b), patients_of_both(a.cohort, b.cohort), strict=True)
    )
    forth, back = gather_both(at_a, at_b)
    labellers = _labellers(a, b)
    return _pair(a, b, own_a, own_b, forth, labellers), _pair(b, a, own_b, own_a, back, labellers)


def _pair(a: TestSet, b: TestSet, own_a: str, own_b: str, gathered: Gathered, labellers: Estimates) -> Pair:
    parts, tilting, evidence = gathered
    with_kappa = {
        task: replace(
            of_task, kappa_lower=float(labellers.lower[task]), kappa_upper=float(labellers.upper[task])
        )
        for task, of_task in evidence.items()
    }
    return Pair(a, b, own_a, own_b, parts, tilting, with_kappa, labellers)


def _labellers(a: TestSet, b: TestSet) -> Estimates:
    """Agreement of both datasets' labels on the pictures that both test cohorts have, per task; patients as units."""
    labels = labels_of_shared(a.cohort, b.cohort)
    patients = patients_of_shared(a.cohort, b.cohort)
    return kappa(cross_table(*labels), inflation=kappa_inflation(*labels, patients))


def _unjudged(pair: Pair) -> Unjudged:
    shared = pair.a.labelled_tasks() & pair.b.labelled_tasks()
    trained = pair.a.trained_tasks(pair.own_a) & pair.b.trained_tasks(pair.own_b)
    return [
        (_row(pair, task), asdict(pair.evidence[task]) if task in pair.evidence else None)
        for task in sorted(shared & trained)
    ]


def _verdict(reason: str | None, verdict: Verdict | None) -> dict[str, Any]:
    return {
        "p_adjusted": None if verdict is None else number(verdict.p_adjusted),
        "verdict": CANNOT_TELL if verdict is None else verdict.code,
        "basis": f"not computed: {reason}" if verdict is None else verdict.basis,
        "assumption": (verdict.assumption or None) if verdict else None,
        "resolve": (verdict.resolve or None) if verdict else "test more images of both classes",
    }


def _row(pair: Pair, task: int) -> dict[str, Any]:
    parts, tilting, evidence = pair.parts, pair.tilting, pair.evidence.get(task)
    reason = str(parts.reason[task]) or None
    scored: list[Scored] = [
        e for test in (pair.a, pair.b) for name in (pair.own_a, pair.own_b) for e in test.of(name)
    ]
    row: dict[str, Any] = {
        "cohort_a_id": pair.a.cohort.id,
        "cohort_b_id": pair.b.cohort.id,
        "task_id": task,
        "trained_on_a": pair.own_a,
        "trained_on_b": pair.own_b,
        **{
            f"auc_{name}": number(parts.auc[task, model, site])
            for name, model, site in (("aa", 0, 0), ("ab", 0, 1), ("ba", 1, 0), ("bb", 1, 1))
        },
        **_part("auc_drop", "drop", parts.drop, task),
        **_part("intrinsic", "intrinsic", parts.intrinsic, task),
        **_part("transfer", "transfer", parts.transfer, task),
        **_part("excess", "excess", parts.beyond_transfer.excess, task),
        "p_intrinsic": number(parts.intrinsic.p[task]),
        "p_transfer": number(parts.transfer.p[task]),
        "n_shared": int(pair.labellers.n[task]),
        "kappa": number(pair.labellers.value[task]),
        "kappa_lower": number(pair.labellers.lower[task]),
        "kappa_upper": number(pair.labellers.upper[task]),
        "method": METHOD,
        "reason": reason,
        "evaluation_ids": [e.evaluation_id for e in scored],
    }
    for name, test in (("a", pair.a), ("b", pair.b)):
        labels = test.cohort.labels[:, task]
        row[f"n_{name}"], row[f"n_pos_{name}"] = int((~np.isnan(labels)).sum()), int((labels == 1).sum())
        row[f"prevalence_{name}"] = number(float(np.nanmean(labels)))
    for name in ("meaning_p", "companions_p", "images_p", "images_all_p", "prevalence_p"):
        test_of = "p_" + name.removesuffix("_p")
        row[test_of] = number(getattr(evidence, name)) if evidence else None
    implied, se = (tilting.implied[task], tilting.implied_se[task]) if tilting else (np.nan, np.nan)
    row["implied_prevalence"] = number(float(np.clip(implied, 0, 1)))
    row["implied_lower"] = number(float(np.clip(implied - 1.96 * se, 0, 1)))
    row["implied_upper"] = number(float(np.clip(implied + 1.96 * se, 0, 1)))
    return row


def _part(name: str, prefix: str, part: Part, task: int) -> dict[str, float | None]:
    values = {name: part.value, f"{prefix}_lower": part.lower, f"{prefix}_upper": part.upper}
    return {key: number(array[task]) for key, array in values.items()}
