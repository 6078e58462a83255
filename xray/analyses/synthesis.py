"""What will the next hospital see? A meta-analysis of each model's results at sites that it does not come from.

Per finding and configuration: AUC, sensitivity and specificity at a fixed threshold (Youden's at home, or the one that its
maker declares), calibration slope, observed over expected positives. Of several datasets of one site the largest counts.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from scipy.special import expit, logit

from db.results import Synthesis as Row
from xray.analyses import cells
from xray.analyses.analysis import Partial, Stored, analysis
from xray.analyses.calibration import line_of
from xray.analyses.cells import Key
from xray.analyses.declared import Declared, declared_points, declared_state
from xray.analyses.parallel import side_by_side
from xray.analyses.points import by_place, points_at_home
from xray.analyses.resampled import has_repeated_patients
from xray.analyses.rows import number
from xray.analyses.stored import StoredStudy, TestSet
from xray.report.parts.part import Part, plain
from xray.report.words import number as shown
from xray.stats.clustered import clustered_auc_interval
from xray.stats.delong import auc_interval
from xray.stats.estimates import FloatArray
from xray.stats.shares import share_by_patient
from xray.stats.synthesis import synthesise

FEWEST: Final = 10
"""So many images of either class before a site counts."""
METHOD: Final = (
    "random effects over sites by REML, Hartung-Knapp 95 %; prediction interval over the distribution of tau²"
)
OfTask = dict[str, Any]
"""A finding's results at one site: task_id, n images scored, the threshold, measures with standard errors."""
QUESTION: Final = "What will the next hospital see? Results over sites with a prediction interval"
BACK: Final[Mapping[str, Callable[[Any], Any]]] = {
    "auc": expit,
    "sensitivity": expit,
    "specificity": expit,
    "calibration slope": float,
    "observed/expected": np.exp,
}
"""Measure → the way back from the scale that sites are put together on: logits of shares, logs of ratios."""


def show(result: Stored) -> Part:
    """How far the next hospital may fall, in words; every synthesis as a table."""
    rows = result.rows
    areas = rows[(rows["measure"] == "auc") & rows["next_lower"].notna()] if len(rows) else rows
    findings = ["No finding was judged at three sites that a model does not come from."]
    if len(areas):
        worst = areas.loc[areas["next_lower"].astype(float).idxmin()]
        findings = [
            f"Least certain: {worst['task']}, {worst['trained_on']}: AUC {shown(worst['value'])} over {worst['n_sites']} "
            f"sites; at the next one {shown(worst['next_lower'])} to {shown(worst['next_upper'])} (95% prediction interval)."
        ]
    part = plain("synthesis", "What will the next hospital see?", rows)
    return replace(part, about=QUESTION, findings=findings)


def measured(
    study: StoredStudy, tests: Sequence[TestSet], declared: Declared = MappingProxyType({})
) -> Iterator[tuple[Key, list[OfTask]]]:
    """(test dataset and configuration, what is measured there of each finding), where the configuration is not at home."""
    thresholds: dict[str, FloatArray] = {
        name: point.threshold for name, point in points_at_home(study, tests).items()
    }
    thresholds |= {name: by_place(points, len(study.findings)) for name, points in declared.items()}
    work = [
        (test, name, thresholds.get(name, np.full(len(study.findings), np.nan)))
        for test in tests
        for name in test.configurations
        if test.dataset in cells.away(study, name)
    ]
    for (test, name, _), of_tasks in zip(work, side_by_side(_of_site, work), strict=True):
        yield (test.dataset, name), of_tasks


def put_together(
    study: StoredStudy, sites: Mapping[Key, Sequence[OfTask]], declared: Declared = MappingProxyType({})
) -> Iterator[dict[str, Any]]:
    """Rows per task, configuration and measure, where two sites or more can be put together."""
    of_names: dict[str, dict[int, dict[str, OfTask]]] = {}
    for dataset, name in (way for d in study.cohorts for way in sites if way[0] == d):
        for of in sites[dataset, name]:
            of_names.setdefault(name, {}).setdefault(of["task_id"], {})[dataset] = of
    for name in dict.fromkeys(name for d in study.cohorts for name in study.scorers(d) if name in of_names):
        if study.whole is not None and (name,) not in study.whole.keys:
            continue
        for task, of_datasets in sorted(of_names[name].items()):
            yield from _rows(study, name, task, of_datasets)


@analysis(
    "synthesis",
    QUESTION,
    Row,
    order=25,
    unit=cells.SITES,
    show=show,
    prepare=declared_points,
    state=declared_state,
    partial=Partial(cells.AWAY, measured, put_together),
)
def compute(
    study: StoredStudy, tests: Sequence[TestSet], declared: Declared = MappingProxyType({})
) -> Iterator[dict[str, Any]]:
    """Rows of table `synthesis`: per task, configuration and measure, where two sites or more can be put together."""
    return put_together(study, dict(measured(study, tests, declared)))


def _of_site(test: TestSet, name: str, thresholds: FloatArray) -> list[OfTask]:
    results: list[OfTask] = []
    for task in sorted(test.labelled_tasks()):
        counts = _counts(test, name, task)
        if min(counts) >= FEWEST:
            cut = float(thresholds[task])
            measures = _measures(test, name, task, cut)
            results.append({"task_id": task, "n": sum(counts), "threshold": cut, "measures": measures})
    return results


def _rows(
    study: StoredStudy, name: str, task: int, of_datasets: Mapping[str, OfTask]
) -> Iterator[dict[str, Any]]:
    sites: dict[str, str] = {}
    for dataset, of in of_datasets.items():
        site = study.datasets[dataset]
        if site not in sites or of["n"] > of_datasets[sites[site]]["n"]:
            sites[site] = dataset
    if len(sites) < 2:
        return
    datasets = list(sites.values())
    cut = float(of_datasets[datasets[0]]["threshold"])
    for measure, back in BACK.items():
        estimates = np.array([of_datasets[dataset]["measures"][measure] for dataset in datasets])
        if np.isfinite(estimates).all(axis=1).sum() < 2:
            continue
        synthesis = synthesise(estimates[:, 0], estimates[:, 1])
        yield {
            "task_id": task,
            "trained_on": name,
            "measure": measure,
            "datasets": ", ".join(datasets),
            "cohort_ids": [study.cohorts[dataset] for dataset in datasets],
            "n_sites": synthesis.n,
            "value": number(float(back(synthesis.mean))),
            "lower": number(float(back(synthesis.lower))),
            "upper": number(float(back(synthesis.upper))),
            "next_lower": number(float(back(synthesis.next_lower))),
            "next_upper": number(float(back(synthesis.next_upper))),
            "tau2": number(synthesis.tau2),
            "i2": number(synthesis.i2),
            "threshold": number(cut) if measure in ("sensitivity", "specificity") else None,
            "method": METHOD,
            "reason": synthesis.reason or None,
            "evaluation_ids": sorted(e.evaluation_id for d in datasets for e in study.scored(d, name)),
        }


def _counts(test: TestSet, name: str, task: int) -> tuple[int, int]:
    """Positives and negatives that the model scored."""
    label = test.cohort.labels[~np.isnan(test.ensemble(name)[:, task]), task]
    return int((label == 1).sum()), int((label == 0).sum())


def _measures(test: TestSet, name: str, task: int, threshold: float) -> dict[str, tuple[float, float]]:
    """Measure → its estimate at this site on its scale, and the standard error; NaN where there is none."""
    score, label = test.ensemble(name)[:, task], test.cohort.labels[:, task].astype(np.float64)
    scored = ~np.isnan(score) & ~np.isnan(label)
    score, label, patients = score[scored], label[scored], test.cohort.patients[scored]
    repeated = has_repeated_patients(test)
    area = clustered_auc_interval(label, score, patients) if repeated else auc_interval(label, score)
    value, error = float(area.value), float(area.se)
    measures = {
        "auc": (float(logit(value)), error / (value * (1 - value))) if 0 < value < 1 else (np.nan, np.nan)
    }
    calls = score >= threshold
    for measure, among, hit in (("sensitivity", label == 1, calls), ("specificity", label == 0, ~calls)):
        measures[measure] = (np.nan, np.nan) if np.isnan(threshold) else _share(among, among & hit, patients)
    line = line_of(test, name, task)
    measures["calibration slope"] = (float(line.coefficients[1]), float(np.sqrt(line.covariance[1, 1])))
    observed = share_by_patient(np.ones(len(label), bool), label == 1, patients)
    expected = float(expit(score).mean())
    prevalence = float(observed.value)
    # Riley et al. 2021: the standard error of ln(O/E), at the effective number of images
    effective = min(len(label), prevalence * (1 - prevalence) / float(observed.se) ** 2)
    measures["observed/expected"] = (
        float(np.log(prevalence / expected)),
        float(np.sqrt((1 - prevalence) / (prevalence * effective))),
    )
    return measures


def _share(among: Any, hits: Any, patients: Any) -> tuple[float, float]:
    """Logit of a share and its standard error, half a case added to either side; patients are the units."""
    share = share_by_patient(among, hits, patients)
    n, p = int(share.n), float(share.value)
    spread = float(share.se) ** 2
    effective = n if not spread > 0 else min(n, p * (1 - p) / spread)
    yes, no = p * effective + 0.5, (1 - p) * effective + 0.5
    return float(np.log(yes / no)), float(np.sqrt(1 / yes + 1 / no))
