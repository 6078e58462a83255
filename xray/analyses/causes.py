"""Image, population, prevalence or label: why does a model from elsewhere do worse at B than at A? A verdict with odds.

Nothing needs to be trained here: its scores and the labels of both sites are enough. A is the study's declared reference;
where there is none, the datasets that the model is said to be trained on; where none of these is tested, each other one in
turn. Age, sex and view are used where both sites know them, and a network that the study trained on B alone, as a witness.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any, Final

import numpy as np

from db.results import Causes as Row
from xray.analyses import cells
from xray.analyses.analysis import Stored, analysis
from xray.analyses.asked import Questions, asked_state, questions_of
from xray.analyses.parallel import flat_side_by_side
from xray.analyses.rereads import Key, Reads
from xray.analyses.rows import number
from xray.analyses.shared import labels_of_shared, patients_of_both, patients_of_shared
from xray.analyses.stored import OF_IMAGES, StoredStudy, TestSet, load_study
from xray.report.parts import causes as parts
from xray.report.parts.part import Part
from xray.stats.causes import CANNOT_TELL, FEWEST, MORE, PIPE, PLAN, Reread, Verdict, reread, verdicts
from xray.stats.estimates import FloatArray
from xray.stats.evidence import Evidence, Site, gather
from xray.stats.measures import Again
from xray.stats.pipeline_update import Through, through
from xray.stats.posterior import CAUSES
from xray.stats.rereads import measure, pooled
from xray.stats.shipped import VARIANTS

METHOD: Final = (
    "posterior of four causes, learned from simulated pairs of sites (decision 32); drop by DeLong with patients as units, "
    "Student's t, 95 %"
)
FEW: Final = f"fewer than {FEWEST} patients of a class"
UNLIKE: Final = "unlike the simulated cases"
INVERTED: Final = "see whether labels or scores are inverted at this site, whose AUC is below chance"
KNOWN_OF: Final = 0.5
"""Share of either site's images of which a covariate must be known before it is used."""


@dataclass(frozen=True)
class Pair:
    """A model judged between two test sets, and what is known of both; witness: a configuration, or None."""

    study: str
    model: str
    a: TestSet
    b: TestSet
    at_home: bool
    witness: str | None
    covariates: tuple[str, ...]
    evidence: Evidence
    verdicts: dict[int, Verdict]


def show(stored: Stored) -> Part:
    """What is said of the rows, and the figure."""
    datasets = load_study(stored.connection, stored.study).datasets if stored.rows.empty else {}
    return parts.causes(stored.rows, tuple(datasets))


@analysis(
    "causes",
    "Why does a model from elsewhere do worse here: images, patients, prevalence or labels? Odds of each cause",
    Row,
    order=41,
    unit=cells.ELSEWHERE,
    show=show,
    columns=OF_IMAGES,
    prepare=questions_of,
    state=asked_state,
)
def compute(
    study: StoredStudy, tests: Sequence[TestSet], ask: Questions | None = None
) -> Iterator[dict[str, Any]]:
    """Rows of table `causes`: per model from elsewhere, pair of test sets and task that both label and the model scores."""
    ask = ask or Questions()
    for pair in flat_side_by_side(judged, pairs(study, tests, ask)):
        scored = pair.a.trained_tasks(pair.model)
        for task in sorted(pair.a.labelled_tasks() & pair.b.labelled_tasks() & scored):
            yield _row(pair, task, ask.loss_ratio)


def pairs(
    study: StoredStudy, tests: Sequence[TestSet], ask: Questions
) -> Iterator[tuple[StoredStudy, str, TestSet, TestSet, bool, Questions]]:
    """Model, reference and other test set, whether the reference is its home, what is asked."""
    for model in study.foreign:
        scored = [test for test in tests if model in test.trained_on]
        names = {test.dataset for test in scored}
        homes = {ask.reference} & names or set(ask.homes.get(model, ())) & names
        for a, b in permutations(scored, 2):
            if not homes or (a.dataset in homes and b.dataset not in homes):
                yield study, model, a, b, bool(homes), ask


def judged(
    study: StoredStudy, model: str, a: TestSet, b: TestSet, at_home: bool, ask: Questions
) -> Iterator[Pair]:
    """The verdicts of one model between two test sets."""
    tasks = sorted(a.trained_tasks(model))
    witness = _witness(study, a, b, frozenset(tasks) & a.labelled_tasks() & b.labelled_tasks())
    columns = _covariates(a, b)
    sites = []
    for at, (test, patients) in enumerate(zip((a, b), patients_of_both(a.cohort, b.cohort), strict=True)):
        labels = np.full(test.cohort.labels.shape, np.nan)
        labels[:, tasks] = test.cohort.labels[:, tasks]
        of_witness = None if witness is None else test.ensemble(witness)
        covariates = np.column_stack([of[at] for of in columns.values()]) if columns else None
        sites.append(Site(labels, test.ensemble(model), patients, of_witness, covariates))
    evidence = gather(*sites)
    again = _again(a, b, sites[1], evidence, ask.reads)
    piped = _through(a, b, model, sites, ask)
    by_task = verdicts(evidence, ask.loss_ratio, _rereads(a, b, model, evidence), again, piped)
    yield Pair(study.name, model, a, b, at_home, witness, tuple(columns), evidence, by_task)


def _witness(study: StoredStudy, a: TestSet, b: TestSet, tasks: frozenset[int]) -> str | None:
    """The configuration of B alone, where it was scored at both and knows all that is judged."""
    own = study.trained_on_exactly((b.dataset,))
    both = own is not None and own in a.trained_on and own in b.trained_on
    return own if both and own is not None and tasks <= b.trained_tasks(own) else None


def _covariates(a: TestSet, b: TestSet) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Age in years, female sex and AP view as numbers at both sites, those that both know of most images."""
    columns = {}
    for name in OF_IMAGES:
        of_a, of_b = _numbers(name, a), _numbers(name, b)
        share = min(float(np.isfinite(of).mean()) for of in (of_a, of_b))
        if share >= KNOWN_OF and np.nanstd(np.concatenate([of_a, of_b])) > 0:
            columns[name] = of_a, of_b
    return columns


def _numbers(name: str, test: TestSet) -> FloatArray:
    values = test.columns.get(name)
    if values is None:
        return np.full(len(test.cohort.labels), np.nan)
    yes = {"sex": "F", "view": "AP"}.get(name)
    return np.array(
        [np.nan if value is None else float(value if yes is None else value == yes) for value in values]
    )


def _rereads(a: TestSet, b: TestSet, model: str, evidence: Evidence) -> dict[int, Reread]:
    """What B's labels cost on the pictures that both test sets have, per task, by A's scores of them."""
    pictures, first = np.unique(a.cohort.identities.pictures, return_index=True)
    others = np.unique(b.cohort.identities.pictures)
    shared = np.intersect1d(pictures, others)
    if not shared.size:
        return {}
    whole = shared.size == pictures.size == others.size
    scores = a.ensemble(model)[first[np.searchsorted(pictures, shared)]]
    by_a, by_b = labels_of_shared(a.cohort, b.cohort)
    patients = patients_of_shared(a.cohort, b.cohort)
    measured = {
        int(task): reread(scores[:, task], by_a[:, task], by_b[:, task], patients, whole)
        for task in evidence.tasks
    }
    return {task: of for task, of in measured.items() if of is not None}


def _again(
    a: TestSet, b: TestSet, site: Site, evidence: Evidence, reads: Mapping[Key, Sequence[Reads]]
) -> dict[int, Again]:
    """What planned reads of B's images by A's rules measured, per task."""
    measured = {}
    for task in evidence.tasks.tolist():
        several = reads.get((a.cohort.id, b.cohort.id, task))
        if several:
            columns = site.scores[:, task], site.labels[:, task], site.patients
            parts = [measure(*columns, of.design, of.images, of.again) for of in several]
            measured[task] = Again(pooled(parts), len(frozenset().union(*(of.readers for of in several))))
    return measured


def _through(a: TestSet, b: TestSet, model: str, sites: Sequence[Site], ask: Questions) -> dict[int, Through]:
    """What A's pictures through B's pipeline say, per task."""
    logits = ask.piped.get((a.cohort.id, b.cohort.id, model))
    return {} if logits is None else through(sites[0], sites[1], logits)


def _row(pair: Pair, task: int, loss_ratio: float) -> dict[str, Any]:
    parts, verdict = pair.evidence.parts, pair.verdicts.get(task)
    undefined = str(parts.reason[task])
    models = [pair.model] if pair.witness is None else [pair.model, pair.witness]
    row: dict[str, Any] = {
        "cohort_a_id": pair.a.cohort.id,
        "cohort_b_id": pair.b.cohort.id,
        "task_id": task,
        "trained_on": pair.model,
        "at_home": pair.at_home,
        "auc_a": number(parts.auc[task, 0, 0]),
        "auc_b": number(parts.auc[task, 0, 1]),
        "auc_drop": number(parts.drop.value[task]),
        "drop_lower": number(parts.drop.lower[task]),
        "drop_upper": number(parts.drop.upper[task]),
        **_causes(verdict),
        "loss_ratio": loss_ratio,
        "evidence": _words(pair, verdict),
        "verdict": CANNOT_TELL if verdict is None else verdict.code,
        "basis": f"not computed: {undefined}" if verdict is None else verdict.basis,
        "assumption": (verdict.assumption or None) if verdict else None,
        "resolve": _by_command(_next(pair.evidence, task, verdict), pair.study),
        "method": METHOD,
        "reason": _reason(pair.evidence, task, undefined, verdict),
        "evaluation_ids": [i for test in (pair.a, pair.b) for i in test.ids(*models)],
    }
    for name, test in (("a", pair.a), ("b", pair.b)):
        labels = test.cohort.labels[:, task]
        row[f"n_{name}"], row[f"n_pos_{name}"] = int((~np.isnan(labels)).sum()), int((labels == 1).sum())
    return row


def _reason(evidence: Evidence, task: int, undefined: str, verdict: Verdict | None) -> str | None:
    """Why nothing can be said of a task; None where something can."""
    if verdict is None:
        return undefined
    if evidence.fewest[np.flatnonzero(evidence.tasks == task)[0]] < FEWEST:
        return FEW
    return None if verdict.alike else UNLIKE


def _next(evidence: Evidence, task: int, verdict: Verdict | None) -> str | None:
    """What would settle it. Scores that rank the wrong way round at B alone are said, whatever the posterior knows of it."""
    parts = evidence.parts
    highest = (
        parts.auc[task, 0, 0] - parts.drop.lower[task]
    )  # of B's AUC; the interval of the drop is wider than its own
    inverted = [INVERTED] if highest < 0.5 < parts.auc[task, 0, 0] else []
    return "; ".join(inverted + ([verdict.resolve] if verdict else [MORE])).strip("; ") or None


def _by_command(steps: str | None, study: str) -> str | None:
    """What would settle it, with the command for this study."""
    return None if steps is None else steps.replace(PLAN, f"{PLAN} {study}").replace(PIPE, f"{PIPE} {study}")


def _words(pair: Pair, verdict: Verdict | None) -> str:
    """The evidence that there was, and what of it was left out, since with it the case is unlike the simulated ones."""
    network = [] if pair.witness is None else [f"a network trained on {pair.b.dataset}"]
    of = [has for has, name in VARIANTS.items() if verdict is not None and name == verdict.variant]
    witness, covariates = of[0] if of else (True, True)
    left_out = [*(() if covariates else pair.covariates), *(() if witness else network)]
    piped = (
        [f"{pair.a.dataset}'s pictures through {pair.b.dataset}'s pipeline"]
        if verdict is not None and verdict.through is not None
        else []
    )
    several = [of for of in ("scores", "labels", *pair.covariates, *network, *piped) if of not in left_out]
    words = _listed(several)
    if left_out:
        words += f", without {_listed(left_out)}, with which the case would be {UNLIKE}"
    return words


def _listed(words: Sequence[str]) -> str:
    return " and ".join(", ".join(words).rsplit(", ", 1))


def _causes(verdict: Verdict | None) -> dict[str, Any]:
    """Probabilities and shares of all causes, by column; None without a verdict."""
    again = None if verdict is None else verdict.again
    row: dict[str, Any] = {
        "alike": None if verdict is None else verdict.alike,
        "reread": None if again is None else again.measured.reads,
        "readers": None if again is None else again.readers,
        "probability_label_before": None if verdict is None else verdict.before,
    }
    for at, cause in enumerate(CAUSES):
        of = (
            (None,) * 4
            if verdict is None
            else [number(x[at]) for x in (verdict.probability, verdict.share, verdict.lower, verdict.upper)]
        )
        names = (f"probability_{cause}", *(f"share_{cause}{end}" for end in ("", "_lower", "_upper")))
        row |= dict(zip(names, of, strict=True))
    return row
